//! Sampling parameters: what both kinds of requests say in the same words.

use std::hash::{BuildHasher, RandomState};

use textnlp_crds::sampling::ResolvedSampling;
use textnlp_engine::sampling::SamplingParams;

use super::MAX_CHOICES;
use crate::api::{LogitBias, Stop};
use crate::error::ApiError;

/// Seeds have so many bits, so that JSON numbers hold them everywhere.
const SEED_BITS: u32 = 53;
/// Most characters of a stop text, as in a manifest.
const MAX_STOP_CHARACTERS: usize = 256;
/// Most tokens with a bias.
const MAX_BIASES: usize = 1024;

/// The parameters as they came.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<i64>,
    pub(super) min_p: Option<f64>,
    pub(super) repetition_penalty: Option<f64>,
    pub(super) presence_penalty: Option<f64>,
    pub(super) frequency_penalty: Option<f64>,
    pub(super) max_tokens: Option<i64>,
    /// The parameter that `max_tokens` came by.
    pub(super) max_tokens_param: &'static str,
    pub(super) stop: Option<Stop>,
    pub(super) logit_bias: Option<LogitBias>,
    /// Alternatives of each token.
    pub(super) logprobs: Option<i64>,
    /// The parameter that `logprobs` came by.
    pub(super) logprobs_param: &'static str,
}

impl Fields {
    /// For the engine, which checks the other ranges. What is left out has the default of a job.
    pub(super) fn resolve(self) -> Result<SamplingParams, ApiError> {
        let defaults = ResolvedSampling::default();
        no_penalty("presence_penalty", self.presence_penalty)?;
        no_penalty("frequency_penalty", self.frequency_penalty)?;
        let default_max_tokens = i64::from(defaults.max_tokens);
        let max_tokens = self.max_tokens.unwrap_or(default_max_tokens);
        let logprobs = self.logprobs.map(|count| {
            integer(self.logprobs_param, count, 0, textnlp_engine::sampling::MAX_LOGPROBS.into())
        });
        Ok(SamplingParams {
            temperature: self.temperature.unwrap_or(defaults.temperature),
            top_p: self.top_p.unwrap_or(defaults.top_p),
            // vLLM's clients say −1 for "all".
            top_k: match self.top_k.unwrap_or(defaults.top_k.into()) {
                -1 => 0,
                top_k => integer("top_k", top_k, 0, u32::MAX.into())?,
            },
            min_p: self.min_p.unwrap_or(defaults.min_p),
            repetition_penalty: self.repetition_penalty.unwrap_or(defaults.repetition_penalty),
            max_tokens: integer(self.max_tokens_param, max_tokens, 1, u32::MAX.into())?,
            stop: stop_texts(self.stop)?,
            logprobs: logprobs.transpose()?,
            logit_bias: biases(self.logit_bias.unwrap_or_default())?,
            ignore_end: false,
        })
    }
}

/// The seed of a request; a random one if it has none.
pub(super) fn seed(seed: Option<i64>) -> Result<u64, ApiError> {
    let limit = 1_i64 << SEED_BITS;
    match seed {
        // A hasher's keys are random, in every hasher others.
        None => Ok(RandomState::new().hash_one(SEED_BITS) % (1 << SEED_BITS)),
        Some(seed) => integer("seed", seed, 0, limit - 1),
    }
}

/// The number of choices.
pub(super) fn choices(n: Option<i64>) -> Result<u32, ApiError> {
    integer("n", n.unwrap_or(1), 1, MAX_CHOICES)
}

/// A whole number within its range.
fn integer<T: TryFrom<i64>>(
    param: &'static str,
    value: i64,
    low: i64,
    high: i64,
) -> Result<T, ApiError> {
    let error =
        || ApiError::invalid(param, format!("{param} is {value}; it must be {low} to {high}"));
    if !(low..=high).contains(&value) {
        return Err(error());
    }
    T::try_from(value).map_err(|_| error())
}

fn no_penalty(param: &'static str, value: Option<f64>) -> Result<(), ApiError> {
    match value {
        None | Some(0.0) => Ok(()),
        Some(_) => Err(ApiError::unsupported(param, "use repetition_penalty")),
    }
}

