//! Tokens as numbers and n-grams as numbers: counting needs no allocation per n-gram, and no hash of a text stands for it.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// The longest n-gram that a [`Ngram`] holds.
pub(crate) const MAX_ORDER: usize = 4;

/// The longest n-gram that [`clipped_matches`] counts.
pub(crate) const MAX_MATCH_ORDER: usize = 6;

/// An n-gram of up to four tokens: their ids, 32 bits each. Ids begin at 1, so n-grams of different lengths differ.
pub(crate) type Ngram = u128;

/// A map whose hash is seeded per process, so that crafted texts cannot make it slow. Never let its order reach a result.
pub(crate) type FastMap<K, V> = HashMap<K, V, RandomState>;

/// Gives equal tokens equal ids, 1, 2, 3 … in the order in which they first occur: a table with open addressing that is at most half
/// full.
pub(crate) struct Vocabulary<'t> {
    tokens: Vec<&'t str>,
    /// Hash and id of a token; the id 0 stands for none.
    slots: Vec<(u32, u32)>,
    state: RandomState,
}

impl Default for Vocabulary<'_> {
    fn default() -> Self {
        const SLOTS: usize = 256;
        let slots = vec![(0, 0); SLOTS];
        Self { tokens: Vec::with_capacity(SLOTS / 4), slots, state: RandomState::default() }
    }
}

impl<'t> Vocabulary<'t> {
    pub(crate) fn ids(&mut self, tokens: impl Iterator<Item = &'t str>) -> Vec<u32> {
        let mut ids = Vec::with_capacity(64);
        ids.extend(tokens.map(|token| self.id(token)));
        ids
    }

    fn id(&mut self, token: &'t str) -> u32 {
        let mut hasher = self.state.build_hasher();
        hasher.write(token.as_bytes());
        let hash = hasher.finish() as u32;
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some((other, id)) = self.slots.get_mut(at) {
            if *id == 0 {
                self.tokens.push(token);
                // 2³² different tokens do not fit into memory.
                let new = u32::try_from(self.tokens.len()).unwrap_or(u32::MAX);
                (*other, *id) = (hash, new);
                if self.tokens.len() * 2 > self.slots.len() {
                    self.grow();
                }
                return new;
            }
            if *other == hash && self.tokens.get(*id as usize - 1) == Some(&token) {
                return *id;
            }
            at = (at + 1) & mask;
        }
        0
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        let old = std::mem::replace(&mut self.slots, vec![(0, 0); mask + 1]);
        for (hash, id) in old.into_iter().filter(|(_, id)| *id != 0) {
            let mut at = hash as usize & mask;
            while self.slots.get(at).is_some_and(|(_, id)| *id != 0) {
                at = (at + 1) & mask;
            }
            self.slots[at] = (hash, id);
        }
    }
}

/// The n-grams of `order` (1 to [`MAX_ORDER`]) in `ids`, in their order in the text.
pub(crate) fn ngrams(ids: &[u32], order: usize) -> impl Iterator<Item = Ngram> {
    ids.windows(order).map(|gram| gram.iter().fold(0, |key, id| key << 32 | u128::from(*id)))
}

/// How many n-grams of `order` a text of `tokens` has.
pub(crate) fn total(tokens: usize, order: usize) -> u64 {
    (tokens + 1).saturating_sub(order) as u64
}

/// For each order from 1 to `orders`: how many n-grams of `text` are in the references, each n-gram counted at most as often as in
/// the reference that has it most often (Papineni et al., 2002). The ids are one [`Vocabulary`]'s that read `text` first.
///
/// An n-gram is known by the number of its first n − 1 tokens and its last token; one whose beginning is in no reference is not
/// looked at again.
pub(crate) fn clipped_matches(
    text: &[u32],
    references: &[Vec<u32>],
    orders: usize,
) -> [u64; MAX_MATCH_ORDER] {
    let mut matches = [0; MAX_MATCH_ORDER];
    let known = text.iter().copied().max().unwrap_or(0);
    // The n-gram that begins at each place; 0 where none can match.
    let mut grams = text.to_vec();
    let mut reference_grams: Vec<Vec<u32>> = references
        .iter()
        .map(|reference| reference.iter().map(|id| if *id <= known { *id } else { 0 }).collect())
        .collect();
    let mut numbers = Numbers::default();
    let mut different = known as usize;
    let (mut best, mut left) = (Vec::new(), Vec::new());
    for (order, matched) in (1..=orders).zip(&mut matches) {
        if order > 1 {
            numbers.clear();
            lengthen(&mut grams, text, order, |key| numbers.number(key));
            for (grams, reference) in reference_grams.iter_mut().zip(references) {
                lengthen(grams, reference, order, |key| numbers.get(key));
            }
            different = numbers.len();
        }
        highest_counts(&reference_grams, different, &mut best);
        left.clone_from(&best);
        for gram in &mut grams {
            let at = *gram as usize;
            // Place 0 is no n-gram's.
            if best.get(at).is_none_or(|best| *best == 0) {
                *gram = 0;
            } else if let Some(left) = left.get_mut(at).filter(|left| **left > 0) {
                *left -= 1;
                *matched += 1;
            }
        }
        if *matched == 0 {
            break;
        }
    }
    matches
}

/// Makes n-grams of (n − 1)-grams.
fn lengthen(grams: &mut Vec<u32>, ids: &[u32], order: usize, mut number: impl FnMut(u64) -> u32) {
    grams.truncate(total(ids.len(), order) as usize);
    for (gram, last) in grams.iter_mut().zip(ids.iter().skip(order - 1)) {
        if *gram != 0 {
            *gram = number(u64::from(*gram) << 32 | u64::from(*last));
        }
    }
}

