//! The parameters of metrics. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rules;

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
    /// The JSON Schema of `jsonSchema`, of at most 32 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub schema: Option<serde_json::Map<String, serde_json::Value>>,
    /// The CEL expression of `expression` over `text`, `references`, `tokens` and `finishReason`; it yields a number, true or false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub expression: Option<String>,
}

fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
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

impl PiiEntity {
    /// The name as manifests write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iban => "iban",
            Self::CreditCard => "creditCard",
            Self::Crypto => "crypto",
            Self::Ssn => "ssn",
            Self::IpAddress => "ipAddress",
            Self::Email => "email",
            Self::Url => "url",
            Self::Phone => "phone",
        }
    }
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
