//! Matrix products of a step: packed weights, a register tile, and what follows a product element by element.
//!
//! Weights lie in *panels* of 16 output columns, `[n/16][k][16]`, so that the lanes of a register are outputs and one
//! load of 64 bytes serves every row of a tile. Each output is one chain of fused multiply-adds with k ascending from
//! +0; its bias, if any, is added last. Columns beyond n and inputs beyond k are zero.

use rayon::prelude::*;

use super::isa::{Isa, Kernel};
use super::lines::{Activations, LANES, Line, lines_for, zeroed};
use super::math;
use crate::model::ModelError;
use crate::weights::Matrix;

/// Rows of the largest register tile: 6 × 2 accumulators, 2 weights and a broadcast fit the 16 registers of AVX2.
const TILE_ROWS: usize = 6;

/// Panels of a task of the thread pool, an even number (gate and up alternate).
const TASK_PANELS: usize = 2;

/// A packed matrix.
#[derive(Debug)]
pub(super) struct Panels {
    pub(super) lines: Vec<Line>,
    /// Inputs, padded to whole lines.
    pub(super) inputs: usize,
}

impl Panels {
    /// Zeros for that many outputs and inputs.
    pub(super) fn zeroed(outputs: usize, inputs: usize) -> Result<Panels, ModelError> {
        let inputs = lines_for(inputs) * LANES;
        let lines = lines_for(outputs)
            .checked_mul(inputs)
            .and_then(|lines| zeroed(lines).ok())
            .ok_or_else(|| {
                ModelError::Weights(format!(
                    "not enough memory for weights of {outputs} × {inputs}"
                ))
            })?;
        Ok(Panels { lines, inputs })
    }

    /// Packs a matrix: its row `r` becomes column `column(r)`, its column `c` input `input(c)`.
    pub(super) fn fill(
        &mut self,
        matrix: &Matrix,
        column: impl Fn(usize) -> usize,
        input: impl Fn(usize) -> usize,
    ) {
        for (row, values) in matrix.data.chunks_exact(matrix.columns).enumerate() {
            let column = column(row);
            let panel = &mut self.lines[column / LANES * self.inputs..][..self.inputs];
            for (index, &value) in values.iter().enumerate() {
                panel[input(index)].0[column % LANES] = value;
            }
        }
    }

    /// Weights of one output, as an embedding row: 16 inputs from `block × 16`.
    pub(super) fn column_block(&self, column: usize, block: usize) -> Line {
        let first = column / LANES * self.inputs + block * LANES;
        Line(std::array::from_fn(|input| self.lines[first + input].0[column % LANES]))
    }
}

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
pub(super) fn product(isa: Isa, x: Activations<'_>, linear: &Linear, then: Then, out: &mut [Line]) {
    let inputs = linear.panels.inputs;
    let outputs = if then == Then::SwiGlu { TASK_PANELS / 2 } else { TASK_PANELS };
    let bias = linear.bias.as_deref().unwrap_or_default();
    let weights = linear.panels.lines.par_chunks(TASK_PANELS * inputs);
    out.par_chunks_mut(outputs * x.rows).zip(weights).enumerate().for_each(
        |(task, (out, weights))| {
            let bias = bias.get(task * TASK_PANELS..).unwrap_or_default();
            isa.run(Chunk { x, weights, bias, inputs, then, out });
        },
    );
}

/// Some panels of a product.
struct Chunk<'a> {
    x: Activations<'a>,
    weights: &'a [Line],
    bias: &'a [Line],
    inputs: usize,
    then: Then,
    out: &'a mut [Line],
}

impl Kernel for Chunk<'_> {
    #[inline(always)]
    fn run(self) {
        let Chunk { x, weights, bias, inputs, then, out } = self;
        let bias = |panel: usize| bias.get(panel).copied();
        if then == Then::SwiGlu {
            for (panels, out) in weights.chunks_exact(2 * inputs).zip(out.chunks_exact_mut(x.rows))
            {
                let (gate, up) = panels.split_at(inputs);
                by_tiles(x.rows, &mut GatedTile { x, gate, up, out });
            }
        } else {
            for (index, (panel, out)) in
                weights.chunks_exact(inputs).zip(out.chunks_exact_mut(x.rows)).enumerate()
            {
                by_tiles(x.rows, &mut PlainTile { x, panel, bias: bias(index), then, out });
            }
        }
    }
}

/// Something done for a tile of R rows.
pub(super) trait RowTile {
    /// Does it for rows `first..first + R`.
    fn tile<const R: usize>(&mut self, first: usize);
}

/// Splits rows into tiles. How is free: a row's result does not depend on its tile.
#[inline(always)]
pub(super) fn by_tiles(rows: usize, work: &mut impl RowTile) {
    let mut first = 0;
    while first < rows {
        let left = rows - first;
        // 7 rows as 4 + 3: a tile of one row cannot fill the multipliers' pipeline.
        let tile = if left > TILE_ROWS && left < 2 * TILE_ROWS {
            left.div_ceil(2)
        } else {
            left.min(TILE_ROWS)
        };
        match tile {
            1 => work.tile::<1>(first),
            2 => work.tile::<2>(first),
            3 => work.tile::<3>(first),
            4 => work.tile::<4>(first),
            5 => work.tile::<5>(first),
            _ => work.tile::<TILE_ROWS>(first),
        }
        first += tile;
    }
}

/// Sixteen steps along k of a tile: `sums[r] += x[r][k] · weights[k]`.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // fixed bounds: LLVM keeps `sums` in registers
pub(super) fn accumulate<const R: usize>(
    sums: &mut [[f32; LANES]; R],
    x: [&Line; R],
    weights: &[Line],
) {
    for (k, weights) in weights.iter().enumerate() {
        for r in 0..R {
            for lane in 0..LANES {
                sums[r][lane] = x[r].0[k].mul_add(weights.0[lane], sums[r][lane]);
            }
        }
    }
}

/// A tile's sums over all of k.
#[inline(always)]
pub(super) fn tile_sums<const R: usize>(
    x: Activations<'_>,
    first: usize,
    panel: &[Line],
) -> [[f32; LANES]; R] {
    let mut sums = [[0.0; LANES]; R];
    let (blocks, _) = panel.as_chunks::<LANES>();
    for (block, weights) in blocks.iter().enumerate() {
        accumulate(&mut sums, std::array::from_fn(|r| x.line(first + r, block)), weights);
    }
    sums
}

struct PlainTile<'a> {
    x: Activations<'a>,
    panel: &'a [Line],
    bias: Option<Line>,
    then: Then,
    out: &'a mut [Line],
}

impl RowTile for PlainTile<'_> {
    #[inline(always)]
    fn tile<const R: usize>(&mut self, first: usize) {
        let sums = tile_sums::<R>(self.x, first, self.panel);
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

struct GatedTile<'a> {
    x: Activations<'a>,
    gate: &'a [Line],
    up: &'a [Line],
    out: &'a mut [Line],
}

impl RowTile for GatedTile<'_> {
    #[inline(always)]
    fn tile<const R: usize>(&mut self, first: usize) {
        let gates = tile_sums::<R>(self.x, first, self.gate);
        let ups = tile_sums::<R>(self.x, first, self.up);
        for ((gate, up), out) in gates.into_iter().zip(ups).zip(&mut self.out[first..first + R]) {
            *out = Line(gate).map(math::silu).zip(Line(up), |gate, up| gate * up);
        }
    }
}
