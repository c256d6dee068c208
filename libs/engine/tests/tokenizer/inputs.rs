//! Tokenizers from damaged, contradictory and hostile definitions, and texts that are hard to encode or decode.

use std::sync::{Arc, LazyLock};

use serde_json::{Value, json};
use textnlp_engine::tokenizer::{MAX_TEXT_BYTES, Piece, StreamDecoder, Tokenizer, TokenizerError};
use textnlp_engine::weights::{GgufTokenizer, SpecialTokens, TokenizerSource};

use crate::support::{byte_alphabet, gpt2};

pub(crate) static GPT2: LazyLock<Arc<Tokenizer>> = LazyLock::new(|| Arc::new(gpt2("gpt-2")));

/// 256 bytes, `he` (256), `llo` (258), an end of text (259) and a user-defined token (260).
fn small() -> GgufTokenizer {
    let mut tokens = byte_alphabet();
    tokens.extend(["he", "ll", "llo", "<|end|>", "<tool call>"].map(str::to_owned));
    let mut token_types = vec![1; 259];
    token_types.extend([3, 4]);
    let merges = ["h e", "l l", "ll o"].map(str::to_owned).to_vec();
    GgufTokenizer { model: "gpt2".to_owned(), pre: None, tokens, token_types, merges }
}

fn build(gguf: GgufTokenizer) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::new(&TokenizerSource::Gguf(gguf), &SpecialTokens::default())
}

/// A small `tokenizer.json` in GPT-2's manner.
pub(crate) fn small_json() -> Value {
    let mut tokens = byte_alphabet();
    tokens.extend(["he", "ll", "llo"].map(str::to_owned));
    let vocab: serde_json::Map<String, Value> =
        tokens.into_iter().zip(0..).map(|(token, id): (_, u32)| (token, id.into())).collect();
    let token = |id: u32, content: &str, special: bool| {
        json!({"id": id, "content": content, "special": special, "normalized": false, "single_word": false,
               "lstrip": false, "rstrip": false})
    };
    json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [token(259, "<|end|>", true), token(260, "<tool call>", false)],
        "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true},
        "post_processor": null, "decoder": {"type": "ByteLevel"},
        "model": {"type": "BPE", "vocab": vocab, "merges": ["h e", ["l", "l"], "ll o"]},
    })
}

pub(crate) fn build_json(json: &Value) -> Result<Tokenizer, TokenizerError> {
    Tokenizer::from_json_bytes(json.to_string().as_bytes())
}

#[test]
fn user_defined_tokens_are_matched_in_text_and_control_tokens_are_not() {
    for tokenizer in [build(small()).expect("GGUF"), build_json(&small_json()).expect("JSON")] {
        assert_eq!(tokenizer.encode("hello").expect("ids"), [256, 258]);
        let ids = tokenizer.encode("x<tool call>y<|end|>").expect("ids");
        assert_eq!(ids[1], 260);
        assert!(!ids.contains(&259));
        assert_eq!(tokenizer.decode(&ids), "x<tool call>y<|end|>");
        assert_eq!(tokenizer.encode_pieces(&[Piece::Special(259)]).expect("ids"), [259]);
    }
}

#[test]
fn neighbouring_texts_count_as_one() {
    let tokenizer = build(small()).expect("a tokenizer");
    let pieces = ["h", "", "el", "lo"].map(|text| Piece::Text(text.into()));
    assert_eq!(tokenizer.encode_pieces(&pieces).expect("ids"), [256, 258]);
    assert_eq!(tokenizer.encode_pieces(&[]).expect("ids"), [0; 0]);
    let error = tokenizer.encode_pieces(&[Piece::Special(261)]).unwrap_err();
    assert_eq!(error.to_string(), "there is no token 261: the vocabulary ends at 260");
}

#[test]
fn a_prompt_begins_with_bos_only_where_the_model_wants_it() {
    let source = TokenizerSource::Gguf(small());
    let with = |add_bos| SpecialTokens { bos: Some(259), end: vec![259], add_bos };
    assert_eq!(
        Tokenizer::new(&source, &with(true)).unwrap().encode_prompt("he").unwrap(),
        [259, 256]
    );
    assert_eq!(Tokenizer::new(&source, &with(false)).unwrap().encode_prompt("he").unwrap(), [256]);
}

