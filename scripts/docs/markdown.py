"""As much of Markdown as checking takes: headings, links and code blocks, with their lines. No I/O."""

import re
from dataclasses import dataclass, field

FENCE = re.compile(r"^(?P<indent> {0,3})(?P<mark>`{3,}|~{3,})(?P<info>.*)$")
LINK = re.compile(r"\]\(\s*<?(?P<target>[^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")  # the text before it may begin a line earlier
DEFINITION = re.compile(r"^ {0,3}\[[^\]]+\]:\s+<?(?P<target>\S+?)>?\s*$")
HTML = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=\"(?P<target>[^\"]+)\"")
ANCHOR = re.compile(r"<[a-z]+\b[^>]*?\b(?:id|name)=\"(?P<name>[^\"]+)\"")
HEADING = re.compile(r"^ {0,3}(?P<level>#{1,6})\s+(?P<text>.*?)\s*#*\s*$")


@dataclass
class Block:
    """A fenced block of code."""

    line: int  # of its first line of content, from 1
    info: str
    lines: list = field(default_factory=list)
    before: str = ""  # the last line before it that is not blank


def parts(text):
    """Yields (line number, text) of prose and Block of code, in order. Comments are left out, and so is indented code."""
    block, mark, before, comment = None, "", "", False
    blank, code, in_list = True, False, False
    for number, line in enumerate(text.splitlines(), 1):
        fence = FENCE.match(line)
        if block is not None:
            if fence and fence["mark"].startswith(mark) and not fence["info"].strip():
                yield block
                block, before, blank = None, "", True
            else:
                block.lines.append(line)
            continue
        if fence and not comment:
            block, mark = Block(number + 1, fence["info"].strip(), before=before), fence["mark"]
            continue
        line, comment, before = *_without_comments(line, comment), line.strip() or before
        if line.strip():
            # Four spaces after a blank line are code, unless a list goes on.
            code = line.startswith("    ") and (blank or code) and not in_list
            in_list = re.match(r"\s*([-*+]|\d+\.)\s", line) is not None or (in_list and line.startswith(" "))
        blank = not line.strip()
        if not code:
            yield number, line
    if block is not None:
        yield block


def _without_comments(line, inside):
    shown = ""
    while line:
        mark = "-->" if inside else "<!--"
        text, found, line = line.partition(mark)
        shown += "" if inside else text
        if not found:
            break
        inside = not inside
    return shown, inside


def blocks(text):
    return [part for part in parts(text) if isinstance(part, Block)]


def prose(text):
    """(line number, text without code spans) of every line that is no code."""
    return [(number, _without_spans(line)) for number, line in (part for part in parts(text) if not isinstance(part, Block))]


def _without_spans(line):
    # Links keep the code in their texts: only targets count.
    return re.sub(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)", lambda found: "`" * len(found.group(0)), line)


def links(text):
    """(line number, target) of all links and pictures."""
    found = []
    for number, line in prose(text):
        for pattern in (LINK, DEFINITION, HTML):
            found += [(number, one["target"]) for one in pattern.finditer(line)]
    return found


def slug(heading):
    """The anchor of a heading, as GitHub and mdBook make it."""
    shown = re.sub(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)", r"\1", heading)
    shown = shown.replace("`", "").replace("*", "")
    kept = [c for c in shown.strip().lower() if c.isalnum() or c in " -_"]
    return "".join(kept).replace(" ", "-")


def anchors(text):
    """All anchors of a page. A heading that is there again gets -1, -2 and so on."""
    found, seen = set(), {}
    for part in parts(text):
        if isinstance(part, Block):
            continue
        heading = HEADING.match(part[1])
        if heading:
            name = slug(heading["text"])
            count = seen.get(name, 0)
            seen[name] = count + 1
            found.add(f"{name}-{count}" if count else name)
        found |= {one["name"] for one in ANCHOR.finditer(part[1])}
    return found
