#!/usr/bin/env python3
"""Prints the README of a chart: README.md.in with the table of values, made from values.schema.json.

usage: chart-readme.py CHART_DIRECTORY
"""

import json
import sys
from pathlib import Path


def rows(schema, prefix=""):
    """Yields path, default and description of every value that is no object of its own."""
    for name, value in schema["properties"].items():
        path = prefix + name
        if "properties" in value:
            yield from rows(value, path + ".")
        elif "default" in value:
            yield path, value["default"], value["description"]


def main():
    chart = Path(sys.argv[1])
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    table = ["| value | default | |", "|---|---|---|"]
    for path, default, description in rows(schema):
        shown = json.dumps(default, ensure_ascii=False)
        table.append(f"| `{path}` | `{shown}` | {description} |")
    text = (chart / "README.md.in").read_text(encoding="utf-8")
    print(text.replace("@VALUES@", "\n".join(table)), end="")


if __name__ == "__main__":
    main()