#[test]
fn an_end_token_is_special_unless_it_is_a_word_of_the_language() {
    let mut gguf = small();
    gguf.token_types.clear();
    let end = SpecialTokens { bos: None, end: vec![259, 256, 198], add_bos: false };
    let tokenizer = Tokenizer::new(&TokenizerSource::Gguf(gguf), &end).expect("a tokenizer");
    assert!(tokenizer.is_special(259), "no merge makes <|end|>");
    assert!(!tokenizer.is_special(256), "a merge makes `he`");
    assert!(!tokenizer.is_special(198), "a byte");
    assert_eq!(tokenizer.encode("he\n").expect("ids"), [256, 198]);
}

#[test]
fn merges_cannot_make_a_special_token_out_of_text() {
    let mut gguf = small();
    gguf.token_types[258] = 3;
    let tokenizer = build(gguf).expect("a tokenizer");
    assert_eq!(tokenizer.encode("llo").expect("ids"), [257, tokenizer.token_id("o").expect("o")]);
    let mut json = small_json();
    json["model"]["ignore_merges"] = true.into();
    json["model"]["unk_token"] = "he".into();
    json["added_tokens"][0] = json!({"id": 258, "content": "llo", "special": true});
    let tokenizer = build_json(&json).expect("a tokenizer");
    let ids = tokenizer.encode("llo he").expect("ids");
    assert!(!ids.contains(&258) && !ids.contains(&256), "{ids:?}");
}

#[test]
fn contradictory_gguf_metadata_is_refused_with_the_place() {
    let check = |change: &dyn Fn(&mut GgufTokenizer), expect: &str| {
        let mut gguf = small();
        change(&mut gguf);
        assert_eq!(build(gguf).expect_err(expect).to_string(), expect);
    };
    check(
        &|g| g.model = "llama".to_owned(),
        "tokenizer.ggml.model is \"llama\"; supported: gpt2 (byte-level BPE)",
    );
    check(
        &|g| g.pre = Some("deepseek-llm".to_owned()),
        "tokenizer.ggml.pre is \"deepseek-llm\"; supported: gpt-2 (also when there is none), smollm, llama-bpe, qwen2",
    );
    check(&|g| g.tokens[5] = "he".to_owned(), "vocabulary: tokens 5 and 256 are both \"he\"");
    check(
        &|g| g.token_types.truncate(3),
        "vocabulary: tokenizer.ggml.tokens has 261 entries, tokenizer.ggml.token_type has 3",
    );
    check(
        &|g| g.token_types[7] = 6,
        "tokenizer.ggml.token_type of token 7 is 6; supported: 1 (normal), 2 (unknown), 3 (control), 4 (user defined), 5 (unused)",
    );
    check(&|g| g.merges[1] = "l x".to_owned(), "merge 1: \"lx\" is not in the vocabulary");
    check(&|g| g.merges[1] = "l ñá".to_owned(), "merge 1: \"ñá\" is not in the vocabulary");
    check(
        &|g| g.merges[0] = "he".to_owned(),
        "merge 0: \"he\" is not two tokens with one space between them",
    );
    check(
        &|g| g.merges[0] = "h e ".to_owned(),
        "merge 0: \"h e \" is not two tokens with one space between them",
    );
    check(&|g| g.merges.push("h e".to_owned()), "merge 3: \"h\" and \"e\" are merged twice");
    check(
        &|g| *g = GgufTokenizer { model: "gpt2".to_owned(), ..GgufTokenizer::default() },
        "vocabulary: it is empty",
    );
    // A merge longer than any token: `tokenizers` alone would panic.
    check(
        &|g| g.merges.push("<|end|> <|end|>".to_owned()),
        "merge 3: \"<|end|><|end|>\" is not in the vocabulary",
    );
}

