#!/usr/bin/env python3
"""Our server beside llama-server on the same file: clients that stream chats, each with its next request as soon as the last one is
answered. Interleaved: both servers once a round at each point, each started for it and alone. Prints every round, then medians
and ratios; points where ours is worse are marked.

usage: serve.py TEXTNLP LOAD LLAMA MODEL AIRPORTS.yaml [ROUNDS [OUT.jsonl]]
  TEXTNLP, LOAD  our programs, release builds
  LLAMA          the directory of llama.cpp's programs
  MODEL          a GGUF file
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import job  # noqa: E402
import main  # noqa: E402
import rates  # noqa: E402

CLIENTS = (1, 8, 32)
MAX_TOKENS = 64
SHORT, LONG = "short prompts", "long prompts"
REQUESTS = {SHORT: (12, 32, 64), LONG: (6, 16, 48)}  # as many for each number of clients
CONTEXT = {SHORT: 512, LONG: 1024}  # tokens of each of llama-server's slots
SERVERS = ("textnlp", "llama-server")
# What is shown of a measurement, where it lies, and whether less is better.
FIGURES = (
    ("requests/s", ("requestsPerSecond",), False),
    ("tokens/s", ("outputTokensPerSecond",), False),
    *((f"first token {q}, ms", ("firstToken", q), True) for q in ("p50", "p95", "p99")),
    *((f"between tokens {q}, ms", ("betweenTokens", q), True) for q in ("p50", "p95", "p99")),
)


def prompts(airports: list[dict]) -> dict[str, list[str]]:
    """Enough prompts that no point asks twice for the same, of some 60 tokens and of some 350, with beginnings of their own."""
    def short(kind: str, airport: dict) -> str:
        return (f"{airport['name']} airport ({airport['iata']}) in {airport['city']}, {airport['state']}, {airport['country']}: "
                f"write a long and detailed {kind} of a traveller there.")

    def long(kind: str, first: int) -> str:
        stride = (first % 7 + 1) * (1 if kind == kinds[0] else -1)
        listed = [airports[(first + step * stride) % len(airports)] for step in range(1, 17)]
        table = "; ".join(f"{one['name']} ({one['iata']}) in {one['city']}, {one['state']}" for one in listed)
        return f"{table}. Write a long and detailed {kind} of a traveller who visits all of these airports."

    kinds = ("complaint", "praise")
    return {
        SHORT: [short(kind, airport) for kind in kinds for airport in airports],
        LONG: [long(kind, first) for kind in kinds for first in range(len(airports))],
    }


def measure(command: list[str], health: str, load: Path, clients: int, kind: str, file: Path) -> dict:
    """One measurement of a server that is started for it."""
    with job.server(command, health) as address:
        requests = REQUESTS[kind][CLIENTS.index(clients)]
        words = [load, "bench", "--url", address, "--model", "bench", "--clients", clients, "--requests", requests,
                 "--prompts", file, "--max-tokens", MAX_TOKENS]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise rates.Failure(f"{' '.join(command)}: load ended with {done.returncode}: {done.stderr}{done.stdout}")
    return json.loads(done.stdout)


def run() -> None:
    arguments = sys.argv[1:]
    if len(arguments) < 5:
        raise rates.Failure(__doc__ or "")
    textnlp, load, llama, model, table = map(Path, arguments[:5])
    rounds = int(arguments[5]) if len(arguments) > 5 else 3
    out = open(arguments[6], "w") if len(arguments) > 6 else None
    threads = len(os.sched_getaffinity(0))

    def command(server: str, clients: int, kind: str) -> tuple[list[str], str]:
        if server == "textnlp":
            return [str(textnlp), "serve", "--model", str(model), "--name", "bench", "--listen", "127.0.0.1:PORT",
                    "--threads", str(threads)], "/readyz"
        return [str(llama / "llama-server"), "-m", str(model), "-t", str(threads), "-tb", str(threads), "--parallel", str(clients),
                "--cont-batching", "-c", str(CONTEXT[kind] * clients), *os.environ.get("LLAMA_OPTIONS", "").split(),
                "--no-webui", "--port", "PORT"], "/health"

    measured: dict[tuple, list[dict]] = {}
    with tempfile.TemporaryDirectory() as work:
        files = {}
        for kind, texts in prompts(main.airports(table)).items():
            files[kind] = Path(work) / kind
            files[kind].write_text("\n".join(texts))
        for number in range(rounds):
            for kind in files:
                for clients in CLIENTS:
                    for server in SERVERS:
                        before = os.getloadavg()[0]
                        found = measure(*command(server, clients, kind), load, clients, kind, files[kind])
                        measured.setdefault((kind, clients, server), []).append(found)
                        line = json.dumps({"round": number, "server": server, "prompts": kind, "load": round(before, 2), **found})
                        for file in filter(None, (sys.stdout, out)):
                            print(line, file=file, flush=True)
    print("\nllama-server: " + " ".join(command("llama-server", 32, SHORT)[0][1:]))
    show(measured)


def show(measured: dict[tuple, list[dict]]) -> None:
    """Medians over the rounds, ours beside theirs; how many times better ours is."""
    def median(key: tuple, path: tuple[str, ...]) -> float:
        values = []
        for found in measured[key]:
            for name in path:
                found = found[name]
            values.append(found)
        return statistics.median(values)

    for kind in dict.fromkeys(kind for kind, _, _ in measured):
        tokens = {server: median((kind, 32, server), ("promptTokens",)) / REQUESTS[kind][-1] for server in SERVERS}
        print(f"\n{kind}: " + ", ".join(f"{count:.0f} tokens by {server}" for server, count in tokens.items())
              + f"; answers of at most {MAX_TOKENS}")
        print("| | " + " | ".join(f"{clients} client{'s' * (clients > 1)}: textnlp | llama-server | better" for clients in CLIENTS) + " |")
        print("|---|" + "---:|" * 3 * len(CLIENTS))
        for name, path, less in FIGURES:
            cells = []
            for clients in CLIENTS:
                ours, theirs = (median((kind, clients, server), path) for server in SERVERS)
                times = (theirs / max(ours, 1e-9)) if less else ours / theirs
                cells += [f"{ours:.3g}", f"{theirs:.3g}", f"{times:.2f}×" + (" WORSE" if times < 1 else "")]
            print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    try:
        run()
    except rates.Failure as failure:
        sys.exit(f"error: {failure}")
