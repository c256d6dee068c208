"""The dashboards and rules as they are committed, and their queries as Grafana would ask them."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DASHBOARDS = ROOT / "charts/textnlp-operator/files/dashboards"
REFERENCE = ROOT / "docs/observability.md"


def dashboards():
    """All dashboards by the name of their file."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def substitute(query, seconds):
    """The query over a range of so many seconds, with everything chosen that there is."""
    # Grafana takes four times the scrape's interval; here that is 5 s, and a minute shows more than noise.
    for variable, value in (("$__rate_interval", "60s"), ("$__range", f"{seconds}s"),
                            ("$namespace", ".*"), ("$model", ".*"), ("$job", ".*")):
        query = query.replace(variable, value)
    return query


def reference():
    """What docs/observability.md says: metrics as {name: (type, labels)}; a name of two programs has the labels of both."""
    found = {}
    row = re.compile(r"^\| `([a-z0-9_:]+)` \| (counter|gauge|histogram) \| (?:`([a-z_, ]+)`)? *\|", re.MULTILINE)
    for name, kind, labels in row.findall(REFERENCE.read_text(encoding="utf-8")):
        known = found.get(name, (kind, set()))[1]
        found[name] = (kind, known | set(filter(None, labels.split(", "))))
    return found
