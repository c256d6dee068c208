//! The folded form of a text, by which two rows count as duplicates.

use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use crate::text::whitespace::is_space;

/// The first 128 bits of the SHA-256 of `text` after folding: NFKC, full Unicode case folding, NFKC again (folding may undo it),
/// each run of white space one space, none at the ends. Rows with equal keys are duplicates.
pub fn duplicate_key(text: &str) -> u128 {
    let digest = Sha256::digest(fold(text).as_bytes());
    digest.iter().take(16).fold(0, |key, byte| key << 8 | u128::from(*byte))
}

/// The folded text.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = Folded { text: String::with_capacity(text.len()), space: false };
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = rest.bytes().take_while(u8::is_ascii).count();
        let others = rest.bytes().skip(ascii).take_while(|byte| !byte.is_ascii()).count();
        // No ASCII character changes by NFKC or joins what stands before it; but the last of a run may get a mark.
        let alone = if others == 0 { ascii } else { ascii.saturating_sub(1) };
        let (alone, after) = rest.split_at(alone);
        alone.chars().for_each(|c| folded.push(c.to_ascii_lowercase()));
        let (joined, after) = after.split_at(ascii + others - alone.len());
        joined.nfkc().flat_map(fold_char).nfkc().for_each(|c| folded.push(c));
        rest = after;
    }
    folded.text
}

/// A text whose white space is folded as it grows.
struct Folded {
    text: String,
    space: bool,
}

impl Folded {
    fn push(&mut self, c: char) {
        if is_space(c) {
            self.space = !self.text.is_empty();
        } else {
            if std::mem::take(&mut self.space) {
                self.text.push(' ');
            }
            self.text.push(c);
        }
    }
}

/// Full case folding of one character, as Python's `str.casefold`. Unicode's CaseFolding.txt differs from "lower of upper of
/// lower" only in the dotless i, which stays, and in Cherokee, which folds to upper case.
fn fold_char(c: char) -> impl Iterator<Item = char> {
    let mut folded = ['\0'; 3]; // no character folds to more than three
    let mut length = 0;
    let mut push = |c: char| {
        if let Some(slot) = folded.get_mut(length) {
            *slot = c;
            length += 1;
        }
    };
    match c {
        '\u{131}' => push(c),
        '\u{13a0}'..='\u{13ff}' | '\u{ab70}'..='\u{abbf}' => c.to_uppercase().for_each(push),
        _ if c.is_ascii() => push(c.to_ascii_lowercase()),
        _ => c
            .to_lowercase()
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .for_each(push),
    }
    folded.into_iter().take(length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn parts_fold_as_the_whole(text in "([aB 1\\n]{0,3}|\\PC|[éİßﬁ\u{301}\u{327}\u{345}각가각\u{a0}]{1,3}){0,12}") {
            let whole = text.nfkc().flat_map(fold_char).nfkc().collect::<String>();
            let expect = crate::text::whitespace::split(&whole).collect::<Vec<_>>().join(" ");
            prop_assert_eq!(fold(&text), expect);
        }
    }

    fn check(text: &str, folded: &str) {
        assert_eq!(fold(text), folded, "{text:?}");
    }

    #[test]
    fn texts_fold_by_width_case_and_white_space() {
        check("", "");
        check(" \t\u{3000}", "");
        check("  Ａ\tb\u{a0}\u{1f}C  ", "a b c");
        check("Straße STRASSE", "strasse strasse");
        check("ΣΊΣΥΦΟΣ σίσυφος", "σίσυφοσ σίσυφοσ");
        check("İI ı", "i\u{307}i ı");
        check("ﬁ K Å", "fi k å");
        check("ᏸꭰ", "ᏰᎠ");
        check("e\u{301} É", "é é");
    }

    #[test]
    fn folding_twice_changes_nothing() {
        // Above, there are only ideographs, tags and private characters.
        for c in '\0'..='\u{1ffff}' {
            let once = fold(&format!("a{c}b"));
            assert_eq!(fold(&once), once, "U+{:04X}", c as u32);
        }
    }

    #[test]
    fn equal_keys_mean_equal_folded_texts() {
        assert_eq!(duplicate_key("Hello,\n WORLD"), duplicate_key(" hello, world"));
        assert_ne!(duplicate_key("hello world"), duplicate_key("helloworld"));
        // SHA-256 of the empty text begins with these 16 bytes.
        assert_eq!(duplicate_key(" "), 0xe3b0_c442_98fc_1c14_9afb_f4c8_996f_b924);
    }
}
