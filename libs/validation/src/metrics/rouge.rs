//! `rouge1`, `rouge2`, `rougeL`: the F measure of rouge_score 0.1.2's `RougeScorer` (Lin, 2004).

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamInfo, ParamKind, Params};
use crate::text::ngrams::{FastMap, Vocabulary, clipped_matches, total};
use crate::text::porter::stem;

const PARAMS: &[ParamInfo] = &[ParamInfo {
    name: "stemmer",
    description: "Whether words of more than three letters are cut to their Porter stem (NLTK's), so that plays matches played.",
    kind: ParamKind::Flag(false),
}];

const fn info(name: &'static str, description: &'static str) -> Info {
    Info {
        name,
        description,
        scale: Scale::Unit,
        row: true,
        needs_reference: true,
        needs_text: true,
        params: PARAMS,
    }
}

pub(crate) const ROUGE_1: Info = info(
    "rouge1",
    "F measure of common words, as rouge_score 0.1.2; the best of several references; the dataset's value is the mean. ASCII letters and digits only.",
);

pub(crate) const ROUGE_2: Info = info(
    "rouge2",
    "F measure of common word pairs, as rouge_score 0.1.2; the best of several references; the dataset's value is the mean. ASCII letters and digits only.",
);

pub(crate) const ROUGE_L: Info = info(
    "rougeL",
    "F measure of the longest common subsequence of words, as rouge_score 0.1.2; the best of several references; the dataset's value is the mean. ASCII letters and digits only.",
);

struct Rouge {
    kind: Kind,
    stemmer: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Ngrams(usize),
    Subsequence,
}

/// `rouge1` (n = 1) and `rouge2` (n = 2).
pub(crate) fn of_ngrams(n: usize, params: &Params) -> impl Definition + use<> {
    Mean(Rouge { kind: Kind::Ngrams(n), stemmer: params.flag("stemmer") })
}

/// `rougeL`.
pub(crate) fn of_subsequence(params: &Params) -> impl Definition + use<> {
    Mean(Rouge { kind: Kind::Subsequence, stemmer: params.flag("stemmer") })
}

impl RowMetric for Rouge {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        let prediction = words(sample.text, self.stemmer);
        let targets: Vec<_> =
            sample.references.iter().map(|text| words(text, self.stemmer)).collect();
        let mut vocabulary = Vocabulary::default();
        let prediction = vocabulary.ids(prediction.iter().map(String::as_str));
        let scores = targets.iter().map(|target| {
            let target = vocabulary.ids(target.iter().map(String::as_str));
            self.f_measure(target, &prediction)
        });
        Ok(scores.fold(0.0, f64::max))
    }

    fn signature(&self) -> String {
        format!("case:lc|stemmer:{}|version:0.1.2", if self.stemmer { "yes" } else { "no" })
    }
}

impl Rouge {
    fn f_measure(&self, target: Vec<u32>, prediction: &[u32]) -> f64 {
        let (common, of_prediction, of_target) = match self.kind {
            Kind::Ngrams(n) => {
                let totals = (total(prediction.len(), n), total(target.len(), n));
                // With one reference, clipped matches are the intersection.
                let matches = clipped_matches(prediction, &[target], n);
                (matches[n - 1], totals.0, totals.1)
            }
            Kind::Subsequence => {
                let common = longest_common_subsequence(&target, prediction);
                (common, prediction.len() as u64, target.len() as u64)
            }
        };
        let precision = common as f64 / of_prediction.max(1) as f64;
        let recall = common as f64 / of_target.max(1) as f64;
        if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
    }
}

/// rouge_score's tokens: Python's `text.lower()`, then runs of `[a-z0-9]`, then stems of those longer than 3.
fn words(text: &str, stemmer: bool) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => word.push(c),
            // The two characters outside ASCII whose lower case begins with an ASCII letter; of İ a combining dot is left,
            // which separates.
            '\u{212a}' => word.push('k'),
            '\u{130}' => {
                word.push('i');
                words.push(std::mem::take(&mut word));
            }
            _ if !word.is_empty() => words.push(std::mem::take(&mut word)),
            _ => {}
        }
    }
    if stemmer {
        words.iter_mut().filter(|word| word.len() > 3).for_each(|word| *word = stem(word));
    }
    words
}

/// The length of the longest common subsequence, 64 columns of the table at a time (Hyyrö, 2004): time `a·b/64`.
fn longest_common_subsequence(a: &[u32], b: &[u32]) -> u64 {
    let blocks = a.len().div_ceil(64);
    // For each id its places in `a`, one bit each.
    let mut places: FastMap<u32, Vec<u64>> = FastMap::default();
    for (at, id) in a.iter().enumerate() {
        places.entry(*id).or_insert_with(|| vec![0; blocks])[at / 64] |= 1 << (at % 64);
    }
    // A zero bit marks a column where the length grows.
    let mut row = vec![u64::MAX; blocks];
    for mask in b.iter().filter_map(|id| places.get(id)) {
        let mut carry = false;
        for (bits, mask) in row.iter_mut().zip(mask) {
            let matched = *bits & mask;
            let (sum, one) = bits.overflowing_add(matched);
            let (sum, two) = sum.overflowing_add(u64::from(carry));
            carry = one || two;
            *bits = sum | (*bits & !mask);
        }
    }
    row.iter().map(|bits| u64::from(bits.count_zeros())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ascii_letters_and_digits_make_words() {
        let check =
            |text: &str, expect: &[&str]| assert_eq!(words(text, false), expect, "{text:?}");
        check("", &[]);
        check("Don't STOP—2nd", &["don", "t", "stop", "2nd"]);
        check("naïve Straße", &["na", "ve", "stra", "e"]);
        check("\u{212a}elvin xİI", &["kelvin", "xi", "i"]);
        assert_eq!(words("plays played news", true), ["play", "play", "news"]);
    }

    #[test]
    fn no_other_character_lowers_to_ascii() {
        let lowers_to_ascii = |c: &char| c.to_lowercase().any(|c| c.is_ascii_alphanumeric());
        let found: String = ('\u{80}'..=char::MAX).filter(lowers_to_ascii).collect();
        assert_eq!(found, "\u{130}\u{212a}");
    }

    #[test]
    fn the_subsequence_is_as_long_as_the_tables() {
        fn table(a: &[u32], b: &[u32]) -> u64 {
            let mut lengths = vec![vec![0; b.len() + 1]; a.len() + 1];
            for i in 1..=a.len() {
                for j in 1..=b.len() {
                    lengths[i][j] = if a[i - 1] == b[j - 1] {
                        lengths[i - 1][j - 1] + 1
                    } else {
                        lengths[i - 1][j].max(lengths[i][j - 1])
                    };
                }
            }
            lengths[a.len()][b.len()]
        }
        let mut state = 1_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) % below
        };
        for round in 0..200 {
            let mut ids = |most: u64| -> Vec<u32> {
                (0..next(most)).map(|_| next(2 + round % 9) as u32).collect()
            };
            let (a, b) = (ids(200), ids(200));
            assert_eq!(longest_common_subsequence(&a, &b), table(&a, &b), "{a:?} {b:?}");
        }
    }
}
