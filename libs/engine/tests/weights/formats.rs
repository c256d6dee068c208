//! One model in two formats is one model.

use std::fs;
use std::sync::Arc;

use textnlp_engine::weights::{Format, ModelFiles, TensorRole};

use crate::writer::{GgufTensor, Meta, TinyLlama};

/// All roles must be equal to the bit, in both directions.
pub(crate) fn assert_equal_tensors(left: &ModelFiles, right: &ModelFiles) {
    assert_eq!(left.config(), right.config());
    for role in TensorRole::all(left.config()) {
        let (left, right) = (left.tensor(role).expect("left"), right.tensor(role).expect("right"));
        match (left, right) {
            (None, None) => assert_eq!(role, TensorRole::Head),
            (Some(left), Some(right)) => {
                assert_eq!((left.rows, left.columns), (right.rows, right.columns), "{role:?}");
                let bits =
                    |data: &[f32]| data.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&left.data), bits(&right.data), "{role:?}");
            }
            (left, right) => panic!("{role:?}: {} and {}", left.is_some(), right.is_some()),
        }
    }
}

#[test]
fn a_model_from_safetensors_and_from_gguf_has_equal_tensors() {
    for tied in [false, true] {
        let model = TinyLlama::new(tied);
        let folder = tempfile::tempdir().expect("a temporary directory");
        let (gguf, hub) = (folder.path().join("tiny.gguf"), folder.path().join("hub"));
        fs::write(&gguf, model.gguf().bytes()).expect("the GGUF is written");
        fs::create_dir(&hub).expect("a directory");
        fs::write(hub.join("model.safetensors"), model.safetensors())
            .expect("the weights are written");
        fs::write(hub.join("config.json"), TinyLlama::config_json(tied).to_string())
            .expect("config.json is written");
        let gguf = ModelFiles::open(&gguf).expect("the GGUF opens");
        let hub = ModelFiles::open(&hub).expect("the directory opens");
        assert_eq!((gguf.format(), hub.format()), (Format::Gguf, Format::SafeTensors));
        assert_equal_tensors(&gguf, &hub);
    }
}

#[test]
fn tensors_can_be_read_from_several_threads() {
    let model = TinyLlama::new(true).gguf().open().expect("the GGUF opens");
    let roles = TensorRole::all(model.config());
    let alone: Vec<_> = roles.iter().map(|&role| model.tensor(role).expect("a tensor")).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (&role, alone) in roles.iter().zip(&alone) {
                    assert_eq!(model.tensor(role).expect("a tensor"), *alone);
                }
            });
        }
    });
}

#[test]
fn versions_2_and_3_and_every_alignment_read_the_same() {
    let mut file = TinyLlama::new(false).gguf();
    let expected = file.open().expect("the GGUF opens");
    for (version, alignment) in [(2, 32), (3, 1), (3, 8), (3, 4096)] {
        file.version = version;
        file.alignment = alignment;
        file.set("general.alignment", Meta::U32(alignment as u32));
        assert_equal_tensors(&file.open().expect("the GGUF opens"), &expected);
    }
}

