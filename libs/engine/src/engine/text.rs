//! A completion's text as it grows: whole characters, and nothing that may become a stop text.

use std::sync::Arc;

use crate::tokenizer::{StreamDecoder, Tokenizer};

/// Decodes tokens and looks for stop texts, which may span tokens.
///
/// The stop text that ends first wins, of several that end together the longest: so it does not matter how the text
/// is cut into tokens.
#[derive(Debug)]
pub(super) struct CompletionText {
    decoder: StreamDecoder,
    stop: Vec<String>,
    /// Text that was given out.
    text: String,
    /// Text after it that may be the beginning of a stop text.
    held: String,
    stopped: bool,
}

impl CompletionText {
    /// The stop texts are not empty.
    pub(super) fn new(tokenizer: Arc<Tokenizer>, stop: Vec<String>) -> CompletionText {
        let decoder = StreamDecoder::new(tokenizer);
        CompletionText { decoder, stop, text: String::new(), held: String::new(), stopped: false }
    }

    /// Takes a token; returns the text that has become certain.
    pub(super) fn push(&mut self, token: u32) -> String {
        let text = self.decoder.push(token);
        self.extend(&text)
    }

    /// Ends the text; returns what was held back.
    pub(super) fn finish(&mut self) -> String {
        let unfinished = self.decoder.finish();
        let mut certain = self.extend(&unfinished);
        self.text.push_str(&self.held);
        certain.push_str(&std::mem::take(&mut self.held));
        certain
    }

    /// Whether a stop text has appeared.
    pub(super) fn stopped(&self) -> bool {
        self.stopped
    }

    /// All text that was given out; once.
    pub(super) fn take_text(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    fn extend(&mut self, text: &str) -> String {
        if self.stopped {
            return String::new();
        }
        self.held.push_str(text);
        let stop = self.first_stop();
        self.stopped = stop.is_some();
        let certain = stop.unwrap_or_else(|| self.held.len() - self.possible_stop());
        let rest = self.held.split_off(certain);
        let certain = std::mem::replace(&mut self.held, rest);
        if self.stopped {
            self.held.clear();
        }
        self.text.push_str(&certain);
        certain
    }

    /// Where the first stop text begins.
    fn first_stop(&self) -> Option<usize> {
        let found = |stop: &String| self.held.find(stop).map(|start| (start + stop.len(), start));
        self.stop.iter().filter_map(found).min().map(|(_, start)| start)
    }

    /// Length of the longest end of the text that a stop text begins with.
    fn possible_stop(&self) -> usize {
        let beginning = |stop: &String| {
            let ends = stop.char_indices().map(|(end, _)| end).filter(|&end| end > 0);
            ends.rev().find(|&end| self.held.ends_with(&stop[..end]))
        };
        self.stop.iter().filter_map(beginning).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_tokenizer;
    use super::*;
    use proptest::prelude::*;

    /// The text of tokens that are `pieces`, and what was given out after each and at the end.
    fn stream(stop: &[&str], pieces: &[&[u8]]) -> (Vec<String>, String) {
        let tokenizer = Arc::new(test_tokenizer());
        let stop = stop.iter().map(|&stop| stop.to_owned()).collect();
        let mut text = CompletionText::new(tokenizer, stop);
        let mut given: Vec<String> = Vec::new();
        for piece in pieces {
            given.push(piece.iter().map(|&byte| text.push(u32::from(byte))).collect());
        }
        given.push(text.finish());
        assert_eq!(given.concat(), text.text);
        (given, text.take_text())
    }

    #[track_caller]
    fn check(stop: &[&str], pieces: &[&str], expect: &[&str]) {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        assert_eq!(stream(stop, &pieces).0, expect);
    }

    #[test]
    fn text_is_held_back_while_it_could_begin_a_stop_text() {
        check(&["\n\n"], &["a\n", "b", "\n", "\nc", "d"], &["a", "\nb", "", "", "", ""]);
        check(&["abcd"], &["xab", "c", "e"], &["x", "", "abce", ""]);
        check(&["aab"], &["aa", "ab"], &["", "a", ""]);
    }

    #[test]
    fn text_held_back_at_the_end_belongs_to_the_completion() {
        check(&["END"], &["the EN"], &["the ", "EN"]);
    }

    #[test]
    fn of_several_stop_texts_the_first_to_end_wins_and_then_the_longest() {
        check(&["bcd", "abcde"], &["xabcdefg"], &["xa", ""]);
        check(&["c", "abc"], &["xabc"], &["x", ""]);
    }

    #[test]
    fn a_character_is_never_split() {
        let pieces: [&[u8]; 4] = [b"a\xe2", b"\x82", b"\xac", b"b\xf0\x9f"];
        let expect = ["a", "", "€", "b", "\u{fffd}"].map(str::to_owned).to_vec();
        assert_eq!(stream(&["zz"], &pieces), (expect, "a€b\u{fffd}".to_owned()));
    }

    proptest! {
        #[test]
        fn the_text_does_not_depend_on_where_it_is_cut(
            text in "[abc]{0,30}",
            stop in prop::collection::vec("[abc]{1,4}", 0..3),
            cuts in prop::collection::vec(1usize..5, 30),
        ) {
            let stop: Vec<&str> = stop.iter().map(String::as_str).collect();
            // The shortest beginning that has a stop text, without the longest of those it ends with.
            let end = (0..=text.len()).find(|&end| stop.iter().any(|stop| text[..end].ends_with(stop)));
            let expect = match end {
                None => text.as_str(),
                Some(end) => {
                    let matched = stop.iter().filter(|stop| text[..end].ends_with(**stop));
                    &text[..end - matched.map(|stop| stop.len()).max().unwrap_or(0)]
                }
            };
            let mut rest = text.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            prop_assert_eq!(stream(&stop, &pieces).1, expect);
        }
    }
}
