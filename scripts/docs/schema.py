"""JSON Schemas, as CRDs, OpenAPI and Helm write them, in Markdown: types in words, bounds in words, tables of fields. No I/O."""

import json
import re

BOUNDS = {"Length": "characters", "Items": "entries", "Properties": "entries"}


def escaped(text):
    """Text as it may stand in the cell of a table: one line, and nothing outside of code that could be taken for HTML or a new cell."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    for i in range(0, len(parts), 2):
        parts[i] = parts[i].replace("&", "&amp;").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
    return "".join(parts).replace("|", "\\|")


def code(value):
    """A value as code that may stand in a cell."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = text.replace("|", "\\|")
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def number(value):
    """A bound as people write it: no `.0`, and powers of two that are meant as such."""
    value = int(value) if float(value).is_integer() else value
    for power in (31, 53, 63):
        if value == 2**power - 1:
            return f"2^{power} − 1"
        if value == 1 - 2**power:
            return f"1 − 2^{power}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def between(low, high, unit, exclusive=False):
    """A range in words, or None if it has no bound that says anything."""
    unit = f" {unit}" if unit else ""
    if low is not None and high is not None:
        words = f"{number(low)} to {number(high)}" if low != high else f"exactly {number(low)}"
        return f"above {number(low)}, up to {number(high)}{unit}" if exclusive else words + unit
    if low is not None:
        return f"above {number(low)}{unit}" if exclusive else f"at least {number(low)}{unit}"
    return f"at most {number(high)}{unit}" if high is not None else None


def alternatives(node):
    """The schemas of which a value meets one, null aside."""
    return [one for one in node.get("anyOf", node.get("oneOf", [])) if one.get("type") != "null"]


def core(node):
    """The schema below lists, maps and a choice between it and null."""
    node = node if isinstance(node, dict) else {}  # `true` allows everything
    while True:
        inner = node.get("items") or node.get("additionalProperties")
        choices = alternatives(node)
        if "properties" in node or not (isinstance(inner, dict) or len(choices) == 1):
            return node
        node = inner if isinstance(inner, dict) else choices[0]


def type_of(node, link):
    """The type in words. `link` makes a word of an object's schema: a link to its section, where it has one."""
    if not isinstance(node, dict):
        return "any value"
    if node.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "$ref" in node:
        return link(node, node["$ref"].rsplit("/", 1)[-1])
    if node.get("enum"):
        return "string" if all(isinstance(value, str) for value in node["enum"]) else "value"
    choices = alternatives(node)
    if choices and all("const" in choice for choice in choices):
        return "string"
    if choices and "properties" not in node:
        return " or ".join(dict.fromkeys(type_of(choice, link) for choice in choices))
    kinds = node.get("type", "any value")
    kinds = [kind for kind in ([kinds] if isinstance(kinds, str) else kinds) if kind != "null"]
    return " or ".join(_one_type(node, kind, link) for kind in kinds)


def _one_type(node, kind, link):
    if kind == "array":
        return f"list of {type_of(node.get('items', {}), link)}"
    values = node.get("additionalProperties")
    if kind == "object" and "properties" not in node and isinstance(values, dict) and values:
        return f"map of {type_of(values, link)}"
    return link(node, kind) if kind == "object" else kind


def values_of(node):
    """The values that an enumeration allows."""
    inner = core(node)
    return inner.get("enum") or [one["const"] for one in alternatives(inner) if "const" in one]


def facts(node):
    """What a value must meet, in sentences."""
    found = []
    values = [value for value in values_of(node) if value is not None]
    if values:
        found.append("One of " + ", ".join(code(value) for value in values) + ".")
    inner = core(node)
    of_entries = inner is not node and (node.get("items") or node.get("additionalProperties"))
    for schema in (node, inner) if inner is not node else (node,):
        each = "each " if of_entries and schema is inner else ""
        # In CRDs it is a mark beside `minimum`, in OpenAPI 3.1 the bound itself.
        exclusive = schema.get("exclusiveMinimum", False)
        low = schema.get("minimum") if isinstance(exclusive, bool) else exclusive
        range_ = between(low, schema.get("maximum"), "", exclusive is not False)
        if range_:
            found.append(capital(f"{each}{range_}."))
        for suffix, unit in BOUNDS.items():
            # One character is what every name has; it says nothing.
            least = schema.get(f"min{suffix}")
            range_ = between(None if least == 1 and suffix == "Length" else least, schema.get(f"max{suffix}"), unit)
            if range_:
                found.append(capital(f"{each}{range_}."))
        # What a quantity looks like, all know; the pattern is long.
        if schema.get("pattern") and not schema.get("x-kubernetes-int-or-string"):
            found.append(capital(f"{each}matches {code(schema['pattern'])}."))
    return list(dict.fromkeys(found))


def capital(words):
    """The words with their first letter in upper case."""
    return words[:1].upper() + words[1:]


def sentence(text):
    """A description that ends as one."""
    text = escaped(text)
    return text if not text or text[-1] in ".:!?" else text + "."


def row(name, node, required, link):
    """The row of a field in a table of fields."""
    node = node if isinstance(node, dict) else {}
    kind = type_of(node, link) + (", **required**" if required else "")
    default = node.get("default")
    shown = "" if default is None else code(default if not isinstance(default, str) else json.dumps(default, ensure_ascii=False))
    words = " ".join([sentence(node.get("description", "")), *facts(node)]).strip()
    return f"| `{name}` | {kind} | {shown} | {words} |"


def fields(node, link):
    """The table of an object's fields: required ones first, then by name."""
    required = set(node.get("required", []))
    lines = ["| field | type | default | |", "|---|---|---|---|"]
    for name, field in sorted(node["properties"].items(), key=lambda item: (item[0] not in required, item[0])):
        lines.append(row(name, field, name in required, link))
    return "\n".join(lines)
