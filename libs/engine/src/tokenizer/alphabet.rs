//! How a vocabulary writes bytes: GPT-2's byte alphabet, or SentencePiece's `▁` and `<0xNN>`.

/// The writing of a vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// One character for each byte (`bytes_to_unicode` of GPT-2's encoder.py): `Ġ` is a space, `Ċ` a line feed.
    Bytes,
    /// `▁` is a space and `<0x0A>` a byte that no other token covers.
    SentencePiece,
}

impl Alphabet {
    /// The bytes that a token of the vocabulary stands for.
    pub(super) fn decode(self, text: &str) -> Vec<u8> {
        match self {
            // As the ByteLevel decoder does: a token with any other character stands for itself.
            Alphabet::Bytes => text
                .chars()
                .map(byte_of)
                .collect::<Option<Vec<u8>>>()
                .unwrap_or_else(|| text.as_bytes().to_vec()),
            Alphabet::SentencePiece => match byte_token(text) {
                Some(byte) => vec![byte],
                None => text.replace('▁', " ").into_bytes(),
            },
        }
    }
}

/// The byte behind a character of GPT-2's alphabet: printable Latin-1 characters stand for themselves,
/// the other 68 bytes follow from U+0100 in ascending order.
fn byte_of(character: char) -> Option<u8> {
    match u32::from(character) {
        code @ (0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7F).ok(),
        0x143 => Some(0xAD),
        _ => None,
    }
}

/// The byte of a SentencePiece byte token, `<0x00>` to `<0xFF>`.
fn byte_token(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() != 2 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u8::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_one_character() {
        let mut found: Vec<u8> = ('\0'..='\u{200}').filter_map(byte_of).collect();
        found.sort_unstable();
        assert_eq!(found, (0..=255).collect::<Vec<u8>>());
        assert_eq!(byte_of('Ġ'), Some(b' '));
        assert_eq!(byte_of('Ċ'), Some(b'\n'));
        assert_eq!(byte_of('ł'), Some(0xA0));
        assert_eq!(byte_of('ġ'), Some(0x7F));
    }

    #[test]
    fn tokens_are_read_in_their_own_writing() {
        assert_eq!(Alphabet::Bytes.decode("Ġcaf\u{c3}\u{a9}"), " café".as_bytes());
        assert_eq!(Alphabet::Bytes.decode("▁x"), "▁x".as_bytes());
        assert_eq!(Alphabet::SentencePiece.decode("▁Hello"), b" Hello");
        assert_eq!(Alphabet::SentencePiece.decode("<0x0A>"), b"\n");
        assert_eq!(Alphabet::SentencePiece.decode("<0x+1>"), b"<0x+1>");
        assert_eq!(Alphabet::SentencePiece.decode("<0xABC>"), b"<0xABC>");
    }
}