#[test]
fn half_precision_safetensors_are_widened() {
    let half = [0x3C00u16, 0xC000, 0x0001, 0x7BFF]; // 1, -2, the smallest subnormal, the largest
    let brain = [0x3F80u16, 0xC000, 0x0001, 0x7F7F];
    let check = |dtype: &str, stored: &[u16; 4], expected: [f32; 4]| {
        let model = TinyLlama::new(true);
        let header = model.safetensors();
        let length = u64::from_le_bytes(header[..8].try_into().expect("eight bytes")) as usize;
        let text = std::str::from_utf8(&header[8..8 + length]).expect("JSON").replace("F32", dtype);
        let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        for tensor in json.as_object_mut().expect("an object").values_mut() {
            for offset in tensor["data_offsets"].as_array_mut().expect("offsets") {
                *offset = (offset.as_u64().expect("a number") / 2).into();
            }
        }
        let text = json.to_string();
        let elements = (header.len() - 8 - length) / 4;
        let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
        bytes.extend(text.as_bytes());
        bytes.extend(stored.iter().cycle().take(elements).flat_map(|half| half.to_le_bytes()));
        let opened = ModelFiles::from_safetensors(Arc::new(bytes), TinyLlama::companions(true))
            .expect("it opens");
        let embedding =
            opened.tensor(TensorRole::TokenEmbedding).expect("a tensor").expect("an embedding");
        assert_eq!(embedding.data[..4], expected);
        assert_eq!(opened.summary().tensor_types.keys().collect::<Vec<_>>(), [dtype]);
    };
    check("F16", &half, [1.0, -2.0, 5.960_464_5e-8, 65504.0]);
    check("BF16", &brain, [1.0, -2.0, f32::from_bits(1 << 16), f32::from_bits(0x7F7F_0000)]);
}

#[test]
fn special_tokens_of_a_gguf_come_from_its_ids_its_texts_and_its_pre_tokenizer() {
    let check = |more: &[(&str, Meta)], expected: (Option<u32>, &[u32], bool)| {
        let mut file = TinyLlama::new(true).gguf();
        let mut tokens: Vec<String> = (0..48).map(|id| format!("token{id}")).collect();
        tokens[5] = "<|eot_id|>".to_owned();
        file.set("tokenizer.ggml.model", Meta::Text("gpt2"));
        file.set("tokenizer.ggml.tokens", Meta::Texts(tokens));
        for (key, value) in more {
            file.set(&format!("tokenizer.ggml.{key}"), value.clone());
        }
        let model = file.open().expect("the GGUF opens");
        let special = model.special_tokens();
        let actual = (special.bos, special.end.as_slice(), special.add_bos);
        assert_eq!(actual, expected, "{more:?}");
    };
    let (bos, eos) = (("bos_token_id", Meta::U32(1)), ("eos_token_id", Meta::U32(9)));
    let llama3 = ("pre", Meta::Text("llama-bpe"));
    let (with, without) =
        (("add_bos_token", Meta::Bool(true)), ("add_bos_token", Meta::Bool(false)));
    check(&[], (None, &[5], false));
    check(&[bos.clone(), eos], (Some(1), &[5, 9], false));
    check(&[bos.clone(), llama3.clone()], (Some(1), &[5], true));
    check(&[bos.clone(), llama3.clone(), without], (Some(1), &[5], false));
    check(&[bos, with.clone()], (Some(1), &[5], true));
    check(&[with], (None, &[5], false));
}

#[test]
fn rotary_factors_of_a_gguf_come_from_its_tensor_or_its_linear_scaling() {
    let mut linear = TinyLlama::new(true).gguf();
    linear.set("llama.rope.scaling.type", Meta::Text("linear"));
    linear.set("llama.rope.scaling.factor", Meta::F32(4.0));
    let factors = linear.open().expect("the GGUF opens").config().rope_factors.clone();
    assert_eq!(factors, Some(vec![4.0; 4]));

    let mut tensor = TinyLlama::new(true).gguf();
    tensor.tensors.push(GgufTensor {
        name: "rope_freqs.weight".to_owned(),
        dimensions: vec![4],
        kind: 0,
        data: [1f32, 1.5, 2.0, 8.0].iter().flat_map(|factor| factor.to_le_bytes()).collect(),
        offset: None,
    });
    let factors = tensor.open().expect("the GGUF opens").config().rope_factors.clone();
    assert_eq!(factors, Some(vec![1.0, 1.5, 2.0, 8.0]));

    tensor.set("llama.rope.scaling.type", Meta::Text("linear"));
    tensor.set("llama.rope.scaling.factor", Meta::F32(4.0));
    let message = tensor.open().map(|_| ()).expect_err("two scalings").to_string();
    assert!(message.contains("rope_freqs.weight as well"), "{message}");
}
