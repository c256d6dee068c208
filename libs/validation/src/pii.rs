//! Personal data in texts: what is found, where, and the text without it. The kinds, their shapes and their checks follow Presidio's
//! default English pattern recognizers; phone numbers are known by their shape, not by each country's numbering plan.

mod checks;
mod domains;
mod hosts;
mod patterns;
mod phones;

use std::ops::Range;

/// A kind of personal data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A bank account, with the length of its country and valid check digits (ISO 13616).
    Iban,
    /// A payment card of 12 to 19 digits, with a valid check digit (Luhn).
    CreditCard,
    /// A Bitcoin address with a valid checksum (Base58Check, Bech32, Bech32m).
    Crypto,
    /// A United States social security number, with separators.
    Ssn,
    /// An IPv4 or IPv6 address, with or without a prefix length.
    IpAddress,
    /// An e-mail address.
    Email,
    /// A URL with `http:`, `https:` or `www.`, or a host with one of the frequent top-level domains.
    Url,
    /// A telephone number: international with `+`, North American, or with a leading 0 and separators; by shape and length.
    Phone,
}

impl Kind {
    /// All of them, with their names; where two overlap, the first counts.
    pub const ALL: [(&'static str, Kind); 8] = [
        ("iban", Kind::Iban),
        ("creditCard", Kind::CreditCard),
        ("crypto", Kind::Crypto),
        ("ssn", Kind::Ssn),
        ("ipAddress", Kind::IpAddress),
        ("email", Kind::Email),
        ("url", Kind::Url),
        ("phone", Kind::Phone),
    ];

    /// The name in a manifest.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// Personal data that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// What it is.
    pub kind: Kind,
    /// Where it stands: bytes of the text.
    pub range: Range<usize>,
}

/// The personal data of `kinds` in `text`, in its order; none overlap.
pub fn find(text: &str, kinds: &[Kind]) -> Vec<Entity> {
    let mut found: Vec<Entity> = Vec::new();
    for (_, kind) in Kind::ALL.iter().filter(|(_, kind)| kinds.contains(kind)) {
        let ranges = patterns::find(text, *kind);
        if !ranges.is_empty() {
            found = merged(found, ranges, *kind);
        }
    }
    found
}

/// Both in the text's order; of two that overlap the earlier kind's.
fn merged(found: Vec<Entity>, ranges: Vec<Range<usize>>, kind: Kind) -> Vec<Entity> {
    let mut all = Vec::with_capacity(found.len() + ranges.len());
    let mut found = found.into_iter().peekable();
    for range in ranges {
        while let Some(entity) = found.next_if(|entity| entity.range.end <= range.start) {
            all.push(entity);
        }
        if found.peek().is_none_or(|entity| range.end <= entity.range.start) {
            all.push(Entity { kind, range });
        }
    }
    all.extend(found);
    all
}

/// The text with the name of its kind in angle brackets in place of each entity: `Call <phone>.` Nothing is found in it afterwards: what
/// is left of one that overlapped another, and is still one, is masked too.
pub fn mask(text: &str, kinds: &[Kind]) -> String {
    let mut masked = text.to_owned();
    loop {
        let found = find(&masked, kinds);
        if found.is_empty() {
            return masked;
        }
        masked = without(&masked, &found);
    }
}

fn without(text: &str, found: &[Entity]) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    for Entity { kind, range } in found {
        masked.push_str(text.get(at..range.start).unwrap_or_default());
        masked.push('<');
        masked.push_str(kind.name());
        masked.push('>');
        at = range.end;
    }
    masked.push_str(text.get(at..).unwrap_or_default());
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Kind> {
        Kind::ALL.iter().map(|(_, kind)| *kind).collect()
    }

    fn check(text: &str, masked: &str) {
        assert_eq!(mask(text, &all()), masked, "{text:?}");
    }

    #[test]
    fn each_kind_is_found_by_its_shape_and_its_check_digits() {
        check("Mail jane.doe+x@mail.example.co.uk, now", "Mail <email>, now");
        check("no@host a@b.c1 @x", "no@host a@b.c1 @x");
        check(
            "Card 4111 1111 1111 1111 or 4111-1111-1111-1112",
            "Card <creditCard> or 4111-1111-1111-1112",
        );
        check("1700000000000", "1700000000000"); // a time stamp
        check(
            "DE89 3704 0044 0532 0130 00 2 days, GB82WEST12345698765432",
            "<iban> 2 days, <iban>",
        );
        check("DE88 3704 0044 0532 0130 00", "DE88 3704 0044 0532 0130 00");
        check(
            "10.0.0.1/24, 999.1.1.1, 1.2.3.4.5, 2001:db8::1, 12:30",
            "<ipAddress>, 999.1.1.1, 1.2.3.4.5, <ipAddress>, 12:30",
        );
        check("SSN 536-22-1234, 000-22-1234, 536-22.1234", "SSN <ssn>, 000-22-1234, 536-22.1234");
        check("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "<crypto>");
        check("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3", "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3");
        check("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq", "<crypto>");
        check(
            "see https://example.com/a?b=c. or www.x.museum, also shop.example.org!",
            "see <url>. or <url>, also <url>!",
        );
        check("file.rs e.g. 3.14 v1.com", "file.rs e.g. 3.14 <url>");
        check(
            "Call +49 30 901820, (212) 555-0187 or 020 7946 0958.",
            "Call <phone>, <phone> or <phone>.",
        );
        check("2125550187 212 555 0187 +1 212-555-0187 x12", "<phone> <phone> <phone>");
        check("+33 1 42 68 53 00 030, 1115550187 1700000000", "<phone> 030, 1115550187 1700000000");
        check(
            "at 10.0.0.1:8080, ip:10.0.0.1. fe80::1%eth0",
            "at <ipAddress>:8080, ip:<ipAddress>. <ipAddress>",
        );
        check("GB82WEST12345698765432 DE89370400440532013000 2", "<iban> <iban> 2");
        check(
            "hours.Please 'shop.example.careers' std::fs a.b@c",
            "hours.Please '<url>' std::fs a.b@c",
        );
        check("+x@a.example.com, a.@example.com b@example.c", "+<email>, <email> b@example.c");
        check("in 2024-05-06, 1,000.50 or 12345678", "in 2024-05-06, 1,000.50 or 12345678");
    }

    #[test]
    fn only_the_kinds_that_are_asked_for_are_found() {
        let text = "a@example.com 10.0.0.1";
        assert_eq!(mask(text, &[Kind::IpAddress]), "a@example.com <ipAddress>");
        assert_eq!(mask(text, &[]), text);
        assert_eq!(find(text, &all()).len(), 2);
        assert_eq!(find(text, &[Kind::Email]), [Entity { kind: Kind::Email, range: 0..13 }]);
    }
}
