//! Bytes to text, whole or token by token, never splitting a character.

use std::sync::Arc;

use super::Tokenizer;

/// Decodes a completion token by token. The pieces together are what [`Tokenizer::decode`] gives for all tokens.
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    tokenizer: Arc<Tokenizer>,
    /// The beginning of a character whose rest is still to come: at most 3 bytes.
    unfinished: Vec<u8>,
    /// Nothing has been decoded yet.
    at_start: bool,
}

impl StreamDecoder {
    /// A decoder at the beginning of a text.
    pub fn new(tokenizer: Arc<Tokenizer>) -> StreamDecoder {
        StreamDecoder { tokenizer, unfinished: Vec::new(), at_start: true }
    }

    /// The text that a token completes: empty for a special token, an unknown id, or the beginning of a character.
    /// Bytes that cannot become UTF-8 turn into U+FFFD, one for each maximal invalid part, as Python's
    /// `errors="replace"` does.
    pub fn push(&mut self, id: u32) -> String {
        let mut bytes = self.tokenizer.shown_bytes(id);
        if bytes.is_empty() {
            return String::new();
        }
        if std::mem::take(&mut self.at_start) && self.tokenizer.strips_first_space {
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.unfinished.extend_from_slice(bytes);
        let mut text = String::new();
        let rest = push_complete(&self.unfinished, &mut text);
        self.unfinished.drain(..self.unfinished.len() - rest);
        text
    }

    /// Ends the text: the beginning of a character that was never finished becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        self.at_start = true;
        String::from_utf8_lossy(&std::mem::take(&mut self.unfinished)).into_owned()
    }
}

/// Appends all that is decided, and returns the length of the unfinished character at the end.
fn push_complete(mut bytes: &[u8], text: &mut String) -> usize {
    loop {
        match std::str::from_utf8(bytes) {
            Ok(rest) => {
                text.push_str(rest);
                return 0;
            }
            Err(error) => {
                let (valid, rest) = bytes.split_at(error.valid_up_to());
                text.push_str(&String::from_utf8_lossy(valid));
                match error.error_len() {
                    None => return rest.len(),
                    Some(invalid) => {
                        text.push(char::REPLACEMENT_CHARACTER);
                        bytes = &rest[invalid..];
                    }
                }
            }
        }
    }
}
