//! The draws of one step, several at a time: each depends on its own row only.

use rayon::prelude::*;

use crate::model::Logits;
use crate::sampling::{LogitsRow, Sampled, Sampler, SamplingError, SamplingParams};

/// One draw: what [`Sampler::sample`] takes beside the logits.
pub(super) struct Draw<'a> {
    /// Index of the row.
    pub(super) row: usize,
    pub(super) history: &'a [u32],
    pub(super) params: &'a SamplingParams,
    pub(super) random: f64,
}

/// Samplers, each for one thread of a pool.
pub(super) struct Drawing {
    /// `None` draws on the caller's thread.
    pool: Option<rayon::ThreadPool>,
    samplers: Vec<Sampler>,
}

impl Drawing {
    /// Draws on that many threads; on fewer if they cannot be had.
    pub(super) fn new(threads: usize) -> Drawing {
        let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = match threads {
            0..=1 => None,
            _ => builder.thread_name(|thread| format!("sampling-{thread}")).build().ok(),
        };
        let threads = pool.as_ref().map_or(1, rayon::ThreadPool::current_num_threads);
        Drawing { pool, samplers: std::iter::repeat_with(Sampler::default).take(threads).collect() }
    }

    /// The results, in the order of the draws.
    pub(super) fn draw(
        &mut self,
        logits: &Logits,
        draws: &[Draw<'_>],
    ) -> Vec<Result<Sampled, SamplingError>> {
        let part = draws.len().div_ceil(self.samplers.len()).max(1);
        let sample = |(draws, sampler): (&[Draw<'_>], &mut Sampler)| -> Vec<_> {
            let sample = |draw: &Draw<'_>| {
                let row = LogitsRow::of(logits, draw.row).ok_or(SamplingError::Incomplete)?;
                sampler.sample(row, draw.history, draw.params, draw.random)
            };
            draws.iter().map(sample).collect()
        };
        match &self.pool {
            Some(pool) if draws.len() > 1 => pool.install(|| {
                draws.par_chunks(part).zip(&mut self.samplers).flat_map_iter(sample).collect()
            }),
            _ => draws.chunks(part).zip(&mut self.samplers).flat_map(sample).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_threads_changes_no_draw() {
        let (rows, columns) = (13, 200);
        let values: Vec<f32> = (0..rows * columns).map(|i| (i as f32 * 0.7).sin() * 4.0).collect();
        let maximum = |block: &[f32]| block.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let blocks = values.chunks(columns).flat_map(|row| row.chunks(64).map(maximum));
        let logits = Logits { rows, block_max: blocks.collect(), values };
        let params = SamplingParams::default();
        let draws: Vec<Draw<'_>> = (0..rows)
            .map(|row| Draw { row, history: &[], params: &params, random: row as f64 / 13.0 })
            .collect();
        let expect = Drawing::new(1).draw(&logits, &draws);
        assert!(expect.windows(2).any(|pair| pair[0] != pair[1]));
        for threads in [2, 5, 40] {
            assert_eq!(Drawing::new(threads).draw(&logits, &draws), expect, "{threads} threads");
        }
    }

    #[test]
    fn a_missing_row_fails_its_draw_only() {
        let logits = Logits { rows: 1, values: vec![1.0, 0.0], block_max: vec![1.0] };
        let params = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
        let draw = |row| Draw { row, history: &[], params: &params, random: 0.0 };
        let drawn = Drawing::new(1).draw(&logits, &[draw(0), draw(1)]);
        assert_eq!(drawn[0].as_ref().map(|sampled| sampled.token), Ok(0));
        assert_eq!(drawn[1], Err(SamplingError::Incomplete));
    }
}
