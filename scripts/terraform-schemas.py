#!/usr/bin/env python3
"""Writes tests/terraform/schemas/*.json: what the Terraform providers let one write, of the resource types that terraform/ uses.

No provider is downloaded: the npm packages of CDK for Terraform are classes that were generated from each provider's schema, and hold
the name, type, nesting and optionality of every argument. What they do not hold (which optional arguments are computed too, limits of the
number of blocks beyond one) is left open: the schemas are never stricter than the providers.

usage: terraform-schemas.py [--keep DIRECTORY]      packages are kept there, and taken from there the next time (110 MB)
"""

import argparse
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "tests/terraform/schemas"
PACKAGES = {
    "aws": "@cdktf/provider-aws@21.22.1",
    "google": "@cdktf/provider-google@16.12.1",
    "azurerm": "@cdktf/provider-azurerm@14.23.1",
    "helm": "@cdktf/provider-helm@12.1.2",
    "kubernetes": "@cdktf/provider-kubernetes@12.1.1",
}
# Where arguments that hold objects are attributes (`set = [{…}]`): providers of the plugin framework without blocks.
WITHOUT_BLOCKS = {"helm"}
SIMPLE = {"string": "string", "boolean": "bool", "number": "number", "any": "dynamic"}
GETTERS = {"String": "string", "Boolean": "bool", "Number": "number", "List": ["list", "string"], "NumberList": ["list", "number"],
           "StringMap": ["map", "string"], "BooleanMap": ["map", "bool"], "NumberMap": ["map", "number"], "AnyMap": ["map", "dynamic"]}

ENTRY = re.compile(r"^ {8,12}(\w+): \{\s+value: (.*?),\n\s+isBlock: (true|false),\s+type: \"(\w+)\",\s+storageClassType: \"(\w+)\"", re.M | re.S)
COMPUTED = re.compile(r"// (\w+) - computed: true, optional: false, required: false\s+"
                      r"(?:get \w+\(\) \{\s+return (?:cdktf\.Fn\.tolist\()?this\.get(\w+)Attribute\(|this\._\w+ = new ([\w.]+)\(this, \"\w+\"(?:, (true|false))?)")


def camel(name):
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


class Package:
    """The sources of one type: what it lets one write, and what it answers."""

    def __init__(self, directory, nested_attributes):
        sources = sorted(directory.glob("index.js")) + sorted(directory.glob("index-structs/*.js"))
        self.code = "\n".join(path.read_text() for path in sources)
        self.types = "\n".join(path.with_name(path.name[:-3] + ".d.ts").read_text() for path in sources)
        self.nested_attributes = nested_attributes

    def found(self, pattern, text):
        match = re.search(pattern, text, re.M | re.S)
        return match.group(1) if match else ""

    def required(self, interface):
        body = self.found(rf"^export interface {interface} (?:extends [\w.]+ )?\{{(.*?)^\}}", self.types)
        return set(re.findall(r"^    readonly (\w+):", body, re.M))

    def body(self, name):
        return self.found(rf"^class {name} extends [\w.]+ \{{(.*?)^\}}", self.code)

    def computed(self, body):
        attributes = {}
        for name, getter, constructor, is_set in COMPUTED.findall(body):
            if getter:
                kind = GETTERS[getter]
            elif constructor.startswith("cdktf."):
                kind = ["map", {"StringMap": "string", "BooleanMap": "bool", "NumberMap": "number"}.get(constructor[6:], "dynamic")]
            elif constructor.endswith("List"):
                inner = self.computed(self.body(constructor[:-4] + "OutputReference"))
                kind = ["set" if is_set == "true" else "list", ["object", {key: value["type"] for key, value in inner.items()}]]
            elif constructor.endswith("OutputReference"):
                inner = self.computed(self.body(constructor))
                kind = ["object", {key: value["type"] for key, value in inner.items()}]
            else:
                kind = "dynamic"
            attributes[name] = {"type": kind, "computed": True}
        return attributes

    def block(self, entries, interface, computed):
        required = self.required(interface)
        attributes, blocks = dict(computed), {}
        for name, value, is_block, kind, storage in entries:
            must = camel(name) in required or f"{camel(name)}Attribute" in required
            flags = {"required": True} if must else {"optional": True, "computed": True}
            if is_block == "false":
                attributes[name] = {"type": self.type_of(kind, storage), **flags}
                continue
            function = re.search(r"(\w+)ToHclTerraform", value).group(1)
            inner_name = function[:1].upper() + function[1:]
            inner = self.nested(function, inner_name)
            if kind == "struct" and name != "timeouts" or self.nested_attributes:
                mode = {"struct": "single"}.get(kind, kind)
                attributes[name] = {"nested_type": {"attributes": inner["attributes"], "nesting_mode": mode}, **flags}
                if inner.get("block_types"):
                    raise SystemExit(f"error: {interface}.{name}: blocks in an attribute")
                continue
            blocks[name] = {"nesting_mode": "single" if kind == "struct" else kind, "block": inner}
            if must and kind != "struct":
                blocks[name]["min_items"] = 1
            if kind != "struct" and "MapperHcl" not in value:
                blocks[name]["max_items"] = 1
        return {"attributes": attributes, **({"block_types": blocks} if blocks else {})}

    def type_of(self, kind, storage):
        if kind == "simple":
            return SIMPLE[storage]
        element = SIMPLE[re.match(r"(string|boolean|number|any)", storage).group(1)]
        depth = len(re.findall(r"List|Map", storage))
        if depth > 1:
            element = ["map" if storage.endswith("Map") or "MapList" in storage else "list", element]
        return [kind, element]

    def nested(self, function, name):
        text = self.found(rf"^function {function}ToHclTerraform\(struct\) \{{(.*?)^\}}", self.code)
        if not text:
            raise SystemExit(f"error: no function {function}ToHclTerraform")
        return self.block(ENTRY.findall("\n    " + text.replace("\n    ", "\n        ")), name, self.computed(self.body(f"{name}OutputReference")))

    def whole(self, base):
        name = self.found(rf"^class (\w+) extends cdktf\.{base} ", self.code)
        body = self.body(name)
        text = self.found(r"synthesizeHclAttributes\(\) \{(.*?)\n    \}", body)
        entries = [entry for entry in ENTRY.findall(text.replace("\n    ", "\n    ")) if entry[0] != "alias"]
        return self.block(entries, f"{name}Config", self.computed(body))