#[test]
fn ids_of_special_tokens_must_lie_in_the_vocabulary() {
    let check = |special: SpecialTokens, expect: &str| {
        let error = Tokenizer::new(&TokenizerSource::Gguf(small()), &special).expect_err(expect);
        assert_eq!(error.to_string(), expect);
    };
    check(
        SpecialTokens { end: vec![261], ..SpecialTokens::default() },
        "there is no token 261: the vocabulary ends at 260",
    );
    check(
        SpecialTokens { add_bos: true, ..SpecialTokens::default() },
        "vocabulary: a prompt shall begin with the beginning-of-text token, but the model names none",
    );
    let error = Tokenizer::new(&TokenizerSource::Missing, &SpecialTokens::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the model has no tokenizer: put its tokenizer.json beside the weights"
    );
}

#[test]
fn a_contradictory_tokenizer_json_is_refused_with_the_place() {
    let check = |pointer: &str, value: Value, expect: &str| {
        let mut json = small_json();
        match json.pointer_mut(pointer) {
            Some(place) => *place = value,
            None => {
                let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
                json.pointer_mut(parent).expect("a parent")[key] = value;
            }
        }
        assert_eq!(build_json(&json).expect_err(expect).to_string(), expect);
    };
    check("/model/type", json!("Unigram"), "model.type is \"Unigram\"; supported: BPE");
    check(
        "/model/dropout",
        json!(0.1),
        "model.dropout is 0.1; supported: null (random ids are for training)",
    );
    check(
        "/model/end_of_word_suffix",
        json!("</w>"),
        "model.end_of_word_suffix is \"</w>\"; supported: null or an empty string",
    );
    check("/model/unk_token", json!("<unk>"), "vocabulary: model.unk_token \"<unk>\" is not in it");
    check("/model/vocab/he", json!(7), "vocabulary: id 7 is both \"(\" and \"he\"");
    check(
        "/model/vocab/he",
        json!(4_000_000_000u32),
        "the vocabulary (largest id) has 4000000000, at most 1048575 are accepted",
    );
    check(
        "/added_tokens/0/id",
        json!(3),
        "vocabulary: added token \"<|end|>\" has id 3, but model.vocab or another added token says otherwise",
    );
    check("/model/merges/0", json!(["h", ""]), "merge 0: one of its tokens is empty");
    check("/model/merges/0", json!(["h", "ello"]), "merge 0: \"ello\" is not in the vocabulary");
    check(
        "/decoder",
        json!({"type": "WordPiece"}),
        "decoder is \"{\\\"type\\\":\\\"WordPiece\\\"}\"; supported: ByteLevel, or the Sequence Replace(\"▁\" by \" \"), ByteFallback, Fuse and perhaps Strip(\" \", start 1)",
    );
    check(
        "/pre_tokenizer",
        json!({"type": "Digits", "individual_digits": true}),
        "pre_tokenizer is \"{\\\"type\\\":\\\"Digits\\\",\\\"individual_digits\\\":true}\"; supported: one that ends with ByteLevel, as the decoder does",
    );
    check(
        "/normalizer",
        json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        "normalizer is \"{\\\"type\\\":\\\"Precompiled\\\",\\\"precompiled_charsmap\\\":\\\"AAAA\\\"}\"; supported: NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace (of a string), Sequence",
    );
}

#[test]
fn a_hostile_pre_tokenizer_is_refused() {
    let check = |split: Value, expect: &str| {
        let mut json = small_json();
        json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": [split, {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true}]});
        let error = build_json(&json).expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}");
    };
    let split = |pattern: Value| json!({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false});
    check(
        split(json!({"Regex": "(a{1000}){1000}"})),
        "an expression of the pre_tokenizer (repetitions) has 1000, at most 64 are accepted",
    );
    check(split(json!({"Regex": "a{99999999999999999999999}"})), "at most 64 are accepted");
    check(split(json!({"Regex": "(((\\w{64}){64}){64}){64}"})), "pre_tokenizer: ");
    check(
        split(json!({"Regex": "x".repeat(2000)})),
        "a string of the pre_tokenizer (bytes) has 2000, at most 1024 are accepted",
    );
    check(split(json!({"Regex": "("})), "pre_tokenizer: ");
    check(split(json!({"Regex": "(".repeat(1000)})), "pre_tokenizer: ");
    check(split(json!({"String": ""})), "pre_tokenizer: a Split's pattern is empty");
    check(split(json!(7)), "a Split's pattern is {\"Regex\": …} or {\"String\": …}, not \"7\"");
    check(json!({"type": "FixedLength", "length": 0}), "supported: ByteLevel, Digits");
    let digits = json!({"type": "Digits", "individual_digits": true});
    check(
        json!({"type": "Sequence", "pretokenizers": vec![digits; 17]}),
        "pre_tokenizer (members of a sequence)",
    );
    check(json!({"type": "Sequence"}), "pre_tokenizer: a Sequence without pretokenizers");
}

