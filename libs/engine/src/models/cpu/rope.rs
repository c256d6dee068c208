//! Turns queries and keys by their positions.

use super::lines::{LANES, Line, element, lines_for};
use crate::model::ModelError;
use crate::models::rope::{frequencies, turn};
use crate::weights::ModelConfig;

/// Rotary frequencies, and the cosines and sines of positions.
#[derive(Debug)]
pub(super) struct Rope {
    /// Radians per position of each pair of dimensions.
    frequencies: Vec<f32>,
    /// `[position][cosine, sine][pair / 16]`, of every position so far: each is computed once.
    turns: Vec<Line>,
}

impl Rope {
    /// That of a model.
    pub(super) fn new(config: &ModelConfig) -> Rope {
        Rope { frequencies: frequencies(config), turns: Vec::new() }
    }

    /// Computes the turns of positions `0..positions` that are not known yet.
    pub(super) fn extend(&mut self, positions: usize) -> Result<(), ModelError> {
        let lines = lines_for(self.frequencies.len());
        let known = self.turns.len() / (2 * lines).max(1);
        let more = positions.saturating_sub(known) * 2 * lines;
        self.turns.try_reserve(more).map_err(|_| {
            ModelError::Device(format!("out of memory: the angles of {positions} positions"))
        })?;
        for position in known..positions {
            let first = self.turns.len();
            self.turns.resize(first + 2 * lines, Line::ZERO);
            let (cosines, sines) = self.turns[first..].split_at_mut(lines);
            for (pair, &frequency) in self.frequencies.iter().enumerate() {
                let (cos, sin) = turn(position, frequency);
                cosines[pair / LANES].0[pair % LANES] = cos;
                sines[pair / LANES].0[pair % LANES] = sin;
            }
        }
        Ok(())
    }

    /// Turns a head's query or key at a known position in place.
    #[inline(always)]
    pub(super) fn rotate(&self, position: usize, head: &mut [Line]) {
        let pairs = self.frequencies.len();
        let lines = lines_for(pairs);
        let (cosines, sines) = self.turns[position * 2 * lines..][..2 * lines].split_at(lines);
        if pairs.is_multiple_of(LANES) {
            let (low, high) = head.split_at_mut(lines);
            let turns = cosines.iter().zip(sines);
            for ((low, high), (cos, sin)) in low.iter_mut().zip(high).zip(turns) {
                for lane in 0..LANES {
                    let (a, b) = (&mut low.0[lane], &mut high.0[lane]);
                    (*a, *b) = turned((*a, *b), (cos.0[lane], sin.0[lane]));
                }
            }
        } else {
            // The halves of a head do not begin with a line.
            for pair in 0..pairs {
                let high = pair + pairs;
                let halves = (element(head, pair), element(head, high));
                let (a, b) = turned(halves, (element(cosines, pair), element(sines, pair)));
                head[pair / LANES].0[pair % LANES] = a;
                head[high / LANES].0[high % LANES] = b;
            }
        }
    }
}

/// The written order of a pair's turn: two products each, then their difference or sum, none of them fused.
#[inline(always)]
fn turned((a, b): (f32, f32), (cos, sin): (f32, f32)) -> (f32, f32) {
    (a * cos - b * sin, b * cos + a * sin)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Architecture;

    fn rope(head_dim: usize) -> Rope {
        Rope::new(&ModelConfig {
            architecture: Architecture::Llama,
            vocab_size: 1,
            hidden_size: head_dim,
            layers: 1,
            heads: 1,
            kv_heads: 1,
            head_dim,
            ffn_size: 1,
            context_tokens: 100,
            norm_epsilon: 0.0,
            rope_theta: 10_000.0,
            rope_factors: None,
        })
    }

    #[test]
    fn pairs_turn_by_their_angles_whether_their_halves_fill_lines_or_not() {
        for head_dim in [12, 32, 40, 64, 80, 96] {
            let mut rope = rope(head_dim);
            rope.extend(8).expect("a small table");
            let number = |index: usize| (index * 37 % 101) as f32 / 50.0 - 1.0;
            let mut head: Vec<Line> = (0..lines_for(head_dim))
                .map(|block| Line(std::array::from_fn(|lane| number(block * LANES + lane))))
                .collect();
            rope.rotate(7, &mut head);
            let half = head_dim / 2;
            for (pair, &frequency) in rope.frequencies.iter().enumerate() {
                let (cos, sin) = turn(7, frequency);
                let (a, b) = (number(pair), number(pair + half));
                assert_eq!(element(&head, pair), a * cos - b * sin, "{head_dim}, pair {pair}");
                assert_eq!(element(&head, pair + half), b * cos + a * sin, "{head_dim}, {pair}");
            }
        }
    }

    #[test]
    fn a_table_that_grows_is_the_table_that_was_made_at_once() {
        let (mut grown, mut whole) = (rope(64), rope(64));
        for positions in [1, 2, 2, 1, 40, 17, 100] {
            grown.extend(positions).expect("a small table");
        }
        whole.extend(100).expect("a small table");
        assert_eq!(grown.turns, whole.turns);
        assert_eq!(whole.turns.len(), 100 * 2 * 2);
    }
}
