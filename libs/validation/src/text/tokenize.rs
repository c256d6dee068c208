//! sacrebleu's tokenizers `13a`, `intl`, `zh`, `char` and `none` (version 2.6.0), each substitution of the original in one pass.

use std::borrow::Cow;

use crate::text::mteval::Mteval;
use crate::text::unicode::{Category, category};
use crate::text::whitespace::{is_space, split, trim, trim_end};

/// One of sacrebleu's tokenizers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tokenizer {
    /// mteval-v13a, as WMT uses it: separates ASCII punctuation.
    Mteval13a,
    /// mteval-v14's international tokenization: separates Unicode punctuation and symbols.
    International,
    /// Each Chinese character is a token, the rest as `13a` separates it.
    Chinese,
    /// Each character is a token.
    Char,
    /// White space only.
    None,
}

impl Tokenizer {
    /// sacrebleu's names.
    pub(crate) const NAMES: &'static [&'static str] = &["13a", "intl", "zh", "char", "none"];

    pub(crate) fn named(name: &str) -> Self {
        match name {
            "intl" => Self::International,
            "zh" => Self::Chinese,
            "char" => Self::Char,
            "none" => Self::None,
            _ => Self::Mteval13a,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mteval13a => "13a",
            Self::International => "intl",
            Self::Chinese => "zh",
            Self::Char => "char",
            Self::None => "none",
        }
    }

    /// The tokens of `text`, which sacrebleu strips at its end first.
    pub(crate) fn tokenize(self, text: &str) -> Tokens<'_> {
        let text = trim_end(text);
        let (prepared, split) = match self {
            Self::Mteval13a => (unescape(text), Split::Mteval13a),
            Self::International => (Cow::Owned(international(text)), Split::Words),
            Self::Chinese => (Cow::Owned(chinese(text)), Split::Words),
            Self::Char => (Cow::Borrowed(text), Split::Characters),
            Self::None => (Cow::Borrowed(text), Split::Words),
        };
        Tokens { prepared, split }
    }
}

/// A tokenized text.
pub(crate) struct Tokens<'t> {
    prepared: Cow<'t, str>,
    split: Split,
}

/// How the tokens stand in the prepared text.
#[derive(Clone, Copy, PartialEq)]
enum Split {
    /// Between white space.
    Words,
    /// Each character but white space is one.
    Characters,
    /// As [`Mteval`] finds them.
    Mteval13a,
}

impl Tokens<'_> {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        let text = self.prepared.as_ref();
        let (mut mteval, mut words) = (Mteval::new(text), split(text));
        let mut characters = text.chars();
        let mut character = move || {
            let c = characters.by_ref().find(|c| !is_space(*c))?;
            let end = text.len() - characters.as_str().len();
            text.get(end - c.len_utf8()..end)
        };
        std::iter::from_fn(move || match self.split {
            Split::Mteval13a => mteval.next(),
            Split::Words => words.next(),
            Split::Characters => character(),
        })
    }
}

/// sacrebleu's `TokenizerRegexp`, which `13a`, `zh` and Tercom's tokenizer share.
fn western(line: &str) -> String {
    let mut spaced = Vec::with_capacity(line.len() + line.len() / 4);
    separate_punctuation(line.as_bytes(), &mut spaced);
    split_at_digits(spaced)
}

/// The same with a change between: Tercom's tokenizer.
pub(super) fn western_with(line: &str, change: impl Fn(String) -> String) -> String {
    let mut spaced = Vec::with_capacity(line.len() + line.len() / 4);
    separate_punctuation(line.as_bytes(), &mut spaced);
    split_at_digits(change(String::from_utf8(spaced).unwrap_or_default()).into_bytes())
}

/// Points, commas and dashes are separated but for those inside of numbers.
fn split_at_digits(mut spaced: Vec<u8>) -> String {
    let mut next = Vec::with_capacity(spaced.len() + spaced.len() / 4);
    split_after_non_digit(&spaced, &mut next);
    spaced.clear();
    split_before_non_digit(&next, &mut spaced);
    next.clear();
    split_dash_after_digit(&spaced, &mut next);
    // Only ASCII characters were put between the bytes of the text, never inside a character.
    String::from_utf8(next).unwrap_or_default()
}

