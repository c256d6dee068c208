//! The shapes of personal data, and which of what has the shape is meant. Time is linear in the text: patterns without a bound match what
//! they have gone over.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::Kind;
use super::checks::{base58_checks, bech32_checks, iban_checks, iban_length, luhn};
use super::hosts::{emails, url};
use super::phones::phones;

// Boundaries are ASCII's: the regex crate is slow at Unicode's. What stands before and behind is looked at afterwards.
const CREDIT_CARD: &str = r"(?-u:\b)(?:4[0-9]{3}|5[0-5][0-9]{2}|[631][0-9]{3})[- ]?[0-9]{3,4}[- ]?[0-9]{3,4}[- ]?[0-9]{3,5}(?-u:\b)";
const IBAN: &str = r"[A-Z]{2}[0-9]{2}(?:[ -]?[A-Z0-9]{1,4}){3,8}";
const CRYPTO: &str = r"(?-u:\b)(?:bc1|[13])[a-zA-HJ-NP-Z0-9]{25,59}(?-u:\b)";
const SSN: &str = r"(?-u:\b)[0-9]{3}[- .][0-9]{2}[- .][0-9]{4}(?-u:\b)";
const IP_ADDRESS: &str = r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]*:[0-9A-Fa-f:]*(?:\.[0-9]{1,3}){0,3}(?:%[0-9A-Za-z]{1,15})?(?:/[0-9]{1,3})?|[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9]{1,3})?";
const URL: &str =
    r#"(?i)(?:https?://|www[0-9]{0,3}\.)[^\s()<>"']+|[a-z0-9][a-z0-9-]*(?:\.[a-z0-9-]+)+"#;

/// Where data of this kind stands, in the text's order.
pub(super) fn find(text: &str, kind: Kind) -> Vec<Range<usize>> {
    macro_rules! compiled {
        ($pattern:ident) => {{
            static REGEX: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($pattern).ok());
            REGEX.as_ref()
        }};
    }
    let regex = match kind {
        Kind::Email => return emails(text),
        Kind::Phone => return phones(text),
        Kind::CreditCard => compiled!(CREDIT_CARD),
        Kind::Iban => compiled!(IBAN),
        Kind::Crypto => compiled!(CRYPTO),
        Kind::Ssn => compiled!(SSN),
        Kind::IpAddress => compiled!(IP_ADDRESS),
        Kind::Url => compiled!(URL),
    };
    // The patterns are tested, so that there is always one.
    let Some(regex) = regex else { return Vec::new() };
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(shape) = regex.find_at(text, at) {
        at = shape.end();
        match meant(text, shape.range(), kind) {
            Some(range) => {
                // It may end before the shape does, and the next begin there.
                at = range.end;
                found.push(range);
            }
            // An account may begin within what looked like one: its shape is at most 44 characters.
            None if kind == Kind::Iban => at = shape.start() + 1,
            None => {}
        }
    }
    found
}

pub(super) fn before(text: &str, at: usize) -> Option<char> {
    text.get(..at)?.chars().next_back()
}

pub(super) fn behind(text: &str, at: usize) -> Option<char> {
    text.get(at..)?.chars().next()
}

pub(super) fn is_word(c: Option<char>) -> bool {
    c.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// The part of the text with a shape that is of this kind, if there is one.
fn meant(text: &str, range: Range<usize>, kind: Kind) -> Option<Range<usize>> {
    let found = text.get(range.clone())?;
    let digits = || found.chars().filter(char::is_ascii_digit).collect::<String>();
    let stands_alone = || !is_word(before(text, range.start)) && !is_word(behind(text, range.end));
    match kind {
        Kind::CreditCard => {
            // Thirteen digits that begin with 1 are milliseconds since 1970.
            let time = found.len() == 13 && found.starts_with('1');
            (!time && stands_alone() && luhn(&digits())).then_some(range)
        }
        Kind::Iban => iban(text, range),
        Kind::Crypto => {
            let valid =
                if found.starts_with("bc1") { bech32_checks(found) } else { base58_checks(found) };
            (valid && stands_alone()).then_some(range)
        }
        Kind::Ssn => (stands_alone() && ssn(found, &digits())).then_some(range),
        Kind::IpAddress => ip_address(text, range),
        Kind::Url => url(text, range),
        Kind::Email | Kind::Phone => None, // these are not found by a shape
    }
}

/// As many letters and digits as the country's accounts have.
fn iban(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let found = text.get(range.clone())?;
    let length = iban_length(found.get(..2)?)?;
    let joins = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
    if before(text, range.start).is_some_and(joins) {
        return None;
    }
    let mut account = String::with_capacity(length);
    for (at, c) in found.char_indices().filter(|(_, c)| c.is_ascii_alphanumeric()) {
        account.push(c);
        if account.len() == length {
            let end = range.start + at + 1;
            let ends = behind(text, end).is_none_or(|c| !c.is_ascii_alphanumeric());
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
    let is_6 = found.contains(':');
    // `1.2.3.4.5` and `std::fs` are none; `1.2.3.4:80` and `at 10.0.0.1.` are.
    let goes_on = |mark: Option<char>, next: Option<char>| {
        mark == Some('.') && next.is_some_and(|c| c.is_ascii_digit())
    };
    let start = range.start;
    let last = before(text, start);
    let joined_before =
        is_word(last) || goes_on(last, start.checked_sub(1).and_then(|at| before(text, at)));
    let (address, prefix) = match found.split_once('/') {
        Some((address, prefix)) => (address, prefix.parse::<u8>().ok()),
        None => (found, None),
    };
    let address =
        address.strip_suffix(':').filter(|rest| is_6 && !rest.ends_with(':')).unwrap_or(address);
    let parsed: IpAddr = address.split('%').next()?.parse().ok()?;
    let longest = if parsed.is_ipv4() { 32 } else { 128 };
    let end = match prefix {
        Some(prefix) if prefix <= longest => range.end,
        _ => start + address.len(),
    };
    let next = behind(text, end);
    let joined_behind = is_word(next) || goes_on(next, behind(text, end + 1));
    (!joined_before && !joined_behind && address != "::").then_some(start..end)
}
