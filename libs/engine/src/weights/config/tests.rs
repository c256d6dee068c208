//! Configurations as published, and every option that is refused.

use serde_json::{Value, json};

use super::super::{Architecture, ModelConfig};
use super::rope::Llama3;
use super::{Json, from_config_json, rope};

fn parse(config: &Value) -> Result<(ModelConfig, bool), String> {
    let json = Json::parse("config.json", config.to_string().as_bytes())
        .map_err(|error| error.to_string())?;
    from_config_json(&json).map_err(|error| error.to_string())
}

/// Llama 3.2 1B, as transformers 4 writes it.
fn llama() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "attention_bias": false, "bos_token_id": 128000, "head_dim": 64,
        "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 8192, "max_position_embeddings": 131072,
        "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16,
        "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_theta": 500000.0,
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "tie_word_embeddings": true, "vocab_size": 128256,
    })
}

/// GPT-2 small, as the hub has it.
fn gpt2() -> Value {
    json!({
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
        "vocab_size": 50257,
    })
}

/// Mistral 7B v0.1 with a head width of its own and no window.
fn mistral() -> Value {
    let mut config = llama();
    config["architectures"] = json!(["MistralForCausalLM"]);
    config["model_type"] = json!("mistral");
    config["head_dim"] = json!(128);
    config["sliding_window"] = Value::Null;
    config
}

#[test]
fn llama_3_is_read_with_its_scaling() {
    let (mut config, tied) = parse(&llama()).expect("a configuration");
    let factors = config.rope_factors.take().expect("factors");
    assert_eq!((factors.len(), factors[0], factors[31]), (32, 1.0, 32.0));
    assert!(tied);
    let expected = ModelConfig {
        architecture: Architecture::Llama,
        vocab_size: 128_256,
        hidden_size: 2048,
        layers: 16,
        heads: 32,
        kv_heads: 8,
        head_dim: 64,
        ffn_size: 8192,
        context_tokens: 131_072,
        norm_epsilon: 1e-5,
        rope_theta: 500_000.0,
        rope_factors: None,
    };
    assert_eq!(config, expected);
}

#[test]
fn gpt2_is_read_with_its_defaults() {
    let (config, tied) = parse(&gpt2()).expect("a configuration");
    assert!(tied);
    assert_eq!(
        (config.architecture, config.ffn_size, config.head_dim),
        (Architecture::Gpt2, 3072, 64)
    );
    assert_eq!((config.kv_heads, config.context_tokens, config.vocab_size), (12, 1024, 50_257));
}

#[test]
fn mistral_is_a_llama_whose_heads_may_be_wider_than_its_share() {
    let (config, _) = parse(&mistral()).expect("a configuration");
    assert_eq!((config.architecture, config.heads * config.head_dim), (Architecture::Llama, 4096));
}

#[test]
fn both_spellings_of_the_rotary_parameters_are_the_same() {
    let mut config = llama();
    let mut parameters = config["rope_scaling"].take();
    parameters["rope_theta"] = config["rope_theta"].take();
    config["rope_parameters"] = parameters;
    assert_eq!(parse(&config), parse(&llama()));
}

#[test]
fn whole_numbers_may_be_written_with_or_without_a_point() {
    let mut config = llama();
    config["rope_theta"] = json!(500_000);
    config["partial_rotary_factor"] = json!(1);
    assert_eq!(parse(&config), parse(&llama()));
}