fn stop_texts(stop: Option<Stop>) -> Result<Vec<String>, ApiError> {
    let texts = match stop {
        None => Vec::new(),
        Some(Stop::One(text)) => vec![text],
        Some(Stop::Many(texts)) => texts,
    };
    for text in &texts {
        let found = text.chars().count();
        if found > MAX_STOP_CHARACTERS {
            let message = format!(
                "stop has a text of {found} characters; it may have {MAX_STOP_CHARACTERS} at most"
            );
            return Err(ApiError::invalid("stop", message));
        }
    }
    Ok(texts)
}

fn biases(biases: LogitBias) -> Result<Vec<(u32, f32)>, ApiError> {
    if biases.len() > MAX_BIASES {
        let message =
            format!("logit_bias has {} tokens; it may have {MAX_BIASES} at most", biases.len());
        return Err(ApiError::invalid("logit_bias", message));
    }
    let parse = |(token, bias): (String, f64)| match token.parse() {
        Ok(token) => Ok((token, bias as f32)),
        Err(_) => {
            let message = format!("logit_bias has the key {token:?}; its keys must be token ids");
            Err(ApiError::invalid("logit_bias", message))
        }
    };
    biases.into_iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        Fields { max_tokens_param: "max_tokens", logprobs_param: "logprobs", ..Fields::default() }
    }

    #[test]
    fn the_defaults_are_those_of_a_job() {
        let ResolvedSampling {
            temperature,
            top_p,
            top_k,
            min_p,
            repetition_penalty,
            max_tokens,
            stop,
            seed: _,
        } = ResolvedSampling::default();
        let expect = SamplingParams {
            temperature,
            top_p,
            top_k: top_k.unsigned_abs(),
            min_p,
            repetition_penalty,
            max_tokens: max_tokens.unsigned_abs(),
            stop,
            logprobs: None,
            logit_bias: Vec::new(),
            ignore_end: false,
        };
        assert_eq!(fields().resolve(), Ok(expect));
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Fields), param: &str, message: &str) {
        let mut fields = fields();
        change(&mut fields);
        let error = fields.resolve().expect_err("out of range");
        let found = error.body().error;
        assert_eq!((found.param.as_deref(), found.message.as_str()), (Some(param), message));
    }

    #[test]
    fn what_is_out_of_range_is_refused_by_its_name() {
        check(
            |f| f.max_tokens = Some(0),
            "max_tokens",
            "max_tokens is 0; it must be 1 to 4294967295",
        );
        check(|f| f.top_k = Some(-2), "top_k", "top_k is -2; it must be 0 to 4294967295");
        check(|f| f.logprobs = Some(21), "logprobs", "logprobs is 21; it must be 0 to 20");
        check(
            |f| f.presence_penalty = Some(0.5),
            "presence_penalty",
            "presence_penalty is not supported by this server; use repetition_penalty",
        );
        check(
            |f| f.stop = Some(Stop::One("x".repeat(257))),
            "stop",
            "stop has a text of 257 characters; it may have 256 at most",
        );
        check(
            |f| f.logit_bias = Some([("the".to_owned(), 1.0)].into()),
            "logit_bias",
            "logit_bias has the key \"the\"; its keys must be token ids",
        );
        assert!(choices(Some(9)).is_err() && choices(Some(0)).is_err());
        assert!(seed(Some(-1)).is_err() && seed(Some(1 << 53)).is_err());
    }

    #[test]
    fn without_a_seed_every_request_has_another() {
        assert_eq!(seed(Some((1 << 53) - 1)), Ok((1 << 53) - 1));
        let seeds: std::collections::BTreeSet<u64> =
            (0..20).filter_map(|_| seed(None).ok()).collect();
        assert!(seeds.len() == 20 && seeds.iter().all(|seed| *seed < 1 << 53));
    }

    #[test]
    fn biases_and_vllms_top_k_are_understood() {
        let fields = Fields {
            logit_bias: Some([("7".to_owned(), -100.0)].into()),
            top_k: Some(-1),
            presence_penalty: Some(0.0),
            ..fields()
        };
        let params = fields.resolve().expect("valid");
        assert_eq!((params.logit_bias, params.top_k), (vec![(7, -100.0)], 0));
    }
}
