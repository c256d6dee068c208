//! Safetensors files that are truncated, crafted, or do not fit their configuration: each is refused in words.

use std::sync::Arc;

use serde_json::{Value, json};
use textnlp_engine::weights::{Companions, ModelFiles};

use crate::writer::TinyLlama;

fn check(name: &str, bytes: Vec<u8>, companions: Companions, expected: &str) {
    match ModelFiles::from_safetensors(Arc::new(bytes), companions) {
        Ok(_) => panic!("{name}: accepted"),
        Err(error) => {
            let message = error.to_string();
            assert!(message.contains(expected), "{name}: {message:?} lacks {expected:?}");
        }
    }
}

fn check_bytes(name: &str, bytes: Vec<u8>, expected: &str) {
    check(name, bytes, TinyLlama::companions(false), expected);
}

/// The tiny model with another header text.
fn with_header(change: impl FnOnce(String) -> String) -> Vec<u8> {
    let bytes = TinyLlama::new(false).safetensors();
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header = change(String::from_utf8(bytes[8..8 + length].to_vec()).expect("JSON"));
    [(header.len() as u64).to_le_bytes().as_slice(), header.as_bytes(), &bytes[8 + length..]]
        .concat()
}

fn with_tensor(name: &str, change: impl FnOnce(&mut Value)) -> Vec<u8> {
    with_header(|text| {
        let mut header: Value = serde_json::from_str(&text).expect("JSON");
        change(&mut header[name]);
        header.to_string()
    })
}

#[test]
fn a_file_truncated_at_any_byte_of_its_header_is_refused() {
    let bytes = TinyLlama::new(false).safetensors();
    let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    for length in 0..8 + length {
        let source = Arc::new(bytes[..length].to_vec());
        let opened = ModelFiles::from_safetensors(source, TinyLlama::companions(false));
        assert!(!opened.map(|_| ()).expect_err("truncated").to_string().is_empty());
    }
    check_bytes("last byte", bytes[..bytes.len() - 1].to_vec(), "1 bytes are missing");
    check_bytes("one more", [bytes, vec![0]].concat(), "1 bytes follow the last tensor");
}

#[test]
fn headers_that_lie_are_refused() {
    let name = "model.norm.weight";
    check_bytes(
        "length",
        [u64::MAX.to_le_bytes().as_slice(), b"{"].concat(),
        "begins with ffffffff",
    );
    check_bytes(
        "length",
        [1000u64.to_le_bytes().as_slice(), b"{"].concat(),
        "needs 1000 bytes, but 1 remain",
    );
    check_bytes("no JSON", with_header(|text| text.replacen(':', ";", 1)), "the header: expected");
    check_bytes(
        "overlap",
        with_tensor(name, |tensor| tensor["data_offsets"] = json!([0, 128])),
        "invalid offset",
    );
    check_bytes(
        "order",
        with_tensor(name, |tensor| tensor["data_offsets"] = json!([9, 1])),
        "invalid offset",
    );
    check_bytes(
        "shape",
        with_tensor(name, |tensor| tensor["shape"] = json!([31])),
        "invalid shape",
    );
    check_bytes(
        "product",
        with_tensor(name, |tensor| tensor["shape"] = json!([1u64 << 40, 1u64 << 40])),
        "overflow computing buffer size",
    );
    check_bytes(
        "negative",
        with_tensor(name, |tensor| tensor["shape"] = json!([-1])),
        "the header: invalid value",
    );
    check_bytes(
        "dtype",
        with_tensor(name, |tensor| tensor["dtype"] = json!("F99")),
        "unknown variant `F99`",
    );
    let twice = |text: String| {
        let entry =
            format!("{{\"{name}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}},");
        text.replacen('{', &entry, 1)
    };
    check_bytes("twice", with_header(twice), "appears twice");
}

#[test]
fn an_unsupported_type_is_refused_with_the_supported_ones() {
    let bytes = with_tensor("model.norm.weight", |tensor| tensor["dtype"] = json!("I32"));
    check_bytes(
        "I32",
        bytes,
        "tensor model.norm.weight: type I32 is not supported; supported are F32, F16, BF16",
    );
}

#[test]
fn other_formats_are_refused_by_their_names() {
    check_bytes("pickle", b"\x80\x02\x8a\x0alF\xf9\x9c".to_vec(), "pickle checkpoints run code");
    check_bytes("zip", b"PK\x03\x04archive/data.pkl".to_vec(), "pickle checkpoints run code");
    check_bytes("gguf", TinyLlama::new(false).gguf().bytes(), "extension .gguf");
    check_bytes("lfs", b"version https://git-lfs.github.com/spec/v1\noid".to_vec(), "git lfs pull");
}

#[test]
fn companions_that_do_not_fit_are_refused() {
    let bytes = || TinyLlama::new(false).safetensors();
    let fitting = || TinyLlama::companions(false);
    check("no config", bytes(), Companions::default(), "config.json is missing beside it");
    let config = |text: &str| Companions { config: Some(text.as_bytes().to_vec()), ..fitting() };
    check("no JSON", bytes(), config("{"), "config.json: document: is no valid JSON");
    check("list", bytes(), config("[]"), "is no JSON object");
    check("deep", bytes(), config(&"[".repeat(100_000)), "recursion limit");
    let tokenizer =
        |text: &str| Companions { tokenizer: Some(text.as_bytes().to_vec()), ..fitting() };
    check(
        "no tokenizer",
        bytes(),
        tokenizer("GIF89a"),
        "tokenizer.json: document: is no tokenizer definition",
    );
    check(
        "vocabulary",
        bytes(),
        tokenizer(r#"{"model":{"vocab":{"a":48}}}"#),
        "has ids up to 48, but",
    );
    let added = r#"{"model":{"vocab":{}},"added_tokens":[{"id":99,"content":"x"}]}"#;
    check("added token", bytes(), tokenizer(added), "has ids up to 99, but");
    let generation = Some(br#"{"eos_token_id":[2,48]}"#.to_vec());
    check(
        "eos",
        bytes(),
        Companions { generation_config: generation, ..fitting() },
        "the vocabulary has 48 tokens",
    );
    let template = Some(br#"{"chat_template":[{"name":"rag","template":"x"}]}"#.to_vec());
    check(
        "template",
        bytes(),
        Companions { tokenizer_config: template, ..fitting() },
        "without a template named default",
    );
}
