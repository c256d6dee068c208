//! White space as Python's `str.split()` and `str.rstrip()` know it.

/// Whether Python's `str.isspace` holds: Unicode's White_Space and the four separators U+001C–U+001F.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The length in bytes of the white space character at `at`, 0 if there is none.
#[inline]
pub(crate) fn space_at(text: &str, at: usize) -> usize {
    match text.as_bytes().get(at) {
        Some(b'\t'..=b'\r' | 0x1c..=0x1f | b' ') => 1,
        // White space outside ASCII begins with one of these bytes.
        Some(0xc2 | 0xe1..=0xe3) => {
            let c = text.get(at..).and_then(|rest| rest.chars().next());
            c.filter(|c| is_space(*c)).map_or(0, char::len_utf8)
        }
        _ => 0,
    }
}

/// Python's `text.split()`: the parts between runs of white space, none of them empty.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while let space @ 1.. = space_at(text, at) {
            at += space;
        }
        let start = at;
        while let Some(byte) = text.as_bytes().get(at) {
            // Most bytes of a word are none with which white space begins.
            if !(0x21..0xc2).contains(byte) && space_at(text, at) > 0 {
                break;
            }
            at += 1;
        }
        text.get(start..at).filter(|part| !part.is_empty())
    })
}

/// Python's `text.strip()`.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Python's `text.rstrip()`.
pub(crate) fn trim_end(text: &str) -> &str {
    text.trim_end_matches(is_space)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, words: &[&str]) {
        assert_eq!(split(text).collect::<Vec<_>>(), words, "{text:?}");
    }

    #[test]
    fn words_end_at_all_that_python_calls_white_space() {
        check("", &[]);
        check(" \t\r\n", &[]);
        check("a\u{1c}b\u{1d}c\u{1e}d\u{1f}e\u{85}f", &["a", "b", "c", "d", "e", "f"]);
        check("a\u{a0}b\u{2028}c\u{3000}d\u{202f}e", &["a", "b", "c", "d", "e"]);
        // No white space: zero-width space, byte-order mark, the Mongolian vowel separator.
        check("a\u{200b}b\u{feff}c\u{180e}d", &["a\u{200b}b\u{feff}c\u{180e}d"]);
    }

    #[test]
    fn bytes_tell_white_space_as_characters_do() {
        for c in '\0'..=char::MAX {
            let length = if is_space(c) { c.len_utf8() } else { 0 };
            assert_eq!(space_at(&format!("a{c}"), 1), length, "{c:?}");
            let inside = (2..=c.len_utf8()).map(|at| space_at(&format!("a{c}"), at));
            assert_eq!(inside.sum::<usize>(), 0, "{c:?}");
        }
    }

    #[test]
    fn only_trailing_white_space_is_trimmed() {
        assert_eq!(trim_end(" a -\n\u{1f}\u{85} "), " a -");
    }
}
