//! Tokens as numbers and n-grams as numbers: counting needs no allocation per n-gram, and no hash of a text stands for it.

use std::collections::HashMap;

use foldhash::fast::RandomState;

/// The longest n-gram that a [`Ngram`] holds.
pub(crate) const MAX_ORDER: usize = 4;

/// An n-gram of up to four tokens: their ids, 32 bits each. Ids begin at 1, so n-grams of different lengths differ.
pub(crate) type Ngram = u128;

/// A map whose hash is seeded per process, so that crafted texts cannot make it slow. Never let its order reach a result.
pub(crate) type FastMap<K, V> = HashMap<K, V, RandomState>;

/// Gives equal tokens equal ids.
#[derive(Default)]
pub(crate) struct Vocabulary<'t>(FastMap<&'t str, u32>);

impl<'t> Vocabulary<'t> {
    pub(crate) fn ids(&mut self, tokens: impl Iterator<Item = &'t str>) -> Vec<u32> {
        tokens.map(|token| self.id(token)).collect()
    }

    fn id(&mut self, token: &'t str) -> u32 {
        // 2³² different tokens do not fit into memory.
        let next = u32::try_from(self.0.len() + 1).unwrap_or(u32::MAX);
        *self.0.entry(token).or_insert(next)
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
/// the reference that has it most often (Papineni et al., 2002).
pub(crate) fn clipped_matches(
    text: &[u32],
    references: &[Vec<u32>],
    orders: usize,
) -> [u64; MAX_ORDER] {
    #[derive(Default)]
    struct Count {
        text: u64,
        reference: u64,
        best: u64,
    }
    let mut matches = [0; MAX_ORDER];
    for (order, matched) in (1..=orders).zip(&mut matches) {
        let mut counts: FastMap<Ngram, Count> = FastMap::default();
        for gram in ngrams(text, order) {
            counts.entry(gram).or_default().text += 1;
        }
        for reference in references {
            for gram in ngrams(reference, order) {
                if let Some(count) = counts.get_mut(&gram) {
                    count.reference += 1;
                    count.best = count.best.max(count.reference);
                }
            }
            counts.values_mut().for_each(|count| count.reference = 0);
        }
        *matched = counts.values().map(|count| count.text.min(count.best)).sum();
    }
    matches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, references: &[&str], matches: [u64; 4]) {
        let mut vocabulary = Vocabulary::default();
        let ids = vocabulary.ids(text.split(' '));
        let references: Vec<_> = references.iter().map(|r| vocabulary.ids(r.split(' '))).collect();
        assert_eq!(clipped_matches(&ids, &references, 4), matches, "{text:?}");
    }

    #[test]
    fn matches_are_clipped_at_the_reference_that_has_the_ngram_most_often() {
        check("the the the the", &["the cat the dog"], [2, 0, 0, 0]);
        check("the the the the", &["the cat", "the the the"], [3, 2, 1, 0]);
        // Two references with one each do not make two.
        check("a a", &["a b", "b a"], [1, 0, 0, 0]);
        check("a b c d", &["a b c d"], [4, 3, 2, 1]);
    }

    #[test]
    fn ngrams_of_different_lengths_differ() {
        let ids = [1, 1, 1];
        assert!(ngrams(&ids, 1).all(|one| ngrams(&ids, 2).all(|two| one != two)));
        assert_eq!(ngrams(&ids, 4).count(), 0);
        assert_eq!((total(3, 4), total(3, 3), total(0, 1)), (0, 1, 0));
    }
}
