#!/usr/bin/env python3
"""Writes the licences of all that a bundle carries: of the crates in the images' programs, of the distribution's files beside them, and of the
modules in Go's programs. Their texts lie in the packages themselves; a text that many packages share is written once.

usage: licenses.py DIRECTORY SBOM_DIRECTORY GO_PROGRAM...
"""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

_NAMES = re.compile(r"^(licen[cs]e|copying|copyright|notice|unlicense)([-_.].*)?$", re.IGNORECASE)
_NO_TEXTS = {".rs", ".go", ".py", ".toml", ".json", ".yaml", ".yml", ".html"}


def run(*command: object) -> str:
    return subprocess.run([str(word) for word in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def crates(sboms: list[Path]) -> dict[str, Path]:
    """Directories of the crates that any of the SBOMs names."""
    linked = {(one["name"], one["version"]) for sbom in sboms for one in json.loads(sbom.read_text())["components"]}
    metadata = json.loads(run(os.environ.get("CARGO", "cargo"), "metadata", "--locked", "--format-version", "1",
                              "--filter-platform", f"{platform.machine()}-unknown-linux-gnu"))
    return {f"{one['name']} {one['version']} ({one['license'] or 'no SPDX name'})": Path(one["manifest_path"]).parent
            for one in metadata["packages"] if (one["name"], one["version"]) in linked and one["source"]}


def system(sboms: list[Path]) -> dict[str, Path]:
    """Where the distribution keeps the licences of its packages that any of the SBOMs names."""
    return {f"{one['name']} {one['version']}": Path("/usr/share/doc") / one["name"]
            for sbom in sboms for one in json.loads(sbom.read_text())["components"] if one["purl"].startswith("pkg:deb/")}


def modules(programs: list[Path]) -> dict[str, Path]:
    """Directories of the Go modules that are linked into any of the programs."""
    found = set()
    for program in programs:
        for line in run("go", "version", "-m", program).splitlines():
            match line.split("\t"):
                case ["", "mod" | "dep", name, version, *_] if version not in ("", "(devel)"):
                    found.add(f"{name}@{version}")
    # Each has its checksum in the program; go compares what it downloads with the checksum database.
    told = run("go", "mod", "download", "-json", *sorted(found))
    decoder, directories, rest = json.JSONDecoder(), {}, told.lstrip()
    while rest:
        one, end = decoder.raw_decode(rest)
        directories[f"{one['Path']} {one['Version']}"] = Path(one["Dir"])
        rest = rest[end:].lstrip()
    # The language's own library is in all of them.
    directories[run("go", "version").split()[2]] = Path(run("go", "env", "GOROOT").strip())
    return directories


def write(packages: dict[str, Path], target: Path) -> int:
    """Writes one file: the packages by the text of their licence. Returns how many have none."""
    by_text: dict[str, list[str]] = {}
    without = []
    for name, directory in sorted(packages.items()):
        texts = [path for path in sorted(directory.iterdir()) if path.is_file() and _NAMES.match(path.name) and path.suffix not in _NO_TEXTS]
        for path in texts:
            text = path.read_text(errors="replace").strip()
            by_text.setdefault(text, []).append(f"{name}: {path.name}")
        if not texts:
            without.append(name)
    parts = ["\n".join(names) + "\n\n" + text for text, names in sorted(by_text.items(), key=lambda one: one[1])]
    if without:
        parts.append("Without a text of their own in the package; the name of the licence stands for it:\n" + "\n".join(without))
    target.write_text(("\n\n" + "=" * 80 + "\n\n").join(parts) + "\n")
    return len(without)


def main() -> None:
    directory, sboms = Path(sys.argv[1]), sorted(Path(sys.argv[2]).glob("*.cdx.json"))
    directory.mkdir(parents=True, exist_ok=True)
    found = {"crates": crates(sboms), "system": system(sboms), "go-modules": modules([Path(one) for one in sys.argv[3:]])}
    for name, packages in found.items():
        without = write(packages, directory / f"{name}.txt")
        print(f"{name}: {len(packages)} packages, {without} of them without a text", file=sys.stderr)


if __name__ == "__main__":
    main()
