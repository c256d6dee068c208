//! Rotary position embedding over halves: dimension i turns with i + d/2 by position / base^(2i/d).

use super::lines::{LANES, Line};
use crate::weights::ModelConfig;

/// Rotary frequencies, and the sines and cosines of one step's rows.
#[derive(Debug)]
pub(super) struct Rope {
    /// Radians per position of each pair, `head_dim / 2`.
    frequencies: Vec<f32>,
    /// `[row][pair]`: cosine and sine.
    turns: Vec<(f32, f32)>,
}

impl Rope {
    /// Frequencies of a model, divided by its factors if it has any.
    pub(super) fn new(config: &ModelConfig) -> Rope {
        let pairs = config.head_dim / 2;
        let frequency = |pair: usize| {
            let exponent = (2 * pair) as f64 / config.head_dim as f64;
            let frequency = 1.0 / libm::pow(f64::from(config.rope_theta), exponent) as f32;
            config
                .rope_factors
                .as_ref()
                .map_or(frequency, |factors| frequency / factors[pair])
        };
        Rope {
            frequencies: (0..pairs).map(frequency).collect(),
            turns: Vec::new(),
        }
    }

    /// Computes the turns of a step's rows. The angle is rounded to f32 as the reference implementations do.
    pub(super) fn prepare(&mut self, positions: &[usize]) {
        self.turns.clear();
        for &position in positions {
            self.turns.extend(self.frequencies.iter().map(|frequency| {
                let angle = f64::from(position as f32 * frequency);
                (libm::cos(angle) as f32, libm::sin(angle) as f32)
            }));
        }
    }

    /// Turns a head's query or key of row `row` in place.
    #[inline(always)]
    pub(super) fn rotate(&self, row: usize, head: &mut [Line]) {
        let pairs = self.frequencies.len();
        for (pair, (cos, sin)) in self.turns[row * pairs..][..pairs].iter().enumerate() {
            let (low, high) = (pair, pair + pairs);
            let a = head[low / LANES].0[low % LANES];
            let b = head[high / LANES].0[high % LANES];
            head[low / LANES].0[low % LANES] = a * cos - b * sin;
            head[high / LANES].0[high % LANES] = b * cos + a * sin;
        }
    }
}
