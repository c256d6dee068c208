//! The parts of a `tokenizer.json` around its model: normalizer, pre-tokenizer, decoder. Each is checked by name and
//! by what could hurt before `tokenizers` builds it.

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper};

use super::alphabet::Alphabet;
use super::error::{TokenizerError, quoted};

const NORMALIZERS: &[&str] =
    &["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Prepend", "Replace", "Sequence"];
const NORMALIZERS_TEXT: &str =
    "NFC, NFD, NFKC, NFKD, Lowercase, Prepend, Replace (of a string), Sequence";
const PRE_TOKENIZERS: &[&str] =
    &["ByteLevel", "Digits", "Metaspace", "Punctuation", "Split", "Sequence"];
const PRE_TOKENIZERS_TEXT: &str = "ByteLevel, Digits, Metaspace, Punctuation, Split, Sequence";
const DECODERS_TEXT: &str = "ByteLevel, or the Sequence Replace(\"▁\" by \" \"), ByteFallback, Fuse and perhaps Strip(\" \", start 1)";

/// Most normalizers or pre-tokenizers in a sequence.
const MAX_PARTS: usize = 16;
/// Longest expression or string of a part, in bytes.
const MAX_PATTERN_BYTES: usize = 1024;
/// Largest count in an expression's braces: nested counts multiply.
const MAX_REPETITION: usize = 64;

/// What a decoder says about the vocabulary.
pub(super) struct Decoding {
    /// How tokens write bytes.
    pub(super) alphabet: Alphabet,
    /// Whether one space at the start is dropped.
    pub(super) strips_first_space: bool,
}

/// Recognises the two decoders of BPE models.
pub(super) fn decoder(value: &Value) -> Result<Decoding, TokenizerError> {
    if kind(value) == Some("ByteLevel") {
        return Ok(Decoding { alphabet: Alphabet::Bytes, strips_first_space: false });
    }
    let steps =
        value.get("decoders").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let replaces = |step: &Value| {
        kind(step) == Some("Replace") && step["pattern"]["String"] == "▁" && step["content"] == " "
    };
    let strips = |step: &Value| {
        kind(step) == Some("Strip")
            && step["content"] == " "
            && step["start"] == 1
            && step["stop"] == 0
    };
    let (strip, kinds) = match steps {
        [replace, fallback, fuse] if replaces(replace) => (false, [kind(fallback), kind(fuse)]),
        [replace, fallback, fuse, strip] if replaces(replace) && strips(strip) => {
            (true, [kind(fallback), kind(fuse)])
        }
        _ => (false, [None, None]),
    };
    if kind(value) != Some("Sequence") || kinds != [Some("ByteFallback"), Some("Fuse")] {
        return Err(unsupported("decoder", value, DECODERS_TEXT));
    }
    Ok(Decoding { alphabet: Alphabet::SentencePiece, strips_first_space: strip })
}

/// Builds the normalizer, if there is one.
pub(super) fn normalizer(value: &Value) -> Result<Option<NormalizerWrapper>, TokenizerError> {
    for part in parts(value, "normalizer", "normalizers")? {
        match kind(part) {
            Some(name) if NORMALIZERS.contains(&name) => {}
            _ => return Err(unsupported("normalizer", part, NORMALIZERS_TEXT)),
        }
        if kind(part) == Some("Replace") {
            match part["pattern"].get("String").and_then(Value::as_str) {
                Some(pattern) if !pattern.is_empty() => check_length("normalizer", pattern)?,
                _ => return Err(unsupported("normalizer", part, NORMALIZERS_TEXT)),
            }
        }
        for text in
            ["content", "prepend"].iter().filter_map(|key| part.get(key).and_then(Value::as_str))
        {
            check_length("normalizer", text)?;
        }
    }
    build(value, "normalizer")
}