def used_types():
    """(provider, is a data source, type) of everything in terraform/."""
    found = set()
    for path in (ROOT / "terraform").rglob("*.tf"):
        for kind, name in re.findall(r'^(resource|data) "(\w+)"', path.read_text(), re.M):
            found.add((name.split("_")[0], kind == "data", name))
    return found


def unpacked(provider, keep):
    directory = keep / provider
    if not directory.exists():
        done = subprocess.run(["npm", "pack", "--silent", PACKAGES[provider]], cwd=keep, check=True, capture_output=True, text=True)
        with tarfile.open(keep / done.stdout.split()[-1]) as archive:
            members = [member for member in archive if member.name.endswith((".js", ".d.ts"))]
            archive.extractall(directory, members, filter="data")
    return directory / "package/lib" if (directory / "package").exists() else directory / "lib"


def schemas_of(provider, types, library):
    provider_file = Package(library / "provider", provider in WITHOUT_BLOCKS)
    version = provider_file.found(r"providerVersion: '([\d.]+)'", provider_file.code)
    if not version:
        raise SystemExit(f"error: {PACKAGES[provider]} does not say of which version it is")
    schema = {"package": PACKAGES[provider], "version": version, "provider": {"block": provider_file.whole("TerraformProvider")}}
    for kind, is_data in (("resource_schemas", False), ("data_source_schemas", True)):
        schema[kind] = {}
        for name in sorted(name for data, name in types if data == is_data):
            directory = library / (("data-" + name if is_data else name.split("_", 1)[1]).replace("_", "-"))
            if is_data and not directory.exists():
                directory = library / ("data-" + name).replace("_", "-")
            if not directory.exists():
                raise SystemExit(f"error: {PACKAGES[provider]} has no {'data source' if is_data else 'resource'} {name}")
            package = Package(directory, provider in WITHOUT_BLOCKS)
            schema[kind][name] = {"block": package.whole("TerraformDataSource" if is_data else "TerraformResource")}
    return schema


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        keep = arguments.keep or Path(temporary)
        keep.mkdir(parents=True, exist_ok=True)
        used = used_types()
        if unknown := {provider for provider, _, _ in used} - PACKAGES.keys():
            raise SystemExit(f"error: no package is known for the providers {sorted(unknown)}; add them to PACKAGES")
        SCHEMAS.mkdir(parents=True, exist_ok=True)
        for provider in PACKAGES:
            schema = schemas_of(provider, {(data, name) for prov, data, name in used if prov == provider}, unpacked(provider, keep))
            text = json.dumps(schema, indent=1, sort_keys=True)
            # One line for each argument: short, and a change shows in a diff.
            text = re.sub(r"\{\s*((?:\"[\w]+\": (?:true|\"\w+\"|\[[^\[\]{}]*\]|\d+),?\s*)+)\}", lambda m: "{" + " ".join(m.group(1).split()) + "}", text)
            (SCHEMAS / f"{provider}.json").write_text(text + "\n")
            print(f"{provider} {schema['version']}: {len(schema['resource_schemas'])} resources, {len(schema['data_source_schemas'])} data sources",
                  file=sys.stderr)


if __name__ == "__main__":
    main()
