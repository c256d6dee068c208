"""Makes this directory's files: run it in an environment with the versions below, from any place.

    pip install numpy==2.4.6 gguf==0.19.0 torch==2.15.0 transformers==5.24.0 safetensors==0.8.0

- dequantize.json: random blocks of each type, and their values by gguf.quants.dequantize
- rope.json: llama3's and linear scaling's frequency divisors by transformers
- llama/, llama.gguf: one tiny LlamaForCausalLM, saved by transformers and written by gguf.GGUFWriter
- gpt2/, gpt2.gguf: the same for GPT2LMHeadModel
"""
import json
import pathlib

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Q
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

HERE = pathlib.Path(__file__).parent


def dequantize() -> None:
    rng = np.random.default_rng(7)
    cases = {}
    for kind, scales in [(Q.F32, 0), (Q.F16, 0), (Q.BF16, 0), (Q.Q4_0, 1), (Q.Q4_1, 2), (Q.Q8_0, 1), (Q.Q5_0, 1),
                         (Q.Q5_1, 2), (Q.Q4_K, 2), (Q.Q5_K, 2), (Q.Q6_K, 1)]:
        _, size = gguf.GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (16, size), dtype=np.uint8)
        halves = rng.normal(size=(16, max(scales, 1))).astype(np.float16)
        halves[:6, 0] = [0, -0.0, 6e-8, -6.1e-5, 65504, 1]  # zeros, subnormals, the largest
        if kind == Q.Q6_K:
            blocks[:, -2:] = halves.view(np.uint8)
        elif scales:
            blocks[:, : 2 * scales] = halves.view(np.uint8)[:, : 2 * scales]
        elif kind == Q.F16:
            blocks = halves.view(np.uint8)
        else:  # no NaN: the exponent's top bit is cleared
            blocks[:, -1] &= 0xBF
        values = gguf.quants.dequantize(blocks, kind).astype("<f4")
        cases[kind.name] = {"bytes": blocks.tobytes().hex(), "values": values.tobytes().hex()}
    (HERE / "dequantize.json").write_text(json.dumps(cases, indent=1) + "\n")


def rope() -> None:
    cases = []
    for theta, head_dim, scaling in [
        (500000.0, 64, {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                        "original_max_position_embeddings": 8192}),
        (500000.0, 128, {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 8192}),
        (10000.0, 64, {"rope_type": "linear", "factor": 4.0}),
    ]:
        config = LlamaConfig(hidden_size=2 * head_dim, num_attention_heads=2, head_dim=head_dim,
                             max_position_embeddings=131072, rope_parameters={"rope_theta": theta, **scaling})
        scaled, _ = ROPE_INIT_FUNCTIONS[scaling["rope_type"]](config, "cpu")
        plain = 1.0 / (theta ** (torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim))
        cases.append({"theta": theta, "headDim": head_dim, "scaling": scaling,
                      "factors": (plain / scaled.double()).tolist()})
    (HERE / "rope.json").write_text(json.dumps(cases, indent=1) + "\n")


def permute(weights: np.ndarray, heads: int) -> np.ndarray:
    """LlamaModel.permute of llama.cpp's convert_hf_to_gguf.py."""
    return (weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
            .swapaxes(1, 2).reshape(weights.shape))


def llama() -> None:
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
                         rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False)
    model = LlamaForCausalLM(config)
    model.save_pretrained(HERE / "llama")
    writer = gguf.GGUFWriter(HERE / "llama.gguf", "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(48)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 2)
    for name, tensor in model.state_dict().items():
        values = tensor.numpy()
        if "q_proj" in name:
            values = permute(values, 4)
        if "k_proj" in name:
            values = permute(values, 2)
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), values)
    finish(writer)


def gpt2() -> None:
    torch.manual_seed(2)
    config = GPT2Config(vocab_size=40, n_positions=24, n_embd=32, n_layer=2, n_head=4,
                        bos_token_id=0, eos_token_id=0)
    model = GPT2LMHeadModel(config)
    for parameter in model.parameters():  # transformers starts with zero biases
        parameter.data.normal_()
    model.save_pretrained(HERE / "gpt2")
    writer = gguf.GGUFWriter(HERE / "gpt2.gguf", "gpt2")
    writer.add_context_length(24)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(128)
    writer.add_head_count(4)
    writer.add_layer_norm_eps(1e-5)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT2, 2)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":
            continue
        values = tensor.numpy()
        if name.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
            values = np.ascontiguousarray(values.T)
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), values)
    finish(writer)


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


dequantize()
rope()
llama()
gpt2()
