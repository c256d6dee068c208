"""Images of the cluster: made of one static program, and loaded on every node."""

import shutil
import sys
from pathlib import Path

from . import node
from .layout import Layout
from .shell import Failure

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent.parent.parent / "images"))
import oci  # noqa: E402

PAUSE = "textnlp.dev/pause:test"


def program(name: str, file: Path, archive: Path) -> None:
    """Writes an image that holds one statically linked program, run without arguments."""
    if not file.is_file():
        raise Failure(f"{file} is no program")
    oci.write(archive, name, {f"/{file.name}": file}, {"Entrypoint": [f"/{file.name}"], "User": "65532:65532"})


def make_pause(layout: Layout, binary: Path) -> None:
    """Makes the image of the pods' first process, to be loaded on each node."""
    layout.images.mkdir()
    program(PAUSE, binary, layout.images / "pause.tar")


def load(layout: Layout, archive: Path) -> None:
    """Imports an archive on every node, and keeps it for the nodes that come later."""
    kept = layout.images / archive.name
    if not (kept.exists() and kept.samefile(archive)):
        shutil.copyfile(archive, kept)
    for number in layout.nodes():
        node.load(layout, number, kept)


def load_all(layout: Layout, number: int) -> None:
    """Imports what was loaded so far on a new node."""
    for archive in sorted(layout.images.glob("*.tar")):
        node.load(layout, number, archive)
