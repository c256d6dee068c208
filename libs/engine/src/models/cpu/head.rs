//! The output head: logits of the rows asked for, with the maximum of each block of columns.

use super::isa::{Cores, Isa, Kernel};
use super::lines::LANES;
use super::operand::{Operand, OperandBuffers};
use super::panels::{Element, Packed, Panels, Rows, with_packed};
use super::product::{RowTile, by_tiles};
use crate::model::{LOGITS_BLOCK, Logits};

/// Columns of a task of the thread pool, a multiple of [`LOGITS_BLOCK`].
const TASK_COLUMNS: usize = 4 * LOGITS_BLOCK;

/// Logits of the rows of `x` and their block maxima, in parallel over columns.
pub(super) fn head(
    cores: Cores<'_>,
    x: Operand<'_>,
    panels: &Panels,
    vocab_size: usize,
    buffers: &mut OperandBuffers,
    logits: &mut Logits,
) {
    with_packed!(panels, packed => {
        let x = Element::input(x, cores, packed, buffers);
        multiply(cores, x, packed, vocab_size, logits);
    });
}

fn multiply<'a, E: Element>(
    cores: Cores<'_>,
    x: E::Input<'a>,
    weights: &'a Packed<E>,
    vocab_size: usize,
    logits: &'a mut Logits,
) {
    let blocks = vocab_size.div_ceil(LOGITS_BLOCK);
    let count = x.rows();
    logits.rows = count;
    logits.values.resize(count * vocab_size, 0.0);
    logits.block_max.resize(count * blocks, 0.0);
    let mut tasks: Vec<Vec<HeadRow<'_>>> = Vec::new();
    tasks.resize_with(vocab_size.div_ceil(TASK_COLUMNS), || Vec::with_capacity(count));
    let rows = logits.values.chunks_mut(vocab_size).zip(logits.block_max.chunks_mut(blocks));
    for (values, block_max) in rows {
        let parts =
            values.chunks_mut(TASK_COLUMNS).zip(block_max.chunks_mut(TASK_COLUMNS / LOGITS_BLOCK));
        for (task, (values, block_max)) in tasks.iter_mut().zip(parts) {
            task.push(HeadRow { values, block_max });
        }
    }
    let (isa, length) = (cores.isa, weights.length);
    let weights = weights.elements.chunks(TASK_COLUMNS / LANES * length);
    cores.pool.for_each(tasks.into_iter().zip(weights).collect(), |(rows, weights)| {
        isa.run(HeadChunk { isa, x, weights, length, rows });
    });
}

/// The part of a logits row that one task writes.
struct HeadRow<'a> {
    values: &'a mut [f32],
    block_max: &'a mut [f32],
}

struct HeadChunk<'a, E: Element> {
    isa: Isa,
    x: E::Input<'a>,
    weights: &'a [E],
    length: usize,
    rows: Vec<HeadRow<'a>>,
}

impl<E: Element> Kernel for HeadChunk<'_, E> {
    #[inline(always)]
    fn run(mut self) {
        let HeadChunk { isa, x, .. } = self;
        for (index, panel) in self.weights.chunks_exact(self.length).enumerate() {
            let (column, rows) = (index * LANES, self.rows.as_mut_slice());
            by_tiles(0..x.rows(), E::tile_rows(isa), &mut HeadTile { isa, x, panel, column, rows });
        }
        for row in &mut self.rows {
            for (block, maximum) in row.values.chunks(LOGITS_BLOCK).zip(row.block_max.iter_mut()) {
                *maximum = block_maximum(block);
            }
        }
    }
}

struct HeadTile<'a, 'b, E: Element> {
    isa: Isa,
    x: E::Input<'a>,
    panel: &'a [E],
    column: usize,
    rows: &'b mut [HeadRow<'a>],
}

impl<E: Element> RowTile for HeadTile<'_, '_, E> {
    #[inline(always)]
    fn tile<const R: usize>(&mut self, first: usize) {
        let sums = E::tile_sums::<R>(self.isa, self.x, first, self.panel);
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
