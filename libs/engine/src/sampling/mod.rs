//! Sampling: which token follows, as a pure function of a logits row, the tokens before it and a random number.
//!
//! The order is part of a numerics name, so that equal logits always give equal tokens:
//!
//! 1. logit bias is added, then tokens that occurred before are penalised (f32, as Hugging Face does);
//! 2. candidates are ordered by (logit descending, id ascending), −0 counting as +0;
//! 3. temperature 0 takes the first candidate; otherwise a candidate's weight is `exp((logit − maximum) / temperature)`
//!    in f64, with this module's own [`exp`](exp::exp);
//! 4. top-k keeps the first k candidates;
//! 5. top-p keeps the shortest prefix whose weights add up to `top_p · total` or more; `total` is the sum of all
//!    candidates' weights, added in the candidates' order after a top-k and in the order of ids without one;
//! 6. min-p keeps the candidates that weigh `min_p` or more (the first one weighs 1);
//! 7. weights are added up in the candidates' order, sequentially in f64. The token is the first whose sum exceeds
//!    `random · total`, `total` being the last sum, or, if nothing was cut off, the total of step 5; if rounding leaves
//!    none, the last candidate that weighs more than 0.
//!
//! A NaN, or a maximum that is not finite, is an error: that completion fails.

mod candidates;
mod exp;
mod logprobs;
mod params;
mod random;
mod sample;

pub use self::logprobs::TokenLogprob;
pub use self::params::{MAX_LOGPROBS, MAX_STOP_TEXTS, ParamsError, SamplingParams};
pub use self::random::{request_seed, token_random};
pub use self::sample::{Sampled, Sampler, SamplingError};

use crate::model::{LOGITS_BLOCK, Logits};

/// One row of [`Logits`]: a token's distribution over what may follow it.
#[derive(Debug, Clone, Copy)]
pub struct LogitsRow<'a> {
    values: &'a [f32],
    block_max: &'a [f32],
}

impl<'a> LogitsRow<'a> {
    /// The row of that index; `None` if there is none, or if the row has no logit.
    pub fn of(logits: &'a Logits, index: usize) -> Option<LogitsRow<'a>> {
        let columns = logits.values.len().checked_div(logits.rows)?;
        let blocks = columns.div_ceil(LOGITS_BLOCK);
        let values = logits.values.chunks_exact(columns.max(1)).nth(index)?;
        let block_max = logits.block_max.chunks_exact(blocks.max(1)).nth(index)?;
        Some(LogitsRow { values, block_max })
    }

    fn blocks(self) -> impl Iterator<Item = (&'a [f32], f32)> {
        self.values.chunks(LOGITS_BLOCK).zip(self.block_max.iter().copied())
    }
}

/// Scalar maximum of a block as models report it: NaN if there is one.
fn block_maximum(values: &[f32]) -> f32 {
    values.iter().fold(f32::NEG_INFINITY, |maximum, &value| {
        if value.is_nan() || maximum.is_nan() { f32::NAN } else { maximum.max(value) }
    })
}
