"""A shell that takes one command after the other, as a reader's does, and keeps its directory and variables in between."""

import os
import secrets
import selectors
import shlex
import signal
import subprocess
import time


class ShellEnded(Exception):
    """The shell is gone, or a command took too long."""


class Shell:
    """Bash, fed by a pipe. What commands print on stdout and stderr comes together, in the order in which it is printed."""

    def __init__(self, directory, environment):
        self.process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"], cwd=directory, env=environment, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )
        os.set_blocking(self.process.stdout.fileno(), False)

    @staticmethod
    def quote(text):
        return shlex.quote(text)

    def run(self, command, seconds):
        """Runs a command; returns its exit code and the lines that it printed."""
        mark = f"done-{secrets.token_hex(8)}"
        # As an argument of eval, so that a mistake in a command does not swallow what follows it. Commands read nothing from the pipe.
        text = f"eval {shlex.quote(command)} </dev/null\nprintf '%s %s\\n' $'\\n{mark}' $?\n"
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()
        printed = self._until(f"\n{mark} ".encode(), time.monotonic() + seconds)
        body, _, code = printed.decode(errors="replace").rpartition(f"\n{mark} ")
        return int(code), body.splitlines()

    def _until(self, mark, deadline):
        found = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not (mark in found and found.endswith(b"\n")):
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise ShellEnded(f"took too long; so far it printed:\n{found.decode(errors='replace')}")
                chunk = self.process.stdout.read()
                if chunk == b"":
                    raise ShellEnded(f"ended the shell; before that it printed:\n{found.decode(errors='replace')}")
                found += chunk or b""
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # With all that the commands have left behind in the background.
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
