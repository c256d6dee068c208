//! Unicode's punctuation, symbols and numbers (general categories P, S and N), for the `intl` tokenizer.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};

/// The part of the general category that the tokenizer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Category {
    Punctuation,
    Symbol,
    Number,
    Other,
}

/// Ranges of characters, ascending, that are not `Other`.
static RANGES: LazyLock<Vec<(char, char, Category)>> = LazyLock::new(|| {
    let mut ranges = Vec::new();
    let kinds = [Category::Punctuation, Category::Symbol, Category::Number];
    for (category, pattern) in kinds.into_iter().zip([r"\p{P}", r"\p{S}", r"\p{N}"]) {
        // The patterns are constants that parse; the test below finds a character of each.
        let Ok(hir) = regex_syntax::parse(pattern) else { continue };
        if let HirKind::Class(Class::Unicode(class)) = hir.kind() {
            ranges.extend(class.iter().map(|range| (range.start(), range.end(), category)));
        }
    }
    ranges.sort_unstable_by_key(|(start, ..)| *start);
    ranges
});

/// The category of `c`, as of Unicode 16.
pub(crate) fn category(c: char) -> Category {
    match c {
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => Category::Symbol,
        '0'..='9' => Category::Number,
        _ if c.is_ascii_punctuation() => Category::Punctuation,
        _ if c.is_ascii() => Category::Other,
        _ => {
            let after = RANGES.partition_point(|(start, ..)| *start <= c);
            match after.checked_sub(1).and_then(|i| RANGES.get(i)) {
                Some((_, end, category)) if c <= *end => *category,
                _ => Category::Other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn categories_are_those_of_the_unicode_character_database() {
        let of = |text: &str| text.chars().map(category).collect::<Vec<_>>();
        assert!(
            of("!\"#%&'()*,-./:;?@[\\]_{}¡«»·¿–—‘’“”…、。「」؟।")
                .iter()
                .all(|c| *c == Category::Punctuation)
        );
        assert!(of("$+<=>^`|~¢£©®°±×÷€™→∀☃😀").iter().all(|c| *c == Category::Symbol));
        assert!(
            of("0123456789²³¼٣५四".trim_end_matches('四')).iter().all(|c| *c == Category::Number)
        );
        assert!(of("azAZ \t\n\0\u{7f}éßΩж中한\u{301}").iter().all(|c| *c == Category::Other));
    }

    #[test]
    fn the_short_cut_for_ascii_agrees_with_the_tables() {
        for c in '\0'..='\x7f' {
            let table = RANGES.iter().find(|(start, end, _)| (*start..=*end).contains(&c));
            assert_eq!(
                category(c),
                table.map_or(Category::Other, |(.., category)| *category),
                "{c:?}"
            );
        }
    }
}
