//! What the tokenizer tests share: goldens, the model's place, vocabularies.

use std::env;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};
use textnlp_engine::tokenizer::Tokenizer;
use textnlp_engine::weights::{GgufTokenizer, SpecialTokens, TokenizerSource};

const MODEL: &str = "models/SmolLM2-135M-Instruct.Q4_1.gguf";

/// `$TEXTNLP_CACHE`, by default `textnlp` in the user's cache directory.
pub(crate) fn model_path() -> PathBuf {
    let cache = env::var_os("TEXTNLP_CACHE").map(PathBuf::from);
    let user = || env::var_os("XDG_CACHE_HOME").map(|cache| PathBuf::from(cache).join("textnlp"));
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/textnlp"));
    let path = cache.or_else(user).or_else(home).expect("HOME is set").join(MODEL);
    assert!(path.is_file(), "{} is missing: run `make model`", path.display());
    path
}

fn golden(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn golden_gz(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(golden(name).as_slice()).read_to_end(&mut bytes).expect("gzip");
    bytes
}

pub(crate) fn json(name: &str) -> Value {
    serde_json::from_slice(&golden(name)).expect("JSON")
}

pub(crate) fn json_gz(name: &str) -> Value {
    serde_json::from_slice(&golden_gz(name)).expect("JSON")
}

/// The 10,000 texts.
pub(crate) fn texts() -> Vec<String> {
    serde_json::from_slice(&golden_gz("tokenizer_texts.json.gz")).expect("texts")
}

/// Ids of each text: their number and they themselves, little-endian u16.
pub(crate) fn ids(name: &str) -> Vec<Vec<u32>> {
    let bytes = golden_gz(name);
    let mut numbers =
        bytes.chunks_exact(2).map(|pair| u32::from(u16::from_le_bytes([pair[0], pair[1]])));
    let mut texts = Vec::new();
    while let Some(count) = numbers.next() {
        texts.push(numbers.by_ref().take(count as usize).collect());
    }
    texts
}

/// GPT-2's vocabulary, which its merges imply, with a pre-tokenizer of llama.cpp.
pub(crate) fn gpt2(pre: &str) -> Tokenizer {
    let source = TokenizerSource::Gguf(gpt2_metadata(pre));
    let special = SpecialTokens { bos: Some(50_256), end: vec![50_256], add_bos: false };
    Tokenizer::new(&source, &special).expect("a tokenizer")
}

/// The same as a GGUF would hold it.
pub(crate) fn gpt2_metadata(pre: &str) -> GgufTokenizer {
    let file = String::from_utf8(golden_gz("tokenizer_gpt2_merges.gz")).expect("text");
    let merges: Vec<String> =
        file.lines().skip(1).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let mut tokens = byte_alphabet();
    tokens.extend(merges.iter().map(|merge| merge.replace(' ', "")));
    tokens.push("<|endoftext|>".to_owned());
    let token_types = (0..tokens.len()).map(|id| if id == 50_256 { 3 } else { 1 }).collect();
    GgufTokenizer {
        model: "gpt2".to_owned(),
        pre: Some(pre.to_owned()),
        tokens,
        token_types,
        merges,
    }
}

/// GPT-2's characters for bytes, in GPT-2's order.
pub(crate) fn byte_alphabet() -> Vec<String> {
    let printable = ('!'..='~').chain('¡'..='¬').chain('®'..='ÿ');
    let others = ('\u{100}'..).take(68);
    printable.chain(others).map(String::from).collect()
}

/// The `tokenizer.json` that says the same as a GGUF with the pre-tokenizer `smollm`.
pub(crate) fn gguf_as_json(metadata: &GgufTokenizer) -> Value {
    let vocab: Map<String, Value> = metadata
        .tokens
        .iter()
        .zip(0..)
        .map(|(token, id): (_, u32)| (token.clone(), id.into()))
        .collect();
    let control = metadata
        .tokens
        .iter()
        .zip(&metadata.token_types)
        .zip(0..)
        .filter(|((_, kind), _)| **kind == 3);
    let added: Vec<Value> = control
        .map(|((token, _), id): (_, u32)| json!({"id": id, "content": token, "special": true, "normalized": false, "single_word": false, "lstrip": false, "rstrip": false}))
        .collect();
    json!({
        "version": "1.0", "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Digits", "individual_digits": true},
            {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        ]},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "vocab": vocab, "merges": metadata.merges},
    })
}
