//! Finds the tags of a template, for checks that come before and beside the compiler's.

/// What stands between `{{` and `}}` or `{%` and `%}`.
#[derive(Debug, PartialEq)]
pub(super) struct Tag<'s> {
    /// Where the text begins in the template.
    pub(super) offset: usize,
    pub(super) text: &'s str,
    is_statement: bool,
}

/// The template's tags. Strings may hold `}}`; comments and what is `raw` are skipped.
pub(super) fn scan(source: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut position = 0;
    while let Some(start) = source[position..].find('{').map(|found| position + found) {
        let Some(kind) = source.as_bytes().get(start + 1) else { break };
        let offset = start + 2;
        position = match kind {
            b'#' => source[offset..].find("#}").map_or(source.len(), |end| offset + end + 2),
            b'{' | b'%' => {
                let end = tag_end(source, offset, if *kind == b'{' { "}}" } else { "%}" });
                let tag = Tag { offset, text: &source[offset..end], is_statement: *kind == b'%' };
                let is_raw = tag.word() == "raw";
                tags.push(tag);
                if is_raw { raw_end(source, end) } else { end }
            }
            _ => start + 1,
        };
    }
    tags
}

/// Where the `endraw` after a `raw` begins: between them nothing is a tag, and quotes quote
/// nothing.
fn raw_end(source: &str, start: usize) -> usize {
    let is_end = |(at, _): &(usize, &str)| {
        let inside = source[start + at + 2..].trim_start_matches(['-', '+']).trim_start();
        inside.strip_prefix("endraw").is_some_and(|rest| !rest.starts_with(is_word))
    };
    source[start..].match_indices("{%").find(is_end).map_or(source.len(), |(at, _)| start + at)
}

/// Where the tag's text ends, which is the end of the template if it is never closed.
fn tag_end(source: &str, start: usize, close: &str) -> usize {
    let bytes = source.as_bytes();
    let mut quote = None;
    let mut position = start;
    while position < bytes.len() {
        match (quote, bytes[position]) {
            (Some(_), b'\\') => position += 1,
            (Some(open), byte) if byte == open => quote = None,
            (None, byte @ (b'"' | b'\'')) => quote = Some(byte),
            (None, _) if bytes[position..].starts_with(close.as_bytes()) => return position,
            _ => {}
        }
        position += 1;
    }
    bytes.len()
}

impl<'s> Tag<'s> {
    /// The statement's keyword; empty for an expression.
    pub(super) fn word(&self) -> &'s str {
        let text = if self.is_statement {
            self.text.trim_start_matches(['-', '+']).trim_start()
        } else {
            ""
        };
        let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
        &text[..end]
    }

    /// How many operators the tag has outside of strings: each can put what stands beside it one
    /// level deeper.
    pub(super) fn operators(&self) -> usize {
        let mut operators = 0;
        let mut quote = None;
        let mut escaped = false;
        for c in self.text.chars() {
            match quote {
                _ if escaped => escaped = false,
                Some(_) if c == '\\' => escaped = true,
                Some(open) if c == open => quote = None,
                None if matches!(c, '"' | '\'') => quote = Some(c),
                None if c.is_ascii_punctuation() && !matches!(c, ',' | ':' | '_') => operators += 1,
                _ => {}
            }
        }
        // Words in strings are counted too: they are few in templates, and a count too high does no
        // harm.
        let is_operator =
            |word: &str| matches!(word, "and" | "or" | "not" | "if" | "else" | "is" | "in");
        operators + words(self.text).filter(|(_, word)| is_operator(word)).count()
    }

    /// Names that a `set` or `with` statement defines, each with its offset in the template.
    ///
    /// The compiler takes `{% set x = x | upper %}` for a template that needs no `x`; the caller
    /// refuses such a name.
    pub(super) fn assigned(&self) -> Vec<(String, usize)> {
        if !matches!(self.word(), "set" | "with") {
            return Vec::new();
        }
        let names: Vec<(usize, &str)> = words(self.text).skip(1).collect();
        let is_target = |&(at, name): &(usize, &str)| {
            let after = self.text[at + name.len()..].trim_start();
            let before = self.text[..at].trim_end();
            let assigned = after.starts_with('=') && !after.starts_with("==");
            // `{% set x %}…{% endset %}`, and `set a, b = …`, whose names before the last are
            // followed by commas.
            let listed = !self.text[..at].contains('=')
                && (after.is_empty() || after == "-" || after.starts_with(','));
            !before.ends_with('.') && (assigned || listed)
        };
        names
            .into_iter()
            .filter(is_target)
            .map(|(at, name)| (name.to_owned(), self.offset + at))
            .collect()
    }
}

