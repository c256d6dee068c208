#!/usr/bin/env python3
"""How the engine's speed grows with the sequences of a step, and what a long context costs, beside llama.cpp on the same file.

Measures both, interleaved, prints a table, and draws it: two panels, tokens/s against sequences and against context.

usage: growth.py TEXTNLP LLAMA MODEL PICTURE.svg [ROUNDS]   (needs matplotlib)
"""

import os
import statistics
import sys
from pathlib import Path

sys.dont_write_bytecode = True
import rates  # noqa: E402

SEQUENCES = (1, 2, 4, 8, 16, 32, 64, 128)
CONTEXTS = (128, 256, 512, 1024, 2048, 4096, 8000)
ENGINES = ("textnlp", "llama.cpp")
MOST_OF_LLAMA = 64  # sequences that llama.cpp takes


def measure(textnlp: Path, llama: Path, model: Path, threads: int) -> dict[str, dict[str, float]]:
    """Tokens/s of each engine and test: `bN` decodes N sequences, `b1@C` one after C tokens."""
    tests = [f"b{n}" for n in SEQUENCES] + [f"b1@{c}" for c in CONTEXTS]
    fewer = tuple(n for n in SEQUENCES if n <= MOST_OF_LLAMA)
    theirs = rates.batched(llama, model, threads, fewer, prompt=32, steps=128)
    theirs = {f"b{n}": rate for n, rate in theirs.items()}
    for context in CONTEXTS:
        theirs[f"b1@{context}"] = rates.batched(llama, model, threads, (1,), prompt=context, steps=16)[1]
    return {"textnlp": rates.ours(textnlp, model, threads, tests), "llama.cpp": theirs}


def draw(median: dict[str, dict[str, float]], title: str, picture: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "textnlp"  # the same figures give the same file
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    sweeps = (("sequences decoded at once", SEQUENCES, "b{}"), ("tokens of context, one sequence", CONTEXTS, "b1@{}"))
    for panel, (label, values, name) in zip(panels, sweeps):
        for engine, marker in zip(ENGINES, "os"):
            known = [value for value in values if name.format(value) in median[engine]]
            panel.plot(known, [median[engine][name.format(value)] for value in known], marker=marker, label=engine)
        panel.set(xscale="log", xlabel=label, ylabel="tokens/s", ylim=(0, None))
        panel.set_xticks(values, [f"{value:,}" for value in values])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.legend()
    figure.suptitle(title)
    figure.savefig(picture, metadata={"Date": None})


def main() -> None:
    arguments = sys.argv[1:]
    if len(arguments) < 4:
        raise rates.Failure(__doc__ or "")
    textnlp, llama, model, picture = map(Path, arguments[:4])
    rounds = int(arguments[4]) if len(arguments) > 4 else 3
    threads = len(os.sched_getaffinity(0))
    found = [measure(textnlp, llama, model, threads) for _ in range(rounds)]
    median = {engine: {test: statistics.median(one[engine][test] for one in found) for test in found[0][engine]} for engine in ENGINES}
    print(f"| {'test':8} | {'textnlp':>9} | {'llama.cpp':>9} | {'ratio':>6} |\n|---|---:|---:|---:|")
    for test, ours in median["textnlp"].items():
        theirs = median["llama.cpp"].get(test)
        compared = f"{theirs:9.0f} | {ours / theirs:5.1f}×" if theirs else f"{'':9} | {'':6}"
        print(f"| {test:8} | {ours:9.0f} | {compared} |")
    draw(median, f"{model.stem}, {threads} threads: decoding", picture)


if __name__ == "__main__":
    try:
        main()
    except rates.Failure as failure:
        sys.exit(f"error: {failure}")
