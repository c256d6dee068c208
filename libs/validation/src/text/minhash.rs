//! MinHash with 128 permutations and locality-sensitive hashing, bit for bit those of datasketch 2.0.0 (`MinHash(num_perm=128, seed=1)`,
//! scheme affine32; `MinHashLSH` with equal weights), and the true Jaccard similarity that decides.

use sha1::{Digest, Sha1};

use crate::text::ngrams::FastMap;
use crate::text::permutations::{FACTORS, PERMUTATIONS, TERMS};

/// The different shingles of a text by 64 bits of their SHA-1, ascending.
pub(crate) type Shingles = Vec<u64>;

/// The shingles of a text: `size` words each with spaces between, or all of a shorter text.
pub(crate) fn shingles(words: &[&str], size: usize) -> Shingles {
    let mut joined = String::new();
    let mut shingles: Shingles = if words.len() < size {
        vec![hash(words, &mut joined)]
    } else {
        words.windows(size).map(|words| hash(words, &mut joined)).collect()
    };
    shingles.sort_unstable();
    shingles.dedup();
    shingles
}

/// datasketch's `sha1_hash64`, whose low half is `sha1_hash32`, of the words with spaces between; `joined` is room for them.
fn hash(words: &[&str], joined: &mut String) -> u64 {
    joined.clear();
    for (at, word) in words.iter().enumerate() {
        joined.push_str(if at > 0 { " " } else { "" });
        joined.push_str(word);
    }
    let digest = Sha1::digest(joined.as_bytes());
    digest.iter().take(8).rev().fold(0, |hash, byte| hash << 8 | u64::from(*byte))
}

/// Common shingles, of all that either has.
pub(crate) fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let (mut left, mut right) = (a.iter().peekable(), b.iter().peekable());
    let mut common = 0_usize;
    while let (Some(x), Some(y)) = (left.peek(), right.peek()) {
        match x.cmp(y) {
            std::cmp::Ordering::Less => _ = left.next(),
            std::cmp::Ordering::Greater => _ = right.next(),
            std::cmp::Ordering::Equal => {
                common += 1;
                _ = (left.next(), right.next());
            }
        }
    }
    common as f64 / (a.len() + b.len() - common).max(1) as f64
}

/// For each permutation the smallest value that a shingle takes.
pub(crate) fn signature(shingles: &[u64]) -> [u32; PERMUTATIONS] {
    let mut smallest = [u32::MAX; PERMUTATIONS];
    for shingle in shingles {
        let hash = mix(*shingle as u32);
        for ((smallest, factor), term) in smallest.iter_mut().zip(&FACTORS).zip(&TERMS) {
            *smallest = hash.wrapping_mul(*factor).wrapping_add(*term).min(*smallest);
        }
    }
    smallest
}

/// The finalizer of MurmurHash3.
fn mix(hash: u32) -> u32 {
    let hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

/// For each text whether an earlier one is near: it shares a band of the signature, and at least `threshold` of the shingles.
pub(crate) fn near_earlier(texts: &[&Shingles], threshold: f64) -> Vec<bool> {
    let (bands, size) = bands(threshold);
    let mut buckets: Vec<FastMap<u64, Vec<usize>>> = vec![FastMap::default(); bands];
    // The first text with exactly these shingles; the others need no place in the buckets.
    let mut first: FastMap<&[u64], usize> = FastMap::default();
    let mut near = Vec::with_capacity(texts.len());
    let mut compared_with = vec![usize::MAX; texts.len()];
    for (at, shingles) in texts.iter().enumerate() {
        if *first.entry(shingles.as_slice()).or_insert(at) != at {
            near.push(true);
            continue;
        }
        let signature = signature(shingles);
        let mut found = false;
        for (band, buckets) in signature.chunks_exact(size).zip(&mut buckets) {
            let bucket = buckets.entry(band_key(band)).or_default();
            found = found
                || bucket.iter().any(|other| {
                    // A pair that meets in two bands is compared once.
                    let new = compared_with
                        .get_mut(*other)
                        .is_some_and(|compared| std::mem::replace(compared, at) != at);
                    new && texts.get(*other).is_some_and(|o| jaccard(o, shingles) >= threshold)
                });
            bucket.push(at);
        }
        near.push(found);
    }
    near
}

/// 64 bits of a band: two bands that meet by chance cost a comparison, and change nothing.
fn band_key(band: &[u32]) -> u64 {
    band.iter().fold(0x9e37_79b9_7f4a_7c15, |key, value| {
        let product = (key ^ u64::from(*value)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        product ^ product >> 32
    })
}

/// How many bands of how many values: datasketch's `_optimal_param`, which makes the chance that a pair is wrongly a candidate, and
/// that it is wrongly none, least in sum.
pub(crate) fn bands(threshold: f64) -> (usize, usize) {
    let mut best = (f64::INFINITY, (2, 1));
    // datasketch looks at numbers of bands first and keeps the first of equals.
    for bands in 2..=PERMUTATIONS {
        for size in 1..=PERMUTATIONS / bands {
            let missed = |s: f64| power(1.0 - power(s, size), bands);
            let error =
                integral(|s| 1.0 - missed(s), 0.0, threshold) + integral(missed, threshold, 1.0);
            if error < best.0 {
                best = (error, (bands, size));
            }
        }
    }
    best.1
}

fn power(base: f64, exponent: usize) -> f64 {
    let (mut result, mut square, mut left) = (1.0, base, exponent);
    while left > 0 {
        if left % 2 == 1 {
            result *= square;
        }
        square *= square;
        left /= 2;
    }
    result
}

/// Simpson's rule, for polynomials of degree 128 at most.
fn integral(function: impl Fn(f64) -> f64, from: f64, to: f64) -> f64 {
    const STEPS: usize = 200;
    let step = (to - from) / STEPS as f64;
    let sum: f64 = (0..=STEPS)
        .map(|i| {
            let weight = match i {
                0 | STEPS => 1.0,
                i if i % 2 == 1 => 4.0,
                _ => 2.0,
            };
            weight * function(from + step * i as f64)
        })
        .sum();
    sum * step / 3.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_datasketchs() {
        // MinHashLSH(threshold, num_perm=128).b and .r
        for (threshold, expect) in [
            (0.5, (25, 5)),
            (0.6, (18, 7)),
            (0.7, (14, 9)),
            (0.75, (11, 11)),
            (0.8, (9, 13)),
            (0.85, (8, 16)),
            (0.9, (5, 25)),
            (0.95, (3, 42)),
        ] {
            assert_eq!(bands(threshold), expect, "{threshold}");
        }
    }

    #[test]
    fn similarity_is_common_of_all() {
        assert_eq!(jaccard(&[1, 2, 3], &[2, 3, 4]), 0.5);
        assert_eq!(jaccard(&[1], &[2]), 0.0);
        assert_eq!(jaccard(&[7], &[7]), 1.0);
        assert_eq!(shingles(&["a", "b"], 5), shingles(&["a", "b"], 2));
        assert_eq!(shingles(&["a", "a", "a"], 2).len(), 1);
    }
}
