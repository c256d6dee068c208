//! `rouge1`, `rouge2`, `rougeL`, `rougeLsum`: the F measure of rouge_score 0.1.2's `RougeScorer` (Lin, 2004).

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamInfo, ParamKind, Params};
use crate::text::ngrams::{FastMap, Vocabulary, clipped_matches, total};
use crate::text::porter::stem;
use crate::text::subsequence::{Sequence, common_length};

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
    "F measure of the longest common subsequence of words, as rouge_score 0.1.2; the best of several references; the dataset's value is the mean. ASCII letters and digits only; the first 65,536 words of a text.",
);

pub(crate) const ROUGE_L_SUM: Info = info(
    "rougeLsum",
    "F measure of the words of each reference line that are in the longest common subsequence with any line of the text, as rouge_score 0.1.2; lines end at newlines; the best of several references; the dataset's value is the mean. ASCII letters and digits only; the first 65,536 words and 4,096 lines of a text.",
);

/// Words that are looked at where subsequences are compared, and lines of them: time grows with their square. rouge_score's tables of
/// that size would take 30 GiB.
const MAX_WORDS: usize = 65_536;
const MAX_LINES: usize = 4_096;

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
        let prediction = Words::new(sample.text, self.stemmer);
        let targets: Vec<_> =
            sample.references.iter().map(|text| Words::new(text, self.stemmer)).collect();
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
    fn lines<'t>(&self, words: &'t Words, vocabulary: &mut Vocabulary<'t>) -> Vec<Vec<u32>> {
        match self.kind {
            Kind::Lines => {
                let lines = words.lines(MAX_WORDS).map(|line| vocabulary.ids(line));
                lines.filter(|line| !line.is_empty()).take(MAX_LINES).collect()
            }
            Kind::Subsequence => vec![vocabulary.ids(words.between(0, MAX_WORDS))],
            Kind::Ngrams(_) => vec![vocabulary.ids(words.between(0, usize::MAX))],
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
                let common = target.iter().map(|line| common_length(line, prediction)).sum();
                (common, of_prediction as u64, of_target as u64)
            }
            // One line with another is one subsequence, in which no word occurs too often.
            (Kind::Lines, [prediction]) if target.len() == 1 => {
                let common = target.iter().map(|line| common_length(line, prediction)).sum();
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
    // Only lines with a word of the target's line have a subsequence with it.
    let mut with: FastMap<u32, Vec<usize>> = FastMap::default();
    for (at, line) in lines.iter().enumerate() {
        different(line).for_each(|id| with.entry(id).or_default().push(at));
    }
    let mut matches = 0;
    for line in target {
        let mut others: Vec<usize> =
            different(line).filter_map(|id| with.get(&id)).flatten().copied().collect();
        others.sort_unstable();
        others.dedup();
        let sequence = Sequence::new(line);
        let mut common = vec![false; line.len()];
        for other in others.into_iter().filter_map(|at| lines.get(at)) {
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

fn different(line: &[u32]) -> impl Iterator<Item = u32> {
    let mut ids = line.to_vec();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
}

/// rouge_score's tokens: of Python's `text.lower()` the runs of `[a-z0-9]`, and the stems of those longer than 3.
struct Words {
    /// The text in lower case, stems behind it.
    text: String,
    /// Where each stands.
    places: Vec<[u32; 2]>,
    /// How many there are before each newline, and in all.
    lines: Vec<usize>,
}

fn beginning(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
    }
    text
}

/// Where the runs of ASCII letters and digits begin and end.
fn words_in(text: &[u8]) -> Vec<[u32; 2]> {
    // Each place is written, and stays if the next byte is of the other kind: no branch depends on the text.
    let mut edges = vec![0; text.len() + 2];
    let (mut found, mut inside) = (0_usize, false);
    for (byte, at) in text.iter().zip(0..) {
        if let Some(edge) = edges.get_mut(found) {
            *edge = at;
        }
        let is_inside = IN_WORDS[usize::from(*byte)];
        found = found.wrapping_add(usize::from(is_inside != inside));
        inside = is_inside;
    }
    if let Some(edge) = edges.get_mut(found) {
        *edge = text.len() as u32;
    }
    edges.truncate(found + usize::from(inside));
    edges.as_chunks::<2>().0.to_vec()
}

const IN_WORDS: [bool; 256] = {
    let mut in_words = [false; 256];
    let mut at = 0;
    while at < 256 {
        in_words[at] = (at as u8).is_ascii_alphanumeric();
        at += 1;
    }
    in_words
};

impl Words {
    fn new(text: &str, stemmer: bool) -> Self {
        // The two characters outside ASCII whose lower case begins with an ASCII letter; of İ a combining dot is left, which separates.
        let text = if !text.is_ascii() && text.contains(['\u{212a}', '\u{130}']) {
            text.replace('\u{212a}', "k").replace('\u{130}', "i\u{307}").to_ascii_lowercase()
        } else {
            text.to_ascii_lowercase()
        };
        // Places are 32 bits: of a text beyond 2 GiB, with room for stems, only the beginning is read.
        let text = beginning(text, i32::MAX as usize);
        let places = words_in(text.as_bytes());
        let ends = text.match_indices('\n').map(|(at, _)| at).chain([text.len()]);
        let before = |end| places.partition_point(|[start, _]| (*start as usize) < end);
        let lines = ends.map(before).collect();
        let mut words = Self { text, places, lines };
        if stemmer {
            words.stem();
        }
        words
    }

    fn stem(&mut self) {
        for [start, end] in &mut self.places {
            if *end - *start > 3 {
                let word = self.text.get(*start as usize..*end as usize);
                let stem = stem(word.unwrap_or_default());
                *start = self.text.len() as u32;
                self.text.push_str(&stem);
                *end = self.text.len() as u32;
            }
        }
    }

    /// The words from `first` to `end`, or as many as there are.
    fn between(&self, first: usize, end: usize) -> impl Iterator<Item = &str> {
        let places = self.places.get(first..end.min(self.places.len())).unwrap_or_default();
        places.iter().filter_map(|[start, end]| self.text.get(*start as usize..*end as usize))
    }

    /// The words of each line, of the first `most`.
    fn lines(&self, most: usize) -> impl Iterator<Item = impl Iterator<Item = &str>> {
        let mut first = 0;
        self.lines.iter().map(move |end| {
            let end = (*end).min(most);
            self.between(std::mem::replace(&mut first, end), end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, stemmer: bool, expect: &[&[&str]]) {
        let words = Words::new(text, stemmer);
        let lines: Vec<Vec<&str>> = words.lines(usize::MAX).map(Iterator::collect).collect();
        assert_eq!(lines, expect, "{text:?}");
        assert_eq!(words.between(0, usize::MAX).collect::<Vec<_>>(), expect.concat(), "{text:?}");
    }

    #[test]
    fn only_ascii_letters_and_digits_make_words() {
        check("", false, &[&[]]);
        check("Don't STOP—2nd", false, &[&["don", "t", "stop", "2nd"]]);
        check("naïve Straße", false, &[&["na", "ve", "stra", "e"]]);
        check("\u{212a}elvin xİI", false, &[&["kelvin", "xi", "i"]]);
        check("a.\n\nb\r\n", false, &[&["a"], &[], &["b"], &[]]);
        check("plays played news", true, &[&["play", "play", "news"]]);
    }

    #[test]
    fn the_first_words_are_those_of_the_first_lines() {
        let words = Words::new("a b\nc d\ne", false);
        let lines: Vec<Vec<&str>> = words.lines(3).map(Iterator::collect).collect();
        assert_eq!(lines, [vec!["a", "b"], vec!["c"], vec![]]);
        assert_eq!(words.between(1, 4).collect::<Vec<_>>(), ["b", "c", "d"]);
    }

    #[test]
    fn no_other_character_lowers_to_ascii() {
        let lowers_to_ascii = |c: &char| c.to_lowercase().any(|c| c.is_ascii_alphanumeric());
        let found: String = ('\u{80}'..=char::MAX).filter(lowers_to_ascii).collect();
        assert_eq!(found, "\u{130}\u{212a}");
    }
}