/// A filter or test that a tag names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Use<'s> {
    /// `value | name`, or `{% filter name %}`.
    Filter(&'s str),
    /// `value is name`, `value is not name`.
    Test(&'s str),
}

impl<'s> Tag<'s> {
    /// The filters and tests that the tag names, each with its offset in the template. The compiler looks them up only
    /// when it comes to them in a row.
    pub(super) fn uses(&self) -> Vec<(Use<'s>, usize)> {
        let mut uses = Vec::new();
        let mut previous = (0, "");
        let quoted = self.quoted();
        for (at, word) in words(self.text).filter(|(at, _)| !quoted[*at]) {
            let between = self.text[previous.0 + previous.1.len()..at].trim();
            let follows = |word: &str| previous.1 == word && between.is_empty();
            let negated = follows("not") && self.text[..previous.0].trim_end().ends_with(" is");
            if between.ends_with('|') || (follows("filter") && self.word() == "filter") {
                uses.push((Use::Filter(word), self.offset + at));
            } else if (follows("is") && word != "not") || negated {
                uses.push((Use::Test(word), self.offset + at));
            }
            previous = (at, word);
        }
        uses
    }

    /// For each byte of the tag's text, whether it lies in a string.
    fn quoted(&self) -> Vec<bool> {
        let mut quote = None;
        let mut escaped = false;
        let inside = |byte: u8| {
            match quote {
                _ if escaped => escaped = false,
                Some(_) if byte == b'\\' => escaped = true,
                Some(open) if byte == open => quote = None,
                None if matches!(byte, b'"' | b'\'') => quote = Some(byte),
                _ => {}
            }
            quote.is_some()
        };
        self.text.bytes().map(inside).collect()
    }
}

/// Where a name is first used in a tag.
pub(super) fn find(source: &str, name: &str) -> Option<usize> {
    scan(source).into_iter().find_map(|tag| {
        let mut uses = words(tag.text).filter(|(_, word)| *word == name);
        uses.next().map(|(at, _)| tag.offset + at)
    })
}

fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut position = 0;
    std::iter::from_fn(move || {
        let start = position + text[position..].find(is_word)?;
        let end = text[start..].find(|c| !is_word(c)).map_or(text.len(), |end| start + end);
        position = end;
        Some((start, &text[start..end]))
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_end_at_their_close_outside_of_strings() {
        let texts: Vec<_> = scan(r#"a {{ "}}" ~ b }} {# {{ c }} #} {% if d %} { {{ e"#)
            .into_iter()
            .map(|t| t.text)
            .collect();
        assert_eq!(texts, [r#" "}}" ~ b "#, " if d ", " e"]);
    }

    #[test]
    fn nothing_raw_is_a_tag_and_its_quotes_hide_no_tag() {
        let source = "{%- raw -%}{{ ' {% set a = 1 %}{%- endraw %}{{ b }}{% raw %}{{ c }}";
        let texts: Vec<_> = scan(source).into_iter().map(|tag| tag.text.trim()).collect();
        assert_eq!(texts, ["- raw -", "- endraw", "b", "raw"]);
    }

    #[test]
    fn operators_are_counted_outside_of_strings() {
        let count = |source| scan(source).iter().map(Tag::operators).sum::<usize>();
        assert_eq!(count("{{ a.b | join('+++', x=1) }}"), 5);
        assert_eq!(count("{{ not a and b }}"), 2);
        assert_eq!(count(r#"{{ "\"+" ~ a }}"#), 1);
    }

    #[test]
    fn filters_and_tests_are_found_outside_of_strings() {
        let uses =
            |source| scan(source).iter().flat_map(Tag::uses).map(|(u, _)| u).collect::<Vec<_>>();
        use Use::{Filter, Test};
        assert_eq!(
            uses("{{ a | upper|join('| x', b|trim) }}"),
            [Filter("upper"), Filter("join"), Filter("trim")]
        );
        assert_eq!(uses("{% if a is defined and b is not odd %}"), [Test("defined"), Test("odd")]);
        assert_eq!(
            uses("{% filter upper %}{{ x.is }}{{ 'a is b' }}{% endfilter %}"),
            [Filter("upper")]
        );
    }

    #[test]
    fn names_that_set_and_with_define_are_found() {
        let assigned = |source| {
            scan(source).iter().flat_map(Tag::assigned).map(|(name, _)| name).collect::<Vec<_>>()
        };
        assert_eq!(assigned("{% set x = x == y %}"), ["x"]);
        assert_eq!(assigned("{%- set a, b = c, d -%}"), ["a", "b"]);
        assert_eq!(assigned("{% with a = b, c = a %}{% endwith %}"), ["a", "c"]);
        assert_eq!(assigned("{% set text %}{{ x }}{% endset %}"), ["text"]);
        assert_eq!(assigned("{% set ns.x = 1 %}{{ f(a=1) }}{% for x in y %}"), [""; 0]);
    }
}
