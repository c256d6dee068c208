//! Removing duplicates from a dataset, row by row in its order: the first of those that are alike stays.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use crate::metrics::near_duplicate_rate::{NEAR, text_shingles};
use crate::text::folding::duplicate_key;
use crate::text::minhash::{NearIndex, Shingles};

/// Which texts are alike.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Likeness {
    /// Texts that are equal after folding, as `duplicateRate` folds them.
    Exact,
    /// Texts with at least this Jaccard similarity of their word 5-grams, as `nearDuplicateRate` finds them.
    Near(f64),
}

/// The texts that stay. 16 bytes each and more, or 8 bytes for each of their words and some 150 for each text.
pub struct Deduplicator(Kept);

enum Kept {
    Exact(HashSet<u128, RandomState>),
    Near(Box<NearIndex<Shingles>>),
}

impl Likeness {
    /// [`Likeness::Near`] from the similarity on that holds where none is given, or from this one.
    pub fn near(threshold: Option<f64>) -> Self {
        Self::Near(threshold.unwrap_or(NEAR))
    }
}

impl Deduplicator {
    /// With no texts yet.
    pub fn new(likeness: Likeness) -> Self {
        Self(match likeness {
            Likeness::Exact => Kept::Exact(HashSet::default()),
            Likeness::Near(threshold) => Kept::Near(Box::new(NearIndex::new(threshold))),
        })
    }

    /// Whether the text stays: it is like none that stayed before. What was removed is not compared with, so that a chain of texts
    /// that each resemble the next does not vanish behind its first; among those that stay, none are alike.
    pub fn stays(&mut self, text: &str) -> bool {
        match &mut self.0 {
            Kept::Exact(keys) => keys.insert(duplicate_key(text)),
            Kept::Near(index) => !index.look_up(text_shingles(text), |near| !near),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Metric, Sample};
    use crate::registry;

    fn kept<'t>(likeness: Likeness, texts: &[&'t str]) -> Vec<&'t str> {
        let mut seen = Deduplicator::new(likeness);
        texts.iter().copied().filter(|text| seen.stays(text)).collect()
    }

    /// Sentences of which each has one word more that is not the first one's.
    fn drifting() -> Vec<String> {
        let words: Vec<String> = (0..60).map(|i| format!("w{i}")).collect();
        let text = |changed: usize| {
            let word = |i: usize| if i < changed { format!("x{i}") } else { words[i].clone() };
            (0..60).map(word).collect::<Vec<_>>().join(" ")
        };
        (0..30).map(text).collect()
    }

    fn rate(metric: &str, texts: &[&str]) -> f64 {
        let Ok(Metric::Text(metric)) = registry::build(metric, &serde_json::Value::Null) else {
            panic!("{metric} is a metric of texts")
        };
        let mut all = metric.accumulator();
        for (at, text) in texts.iter().enumerate() {
            all.add(&Sample { id: &at.to_string(), text, ..Sample::default() }).unwrap();
        }
        all.score().unwrap().value
    }

    #[test]
    fn the_first_of_equal_texts_stays() {
        assert_eq!(kept(Likeness::Exact, &["A b", "c", "a  B", "", " ", "c"]), ["A b", "c", ""]);
    }

    #[test]
    fn near_texts_are_compared_with_those_that_stay_and_none_of_these_are_near() {
        let texts = drifting();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let stay = kept(Likeness::Near(0.8), &texts);
        // Each text is near the one before it: were removed ones compared with, only the first would stay.
        assert!(stay.len() > 2 && stay.len() < texts.len(), "{} stay", stay.len());
        assert_eq!(rate("nearDuplicateRate", &stay), 0.0);
        let removed = (texts.len() - stay.len()) as f64 / texts.len() as f64;
        assert!(rate("nearDuplicateRate", &texts) > removed);
    }

    #[test]
    fn removing_duplicates_twice_removes_nothing_more() {
        let texts = drifting();
        let texts: Vec<&str> = texts.iter().map(String::as_str).chain(["a", "A", "b c"]).collect();
        for likeness in [Likeness::Exact, Likeness::Near(0.5), Likeness::Near(0.95)] {
            let once = kept(likeness, &texts);
            assert_eq!(kept(likeness, &once), once, "{likeness:?}");
        }
    }
}
