#!/usr/bin/env python3
"""Calls a model's server as all kinds of callers do, right and wrong, and fails if an answer is not what it should be.

usage: calls.py URL MODEL TOKEN
"""

import json
import sys
import urllib.error
import urllib.request

URL, MODEL, TOKEN = sys.argv[1:]


def call(path, body, token=TOKEN, **headers):
    """The status of an answer; whole answers and streams are read to their end."""
    request = urllib.request.Request(URL + path, data=json.dumps(body).encode(), headers={"content-type": "application/json", **headers})
    if token:
        request.add_header("authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=300) as response:
            response.read()
            return response.status
    except urllib.error.HTTPError as error:
        error.read()
        return error.code


def chat(content, **more):
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 32, "seed": 1, **more}


# Words that repeat, alone on the server: tokens are computed ahead.
REPEATING = "Repeat this line ten times: " + "one two three four five six seven. " * 12
CALLS = [
    ("a chat", 200, lambda: call("/v1/chat/completions", chat("A haiku about rain."))),
    ("the same again: its prompt is in the KV cache", 200, lambda: call("/v1/chat/completions", chat("A haiku about rain."))),
    ("a stream", 200, lambda: call("/v1/chat/completions", chat("A haiku about snow.", stream=True))),
    ("a text that repeats itself", 200, lambda: call("/v1/completions", {
        "model": MODEL, "prompt": REPEATING, "max_tokens": 120, "temperature": 0})),
    ("rows", 200, lambda: call("/generate", {"records": [{"airport": "Bern"}], "sampling": {"maxTokens": 8, "seed": 1}, "columns": [
        {"name": "text", "prompt": "A word about {{ airport }}."}]})),
    ("a mistake", 400, lambda: call("/v1/chat/completions", chat("Hello", temperature="hot"))),
    ("another model", 404, lambda: call("/v1/chat/completions", {**chat("Hello"), "model": "none"})),
    ("nobody", 401, lambda: call("/v1/chat/completions", chat("Hello"), token=None)),
    ("no time to wait: an error that counts against availability", 504, lambda: call(
        "/v1/chat/completions", chat("A long story.", max_tokens=256), **{"x-request-timeout": "0.05"})),
]


def main():
    for name, expected, made in CALLS:
        status = made()
        if status != expected:
            sys.exit(f"error: {name}: the server answered {status}, not {expected}")
    print(f"{len(CALLS)} calls were answered as they should be")


if __name__ == "__main__":
    main()
