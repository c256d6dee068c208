#!/usr/bin/env python3
"""Checks the Markdown of the repository: relative links lead to files, anchors to headings; every page of docs/ is in docs/SUMMARY.md,
once; pages that comments and messages name are there; words have one spelling. Addresses outside of the repository are not asked.

usage: links.py [FILE...]          default: all Markdown files that git knows, or does not ignore
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import markdown
import words

ROOT = Path(__file__).resolve().parents[2]


def markdown_files(root):
    """All Markdown files of a checkout, committed or about to be."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md", "*.md.in"], cwd=root, capture_output=True, check=True)
    return sorted({Path(name) for name in os.fsdecode(listed.stdout).split("\0") if name and (root / name).exists()})


class Pages:
    """The anchors of pages, each read once."""

    def __init__(self, root):
        self.root = root
        self.known = {}

    def anchors(self, path):
        if path not in self.known:
            self.known[path] = markdown.anchors((self.root / path).read_text(encoding="utf-8"))
        return self.known[path]


def problem(pages, page, target):
    """What is wrong with a link of a page, or None."""
    if re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:", target):
        return None  # an address
    path, _, anchor = target.partition("#")
    found = page
    if path:
        if path.startswith("/"):
            return "begins with /: write it relative to this page"
        found = Path(os.path.normpath(page.parent / unquote(path)))
        if found.parts[:1] == ("..",):
            return "leads out of the repository"
        if not (pages.root / found).exists():
            return f"there is no {found}"
    if not anchor:
        return None
    if found.suffix != ".md":
        return None if re.fullmatch(r"L\d+(-L\d+)?", anchor) else f"{found} is no page, and has no anchors"
    if unquote(anchor) not in pages.anchors(found):
        near = [one for one in pages.anchors(found) if one.startswith(anchor[:6])]
        return f"{found} has no heading #{anchor}" + (f"; there are {', '.join('#' + one for one in near)}" if near else "")
    return None


def check_links(root, files):
    """Problems of all links, as FILE:LINE: text."""
    pages, problems, count = Pages(root), [], 0
    for page in files:
        text = (root / page).read_text(encoding="utf-8")
        # A template becomes the README beside it: what it links to is checked there.
        if page.suffix == ".in":
            continue
        for line, target in markdown.links(text):
            count += 1
            wrong = problem(pages, page, target)
            if wrong:
                problems.append(f"{page}:{line}: {target}: {wrong}")
    return problems, count


def check_summary(root, files, docs="docs"):
    """Problems of the book's table of contents."""
    summary = Path(docs) / "SUMMARY.md"
    problems, named = [], {}
    for line, target in markdown.links((root / summary).read_text(encoding="utf-8")):
        page = Path(os.path.normpath(Path(docs) / target))
        if page in named:
            problems.append(f"{summary}:{line}: {target} is there twice (line {named[page]}): the book would have it once")
        named[page] = line
    for page in files:
        if page.parts[0] == docs and page.suffix == ".md" and page != summary and page not in named:
            problems.append(f"{page}:1: it is not in {summary}: add a line there, under tutorial, how-to, reference or explanation")
    return problems


def check_words(root, files):
    """Words that have another spelling in these pages."""
    return [f"{page}:{line}: {what}" for page in files for line, what in words.problems((root / page).read_text(encoding="utf-8"))]


def check_mentions(root):
    """Problems of pages that comments, messages and scripts name, as docs/install.md."""
    pages, problems = Pages(root), []
    found = subprocess.run(["git", "grep", "-nI", "docs/.*\\.md", "--", ".", ":!*.md", ":!scripts/docs/test_tools.py"], cwd=root, capture_output=True, text=True, check=False)
    for line in found.stdout.splitlines():
        file, number, text = line.split(":", 2)
        for mention in re.finditer(r"(?<![\w/.-])(docs/[\w/-]+\.md)(?:#([\w-]+))?", text):
            wrong = problem(pages, Path("README.md"), mention[0])
            if wrong:
                problems.append(f"{file}:{number}: {mention[0]}: {wrong}")
    return problems


def main():
    files = [Path(os.path.relpath(name, ROOT)) for name in sys.argv[1:]] or markdown_files(ROOT)
    problems, count = check_links(ROOT, files)
    problems += check_words(ROOT, files)
    if len(sys.argv) == 1:
        problems += check_summary(ROOT, files) + check_mentions(ROOT)
    for text in problems:
        print(f"error: {text}", file=sys.stderr)
    if problems:
        sys.exit(1)
    print(f"{count} links in {len(files)} files hold")


if __name__ == "__main__":
    main()
