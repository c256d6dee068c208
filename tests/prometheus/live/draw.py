#!/usr/bin/env python3
"""Draws the dashboards' panels from Prometheus' answers, one page of HTML each: what a reader would see, without Grafana.

usage: draw.py URL START END DIRECTORY
  writes DIRECTORY/NAME.html, and prints NAME and the page's height in pixels
"""

import html
import re
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True  # nothing is left in the checkout
import boards  # noqa: E402
from api import Prometheus  # noqa: E402

COLORS = ["#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9", "#705da0", "#508642", "#cca300"]
NAMED = {"green": "#73bf69", "yellow": "#f2cc0c", "orange": "#ff9830", "red": "#f2495c", "blue": "#5794f2"}
ROW, GAP, WIDTH, HEAD, COLUMNS = 38, 6, 1600, 86, 24
STYLE = """
body{margin:0;background:#111217;color:#ccccdc;font:13px sans-serif;width:1600px;position:relative}
h1{font-size:22px;margin:0;padding:14px 12px 2px} .note{padding:0 12px} .note,.small,.none{color:#8e8ea0}
.panel{position:absolute;box-sizing:border-box;background:#181b1f;border:1px solid #2c3235;border-radius:3px;padding:6px 8px;overflow:hidden}
.panel h3{font-size:13px;font-weight:600;margin:0 0 4px;white-space:nowrap;overflow:hidden}
.row{position:absolute;font-size:15px;font-weight:600;padding:8px 2px}
.big{font-size:26px;margin:4px 0} .small{font-size:12px} .none{padding:30px 0;text-align:center}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:3px 6px;border-bottom:1px solid #2c3235;font-size:12px;white-space:nowrap}
td,th{max-width:320px;overflow:hidden;text-overflow:ellipsis}
.bar{height:14px;margin:2px 0 6px} .legend span{margin-right:12px;white-space:nowrap;font-size:11px}
"""


def number(value, unit):
    """A value with its unit, in three digits or so."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s" and 0 < abs(value) < 1:
        return f"{1000 * value:.3g} ms"
    suffix = {"s": " s", "reqps": " req/s", "ops": " /s", "rowsps": " rows/s"}.get(unit, "")
    for limit, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if letter == ' k' else limit):.3g}{letter}{suffix}"
    return f"{value:.3g}{suffix}" if abs(value) < 100 else f"{value:.0f}{suffix}"


def legend(pattern, labels):
    return re.sub(r"\{\{ *(\w+) *\}\}", lambda name: labels.get(name[1], ""), pattern)


def color(panel, value):
    """That of the highest threshold which the value reaches."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return NAMED[[step["color"] for step in steps if step["value"] is None or value >= step["value"]][-1]]


