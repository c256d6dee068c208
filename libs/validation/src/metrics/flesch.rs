//! `fleschReadingEase` (Flesch, 1948) and `fleschKincaidGrade` (Kincaid et al., 1975): textstat 0.7.13's formulas, words and sentences;
//! syllables by a rule.

use crate::definition::{Definition, Mean, RowMetric};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::text::readability::counts;

const fn info(name: &'static str, description: &'static str) -> Info {
    Info {
        name,
        description,
        scale: Scale::Real,
        row: true,
        needs_reference: false,
        needs_text: true,
        params: &[],
    }
}

pub(crate) const READING_EASE: Info = info(
    "fleschReadingEase",
    "How easy an English text is to read: 60 to 70 is plain, below 30 hard; 0 for a text without words. Formula, words and sentences are textstat 0.7.13's; syllables are counted by rule, not looked up. The dataset's value is the mean.",
);

pub(crate) const KINCAID_GRADE: Info = info(
    "fleschKincaidGrade",
    "The US school grade that an English text needs; 0 for a text without words. Formula, words and sentences are textstat 0.7.13's; syllables are counted by rule, not looked up. The dataset's value is the mean.",
);

struct Flesch {
    /// What is left of a text of no length, and what words in a sentence and syllables in a word add.
    base: f64,
    of_sentence: f64,
    of_word: f64,
}

pub(crate) fn reading_ease() -> impl Definition {
    Mean(Flesch { base: 206.835, of_sentence: -1.015, of_word: -84.6 })
}

pub(crate) fn kincaid_grade() -> impl Definition {
    Mean(Flesch { base: -15.59, of_sentence: 0.39, of_word: 11.8 })
}

impl RowMetric for Flesch {
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError> {
        let counts = counts(sample.text);
        if counts.words == 0 {
            return Ok(0.0);
        }
        let words = counts.words as f64;
        let of_sentence = self.of_sentence * (words / counts.sentences.max(1) as f64);
        Ok(self.base + of_sentence + self.of_word * (counts.syllables as f64 / words))
    }

    fn signature(&self) -> String {
        "lang:en|syllables:rule|version:0.7.13".to_owned()
    }
}
