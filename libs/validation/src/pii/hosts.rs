//! E-mail addresses and URLs.

use std::ops::Range;

use super::domains::is_top_level;
use super::patterns::{before, behind, is_word};

/// E-mail addresses: the local part begins with a letter, digit or underscore, and the domain has a top-level one of letters.
pub(super) fn emails(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut from) = (Vec::new(), 0);
    for (at, _) in text.match_indices('@') {
        let local = text.get(from..at).and_then(local_part);
        let domain = text.get(at + 1..).map_or(0, domain);
        if let Some(local) = local.filter(|_| domain > 0) {
            found.push(from + local..at + 1 + domain);
            from = at + 1 + domain;
        } else {
            from = at + 1;
        }
    }
    found
}

fn is_local(c: char) -> bool {
    is_word(Some(c)) || "!#$%&'*+-/=?^`{|}~.".contains(c)
}

/// Where the local part at the end of the text begins.
fn local_part(text: &str) -> Option<usize> {
    let start = text.trim_end_matches(is_local).len();
    let first = text.get(start..)?.find(|c| is_word(Some(c)))?;
    Some(start + first)
}

/// The length of the domain at the beginning of the text: labels of words with dashes between, at least two; 0 if there is none.
fn domain(text: &str) -> usize {
    let is_part = |c: char| is_word(Some(c)) || matches!(c, '-' | '.');
    let part = text.get(..text.find(|c| !is_part(c)).unwrap_or(text.len())).unwrap_or_default();
    let (mut end, mut last) = (0, None);
    let mut at = 0;
    for label in part.split('.') {
        let bare = label.trim_end_matches('-');
        if bare.is_empty() || bare.starts_with('-') {
            break;
        }
        end = at + bare.len();
        last = (at > 0).then_some(bare);
        if bare.len() < label.len() {
            break;
        }
        at += label.len() + 1;
    }
    let is_top = |label: &str| {
        label.starts_with("xn--")
            || (label.chars().count() > 1 && label.chars().all(char::is_alphabetic))
    };
    if last.is_some_and(is_top) { end } else { 0 }
}

/// The URL in what has the shape of one: a scheme or `www.` and what follows, or a host.
pub(super) fn url(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let found = text.get(range.clone())?;
    let last = before(text, range.start);
    let lower: String =
        found.bytes().take(8).map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    if lower.starts_with("http://") || lower.starts_with("https://") || is_www(&lower) {
        let end = trimmed(found).len();
        let has_point = found.get(..end)?.contains('.');
        return (has_point && !is_word(last)).then_some(range.start..range.start + end);
    }
    // Part of an e-mail address, of a path or of a word.
    if is_word(last) || last.is_some_and(|c| matches!(c, '@' | '.' | '-' | '/')) {
        return None;
    }
    let next = behind(text, range.end);
    let joined = is_word(next) || next == Some('@');
    let host = host(found).filter(|host| *host < found.len() || !joined)?;
    let end = range.start + host;
    let path = match next {
        Some('/') if host == found.len() => {
            let rest = text.get(end..)?;
            let ends = |c: char| c.is_whitespace() || "()<>\"'".contains(c);
            trimmed(rest.get(..rest.find(ends).unwrap_or(rest.len()))?).len()
        }
        _ => 0,
    };
    Some(range.start..end + path)
}

/// Up to here at least there is a `www` of no, one, two or three digits, and a point.
fn is_www(lower: &str) -> bool {
    let digits = lower.strip_prefix("www").and_then(|rest| rest.split_once('.'));
    digits.is_some_and(|(digits, _)| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn trimmed(url: &str) -> &str {
    url.trim_end_matches(['.', ',', ';', ':', '!', '?'])
}

/// The length of the longest beginning that is a host with a known top-level domain.
fn host(found: &str) -> Option<usize> {
    let mut host = found;
    loop {
        let (rest, top) = host.rsplit_once('.')?;
        if is_top_level(top) {
            let label =
                |label: &str| label.len() < 64 && !label.starts_with('-') && !label.ends_with('-');
            return rest.split('.').all(label).then_some(host.len());
        }
        host = rest;
    }
}
