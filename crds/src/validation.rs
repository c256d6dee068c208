//! What a dataset is measured with and must pass: metrics, filters and gates. No I/O.

use kube::{KubeSchema, core::Rule};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

/// Scores, row filters and dataset gates. They may be changed after the run: only scoring and
/// finalizing run again.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Validation {
    /// The metrics that the report shows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub metrics: Vec<Metric>,
    /// A row that fails one filter is rejected, and counted under the name of the first filter that
    /// it fails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub filters: Vec<Filter>,
    /// The dataset must pass every gate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub gates: Vec<Gate>,
    /// What a failed gate does: `Fail` fails the job; `Warn` lets it succeed with the condition
    /// `Validated=False`.
    #[serde(default)]
    pub on_gate_failure: OnGateFailure,
}

/// What a failed gate does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules::described_by_its_field)]
pub enum OnGateFailure {
    /// The job fails.
    #[default]
    Fail,
    /// The job succeeds, and says that its dataset did not pass.
    Warn,
}

/// One metric of the report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = column_rule(),
    validation = reference_rule(),
    validation = pattern_rule(),
    validation = params_rule(),
)]
pub struct Metric {
    /// The metric.
    pub metric: MetricName,
    /// The column, or field of the source, that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub column: Option<String>,
    /// The field of the source, or the column, that holds the reference text (or a list of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub reference: Option<String>,
    /// The metric's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<MetricParams>,
}

/// A condition that every accepted row meets: a range of a row metric, or a CEL expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = rules::exactly_one(&["metric", "expression"], "kind of filter"),
    validation = Rule::new("has(self.metric) || (!has(self.column) && !has(self.reference) && !has(self.params) && !has(self.min) && !has(self.max))")
        .message("column, reference, params, min and max belong to a metric: an expression reads the row itself"),
    validation = Rule::new("!has(self.metric) || has(self.min) || has(self.max)")
        .message("a filter with a metric needs min, max or both"),
    validation = rules::min_below_max(),
    validation = Rule::new(format!("!has(self.metric) || !(self.metric in {WITHOUT_ROW_VALUES})"))
        .message("this metric measures the whole dataset and has no value for one row: use it in a gate")
        .field_path(".metric"),
    validation = guarded(column_rule()),
    validation = guarded(reference_rule()),
    validation = guarded(pattern_rule()),
    validation = guarded(params_rule()),
)]
pub struct Filter {
    /// The name under which rejected rows are counted.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = "^[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?$")
    )]
    pub name: String,
    /// A metric that has a value for each row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<MetricName>,
    /// The column, or field of the source, that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub column: Option<String>,
    /// The field of the source, or the column, that holds the reference text (or a list of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub reference: Option<String>,
    /// The metric's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<MetricParams>,
    /// The smallest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// A CEL expression over the row, such as `row.ticket.contains(row.product)`. Rows for which it
    /// is false are rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub expression: Option<String>,
}

/// A range that a metric of the whole dataset must lie in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("has(self.min) || has(self.max)").message("a gate needs min, max or both"),
    validation = rules::min_below_max(),
    validation = Rule::new(format!("!has(self.stat) || !(self.metric in {WITHOUT_ROW_VALUES})"))
        .message("stat belongs to metrics that have a value for each row; this one has only a value of the dataset")
        .field_path(".stat"),
    validation = column_rule(),
    validation = reference_rule(),
    validation = pattern_rule(),
    validation = params_rule(),
)]
pub struct Gate {
    /// The metric.
    pub metric: MetricName,
    /// The column, or field of the source, that is measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub column: Option<String>,
    /// The field of the source, or the column, that holds the reference text (or a list of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub reference: Option<String>,
    /// The metric's parameters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<MetricParams>,
    /// Which statistic of the rows' values is tested. Default: the metric's own value of the
    /// dataset, which for a metric of rows alone is their mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stat: Option<Stat>,
    /// The smallest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The greatest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

/// A statistic of the rows' values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = rules::described_by_its_field)]
pub enum Stat {
    /// The arithmetic mean.
    Mean,
    /// The smallest value.
    Min,
    /// The 5th percentile.
    P05,
    /// The median.
    P50,
    /// The 95th percentile.
    P95,
    /// The greatest value.
    Max,
}

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
    /// Failed rows over requested rows.
    FailedRate,
    /// The number of accepted rows.
    AcceptedRows,
    /// Accepted rows over requested rows.
    AcceptanceRate,
}

