#!/usr/bin/env python3
"""Asks a Prometheus that has watched a cluster at work for everything that the dashboards show, the rules record and the reference promises.
Prints a table; exits with 1 if anything is missing.

usage: check.py URL START
  START: when Prometheus began to scrape, in seconds since 1970
"""

import re
import sys
import time

sys.dont_write_bytecode = True  # nothing is left in the checkout
import boards  # noqa: E402
from api import Prometheus  # noqa: E402

STEP = 5
# Series that are there only once a fault has happened, and why it is not made to happen here.
FAULTS = {
    "textnlp_operator_invalid_objects_total": "the API server stores no object that the operator cannot read, unless the CRDs are changed",
    "textnlp_operator_reconcile_errors_total": "reconciliations fail when the API server or the cluster does; see tests/e2e for those",
}
# What is not told of a pod but of what it serves comes from the scrape.
SCRAPE_LABELS = {"__name__", "job", "instance", "namespace", "pod", "modeldeployment", "generationjob", "le"}
# The workload fails one job on purpose, and wants a server that no node can run.
EXPECTED_ALERTS = {"TextNLPJobFailed": "firing", "TextNLPModelNotReady": "pending"}


class Report:
    """Lines of the table, and how many of them are bad."""

    def __init__(self):
        self.failures = 0

    def line(self, good, group, name, found):
        self.failures += not good
        print(f"{'ok' if good else 'MISSING':8}{group:14}{name:62}{found}")


def fault(query):
    """Why this query may have no data, if it asks for what only faults make."""
    return next((why for metric, why in FAULTS.items() if metric in query), None)


def check_targets(prometheus, report):
    for job in ("textnlp-operator", "textnlp-servers", "textnlp-workers"):
        found = prometheus.instant(f'count(max_over_time(up{{job="{job}"}}[1h]) == 1)', time.time())
        number = int(found[0]["value"][1]) if found else 0
        report.line(number > 0, "target", job, f"{number} scraped")
    for target in prometheus.get("targets", state="active")["activeTargets"]:
        if target["health"] == "down":
            report.line(False, "target", target["scrapeUrl"], target["lastError"])


def check_dashboards(prometheus, report, start, end):
    for name, dashboard in boards.dashboards().items():
        for panel in boards.panels(dashboard):
            for target in panel["targets"]:
                query = boards.substitute(target["expr"], int(end - start))
                series = prometheus.range(query, start, end, STEP)
                points = sum(value != "NaN" for one in series for _, value in one["values"])
                why = fault(query)
                found = f"{len(series)} series, {points} points" if points or not why else f"none: {why}"
                report.line(points > 0 or why, name, f"{panel['title']} {target['refId']}", found)


def check_rules(prometheus, report, start, end):
    for group in prometheus.get("rules")["groups"]:
        for rule in group["rules"]:
            if rule["health"] != "ok":
                report.line(False, "rule", rule["name"], f"{rule['health']}: {rule.get('lastError')}")
            elif rule["type"] == "recording":
                labels = ",".join(f'{key}="{value}"' for key, value in rule.get("labels", {}).items())
                number = len(prometheus.series(f"{rule['name']}{{{labels}}}", start, end))
                report.line(number > 0, "recording", f"{rule['name']} {labels}", f"{number} series")
    states = {}
    for alert in prometheus.get("alerts")["alerts"]:
        states.setdefault(alert["labels"]["alertname"], set()).add(alert["state"])
    for name, state in EXPECTED_ALERTS.items():
        report.line(state in states.get(name, ()), "alert", name, f"{state} expected, found {sorted(states.get(name, ()))}")


def check_reference(prometheus, report, start, end):
    """Holds the tables of docs/observability.md against what was scraped: names, types and labels, both ways."""
    known = boards.reference()
    seen = {}
    for labels in prometheus.series('{__name__=~"(textnlp_|vllm:).+", __name__!~"textnlp:.+"}', start, end):
        name = labels["__name__"]
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        base = base if known.get(base, ("",))[0] == "histogram" else name
        seen.setdefault(base, set()).update(labels.keys() - SCRAPE_LABELS)
    types = prometheus.get("metadata")
    for name in sorted(known.keys() | seen.keys()):
        if name not in known:
            report.line(False, "metric", name, "is exported, and docs/observability.md does not have it")
        elif name not in seen:
            report.line(name in FAULTS, "metric", name, f"none: {FAULTS.get(name, 'nobody exports it')}")
        else:
            kind, labels = known[name]
            # Prometheus keeps the types under the name of the family, which for OpenMetrics' counters has no `_total`.
            said = {entry["type"] for key in (name, name.removesuffix("_total")) for entry in types.get(key, ())}
            extra, lacking = seen[name] - labels, labels - seen[name] - SCRAPE_LABELS
            good = not extra and not lacking and said <= {kind}
            report.line(good, "metric", name, kind if good else
                        f"undocumented labels {sorted(extra)}, missing labels {sorted(lacking)}, types {sorted(said)}")


def main():
    prometheus, start = Prometheus(sys.argv[1]), float(sys.argv[2])
    end = time.time()
    report = Report()
    check_targets(prometheus, report)
    check_dashboards(prometheus, report, start, end)
    check_rules(prometheus, report, start, end)
    check_reference(prometheus, report, start, end)
    if report.failures:
        sys.exit(f"error: {report.failures} of the lines above are MISSING")


if __name__ == "__main__":
    main()