/// How often each n-gram occurs in the reference that has it most often.
fn highest_counts(references: &[Vec<u32>], different: usize, best: &mut Vec<u32>) {
    let count = |grams: &[u32], counts: &mut [u32]| {
        for gram in grams.iter().filter(|gram| **gram != 0) {
            if let Some(count) = counts.get_mut(*gram as usize) {
                *count += 1;
            }
        }
    };
    best.clear();
    best.resize(different + 1, 0);
    let mut references = references.iter();
    if let Some(first) = references.next() {
        count(first, best);
    }
    for reference in references {
        let mut counts = vec![0; different + 1];
        count(reference, &mut counts);
        best.iter_mut().zip(counts).for_each(|(best, count)| *best = count.max(*best));
    }
}

/// Numbers 1, 2, 3 … for keys other than 0: a table with open addressing that is at most half full.
struct Numbers {
    slots: Vec<(u64, u32)>,
    numbered: u32,
    seed: u64,
}

impl Default for Numbers {
    fn default() -> Self {
        let seed = RandomState::default().hash_one(0) | 1;
        Self { slots: vec![(0, 0); 128], numbered: 0, seed }
    }
}

impl Numbers {
    fn clear(&mut self) {
        self.slots.fill((0, 0));
        self.numbered = 0;
    }

    fn len(&self) -> usize {
        self.numbered as usize
    }

    /// The slot that holds `key`, or where it belongs.
    fn slot(&self, key: u64) -> usize {
        let product = u128::from(key ^ self.seed) * u128::from(self.seed);
        let mut at = (product >> 64) as u64 ^ product as u64;
        loop {
            let slot = at as usize & (self.slots.len() - 1);
            match self.slots.get(slot) {
                Some((taken, _)) if *taken != key && *taken != 0 => at = at.wrapping_add(1),
                _ => return slot,
            }
        }
    }

    /// The number of `key`, 0 if it has none.
    fn get(&self, key: u64) -> u32 {
        self.slots.get(self.slot(key)).map_or(0, |(_, number)| *number)
    }

    /// The number of `key`, the next one if it is new.
    fn number(&mut self, key: u64) -> u32 {
        let slot = self.slot(key);
        match self.slots.get_mut(slot) {
            Some((_, number)) if *number != 0 => *number,
            Some(empty) => {
                self.numbered += 1;
                *empty = (key, self.numbered);
                let number = self.numbered;
                if self.len() * 2 > self.slots.len() {
                    self.grow();
                }
                number
            }
            None => 0,
        }
    }

    fn grow(&mut self) {
        let larger = vec![(0, 0); self.slots.len() * 2];
        for (key, number) in std::mem::replace(&mut self.slots, larger) {
            if number != 0 {
                let slot = self.slot(key);
                self.slots[slot] = (key, number);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, references: &[&str], matches: [u64; 6]) {
        let mut vocabulary = Vocabulary::default();
        let ids = vocabulary.ids(text.split(' '));
        let references: Vec<_> = references.iter().map(|r| vocabulary.ids(r.split(' '))).collect();
        assert_eq!(clipped_matches(&ids, &references, 6), matches, "{text:?}");
    }

    #[test]
    fn matches_are_clipped_at_the_reference_that_has_the_ngram_most_often() {
        check("the the the the", &["the cat the dog"], [2, 0, 0, 0, 0, 0]);
        check("the the the the", &["the cat", "the the the"], [3, 2, 1, 0, 0, 0]);
        // Two references with one each do not make two.
        check("a a", &["a b", "b a"], [1, 0, 0, 0, 0, 0]);
        check("a b c d", &["a b c d"], [4, 3, 2, 1, 0, 0]);
        check("a b c d e a b c d e", &["x a b c d e y a b c d z"], [9, 7, 5, 3, 1, 0]);
    }

    #[test]
    fn matches_are_those_of_counted_ngrams() {
        let mut state = 1_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for _ in 0..300 {
            let mut words = || -> Vec<String> {
                (0..next(30)).map(|_| char::from(b'a' + next(4) as u8).to_string()).collect()
            };
            let (text, references) = (words(), [words(), words()]);
            let mut vocabulary = Vocabulary::default();
            let ids = vocabulary.ids(text.iter().map(String::as_str));
            let reference_ids: Vec<_> =
                references.iter().map(|r| vocabulary.ids(r.iter().map(String::as_str))).collect();
            let found = clipped_matches(&ids, &reference_ids, 6);
            for order in 1..=6 {
                let count = |words: &[String], gram: &[String]| {
                    words.windows(order).filter(|other| *other == gram).count()
                };
                let mut grams: Vec<_> = text.windows(order).collect();
                grams.sort();
                grams.dedup();
                let clipped = |gram: &&[String]| {
                    let best = references.iter().map(|r| count(r, gram)).max().unwrap_or(0);
                    count(&text, gram).min(best) as u64
                };
                let expect: u64 = grams.iter().map(clipped).sum();
                assert_eq!(found[order - 1], expect, "{text:?} {references:?}");
            }
        }
    }

    #[test]
    fn ngrams_of_different_lengths_differ() {
        let ids = [1, 1, 1];
        assert!(ngrams(&ids, 1).all(|one| ngrams(&ids, 2).all(|two| one != two)));
        assert_eq!(ngrams(&ids, 4).count(), 0);
        assert_eq!((total(3, 4), total(3, 3), total(0, 1)), (0, 1, 0));
    }
}
