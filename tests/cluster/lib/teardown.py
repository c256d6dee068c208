"""Ends a cluster, whole or half started, from what the kernel knows of it: nothing here trusts the state directory."""

import contextlib
import os
import shutil
import signal
from pathlib import Path

from . import network
from .layout import Layout
from .node import CGROUPS, HOST_DIRECTORIES
from .shell import run, wait


def down(layout: Layout) -> None:
    """Ends every process, then removes namespaces, cgroups and files. Mounts end with the namespaces of the processes."""
    wait("the end of the cluster's processes", lambda: not _kill(layout), 30)
    for namespace in _namespaces(layout):
        network.remove(namespace)
    wait("the end of the cluster's cgroups", lambda: not _remove_cgroups(layout), 30)
    _restore_settings(layout)
    if layout.state.exists():
        shutil.rmtree(layout.state)
    _unmount_names()
    for directory in [] if _others_run(layout) else HOST_DIRECTORIES:
        _remove_if_empty(Path(directory))


def traces(layout: Layout) -> list[str]:
    """What is left of the cluster on this machine, in words."""
    found = [f"process {pid}" for pid in _processes(layout)]
    found += [f"network namespace {one}" for one in _namespaces(layout)]
    found += [f"cgroup {one}" for one in _cgroups(layout)]
    found += [f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()
              if str(layout.state) in line]
    return found + ([str(layout.state)] if layout.state.exists() else [])


def save_settings(layout: Layout) -> None:
    """Notes the kernel settings that a kubelet changes for the whole machine, unless another cluster's has done it."""
    for name in [] if _others_run(layout) else _SETTINGS:
        _saved(layout, name).write_text(Path("/proc/sys", name).read_text())


_SETTINGS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")


def _saved(layout: Layout, name: str) -> Path:
    return layout.state / f"sysctl-{name.replace('/', '.')}"


def _restore_settings(layout: Layout) -> None:
    for name in _SETTINGS:
        try:
            Path("/proc/sys", name).write_text(_saved(layout, name).read_text())
        except OSError:
            continue  # never saved, or not ours to write


def _kill(layout: Layout) -> list[int]:
    pids = _processes(layout)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


def _processes(layout: Layout) -> list[int]:
    """All in the nodes' network namespaces (containerd's shims too), and all in the nodes' cgroups (the containers)."""
    pids: set[int] = set()
    for namespace in _namespaces(layout):
        pids.update(int(pid) for pid in run("ip", "netns", "pids", namespace).split())
    for directory in _cgroups(layout):
        for path, _, _ in os.walk(directory):
            pids.update(int(pid) for pid in Path(path, "cgroup.procs").read_text().split())
    return sorted(pids)


def _namespaces(layout: Layout) -> list[str]:
    return sorted(path.name for path in Path("/run/netns").glob(f"{layout.name}-*"))


def _cgroups(layout: Layout) -> list[Path]:
    pattern = f"{layout.name}-*"
    return sorted([*CGROUPS.glob(pattern), *CGROUPS.glob(f"*/{pattern}")])


def _remove_cgroups(layout: Layout) -> list[Path]:
    """Removes what can be removed; a cgroup stays busy for a moment after its last process. Returns what is left."""
    for directory in _cgroups(layout):
        for path, _, _ in os.walk(directory, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(path)
    return _cgroups(layout)


def _others_run(layout: Layout) -> bool:
    return any(not path.name.startswith(layout.name) for path in Path("/run/netns").glob("textnlp-*"))


def _unmount_names() -> None:
    """`ip netns add` mounts the directory of names over itself, and leaves it so when the last name goes."""
    names = Path("/run/netns")
    if f" {names} " in Path("/proc/self/mountinfo").read_text() and not any(names.iterdir()):
        run("umount", names)
        _remove_if_empty(names)


def _remove_if_empty(directory: Path) -> None:
    with contextlib.suppress(OSError):  # A real kubelet's, or gone.
        directory.rmdir()