/// Builds the pre-tokenizer, if there is one; it must write bytes as the decoder reads them.
pub(super) fn pre_tokenizer(
    value: &Value,
    alphabet: Alphabet,
) -> Result<Option<PreTokenizerWrapper>, TokenizerError> {
    let parts = parts(value, "pre_tokenizer", "pretokenizers")?;
    for part in &parts {
        match kind(part) {
            Some(name) if PRE_TOKENIZERS.contains(&name) => {}
            _ => return Err(unsupported("pre_tokenizer", part, PRE_TOKENIZERS_TEXT)),
        }
        if kind(part) == Some("Split") {
            check_pattern(&part["pattern"])?;
        }
    }
    let byte_levels = parts.iter().filter(|part| kind(part) == Some("ByteLevel")).count();
    let last = parts.last().and_then(|part| kind(part));
    match alphabet {
        Alphabet::Bytes if byte_levels != 1 || last != Some("ByteLevel") => Err(unsupported(
            "pre_tokenizer",
            value,
            "one that ends with ByteLevel, as the decoder does",
        )),
        Alphabet::SentencePiece if byte_levels != 0 => Err(unsupported(
            "pre_tokenizer",
            value,
            "one without ByteLevel, as the decoder has none",
        )),
        _ => build(value, "pre_tokenizer"),
    }
}

/// The leaves of nested sequences, in order.
fn parts<'v>(value: &'v Value, part: &str, list: &str) -> Result<Vec<&'v Value>, TokenizerError> {
    let mut leaves = Vec::new();
    let mut open = if value.is_null() { Vec::new() } else { vec![value] };
    // `open` is a stack: a sequence's members go on it last first. serde_json has bounded the nesting.
    while let Some(next) = open.pop() {
        match next.get(list).and_then(Value::as_array) {
            Some(members) if kind(next) == Some("Sequence") => open.extend(members.iter().rev()),
            _ if kind(next) == Some("Sequence") => {
                return Err(TokenizerError::Part {
                    part: part.to_owned(),
                    problem: format!("a Sequence without {list}"),
                });
            }
            _ => leaves.push(next),
        }
        if leaves.len() + open.len() > MAX_PARTS {
            return Err(TokenizerError::Limit {
                what: format!("{part} (members of a sequence)"),
                found: leaves.len() + open.len(),
                limit: MAX_PARTS,
            });
        }
    }
    Ok(leaves)
}

fn kind(value: &Value) -> Option<&str> {
    value.get("type").and_then(Value::as_str)
}

fn build<P: DeserializeOwned>(value: &Value, part: &str) -> Result<Option<P>, TokenizerError> {
    serde_json::from_value(value.clone()).map_err(|problem| TokenizerError::Part {
        part: part.to_owned(),
        problem: problem.to_string(),
    })
}

fn unsupported(what: &str, value: &Value, supported: &'static str) -> TokenizerError {
    TokenizerError::Unsupported {
        what: what.to_owned(),
        found: quoted(&value.to_string()),
        supported,
    }
}

fn check_length(part: &str, text: &str) -> Result<(), TokenizerError> {
    if text.len() <= MAX_PATTERN_BYTES {
        return Ok(());
    }
    Err(TokenizerError::Limit {
        what: format!("a string of the {part} (bytes)"),
        found: text.len(),
        limit: MAX_PATTERN_BYTES,
    })
}

/// A split's pattern: not empty, not long, and without counts that blow the compiled expression up.
fn check_pattern(pattern: &Value) -> Result<(), TokenizerError> {
    let problem =
        |problem: String| Err(TokenizerError::Part { part: "pre_tokenizer".to_owned(), problem });
    let regex = pattern.get("Regex").and_then(Value::as_str);
    let Some(text) = regex.or_else(|| pattern.get("String").and_then(Value::as_str)) else {
        return problem(format!(
            "a Split's pattern is {{\"Regex\": …}} or {{\"String\": …}}, not {}",
            quoted(&pattern.to_string())
        ));
    };
    if text.is_empty() {
        return problem("a Split's pattern is empty".to_owned());
    }
    check_length("pre_tokenizer", text)?;
    if regex.is_none() {
        return Ok(());
    }
    let counts = text
        .split('{')
        .skip(1)
        .filter_map(|rest| rest.split('}').next())
        .flat_map(|counts| counts.split(','));
    let digits = counts
        .map(str::trim)
        .filter(|count| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()));
    match digits
        .map(|count| count.parse().unwrap_or(usize::MAX))
        .find(|count| *count > MAX_REPETITION)
    {
        None => Ok(()),
        Some(found) => Err(TokenizerError::Limit {
            what: "an expression of the pre_tokenizer (repetitions)".to_owned(),
            found,
            limit: MAX_REPETITION,
        }),
    }
}