impl Stat {
    /// The name as manifests and reports write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Min => "min",
            Self::P05 => "p05",
            Self::P50 => "p50",
            Self::P95 => "p95",
            Self::Max => "max",
        }
    }
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
            Self::FailedRate => "failedRate",
            Self::AcceptedRows => "acceptedRows",
            Self::AcceptanceRate => "acceptanceRate",
        }
    }
}

/// Parameters of metrics; each belongs to some of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricParams {
    /// Length of the n-grams: of `distinct` (default 2) and `repetition` (default 4), and the greatest of `selfBleu` and `bleuNltk`
    /// (default 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4))]
    pub n: Option<i32>,
    /// The tokenizer of `bleu` and `bleuNltk`, as in sacrebleu. Default `13a`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenize: Option<BleuTokenizer>,
    /// The smoothing of `bleu`, as in sacrebleu. Default `exp`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<BleuSmoothing>,
    /// The value of the smoothing `floor` (default 0.1) or `add-k` (default 1) of `bleu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub smoothing_value: Option<f64>,
    /// Whether `bleu` and `chrf` ignore case. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowercase: Option<bool>,
    /// The number of the smoothing function of `bleuNltk`. Default 0, which is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 7))]
    pub method: Option<i32>,
    /// The longest word n-gram of `chrf`: 0 is chrF, the default, and 2 is chrF++.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 2))]
    pub word_order: Option<i32>,
    /// Whether `ter` separates punctuation from words. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalized: Option<bool>,
    /// Whether `ter` removes punctuation. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_punctuation: Option<bool>,
    /// Whether `normalized` and `noPunctuation` of `ter` also hold for Chinese and Japanese. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asian_support: Option<bool>,
    /// Whether case counts in `ter`. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub case_sensitive: Option<bool>,
    /// From which Jaccard similarity on two texts are near duplicates for `nearDuplicateRate`. Default 0.8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.2, max = 0.95))]
    pub threshold: Option<f64>,
    /// The kinds of personal data that `pii` counts. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "set"))]
    pub entities: Option<Vec<PiiEntity>>,
    /// The language that `language` asks for: an ISO 639-3 code, such as `eng`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[a-z]{3}$"))]
    pub is: Option<String>,
    /// Whether words are stemmed (Porter) before `rouge1`, `rouge2`, `rougeL` or `rougeLsum`. Default false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stemmer: Option<bool>,
    /// The regular expression of `regex`: a match anywhere in the text counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub pattern: Option<String>,
}

/// A kind of personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = rules::described_by_its_field)]
pub enum PiiEntity {
    /// A bank account, with valid check digits.
    Iban,
    /// A payment card, with a valid check digit.
    CreditCard,
    /// A Bitcoin address, with a valid checksum.
    Crypto,
    /// A United States social security number.
    Ssn,
    /// An IPv4 or IPv6 address.
    IpAddress,
    /// An e-mail address.
    Email,
    /// A URL, or a host with a frequent top-level domain.
    Url,
    /// A telephone number.
    Phone,
}

/// A tokenizer of sacrebleu.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = rules::described_by_its_field)]
pub enum BleuTokenizer {
    /// mteval-v13a, the default of WMT.
    #[serde(rename = "13a")]
    V13a,
    /// mteval-v14, for international text.
    Intl,
    /// Chinese characters, and the rest as 13a.
    Zh,
    /// Characters.
    Char,
    /// None: split at white space.
    None,
}

