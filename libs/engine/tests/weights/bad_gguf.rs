//! GGUFs that are truncated, crafted, or of a model that cannot be run: each is refused in words.

use std::sync::Arc;

use textnlp_engine::weights::ModelFiles;

use crate::writer::{GgufFile, GgufTensor, Meta, TinyLlama};

/// Makes a tensor wrong.
type Change = fn(&mut GgufTensor);

fn check(name: &str, bytes: Vec<u8>, expected: &str) {
    match ModelFiles::from_gguf(Arc::new(bytes)) {
        Ok(_) => panic!("{name}: accepted"),
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains(expected), "{name}: {message:?} lacks {expected:?}");
        }
    }
}

fn check_changed(name: &str, expected: &str, change: impl FnOnce(&mut GgufFile)) {
    let mut file = TinyLlama::new(false).gguf();
    change(&mut file);
    check(name, file.bytes(), expected);
}

fn tensor<'a>(file: &'a mut GgufFile, name: &str) -> &'a mut GgufTensor {
    file.tensors.iter_mut().find(|tensor| tensor.name == name).expect("the tensor")
}

#[test]
fn a_file_truncated_at_any_byte_of_its_header_is_refused() {
    let bytes = TinyLlama::new(false).gguf().bytes();
    let header = bytes.len()
        - TinyLlama::new(false)
            .gguf()
            .tensors
            .iter()
            .map(|tensor| tensor.data.len())
            .sum::<usize>();
    for length in 0..header {
        let error = ModelFiles::from_gguf(Arc::new(bytes[..length].to_vec()))
            .map(|_| ())
            .expect_err("truncated");
        assert!(!error.to_string().is_empty());
    }
    check("last byte", bytes[..bytes.len() - 1].to_vec(), "1 bytes are missing");
}

#[test]
fn other_formats_are_refused_by_their_names() {
    check("empty", Vec::new(), "it is empty");
    check("zip", b"PK\x03\x04archive/data.pkl".to_vec(), "pickle checkpoints run code");
    check("pickle", b"\x80\x02\x8a\x0alF\xf9\x9c".to_vec(), "pickle checkpoints run code");
    check("html", b"<!DOCTYPE html><html>".to_vec(), "web page");
    check("lfs", b"version https://git-lfs.github.com/spec/v1\noid".to_vec(), "git lfs pull");
    check("ggml", b"tjgg\x03\x00\x00\x00".to_vec(), "before GGUF");
    check("gzip", vec![0x1f, 0x8b, 8, 0], "gzip");
    check("safetensors", TinyLlama::new(true).safetensors(), "extension .safetensors");
    check("noise", vec![0xde, 0xad, 0xbe, 0xef, 1], "begins with deadbeef");
}

#[test]
fn other_versions_and_byte_orders_are_refused() {
    for (version, expected) in
        [(0, "version 0"), (1, "version 1"), (4, "version 4"), (0x0300_0000, "big-endian")]
    {
        check_changed("version", expected, |file| file.version = version);
    }
}

