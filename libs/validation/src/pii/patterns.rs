//! The shapes of personal data, and which of what has the shape is meant.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::Kind;
use super::checks::{base58_checks, bech32_checks, iban_checks, iban_length, luhn};

const EMAIL: &str =
    r"\b[\w!#$%&'*+\-/=?^`{|}~][\w!#$%&'*+\-/=?^`{|}~.]{0,63}@\w+(?:-+\w+)*(?:\.\w+(?:-+\w+)*)+\b";
const CREDIT_CARD: &str =
    r"\b(?:4\d{3}|5[0-5]\d{2}|[631]\d{3})[- ]?\d{3,4}[- ]?\d{3,4}[- ]?\d{3,5}\b";
const IBAN: &str = r"\b[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{1,4}){3,8}";
const CRYPTO: &str = r"\b(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25,59}\b";
const SSN: &str = r"\b\d{3}[- .]\d{2}[- .]\d{4}\b";
const IP_ADDRESS: &str = r"[0-9A-Fa-f:.]{2,45}(?:/\d{1,3})?";
const URL: &str = r#"(?i)\b(?:https?://|www\d{0,3}\.)[^\s()<>"']{1,2000}|\b(?:[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?\.){1,8}(?:com|org|net|edu|gov|mil|int|info|biz|io|co|app|dev|ai|me|tv|us|uk|de|fr|it|es|nl|ch|at|be|se|no|dk|pl|ru|cn|jp|in|br|ca|au|eu)\b(?:/[^\s()<>"']{0,2000})?"#;
const PHONE: &str = r"(?:\+|\b|\()\d[\d ().\-]{5,24}\d\b(?:,? ?(?:x|ext\.?) ?\d{1,6}\b)?";

/// Where data of this kind stands, in the text's order.
pub(super) fn find(text: &str, kind: Kind) -> Vec<Range<usize>> {
    macro_rules! compiled {
        ($pattern:ident) => {{
            static REGEX: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($pattern).ok());
            REGEX.as_ref()
        }};
    }
    let regex = match kind {
        Kind::Email => compiled!(EMAIL),
        Kind::CreditCard => compiled!(CREDIT_CARD),
        Kind::Iban => compiled!(IBAN),
        Kind::Crypto => compiled!(CRYPTO),
        Kind::Ssn => compiled!(SSN),
        Kind::IpAddress => compiled!(IP_ADDRESS),
        Kind::Url => compiled!(URL),
        Kind::Phone => compiled!(PHONE),
    };
    // The patterns are tested, so that there is always one.
    let matches = regex.into_iter().flat_map(|regex| regex.find_iter(text));
    matches.filter_map(|found| meant(text, found.range(), kind)).collect()
}

/// The part of a match that is of this kind, if there is one.
fn meant(text: &str, range: Range<usize>, kind: Kind) -> Option<Range<usize>> {
    let found = text.get(range.clone())?;
    let digits = || found.chars().filter(char::is_ascii_digit).collect::<String>();
    match kind {
        Kind::Email => {
            let top = found.rsplit('.').next()?;
            let known = top.starts_with("xn--")
                || (top.chars().count() > 1 && top.chars().all(char::is_alphabetic));
            known.then_some(range)
        }
        Kind::CreditCard => {
            // Thirteen digits that begin with 1 are milliseconds since 1970.
            let time = found.len() == 13 && found.starts_with('1');
            (!time && luhn(&digits())).then_some(range)
        }
        Kind::Iban => iban(text, range),
        Kind::Crypto => {
            let valid =
                if found.starts_with("bc1") { bech32_checks(found) } else { base58_checks(found) };
            valid.then_some(range)
        }
        Kind::Ssn => ssn(found, &digits()).then_some(range),
        Kind::IpAddress => ip_address(text, range),
        Kind::Url => {
            let before = text.get(..range.start)?.chars().next_back();
            let end = found.trim_end_matches(['.', ',', ';', ':', '!', '?']).len();
            let behind_an_address = before.is_some_and(|c| matches!(c, '@' | '.' | '-' | '/'));
            (!behind_an_address && found.get(..end)?.contains('.'))
                .then_some(range.start..range.start + end)
        }
        Kind::Phone => phone(text, range),
    }
}

