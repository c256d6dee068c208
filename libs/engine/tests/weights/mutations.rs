//! Whatever a file holds, reading it ends in a model or in an error.

use std::sync::Arc;

use proptest::prelude::*;
use textnlp_engine::weights::{ModelFiles, TensorRole, WeightsError};

use crate::writer::{Meta, TinyLlama};

/// Reads everything that can be read.
fn exhaust(model: Result<ModelFiles, WeightsError>) {
    if let Ok(model) = model {
        for role in TensorRole::all(model.config()) {
            let _ = model.tensor(role);
        }
        let summary = serde_json::to_string(&model.summary()).expect("a summary is JSON");
        assert!(!summary.is_empty() && model.digest().is_ok());
    }
}

fn tiny_gguf() -> Vec<u8> {
    let mut file = TinyLlama::new(true).gguf();
    file.set("tokenizer.ggml.model", Meta::Text("gpt2"));
    file.set(
        "tokenizer.ggml.tokens",
        Meta::Texts((0..48).map(|id| format!("token{id}")).collect()),
    );
    file.set("tokenizer.ggml.token_type", Meta::I32s(vec![1; 48]));
    file.set("tokenizer.ggml.add_bos_token", Meta::Bool(true));
    file.bytes()
}

/// Bytes to overwrite (place as a share of the header, value), and where to cut.
fn mutation() -> impl Strategy<Value = (Vec<(f64, u8)>, Option<f64>)> {
    (prop::collection::vec((0.0..1.0, any::<u8>()), 1..6), prop::option::weighted(0.2, 0.0..1.0))
}

fn mutate(bytes: &mut Vec<u8>, header: usize, (changes, cut): (Vec<(f64, u8)>, Option<f64>)) {
    for (place, value) in changes {
        bytes[(place * header as f64) as usize] = value;
    }
    if let Some(cut) = cut {
        bytes.truncate((cut * bytes.len() as f64) as usize);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_mutated_gguf_never_panics(mutation in mutation()) {
        let mut bytes = tiny_gguf();
        mutate(&mut bytes, 4000, mutation);
        exhaust(ModelFiles::from_gguf(Arc::new(bytes)));
    }

    #[test]
    fn a_mutated_safetensors_never_panics(mutation in mutation()) {
        let mut bytes = TinyLlama::new(true).safetensors();
        mutate(&mut bytes, 1800, mutation);
        exhaust(ModelFiles::from_safetensors(Arc::new(bytes), TinyLlama::companions(true)));
    }

    #[test]
    fn a_mutated_config_never_panics(mutation in mutation()) {
        let mut companions = TinyLlama::companions(true);
        let mut config = companions.config.take().expect("a config");
        let length = config.len();
        mutate(&mut config, length, mutation);
        companions.config = Some(config);
        exhaust(ModelFiles::from_safetensors(Arc::new(TinyLlama::new(true).safetensors()), companions));
    }

    #[test]
    fn noise_after_the_magic_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        exhaust(ModelFiles::from_gguf(Arc::new([b"GGUF\x03\0\0\0".as_slice(), &noise].concat())));
    }
}
