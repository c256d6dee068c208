//! Bounds an expression before the parser sees it: the parser recurses, on broken input too, by the number of tokens.

use super::ExpressionError;

const MAX_BYTES: usize = 4_096;

/// The parser needs less than 512 KiB of stack for any so many tokens (a run of operators without operands is the worst).
const MAX_TOKENS: usize = 500;

const MAX_NESTING: usize = 24;

/// Right-nested, and so as deep as there are of them.
const MAX_CONDITIONALS: usize = 24;

/// Refuses an expression that is too large, too deep, or whose tokens the parser might count differently: open strings, escapes
/// that CEL does not know, unbalanced brackets.
pub(super) fn bound(source: &str) -> Result<(), ExpressionError> {
    if source.len() > MAX_BYTES {
        let message =
            format!("an expression of {} bytes; at most {MAX_BYTES} are allowed", source.len());
        return Err(ExpressionError::at(source, MAX_BYTES, message));
    }
    let mut scan = Scan { source, offset: 0 };
    let (mut tokens, mut conditionals, mut open) = (0, 0, Vec::new());
    while let Some((offset, token)) = scan.token()? {
        tokens += 1;
        match token {
            Token::Open(bracket) => open.push(bracket),
            Token::Close(bracket) if open.last() == Some(&bracket) => _ = open.pop(),
            Token::Close(bracket) => {
                let message = format!("`{}` without its opening bracket", closing(bracket));
                return Err(ExpressionError::at(source, offset, message));
            }
            Token::Conditional => conditionals += 1,
            Token::Other => {}
        }
        let limit = match () {
            () if tokens > MAX_TOKENS => format!("more than {MAX_TOKENS} words and signs"),
            () if open.len() > MAX_NESTING => {
                format!("more than {MAX_NESTING} brackets within brackets")
            }
            () if conditionals > MAX_CONDITIONALS => {
                format!("more than {MAX_CONDITIONALS} conditionals")
            }
            () => continue,
        };
        let message = format!("{limit}: split the condition into several filters");
        return Err(ExpressionError::at(source, offset, message));
    }
    match open.last() {
        None => Ok(()),
        Some(bracket) => {
            let message = format!("the expression ends where `{}` is missing", closing(*bracket));
            Err(ExpressionError::at(source, source.len(), message))
        }
    }
}

enum Token {
    Open(char),
    Close(char),
    Conditional,
    Other,
}

fn closing(bracket: char) -> char {
    match bracket {
        '(' => ')',
        '[' => ']',
        _ => '}',
    }
}

struct Scan<'s> {
    source: &'s str,
    offset: usize,
}

impl<'s> Scan<'s> {
    fn rest(&self) -> &'s str {
        self.source.get(self.offset..).unwrap_or_default()
    }

    fn error<T>(&self, offset: usize, message: &str) -> Result<T, ExpressionError> {
        Err(ExpressionError::at(self.source, offset, message))
    }

    /// The next token and where it begins.
    fn token(&mut self) -> Result<Option<(usize, Token)>, ExpressionError> {
        self.skip_space();
        let start = self.offset;
        let Some(first) = self.rest().chars().next() else { return Ok(None) };
        let word = self.rest().find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let word = self.rest().get(..word.unwrap_or(self.rest().len())).unwrap_or_default();
        self.offset += word.len();
        if self.rest().starts_with(['"', '\'']) && (word.is_empty() || is_string_prefix(word)) {
            self.string(start, word.contains(['r', 'R']))?;
            return Ok(Some((start, Token::Other)));
        }
        if !word.is_empty() {
            return Ok(Some((start, Token::Other)));
        }
        self.offset += first.len_utf8();
        let token = match first {
            '(' | '[' | '{' => Token::Open(first),
            ')' => Token::Close('('),
            ']' => Token::Close('['),
            '}' => Token::Close('{'),
            '?' => Token::Conditional,
            _ => Token::Other,
        };
        Ok(Some((start, token)))
    }

    fn skip_space(&mut self) {
        loop {
            let trimmed = self.rest().trim_start_matches(['\t', ' ', '\r', '\n', '\u{c}']);
            self.offset = self.source.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.offset += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// Goes behind the string that began at `start`; the offset is at its quotation mark.
    fn string(&mut self, start: usize, raw: bool) -> Result<(), ExpressionError> {
        let mark = if self.rest().starts_with('"') { "\"\"\"" } else { "'''" };
        let long = self.rest().starts_with(mark);
        let mark = if long { mark } else { &mark[..1] };
        self.offset += mark.len();
        loop {
            if self.rest().starts_with(mark) {
                self.offset += mark.len();
                return Ok(());
            }
            match self.rest().chars().next() {
                Some('\\') if !raw => match escape(self.rest()) {
                    Some(length) => self.offset += length,
                    None => {
                        let message =
                            "an escape that CEL does not have; write \\\\ for a backslash";
                        return self.error(self.offset, message);
                    }
                },
                None => return self.error(start, "a string without its closing quotation mark"),
                Some('\n' | '\r') if !long => {
                    return self
                        .error(start, "a string without its closing quotation mark on this line");
                }
                Some(c) => self.offset += c.len_utf8(),
            }
        }
    }
}

/// Raw strings, bytes, raw bytes.
fn is_string_prefix(word: &str) -> bool {
    matches!(word, "r" | "R" | "b" | "B" | "br" | "bR" | "Br" | "BR")
}

/// The length of the escape sequence that `text` begins with.
fn escape(text: &str) -> Option<usize> {
    let (digits, length): (fn(u8) -> bool, usize) = match text.as_bytes().get(1)? {
        b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`' => {
            return Some(2);
        }
        b'x' | b'X' => (|b| b.is_ascii_hexdigit(), 4),
        b'u' => (|b| b.is_ascii_hexdigit(), 6),
        b'U' => (|b| b.is_ascii_hexdigit(), 10),
        b'0'..=b'3' => (|b| (b'0'..=b'7').contains(&b), 4),
        _ => return None,
    };
    let all = text.as_bytes().get(2..length)?.iter().all(|byte| digits(*byte));
    all.then_some(length)
}