#[test]
fn damaged_json_is_refused_with_line_and_column() {
    let check = |json: &[u8], expect: &str| {
        let error = Tokenizer::from_json_bytes(json).expect_err(expect).to_string();
        assert!(error.starts_with("tokenizer.json: ") && error.contains(expect), "{error}");
    };
    check(b"", "line 1 column 0");
    check(b"\x00\xff", "line 1 column 1");
    check(b"[]", "line 1 column 2");
    check(b"{\"model\":{\"type\":\"BPE\"}}", "missing field `vocab`");
    check(b"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "line 1 column");
    check(
        b"{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}}",
        "a merge has two tokens",
    );
    check(format!("{{\"normalizer\":{}", "[".repeat(100_000)).as_bytes(), "EOF while parsing");
    let nested = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let nested = small_json()
        .to_string()
        .replace("\"normalizer\":null", &format!("\"normalizer\":{nested}"));
    check(nested.as_bytes(), "recursion limit exceeded");
    let error = Tokenizer::from_json_bytes(&vec![b' '; (64 << 20) + 1]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "tokenizer.json (bytes) has 67108865, at most 67108864 are accepted"
    );
    let twice = small_json().to_string().replace("\"he\":256", "\"he\":256,\"he\":256");
    let error = Tokenizer::from_json_bytes(twice.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "vocabulary: \"he\" stands twice in model.vocab");
}

#[test]
fn the_longest_texts_are_tokenized_and_longer_ones_refused() {
    for unit in ["a", "abcdefghij", " ", "9", "漢", "'s "] {
        let text = unit.repeat(MAX_TEXT_BYTES / unit.len());
        let ids = GPT2.encode(&text).expect("ids");
        assert_eq!(GPT2.decode(&ids), text);
    }
    // The expression for spaces at the end of a run looks back over all of it.
    let spaces = " ".repeat(MAX_TEXT_BYTES - 2);
    let ids = GPT2.encode(&format!("{spaces} x")).expect("ids");
    assert_eq!(
        ids[ids.len() - 1],
        GPT2.token_id("Ġx").expect("a token"),
        "the last space belongs to the word"
    );
    let error = GPT2.encode(&"a".repeat(10 << 20)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the text has 10485760 bytes, at most 1000000 can be tokenized at once"
    );
}

#[test]
fn a_character_in_pieces_is_held_back_until_it_is_whole() {
    let byte = |byte: u8| {
        (0..256).find(|id| GPT2.token_bytes(*id) == Some(&[byte])).expect("every byte is a token")
    };
    let check = |bytes: &[u8], expect: &[&str], rest: &str| {
        let mut stream = StreamDecoder::new(Arc::clone(&GPT2));
        let found: Vec<String> = bytes.iter().map(|b| stream.push(byte(*b))).collect();
        assert_eq!(
            (found, stream.finish()),
            (expect.iter().map(|s| s.to_string()).collect(), rest.to_owned())
        );
    };
    check("é!".as_bytes(), &["", "é", "!"], "");
    check("👍".as_bytes(), &["", "", "", "👍"], "");
    check(&[0xF0, 0x9F], &["", ""], "\u{FFFD}");
    check(&[0xE2, b'a'], &["", "\u{FFFD}a"], "");
    check(&[0x80, 0xFF, 0xC3], &["\u{FFFD}", "\u{FFFD}", ""], "\u{FFFD}");
    check(&[0xF0, 0x9F, 0x91, 0xF0], &["", "", "", "\u{FFFD}"], "\u{FFFD}");
    let mut stream = StreamDecoder::new(Arc::clone(&GPT2));
    assert_eq!(stream.push(byte(0xC3)), "");
    assert_eq!(stream.push(50_256), "", "a special token shows nothing");
    assert_eq!(stream.push(60_000), "", "an unknown id shows nothing");
    assert_eq!(stream.push(byte(0xA9)), "é");
}
