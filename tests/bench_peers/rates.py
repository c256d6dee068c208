"""Decode and prefill rates of one engine on one model file: tokens/s of the tests b1, b8, b32 and pp512."""

import json
import subprocess
from pathlib import Path

DECODE = (1, 8, 32)
PROMPT = 512
TESTS = [f"b{n}" for n in DECODE] + [f"pp{PROMPT}"]


class Failure(Exception):
    """What is told to the user instead of a trace."""


def output(command: list[str]) -> str:
    """What a command prints; its errors are shown if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def ours(textnlp: Path, model: Path, threads: int, tests: list[str] = TESTS, options: list[str] | None = None) -> dict[str, float]:
    """`textnlp bench`."""
    command = [str(textnlp), "bench", "--model", str(model), "--tests", ",".join(tests), "--threads", str(threads), "--jsonl"]
    lines = [json.loads(line) for line in output(command + (options or [])).splitlines() if line.startswith("{")]
    return {line["test"]: line["median"] for line in lines}


def batched(programs: Path, model: Path, threads: int, sequences: tuple[int, ...], prompt: int, steps: int) -> dict[int, float]:
    """llama.cpp's decode rates of so many sequences at once, each after a prompt."""
    context = max(sequences) * (prompt + steps)
    command = [str(programs / "llama-batched-bench"), "-m", str(model), "-c", str(context), "-b", "2048", "-ub", "512",
               "-npp", str(prompt), "-ntg", str(steps), "-npl", ",".join(map(str, sequences)), "-t", str(threads), "-tb", str(threads)]
    rates = {}
    for line in output(command).splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 9 and cells[1].isdigit():
            rates[int(cells[3])] = float(cells[8])
    return rates


def llama(programs: Path, model: Path, threads: int) -> dict[str, float]:
    """llama.cpp's own benchmarks, with the same prompts' lengths and numbers of steps."""
    rates = {f"b{n}": rate for n, rate in batched(programs, model, threads, DECODE, prompt=32, steps=128).items()}
    prefill = [str(programs / "llama-bench"), "-m", str(model), "-t", str(threads), "-p", str(PROMPT), "-n", "0", "-r", "3", "-o", "json"]
    rates[f"pp{PROMPT}"] = json.loads(output(prefill))[0]["avg_ts"]
    return rates
