//! The tokenizer inside a GGUF: byte-level BPE with one of llama.cpp's pre-tokenizers.

use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use super::alphabet::Alphabet;
use super::definition::{BpeOptions, Definition, Kind, Matching, Token};
use super::error::{TokenizerError, quoted};
use crate::weights::GgufTokenizer;

/// Llama 3's words: as GPT-2's, but contractions in either case, any one character before letters, digits in threes,
/// line ends with the punctuation before them. (`tokenizer.json` of Llama 3; llama.cpp's `llama-bpe`.)
const LLAMA_3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Qwen 2's words: Llama 3's with single digits.
const QWEN_2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Values of `tokenizer.ggml.pre` for a message.
const SUPPORTED_PRE: &str = "gpt-2 (also when there is none), smollm, llama-bpe, qwen2";

/// `tokenizer.ggml.token_type`, as llama.cpp numbers them.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;

/// Reads the metadata of a GGUF.
pub(super) fn read(gguf: &GgufTokenizer) -> Result<Definition, TokenizerError> {
    if gguf.model != "gpt2" {
        return Err(TokenizerError::Unsupported {
            what: "tokenizer.ggml.model".to_owned(),
            found: quoted(&gguf.model),
            supported: "gpt2 (byte-level BPE)",
        });
    }
    let pre = gguf.pre.as_deref().unwrap_or("gpt-2");
    let pre_tokenizer = pre_tokenizer(pre)?;
    Ok(Definition {
        tokens: tokens(gguf)?,
        merges: gguf
            .merges
            .iter()
            .enumerate()
            .map(|(index, line)| merge(index, line))
            .collect::<Result<_, _>>()?,
        alphabet: Alphabet::Bytes,
        strips_first_space: false,
        normalizer: None,
        pre_tokenizer: Some(pre_tokenizer),
        segmentation: format!("gguf {pre}"),
        options: BpeOptions { ignore_merges: is_llama_3(pre), ..BpeOptions::default() },
    })
}

fn is_llama_3(pre: &str) -> bool {
    matches!(pre, "llama-bpe" | "llama3" | "llama-v3")
}

fn pre_tokenizer(pre: &str) -> Result<PreTokenizerWrapper, TokenizerError> {
    match pre {
        "gpt-2" => Ok(bytes(true)),
        "smollm" => Ok(sequence(Digits::new(true).into(), bytes(true))),
        "qwen2" => Ok(sequence(split(QWEN_2)?, bytes(false))),
        pre if is_llama_3(pre) => Ok(sequence(split(LLAMA_3)?, bytes(false))),
        other => Err(TokenizerError::Unsupported {
            what: "tokenizer.ggml.pre".to_owned(),
            found: quoted(other),
            supported: SUPPORTED_PRE,
        }),
    }
}

/// Bytes to GPT-2's alphabet, after GPT-2's own expression if `words`.
fn bytes(words: bool) -> PreTokenizerWrapper {
    ByteLevel::new(false, false, words).into()
}

fn sequence(first: PreTokenizerWrapper, second: PreTokenizerWrapper) -> PreTokenizerWrapper {
    Sequence::new(vec![first, second]).into()
}

fn split(expression: &str) -> Result<PreTokenizerWrapper, TokenizerError> {
    let pattern = SplitPattern::Regex(expression.to_owned());
    Split::new(pattern, SplitDelimiterBehavior::Isolated, false)
        .map(PreTokenizerWrapper::from)
        .map_err(|problem| TokenizerError::Part {
            part: "tokenizer.ggml.pre".to_owned(),
            problem: problem.to_string(),
        })
}

/// Tokens with their kinds; a file without types has normal tokens only.
fn tokens(gguf: &GgufTokenizer) -> Result<Vec<Token>, TokenizerError> {
    let (texts, types) = (&gguf.tokens, &gguf.token_types);
    if !types.is_empty() && types.len() != texts.len() {
        return Err(TokenizerError::Vocabulary(format!(
            "tokenizer.ggml.tokens has {} entries, tokenizer.ggml.token_type has {}",
            texts.len(),
            types.len()
        )));
    }
    let types = types.iter().copied().chain(std::iter::repeat(NORMAL));
    texts
        .iter()
        .zip(types)
        .enumerate()
        .map(|(id, (text, number))| token(id, text, number))
        .collect()
}

fn token(id: usize, text: &str, number: i32) -> Result<Token, TokenizerError> {
    let kind = match number {
        // llama.cpp, too, accepts holes in the vocabulary.
        _ if text.is_empty() => Kind::Unused,
        NORMAL => Kind::Normal,
        UNKNOWN | CONTROL => Kind::Special(Matching::default()),
        USER_DEFINED => Kind::Added(Matching::default()),
        UNUSED => Kind::Unused,
        other => {
            return Err(TokenizerError::Unsupported {
                what: format!("tokenizer.ggml.token_type of token {id}"),
                found: other.to_string(),
                supported: "1 (normal), 2 (unknown), 3 (control), 4 (user defined), 5 (unused)",
            });
        }
    };
    Ok(Token { text: text.to_owned(), kind })
}

/// Splits `left right`.
pub(super) fn merge(index: usize, line: &str) -> Result<(String, String), TokenizerError> {
    match line.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() && !right.contains(' ') => {
            Ok((left.to_owned(), right.to_owned()))
        }
        _ => Err(TokenizerError::Merge {
            index,
            problem: format!("{} is not two tokens with one space between them", quoted(line)),
        }),
    }
}
