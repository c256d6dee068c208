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
import re
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
    letters = lambda n: "".join(random.choice(string.ascii_uppercase) for _ in range(n))
    country, body = random.choice([
        ("DE", digits(18, random)), ("AT", digits(16, random)), ("ES", digits(20, random)), ("BE", digits(12, random)),
        ("PL", digits(24, random)), ("GB", letters(4) + digits(14, random)), ("NL", letters(4) + digits(10, random)),
        ("IT", letters(1) + digits(22, random)), ("FR", digits(10, random) + letters(2) + digits(11, random)),
        ("CH", digits(17, random)), ("NO", digits(11, random)), ("SE", digits(20, random)), ("IE", letters(4) + digits(14, random))])
    rest = int("".join(str(int(c, 36)) for c in body + country) + "00") % 97
    account = f"{country}{98 - rest:02d}{body}"
    return account if random.random() < 0.5 else " ".join(account[i:i + 4] for i in range(0, len(account), 4))


TOP_LEVEL = sorted(set(re.findall(r"\(\?:([a-z]+)\)", UrlRecognizer.BASE_URL_REGEX)))


def card(random):
    prefix, groups = random.choice([("4", (4, 4, 4, 4)), ("51", (4, 4, 4, 4)), ("6011", (4, 4, 4, 4)), ("34", (4, 6, 5)), ("37", (4, 6, 5)),
                                    ("36", (4, 6, 4)), ("3528", (4, 4, 4, 4))])
    number = luhn(prefix, sum(groups), random)
    separator, at, parts = random.choice(["", " ", "-"]), 0, []
    for group in groups:
        parts.append(number[at:at + group])
        at += group
    return separator.join(parts)


def address_6(random):
    groups = lambda n: ":".join(f"{random.randrange(65536):x}" for _ in range(n))
    return random.choice([lambda: "2001:db8::" + groups(1), lambda: groups(8), lambda: "fe80::" + groups(4), lambda: groups(3) + "::" + groups(2),
                          lambda: "::ffff:10.0.0." + str(random.randrange(256)), lambda: groups(2) + "::/32", lambda: "::1"])()


def phone(random):
    area, exchange, line = random.choice(["212", "415", "617"]), str(random.randint(200, 999)), digits(4, random)
    makers = [
        f"({area}) {exchange}-{line}", f"{area}-{exchange}-{line}", f"{area}.{exchange}.{line}", f"{area} {exchange} {line}", f"1-{area}-{exchange}-{line}",
        f"+1 {area} {exchange} {line}", f"+1-{area}-{exchange}-{line}", f"{area}{exchange}{line}", f"+49 30 {digits(7, random)}", f"030 {digits(7, random)}",
        f"+44 20 7{digits(3, random)} {digits(4, random)}", f"020 7{digits(3, random)} {digits(4, random)}", f"+33 1 42 {digits(2, random)} {digits(2, random)} {digits(2, random)}",
        f"01 42 {digits(2, random)} {digits(2, random)} {digits(2, random)}", f"+91 98{digits(3, random)} {digits(5, random)}", f"+972 3-6{digits(2, random)}-{digits(4, random)}",
        f"+55 11 9{digits(4, random)}-{digits(4, random)}", f"({area}) {exchange}-{line} ext. {digits(3, random)}"]
    return random.choice(makers)