#[test]
fn rotary_factors_are_those_of_transformers() {
    let goldens = include_str!("../../../tests/goldens/weights/rope.json");
    let goldens: Vec<Value> = serde_json::from_str(goldens).expect("JSON");
    for golden in &goldens {
        let (theta, head_dim) = (golden["theta"].as_f64(), golden["headDim"].as_u64());
        let (theta, head_dim) =
            (theta.expect("a number") as f32, head_dim.expect("a number") as usize);
        let number = |key: &str| golden["scaling"][key].as_f64().expect("a number");
        let factors = match golden["scaling"]["rope_type"].as_str() {
            Some("llama3") => Llama3 {
                factor: number("factor"),
                low_freq_factor: number("low_freq_factor"),
                high_freq_factor: number("high_freq_factor"),
                original_context: number("original_max_position_embeddings"),
            }
            .factors(theta, head_dim),
            _ => rope::linear_factors(number("factor") as f32, head_dim),
        };
        let expected = golden["factors"].as_array().expect("a list");
        assert_eq!(factors.len(), expected.len());
        for (factor, expected) in factors.iter().zip(expected) {
            let expected = expected.as_f64().expect("a number");
            // transformers computes in f32: a few units in the last place of theta's powers.
            assert!(
                (f64::from(*factor) / expected - 1.0).abs() < 5e-6,
                "{factor} instead of {expected}"
            );
        }
    }
}

#[test]
fn what_is_out_of_range_or_not_supported_is_refused_by_its_name() {
    let check = |config: Value, key: &str, value: Value, expected: &str| {
        let mut changed = config;
        changed[key] = value;
        let message = parse(&changed).expect_err(key);
        assert!(
            message.starts_with("config.json") && message.contains(key),
            "{message:?} lacks the name {key}"
        );
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    };
    let known = "LlamaForCausalLM (llama), MistralForCausalLM (mistral), GPT2LMHeadModel (gpt2)";
    check(llama(), "architectures", json!(["BertModel"]), known);
    check(llama(), "architectures", json!([]), known);
    check(llama(), "model_type", json!("gpt2"), "\"llama\" here");
    check(json!({}), "model_type", json!("mamba"), known);
    check(json!({}), "model_type", Value::Null, "missing");
    check(llama(), "quantization_config", json!({"quant_method": "gptq"}), "or GGUF");
    for key in [
        "hidden_size",
        "num_attention_heads",
        "num_hidden_layers",
        "intermediate_size",
        "vocab_size",
    ] {
        check(llama(), key, json!(0), "is 0, but 1 to");
        check(llama(), key, json!(u64::MAX), "but 1 to");
        check(llama(), key, json!(-1), "a non-negative integer is needed");
        check(llama(), key, json!("many"), "is \"many\", but a non-negative integer is needed");
        check(llama(), key, Value::Null, "missing");
    }
    check(llama(), "num_key_value_heads", json!(5), "do not divide the 32 query heads");
    check(llama(), "head_dim", json!(63), "an even number");
    check(llama(), "rms_norm_eps", json!(0), "a positive finite number");
    check(llama(), "rms_norm_eps", json!(-1e-5), "a positive finite number");
    check(llama(), "rope_theta", json!(0), "a positive finite number");
    check(llama(), "rope_theta", json!(1e300), "a positive finite number");
    check(
        llama(),
        "attention_bias",
        json!(true),
        "is true, which is not supported; supported: false",
    );
    check(llama(), "mlp_bias", json!(true), "supported: false");
    check(
        llama(),
        "hidden_act",
        json!("relu"),
        "is \"relu\", which is not supported; supported: \"silu\"",
    );
    check(llama(), "partial_rotary_factor", json!(0.5), "supported: 1");
    check(
        llama(),
        "rope_scaling",
        json!({"type": "dynamic", "factor": 2.0}),
        "supported: default, linear, llama3",
    );
    check(
        llama(),
        "rope_scaling",
        json!({"rope_type": "yarn"}),
        "supported: default, linear, llama3",
    );
    check(llama(), "rope_scaling", json!({"rope_type": "linear"}), "factor: missing");
    check(llama(), "rope_scaling", json!("linear"), "an object is needed");
    check(mistral(), "sliding_window", json!(4096), "as long as the context");
    check(gpt2(), "activation_function", json!("relu"), "supported: \"gelu_new\"");
    check(gpt2(), "scale_attn_by_inverse_layer_idx", json!(true), "supported: false");
    check(gpt2(), "scale_attn_weights", json!(false), "supported: true");
    check(gpt2(), "add_cross_attention", json!(true), "supported: false");
    check(gpt2(), "n_head", json!(11), "11 heads do not divide the width, 768");
}
