//! Shows untrusted text on a terminal, in Markdown and in HTML without letting it act: control characters,
//! ANSI escapes and bidirectional overrides become visible escapes.

/// Text for a terminal: every character that could move the cursor, change colours or reorder text
/// is written as `\u{1b}`; line feeds and tabs stay.
pub fn terminal(text: &str) -> String {
    escape(text, |c| c != '\n' && c != '\t' && is_unsafe(c))
}

/// Text for one line of a terminal: as [`terminal`], with line feeds and tabs as `\n` and `\t`.
pub fn line(text: &str) -> String {
    escape(text, is_unsafe)
}

/// Text for a cell of a Markdown table: one line, nothing in it is markup.
pub fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\n' | '\r' => escaped.push_str("<br>"),
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' | '$' => {
                escaped.extend(['\\', c])
            }
            c if is_unsafe(c) => push_escape(&mut escaped, c),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text for HTML, in an element or an attribute in double quotes; line feeds and tabs stay.
pub fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c != '\n' && c != '\t' && is_unsafe(c) => push_escape(&mut escaped, c),
            c => escaped.push(c),
        }
    }
    escaped
}

fn escape(text: &str, is_unsafe: impl Fn(char) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) { push_escape(&mut escaped, c) } else { escaped.push(c) }
    }
    escaped
}

fn push_escape(text: &mut String, c: char) {
    text.extend(c.escape_default());
}

/// C0 and C1 controls, and the characters of Unicode that reorder or hide text (UAX #9, UTS #39).
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_sees_escapes_instead_of_controls() {
        assert_eq!(
            terminal("a\u{1b}[2Jb\tc\n\u{202e}d\u{9b}é😀"),
            "a\\u{1b}[2Jb\tc\n\\u{202e}d\\u{9b}é😀"
        );
        assert_eq!(line("a\r\nb\tc\0"), "a\\r\\nb\\tc\\u{0}");
    }

    #[test]
    fn markdown_is_one_line_without_markup() {
        assert_eq!(
            markdown("a | b\r\nc\n<i> & *d* `e`"),
            "a \\| b<br>c<br>&lt;i&gt; &amp; \\*d\\* \\`e\\`"
        );
        assert_eq!(markdown("\u{1b}]8;;http://x\u{7}"), "\\u{1b}\\]8;;http://x\\u{7}");
    }

    #[test]
    fn html_is_text_only() {
        assert_eq!(
            html("<a href=\"x\" b='c'>&\u{1b}\u{202e}\n"),
            "&lt;a href=&quot;x&quot; b=&#39;c&#39;&gt;&amp;\\u{1b}\\u{202e}\n"
        );
    }

    #[test]
    fn every_character_that_reorders_or_hides_text_is_shown() {
        for c in [
            '\u{061c}',
            '\u{200f}',
            '\u{202a}',
            '\u{202e}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert_eq!(line(&c.to_string()), c.escape_unicode().to_string());
        }
    }
}
