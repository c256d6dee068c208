"""Makes the goldens of logits_goldens.rs from Hugging Face transformers. Not part of the build.

    pip install torch==2.15.0 transformers==5.24.0 accelerate==1.15.0 tokenizers==0.23.3 gguf==0.19.0 numpy==2.4.6
    python make_logits_goldens.py SmolLM2-135M-Instruct.Q4_1.gguf

*-logits.bin, little-endian: u32 positions, u32 top, u32 fixed; u32 tokens[positions]; u32 fixed_ids[fixed]; then for
each position u32 top_ids[top], f32 top_logits[top], f32 logsumexp, f32 fixed_logits[fixed].
smollm2-greedy.json: for each prompt its tokens, 64 greedy tokens and the gap between the two largest logits at each.

Random weights are those of common/mod.rs: SplitMix64 of (tensor number << 32) + element index.
"""

import json
import os
import struct
import sys

import numpy as np
import torch
from gguf import GGUFReader
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = FIXED = 64

TEXT = """Lake steamers left the northern harbour twice a day, at 6:40 in the morning and again at 17:15, and nobody in
the town could remember a winter in which they had not run. The captain, a quiet woman of fifty-two, kept the log in a
blue notebook: wind, ice, passengers, and the price of coal. "Thirty-one today," she wrote on 4 January 1913, "two of
them children, and one dog that paid nothing." When the bridge was finished in the following year the company sold two
of its three boats, and the third was turned into a restaurant. Its engine, a compound of 220 horsepower, still stands
behind glass; the brass is polished every Tuesday.

def fahrenheit(celsius):
    return celsius * 9 / 5 + 32

Visitors ask why the ship's bell carries the name of another vessel. The answer is simple: it was a gift from the yard,
which had built both hulls side by side, and the bells had been exchanged by mistake before anyone looked closely."""

PROMPTS = [
    "The capital of France is",
    "Once upon a time there was a small bridge that",
    "1, 2, 3, 4, 5,",
    "Water boils at",
    "def add(a, b):\n    return",
    "The three primary colours are",
    "Dear customer service,\nmy flight from Oslo was",
    "In 1969, the first people",
    "To make a pot of tea, first",
    "The opposite of cold is",
    "SELECT name FROM airports WHERE",
    "A good password should",
    "Monday, Tuesday, Wednesday,",
    "My suitcase was lost at the airport and",
]
CHATS = [
    "Write one sentence about the sea.",
    "What is 12 + 30?",
    "Name three fruits.",
    "Complain politely about a delayed train.",
    "Explain gravity to a child.",
    "Translate 'good morning' into French.",
]


def splitmix64(counter):
    with np.errstate(over="ignore"):
        z = (counter + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(number, count):
    counter = (np.uint64(number) << np.uint64(32)) + np.arange(count, dtype=np.uint64)
    return (splitmix64(counter) >> np.uint64(11)).astype(np.float64) / 2.0**52 - 1.0


LAYER_TENSORS = [
    "attention_norm", "attention_norm_bias", "query", "query_bias", "key", "key_bias", "value", "value_bias",
    "attention_output", "attention_output_bias", "ffn_norm", "ffn_norm_bias", "gate", "up", "up_bias", "down",
    "down_bias",
]  # in the order of `LayerTensor`
MODEL_TENSORS = ["token_embedding", "position_embedding", "output_norm", "output_norm_bias", "head"]


def draw(name, rows, columns, layer=None):
    """The tensor of that place in the model; what has one row is a vector."""
    number = MODEL_TENSORS.index(name) if layer is None else 32 + 32 * layer + LAYER_TENSORS.index(name)
    centre = 1.0 if name.endswith("norm") else 0.0
    if name.endswith("_embedding"):
        amplitude = 0.5
    else:
        amplitude = 0.25 if rows == 1 else np.sqrt(3.0 / columns)
    values = (centre + amplitude * uniform(number, rows * columns)).astype(np.float32)
    return torch.from_numpy(values if rows == 1 else values.reshape(rows, columns))


def random_tokens(seed, count, vocab_size):
    counter = (np.uint64(seed) << np.uint64(40)) + np.arange(count, dtype=np.uint64)
    return [int(token) for token in splitmix64(counter) % np.uint64(vocab_size)]


def random_llama(vocab, hidden, heads, kv_heads, head_dim, ffn, tied, factors):
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=hidden, num_hidden_layers=2, num_attention_heads=heads,
        num_key_value_heads=kv_heads, head_dim=head_dim, intermediate_size=ffn, rms_norm_eps=1e-5,
        rope_theta=10000.0, max_position_embeddings=256, tie_word_embeddings=tied, attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).float().eval()
    inner = model.model
    with torch.no_grad():
        inner.embed_tokens.weight.copy_(draw("token_embedding", vocab, hidden))
        if not tied:
            model.lm_head.weight.copy_(draw("head", vocab, hidden))
        inner.norm.weight.copy_(draw("output_norm", 1, hidden))
        for index, layer in enumerate(inner.layers):
            attention, mlp = layer.self_attn, layer.mlp
            layer.input_layernorm.weight.copy_(draw("attention_norm", 1, hidden, index))
            layer.post_attention_layernorm.weight.copy_(draw("ffn_norm", 1, hidden, index))
            attention.q_proj.weight.copy_(draw("query", heads * head_dim, hidden, index))
            attention.k_proj.weight.copy_(draw("key", kv_heads * head_dim, hidden, index))
            attention.v_proj.weight.copy_(draw("value", kv_heads * head_dim, hidden, index))
            attention.o_proj.weight.copy_(draw("attention_output", hidden, heads * head_dim, index))
            mlp.gate_proj.weight.copy_(draw("gate", ffn, hidden, index))
            mlp.up_proj.weight.copy_(draw("up", ffn, hidden, index))
            mlp.down_proj.weight.copy_(draw("down", hidden, ffn, index))
        if factors is not None:
            inner.rotary_emb.inv_freq.div_(torch.tensor(factors, dtype=torch.float32))
    return model


