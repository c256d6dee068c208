"""Starts and stops the cluster's processes. A process is known by its PID and its start time: a reused PID is not it."""

import json
import os
import signal
import subprocess
from pathlib import Path

from .layout import Layout
from .shell import Failure, tails, wait


class Component:
    """One process of a node. Its PID and command line are kept in the node's directory, so that it can start again."""

    def __init__(self, layout: Layout, node: int, name: str) -> None:
        self.layout, self.node, self.name = layout, node, name
        self.log = layout.node(node) / "log" / f"{name}.log"
        self._record = layout.node(node) / "run" / f"{name}.json"

    def start(self, *command: object, mounts_of: "Component | None" = None) -> None:
        """Starts a command in the node's network namespace, and in another component's mount namespace if told to."""
        self._launch([str(word) for word in command], mounts_of.pid() if mounts_of else None)

    def restart(self, *more: str, mounts_of: "Component | None" = None) -> None:
        """Starts the same command again, unless it runs; `more` arguments are for this time alone."""
        if not self.running():
            self._launch(self._read()["command"], mounts_of.pid() if mounts_of else None, more)

    def stop(self, sign: signal.Signals = signal.SIGKILL) -> None:
        """Ends the process and waits until it is gone."""
        if self.signal(sign):
            wait(f"the end of {self.name}", lambda: not self.running(), 15)

    def signal(self, sign: signal.Signals) -> bool:
        if not self.running():
            return False
        os.kill(self.pid(), sign)
        return True

    def pid(self) -> int:
        return self._read()["pid"]

    def running(self) -> bool:
        try:
            record = self._read()
        except Failure:
            return False
        return _started(record["pid"]) == record["started"]

    def require(self) -> None:
        """Fails, with the end of its log, if the component does not run."""
        if not self.running():
            raise Failure(f"{self.name} of node {self.node} ended{tails([self.log])}")

    def _launch(self, command: list[str], mounts: int | None, more: tuple[str, ...] = ()) -> None:
        enter = ["nsenter", f"--net=/run/netns/{self.layout.namespace(self.node)}"]
        if mounts is not None:
            enter.append(f"--mount=/proc/{mounts}/ns/mnt")
        for directory in (self.log.parent, self._record.parent):
            directory.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            # nsenter becomes the command, so the PID is the component's own.
            process = subprocess.Popen(
                [*enter, *command, *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
            )
        record = {"pid": process.pid, "started": _started(process.pid), "command": command}
        self._record.write_text(json.dumps(record))

    def _read(self) -> dict:
        try:
            return json.loads(self._record.read_text())
        except (OSError, ValueError):
            raise Failure(f"{self.name} of node {self.node} was never started") from None


def components(layout: Layout, node: int) -> list[Component]:
    """All that were started on a node."""
    return [Component(layout, node, path.stem) for path in sorted((layout.node(node) / "run").glob("*.json"))]


def _started(pid: int) -> str | None:
    """When a process began, in ticks since boot; nothing for a process that is gone or waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
