//! Log probabilities, from the model's own logits: before bias, penalties and temperature.

use super::LogitsRow;
use super::candidates::Ranking;
use super::exp::total_weight;

/// Log probability of a sampled token and of the most likely ones.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// The sampled token.
    pub token: u32,
    /// Natural logarithm of its probability.
    pub logprob: f64,
    /// The most likely tokens, (logit descending, id ascending); as many as were asked for.
    pub top: Vec<(u32, f64)>,
}

/// `log_softmax` in f64, its sum in the order of ids. `maximum` is the row's, finite.
pub(super) fn token_logprob(
    row: LogitsRow<'_>,
    maximum: f32,
    token: u32,
    top: u8,
    ranking: &mut Ranking<'_>,
) -> TokenLogprob {
    let log_total = libm::log(total_weight(row.values, maximum, 1.0));
    let logprob = |logit: f32| f64::from(logit) - f64::from(maximum) - log_total;
    let chosen = row.values.get(token as usize).map_or(f64::NEG_INFINITY, |&logit| logprob(logit));
    let top = ranking.first(top.into()).iter();
    let top = top.map(|candidate| (candidate.id(), logprob(candidate.logit()))).collect();
    TokenLogprob { token, logprob: chosen, top }
}
