#!/usr/bin/env python3
"""A preprocessor of mdBook for links that hold on GitHub and in an editor, and would lead nowhere in the book.

A link to a file of the repository that is not part of the book becomes the file's path; one to a README.md in the book leads to index.html, which
mdBook makes of it.
"""

import json
import os
import re
import sys
from pathlib import PurePosixPath

LINK = re.compile(r"(?<!!)\[(?P<text>[^\[\]]*)\]\((?P<target>\.\./[^)\s]+)\)")
README = re.compile(r"(\]\((?:[^():\s]*/)?)README\.md(?=[)#])")


def rewritten(content, page, source):
    """The content of a page, whose path is relative to the book's sources."""

    def path_of(link):
        target = os.path.normpath(PurePosixPath(source, page).parent / link["target"].partition("#")[0])
        if PurePosixPath(target).parts[0] == source:
            return link[0]
        plain = link["text"].replace("`", "")
        return link["text"] if PurePosixPath(target) == PurePosixPath(plain) else f"{link['text']} (`{target}`)"

    return README.sub(r"\1index.md", LINK.sub(path_of, content))


def rewrite(items, source):
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            # `source_path` is the file; `path` is where README.md becomes index.md.
            page = chapter.get("source_path") or chapter.get("path")
            if page:
                chapter["content"] = rewritten(chapter["content"], page, source)
            rewrite(chapter["sub_items"], source)


def main():
    if sys.argv[1:2] == ["supports"]:
        sys.exit(0)
    context, book = json.load(sys.stdin)
    rewrite(book["items"], context["config"]["book"]["src"])
    json.dump(book, sys.stdout)


if __name__ == "__main__":
    main()