def random_gpt2(vocab, hidden, layers, heads, context):
    config = GPT2Config(
        vocab_size=vocab, n_embd=hidden, n_layer=layers, n_head=heads, n_positions=context,
        layer_norm_epsilon=1e-5, attn_implementation="eager",
    )
    model = GPT2LMHeadModel(config).float().eval()
    inner = model.transformer
    with torch.no_grad():
        inner.wte.weight.copy_(draw("token_embedding", vocab, hidden))
        inner.wpe.weight.copy_(draw("position_embedding", context, hidden))
        inner.ln_f.weight.copy_(draw("output_norm", 1, hidden))
        inner.ln_f.bias.copy_(draw("output_norm_bias", 1, hidden))
        for index, block in enumerate(inner.h):
            pick = lambda name, rows, columns: draw(name, rows, columns, index)
            block.ln_1.weight.copy_(pick("attention_norm", 1, hidden))
            block.ln_1.bias.copy_(pick("attention_norm_bias", 1, hidden))
            block.ln_2.weight.copy_(pick("ffn_norm", 1, hidden))
            block.ln_2.bias.copy_(pick("ffn_norm_bias", 1, hidden))
            qkv = [pick(name, hidden, hidden) for name in ("query", "key", "value")]
            block.attn.c_attn.weight.copy_(torch.cat(qkv).T)
            bias = [pick(name + "_bias", 1, hidden) for name in ("query", "key", "value")]
            block.attn.c_attn.bias.copy_(torch.cat(bias))
            block.attn.c_proj.weight.copy_(pick("attention_output", hidden, hidden).T)
            block.attn.c_proj.bias.copy_(pick("attention_output_bias", 1, hidden))
            block.mlp.c_fc.weight.copy_(pick("up", 4 * hidden, hidden).T)
            block.mlp.c_fc.bias.copy_(pick("up_bias", 1, 4 * hidden))
            block.mlp.c_proj.weight.copy_(pick("down", hidden, 4 * hidden).T)
            block.mlp.c_proj.bias.copy_(pick("down_bias", 1, hidden))
    return model


def write_logits(name, model, tokens):
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].float()
    vocab = logits.shape[1]
    fixed = [index * vocab // FIXED for index in range(FIXED)]
    top = torch.topk(logits, TOP, dim=1)
    sums = torch.logsumexp(logits.double(), dim=1)
    with open(os.path.join(HERE, f"{name}-logits.bin"), "wb") as file:
        file.write(struct.pack("<3I", len(tokens), TOP, FIXED))
        file.write(np.array(tokens + fixed, dtype="<u4").tobytes())
        for position in range(len(tokens)):
            file.write(top.indices[position].numpy().astype("<u4").tobytes())
            file.write(top.values[position].numpy().astype("<f4").tobytes())
            file.write(struct.pack("<f", sums[position].item()))
            file.write(logits[position, fixed].numpy().astype("<f4").tobytes())
    print(name, "logits", logits.min().item(), logits.max().item())


def greedy(model, prompt, count):
    tokens, gaps, past, ids = [], [], None, torch.tensor([prompt])
    for _ in range(count):
        with torch.no_grad():
            out = model(ids, past_key_values=past, use_cache=True)
        past = out.past_key_values
        best = torch.topk(out.logits[0, -1].float(), 2)
        tokens.append(best.indices[0].item())
        gaps.append(round((best.values[0] - best.values[1]).item(), 5))
        ids = best.indices[:1].reshape(1, 1)
    return {"prompt": prompt, "tokens": tokens, "gaps": gaps}


def smollm2_tokenizer(path):
    """transformers has no `smollm` pre-tokenizer for GGUF, so the tokenizer is built here."""
    fields = GGUFReader(path).fields
    strings = lambda key: [bytes(fields[key].parts[part]).decode() for part in fields[key].data]
    vocabulary = {token: index for index, token in enumerate(strings("tokenizer.ggml.tokens"))}
    merges = [tuple(merge.split(" ")) for merge in strings("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    return tokenizer


def main():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    write_logits("tiny-llama", random_llama(203, 72, 6, 2, 12, 100, True, None), random_tokens(11, 70, 203))
    factors = [1.0 + pair / 8.0 for pair in range(32)]
    write_logits("small-llama", random_llama(320, 192, 3, 1, 64, 160, False, factors), random_tokens(12, 70, 320))
    write_logits("gpt2-124m", random_gpt2(50257, 768, 12, 12, 1024), random_tokens(13, 64, 50257))

    path = os.path.abspath(sys.argv[1])
    model = AutoModelForCausalLM.from_pretrained(
        os.path.dirname(path), gguf_file=os.path.basename(path), dtype=torch.float32
    ).eval()
    tokenizer = smollm2_tokenizer(path)
    encode = lambda text: tokenizer.encode(text).ids
    tokens = encode(TEXT)
    assert len(tokens) >= 200, len(tokens)
    write_logits("smollm2", model, tokens[:200])
    chat = lambda text: f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
    prompts = [encode(text) for text in PROMPTS] + [encode(chat(text)) for text in CHATS]
    continuations = []
    for prompt in prompts:
        continuations.append(greedy(model, prompt, 64))
        print(repr(tokenizer.decode(prompt + continuations[-1]["tokens"])))
    with open(os.path.join(HERE, "smollm2-greedy.json"), "w") as file:
        lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in continuations)
        file.write(f"[\n{lines}\n]\n")


main()
