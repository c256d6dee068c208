//! How tokens are drawn: the parameters of a request, and their ranges.

/// Most stop texts of a request.
pub const MAX_STOP_TEXTS: usize = 16;
/// Most alternatives of a token that log probabilities are given for.
pub const MAX_LOGPROBS: u8 = 20;

/// Sampling parameters of one completion. The default is the model's own distribution, cut at 256 tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingParams {
    /// 0 (always the first candidate) to 2.
    pub temperature: f64,
    /// Above 0, at most 1; 1 keeps all.
    pub top_p: f64,
    /// Number of candidates; 0 keeps all.
    pub top_k: u32,
    /// 0 to 1; 0 keeps all.
    pub min_p: f64,
    /// 0.01 to 100; 1 changes nothing. Applied once to each token that the prompt or the completion has.
    pub repetition_penalty: f64,
    /// At least 1. A completion is also cut where the model's context ends.
    pub max_tokens: u32,
    /// Texts that end a completion and are not part of it.
    pub stop: Vec<String>,
    /// How many alternatives get their log probability at each token; `None` gives none to the token either.
    pub logprobs: Option<u8>,
    /// Token ids and what is added to their logits, −100 to 100.
    pub logit_bias: Vec<(u32, f32)>,
    /// Go on after an end token until `max_tokens` (benchmarks).
    pub ignore_end: bool,
}

impl Default for SamplingParams {
    fn default() -> SamplingParams {
        SamplingParams {
            temperature: 1.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            max_tokens: 256,
            stop: Vec::new(),
            logprobs: None,
            logit_bias: Vec::new(),
            ignore_end: false,
        }
    }
}

/// A parameter out of its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{parameter} is {found}; {allowed}")]
pub struct ParamsError {
    /// Which parameter.
    pub parameter: &'static str,
    /// Its value.
    pub found: String,
    /// What is allowed.
    pub allowed: &'static str,
}

impl SamplingParams {
    /// Checks every range; `vocab_size` is the number of logits of a row.
    ///
    /// # Errors
    /// The first parameter that is out of range.
    pub fn check(&self, vocab_size: usize) -> Result<(), ParamsError> {
        let number = |parameter, value: f64, ok: bool, allowed| match ok {
            true => Ok(()),
            false => Err(ParamsError { parameter, found: value.to_string(), allowed }),
        };
        let within = |value: f64, low: f64, high: f64| (low..=high).contains(&value);
        let Self { temperature, top_p, min_p, repetition_penalty, .. } = *self;
        number("temperature", temperature, within(temperature, 0.0, 2.0), "it must be 0 to 2")?;
        number("topP", top_p, top_p > 0.0 && top_p <= 1.0, "it must be above 0 and at most 1")?;
        number("minP", min_p, within(min_p, 0.0, 1.0), "it must be 0 to 1")?;
        let penalty_fits = within(repetition_penalty, 0.01, 100.0);
        number("repetitionPenalty", repetition_penalty, penalty_fits, "it must be 0.01 to 100")?;
        number("maxTokens", self.max_tokens.into(), self.max_tokens > 0, "it must be at least 1")?;
        if let Some(logprobs) = self.logprobs {
            number("logprobs", logprobs.into(), logprobs <= MAX_LOGPROBS, "it must be at most 20")?;
        }
        self.check_stop()?;
        self.check_bias(vocab_size)
    }

    fn check_stop(&self) -> Result<(), ParamsError> {
        let error = |found, allowed| Err(ParamsError { parameter: "stop", found, allowed });
        if self.stop.len() > MAX_STOP_TEXTS {
            return error(format!("a list of {}", self.stop.len()), "it may hold at most 16 texts");
        }
        if self.stop.iter().any(String::is_empty) {
            return error(
                "a list with an empty text".into(),
                "a stop text has at least one character",
            );
        }
        Ok(())
    }

    fn check_bias(&self, vocab_size: usize) -> Result<(), ParamsError> {
        let error = |found, allowed| Err(ParamsError { parameter: "logitBias", found, allowed });
        for &(token, bias) in &self.logit_bias {
            if token as usize >= vocab_size {
                return error(format!("for token {token}"), "the vocabulary has no such id");
            }
            if !(-100.0..=100.0).contains(&bias) {
                return error(format!("{bias} for token {token}"), "it must be −100 to 100");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: impl FnOnce(&mut SamplingParams), expect: Result<(), &str>) {
        let mut params = SamplingParams::default();
        change(&mut params);
        let found = params.check(100).map_err(|error| error.to_string());
        assert_eq!(found, expect.map_err(str::to_owned));
    }

    #[test]
    fn the_ends_of_every_range_are_accepted() {
        check(|p| (p.temperature, p.top_p, p.min_p) = (0.0, f64::MIN_POSITIVE, 1.0), Ok(()));
        check(|p| (p.temperature, p.repetition_penalty) = (2.0, 0.01), Ok(()));
        check(|p| (p.max_tokens, p.repetition_penalty) = (1, 100.0), Ok(()));
        check(|p| (p.top_k, p.logprobs) = (u32::MAX, Some(20)), Ok(()));
        check(|p| p.stop = vec!["x".into(); 16], Ok(()));
        check(|p| p.logit_bias = vec![(0, -100.0), (99, 100.0)], Ok(()));
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_the_range() {
        check(|p| p.temperature = -0.1, Err("temperature is -0.1; it must be 0 to 2"));
        check(|p| p.temperature = f64::NAN, Err("temperature is NaN; it must be 0 to 2"));
        check(|p| p.top_p = 0.0, Err("topP is 0; it must be above 0 and at most 1"));
        check(|p| p.top_p = f64::NAN, Err("topP is NaN; it must be above 0 and at most 1"));
        check(|p| p.min_p = 1.1, Err("minP is 1.1; it must be 0 to 1"));
        check(
            |p| p.repetition_penalty = 0.0,
            Err("repetitionPenalty is 0; it must be 0.01 to 100"),
        );
        check(|p| p.max_tokens = 0, Err("maxTokens is 0; it must be at least 1"));
        check(|p| p.logprobs = Some(21), Err("logprobs is 21; it must be at most 20"));
        check(
            |p| p.stop = vec!["x".into(); 17],
            Err("stop is a list of 17; it may hold at most 16 texts"),
        );
        check(
            |p| p.stop = vec![String::new()],
            Err("stop is a list with an empty text; a stop text has at least one character"),
        );
        check(
            |p| p.logit_bias = vec![(100, 0.0)],
            Err("logitBias is for token 100; the vocabulary has no such id"),
        );
        check(
            |p| p.logit_bias = vec![(3, 100.5)],
            Err("logitBias is 100.5 for token 3; it must be −100 to 100"),
        );
    }
}
