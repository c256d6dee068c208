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

/// Texts, and those among them that a new one may be near to: those that share a band of its signature. `S` holds the shingles.
pub(crate) struct NearIndex<S> {
    threshold: f64,
    /// How many values a band has.
    size: usize,
    texts: Vec<S>,
    /// Of each band: its hash → the last text that has it, and for each text the one before it that has the same.
    bands: Vec<(FastMap<u32, u32>, Vec<u32>)>,
    /// Hash of all shingles → the last text that has it, and the ones before.
    whole: (FastMap<u32, u32>, Vec<u32>),
    /// For each text the last one that was compared with it, from 1.
    compared: Vec<u32>,
    looked_up: u32,
}

/// The end of a chain.
const NONE: u32 = u32::MAX;

impl<S: AsRef<[u64]>> NearIndex<S> {
    /// An empty index. Texts are near if they have at least `threshold` of their shingles in common.
    pub(crate) fn new(threshold: f64) -> Self {
        let (bands, size) = bands(threshold);
        Self {
            threshold,
            size,
            texts: Vec::new(),
            bands: vec![Default::default(); bands],
            whole: Default::default(),
            compared: Vec::new(),
            looked_up: 0,
        }
    }

    /// Whether a text that was taken is near; and takes this one if `keep` says so of the answer. A text whose shingles are all those
    /// of another needs no place of its own. At most 2³² − 2 texts.
    pub(crate) fn look_up(&mut self, shingles: S, keep: impl FnOnce(bool) -> bool) -> bool {
        let new = shingles.as_ref();
        let all = whole_key(new);
        if self.chain(&self.whole, all).any(|at| self.shingles(at) == new) {
            return true;
        }
        self.looked_up = self.looked_up.wrapping_add(1);
        let signature = signature(new);
        let keys: Vec<u32> = signature.chunks_exact(self.size).map(band_key).collect();
        let near = self.find(new, &keys);
        if keep(near) && self.texts.len() < NONE as usize {
            let at = self.texts.len() as u32;
            for ((last, before), key) in self.bands.iter_mut().zip(keys) {
                before.push(last.insert(key, at).unwrap_or(NONE));
            }
            self.whole.1.push(self.whole.0.insert(all, at).unwrap_or(NONE));
            self.texts.push(shingles);
            self.compared.push(0);
        }
        near
    }

    fn find(&mut self, new: &[u64], keys: &[u32]) -> bool {
        for (band, key) in keys.iter().enumerate() {
            let Some((last, _)) = self.bands.get(band) else { break };
            let mut at = last.get(key).copied().unwrap_or(NONE);
            while at != NONE {
                // A pair that meets in two bands is compared once.
                let first_meeting = (self.compared.get_mut(at as usize))
                    .is_some_and(|by| std::mem::replace(by, self.looked_up) != self.looked_up);
                if first_meeting && jaccard(self.shingles(at), new) >= self.threshold {
                    return true;
                }
                at = self.bands.get(band).map_or(NONE, |(_, before)| earlier(before, at));
            }
        }
        false
    }

    fn chain(&self, texts: &(FastMap<u32, u32>, Vec<u32>), key: u32) -> impl Iterator<Item = u32> {
        let first = texts.0.get(&key).copied().filter(|at| *at != NONE);
        std::iter::successors(first, |at| Some(earlier(&texts.1, *at)).filter(|at| *at != NONE))
    }

    fn shingles(&self, at: u32) -> &[u64] {
        self.texts.get(at as usize).map(AsRef::as_ref).unwrap_or_default()
    }
}

fn earlier(before: &[u32], at: u32) -> u32 {
    before.get(at as usize).copied().unwrap_or(NONE)
}

/// For each text whether an earlier one is near: it shares a band of the signature, and at least `threshold` of the shingles.
pub(crate) fn near_earlier(texts: &[&Shingles], threshold: f64) -> Vec<bool> {
    let mut index = NearIndex::new(threshold);
    texts.iter().map(|shingles| index.look_up(shingles.as_slice(), |_| true)).collect()
}

/// 32 bits of a band: two bands that meet by chance cost a comparison, and change nothing.
fn band_key(band: &[u32]) -> u32 {
    fold_key(band.iter().map(|value| u64::from(*value)))
}

/// The same of all shingles.
fn whole_key(shingles: &[u64]) -> u32 {
    fold_key(shingles.iter().copied())
}

fn fold_key(values: impl Iterator<Item = u64>) -> u32 {
    let key = values.fold(0x9e37_79b9_7f4a_7c15, |key: u64, value| {
        let product = (key ^ value).wrapping_mul(0xd6e8_feb8_6659_fd93);
        product ^ product >> 32
    });
    (key ^ key >> 32) as u32
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
