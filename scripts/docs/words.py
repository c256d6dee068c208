"""One spelling for each word, British where there are two: what the pages' prose must not say, and what it says instead. No I/O."""

import re

import markdown

INSTEAD = {
    "data set": "dataset", "filesystem": "file system", "whitespace": "white space",
    "behavior": "behaviour", "colors?": "colour", "center": "centre", "catalog": "catalogue", "honored": "honoured", "neighbors?": "neighbour",
    "licenses": "licences", "quantized": "quantised", "canceled": "cancelled", "analyze": "analyse", "optimize": "optimise", "organization": "organisation",
    "artifacts?": "file, or artefact", "gpus": "GPUs", "github": "GitHub", "kubernetes": "Kubernetes", "openai": "OpenAI", "json": "JSON", "yaml": "YAML",
}
# Names are written as their owners write them: only these words have to have the capitals of the right-hand side.
NAMES = {"gpus", "github", "kubernetes", "openai", "json", "yaml"}


def problems(text):
    """(line, what) of each word that has another spelling here. Code, addresses and targets of links are left alone."""
    for number, line in markdown.prose(text):
        line = re.sub(r"\]\([^)]*\)|https?://\S+|<[^>]*>|\S*[/_@]\S*|\S+\.\w+\b", " ", line)
        for wrong, right in INSTEAD.items():
            flags = 0 if wrong in NAMES else re.IGNORECASE
            found = re.search(rf"(?<![\w-]){wrong}(?![\w-])", line, flags)
            if found:
                yield number, f"{found[0]!r} is written {right}"
