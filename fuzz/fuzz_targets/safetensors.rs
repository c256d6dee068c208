#![no_main]
//! A safetensors file of any bytes beside a configuration: the input's first bytes say how it is split.

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use textnlp_engine::weights::{Companions, ModelFiles, TensorRole};

/// The configuration that the seed's weights belong to.
const CONFIG: &[u8] = br#"{"architectures":["LlamaForCausalLM"],"model_type":"llama","vocab_size":48,"hidden_size":32,
"intermediate_size":64,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"max_position_embeddings":64,
"rms_norm_eps":1e-5,"rope_theta":10000.0,"hidden_act":"silu","tie_word_embeddings":true}"#;

fuzz_target!(|input: (bool, &[u8], &[u8])| {
    let (own_config, config, weights) = input;
    let config = if own_config { config.to_vec() } else { CONFIG.to_vec() };
    let companions = Companions {
        directory: "model".to_owned(),
        config: Some(config),
        generation_config: None,
        tokenizer: None,
        tokenizer_config: None,
        chat_template: None,
    };
    let Ok(model) = ModelFiles::from_safetensors(Arc::new(weights.to_vec()), companions) else { return };
    for role in TensorRole::all(model.config()) {
        let _ = model.tensor(role);
    }
    let _ = (model.summary(), model.digest());
});
