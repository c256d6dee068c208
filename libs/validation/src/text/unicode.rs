//! Unicode's punctuation, symbols and numbers (general categories P, S and N), for the `intl` tokenizer.

use super::categories::RUNS;

/// The part of the general category that the tokenizer asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Category {
    Punctuation,
    Symbol,
    Number,
    Other,
}

/// The category of `c` in the Unicode version of the oracle.
pub(crate) fn category(c: char) -> Category {
    match c {
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => Category::Symbol,
        '0'..='9' => Category::Number,
        _ if c.is_ascii_punctuation() => Category::Punctuation,
        _ if c.is_ascii() => Category::Other,
        _ => {
            let code = u32::from(c);
            let after = RUNS.partition_point(|(first, ..)| *first <= code);
            match after.checked_sub(1).and_then(|i| RUNS.get(i)) {
                Some((_, last, category)) if code <= *last => *category,
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
        assert!(of("0123456789²³¼٣५Ⅳ").iter().all(|c| *c == Category::Number));
        assert!(of("azAZ \t\n\0\u{7f}éßΩж中한\u{301}").iter().all(|c| *c == Category::Other));
    }

    #[test]
    fn the_short_cut_for_ascii_agrees_with_the_tables() {
        for c in '\0'..='\x7f' {
            let table =
                RUNS.iter().find(|(first, last, _)| (*first..=*last).contains(&u32::from(c)));
            assert_eq!(
                category(c),
                table.map_or(Category::Other, |(.., category)| *category),
                "{c:?}"
            );
        }
    }
}
