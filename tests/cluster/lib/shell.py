"""Runs commands, and waits for what they bring about."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence


class Failure(Exception):
    """What the user is told, without a traceback."""


def run(*command: object, stdin: str | None = None) -> str:
    """Runs a command to its end and returns what it printed; a failure shows what it said."""
    words = [str(word) for word in command]
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"`{' '.join(words)}` failed ({done.returncode}): {(done.stderr or done.stdout).strip()}")
    return done.stdout


def succeeds(*command: object) -> bool:
    words = [str(word) for word in command]
    return subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def wait(what: str, condition: Callable[[], bool], seconds: float = 60, logs: Sequence[object] = ()) -> None:
    """Asks until the condition holds; gives up with the end of the logs that should explain it."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {seconds:.0f} s{tails(logs)}")
        time.sleep(0.1)


def tails(logs: Sequence[object]) -> str:
    """The end of each log, to be appended to a message."""
    return "".join(f"\n--- {log}\n{_tail(log)}" for log in logs)


def _tail(log: object, lines: int = 15) -> str:
    try:
        with open(str(log), errors="replace") as text:
            return "".join(text.readlines()[-lines:])
    except OSError as error:
        return f"({error.strerror})\n"
