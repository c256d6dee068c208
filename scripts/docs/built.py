#!/usr/bin/env python3
"""Checks a book that mdBook has built: each link and picture leads to a file of the book, each anchor to an element.

usage: built.py DIRECTORY
"""

import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote


class Page(HTMLParser):
    """Anchors of a page, and (line, target) of what it refers to."""

    def __init__(self, text):
        super().__init__()
        self.anchors, self.targets = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        for name in ("id", "name"):
            if attrs.get(name):
                self.anchors.add(attrs[name])
        target = attrs.get("href" if tag in ("a", "link") else "src" if tag in ("img", "script") else "")
        if target:
            self.targets.append((self.getpos()[0], target))


def problems(directory):
    """What is wrong with the book, as FILE:LINE: text."""
    pages = {path.relative_to(directory): Page(path.read_text(encoding="utf-8")) for path in sorted(directory.rglob("*.html"))}
    for path, page in pages.items():
        for line, target in page.targets:
            if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//", target):
                continue  # an address
            file, _, anchor = unquote(target).partition("#")
            file = file.partition("?")[0]
            if path == Path("404.html") and file.startswith("/"):
                file = file.lstrip("/")
            found = Path(os.path.normpath(path.parent / file)) if file else path
            if not (directory / found).is_file():
                yield f"{path}:{line}: {target}: there is no {found}"
            elif anchor and found in pages and anchor not in pages[found].anchors:
                yield f"{path}:{line}: {target}: {found} has no element of that name"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    directory = Path(sys.argv[1])
    if not (directory / "index.html").is_file():
        sys.exit(f"error: {directory} has no index.html: `make docs` builds the book")
    found = list(problems(directory))
    for text in found:
        print(f"error: {directory / text}", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
