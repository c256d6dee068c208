//! Check digits and checksums.

use sha2::{Digest, Sha256};

/// The check digit of payment cards (ISO/IEC 7812).
pub(super) fn luhn(digits: &str) -> bool {
    let sum: u32 = digits
        .chars()
        .rev()
        .filter_map(|c| c.to_digit(10))
        .enumerate()
        .map(|(at, digit)| match at % 2 {
            0 => digit,
            _ => digit * 2 / 10 + digit * 2 % 10,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Letters and digits of an account of this country (the IBAN registry), or `None` if it has none.
pub(super) fn iban_length(country: &str) -> Option<usize> {
    const LENGTHS: [(usize, &str); 17] = [
        (15, "NO"),
        (16, "BE"),
        (18, "DK FI FO GL NL"),
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU XK"),
        (21, "CH HR LI LV"),
        (22, "BG BH CR DE GB GE IE ME RS VA"),
        (23, "AE GI IL IQ TL"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
        (25, "LY PT"),
        (26, "IS TR"),
        (27, "FR GR IT MC MR SM"),
        (28, "AL AZ BY CY DO GT HU LB PL"),
        (29, "BR EG PS QA UA"),
        (30, "JO KW MU"),
        (31, "MT SC"),
        (32, "LC"),
    ];
    let known = LENGTHS.iter().find(|(_, countries)| countries.split(' ').any(|c| c == country));
    known.map(|(length, _)| *length)
}

/// The check digits of an account without separators (ISO 13616): the number of which they are part leaves 1 of 97.
pub(super) fn iban_checks(account: &str) -> bool {
    let (Some(front), Some(rest)) = (account.get(..4), account.get(4..)) else { return false };
    let mut digits = rest.chars().chain(front.chars()).map(|c| c.to_digit(36));
    let remainder = digits.try_fold(0_u32, |remainder, digit| {
        let digit = digit?;
        let shift = if digit > 9 { 100 } else { 10 };
        Some((remainder * shift + digit) % 97)
    });
    // 97 and more would leave the same as 0 and more.
    remainder == Some(1) && account.get(2..4).is_some_and(|checks| ("02"..="98").contains(&checks))
}

/// The checksum of a Base58Check address of 25 bytes: the double SHA-256 of the others.
pub(super) fn base58_checks(address: &str) -> bool {
    const ALPHABET: &str = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut bytes = [0_u8; 25];
    for c in address.chars() {
        let Some(digit) = ALPHABET.find(c) else { return false };
        let mut carry = digit as u32;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            *byte = carry as u8;
            carry >>= 8;
        }
        if carry != 0 {
            return false;
        }
    }
    let (payload, checksum) = bytes.split_at(21);
    Sha256::digest(Sha256::digest(payload)).starts_with(checksum)
}

/// The checksum of a Bech32 or Bech32m address (BIP 173, BIP 350).
pub(super) fn bech32_checks(address: &str) -> bool {
    const ALPHABET: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const BECH32M: u32 = 0x2bc8_30a3;
    let one_case = address.to_lowercase() == address || address.to_uppercase() == address;
    let lower = address.to_lowercase();
    let Some((prefix, data)) = lower.rsplit_once('1') else { return false };
    let values: Option<Vec<u32>> =
        data.chars().map(|c| ALPHABET.find(c).map(|value| value as u32)).collect();
    let Some(values) = values.filter(|values| values.len() >= 6 && lower.len() <= 90) else {
        return false;
    };
    let high = prefix.bytes().map(|byte| u32::from(byte >> 5));
    let low = prefix.bytes().map(|byte| u32::from(byte & 31));
    let checksum = high.chain([0]).chain(low).chain(values).fold(1, polymod);
    one_case && (checksum == 1 || checksum == BECH32M)
}

fn polymod(checksum: u32, value: u32) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = checksum >> 25;
    let shifted = (checksum & 0x1ff_ffff) << 5 ^ value;
    let used = GENERATOR.iter().enumerate().filter(|(i, _)| top >> i & 1 == 1);
    used.fold(shifted, |checksum, (_, term)| checksum ^ term)
}
