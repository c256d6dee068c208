#!/usr/bin/env python3
"""Recall and precision of `pii` against Presidio's recognizers on sentences made of a seed.

    venv/bin/pip install presidio-analyzer==2.2.366
    cargo build --release -p textnlp-validation --example find_pii
    venv/bin/python libs/validation/tests/goldens/compare_pii.py target/release/examples/find_pii [--sentences 5000] [--seed 1]

Presidio's are asked one by one, without its language model; results below a score of 0.3 (its "very weak" patterns) do not count.
"""

import argparse
import json
import random
import string
import subprocess
from collections import Counter

from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer, CryptoRecognizer, EmailRecognizer, IbanRecognizer, IpRecognizer, PhoneRecognizer, UrlRecognizer, UsSsnRecognizer)

RECOGNIZERS = {"creditCard": CreditCardRecognizer, "crypto": CryptoRecognizer, "email": EmailRecognizer, "iban": IbanRecognizer,
               "ipAddress": IpRecognizer, "phone": PhoneRecognizer, "url": UrlRecognizer, "ssn": UsSsnRecognizer}
WORDS = "please call me at my address is the account number for flight refund send it to server was paid with card see page on or and".split()


def digits(n, random):
    return "".join(random.choice(string.digits) for _ in range(n))


def luhn(prefix, length, random):
    body = prefix + digits(length - len(prefix) - 1, random)
    for last in string.digits:
        number = [int(d) for d in body + last]
        if (sum(number[-1::-2]) + sum(sum(divmod(2 * d, 10)) for d in number[-2::-2])) % 10 == 0:
            return body + last


def iban(random):
    country, length = random.choice([("DE", 18), ("AT", 16), ("ES", 20), ("BE", 12), ("PL", 24)])
    body = digits(length, random)
    rest = int("".join(str(int(c, 36)) for c in body + country) + "00") % 97
    account = f"{country}{98 - rest:02d}{body}"
    return account if random.random() < 0.5 else " ".join(account[i:i + 4] for i in range(0, len(account), 4))


def piece(random):
    name = lambda: "".join(random.choice(string.ascii_lowercase) for _ in range(random.randint(2, 8)))
    host = lambda: name() + random.choice([".com", ".org", ".net", ".co.uk", ".de", ".io"])
    card = luhn(random.choice(["4", "51", "6011"]), 16, random)
    makers = [
        lambda: f"{name()}.{name()}@{host()}", lambda: f"{name()}@{host()}", lambda: card, lambda: "-".join(card[i:i + 4] for i in range(0, 16, 4)),
        lambda: digits(16, random), lambda: iban(random), lambda: "DE" + digits(20, random), lambda: ".".join(str(random.randint(0, 299)) for _ in range(4)),
        lambda: "2001:db8::" + f"{random.randrange(65536):x}", lambda: f"https://{host()}/{name()}?q={name()}", lambda: f"www.{host()}", lambda: host(),
        lambda: f"{random.randint(1, 899):03d}-{random.randint(0, 99):02d}-{random.randint(0, 9999):04d}", lambda: "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2",
        lambda: f"({random.choice(['212', '415', '617'])}) 555-{digits(4, random)}", lambda: f"{random.choice(['212', '415', '617'])}-{random.randint(200, 999)}-{digits(4, random)}",
        lambda: f"+49 30 {digits(7, random)}", lambda: f"+44 20 7{digits(3, random)} {digits(4, random)}", lambda: f"020 7{digits(3, random)} {digits(4, random)}",
        lambda: digits(random.randint(1, 9), random), lambda: f"2024-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}", lambda: f"{digits(1, random)},{digits(3, random)}.{digits(2, random)}",
    ]
    return random.choice(makers)()


def sentence(random):
    parts = [random.choice(WORDS) for _ in range(random.randint(3, 9))]
    for _ in range(random.choice([0, 1, 1, 2])):
        parts.insert(random.randrange(len(parts)), piece(random))
    return " ".join(parts) + random.choice([".", "", "!"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--sentences", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    chance = random.Random(args.seed)
    sentences = [sentence(chance) for _ in range(args.sentences)]
    answer = subprocess.run([args.binary], input="\n".join(map(json.dumps, sentences)), capture_output=True, text=True, check=True)
    recognizers = {kind: (make(), make().supported_entities) for kind, make in RECOGNIZERS.items()}
    both, ours, theirs, examples = Counter(), Counter(), Counter(), {}
    for text, line in zip(sentences, answer.stdout.splitlines()):
        found = {(kind, start, end) for kind, start, end in json.loads(line)}
        for kind, (recognizer, entities) in recognizers.items():
            results = [r for r in recognizer.analyze(text, entities, None) or [] if r.score >= 0.3]
            expect = {(r.start, r.end) for r in results if not any(o.start <= r.start and r.end <= o.end and (o.end - o.start) > (r.end - r.start) for o in results)}
            mine = {(s, e) for k, s, e in found if k == kind}
            overlap = lambda a, spans: any(a[0] < b[1] and b[0] < a[1] for b in spans)
            # Part of an entity of another kind is no miss: the host of an e-mail address.
            covered = {span for span in expect if overlap(span, mine) or not overlap(span, [(s, e) for k, s, e in found if k != kind])}
            both[kind] += sum(overlap(span, mine) for span in covered)
            theirs[kind] += len(covered)
            ours[kind] += len(mine)
            both[kind, "ours"] += sum(overlap(span, expect) for span in mine)
            for span in covered:
                if not overlap(span, mine):
                    examples.setdefault((kind, "missed"), []).append(text[span[0]:span[1]])
            for span in mine:
                if not overlap(span, expect):
                    examples.setdefault((kind, "extra"), []).append(text[span[0]:span[1]])
    for kind in RECOGNIZERS:
        print(f"{kind}: recall {both[kind] / max(1, theirs[kind]):.3f} of {theirs[kind]}, precision {both[kind, 'ours'] / max(1, ours[kind]):.3f} of {ours[kind]}")
    for key, found in examples.items():
        print("  ", *key, found[:6])


if __name__ == "__main__":
    main()
