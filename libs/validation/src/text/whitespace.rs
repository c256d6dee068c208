//! White space as Python's `str.split()` and `str.rstrip()` know it.

/// Whether Python's `str.isspace` holds: Unicode's White_Space and the four separators U+001C–U+001F.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Python's `text.split()`: the parts between runs of white space, none of them empty.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_space).filter(|part| !part.is_empty())
}
