//! Counter-based randomness: a number is a hash of what it is for, so nothing depends on arrival order.

use sha2::{Digest, Sha256};

const REQUEST: &[u8] = b"textnlp-request/1\0";
const TOKEN: &[u8] = b"textnlp-token/1\0";

/// Integers below 2^53 are the same in JSON, in an f64 and here.
const LOW_53_BITS: u64 = (1 << 53) - 1;

/// The seed of one request of a job, below 2^53.
///
/// The low 53 bits of SHA-256, read as a little-endian number, over `textnlp-request/1`, a zero byte, the job's seed
/// (u64), the length of the column's name in bytes (u32), the name (UTF-8), the record (u64), the sample (u32) and the
/// attempt (u32), integers little-endian.
pub fn request_seed(job_seed: u64, column: &str, record: u64, sample: u32, attempt: u32) -> u64 {
    let mut hasher = Sha256::new();
    hasher.update(REQUEST);
    hasher.update(job_seed.to_le_bytes());
    hasher.update((column.len() as u32).to_le_bytes());
    hasher.update(column.as_bytes());
    hasher.update(record.to_le_bytes());
    hasher.update(sample.to_le_bytes());
    hasher.update(attempt.to_le_bytes());
    low_53_bits(hasher)
}

/// The random number, uniform in [0, 1), that decides one token: a multiple of 2^−53.
///
/// `choice` counts the completions of one request, `position` the tokens of the completion, both from 0. The number is
/// the low 53 bits of SHA-256, read as a little-endian number, over `textnlp-token/1`, a zero byte, the request's seed
/// (u64), the choice (u32) and the position (u64), integers little-endian; divided by 2^53.
pub fn token_random(request_seed: u64, choice: u32, position: u64) -> f64 {
    let mut hasher = Sha256::new();
    hasher.update(TOKEN);
    hasher.update(request_seed.to_le_bytes());
    hasher.update(choice.to_le_bytes());
    hasher.update(position.to_le_bytes());
    low_53_bits(hasher) as f64 / (LOW_53_BITS + 1) as f64
}

fn low_53_bits(hasher: Sha256) -> u64 {
    let hash = hasher.finalize();
    hash.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte)) & LOW_53_BITS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The constants come from Python:
    ///
    /// ```python
    /// import hashlib, struct
    /// def low53(data): return int.from_bytes(hashlib.sha256(data).digest(), "little") & (2**53 - 1)
    /// def request_seed(seed, column, record, sample, attempt):
    ///     name = column.encode()
    ///     return low53(b"textnlp-request/1\0" + struct.pack("<QI", seed, len(name)) + name
    ///                  + struct.pack("<QII", record, sample, attempt))
    /// def token_random(seed, choice, position):
    ///     return low53(b"textnlp-token/1\0" + struct.pack("<QIQ", seed, choice, position)) / 2**53
    /// ```
    #[test]
    fn seeds_and_random_numbers_are_those_of_the_written_formula() {
        assert_eq!(request_seed(0, "ticket", 0, 0, 0), 8_017_793_796_419_320);
        assert_eq!(request_seed(42, "ticket", 63, 1, 0), 1_233_326_939_610_446);
        assert_eq!(
            request_seed((1 << 53) - 1, "größe", u64::MAX, u32::MAX, 2),
            5_185_063_230_908_057
        );
        assert_eq!(token_random(0, 0, 0), 0.131_278_591_332_867);
        assert_eq!(
            token_random(request_seed(42, "ticket", 63, 1, 0), 0, 17),
            0.999_926_506_282_334_6
        );
        assert_eq!(token_random((1 << 53) - 1, 7, 8191), 0.062_486_157_210_632_554);
    }

    #[test]
    fn a_column_and_its_neighbours_never_share_bytes() {
        assert_ne!(request_seed(0, "a", 98, 0, 0), request_seed(0, "ab", 0, 0, 0));
    }

    #[test]
    fn random_numbers_are_spread_evenly_over_zero_to_one() {
        let numbers: Vec<f64> = (0..20_000).map(|position| token_random(7, 0, position)).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        for tenth in 0..10 {
            let (low, high) = (f64::from(tenth) / 10.0, f64::from(tenth + 1) / 10.0);
            let count = numbers.iter().filter(|number| (low..high).contains(number)).count();
            assert!((1_830..=2_170).contains(&count), "{count} numbers in {low}..{high}"); // 4 σ
        }
    }
}
