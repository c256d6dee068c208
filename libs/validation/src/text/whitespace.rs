//! White space as Python's `str.split()` and `str.rstrip()` know it.

/// Whether Python's `str.isspace` holds: Unicode's White_Space and the four separators U+001C–U+001F.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Python's `text.split()`: the parts between runs of white space, none of them empty.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|part| !part.is_empty())
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
    fn only_trailing_white_space_is_trimmed() {
        assert_eq!(trim_end(" a -\n\u{1f}\u{85} "), " a -");
    }
}
