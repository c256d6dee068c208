//! Words and sentences as textstat 0.7.13 counts them, and syllables by rule.

use std::sync::LazyLock;

use regex::Regex;

use crate::text::syllables::syllables;
use crate::text::whitespace::{is_space, split};

/// What readability scores are computed from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) words: u64,
    pub(crate) sentences: u64,
    pub(crate) syllables: u64,
}

pub(crate) fn counts(text: &str) -> Counts {
    let bare = without_punctuation(text);
    let words = split(&bare);
    let (words, syllables) =
        words.fold((0, 0), |(words, sum), word| (words + 1, sum + syllables(&word.to_lowercase())));
    Counts { words, sentences: sentences(text), syllables }
}

/// Python's `\w`: letters, numbers and the underscore.
fn is_word(c: char) -> bool {
    static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}]").ok());
    match c {
        '_' => true,
        _ if c.is_ascii() => c.is_ascii_alphanumeric(),
        // Marks, and what only counts as alphabetic, are no letters for Python.
        _ if c.is_alphanumeric() => {
            let mut buffer = [0; 4];
            WORD.as_ref().is_none_or(|word| word.is_match(c.encode_utf8(&mut buffer)))
        }
        _ => false,
    }
}

/// textstat's `remove_punctuation`: apostrophes stay before an ending that is contracted.
fn without_punctuation(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let stays = match c {
            '\'' => text.get(at + 1..).is_some_and(|rest| {
                rest.starts_with(['t', 's', 'd'])
                    || ["ve", "ll", "re"].iter().any(|e| rest.starts_with(e))
            }),
            c => is_space(c) || is_word(c),
        };
        if stays {
            bare.push(c);
        }
    }
    bare
}

/// textstat's `count_sentences`: from the beginning or end of a word to the marks `.!?`; those of at most two words do not count, but
/// there is always one.
fn sentences(text: &str) -> u64 {
    let is_mark = |c: char| matches!(c, '.' | '!' | '?');
    let (mut count, mut start, mut before) = (0, None, false);
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        let word = is_word(c);
        let begins = start.is_none() && before != word && !is_mark(c);
        if begins {
            start = Some(at);
        }
        before = word;
        let next_is_mark = chars.peek().is_some_and(|(_, next)| is_mark(*next));
        let ends = match chars.peek() {
            None => true,
            Some(_) => is_mark(c) && !next_is_mark,
        };
        if ends && let Some(start) = start.take() {
            let sentence = text.get(start..at + c.len_utf8()).unwrap_or_default();
            count += u64::from(split(&without_punctuation(sentence)).count() > 2);
        }
    }
    if text.is_empty() { 0 } else { count.max(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_sentences_are_textstats() {
        let check = |text: &str, words, sentences| {
            let found = counts(text);
            assert_eq!((found.words, found.sentences), (words, sentences), "{text:?}");
        };
        check("", 0, 0);
        check("...", 0, 1);
        check("Hello there. This is a test! Is it? Yes, it's one more of them", 14, 2);
        check("'Tis the dogs' bone; don't co-operate.", 6, 1);
    }
}
