#!/usr/bin/env python3
"""Checks SBOMs of our images: against CycloneDX's own schema, against Cargo.lock, and that each component says what a reader needs.

usage: check.py FIRST_DIRECTORY SECOND_DIRECTORY      the documents of two runs, which must be the same
"""

import json
import sys
import tomllib
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[2]
LOCKED = {(one["name"], one["version"]): one.get("checksum")
          for one in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
# What must be found in the image, and what must not: of tests, of builds, of other systems.
THERE = {
    "textnlp": {"textnlp", "textnlp-engine", "textnlp-inference-server", "tokio", "rustls", "aws-lc-sys", "zstd-sys", "tokenizers"},
    "textnlp-operator": {"textnlp-operator", "textnlp-crds", "kube-runtime", "tokio", "rustls", "aws-lc-sys"},
}
SYSTEM = {"rust-std", "libc6", "libgcc-s1", "ca-certificates"}
NOT_THERE = {"proptest", "cc", "rcgen", "windows-sys", "security-framework-sys", "serde_derive", "textnlp-tests"}


def problems(image: str, text: str):
    """Yields what is wrong with an image's document, in words."""
    if error := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        yield f"it breaks the schema: {error}"
    document = json.loads(text)
    about = document["metadata"]["component"]
    if (about["name"], about["type"]) != (image, "container") or not about["purl"].startswith(f"pkg:oci/{image}@sha256%3A"):
        yield f"it is about {about}"
    components = document["components"]
    names = {one["name"] for one in components}
    if missing := (THERE[image] | SYSTEM) - names:
        yield f"it lacks {missing}"
    if wrong := NOT_THERE & names:
        yield f"it has {wrong}, which no image has"
    for one in components:
        if not one.get("licenses") or not one.get("version") or not one.get("purl"):
            yield f"{one['name']}: a licence, a version or a purl is missing"
        if one["purl"].startswith("pkg:cargo/"):
            key = (one["name"], one["version"])
            if key not in LOCKED:
                yield f"{key} is not in Cargo.lock"
            elif LOCKED[key] != (one.get("hashes") or [{}])[0].get("content"):
                yield f"{key}: the digest is not Cargo.lock's"
        if one["purl"].startswith("pkg:deb/") and not one["components"]:
            yield f"{one['name']} has no file in the image"
    # Everything hangs together: whoever follows the edges from the image meets all of it.
    edges = {one["ref"]: one["dependsOn"] for one in document["dependencies"]}
    met, ahead = set(), [about["bom-ref"]]
    while ahead:
        here = ahead.pop()
        if here not in met:
            met.add(here)
            ahead += edges.get(here, [])
    if apart := {one["bom-ref"] for one in components} ^ (met - {about["bom-ref"]}):
        yield f"these hang on nothing, or are named and not listed: {sorted(apart)}"


def main() -> None:
    first, second = map(Path, sys.argv[1:3])
    failed = False
    for image in THERE:
        text = (first / f"{image}.cdx.json").read_text()
        found = list(problems(image, text))
        if text != (second / f"{image}.cdx.json").read_text():
            found.append("a second run gave another document")
        # The checks find what they are for: a licence that is gone, an edge to nothing, a field that the schema does not have.
        broken = json.loads(text)
        del broken["components"][0]["licenses"]
        broken["dependencies"][0]["dependsOn"].append("pkg:cargo/nothing@1")
        broken["invented"] = True
        if len(list(problems(image, json.dumps(broken)))) < 3:
            found.append("a document that is wrong in three ways passes")
        for problem in found:
            print(f"WRONG  {image}: {problem}")
        failed |= bool(found)
        print(f"{image}: {len(json.loads(text)['components'])} components")
    sys.exit(failed)


if __name__ == "__main__":
    main()