/// As many letters and digits as the country's accounts have.
fn iban(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let found = text.get(range.clone())?;
    let length = iban_length(found.get(..2)?)?;
    let mut account = String::with_capacity(length);
    for (at, c) in found.char_indices().filter(|(_, c)| c.is_ascii_alphanumeric()) {
        account.push(c);
        if account.len() == length {
            let end = range.start + at + 1;
            let ends = text.get(end..)?.chars().next().is_none_or(|c| !c.is_ascii_alphanumeric());
            return (ends && iban_checks(&account)).then_some(range.start..end);
        }
    }
    None
}

/// Presidio's rules: equal separators, no group of zeros only, no area that is never given out, no number of advertisements.
fn ssn(found: &str, digits: &str) -> bool {
    let mut separators = found.chars().filter(|c| !c.is_ascii_digit());
    let equal = separators.next() == separators.next();
    let (Some(area), Some(group), Some(serial)) =
        (digits.get(..3), digits.get(3..5), digits.get(5..))
    else {
        return false;
    };
    let first = digits.chars().next();
    let one_digit = digits.chars().all(|c| Some(c) == first);
    let sample = ["123456789", "987654320", "078051120"].contains(&digits);
    equal
        && !one_digit
        && !sample
        && group != "00"
        && serial != "0000"
        && area != "000"
        && area != "666"
}

fn ip_address(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let found = text.get(range.clone())?;
    let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let (before, after) =
        (text.get(..range.start)?.chars().next_back(), text.get(range.end..)?.chars().next());
    let (address, prefix) = match found.split_once('/') {
        Some((address, prefix)) => (address, prefix.parse::<u8>().ok()),
        None => (found.trim_end_matches('.'), None),
    };
    let address = address.strip_suffix(':').filter(|rest| !rest.ends_with(':')).unwrap_or(address);
    let parsed: IpAddr = address.parse().ok()?;
    let longest = if parsed.is_ipv4() { 32 } else { 128 };
    let end = match prefix {
        Some(prefix) if prefix <= longest => range.end,
        _ => range.start + address.len(),
    };
    (!joins(before) && !joins(after) && address != "::").then_some(range.start..end)
}

fn phone(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let found = text.get(range.clone())?;
    let before = text.get(..range.start)?.chars().next_back();
    if before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '/' | '_' | '+' | '#'))
    {
        return None;
    }
    let number =
        found.find(['x', 'e', ',']).and_then(|at| found.get(..at)).unwrap_or(found).trim_end();
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let separated = number.contains([' ', '-', '.', '(']);
    let digit = |at: usize| digits.as_bytes().get(at).copied().unwrap_or(b'0');
    let american = |digits_before: usize| {
        digit(digits_before) > b'1'
            && digit(digits_before + 3) > b'1'
            && groups_end_in(number, &[3, 4])
    };
    let is_number = match digits.len() {
        8..=15 if number.starts_with('+') => digit(0) != b'0',
        10 if digit(0) != b'0' => separated && american(0),
        11 if digit(0) == b'1' => separated && american(1),
        9..=12 => separated && digit(0) == b'0' && digit(1) != b'0' && !is_date(number),
        _ => false,
    };
    is_number.then_some(range)
}

/// Whether the last groups of digits have these lengths.
fn groups_end_in(number: &str, lengths: &[usize]) -> bool {
    let groups: Vec<usize> = number
        .split(|c: char| !c.is_ascii_digit())
        .filter(|g| !g.is_empty())
        .map(str::len)
        .collect();
    groups.ends_with(lengths)
}

/// `01.02.2024` and the like.
fn is_date(number: &str) -> bool {
    let groups: Vec<&str> = number.split(|c: char| !c.is_ascii_digit()).collect();
    matches!(groups.as_slice(), [a, b, c] if a.len() <= 2 && b.len() <= 2 && c.len() == 4)
}
