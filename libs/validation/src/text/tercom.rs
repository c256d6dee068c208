//! Tercom's tokenizer as sacrebleu 2.6.0 has it (`TercomTokenizer`).

use crate::text::tokenize::{unescape_entities, western_with};
use crate::text::whitespace::{split, trim_end};

/// What is done to a text before it is split at white space.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tercom {
    /// Punctuation is separated as in mteval-v13a.
    pub(crate) normalized: bool,
    /// Punctuation is removed.
    pub(crate) no_punctuation: bool,
    /// The two above also do it for Chinese and Japanese.
    pub(crate) asian_support: bool,
    /// Case counts.
    pub(crate) case_sensitive: bool,
}

impl Tercom {
    /// The tokens of a reference with a space between: sacrebleu tokenizes it twice, which may split what is now before a space.
    pub(crate) fn tokenize_reference(self, text: &str) -> String {
        self.tokenize(&self.tokenize(text))
    }

    /// The tokens of a text with a space between.
    pub(crate) fn tokenize(self, text: &str) -> String {
        let text = trim_end(text);
        let mut text = if self.case_sensitive { text.to_owned() } else { text.to_lowercase() };
        if self.normalized && !text.is_empty() {
            text = normalize(&text);
            if self.asian_support {
                text = separate(&text, |c| is_ideograph(c) || is_asian_mark(c));
            }
        }
        if self.no_punctuation {
            text.retain(|c| !matches!(c, '.' | ',' | '?' | ':' | ';' | '!' | '"' | '(' | ')'));
            if self.asian_support {
                text.retain(|c| !is_asian_mark(c));
            }
        }
        split(&text).collect::<Vec<_>>().join(" ")
    }
}

fn normalize(text: &str) -> String {
    let text = text.replace("\n-", "").replace('\n', " ");
    let text = format!(" {} ", unescape_entities(&text));
    // The mark of the possessive belongs to the `s`.
    western_with(&text, |spaced| spaced.replace("'s ", " 's "))
}

fn separate(text: &str, alone: impl Fn(char) -> bool) -> String {
    let mut separated = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if alone(c) {
            separated.extend([' ', c, ' ']);
        } else {
            separated.push(c);
        }
    }
    separated
}

/// sacrebleu's ranges, of which `\u3200-\u3f22` was meant to be U+3200 to U+32FF. Its rules for kana need a text without the space
/// that it has put before it, and so match nothing.
fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}' | '\u{3200}'..='\u{4dbf}' | '\u{31c0}'..='\u{31ef}' | '\u{2e80}'..='\u{2eff}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe4f}')
}

/// `ASIAN_PUNCT` and `FULL_WIDTH_PUNCT`.
fn is_asian_mark(c: char) -> bool {
    matches!(c, '\u{3001}' | '\u{3002}' | '\u{3008}'..='\u{3011}' | '\u{3014}'..='\u{301f}' | '\u{ff61}'..='\u{ff65}'
        | '\u{30fb}' | '\u{ff0e}' | '\u{ff0c}' | '\u{ff1f}' | '\u{ff1a}' | '\u{ff1b}' | '\u{ff01}' | '\u{ff02}' | '\u{ff08}'
        | '\u{ff09}')
}

#[cfg(test)]
mod tests {
    use super::*;

    // The expectations are sacrebleu's.
    #[test]
    fn texts_are_split_as_asked() {
        let check = |tercom: Tercom, text: &str, expect: &str| {
            let found = tercom.tokenize(text);
            assert_eq!(found, expect, "{text:?}");
        };
        let plain = Tercom::default();
        check(plain, "Hello, World! ", "hello, world!");
        check(Tercom { case_sensitive: true, ..plain }, "Hello, World!", "Hello, World!");
        let normalized = Tercom { normalized: true, ..plain };
        check(normalized, "Tom's &quot;cat&quot;, 1,000.", "tom 's \" cat \" , 1,000 .");
        check(normalized, "a\n-b\nc 我爱", "ab c 我爱");
        check(Tercom { asian_support: true, ..normalized }, "我爱かな。x", "我 爱 かな 。 x");
        check(Tercom { no_punctuation: true, ..plain }, "(a) b; c。", "a b c。");
        check(Tercom { no_punctuation: true, asian_support: true, ..plain }, "(a)。", "a");
        check(normalized, "it's.", "it's .");
        assert_eq!(normalized.tokenize_reference("it's."), "it 's .");
    }
}
