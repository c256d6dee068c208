//! The tokens of sacrebleu's `13a` as parts of the text, in one pass: what its four substitutions and the split at white space leave.
//!
//! The substitutions only put spaces around ASCII characters, and none looks beyond white space. Points and commas are the only ones
//! that depend on more than one neighbour, since `([^0-9])([\.,])` takes them in pairs: of a run of them all are tokens, but for the last
//! of a run of even length behind a character that is no digit, or of odd length behind a digit: that one belongs to a digit behind it.

use crate::text::whitespace::space_at;

#[derive(Clone, Copy, PartialEq)]
enum Class {
    /// Part of a word.
    Plain,
    Digit,
    Space,
    /// A token of its own.
    Mark,
    /// `.` and `,`.
    Point,
    Dash,
    /// The first byte of a character outside ASCII that may be white space.
    Lead,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Plain; 256];
    let mut at = 0;
    while at < 256 {
        classes[at] = match at as u8 {
            b'\t'..=b'\r' | 0x1c..=0x1f | b' ' => Class::Space,
            b'0'..=b'9' => Class::Digit,
            b'.' | b',' => Class::Point,
            b'-' => Class::Dash,
            b'{'..=b'~' | b'['..=b'`' | b'!'..=b'&' | b'('..=b'+' | b':'..=b'@' | b'/' => {
                Class::Mark
            }
            0xc2 | 0xe1..=0xe3 => Class::Lead,
            _ => Class::Plain,
        };
        at += 1;
    }
    classes
};

/// The tokens of a text without mark-up.
pub(super) struct Mteval<'t> {
    text: &'t str,
    at: usize,
    /// Up to here each byte is a token.
    single: usize,
}

impl<'t> Mteval<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, single: 0 }
    }

    fn class(&self, at: usize) -> Option<Class> {
        self.text.as_bytes().get(at).map(|byte| CLASSES[usize::from(*byte)])
    }

    /// Looks at the run of points that begins at `at`. True if it is one point within a number; else its points become tokens, but for
    /// a last one that belongs to a digit behind it.
    fn points(&mut self, at: usize) -> bool {
        let is_digit = |at: Option<usize>| at.and_then(|at| self.class(at)) == Some(Class::Digit);
        let mut end = at + 1;
        while self.class(end) == Some(Class::Point) {
            end += 1;
        }
        let behind_digit = is_digit(at.checked_sub(1));
        let pairs_up = ((end - at) % 2 == 1) != behind_digit;
        let last_stays = !pairs_up && is_digit(Some(end));
        self.single = if last_stays { end - 1 } else { end };
        self.single == at && behind_digit
    }

    /// Whether the point at `at` is not the first of its run.
    fn in_run(&self, at: usize) -> bool {
        at.checked_sub(1).and_then(|before| self.class(before)) == Some(Class::Point)
    }

    fn token(&mut self, start: usize, end: usize) -> Option<&'t str> {
        self.at = end;
        self.text.get(start..end)
    }
}

impl<'t> Iterator for Mteval<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        loop {
            let start = self.at;
            if start < self.single {
                return self.token(start, start + 1);
            }
            match self.class(start)? {
                Class::Space => self.at += 1,
                Class::Mark => return self.token(start, start + 1),
                Class::Lead if space_at(self.text, start) > 0 => {
                    self.at += space_at(self.text, start);
                }
                Class::Point if !self.in_run(start) => {
                    self.points(start);
                }
                _ => return self.word(start),
            }
        }
    }
}

impl<'t> Mteval<'t> {
    /// The token that begins with the character at `start`, whatever it is.
    fn word(&mut self, start: usize) -> Option<&'t str> {
        let mut at = start + 1;
        loop {
            let rest = self.text.as_bytes().get(at..).unwrap_or_default();
            let is_special =
                |byte: &u8| !matches!(CLASSES[usize::from(*byte)], Class::Plain | Class::Digit);
            at += rest.iter().position(is_special).unwrap_or(rest.len());
            match self.class(at) {
                Some(Class::Dash) if self.class(at - 1) == Some(Class::Digit) => {
                    self.single = at + 1;
                    return self.token(start, at);
                }
                Some(Class::Dash) => {}
                Some(Class::Lead) if space_at(self.text, at) == 0 => {}
                Some(Class::Point) if self.points(at) => {}
                _ => return self.token(start, at),
            }
            at += 1;
        }
    }
}