/// `zh`: the text with white space around its tokens. Mark-up stays, and so does a point behind the last digit.
fn chinese(text: &str) -> String {
    let mut line = String::with_capacity(text.len() * 2);
    for c in trim(text).chars() {
        if is_chinese(c) {
            line.extend([' ', c, ' ']);
        } else {
            line.push(c);
        }
    }
    western(&line)
}

/// The ranges of sacrebleu's `zh`, with what Python reads in two of them: `'\u20000'` is two characters, U+2000 and a
/// zero. U+2600 to U+27BF lie within the first of these.
fn is_chinese(c: char) -> bool {
    matches!(c,
        '\u{3400}'..='\u{4db5}' | '\u{4e00}'..='\u{9fbb}' | '\u{f900}'..='\u{fa2d}' | '\u{fa30}'..='\u{fa6a}'
        | '\u{fa70}'..='\u{fad9}' | '\u{2001}'..='\u{2a6d}' | '\u{2f81}'..='\u{2fa1}' | '\u{ff00}'..='\u{ffef}'
        | '\u{2e80}'..='\u{2eff}' | '\u{3000}'..='\u{303f}' | '\u{31c0}'..='\u{31ef}' | '\u{2f00}'..='\u{2fdf}'
        | '\u{2ff0}'..='\u{2fff}' | '\u{3100}'..='\u{312f}' | '\u{31a0}'..='\u{31bf}' | '\u{fe10}'..='\u{fe1f}'
        | '\u{fe30}'..='\u{fe4f}' | '\u{3200}'..='\u{33ff}')
}

/// Undoes mark-up and joins words that a line's end divides, in sacrebleu's order. The other lines' ends are white space anyway.
fn unescape(text: &str) -> Cow<'_, str> {
    let is_special = |byte: &u8| matches!(byte, b'<' | b'\n' | b'&');
    // In pieces without a way out, which are compared many bytes at a time.
    let has_special =
        |piece: &[u8]| piece.iter().fold(false, |found, byte| found | is_special(byte));
    if !text.as_bytes().chunks(256).any(has_special) {
        return text.into();
    }
    let text = replaced(text.into(), "<skipped>", "");
    unescape_into(replaced(text, "-\n", ""))
}

/// `&quot;`, `&amp;`, `&lt;` and `&gt;`, one after the other as sacrebleu does.
pub(super) fn unescape_entities(text: &str) -> Cow<'_, str> {
    unescape_into(text.into())
}

fn unescape_into(text: Cow<'_, str>) -> Cow<'_, str> {
    const ENTITIES: [(&str, &str); 4] =
        [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")];
    if !text.contains('&') {
        return text;
    }
    ENTITIES.into_iter().fold(text, |text, (from, to)| replaced(text, from, to))
}

fn replaced<'t>(text: Cow<'t, str>, from: &str, to: &str) -> Cow<'t, str> {
    if text.contains(from) { Cow::Owned(text.replace(from, to)) } else { text }
}

// The passes work on bytes: every byte of a character outside ASCII is neither digit nor punctuation here, and none is inserted
// between two of them, because an insertion stands next to an ASCII character.

/// `([\{-\~\[-\` -\&\(-\+\:-\@\/])` → ` \1 `
fn separate_punctuation(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b' ' => out.push(b' '), // a run of spaces is as good as one
            b'{'..=b'~' | b'['..=b'`' | b'!'..=b'&' | b'('..=b'+' | b':'..=b'@' | b'/' => {
                out.extend_from_slice(&[b' ', byte, b' ']);
            }
            _ => out.push(byte),
        }
    }
}

fn is_point(byte: u8) -> bool {
    byte == b'.' || byte == b','
}

/// `([^0-9])([\.,])` → `\1 \2 `
fn split_after_non_digit(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&first) = text.get(at) {
        out.push(first);
        at += 1;
        if let Some(&second) = text.get(at).filter(|b| is_point(**b) && !first.is_ascii_digit()) {
            out.extend_from_slice(&[b' ', second, b' ']);
            at += 1;
        }
    }
}

/// `([\.,])([^0-9])` → ` \1 \2`
fn split_before_non_digit(text: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&first) = text.get(at) {
        at += 1;
        match text.get(at).filter(|second| is_point(first) && !second.is_ascii_digit()) {
            Some(&second) => {
                out.extend_from_slice(&[b' ', first, b' ', second]);
                at += 1;
            }
            None => out.push(first),
        }
    }
}

