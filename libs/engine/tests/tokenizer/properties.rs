//! Texts come back, streams decode alike, and no definition makes the reader panic.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use textnlp_engine::tokenizer::{StreamDecoder, Tokenizer};

use crate::inputs::{GPT2, build_json, small_json};

/// Any JSON, with keys and strings that matter to tokenizers.
fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("BPE".to_owned()),
        Just("ByteLevel".to_owned()),
        Just("Split".to_owned()),
        Just("Sequence".to_owned()),
        Just("Replace".to_owned()),
        Just("Metaspace".to_owned()),
        Just("Isolated".to_owned()),
        Just("▁".to_owned()),
        "[a-zé ▁<>(){}*+?\\\\|.]{0,6}",
    ];
    let key = prop_oneof![
        Just("type".to_owned()),
        Just("pattern".to_owned()),
        Just("Regex".to_owned()),
        Just("String".to_owned()),
        Just("content".to_owned()),
        Just("pretokenizers".to_owned()),
        Just("normalizers".to_owned()),
        Just("behavior".to_owned()),
        Just("invert".to_owned()),
        "[a-z]{0,3}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..300u32).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..5)
                .prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

/// Splits of every behaviour, with expressions that match the empty string, nothing, or all.
fn any_split() -> impl Strategy<Value = Value> {
    let behavior = prop::sample::select(vec![
        "Isolated",
        "Removed",
        "MergedWithPrevious",
        "MergedWithNext",
        "Contiguous",
    ]);
    let regex = prop_oneof![
        Just("a*".to_owned()),
        Just("(?=x)".to_owned()),
        Just("$".to_owned()),
        Just("\\b".to_owned()),
        Just("(a+)+$".to_owned()),
        Just("(?!)".to_owned()),
        Just(".".to_owned()),
        "[a-c.|?*+()\\[\\]^$]{1,8}",
    ];
    (behavior, regex, any::<bool>(), any::<bool>()).prop_map(
        |(behavior, pattern, invert, regex)| {
            let pattern =
                if regex { json!({"Regex": pattern}) } else { json!({"String": pattern}) };
            json!({"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert})
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_text_comes_back(text in "\\PC{0,40}|[\\s\\S]{0,40}") {
        let ids = GPT2.encode(&text).expect("ids");
        prop_assert_eq!(GPT2.decode(&ids), text);
        prop_assert!(ids.iter().all(|id| !GPT2.is_special(*id)));
    }

    #[test]
    fn any_ids_stream_as_they_decode(ids in prop::collection::vec(0..50_300u32, 0..40), bytes in prop::collection::vec(0..256u32, 0..20)) {
        let ids: Vec<u32> = ids.into_iter().chain(bytes).collect();
        let mut stream = StreamDecoder::new(Arc::clone(&GPT2));
        let streamed: String = ids.iter().map(|id| stream.push(*id)).collect();
        prop_assert_eq!(streamed + &stream.finish(), GPT2.decode(&ids));
    }

    #[test]
    fn no_json_in_any_place_panics(value in any_json(), place in 0..6usize, text in "[a-z▁ 0-9é]{0,12}") {
        let pointer = ["/normalizer", "/pre_tokenizer", "/decoder", "/model/vocab", "/model/merges", "/added_tokens/0"][place];
        let mut json = small_json();
        *json.pointer_mut(pointer).expect("a place") = value;
        if let Ok(tokenizer) = build_json(&json) {
            let _ = tokenizer.encode(&text);
        }
    }

    #[test]
    fn no_split_panics_on_any_text(splits in prop::collection::vec(any_split(), 1..4), text in "[abcx▁ \n0é漢]{0,24}") {
        let mut json = small_json();
        let byte_level = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true});
        let parts: Vec<Value> = splits.into_iter().chain([byte_level]).collect();
        json["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": parts});
        if let Ok(tokenizer) = build_json(&json) {
            let _ = tokenizer.encode(&text);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..4000usize) {
        let _ = Tokenizer::from_json_bytes(&bytes);
        let mut json = small_json().to_string().into_bytes();
        let at = at % json.len();
        let end = (at + bytes.len().min(5)).min(json.len());
        json.splice(at..end, bytes.iter().copied().take(5));
        let _ = Tokenizer::from_json_bytes(&json);
    }
}
