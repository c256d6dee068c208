//! Special tokens between text: hidden where a user wrote their names, found where the template did.

use std::borrow::Cow;
use std::collections::HashSet;

use super::ChatError;
use crate::tokenizer::Piece;

/// Private-use characters, to stand for the first character of a name that must stay text.
const PLACEHOLDERS: std::ops::RangeInclusive<char> = '\u{F0000}'..='\u{10FFFD}';

/// Finds names of special tokens.
pub(super) struct Names<'t> {
    /// Sorted by name.
    names: &'t [(String, u32)],
}

/// Which placeholder stands for which character.
#[derive(Default)]
pub(super) struct Hidden {
    pairs: Vec<(char, char)>,
    /// Placeholders that messages or the template use themselves.
    taken: HashSet<char>,
}

impl<'t> Names<'t> {
    /// `names` are sorted by name.
    pub(super) fn new(names: &'t [(String, u32)]) -> Names<'t> {
        Names { names }
    }

    /// The longest name that `text` begins with, its length and id.
    fn at_start(&self, text: &str) -> Option<(usize, u32)> {
        let mut prefix = text.as_bytes();
        loop {
            // The greatest name that is not beyond the text begins it, or shows how much a name can share with it.
            let after = self.names.partition_point(|(name, _)| name.as_bytes() <= prefix);
            let (name, id) = self.names.get(after.checked_sub(1)?)?;
            let shared = name.bytes().zip(prefix).take_while(|(a, b)| a == *b).count();
            if shared == name.len() {
                return (shared > 0).then_some((shared, *id));
            }
            prefix = prefix.get(..shared)?;
        }
    }

    /// Cuts rendered text at the names in it, and puts hidden characters back.
    pub(super) fn split(&self, rendered: &str, hidden: &Hidden) -> Vec<Piece<'static>> {
        let mut pieces = Vec::new();
        let (mut start, mut position) = (0, 0);
        let text = |from: usize, to: usize| {
            let text = &rendered[from..to];
            (!text.is_empty()).then(|| Piece::Text(Cow::Owned(hidden.restore(text))))
        };
        while let Some(character) = rendered[position..].chars().next() {
            match self.at_start(&rendered[position..]) {
                Some((length, id)) => {
                    pieces.extend(text(start, position));
                    pieces.push(Piece::Special(id));
                    position += length;
                    start = position;
                }
                None => position += character.len_utf8(),
            }
        }
        pieces.extend(text(start, rendered.len()));
        pieces
    }

    /// The text with a placeholder for the first character of each name in it.
    pub(super) fn hide(&self, text: &str, hidden: &mut Hidden) -> Result<String, ChatError> {
        let mut result = String::with_capacity(text.len());
        for (position, character) in text.char_indices() {
            let shown = match self.at_start(&text[position..]) {
                Some(_) => hidden.placeholder(character)?,
                None => character,
            };
            result.push(shown);
        }
        Ok(result)
    }
}

impl Hidden {
    /// Placeholders that occur in none of the texts.
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Hidden {
        let taken = texts
            .flat_map(str::chars)
            .filter(|character| PLACEHOLDERS.contains(character))
            .collect();
        Hidden { pairs: Vec::new(), taken }
    }

    fn placeholder(&mut self, character: char) -> Result<char, ChatError> {
        if let Some((_, placeholder)) =
            self.pairs.iter().find(|(original, _)| *original == character)
        {
            return Ok(*placeholder);
        }
        let placeholder =
            PLACEHOLDERS.into_iter().find(|candidate| !self.taken.contains(candidate));
        let placeholder = placeholder.ok_or(ChatError::NoPlaceholder)?;
        self.taken.insert(placeholder);
        self.pairs.push((character, placeholder));
        Ok(placeholder)
    }

    /// The text as it was before [`Names::hide`].
    pub(super) fn restore(&self, text: &str) -> String {
        let original = |character| {
            self.pairs
                .iter()
                .find(|(_, placeholder)| *placeholder == character)
                .map_or(character, |(original, _)| *original)
        };
        if self.pairs.is_empty() { text.to_owned() } else { text.chars().map(original).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Vec<(String, u32)> {
        let mut names: Vec<(String, u32)> = ["<s>", "<|end|>", "<|end", "a<s>", "☺", "<|e"]
            .iter()
            .map(|n| n.to_string())
            .zip(0..)
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_longest_name_is_found() {
        let names = names();
        let check = |text: &str, expect: Option<(usize, u32)>| {
            assert_eq!(Names::new(&names).at_start(text), expect, "{text}")
        };
        check("<|end|>x", Some((7, 1)));
        check("<|end|x", Some((5, 2)));
        check("<|ex", Some((3, 5)));
        check("<|x", None);
        check("", None);
        check("a<s", None);
        check("a<s>", Some((4, 3)));
        check("☺☺", Some((3, 4)));
        check("\u{10FFFF}", None);
        assert_eq!(Names::new(&[]).at_start("x"), None);
    }

    #[test]
    fn hidden_names_stay_text_and_the_rest_is_cut_out() {
        let names = names();
        let names = Names::new(&names);
        let user = "a<s> ☺ <|end|> \u{F0000}";
        let mut hidden = Hidden::new([user].into_iter());
        let safe = names.hide(user, &mut hidden).unwrap();
        assert_eq!(names.split(&safe, &hidden), [Piece::Text(user.into())]);
        let rendered = format!("<s>{safe}<|end|><|end|>");
        let expect =
            [Piece::Special(0), Piece::Text(user.into()), Piece::Special(1), Piece::Special(1)];
        assert_eq!(names.split(&rendered, &hidden), expect);
    }
}
