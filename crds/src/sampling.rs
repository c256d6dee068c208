//! How tokens are drawn: the sampling parameters of a job and of its columns. No I/O.

use kube::KubeSchema;
use schemars::Schema;
use serde::{Deserialize, Serialize};

/// The most stop texts that a request may carry.
pub const MAX_STOP_TEXTS: u32 = 16;

/// How the model's tokens are drawn. Each field that a column leaves out is taken from the job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sampling {
    /// How strongly the draw follows chance: 0 always takes the most likely token, 1 draws from the
    /// model's own distribution. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
    /// Draw only from the most likely tokens whose probabilities add up to this share. 1 keeps all.
    /// Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0), extend("exclusiveMinimum" = true))]
    pub top_p: Option<f64>,
    /// Draw only from this many of the most likely tokens. 0 keeps all. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub top_k: Option<i32>,
    /// Draw only from tokens at least this fraction as likely as the most likely one. 0 keeps all.
    /// Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_p: Option<f64>,
    /// Divides the positive logits of tokens that occurred before, and multiplies their negative
    /// ones, by this number. 1 leaves them alone. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.01, max = 100.0))]
    pub repetition_penalty: Option<f64>,
    /// The most tokens that a completion may have. It is cut (finish reason `length`) at this many,
    /// or where the model's context ends. Default 256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub max_tokens: Option<i32>,
    /// Texts that end a completion. The text that matched is not part of the completion. Default:
    /// none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "stop_schema")]
    pub stop: Option<Vec<String>>,
    /// Start of the counter generator from which every random number of the job is drawn: the same
    /// seed, model and numerics yield the same dataset. At most 2^53−1. Default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991_i64))]
    pub seed: Option<i64>,
}

fn stop_schema(_: &mut schemars::SchemaGenerator) -> Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": MAX_STOP_TEXTS,
        "items": {"type": "string", "minLength": 1, "maxLength": 256},
    })
}

/// [`Sampling`] with every field decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedSampling {
    /// In 0..=2; 0 is greedy.
    pub temperature: f64,
    /// In (0, 1]; 1 keeps all tokens.
    pub top_p: f64,
    /// 0 keeps all tokens.
    pub top_k: i32,
    /// In 0..=1; 0 keeps all tokens.
    pub min_p: f64,
    /// Above 0; 1 changes nothing.
    pub repetition_penalty: f64,
    /// At least 1.
    pub max_tokens: i32,
    /// Texts that end a completion.
    pub stop: Vec<String>,
    /// In 0..2^53.
    pub seed: i64,
}

impl Default for ResolvedSampling {
    /// The defaults of the API.
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            max_tokens: 256,
            stop: Vec::new(),
            seed: 0,
        }
    }
}

impl Sampling {
    /// What a column samples with: its own fields, then the job's, then the API's defaults.
    pub fn resolved(job: &Sampling, column: Option<&Sampling>) -> ResolvedSampling {
        let defaults = ResolvedSampling::default();
        macro_rules! first_set {
            ($field:ident) => {
                column
                    .and_then(|column| column.$field.clone())
                    .or_else(|| job.$field.clone())
                    .unwrap_or(defaults.$field)
            };
        }
        ResolvedSampling {
            temperature: first_set!(temperature),
            top_p: first_set!(top_p),
            top_k: first_set!(top_k),
            min_p: first_set!(min_p),
            repetition_penalty: first_set!(repetition_penalty),
            max_tokens: first_set!(max_tokens),
            stop: first_set!(stop),
            seed: first_set!(seed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_overrides_the_job_field_by_field_and_the_defaults_fill_the_rest() {
        let job = Sampling {
            temperature: Some(0.8),
            seed: Some(42),
            stop: Some(vec!["\n".into()]),
            ..Default::default()
        };
        let column = Sampling {
            temperature: Some(0.0),
            stop: Some(vec![]),
            max_tokens: Some(9),
            ..Default::default()
        };
        let resolved = Sampling::resolved(&job, Some(&column));
        assert_eq!(
            resolved,
            ResolvedSampling {
                temperature: 0.0,
                seed: 42,
                max_tokens: 9,
                ..ResolvedSampling::default()
            }
        );
        assert_eq!(Sampling::resolved(&Sampling::default(), None), ResolvedSampling::default());
    }
}
