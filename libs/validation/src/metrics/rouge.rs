//! `rouge1`, `rouge2`, `rougeL`, `rougeLsum`: the F measure of rouge_score 0.1.2's `RougeScorer` (Lin, 2004).

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamInfo, ParamKind, Params};
use crate::text::ngrams::{FastMap, Vocabulary, clipped_matches, total};
use crate::text::porter::stem;
use crate::text::subsequence::Sequence;

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

pub(crate) const ROUGE_L_SUM: Info = info(
    "rougeLsum",
    "F measure of the words of each reference line that are in the longest common subsequence with any line of the text, as rouge_score 0.1.2; lines end at newlines; the best of several references; the dataset's value is the mean. ASCII letters and digits only.",
);

struct Rouge {
    kind: Kind,
    stemmer: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Ngrams(usize),
    Subsequence,
    Lines,
}

/// `rouge1` (n = 1) and `rouge2` (n = 2).
pub(crate) fn of_ngrams(n: usize, params: &Params) -> impl Definition + use<> {
    Mean(Rouge { kind: Kind::Ngrams(n), stemmer: params.flag("stemmer") })
}

/// `rougeL`.
pub(crate) fn of_subsequence(params: &Params) -> impl Definition + use<> {
    Mean(Rouge { kind: Kind::Subsequence, stemmer: params.flag("stemmer") })
}

/// `rougeLsum`.
pub(crate) fn of_lines(params: &Params) -> impl Definition + use<> {
    Mean(Rouge { kind: Kind::Lines, stemmer: params.flag("stemmer") })
}

impl RowMetric for Rouge {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        let prediction = words(sample.text, self.stemmer);
        let targets: Vec<_> =
            sample.references.iter().map(|text| words(text, self.stemmer)).collect();
        let mut vocabulary = Vocabulary::default();
        let prediction = self.lines(&prediction, &mut vocabulary);
        let scores = targets.iter().map(|target| {
            let target = self.lines(target, &mut vocabulary);
            self.f_measure(target, &prediction)
        });
        Ok(scores.fold(0.0, f64::max))
    }

    fn signature(&self) -> String {
        format!("case:lc|stemmer:{}|version:0.1.2", if self.stemmer { "yes" } else { "no" })
    }
}

impl Rouge {
    /// The ids of the words of each line; all lines are one but for `rougeLsum`.
    fn lines<'t>(&self, words: &'t str, vocabulary: &mut Vocabulary<'t>) -> Vec<Vec<u32>> {
        match self.kind {
            Kind::Lines => words
                .split('\n')
                .map(|line| vocabulary.ids(line.split_terminator(' ')))
                .filter(|line| !line.is_empty())
                .collect(),
            _ => {
                vec![vocabulary.ids(words.split_terminator(['\n', ' ']).filter(|w| !w.is_empty()))]
            }
        }
    }

    fn f_measure(&self, target: Vec<Vec<u32>>, prediction: &[Vec<u32>]) -> f64 {
        let length = |lines: &[Vec<u32>]| lines.iter().map(Vec::len).sum::<usize>();
        let (of_target, of_prediction) = (length(&target), length(prediction));
        let (common, of_prediction, of_target) = match (self.kind, prediction) {
            (Kind::Ngrams(n), [prediction]) => {
                // With one reference, clipped matches are the intersection.
                let matches = clipped_matches(prediction, &target, n);
                (matches[n - 1], total(of_prediction, n), total(of_target, n))
            }
            (Kind::Subsequence, [prediction]) => {
                let common = target.iter().map(|line| Sequence::new(line).common(prediction)).sum();
                (common, of_prediction as u64, of_target as u64)
            }
            _ => (union_matches(&target, prediction), of_prediction as u64, of_target as u64),
        };
        let precision = common as f64 / of_prediction.max(1) as f64;
        let recall = common as f64 / of_target.max(1) as f64;
        if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
    }
}

/// The words of the target's lines that are in the subsequence with any line of the prediction; each word counts at most as often as
/// it occurs in the target and in the prediction.
fn union_matches(target: &[Vec<u32>], prediction: &[Vec<u32>]) -> u64 {
    let mut left: FastMap<u32, u64> = FastMap::default();
    prediction.iter().flatten().for_each(|id| *left.entry(*id).or_default() += 1);
    // A line that occurs twice adds nothing to the union.
    let mut lines: Vec<&Vec<u32>> = prediction.iter().collect();
    lines.sort_unstable();
    lines.dedup();
    let mut matches = 0;
    for line in target {
        let sequence = Sequence::new(line);
        let mut common = vec![false; line.len()];
        for other in &lines {
            sequence.places(other, |place| {
                common.iter_mut().skip(place).take(1).for_each(|c| *c = true)
            });
        }
        // Each place of the target is looked at once, so that its own counts never run out.
        for (id, _) in line.iter().zip(&common).filter(|(_, common)| **common) {
            if let Some(left) = left.get_mut(id).filter(|left| **left > 0) {
                *left -= 1;
                matches += 1;
            }
        }
    }
    matches
}

/// rouge_score's tokens: Python's `text.lower()`, then runs of `[a-z0-9]`, then stems of those longer than 3; a space behind each,
/// newlines kept.
fn words(text: &str, stemmer: bool) -> String {
    let mut words = String::with_capacity(text.len() + 1);
    let mut start = 0;
    for c in text.chars().chain([' ']) {
        match c {
            'a'..='z' | '0'..='9' => words.push(c),
            'A'..='Z' => words.push(c.to_ascii_lowercase()),
            // The two characters outside ASCII whose lower case begins with an ASCII letter; of İ a combining dot is left,
            // which separates.
            '\u{212a}' => words.push('k'),
            _ => {
                if c == '\u{130}' {
                    words.push('i');
                }
                if words.len() > start {
                    end_word(&mut words, start, stemmer);
                }
                if c == '\n' {
                    words.push(c);
                }
                start = words.len();
            }
        }
    }
    words
}

fn end_word(words: &mut String, start: usize, stemmer: bool) {
    if stemmer && words.len() - start > 3 {
        let stem = stem(words.get(start..).unwrap_or_default());
        words.truncate(start);
        words.push_str(&stem);
    }
    words.push(' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ascii_letters_and_digits_make_words() {
        let check = |text: &str, expect: &str| assert_eq!(words(text, false), expect, "{text:?}");
        check("", "");
        check("Don't STOP—2nd", "don t stop 2nd ");
        check("naïve Straße", "na ve stra e ");
        check("\u{212a}elvin xİI", "kelvin xi i ");
        check("a.\n\nb\r\n", "a \n\nb \n");
        assert_eq!(words("plays played news", true), "play play news ");
    }

    #[test]
    fn no_other_character_lowers_to_ascii() {
        let lowers_to_ascii = |c: &char| c.to_lowercase().any(|c| c.is_ascii_alphanumeric());
        let found: String = ('\u{80}'..=char::MAX).filter(lowers_to_ascii).collect();
        assert_eq!(found, "\u{130}\u{212a}");
    }
}
