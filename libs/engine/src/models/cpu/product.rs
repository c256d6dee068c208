//! Matrix products of a step: packed weights, a register tile, and what follows a product element by element.
//!
//! The order of a sum is that of the weights' kind (`panels`, `groups`); the bias, if any, is added last.

use std::ops::Range;

use super::isa::{Cores, Isa, Kernel, MOST_TILE_ROWS};
use super::lines::{LANES, Line, panel_stride};
use super::math;
use super::operand::{Operand, OperandBuffers};
use super::panels::{Element, Packed, Panels, Rows, with_packed};

/// Panels of a task are a multiple of this number: gate and up alternate.
const PANEL_PAIR: usize = 2;

/// Multiplications that a task should have: less is not worth handing over.
const TASK_MULTIPLICATIONS: usize = 1 << 15;

/// Bytes of activations that a task works on before it goes on to other rows: they and some panels fit the second cache.
const BLOCK_BYTES: usize = 128 << 10;

/// A packed matrix and its bias.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) panels: Panels,
    /// One line per panel.
    pub(super) bias: Option<Vec<Line>>,
}

/// What is done with a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// It is the output.
    Store,
    /// It is added to the output (the residual stream).
    Add,
    /// GELU (tanh approximation) of it is the output.
    Gelu,
    /// Panels alternate between gate and up: silu(gate) · up is the output, half as wide.
    SwiGlu,
}

/// `x · weights`, panel-major, in parallel over panels.
pub(super) fn product(
    cores: Cores<'_>,
    x: Operand<'_>,
    linear: &Linear,
    then: Then,
    buffers: &mut OperandBuffers,
    out: &mut [Line],
) {
    let bias = linear.bias.as_deref().unwrap_or_default();
    with_packed!(&linear.panels, packed => {
        let x = Element::input(x, cores, packed, buffers);
        multiply(cores, x, packed, bias, then, out);
    });
}

fn multiply<'a, E: Element>(
    cores: Cores<'_>,
    x: E::Input<'a>,
    weights: &'a Packed<E>,
    bias: &'a [Line],
    then: Then,
    out: &'a mut [Line],
) {
    let (isa, length) = (cores.isa, weights.length);
    let least = x.rows() * PANEL_PAIR * LANES * length * E::INPUTS;
    let panels = PANEL_PAIR * TASK_MULTIPLICATIONS.div_ceil(least.max(1));
    let outputs = if then == Then::SwiGlu { panels / 2 } else { panels };
    let weights = weights.elements.chunks(panels * length);
    let tasks = out.chunks_mut(outputs * panel_stride(x.rows())).zip(weights).enumerate().collect();
    cores.pool.for_each(tasks, |(task, (out, weights))| {
        let bias = bias.get(task * panels..).unwrap_or_default();
        isa.run(Chunk { isa, x, weights, bias, length, then, out });
    });
}

/// Some panels of a product.
struct Chunk<'a, E: Element> {
    isa: Isa,
    x: E::Input<'a>,
    weights: &'a [E],
    bias: &'a [Line],
    length: usize,
    then: Then,
    out: &'a mut [Line],
}

impl<E: Element> Kernel for Chunk<'_, E> {
    #[inline(always)]
    fn run(self) {
        let Chunk { isa, x, weights, bias, length, then, out } = self;
        let stride = panel_stride(x.rows());
        let bias = |panel: usize| bias.get(panel).copied();
        // All panels of the task with some rows after the other: both stay in the cache meanwhile.
        let tile_rows = E::tile_rows(isa);
        let block = (BLOCK_BYTES / (length * E::INPUT_BYTES)).max(tile_rows);
        for rows in (0..x.rows()).step_by(block).map(|row| row..(row + block).min(x.rows())) {
            if then == Then::SwiGlu {
                let pairs = weights.chunks_exact(2 * length);
                for (panels, out) in pairs.zip(out.chunks_exact_mut(stride)) {
                    let (gate, up) = panels.split_at(length);
                    let mut tile = GatedTile { isa, x, gate, up, out };
                    by_tiles(rows.clone(), tile_rows, &mut tile);
                }
            } else {
                let panels = weights.chunks_exact(length).zip(out.chunks_exact_mut(stride));
                for (index, (panel, out)) in panels.enumerate() {
                    let mut tile = PlainTile { isa, x, panel, bias: bias(index), then, out };
                    by_tiles(rows.clone(), tile_rows, &mut tile);
                }
            }
        }
    }
}

/// Something done for a tile of R rows.
pub(super) trait RowTile {
    /// Does it for rows `first..first + R`.
    fn tile<const R: usize>(&mut self, first: usize);
}

/// Splits rows into tiles of at most `most`, itself at most [`MOST_TILE_ROWS`]. How is free: a row's result does not depend on its tile.
#[inline(always)]
pub(super) fn by_tiles(rows: Range<usize>, most: usize, work: &mut impl RowTile) {
    let mut first = rows.start;
    while first < rows.end {
        let left = rows.end - first;
        // 7 rows as 4 + 3: a tile of one row cannot fill the multipliers' pipeline.
        let tile = if left > most && left < 2 * most { left.div_ceil(2) } else { left.min(most) };
        match tile {
            1 => work.tile::<1>(first),
            2 => work.tile::<2>(first),
            3 => work.tile::<3>(first),
            4 => work.tile::<4>(first),
            5 => work.tile::<5>(first),
            6 => work.tile::<6>(first),
            7 => work.tile::<7>(first),
            _ => work.tile::<MOST_TILE_ROWS>(first),
        }
        first += tile;
    }
}

struct PlainTile<'a, 'b, E: Element> {
    isa: Isa,
    x: E::Input<'a>,
    panel: &'a [E],
    bias: Option<Line>,
    then: Then,
    out: &'b mut [Line],
}

impl<E: Element> RowTile for PlainTile<'_, '_, E> {
    #[inline(always)]
    fn tile<const R: usize>(&mut self, first: usize) {
        let sums = E::tile_sums::<R>(self.isa, self.x, first, self.panel);
        for (sums, out) in sums.into_iter().zip(&mut self.out[first..first + R]) {
            let mut sums = Line(sums);
            if let Some(bias) = self.bias {
                sums = sums.zip(bias, |sum, bias| sum + bias);
            }
            *out = match self.then {
                Then::Add => out.zip(sums, |residual, sum| residual + sum),
                Then::Gelu => sums.map(math::gelu_tanh),
                Then::Store | Then::SwiGlu => sums,
            };
        }
    }
}

struct GatedTile<'a, 'b, E: Element> {
    isa: Isa,
    x: E::Input<'a>,
    gate: &'a [E],
    up: &'a [E],
    out: &'b mut [Line],
}

impl<E: Element> RowTile for GatedTile<'_, '_, E> {
    #[inline(always)]
    fn tile<const R: usize>(&mut self, first: usize) {
        let gates = E::tile_sums::<R>(self.isa, self.x, first, self.gate);
        let ups = E::tile_sums::<R>(self.isa, self.x, first, self.up);
        for ((gate, up), out) in gates.into_iter().zip(ups).zip(&mut self.out[first..first + R]) {
            *out = Line(gate).map(math::silu).zip(Line(up), |gate, up| gate * up);
        }
    }
}