class Page:
    """A dashboard over a time: asks for what its panels show, and draws that."""

    def __init__(self, prometheus, start, end):
        self.prometheus, self.start, self.end = prometheus, start, end

    def lines(self, panel):
        """(legend, [(time, value)…]) of all series of a panel."""
        step = max(5, int((self.end - self.start) / 300))
        for target in panel["targets"]:
            query = boards.substitute(target["expr"], int(self.end - self.start))
            for series in self.prometheus.range(query, self.start, self.end, step):
                points = [(float(at), float(value)) for at, value in series["values"] if value not in ("NaN", "+Inf", "-Inf")]
                if points:
                    yield legend(target["legendFormat"], series["metric"]), points

    def now(self, panel):
        """(letter, legend, labels, value) of all series of a panel at the end."""
        for target in panel["targets"]:
            query = boards.substitute(target["expr"], int(self.end - self.start))
            for series in self.prometheus.instant(query, self.end):
                value = float(series["value"][1])
                if value == value:
                    yield target["refId"], legend(target["legendFormat"], series["metric"]), series["metric"], value

    def timeseries(self, panel, width, height):
        lines = list(self.lines(panel))
        if not lines:
            return "<div class=none>no data</div>"
        unit = panel["fieldConfig"]["defaults"]["unit"]
        top = max(value for _, points in lines for _, value in points) * 1.05 or 1
        left, plot = 84, height - 74

        def spot(at, value):
            return left + (at - self.start) / (self.end - self.start) * (width - left - 8), plot - value / top * (plot - 8)

        parts = [f'<svg width="{width}" height="{plot + 16}">']
        for share in (0, 0.5, 1):
            _, y = spot(self.start, top * share)
            parts.append(f'<line x1="{left}" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="#2c3235"/>'
                         f'<text x="{left - 6}" y="{y + 4:.1f}" fill="#8e8ea0" font-size="11" text-anchor="end">{number(top * share, unit)}</text>')
        for share in (0, 0.5, 1):
            at = self.start + share * (self.end - self.start)
            parts.append(f'<text x="{spot(at, 0)[0]:.0f}" y="{plot + 14}" fill="#8e8ea0" font-size="11" '
                         f'text-anchor="{("start", "middle", "end")[int(share * 2)]}">{time.strftime("%H:%M:%S", time.gmtime(at))}</text>')
        for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]:
            if step["value"] and step["value"] < top:
                _, y = spot(self.start, step["value"])
                parts.append(f'<line x1="{left}" x2="{width - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="{NAMED[step["color"]]}" stroke-dasharray="6 4"/>')
        for index, (_, points) in enumerate(lines):
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (spot(*point) for point in points))
            parts.append(f'<polyline points="{path}" fill="none" stroke="{COLORS[index % len(COLORS)]}" stroke-width="1.5"/>')
        names = "".join(f'<span style="color:{COLORS[index % len(COLORS)]}">▬ {html.escape(name)}: {number(points[-1][1], unit)}</span>'
                        for index, (name, points) in enumerate(lines[:6]))
        more = f"<span>and {len(lines) - 6} more</span>" if len(lines) > 6 else ""
        return "".join(parts) + f"</svg><div class=legend>{names}{more}</div>"

    def stat(self, panel, width, height):
        unit = panel["fieldConfig"]["defaults"]["unit"]
        return "".join(f'<div class=big style="color:{color(panel, value)}">{number(value, unit)} <span class=small>{html.escape(name)}</span></div>'
                       for _, name, _, value in list(self.now(panel))[:4]) or "<div class=none>no data</div>"

    def bargauge(self, panel, width, height):
        found = sorted(self.now(panel), key=lambda one: -one[3])[:6]
        if not found:
            return "<div class=none>no data</div>"
        unit, most = panel["fieldConfig"]["defaults"]["unit"], max(value for *_, value in found) or 1
        return "".join(f'<div>{html.escape(name)}: {number(value, unit)}<div class=bar style="background:{NAMED["blue"]};'
                       f'width:{max(0, value) / most * 100:.1f}%"></div></div>' for _, name, _, value in found)

    def table(self, panel, width, height):
        organize = next(one["options"] for one in panel["transformations"] if one["id"] == "organize")
        columns, several = list(organize["includeByName"]), len(panel["targets"]) > 1
        rows = {}
        for letter, _, labels, value in self.now(panel):
            key = tuple(labels.get(column, "") for column in columns if not column.startswith("Value"))
            rows.setdefault(key, dict(labels))[f"Value #{letter}" if several else "Value"] = value
        if not rows:
            return "<div class=none>no data</div>"
        unit = panel["fieldConfig"]["defaults"]["unit"]

        def cell(found):
            return number(found, unit) if isinstance(found, float) else html.escape(found)

        head = "".join(f"<th>{html.escape(organize['renameByName'][column])}</th>" for column in columns)
        body = "".join("<tr>" + "".join(f"<td>{cell(row.get(column, ''))}</td>" for column in columns) + "</tr>" for row in rows.values())
        return f"<table><tr>{head}</tr>{body}</table>"

    def html(self, dashboard):
        """The whole page, and its height."""
        parts, bottom = [], 0
        for panel in dashboard["panels"]:
            place = panel["gridPos"]
            x, y = place["x"] * WIDTH / COLUMNS + GAP, place["y"] * ROW + HEAD
            width, height = place["w"] * WIDTH / COLUMNS - GAP * 1.5, place["h"] * ROW - GAP
            bottom = max(bottom, y + height)
            at = f'style="left:{x:.0f}px;top:{y}px;width:{width:.0f}px;height:{height}px"'
            if panel["type"] == "row":
                parts.append(f"<div class=row {at}>{html.escape(panel['title'])}</div>")
                continue
            inner = getattr(self, panel["type"])(panel, int(width) - 18, height - 30)
            parts.append(f"<div class=panel {at}><h3>{html.escape(panel['title'])}</h3>{inner}</div>")
        note = ("Panels' data as drawn by tests/prometheus/live/draw.py from Prometheus' answers, not by Grafana. "
                f"The test cluster, {time.strftime('%Y-%m-%d %H:%M', time.gmtime(self.start))} to "
                f"{time.strftime('%H:%M UTC', time.gmtime(self.end))}.")
        page = (f"<!doctype html><meta charset=utf-8><title>{html.escape(dashboard['title'])}</title><style>{STYLE}</style>"
                f"<h1>{html.escape(dashboard['title'])}</h1><div class=note>{note}</div>{''.join(parts)}")
        return page, int(bottom + 2 * GAP)


def main():
    prometheus, start, end, directory = Prometheus(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4])
    page = Page(prometheus, start, end)
    for name, dashboard in boards.dashboards().items():
        text, height = page.html(dashboard)
        (directory / f"{name}.html").write_text(text, encoding="utf-8")
        print(name, height)


if __name__ == "__main__":
    main()
