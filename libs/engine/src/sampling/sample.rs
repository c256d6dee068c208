//! The draw itself; the module's text has the order.

use super::candidates::{Buffers, Candidate, Ranking};
use super::exp::{total_weight, weight};
use super::logprobs::{TokenLogprob, token_logprob};
use super::{LogitsRow, SamplingParams, block_maximum};
use crate::model::LOGITS_BLOCK;

/// A token that was drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// Its id.
    pub token: u32,
    /// If the parameters ask for log probabilities.
    pub logprob: Option<TokenLogprob>,
}

/// Logits from which nothing can be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SamplingError {
    /// Not a number.
    #[error("the model's logits hold NaN; its weights or its arithmetic are damaged")]
    NaN,
    /// +∞ somewhere, or −∞ everywhere.
    #[error(
        "the largest of the model's logits is not finite; its weights or its arithmetic are damaged"
    )]
    NotFinite,
    /// No logits, or block maxima that do not belong to them.
    #[error("the model delivered no complete row of logits")]
    Incomplete,
}

/// Draws tokens. It holds buffers only: a draw depends on its arguments alone.
#[derive(Debug, Default)]
pub struct Sampler {
    values: Vec<f32>,
    block_max: Vec<f32>,
    seen: Vec<bool>,
    buffers: Buffers,
}

impl Sampler {
    /// Draws the token that follows `history` (prompt and completion so far). `random` is in [0, 1); see
    /// [`token_random`](super::token_random). The parameters have been checked.
    ///
    /// # Errors
    /// The logits hold NaN or their maximum is not finite.
    pub fn sample(
        &mut self,
        row: LogitsRow<'_>,
        history: &[u32],
        params: &SamplingParams,
        random: f64,
    ) -> Result<Sampled, SamplingError> {
        let raw_maximum = maximum(row)?;
        let changed = params.repetition_penalty != 1.0 || !params.logit_bias.is_empty();
        if changed {
            self.change(row, history, params);
        }
        let adjusted = match changed {
            true => LogitsRow { values: &self.values, block_max: &self.block_max },
            false => row,
        };
        let maximum = if changed { maximum(adjusted)? } else { raw_maximum };
        let token = match params.temperature {
            0.0 => first_maximum(adjusted, maximum),
            _ => draw(&mut Ranking::new(adjusted, &mut self.buffers), params, maximum, random),
        };
        let logprob = params.logprobs.map(|top| {
            let mut ranking = Ranking::new(row, &mut self.buffers);
            token_logprob(row, raw_maximum, token, top, &mut ranking)
        });
        Ok(Sampled { token, logprob })
    }

    /// Copies the row, adds the bias and applies the penalty, and finds the block maxima anew where they may differ.
    fn change(&mut self, row: LogitsRow<'_>, history: &[u32], params: &SamplingParams) {
        self.values.clear();
        self.values.extend_from_slice(row.values);
        self.block_max.clear();
        self.block_max.extend_from_slice(row.block_max);
        for &(token, bias) in &params.logit_bias {
            if let Some(logit) = self.values.get_mut(token as usize) {
                *logit += bias;
            }
        }
        if params.repetition_penalty != 1.0 {
            self.penalise(history, params.repetition_penalty as f32);
        }
        let biased = params.logit_bias.iter().map(|(token, _)| token);
        for token in biased.chain(history) {
            let block = *token as usize / LOGITS_BLOCK;
            if let (Some(values), Some(maximum)) =
                (self.values.chunks(LOGITS_BLOCK).nth(block), self.block_max.get_mut(block))
            {
                *maximum = block_maximum(values);
            }
        }
    }

    /// Hugging Face's `RepetitionPenaltyLogitsProcessor`: each token of the history once, whatever its count.
    fn penalise(&mut self, history: &[u32], penalty: f32) {
        self.seen.resize(self.values.len(), false);
        for &token in history {
            let Some(logit) = self.values.get_mut(token as usize) else { continue };
            if !std::mem::replace(&mut self.seen[token as usize], true) {
                *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
            }
        }
        for &token in history {
            if let Some(seen) = self.seen.get_mut(token as usize) {
                *seen = false;
            }
        }
    }
}

/// The row's maximum, which must be a finite number.
fn maximum(row: LogitsRow<'_>) -> Result<f32, SamplingError> {
    if row.values.is_empty() || row.block_max.len() != row.values.len().div_ceil(LOGITS_BLOCK) {
        return Err(SamplingError::Incomplete);
    }
    match block_maximum(row.block_max) {
        maximum if maximum.is_nan() => Err(SamplingError::NaN),
        maximum if maximum.is_infinite() => Err(SamplingError::NotFinite),
        maximum => Ok(maximum),
    }
}

fn first_maximum(row: LogitsRow<'_>, maximum: f32) -> u32 {
    let block = row.block_max.iter().position(|&value| value == maximum).unwrap_or(0);
    let values = row.values.iter().skip(block * LOGITS_BLOCK);
    let column = values.take(LOGITS_BLOCK).position(|&value| value == maximum).unwrap_or(0);
    (block * LOGITS_BLOCK + column) as u32
}

/// Steps 3 to 7 of the written order.
fn draw(ranking: &mut Ranking<'_>, params: &SamplingParams, maximum: f32, random: f64) -> u32 {
    let SamplingParams { temperature, top_p, min_p, .. } = *params;
    let weight_of = |candidate: Candidate| weight(candidate.logit(), maximum, temperature);
    let top_k = match params.top_k as usize {
        0 => ranking.len(),
        top_k => top_k.min(ranking.len()),
    };
    let all = top_k == ranking.len();
    if !all {
        ranking.first(top_k); // no more of them than that need be in order
    }
    let total = |ranking: &mut Ranking<'_>| match all {
        true => total_weight(ranking.values(), maximum, temperature),
        false => {
            ranking.first(top_k).iter().fold(0.0, |sum, &candidate| sum + weight_of(candidate))
        }
    };
    if all && top_p >= 1.0 && min_p <= 0.0 {
        let target = random * total(ranking);
        return first_beyond(ranking, top_k, target, weight_of);
    }
    let enough = if top_p < 1.0 { top_p * total(ranking) } else { f64::INFINITY };
    let (mut kept, mut sum) = (0, 0.0);
    while kept < top_k && sum < enough {
        let Some(weight) = ranking.get(kept).map(weight_of) else { break };
        if weight < min_p {
            break;
        }
        sum += weight;
        kept += 1;
    }
    first_beyond(ranking, kept, random * sum, weight_of)
}

/// The first of the first `kept` candidates at which the sum of weights exceeds the target.
fn first_beyond(
    ranking: &mut Ranking<'_>,
    kept: usize,
    target: f64,
    weight_of: impl Fn(Candidate) -> f64,
) -> u32 {
    let (mut sum, mut last) = (0.0, 0);
    for rank in 0..kept {
        let Some(candidate) = ranking.get(rank) else { break };
        let weight = weight_of(candidate);
        if weight == 0.0 {
            break; // so do all that follow
        }
        sum += weight;
        last = candidate.id();
        if sum > target {
            break;
        }
    }
    last
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