#[test]
fn counts_and_lengths_are_checked_before_memory_is_taken() {
    let patched = |offset: usize, value: u64| {
        let mut bytes = TinyLlama::new(false).gguf().bytes();
        bytes[offset..offset + 8].copy_from_slice(&value.to_le_bytes());
        bytes
    };
    check("tensors", patched(8, u64::MAX), "at most 65536 are allowed");
    check("tensors", patched(8, 60_000), "cannot fit into");
    check("entries", patched(16, u64::MAX), "at most 65536 are allowed");
    check("entries", patched(16, 65_536), "cannot fit into");
    check("key", patched(24, u64::MAX), "at most 65535 are allowed");
    let text = Meta::Raw(8, (1u64 << 20).to_le_bytes().to_vec());
    check_changed("string", "remain before the file ends", |file| {
        file.set("x", text);
    });
    let array =
        |kind: u32, length: u64| [kind.to_le_bytes().as_slice(), &length.to_le_bytes()].concat();
    for (kind, length, expected) in [
        (8, u64::MAX, "at most 16777216 are allowed"),
        (8, 1 << 24, "cannot fit into"),
        (4, 1 << 24, "cannot fit into"),
        (9, 1, "array of arrays"),
        (77, 1, "value type 77"),
    ] {
        check_changed("array", expected, |file| file.set("x", Meta::Raw(9, array(kind, length))));
    }
    check_changed("string", "at most 16777216", |file| {
        file.set("x", Meta::Raw(8, u64::MAX.to_le_bytes().to_vec()))
    });
    check_changed("value type", "value type 13", |file| file.set("x", Meta::Raw(13, vec![0; 8])));
    check_changed("boolean", "neither 0 nor 1", |file| file.set("x", Meta::Raw(7, vec![2])));
    check_changed("UTF-8", "not UTF-8", |file| {
        file.set("x", Meta::Raw(8, [1u64.to_le_bytes().as_slice(), &[0xff]].concat()));
    });
    check_changed("twice", "appears twice", |file| file.metadata.push(file.metadata[0].clone()));
}

#[test]
fn alignments_that_are_no_power_of_two_are_refused() {
    for alignment in [0, 3, 48, 1 << 21, u32::MAX] {
        check_changed("alignment", "a power of two", |file| {
            file.set("general.alignment", Meta::U32(alignment))
        });
    }
    check_changed("alignment", "a non-negative integer is needed", |file| {
        file.set("general.alignment", Meta::Text("32"));
    });
}

#[test]
fn tensors_that_lie_or_claim_wrongly_are_refused() {
    let name = "blk.0.ffn_up.weight";
    let cases: &[(&str, Change)] = &[
        ("has 0 dimensions", |tensor| tensor.dimensions.clear()),
        ("has 5 dimensions", |tensor| tensor.dimensions = vec![1; 5]),
        ("has a dimension of 0", |tensor| tensor.dimensions = vec![32, 0]),
        ("more elements than can be counted", |tensor| tensor.dimensions = vec![1 << 32, 1 << 32]),
        ("more elements than can be counted", |tensor| tensor.dimensions = vec![1 << 62, 1]),
        ("bytes are missing", |tensor| tensor.dimensions = vec![1 << 60]),
        ("type 4 is unknown", |tensor| tensor.kind = 4),
        ("type 1000 is unknown", |tensor| tensor.kind = 1000),
        ("no multiple of the alignment", |tensor| tensor.offset = Some(1)),
        ("bytes are missing", |tensor| tensor.offset = Some(1 << 30)),
        ("far outside", |tensor| tensor.offset = Some(u64::MAX - 31)),
        ("shares bytes with", |tensor| tensor.offset = Some(0)),
        ("no multiple of Q8_0's 32", |tensor| {
            tensor.kind = 8;
            tensor.dimensions = vec![33, 1];
        }),
        ("appears twice", |tensor| tensor.name = "blk.1.ffn_up.weight".to_owned()),
        ("at most 64 are allowed", |tensor| tensor.name = "n".repeat(65)),
    ];
    for (expected, change) in cases {
        check_changed(expected, expected, |file| change(tensor(file, name)));
    }
}

#[test]
fn an_unsupported_tensor_type_is_refused_with_the_tensor_the_type_and_the_supported_ones() {
    check_changed(
        "IQ4_NL",
        "tensor blk.0.ffn_up.weight: type IQ4_NL is not supported; supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q4_K, Q5_K, Q6_K",
        |file| {
            let tensor = tensor(file, "blk.0.ffn_up.weight");
            (tensor.kind, tensor.data) = (20, vec![0; 64 * 18]);
        },
    );
}

