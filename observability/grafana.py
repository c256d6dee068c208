"""The few parts of Grafana's dashboards that ours are made of. The same source always gives the same bytes.

No panel names a data source of its own: all take `${datasource}`, which the reader chooses at the top of the page.
"""

SCHEMA_VERSION = 41
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Where the runbooks lie. The chart puts its value here, and readers can change it at the top of the page.
RUNBOOKS = "docs/runbooks"

GREEN, YELLOW, ORANGE, RED, BLUE = "green", "yellow", "orange", "red", "blue"


def variable(name, label, query, description):
    """A choice of label values, several or all of them."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"qryType": 1, "query": query, "refId": f"variable-{name}"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        # Series of a machine without Kubernetes have no namespace; this matches them too.
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def datasource_variable():
    return {
        "type": "datasource",
        "name": "datasource",
        "label": "Data source",
        "description": "The Prometheus that scrapes the operator, the servers and the workers.",
        "query": "prometheus",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "current": {},
    }


def runbooks_variable():
    return {
        "type": "textbox",
        "name": "runbooks",
        "label": "Runbooks",
        "description": "Where the links to runbooks lead: the address of docs/runbooks.",
        "query": RUNBOOKS,
        "current": {"selected": True, "text": RUNBOOKS, "value": RUNBOOKS},
        "options": [{"selected": True, "text": RUNBOOKS, "value": RUNBOOKS}],
    }


def steps(thresholds):
    """Thresholds as (value, color), the first one without a value."""
    return [{"color": color, "value": value} for value, color in thresholds]


def thresholds_of(legend, thresholds):
    """Other thresholds for one series of a panel, by its legend."""
    value = {"mode": "absolute", "steps": steps(thresholds)}
    return {"matcher": {"id": "byName", "options": legend}, "properties": [{"id": "thresholds", "value": value}]}


def panel(kind, title, description, queries, *, unit, width, height, thresholds=(), runbooks=(), minimum=None,
          maximum=None, decimals=None, custom=None, options=None, instant=False, transformations=(), overrides=()):
    """Any panel: `queries` are (PromQL, legend); `runbooks` the names of the alerts that speak of the same thing."""
    defaults = {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps(thresholds or [(None, GREEN)])}}
    for key, value in (("min", minimum), ("max", maximum), ("decimals", decimals)):
        if value is not None:
            defaults[key] = value
    if custom:
        defaults["custom"] = custom
    targets = []
    for letter, (expression, legend) in zip("ABCDEFGHIJ", queries, strict=False):
        targets.append({
            "refId": letter,
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": " ".join(expression.split()),
            "legendFormat": legend,
            "range": not instant,
            "instant": instant,
            "format": "table" if kind == "table" else "time_series",
        })
    result = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "options": options or {},
        "targets": targets,
    }
    if transformations:
        result["transformations"] = list(transformations)
    if runbooks:
        result["links"] = [
            {"title": f"Runbook: {name}", "url": f"${{runbooks}}/{name}.md", "targetBlank": True} for name in runbooks
        ]
    return result


def timeseries(title, description, *queries, unit="short", width=8, height=8, thresholds=(), stack=False, **rest):
    """Lines over time; thresholds are drawn as lines."""
    custom = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 30 if stack else 8, "showPoints": "never", "spanNulls": False}
    if stack:
        custom["stacking"] = {"mode": "normal", "group": "A"}
    if thresholds:
        custom["thresholdsStyle"] = {"mode": "dashed"}
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    rest.setdefault("minimum", 0)
    return panel("timeseries", title, description, queries, unit=unit, width=width, height=height,
                 thresholds=thresholds, custom=custom, options=options, **rest)


def stat(title, description, *queries, unit="short", width=4, height=4, thresholds=(), **rest):
    """One number, or one for each series, as it is at the end of the range."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "textMode": "auto",
        "justifyMode": "auto",
        "orientation": "auto",
    }
    return panel("stat", title, description, queries, unit=unit, width=width, height=height, thresholds=thresholds,
                 options=options, instant=True, **rest)


def bars(title, description, *queries, unit="short", width=8, height=8, **rest):
    """Bars, longest first as the query sorts them, each with its number."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
        "namePlacement": "auto",
    }
    rest.setdefault("thresholds", [(None, BLUE)])
    return panel("bargauge", title, description, queries, unit=unit, width=width, height=height, options=options,
                 instant=True, minimum=0, **rest)


def table(title, description, *queries, columns, unit="short", width=24, height=8, units=(), **rest):
    """Rows of labels; `columns` are (label or `Value #A`, heading) in their order, all others are left out.

    Units of single columns are given by heading.
    """
    shown = [name for name, _ in columns]
    organize = {
        "includeByName": {name: True for name in shown},
        "indexByName": {name: index for index, name in enumerate(shown)},
        "renameByName": dict(columns),
        "excludeByName": {"Time": True},
    }
    overrides = [
        {"matcher": {"id": "byName", "options": heading}, "properties": [{"id": "unit", "value": of}]} for heading, of in units
    ]
    transformations = [{"id": "organize", "options": organize}]
    if len(queries) > 1:
        transformations.insert(0, {"id": "merge", "options": {}})
    options = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False}}
    return panel("table", title, description, [(query, "") for query in queries], unit=unit, width=width, height=height,
                 options=options, instant=True, transformations=transformations, overrides=overrides, **rest)


def row(title, *panels):
    """A heading, and the panels under it."""
    return {"type": "row", "title": title, "collapsed": False, "panels": []}, panels


def place(rows):
    """Puts panels beside each other while there is room, then below, and numbers them."""
    placed, top = [], 0
    for heading, panels in rows:
        heading["gridPos"] = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        placed.append(heading)
        top, left, line = top + 1, 0, 0
        for item in panels:
            size = item["gridPos"]
            if left + size["w"] > COLUMNS:
                top, left, line = top + line, 0, 0
            item["gridPos"] = {"x": left, "y": top, "w": size["w"], "h": size["h"]}
            left, line = left + size["w"], max(line, size["h"])
            placed.append(item)
        top += line
    for number, item in enumerate(placed, 1):
        item["id"] = number
    return placed


def dashboard(uid, title, description, variables, rows, *, since="now-6h"):
    """A whole dashboard, as Grafana takes it from a file or a ConfigMap."""
    panels = place(rows)
    variables = [datasource_variable(), *variables]
    if any("links" in item for item in panels):
        variables.append(runbooks_variable())
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["textnlp"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": since, "to": "now"},
        "timezone": "browser",
        "weekStart": "",
        "annotations": {"list": []},
        "links": [{
            "type": "dashboards", "title": "TextNLP", "tags": ["textnlp"], "asDropdown": True, "includeVars": True,
            "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": "",
        }],
        "templating": {"list": variables},
        "panels": panels,
    }
