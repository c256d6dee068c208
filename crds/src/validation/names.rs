//! The metrics by name. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

/// The name of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::described_by_its_field)]
pub enum MetricName {
    /// Words, split at white space.
    WordCount,
    /// Unicode scalar values.
    CharCount,
    /// Tokens of the generating model.
    TokenCount,
    /// Whether the completion was cut at `maxTokens` or at the end of the context.
    Truncated,
    /// Whether a regular expression matches.
    Regex,
    /// Distinct n-grams over all n-grams of the dataset.
    Distinct,
    /// Rows that have an equal, earlier row, after folding case, white space and compatibility forms.
    DuplicateRate,
    /// Rows that nearly equal an earlier row: by the Jaccard similarity of their word 5-grams.
    NearDuplicateRate,
    /// BLEU as sacrebleu computes it, 0 to 100.
    Bleu,
    /// Sentence BLEU as NLTK computes it, with one of its smoothings.
    BleuNltk,
    /// ROUGE-1 F score, 0 to 1.
    Rouge1,
    /// ROUGE-2 F score, 0 to 1.
    Rouge2,
    /// ROUGE-L F score, 0 to 1.
    RougeL,
    /// ROUGE-Lsum F score, 0 to 1: by lines.
    #[serde(rename = "rougeLsum")]
    RougeLSum,
    /// Character n-gram F score (chrF, chrF++) as sacrebleu computes it, 0 to 100.
    Chrf,
    /// Translation edit rate as sacrebleu computes it: edits for 100 words of the reference.
    Ter,
    /// BLEU of each text against the others, 0 to 1: how alike the rows are.
    SelfBleu,
    /// Bytes of all texts over bytes of their gzip: how alike the rows are.
    CompressionRatio,
    /// N-grams that occurred before in the same text over all of its n-grams.
    Repetition,
    /// Personal data in the text: how many for a row, the share of rows with any for the dataset.
    Pii,
    /// Whether the text is in a language.
    Language,
    /// Flesch reading ease of English text: high is easy.
    FleschReadingEase,
    /// Flesch–Kincaid grade of English text.
    FleschKincaidGrade,
    /// Whether the text is JSON that a JSON Schema allows.
    JsonSchema,
    /// The number that a CEL expression yields for the text.
    Expression,
    /// Failed rows over requested rows.
    FailedRate,
    /// The number of accepted rows.
    AcceptedRows,
    /// Accepted rows over requested rows.
    AcceptanceRate,
}

impl MetricName {
    /// The name as manifests and reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WordCount => "wordCount",
            Self::CharCount => "charCount",
            Self::TokenCount => "tokenCount",
            Self::Truncated => "truncated",
            Self::Regex => "regex",
            Self::Distinct => "distinct",
            Self::DuplicateRate => "duplicateRate",
            Self::NearDuplicateRate => "nearDuplicateRate",
            Self::Bleu => "bleu",
            Self::BleuNltk => "bleuNltk",
            Self::Rouge1 => "rouge1",
            Self::Rouge2 => "rouge2",
            Self::RougeL => "rougeL",
            Self::RougeLSum => "rougeLsum",
            Self::Chrf => "chrf",
            Self::Ter => "ter",
            Self::SelfBleu => "selfBleu",
            Self::CompressionRatio => "compressionRatio",
            Self::Repetition => "repetition",
            Self::Pii => "pii",
            Self::Language => "language",
            Self::FleschReadingEase => "fleschReadingEase",
            Self::FleschKincaidGrade => "fleschKincaidGrade",
            Self::JsonSchema => "jsonSchema",
            Self::Expression => "expression",
            Self::FailedRate => "failedRate",
            Self::AcceptedRows => "acceptedRows",
            Self::AcceptanceRate => "acceptanceRate",
        }
    }
}
