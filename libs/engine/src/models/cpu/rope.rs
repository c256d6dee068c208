//! Turns queries and keys by their positions.

use super::lines::{LANES, Line};
use crate::models::rope::{frequencies, turn};
use crate::weights::ModelConfig;

/// Rotary frequencies, and the cosines and sines of one step's rows.
#[derive(Debug)]
pub(super) struct Rope {
    /// Radians per position of each pair of dimensions.
    frequencies: Vec<f32>,
    /// `[row][pair]`
    turns: Vec<(f32, f32)>,
}

impl Rope {
    /// That of a model.
    pub(super) fn new(config: &ModelConfig) -> Rope {
        Rope { frequencies: frequencies(config), turns: Vec::new() }
    }

    /// Computes the turns of a step's rows.
    pub(super) fn prepare(&mut self, positions: &[usize]) {
        self.turns.clear();
        for &position in positions {
            self.turns.extend(self.frequencies.iter().map(|&frequency| turn(position, frequency)));
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
