"""An object's schema as sections of a page: one for it, and one for each described object in its fields. No I/O."""

import schema as s
from markdown import slug


def described(node):
    """Whether anything below an object is described; Kubernetes' own types are not."""
    inner = [*node.get("properties", {}).values(), *(node.get(key) for key in ("items", "additionalProperties"))]
    return any(isinstance(one, dict) and (one.get("description") or described(one)) for one in inner)


def has_section(field):
    inner = s.core(field)
    return "properties" in inner and described(inner)


def below(path, name, field):
    return f"{path}.{name}" + ("[]" if field.get("type") in ("array", ["array", "null"]) else "")


def rules(node):
    inner = s.core(node)
    of_both = node.get("x-kubernetes-validations", []) + (inner.get("x-kubernetes-validations", []) if inner is not node else [])
    return list(dict.fromkeys(rule["message"] for rule in of_both if rule.get("message")))


def sections(path, node, level, link=lambda node, word: word):
    """The sections, in order; those below the first are one level deeper, and no deeper than that. `link` links what has a section elsewhere."""
    inner = s.core(node)
    fields = inner["properties"]
    nested = {name: below(path, name, field) for name, field in sorted(fields.items()) if has_section(field)}

    def words(found, word):
        name = next((name for name in nested if s.core(fields[name]) is found), None)
        return f"[{word}](#{slug(nested[name])})" if name else link(found, word)

    parts = [f"{'#' * level} `{path}`"]
    if node.get("description"):
        parts.append(s.escaped(node["description"]))
    parts.append(s.fields(inner, words))
    if rules(node):
        # Rules are messages: some say what must be, others what was found.
        parts.append("What breaks a rule is refused, in these words:")
        parts.append("\n".join(f"- {s.escaped(rule)}" for rule in rules(node)))
    found = ["\n\n".join(parts)]
    for name, longer in nested.items():
        found += sections(longer, fields[name], level if "." in path else level + 1, link)
    return found
