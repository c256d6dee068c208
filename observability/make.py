#!/usr/bin/env python3
"""Writes Grafana's dashboards and the rules of the service level objectives into the chart.

usage: make.py CHART_DIRECTORY
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # nothing is left in the checkout
import cost  # noqa: E402
import health  # noqa: E402
import performance  # noqa: E402
import slo  # noqa: E402
import usage  # noqa: E402


def main():
    files = Path(sys.argv[1]) / "files"
    (files / "dashboards").mkdir(parents=True, exist_ok=True)
    (files / "rules").mkdir(parents=True, exist_ok=True)
    for source in (health, performance, usage, cost):
        text = json.dumps(source.dashboard(), indent=1, ensure_ascii=False) + "\n"
        (files / "dashboards" / f"{source.__name__}.json").write_text(text, encoding="utf-8")
    (files / "rules" / "slo.yaml").write_text("\n".join(slo.rules()) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