/// A smoothing of sacrebleu.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(transform = rules::described_by_its_field)]
pub enum BleuSmoothing {
    /// Exponential decay, the default.
    Exp,
    /// A floor for orders without a match.
    Floor,
    /// A constant added to counts.
    AddK,
    /// None.
    None,
}

/// The metrics that count rows, and so have no column.
const WITHOUT_COLUMN: &str = "['failedRate', 'acceptedRows', 'acceptanceRate']";
/// The metrics that compare a column with a reference.
const WITH_REFERENCE: &str =
    "['bleu', 'bleuNltk', 'rouge1', 'rouge2', 'rougeL', 'rougeLsum', 'chrf', 'ter']";
/// The metrics that have a value for the whole dataset only.
const WITHOUT_ROW_VALUES: &str = "['distinct', 'selfBleu', 'compressionRatio', 'duplicateRate', 'nearDuplicateRate', 'failedRate', 'acceptedRows', 'acceptanceRate']";

fn column_rule() -> Rule {
    Rule::new(format!("self.metric in {WITHOUT_COLUMN} ? !has(self.column) : has(self.column)"))
        .message("column is required, except by failedRate, acceptedRows and acceptanceRate, which count rows and take none")
        .field_path(".column")
}

fn reference_rule() -> Rule {
    Rule::new(format!(
        "self.metric in {WITH_REFERENCE} ? has(self.reference) : !has(self.reference)"
    ))
    .message(
        "reference is required by bleu, bleuNltk, rouge1, rouge2, rougeL, rougeLsum, chrf and ter, and no other metric takes one",
    )
    .field_path(".reference")
}

fn pattern_rule() -> Rule {
    Rule::new("(self.metric != 'regex' || (has(self.params) && has(self.params.pattern))) && (self.metric != 'language' || (has(self.params) && has(self.params.is)))")
        .message("the metric regex needs params.pattern, and the metric language needs params.is")
        .field_path(".params")
}

/// A parameter of another metric is refused rather than ignored.
fn params_rule() -> Rule {
    let allowed = [
        ("n", "['distinct', 'selfBleu', 'repetition', 'bleuNltk']"),
        ("tokenize", "['bleu', 'bleuNltk']"),
        ("smoothing", "['bleu']"),
        ("smoothingValue", "['bleu']"),
        ("lowercase", "['bleu', 'chrf']"),
        ("method", "['bleuNltk']"),
        ("wordOrder", "['chrf']"),
        ("normalized", "['ter']"),
        ("noPunctuation", "['ter']"),
        ("asianSupport", "['ter']"),
        ("caseSensitive", "['ter']"),
        ("threshold", "['nearDuplicateRate']"),
        ("entities", "['pii']"),
        ("is", "['language']"),
        ("stemmer", "['rouge1', 'rouge2', 'rougeL', 'rougeLsum']"),
        ("pattern", "['regex']"),
    ];
    let each = allowed
        .iter()
        .map(|(param, metrics)| format!("(!has(self.params.{param}) || self.metric in {metrics})"))
        .collect::<Vec<_>>()
        .join(" && ");
    Rule::new(format!("!has(self.params) || ({each})"))
        .message("a parameter does not belong to this metric: n is for distinct, selfBleu, repetition and bleuNltk; tokenize for bleu and bleuNltk; smoothing and smoothingValue for bleu; lowercase for bleu and chrf; method for bleuNltk; wordOrder for chrf; normalized, noPunctuation, asianSupport and caseSensitive for ter; threshold for nearDuplicateRate; entities for pii; is for language; stemmer for rouge1, rouge2, rougeL and rougeLsum; pattern for regex")
        .field_path(".params")
}

/// The rule for types in which `metric` may be absent.
fn guarded(mut rule: Rule) -> Rule {
    rule.rule = format!("!has(self.metric) || ({})", rule.rule);
    rule
}
