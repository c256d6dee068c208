//! The draws of one step, several at a time: each depends on its own row only.

use std::sync::{Mutex, OnceLock, PoisonError};

use crate::model::{Logits, Model};
use crate::sampling::{LogitsRow, Sampled, Sampler, SamplingError, SamplingParams};

/// Fewer draws than that are done on the calling thread: they take less time than handing them over.
const WORTH_SHARING: usize = 4;

/// One draw: what [`Sampler::sample`] takes beside the logits.
pub(super) struct Draw<'a> {
    /// Index of the row.
    pub(super) row: usize,
    pub(super) history: &'a [u32],
    pub(super) params: &'a SamplingParams,
    pub(super) random: f64,
}

/// Samplers, as many as have been in use at a time. A sampler is buffers only.
#[derive(Default)]
pub(super) struct Drawing {
    samplers: Mutex<Vec<Sampler>>,
}

impl Drawing {
    /// The results, in the order of the draws; computed on the model's threads.
    pub(super) fn draw(
        &self,
        model: &dyn Model,
        logits: &Logits,
        draws: &[Draw<'_>],
    ) -> Vec<Result<Sampled, SamplingError>> {
        if draws.len() < WORTH_SHARING {
            return draws.iter().map(|draw| self.sample(logits, draw)).collect();
        }
        let results: Vec<OnceLock<_>> = draws.iter().map(|_| OnceLock::new()).collect();
        model.for_each(draws.len(), &|index| {
            let _ = results[index].set(self.sample(logits, &draws[index]));
        });
        let drawn = results.into_iter().map(OnceLock::into_inner);
        drawn.map(|drawn| drawn.unwrap_or(Err(SamplingError::Incomplete))).collect()
    }

    fn sample(&self, logits: &Logits, draw: &Draw<'_>) -> Result<Sampled, SamplingError> {
        let samplers = || self.samplers.lock().unwrap_or_else(PoisonError::into_inner);
        let row = LogitsRow::of(logits, draw.row).ok_or(SamplingError::Incomplete)?;
        let mut sampler = samplers().pop().unwrap_or_default();
        let sampled = sampler.sample(row, draw.history, draw.params, draw.random);
        samplers().push(sampler);
        sampled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, ModelError, ModelInfo, PageCopy};
    use crate::models::{FakeConfig, FakeModel};

    /// So many threads, which do every so-manieth task each, and nothing of a model.
    struct Threads(usize, FakeModel);

    fn threads(count: usize) -> Threads {
        Threads(count, FakeModel::new(FakeConfig::default()))
    }

    impl Model for Threads {
        fn info(&self) -> &ModelInfo {
            self.1.info()
        }

        fn reserve(&mut self, _pages: u32) -> Result<(), ModelError> {
            Ok(())
        }

        fn copy_pages(&mut self, _copies: &[PageCopy]) -> Result<(), ModelError> {
            Ok(())
        }

        fn forward(&mut self, _: &Batch<'_>, _: &mut Logits) -> Result<(), ModelError> {
            Ok(())
        }

        fn for_each(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
            let threads = self.0;
            std::thread::scope(|scope| {
                for first in 0..threads {
                    scope.spawn(move || (first..count).step_by(threads).for_each(task));
                }
            });
        }
    }

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
        let drawing = Drawing::default();
        let expect: Vec<_> = draws
            .iter()
            .flat_map(|draw| drawing.draw(&threads(1), &logits, std::slice::from_ref(draw)))
            .collect();
        assert!(expect.windows(2).any(|pair| pair[0] != pair[1]));
        for count in [1, 2, 5, 40] {
            assert_eq!(drawing.draw(&threads(count), &logits, &draws), expect, "{count} threads");
        }
        assert!(drawing.samplers.into_inner().is_ok_and(|samplers| samplers.len() <= 13));
    }

    #[test]
    fn a_draw_that_nobody_did_is_an_error() {
        let logits = Logits { rows: 1, values: vec![1.0, 0.0], block_max: vec![1.0] };
        let params = SamplingParams::default();
        let draws = [0; 5].map(|row| Draw { row, history: &[], params: &params, random: 0.0 });
        let drawn = Drawing::default().draw(&threads(0), &logits, &draws);
        assert_eq!(drawn, vec![Err(SamplingError::Incomplete); 5]);
    }

    #[test]
    fn a_missing_row_fails_its_draw_only() {
        let logits = Logits { rows: 1, values: vec![1.0, 0.0], block_max: vec![1.0] };
        let params = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
        let draw = |row| Draw { row, history: &[], params: &params, random: 0.0 };
        let drawn = Drawing::default().draw(&threads(1), &logits, &[draw(0), draw(1)]);
        assert_eq!(drawn[0].as_ref().map(|sampled| sampled.token), Ok(0));
        assert_eq!(drawn[1], Err(SamplingError::Incomplete));
    }
}
