//! One file per metric (or family): its [`crate::Info`] and its definition.

pub(crate) mod bleu;
pub(crate) mod bleu_nltk;
pub(crate) mod char_count;
pub(crate) mod chrf;
pub(crate) mod compression_ratio;
pub(crate) mod counts;
pub(crate) mod distinct;
pub(crate) mod duplicate_rate;
pub(crate) mod expression;
pub(crate) mod flesch;
pub(crate) mod json_schema;
pub(crate) mod language;
pub(crate) mod near_duplicate_rate;
pub(crate) mod pii;
pub(crate) mod regex;
pub(crate) mod repetition;
pub(crate) mod rouge;
pub(crate) mod self_bleu;
pub(crate) mod ter;
pub(crate) mod token_count;
pub(crate) mod truncated;
pub(crate) mod word_count;
