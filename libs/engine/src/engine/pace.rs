//! How many tokens of prompts a step may compute, so that it takes about as long as was asked for.

use std::time::Duration;

/// Tokens of a first step, before anything is known of the model's speed.
const FIRST: usize = 128;
/// A step computes at least so many tokens of prompts: fewer are as slow.
const LEAST: usize = 16;
/// Steps of fewer tokens say nothing about prompts: reading the weights takes most of their time.
const TELLING: usize = 8;
/// Weight of the newest step.
const NEWEST: f64 = 0.25;

/// Keeps the model's speed, in tokens per second, from the steps that were made.
#[derive(Debug)]
pub(super) struct Pace {
    step: Duration,
    speed: Option<f64>,
}

impl Pace {
    pub(super) fn new(step: Duration) -> Pace {
        Pace { step, speed: None }
    }

    /// Tokens of prompts for the next step, beside one for each of `decoding` sequences.
    pub(super) fn prefill_tokens(&self, decoding: usize) -> usize {
        let Some(speed) = self.speed else { return FIRST };
        let tokens = (speed * self.step.as_secs_f64()) as usize;
        tokens.saturating_sub(decoding).max(LEAST)
    }

    /// Takes note of a step.
    pub(super) fn record(&mut self, tokens: usize, took: Duration) {
        if tokens < TELLING || took.is_zero() {
            return;
        }
        let speed = tokens as f64 / took.as_secs_f64();
        let before = self.speed.unwrap_or(speed);
        self.speed = Some(before + NEWEST * (speed - before));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tokens_of_a_step_follow_the_models_speed() {
        let mut pace = Pace::new(Duration::from_millis(250));
        assert_eq!(pace.prefill_tokens(0), FIRST);
        pace.record(100, Duration::from_millis(100));
        assert_eq!(pace.prefill_tokens(0), 250);
        assert_eq!(pace.prefill_tokens(64), 186);
        pace.record(4, Duration::from_secs(1));
        assert_eq!(pace.prefill_tokens(0), 250, "a small step says nothing");
        for _ in 0..60 {
            pace.record(100, Duration::from_secs(10));
        }
        assert_eq!(pace.prefill_tokens(1000), LEAST);
    }
}