#[test]
fn a_missing_a_misshapen_and_an_unknown_tensor_are_named() {
    check_changed("missing", "tensor blk.1.attn_k.weight: missing", |file| {
        file.tensors.retain(|tensor| tensor.name != "blk.1.attn_k.weight");
    });
    check_changed(
        "shape",
        "blk.1.attn_k.weight: has shape [32, 16], but the configuration says [16, 32]",
        |file| {
            tensor(file, "blk.1.attn_k.weight").dimensions.reverse();
        },
    );
    check_changed("bias", "tensor blk.0.attn_q.bias: no supported model", |file| {
        let bias = GgufTensor {
            name: "blk.0.attn_q.bias".to_owned(),
            dimensions: vec![32],
            ..file.tensors[1].clone()
        };
        file.tensors.push(bias);
    });
}

#[test]
fn names_from_the_file_cannot_steer_the_terminal() {
    check_changed("escape", "tensor \\u{1b}[2J\\u{202e}: no supported model", |file| {
        let mut extra = file.tensors[1].clone();
        extra.name = "\u{1b}[2J\u{202e}".to_owned();
        file.tensors.push(extra);
    });
}

#[test]
fn metadata_that_describes_no_supported_model_is_refused_by_its_key() {
    let cases: &[(&str, Meta, &str)] = &[
        (
            "general.architecture",
            Meta::Text("mamba"),
            "is \"mamba\", which is not supported; supported: llama, gpt2",
        ),
        ("general.architecture", Meta::U32(1), "a string is needed"),
        ("llama.block_count", Meta::U32(0), "1 to 1024"),
        ("llama.block_count", Meta::U32(u32::MAX), "1 to 1024"),
        ("llama.block_count", Meta::U32(3), "tensor blk.2.attn_norm.weight: missing"),
        ("llama.block_count", Meta::U32(1), "blk.1.attn_norm.weight: no supported model"),
        ("llama.embedding_length", Meta::U64(1 << 40), "1 to 262144"),
        ("llama.attention.head_count", Meta::U32(5), "5 heads do not divide the width, 32"),
        ("llama.attention.head_count_kv", Meta::U32(3), "3 do not divide the 4 query heads"),
        ("llama.attention.head_count_kv", Meta::I32s(vec![2, 2]), "is an array of 2 numbers"),
        ("llama.attention.key_length", Meta::U32(7), "rotary positions need an even number"),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(0.0), "positive finite"),
        ("llama.attention.layer_norm_rms_epsilon", Meta::F32(f32::NAN), "positive finite"),
        ("llama.rope.freq_base", Meta::F32(-1.0), "positive finite"),
        ("llama.rope.freq_base", Meta::F32(f32::INFINITY), "positive finite"),
        ("llama.rope.dimension_count", Meta::U32(4), "supported: 8"),
        ("llama.rope.scaling.type", Meta::Text("yarn"), "supported: none, linear"),
        ("llama.expert_count", Meta::U32(8), "supported: 0"),
        ("llama.attention.sliding_window", Meta::U32(32), "as long as the context"),
        ("llama.vocab_size", Meta::U32(49), "the token embedding has 48 rows"),
        ("split.count", Meta::U32(2), "llama-gguf-split --merge"),
        ("tokenizer.ggml.model", Meta::Text("gpt2"), "tokenizer.ggml.tokens: missing"),
        ("tokenizer.ggml.bos_token_id", Meta::U32(48), "the vocabulary has 48 tokens"),
        ("tokenizer.chat_template", Meta::Bool(true), "a string is needed"),
    ];
    for (key, value, expected) in cases {
        check_changed(key, expected, |file| file.set(key, value.clone()));
    }
    check_changed("vocabulary", "has 49 tokens, but the token embedding only 48 rows", |file| {
        file.set("tokenizer.ggml.model", Meta::Text("gpt2"));
        file.set("tokenizer.ggml.tokens", Meta::Texts(vec!["x".to_owned(); 49]));
    });
}
