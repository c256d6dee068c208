#!/usr/bin/env python3
"""Runs the commands of pages as a reader would, in their order, and compares what they print with what the page shows.

usage: tutorial.py [--bin DIRECTORY] PAGE...

A page's `console` blocks are run, all in one shell, which starts in an empty directory:

    $ textnlp run tickets.yaml --output tickets        a command; it goes on in the next lines while they begin with `> `
    8 rows of 8 accepted                               what it prints, on stdout and stderr
    …                                                  any lines, or none; within a line: any text

A command must end with 0, unless the last line that is shown of it is `[exit code N]`. A comment in the line before a block says more:

    <!-- in the checkout -->           the commands run at the root of the repository, and do not move the shell
    <!-- file: tickets.yaml -->        the block is no command: it is written to this file, relative to where the shell is
    <!-- not run: REASON -->           the block is left out; the reason is printed

Every block with commands (`console`, `sh`, `bash`) must be run or say why not. DIRECTORY has the programs; it is put into PATH, with
`kubectl-textnlp` beside it. FILE:LINE of the first command that does otherwise is printed, and the exit code is 1.
"""

import argparse
import os
import re
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import markdown
from shell import Shell, ShellEnded

ROOT = Path(__file__).resolve().parents[2]
COMMENT = re.compile(r"^<!--\s*(in the checkout|file:\s*(?P<file>[\w./-]+)|not run:\s*(?P<reason>.+?))\s*-->$")
SECONDS = 300  # the most that one command may take


@dataclass
class Command:
    """A command of a page, and what it shall print."""

    line: int
    text: str
    shown: list = field(default_factory=list)
    in_checkout: bool = False


@dataclass
class File:
    """A file that the reader shall write."""

    line: int
    path: str
    text: str


class PageError(Exception):
    """Something on a page is not as it should be: its line, and what."""

    def __init__(self, line, text):
        super().__init__(text)
        self.line = line


def commands_of(block, in_checkout):
    """The commands of a console block."""
    found = []
    for number, line in enumerate(block.lines, block.line):
        if line.startswith("$ "):
            found.append(Command(number, line[2:], in_checkout=in_checkout))
        elif line.startswith("> ") and found and not found[-1].shown:
            found[-1].text += "\n" + line[2:]
        elif found:
            found[-1].shown.append(line)
        else:
            raise PageError(number, "a console block begins with a command: `$ COMMAND`")
    return found


def steps(text):
    """What a reader does, in order, and (line, reason) of what is left out."""
    found, left_out = [], []
    for block in markdown.blocks(text):
        language = block.info.split(" ")[0]
        comment = COMMENT.match(block.before)
        if block.before.startswith("<!--") and not comment:
            raise PageError(block.line - 2, f"this comment means nothing: {block.before}")
        if comment and comment["file"]:
            found.append(File(block.line, comment["file"], "\n".join(block.lines) + "\n"))
        elif comment and comment["reason"]:
            left_out.append((block.line, comment["reason"]))
        elif language == "console":
            found += commands_of(block, in_checkout=bool(comment))
        elif language in ("sh", "bash", "shell"):
            raise PageError(block.line, "a block with commands is a `console` block, or has the comment <!-- not run: REASON --> before it")
    return found, left_out


def matches(shown, printed):
    """Whether lines are what is shown, where `…` is any text within a line, and alone on a line any lines."""
    pattern = ""
    for line in shown:
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part) for part in line.rstrip().split("…")) + r"[ \t]*\n"
    return re.fullmatch(pattern, "".join(line.rstrip() + "\n" for line in printed)) is not None


def check(command, code, printed):
    """Raises what is wrong with the outcome of a command."""
    shown, expected = list(command.shown), 0
    end = re.fullmatch(r"\[exit code (\d+)\]", shown[-1]) if shown else None
    if end:
        shown, expected = shown[:-1], int(end[1])
    text = "".join(f"    {line}\n" for line in printed) or "    (nothing)\n"
    if code != expected:
        raise PageError(command.line, f"`{command.text}` ended with {code}, not {expected}; it printed:\n{text}")
    # A block that shows nothing promises nothing: what a program says on its way is not always worth a line.
    if shown and not matches(shown, printed):
        wanted = "".join(f"    {line}\n" for line in shown)
        raise PageError(command.line, f"`{command.text}` printed\n{text}  and the page shows\n{wanted}")


def run(found, shell):
    """Does all steps of a page; returns how many commands ran."""
    count = 0
    for step in found:
        if isinstance(step, File):
            target = Path(shell.run("pwd", SECONDS)[1][0]) / step.path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(step.text, encoding="utf-8")
            continue
        started = time.monotonic()
        text = f"pushd {shell.quote(str(ROOT))} >/dev/null\n{step.text}\nTUTORIAL_STATUS=$?; popd >/dev/null; (exit $TUTORIAL_STATUS)" if step.in_checkout else step.text
        try:
            code, printed = shell.run(text, SECONDS)
        except ShellEnded as error:
            raise PageError(step.line, f"`{step.text}` {error}") from error
        check(step, code, printed)
        count += 1
        print(f"{time.monotonic() - started:6.1f} s  {step.text.splitlines()[0]}", flush=True)
    return count


def surroundings(programs, work):
    """The environment of the shell: the programs in PATH, the plugin beside them, and no colours."""
    directory = work / "bin"
    directory.mkdir()
    for name in ("textnlp", "kubectl-textnlp"):
        program = programs / "textnlp"
        if not program.exists():
            sys.exit(f"error: {program} is not there: run `make build` first, or name the directory with --bin")
        (directory / name).symlink_to(program)
    return {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"
    parser.add_argument("--bin", type=Path, default=default, help="directory with the program textnlp (default: that of `make build`)")
    parser.add_argument("pages", nargs="+", type=Path, metavar="PAGE")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="textnlp-tutorial-") as name:
        work = Path(name)
        directory = work / "reader"
        directory.mkdir()
        with Shell(directory, surroundings(told.bin.resolve(), work)) as shell:
            for page in told.pages:
                try:
                    found, left_out = steps(page.read_text(encoding="utf-8"))
                    if not any(isinstance(step, Command) for step in found):
                        raise PageError(1, "the page has no command to run")
                    count = run(found, shell)
                except PageError as error:
                    sys.exit(f"error: {page}:{error.line}: {error}")
                for line, reason in left_out:
                    print(f"not run: {page}:{line}: {reason}")
                print(f"{page}: {count} commands did what the page says")


if __name__ == "__main__":
    main()
