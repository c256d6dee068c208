"""Writes images as OCI archives: one layer, the same bytes for the same files."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write(archive: Path, name: str, files: Mapping[str, Path], config: Mapping[str, object]) -> None:
    """Writes an image: `files` maps paths in it to files and directories here, `config` is OCI's (User, Entrypoint, ...)."""
    layer = _layer(files)
    blobs: dict[str, bytes] = {}

    def blob(media_type: str, content: bytes) -> dict:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(content)}

    description = {
        "architecture": _ARCHITECTURES[platform.machine()],
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob("config.v1+json", _json(description)),
        "layers": [blob("layer.v1.tar", layer)],
    }
    named = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = {"schemaVersion": 2, "manifests": [blob("manifest.v1+json", _json(manifest)) | {"annotations": named}]}
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        _add(tar, "index.json", _json(index))
        for digest, content in sorted(blobs.items()):
            _add(tar, f"blobs/sha256/{digest}", content)


def _layer(files: Mapping[str, Path]) -> bytes:
    """Packs files with their modes; who owns them here, and when they were written, is left out."""
    entries: dict[str, Path] = {}
    for target, source in files.items():
        if source.is_dir():
            for path in source.rglob("*"):
                entries["/".join([target.strip("/"), str(path.relative_to(source))]).strip("/")] = path
        else:
            entries[target.strip("/")] = source
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, path in sorted(entries.items()):
            entry = tar.gettarinfo(path, name)
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            if entry.isreg():
                with path.open("rb") as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()
