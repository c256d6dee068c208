"""A whole job from outside: the example's airports against an OpenAI-compatible server, which is started for it."""

import contextlib
import json
import queue
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

from rates import Failure

AIRPORTS = 64
SAMPLES = 2
MAX_TOKENS = 64
START_SECONDS = 120


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def server(command: list[str], health: str) -> Iterator[str]:
    """Runs a server, with PORT in its command replaced, until the block ends. Gives its address once it answers."""
    port = free_port()
    command = [word.replace("PORT", str(port)) for word in command]
    address = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(address + health):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failure(f"{' '.join(command)} does not serve")
            time.sleep(0.05)
        yield address
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    """Whether a URL is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def run(address: str, model: str, airports: list[dict], clients: int) -> dict[str, float]:
    """Rows/s and completion tokens/s of the job with so many requests at once."""
    work: queue.SimpleQueue = queue.SimpleQueue()
    for index, airport in enumerate(airports[:AIRPORTS]):
        for sample in range(SAMPLES):
            work.put((1000 * index + sample, airport))
    tokens, rows, errors, lock = 0, 0, [], threading.Lock()

    def client() -> None:
        nonlocal tokens, rows
        while True:
            try:
                seed, airport = work.get_nowait()
            except queue.Empty:
                return
            try:
                answer = complete(address, model, airport, seed)
            except (OSError, ValueError) as error:
                errors.append(str(error))
                return
            with lock:
                tokens += answer["usage"]["completion_tokens"]
                rows += 1

    begun = time.monotonic()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begun
    if errors:
        raise Failure(f"{address}: {len(errors)} clients failed, the first with: {errors[0]}")
    return {"rows/s": rows / seconds, "tokens/s": tokens / seconds}


def complete(address: str, model: str, airport: dict, seed: int) -> dict:
    """One chat completion."""
    prompt = (f"Write a short complaint of a traveller at {airport['name']} airport ({airport['iata']}) in {airport['city']}, "
              f"{airport['state']}, {airport['country']}.")
    body = {
        "model": model,
        "messages": [{"role": "system", "content": "You write short, realistic customer messages."},
                     {"role": "user", "content": prompt}],
        "max_tokens": MAX_TOKENS, "temperature": 0.8, "top_p": 0.95, "top_k": 50, "seed": seed, "cache_prompt": True,
    }
    request = urllib.request.Request(f"{address}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)
