#!/usr/bin/env python3
"""Our engine beside llama.cpp, interleaved: every engine once a round, on the example's model as it is and in the format that
llama.cpp is fastest with. Prints every round, then medians and ratios: those are what may be quoted, rows of one run.

usage: main.py TEXTNLP LLAMA MODEL AIRPORTS.yaml CACHE [ROUNDS [OUT.jsonl]]
  TEXTNLP  our program, a release build
  LLAMA    the directory of llama.cpp's programs
  MODEL    a GGUF file
  CACHE    a directory for the model in the other format
"""

import csv
import json
import os
import statistics
import sys
import tempfile
import textwrap
from pathlib import Path

sys.dont_write_bytecode = True
import job  # noqa: E402
import rates  # noqa: E402

CLIENTS = 32


def pure_q4_0(llama: Path, model: Path, cache: Path) -> Path:
    """The model with all weights as Q4_0: the format that llama.cpp has repacked kernels for."""
    pure = cache / f"{model.stem}.pure-Q4_0.gguf"
    if not pure.exists():
        with tempfile.TemporaryDirectory(dir=cache) as work:
            unfinished = Path(work) / pure.name
            rates.output([str(llama / "llama-quantize"), "--allow-requantize", "--pure", str(model), str(unfinished), "Q4_0"])
            unfinished.rename(pure)
    return pure


def airports(path: Path) -> list[dict]:
    """The records of the example's ConfigMap: CSV in a YAML block."""
    _, _, block = path.read_text().partition("airports.csv: |\n")
    return list(csv.DictReader(textwrap.dedent(block).splitlines()))


def whole_job(command: list[str], health: str, model: str, records: list[dict]) -> dict[str, float]:
    """The job through a server that is started for it."""
    with job.server(command, health) as address:
        return job.run(address, model, records, CLIENTS)


def main() -> None:
    arguments = sys.argv[1:]
    if len(arguments) < 5:
        raise rates.Failure(__doc__ or "")
    textnlp, llama, model, table, cache = map(Path, arguments[:5])
    rounds = int(arguments[5]) if len(arguments) > 5 else 3
    out = open(arguments[6], "w") if len(arguments) > 6 else None
    threads = len(os.sched_getaffinity(0))
    pure = pure_q4_0(llama, model, cache)
    records = airports(table)

    def served(file: Path) -> dict[str, float]:
        command = [str(textnlp), "serve", "--model", str(file), "--name", "bench", "--listen", "127.0.0.1:PORT", "--threads", str(threads)]
        return whole_job(command, "/readyz", "bench", records)

    def llama_served(file: Path) -> dict[str, float]:
        command = [str(llama / "llama-server"), "-m", str(file), "-t", str(threads), "-tb", str(threads), "-np", str(CLIENTS),
                   "-c", "16384", "--port", "PORT"]
        return whole_job(command, "/health", "bench", records)

    engines = {}
    for file, kind in ((model, "same file"), (pure, "Q4_0 pure")):
        engines["textnlp", kind] = lambda file=file: rates.ours(textnlp, file, threads)
        engines["llama.cpp", kind] = lambda file=file: rates.llama(llama, file, threads)
    engines["textnlp", "job over HTTP"] = lambda: served(model)
    engines["llama.cpp", "job over HTTP"] = lambda: llama_served(model)

    measured: dict[tuple[str, str], list[dict[str, float]]] = {}
    for number in range(rounds):
        for (engine, kind), measure in engines.items():
            before = os.getloadavg()[0]
            found = measure()
            measured.setdefault((engine, kind), []).append(found)
            line = {"round": number, "engine": engine, "what": kind, "load": round(before, 2), **{k: round(v, 2) for k, v in found.items()}}
            print(json.dumps(line), flush=True)
            if out:
                print(json.dumps(line), file=out, flush=True)
    show(measured)


def show(measured: dict[tuple[str, str], list[dict[str, float]]]) -> None:
    """Medians over the rounds, and ours over theirs."""
    median = {key: {test: statistics.median(one[test] for one in found) for test in found[0]} for key, found in measured.items()}
    for kind in dict.fromkeys(kind for _, kind in median):
        ours, theirs = median["textnlp", kind], median["llama.cpp", kind]
        print(f"\n{kind:14}" + "".join(f"{test:>10}" for test in ours))
        for name, row in (("textnlp", ours), ("llama.cpp", theirs)):
            print(f"  {name:12}" + "".join(f"{row[test]:10.1f}" for test in ours))
        print(f"  {'ratio':12}" + "".join(f"{ours[test] / theirs[test]:9.2f}×" for test in ours))
    same, pure = median["textnlp", "same file"], median["llama.cpp", "Q4_0 pure"]
    print("\nours on the file as it is, over theirs in their best format: "
          + ", ".join(f"{test} {same[test] / pure[test]:.2f}×" for test in same))


if __name__ == "__main__":
    try:
        main()
    except rates.Failure as failure:
        sys.exit(f"error: {failure}")