/// `([0-9])(-)` → `\1 \2 `
fn split_dash_after_digit(text: &[u8], out: &mut Vec<u8>) {
    let mut digit = false;
    for &byte in text {
        if digit && byte == b'-' {
            out.extend_from_slice(b" - ");
        } else {
            out.push(byte);
        }
        digit = byte.is_ascii_digit();
    }
}

/// `intl`: the text with white space around its tokens.
fn international(text: &str) -> String {
    let mut once = String::with_capacity(text.len() + text.len() / 4);
    // `(\P{N})(\p{P})` → `\1 \2 `
    replace_pairs(text, &mut once, |first, second, out| {
        let found =
            category(first) != Category::Number && category(second) == Category::Punctuation;
        if found {
            out.extend([first, ' ', second, ' ']);
        }
        found
    });
    let mut twice = String::with_capacity(once.len() + once.len() / 4);
    // `(\p{P})(\P{N})` → ` \1 \2`
    replace_pairs(&once, &mut twice, |first, second, out| {
        let found =
            category(first) == Category::Punctuation && category(second) != Category::Number;
        if found {
            out.extend([' ', first, ' ', second]);
        }
        found
    });
    once.clear();
    // `(\p{S})` → ` \1 `
    for c in twice.chars() {
        match category(c) {
            Category::Symbol => once.extend([' ', c, ' ']),
            _ => once.push(c),
        }
    }
    once
}

/// Goes over the text as a regular expression of two characters does: `replace` writes what stands for a pair that matches, and
/// the next pair begins behind it; otherwise the first character stays and the next pair begins with the second.
fn replace_pairs(text: &str, out: &mut String, replace: impl Fn(char, char, &mut String) -> bool) {
    let mut chars = text.chars();
    let mut first = chars.next();
    while let Some(a) = first {
        let Some(b) = chars.next() else {
            out.push(a);
            break;
        };
        first = if replace(a, b, out) {
            chars.next()
        } else {
            out.push(a);
            Some(b)
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn one_pass_finds_the_tokens_of_the_four_substitutions(
            text in "([a1.,-]{0,6}|[ab19.,;()'\n&<> -]|\\PC|\u{a0}|\u{2028}|\u{1f}|-\n|&amp;quot;|<skipped>){0,12}",
        ) {
            let line = format!(" {} ", unescape(&text).replace('\n', " "));
            let spaced = western(&line);
            let expect: Vec<&str> = crate::text::whitespace::split(&spaced).collect();
            let prepared = unescape(&text);
            prop_assert_eq!(Mteval::new(&prepared).collect::<Vec<_>>(), expect);
        }
    }

    fn check(tokenizer: &str, text: &str, tokens: &str) {
        let found = Tokenizer::named(tokenizer).tokenize(text);
        assert_eq!(found.iter().collect::<Vec<_>>().join(" "), tokens, "{tokenizer} {text:?}");
    }

    // The expectations are sacrebleu's; `tests/goldens.rs` has thousands more.
    #[test]
    fn tokenizer_13a_separates_ascii_punctuation_but_not_inside_numbers() {
        check("13a", "", "");
        check("13a", "Hello, world!", "Hello , world !");
        check("13a", "1,000.5 and 3.", "1,000.5 and 3 .");
        check("13a", "a..b", "a . . b");
        check("13a", "10-20 x-y", "10 - 20 x-y");
        check("13a", "&lt;b&gt; &amp;quot; don't", "< b > & quot ; don't");
        check("13a", "co-\noperate\nnow <skipped>", "cooperate now");
    }

    #[test]
    fn tokenizer_intl_separates_unicode_punctuation_and_symbols() {
        check("intl", "„Ja“, 5€!", "„ Ja “ , 5 € !");
        check("intl", "1,000 in 1999.", "1,000 in 1999.");
    }

    #[test]
    fn tokenizer_zh_separates_chinese_characters() {
        check("zh", "我a爱，b.c 3.", "我 a 爱 ， b . c 3.");
        check("zh", " .5 &amp; x<skipped>", ".5 & amp ; x < skipped >");
    }

    #[test]
    fn tokenizers_char_and_none_split_characters_and_words() {
        check("char", " a b\u{1f}é ", "a b é");
        check("none", "a,b  c.", "a,b c.");
    }
}