def piece(random):
    name = lambda: "".join(random.choice(string.ascii_lowercase) for _ in range(random.randint(2, 8)))
    host = lambda: name() + random.choice([".com", ".org", ".net", ".co.uk", ".de", ".io", "." + random.choice(TOP_LEVEL)])
    address = lambda: ".".join(str(random.randint(0, 299)) for _ in range(4))
    makers = [
        lambda: f"{name()}.{name()}@{host()}", lambda: f"{name()}@{host()}", lambda: f"<{name()}+{name()}@{name()}.{host()}>", lambda: f"{name()}@{name()}",
        lambda: card(random), lambda: card(random), lambda: digits(16, random), lambda: "-".join(digits(4, random) for _ in range(4)),
        lambda: iban(random), lambda: iban(random), lambda: "DE" + digits(20, random), lambda: "FR76 " + " ".join(digits(4, random) for _ in range(5)),
        address, address, lambda: f"{address()}:{random.randint(1, 9999)}", lambda: f"{address()}/{random.randint(1, 32)}", lambda: f"{address()}.{random.randint(0, 9)}",
        lambda: address_6(random), lambda: address_6(random), lambda: f"{random.randint(0, 23)}:{random.randint(10, 59)}:{random.randint(10, 59)}",
        lambda: f"https://{host()}/{name()}?q={name()}", lambda: f"http://{name()}.{host()}", lambda: f"www.{host()}", host, lambda: f"{host()}/{name()}", lambda: f"'{host()}'",
        lambda: f"{random.randint(1, 899):03d}-{random.randint(0, 99):02d}-{random.randint(0, 9999):04d}", lambda: f"{random.randint(1, 899):03d} {random.randint(1, 99):02d} {random.randint(1, 9999):04d}",
        lambda: f"{random.randint(1, 899):03d}-{random.randint(1, 99):02d}.{random.randint(1, 9999):04d}",
        lambda: random.choice(["1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
                               "bc1p5d7rjq7g6rdk2yhzks9smlaqtedr4dekq08ge8ztwac72sfr9rusxg3297", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp"]),
        lambda: phone(random), lambda: phone(random), lambda: phone(random),
        lambda: digits(random.randint(1, 9), random), lambda: f"2024-{random.randint(1, 12):02d}-{random.randint(1, 28):02d}", lambda: f"{digits(1, random)},{digits(3, random)}.{digits(2, random)}",
    ]
    return random.choice(makers)()


def sentence(random):
    parts = [random.choice(WORDS) for _ in range(random.randint(3, 9))]
    for _ in range(random.choice([0, 1, 1, 2])):
        parts.insert(random.randrange(len(parts)), piece(random))
    return " ".join(parts) + random.choice([".", "", "!"])


# What Presidio takes for something that it plainly is not: five and more numbers with points for an address; an address, a version, or
# part of a card or account for a telephone number; a file for a host.
DOTTED = re.compile(r"\d+(?:\.\d+){3,}(?:[/:]\d+)*")
GROUPED = re.compile(r"(?:\b[A-Z]{2}\d\d[ -]?)?(?:[A-Z]{4} ?)?\d{3,}(?:[ -]?\d{2,})+")
FILES = ("md", "mov", "ps", "py", "rs", "sh")


def is_mistaken(kind, text, span):
    within = lambda pattern, test: any(m.start() <= span[0] and span[1] <= m.end() and test(m.group()) for m in pattern.finditer(text))
    if kind == "ipAddress":
        return within(DOTTED, lambda run: run.split("/")[0].count(".") > 3)
    if kind == "phone":
        long = lambda run: sum(c.isdigit() for c in run) >= 16 or run[:2].isalpha()
        return within(DOTTED, lambda run: True) or within(GROUPED, long)
    return kind == "url" and text[span[0]:span[1]].rsplit(".", 1)[-1] in FILES


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--sentences", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=8, help="how many differences of each kind are shown")
    args = parser.parse_args()
    chance = random.Random(args.seed)
    sentences = [sentence(chance) for _ in range(args.sentences)]
    answer = subprocess.run([args.binary], input="\n".join(map(json.dumps, sentences)), capture_output=True, text=True, check=True)
    recognizers = {kind: (make(), make().supported_entities) for kind, make in RECOGNIZERS.items()}
    both, ours, theirs, equal, mistaken, examples = Counter(), Counter(), Counter(), Counter(), Counter(), {}
    for text, line in zip(sentences, answer.stdout.splitlines()):
        found = {(kind, start, end) for kind, start, end in json.loads(line)}
        for kind, (recognizer, entities) in recognizers.items():
            results = [r for r in recognizer.analyze(text, entities, None) or [] if r.score >= 0.3]
            expect = {(r.start, r.end) for r in results if not any(o.start <= r.start and r.end <= o.end and (o.end - o.start) > (r.end - r.start) for o in results)}
            mine = {(s, e) for k, s, e in found if k == kind}
            overlap = lambda a, spans: any(a[0] < b[1] and b[0] < a[1] for b in spans)
            # Part of an entity of another kind is no miss: the host of an e-mail address.
            covered = {span for span in expect if overlap(span, mine) or not overlap(span, [(s, e) for k, s, e in found if k != kind])}
            mistaken[kind] += sum(is_mistaken(kind, text, span) for span in covered if not overlap(span, mine))
            both[kind] += sum(overlap(span, mine) for span in covered)
            theirs[kind] += len(covered)
            ours[kind] += len(mine)
            equal[kind] += len(mine & expect)
            both[kind, "ours"] += sum(overlap(span, expect) for span in mine)
            for span in covered:
                if not overlap(span, mine) and not is_mistaken(kind, text, span):
                    examples.setdefault((kind, "missed"), []).append(text[span[0]:span[1]])
            for span in mine:
                if not overlap(span, expect):
                    examples.setdefault((kind, "extra"), []).append(text[span[0]:span[1]])
    for kind in RECOGNIZERS:
        rest = theirs[kind] - mistaken[kind]
        print(f"{kind}: recall {both[kind] / max(1, theirs[kind]):.3f} of {theirs[kind]}, {both[kind] / max(1, rest):.3f} without {mistaken[kind]} mistakes of Presidio's; precision {both[kind, 'ours'] / max(1, ours[kind]):.3f} of {ours[kind]}, "
              f"equal spans {equal[kind]}")
    for key, found in examples.items():
        print("  ", *key, len(found), found[:args.examples])


if __name__ == "__main__":
    main()
