//! Telephone numbers, by shape: numbering plans of all countries are large, and change.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::patterns::{before, behind, is_word};

/// Digits with what may stand between them.
const CANDIDATE: &str = r"[+(]{0,2}[0-9][0-9 ().\-]{4,}[0-9]";
const EXTENSION: &str = r"^,? ?(?:x|ext\.?) ?[0-9]{1,6}(?-u:\b)";

/// Groups of digits that a number has at most.
const MAX_GROUPS: usize = 7;

/// Where telephone numbers stand, in the text's order.
pub(super) fn phones(text: &str) -> Vec<Range<usize>> {
    static REGEXES: LazyLock<Option<(Regex, Regex)>> =
        LazyLock::new(|| Regex::new(CANDIDATE).ok().zip(Regex::new(EXTENSION).ok()));
    let Some((candidates, extension)) = REGEXES.as_ref() else { return Vec::new() };
    let mut found = Vec::new();
    for candidate in candidates.find_iter(text) {
        let groups = groups(candidate.as_str(), candidate.start());
        let mut first = 0;
        while first < groups.len() {
            let last = (groups.len() - 1).min(first + MAX_GROUPS - 1);
            let number = (first..=last).rev().find_map(|last| {
                let range = opened(text, &groups, first)..groups.get(last)?.end;
                is_number(text, &range, &candidate.range()).then_some((last, range))
            });
            first = match number {
                Some((last, mut range)) => {
                    let more = text.get(range.end..).and_then(|rest| extension.find(rest));
                    range.end += more.map_or(0, |more| more.end());
                    found.push(range);
                    last + 1
                }
                None => first + 1,
            };
        }
    }
    found
}

/// The runs of digits.
fn groups(candidate: &str, offset: usize) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (at, byte) in (offset..).zip(candidate.bytes()) {
        match groups.last_mut().filter(|group| group.end == at) {
            Some(group) if byte.is_ascii_digit() => group.end += 1,
            _ if byte.is_ascii_digit() => groups.push(at..at + 1),
            _ => {}
        }
    }
    groups
}

/// Where a number begins that begins with this group: at its plus sign or parenthesis.
fn opened(text: &str, groups: &[Range<usize>], at: usize) -> usize {
    let start = groups.get(at).map_or(0, |group| group.start);
    let signs = text.get(..start).unwrap_or_default();
    let opened = signs.strip_suffix('(').unwrap_or(signs);
    opened.strip_suffix('+').unwrap_or(opened).len()
}

/// Whether a part of a candidate is a number.
fn is_number(text: &str, range: &Range<usize>, candidate: &Range<usize>) -> bool {
    let Some(number) = text.get(range.clone()) else { return false };
    let last = before(text, range.start);
    let next = behind(text, range.end);
    let joined = is_word(last)
        || last.is_some_and(|c| matches!(c, '.' | '-' | '/' | '+' | '#' | ':'))
        || is_word(next)
        || (next.is_some_and(|c| matches!(c, '.' | '-' | '/' | ':'))
            && behind(text, range.end + 1).is_some_and(|c| c.is_ascii_digit()));
    if joined || number.contains("  ") || number.matches('(').count() != number.matches(')').count()
    {
        return false;
    }
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    let separated = number.contains([' ', '-', '.', '(']);
    let digit = |at: usize| digits.as_bytes().get(at).copied().unwrap_or(b'0');
    match digits.len() {
        8..=15 if number.starts_with('+') || number.starts_with("(+") => international(&digits),
        10 if digit(0) != b'0' => {
            american(&digits) && (!separated || ends_in_groups(number, &[3, 4]))
        }
        11 if digit(0) == b'1' => {
            separated && digits.get(1..).is_some_and(american) && ends_in_groups(number, &[3, 4])
        }
        // So many digits are parts of much else.
        9..=12 if range == candidate => {
            separated && digit(0) == b'0' && digit(1) != b'0' && !is_date(number)
        }
        _ => false,
    }
}

/// Whether a number behind a plus sign may have so many digits: what follows a number may look as if it belonged to it.
fn international(digits: &str) -> bool {
    /// Country codes and the fewest and most digits of their numbers, with the code.
    const LENGTHS: [(&str, usize, usize); 14] = [
        ("1", 11, 11),
        ("31", 11, 11),
        ("32", 10, 11),
        ("33", 11, 11),
        ("34", 11, 11),
        ("41", 11, 11),
        ("44", 11, 12),
        ("48", 11, 11),
        ("52", 12, 12),
        ("55", 12, 13),
        ("61", 11, 11),
        ("86", 11, 13),
        ("91", 12, 12),
        ("972", 11, 12),
    ];
    let country = LENGTHS.iter().find(|(code, ..)| digits.starts_with(code));
    let (_, least, most) = country.copied().unwrap_or(("", 8, 15));
    !digits.starts_with('0') && (least..=most).contains(&digits.len())
}

/// The North American plan: area and exchange begin with 2 to 9, and are not 211, 311 … 911; no area has a 9 in the middle.
fn american(digits: &str) -> bool {
    let code = |code: &[u8]| matches!(code, [b'2'..=b'9', b, c] if (*b, *c) != (b'1', b'1'));
    match digits.as_bytes().as_chunks::<3>().0 {
        [area, exchange, ..] => code(area) && code(exchange) && area[1] != b'9',
        _ => false,
    }
}

/// Whether the last groups of digits have these lengths.
fn ends_in_groups(number: &str, lengths: &[usize]) -> bool {
    let groups: Vec<usize> = number
        .split(|c: char| !c.is_ascii_digit())
        .filter(|group| !group.is_empty())
        .map(str::len)
        .collect();
    groups.ends_with(lengths)
}

/// `01.02.2024` and the like.
fn is_date(number: &str) -> bool {
    let groups: Vec<&str> = number.split(|c: char| !c.is_ascii_digit()).collect();
    matches!(groups.as_slice(), [a, b, c] if a.len() <= 2 && b.len() <= 2 && c.len() == 4)
}
