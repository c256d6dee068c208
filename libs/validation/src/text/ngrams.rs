//! Tokens as numbers and n-grams as numbers: counting needs no allocation per n-gram, and no hash of a text stands for it.

use std::collections::HashMap;
use std::hash::BuildHasher;

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
    tokens: Vec<(Ends, &'t str)>,
    /// Hash and id of a token; the id 0 stands for none.
    slots: Vec<(u32, u32)>,
    state: RandomState,
    seed: u64,
}

/// The first and the last bytes of a token: all of one of up to sixteen, if the length is known too.
type Ends = (u64, u64);

impl Default for Vocabulary<'_> {
    fn default() -> Self {
        const SLOTS: usize = 256;
        let state = RandomState::default();
        let seed = state.hash_one(0) | 1;
        Self { tokens: Vec::with_capacity(SLOTS / 4), slots: vec![(0, 0); SLOTS], state, seed }
    }
}

impl<'t> Vocabulary<'t> {
    pub(crate) fn ids(&mut self, tokens: impl Iterator<Item = &'t str>) -> Vec<u32> {
        let mut ids = Vec::with_capacity(64);
        ids.extend(tokens.map(|token| self.id(token)));
        ids
    }

    #[inline]
    fn hash(&self, ends: Ends, token: &str) -> u32 {
        if token.len() > 16 {
            return self.state.hash_one(token) as u32;
        }
        let seed = self.seed ^ token.len() as u64;
        let product =
            u128::from(ends.0 ^ seed) * u128::from(ends.1 ^ seed.rotate_left(32) | 1 << 63);
        let folded = (product >> 64) as u64 ^ product as u64;
        (folded >> 32) as u32 ^ folded as u32
    }

