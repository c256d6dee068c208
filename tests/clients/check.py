#!/usr/bin/env python3
"""Stock Python clients, unmodified, against `textnlp serve` with keys: openai, LangChain's ChatOpenAI, litellm.

    check.py URL MODEL KEY

Prints a line for each call; ends with status 1 at the first that is not as it must be.
"""

import asyncio
import os
import sys

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm  # noqa: E402
import openai  # noqa: E402
from langchain_openai import ChatOpenAI  # noqa: E402

URL, MODEL, KEY = sys.argv[1:]
BASE = f"{URL}/v1"
MESSAGES = [{"role": "system", "content": "You answer in one short sentence."}, {"role": "user", "content": "What is a train?"}]
SEEDED = {"seed": 7, "temperature": 0.7, "max_tokens": 24}


def check(what, holds, found=""):
    print(f"{'ok' if holds else 'WRONG'}  {what}  {found}")
    if not holds:
        sys.exit(1)


def with_openai():
    client = openai.OpenAI(base_url=BASE, api_key=KEY, max_retries=0)
    check("openai: models", [model.id for model in client.models.list()] == [MODEL])
    check("openai: one model", client.models.retrieve(MODEL).id == MODEL)

    done = client.chat.completions.create(model=MODEL, messages=MESSAGES, **SEEDED)
    text = done.choices[0].message.content
    check("openai: chat", text and done.usage.completion_tokens <= 24, repr(text))
    again = client.chat.completions.create(model=MODEL, messages=MESSAGES, **SEEDED)
    check("openai: the same again", (again.choices[0].message.content, again.system_fingerprint) == (text, done.system_fingerprint))

    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, stream_options={"include_usage": True}, **SEEDED)
    chunks = list(stream)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    check("openai: a stream has the same text", streamed == text)
    check("openai: and the usage at its end", chunks[-1].usage.completion_tokens == done.usage.completion_tokens)

    turns = MESSAGES + [{"role": "assistant", "content": text}, {"role": "user", "content": "And a bus?"}]
    check("openai: several turns", client.chat.completions.create(model=MODEL, messages=turns, **SEEDED).choices[0].message.content)

    many = client.chat.completions.create(model=MODEL, messages=MESSAGES, n=3, logprobs=True, top_logprobs=2, **SEEDED)
    check("openai: n", [choice.index for choice in many.choices] == [0, 1, 2] and many.choices[0].message.content == text)
    tokens = many.choices[0].logprobs.content
    check("openai: logprobs", all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in tokens))

    plain = client.completions.create(model=MODEL, prompt=["The capital of France is", "One, two,"], stop=["\n"], **SEEDED)
    check("openai: completions", len(plain.choices) == 2 and plain.choices[0].text, repr(plain.choices[0].text))
    stream = client.completions.create(model=MODEL, prompt="The capital of France is", stop=["\n"], stream=True, **SEEDED)
    check("openai: their stream", "".join(chunk.choices[0].text for chunk in stream) == plain.choices[0].text)
    token = {"5000": -100, "1": 5}
    check("openai: logit_bias", client.completions.create(model=MODEL, prompt="a", logit_bias=token, **SEEDED).choices)

    for what, error, call in [
        ("a wrong key", openai.AuthenticationError, lambda: openai.OpenAI(base_url=BASE, api_key="no", max_retries=0).models.list()),
        ("an unknown model", openai.NotFoundError, lambda: client.chat.completions.create(model="other", messages=MESSAGES)),
        ("a parameter that is not supported", openai.BadRequestError,
         lambda: client.chat.completions.create(model=MODEL, messages=MESSAGES, tools=[{"type": "function", "function": {"name": "f"}}])),
        ("too high a temperature", openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=3)),
    ]:
        try:
            call()
            check(f"openai: {what}", False, "no error")
        except error as problem:
            check(f"openai: {what}", problem.body["message"], problem.body["code"])
    return text


async def with_openai_async():
    client = openai.AsyncOpenAI(base_url=BASE, api_key=KEY)
    calls = [client.chat.completions.create(model=MODEL, messages=MESSAGES, **SEEDED) for _ in range(8)]
    texts = {done.choices[0].message.content for done in await asyncio.gather(*calls)}
    check("openai, asynchronous: eight at once have one text", len(texts) == 1)
    return texts.pop()


def with_langchain(text):
    chat = ChatOpenAI(base_url=BASE, api_key=KEY, model=MODEL, seed=7, temperature=0.7, max_tokens=24)
    turns = [(message["role"], message["content"]) for message in MESSAGES]
    done = chat.invoke(turns)
    check("LangChain: invoke", done.content == text and done.usage_metadata["output_tokens"] > 0)
    check("LangChain: stream", "".join(chunk.content for chunk in chat.stream(turns)) == text)
    check("LangChain: batch", [done.content for done in chat.batch([turns, turns])] == [text, text])


def with_litellm(text):
    call = dict(model=f"openai/{MODEL}", api_base=BASE, api_key=KEY, messages=MESSAGES, **SEEDED)
    check("litellm: chat", litellm.completion(**call).choices[0].message.content == text)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(stream=True, **call))
    check("litellm: stream", streamed == text)


text = with_openai()
check("openai, asynchronous: that of the others", asyncio.run(with_openai_async()) == text)
with_langchain(text)
with_litellm(text)
