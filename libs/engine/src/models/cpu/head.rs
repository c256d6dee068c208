//! The output head: logits of the rows asked for, with the maximum of each block of columns.

use rayon::prelude::*;

use super::isa::{Isa, Kernel};
use super::lines::{Activations, LANES, Line};
use super::product::{Panels, RowTile, by_tiles, tile_sums};
use crate::model::{LOGITS_BLOCK, Logits};

/// Columns of a task of the thread pool, a multiple of [`LOGITS_BLOCK`].
const TASK_COLUMNS: usize = 16 * LOGITS_BLOCK;

/// Logits of the rows of `x` and their block maxima, in parallel over columns.
pub(super) fn head(
    isa: Isa,
    x: Activations<'_>,
    panels: &Panels,
    vocab_size: usize,
    logits: &mut Logits,
) {
    let blocks = vocab_size.div_ceil(LOGITS_BLOCK);
    logits.rows = x.rows;
    logits.values.resize(x.rows * vocab_size, 0.0);
    logits.block_max.resize(x.rows * blocks, 0.0);
    let mut tasks: Vec<Vec<HeadRow<'_>>> = Vec::new();
    tasks.resize_with(vocab_size.div_ceil(TASK_COLUMNS), || Vec::with_capacity(x.rows));
    let rows = logits.values.chunks_mut(vocab_size).zip(logits.block_max.chunks_mut(blocks));
    for (values, block_max) in rows {
        let parts =
            values.chunks_mut(TASK_COLUMNS).zip(block_max.chunks_mut(TASK_COLUMNS / LOGITS_BLOCK));
        for (task, (values, block_max)) in tasks.iter_mut().zip(parts) {
            task.push(HeadRow { values, block_max });
        }
    }
    let inputs = panels.inputs;
    let weights = panels.lines.par_chunks(TASK_COLUMNS / LANES * inputs);
    tasks
        .into_par_iter()
        .zip(weights)
        .for_each(|(rows, weights)| isa.run(HeadChunk { x, weights, inputs, rows }));
}

/// The part of a logits row that one task writes.
struct HeadRow<'a> {
    values: &'a mut [f32],
    block_max: &'a mut [f32],
}

struct HeadChunk<'a> {
    x: Activations<'a>,
    weights: &'a [Line],
    inputs: usize,
    rows: Vec<HeadRow<'a>>,
}

impl Kernel for HeadChunk<'_> {
    #[inline(always)]
    fn run(mut self) {
        for (index, panel) in self.weights.chunks_exact(self.inputs).enumerate() {
            let mut tile =
                HeadTile { x: self.x, panel, column: index * LANES, rows: &mut self.rows };
            by_tiles(self.x.rows, &mut tile);
        }
        for row in &mut self.rows {
            for (block, maximum) in row.values.chunks(LOGITS_BLOCK).zip(row.block_max.iter_mut()) {
                *maximum = block_maximum(block);
            }
        }
    }
}

struct HeadTile<'a, 'b> {
    x: Activations<'a>,
    panel: &'a [Line],
    column: usize,
    rows: &'b mut [HeadRow<'a>],
}

impl RowTile for HeadTile<'_, '_> {
    #[inline(always)]
    fn tile<const R: usize>(&mut self, first: usize) {
        let sums = tile_sums::<R>(self.x, first, self.panel);
        for (sums, row) in sums.iter().zip(&mut self.rows[first..first + R]) {
            // The last panel may reach beyond the vocabulary.
            let out = &mut row.values[self.column..];
            let columns = out.len().min(LANES);
            out[..columns].copy_from_slice(&sums[..columns]);
        }
    }
}

/// The largest value, NaN if there is one.
#[inline(always)]
pub(in crate::models) fn block_maximum(values: &[f32]) -> f32 {
    let mut maximum = f32::NEG_INFINITY;
    let mut nan = false;
    for &value in values {
        nan |= value.is_nan();
        maximum = if value > maximum { value } else { maximum };
    }
    if nan { f32::NAN } else { maximum }
}