    #[inline]
    fn id(&mut self, token: &'t str) -> u32 {
        let ends = ends(token.as_bytes());
        let hash = self.hash(ends, token);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some((other, id)) = self.slots.get_mut(at) {
            if *id == 0 {
                self.tokens.push((ends, token));
                // 2³² different tokens do not fit into memory.
                let new = u32::try_from(self.tokens.len()).unwrap_or(u32::MAX);
                (*other, *id) = (hash, new);
                if self.tokens.len() * 2 > self.slots.len() {
                    self.grow();
                }
                return new;
            }
            if *other == hash
                && self.tokens.get(*id as usize - 1).is_some_and(|(known, text)| {
                    *known == ends
                        && text.len() == token.len()
                        && (token.len() <= 16 || *text == token)
                })
            {
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

#[inline]
fn ends(token: &[u8]) -> Ends {
    if let (Some(first), Some(last)) = (token.first_chunk::<8>(), token.last_chunk::<8>()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (token.first_chunk::<4>(), token.last_chunk::<4>()) {
        return (u32::from_le_bytes(*first).into(), u32::from_le_bytes(*last).into());
    }
    match *token {
        [a] => (a.into(), 0),
        [a, b] => (a.into(), b.into()),
        [a, b, c] => (a.into(), u64::from(b) << 8 | u64::from(c)),
        _ => (0, 0),
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
    let mut matches = [0_u64; MAX_MATCH_ORDER];
    let known = text.iter().copied().max().unwrap_or(0);
    // The n-gram that begins at each place; 0 where none can match.
    let mut grams = text.to_vec();
    let mut reference_grams: Vec<Vec<u32>> = references
        .iter()
        .map(|reference| reference.iter().map(|id| if *id <= known { *id } else { 0 }).collect())
        .collect();
    let mut numbers = Numbers::new(text.len(), known);
    let mut different = known as usize;
    let mut counts = Vec::new();
    for (order, matched) in (1..=orders).zip(&mut matches) {
        if order > 1 {
            numbers.clear();
            lengthen(&mut grams, text, order, |gram, last| numbers.number(gram, last));
            for (grams, reference) in reference_grams.iter_mut().zip(references) {
                lengthen(grams, reference, order, |gram, last| numbers.get(gram, last));
            }
            different = numbers.len();
        }
        count_highest(&reference_grams, different, &mut counts);
        for gram in &mut grams {
            // Without branches, which no one could foresee. Place 0 is no n-gram's, and counts nothing.
            let Some(count) = counts.get_mut(*gram as usize) else { continue };
            let matches = u32::from(count.matched < count.best);
            count.matched = count.matched.wrapping_add(matches);
            *matched = matched.wrapping_add(u64::from(matches));
            *gram = if count.best > 0 { *gram } else { 0 };
        }
        if *matched == 0 {
            break;
        }
    }
    matches
}

/// Makes n-grams of (n − 1)-grams.
fn lengthen(
    grams: &mut Vec<u32>,
    ids: &[u32],
    order: usize,
    mut number: impl FnMut(u32, u32) -> u32,
) {
    grams.truncate(total(ids.len(), order) as usize);
    for (gram, last) in grams.iter_mut().zip(ids.iter().skip(order - 1)) {
        if *gram != 0 {
            *gram = number(*gram, *last);
        }
    }
}

/// Of an n-gram.
#[derive(Clone, Copy, Default)]
struct Count {
    /// How often it occurs in the reference that has it most often.
    best: u32,
    matched: u32,
}

fn count_highest(references: &[Vec<u32>], different: usize, counts: &mut Vec<Count>) {
    counts.clear();
    counts.resize(different + 1, Count::default());
    if let [reference] = references {
        for gram in reference {
            if let Some(count) = counts.get_mut(*gram as usize) {
                count.best = count.best.wrapping_add(1);
            }
        }
    } else {
        for reference in references {
            let mut of_reference = vec![0; different + 1];
            for gram in reference {
                if let Some(count) = of_reference.get_mut(*gram as usize) {
                    *count = u32::wrapping_add(*count, 1);
                }
            }
            let pairs = counts.iter_mut().zip(of_reference);
            pairs.for_each(|(count, of_reference)| count.best = count.best.max(of_reference));
        }
    }
    // What stands for n-grams that the text does not have.
    if let Some(none) = counts.first_mut() {
        none.best = 0;
    }
}

/// Numbers 1, 2, 3 … for pairs of the number of an n-gram and the id of a token, neither of them 0.
enum Numbers {
    /// For short texts, a place for each pair of them.
    Table(Table),
    Hashed(Hashed),
}

impl Numbers {
    /// For a text of `tokens` with ids up to `known`.
    fn new(tokens: usize, known: u32) -> Self {
        const LARGEST: usize = 1 << 14;
        let width = known as usize + 1;
        match (tokens.max(known as usize) + 1).checked_mul(width) {
            Some(places) if places <= LARGEST => {
                Self::Table(Table { places: vec![(0, 0); places], width, round: 0, numbered: 0 })
            }
            _ => Self::Hashed(Hashed::default()),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Table(table) => (table.round, table.numbered) = (table.round + 1, 0),
            Self::Hashed(hashed) => hashed.clear(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Table(table) => usize::from(table.numbered),
            Self::Hashed(hashed) => hashed.len(),
        }
    }

    /// The number of a pair, 0 if it has none.
    fn get(&self, gram: u32, last: u32) -> u32 {
        match self {
            Self::Table(table) => table.get(gram, last),
            Self::Hashed(hashed) => hashed.get(key(gram, last)),
        }
    }

    /// The number of a pair, the next one if it is new.
    fn number(&mut self, gram: u32, last: u32) -> u32 {
        match self {
            Self::Table(table) => table.number(gram, last),
            Self::Hashed(hashed) => hashed.number(key(gram, last)),
        }
    }
}

fn key(gram: u32, last: u32) -> u64 {
    u64::from(gram) << 32 | u64::from(last)
}

struct Table {
    /// In which round a pair was numbered, and its number.
    places: Vec<(u16, u16)>,
    width: usize,
    round: u16,
    numbered: u16,
}

impl Table {
    fn place(&self, gram: u32, last: u32) -> usize {
        (gram as usize).wrapping_mul(self.width).wrapping_add(last as usize)
    }

    fn get(&self, gram: u32, last: u32) -> u32 {
        // A token that the text does not have is in no n-gram of it.
        if last as usize >= self.width {
            return 0;
        }
        match self.places.get(self.place(gram, last)) {
            Some((round, number)) if *round == self.round => u32::from(*number),
            _ => 0,
        }
    }

    fn number(&mut self, gram: u32, last: u32) -> u32 {
        let place = self.place(gram, last);
        match self.places.get_mut(place) {
            Some((round, number)) => {
                if *round != self.round {
                    self.numbered = self.numbered.wrapping_add(1);
                    (*round, *number) = (self.round, self.numbered);
                }
                u32::from(*number)
            }
            None => 0,
        }
    }
}

/// A table with open addressing that is at most half full.
struct Hashed {
    slots: Vec<(u64, u32)>,
    numbered: u32,
    seed: u64,
}

impl Default for Hashed {
    fn default() -> Self {
        let seed = RandomState::default().hash_one(0) | 1;
        Self { slots: vec![(0, 0); 1_024], numbered: 0, seed }
    }
}

impl Hashed {
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
