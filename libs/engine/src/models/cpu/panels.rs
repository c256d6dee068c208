//! Packed weights: panels of 16 output columns, and the three kinds of elements they are made of.
//!
//! The lanes of a register are outputs, so one load of weights serves every row of a tile. Columns beyond n and inputs
//! beyond k are zero.

use super::groups::{Activation, GROUP, Group, Int4Group, Int8Group};
use super::isa::Isa;
use super::lines::{Activations, LANES, Line, lines_for};
use crate::model::ModelError;
use crate::weights::{Blocks, Matrix};

/// A packed matrix, `[n/16][k / inputs of an element]`.
#[derive(Debug)]
pub(super) struct Packed<E> {
    pub(super) elements: Vec<E>,
    /// Elements of a panel.
    pub(super) length: usize,
}

/// A packed matrix of whichever kind.
#[derive(Debug)]
pub(super) enum Panels {
    /// One line per input.
    F32(Packed<Line>),
    /// Four bits a weight.
    Int4(Packed<Int4Group>),
    /// Eight bits a weight.
    Int8(Packed<Int8Group>),
}

/// What a panel is made of: weights of 16 outputs for some inputs.
pub(super) trait Element: Copy + Send + Sync + 'static {
    /// What it is multiplied with.
    type Input<'a>: Rows + Copy + Sync;
    /// Inputs that an element has weights for.
    const INPUTS: usize;
    /// Rows of the largest register tile.
    const TILE_ROWS: usize;
    /// A tile's sums over a whole panel.
    fn tile_sums<const R: usize>(
        isa: Isa,
        x: Self::Input<'_>,
        first: usize,
        panel: &[Self],
    ) -> [[f32; LANES]; R];
}

/// Activations of a step's rows.
pub(super) trait Rows {
    /// Number of rows.
    fn rows(&self) -> usize;
}

/// Quantised activations, row-major.
#[derive(Clone, Copy)]
pub(super) struct Quantised<'a> {
    groups: &'a [Activation],
    rows: usize,
    /// Groups of a row.
    width: usize,
}

impl<'a> Quantised<'a> {
    pub(super) fn new(groups: &'a [Activation], rows: usize, width: usize) -> Quantised<'a> {
        Quantised { groups, rows, width }
    }

    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &'a [Activation] {
        &self.groups[row * self.width..][..self.width]
    }
}

impl Rows for Quantised<'_> {
    fn rows(&self) -> usize {
        self.rows
    }
}

impl Rows for Activations<'_> {
    fn rows(&self) -> usize {
        self.rows
    }
}

impl Element for Line {
    type Input<'a> = Activations<'a>;
    const INPUTS: usize = 1;
    /// 6 × 2 accumulators, 2 weights and a broadcast fit the 16 registers of AVX2.
    const TILE_ROWS: usize = 6;

    /// Each output is one chain of fused multiply-adds, k ascending from +0.
    #[inline(always)]
    fn tile_sums<const R: usize>(
        _isa: Isa,
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

/// Rows of a tile of quantised weights: 4 × 2 sums of integers, the weights' nibbles and a broadcast fit 16 registers.
const QUANTISED_TILE_ROWS: usize = 4;

#[inline(always)]
fn tile_rows<'a, const R: usize>(x: Quantised<'a>, first: usize) -> [&'a [Activation]; R] {
    std::array::from_fn(|r| x.row(first + r))
}

impl Element for Int4Group {
    type Input<'a> = Quantised<'a>;
    const INPUTS: usize = GROUP;
    const TILE_ROWS: usize = QUANTISED_TILE_ROWS;

    #[inline(always)]
    fn tile_sums<const R: usize>(
        isa: Isa,
        x: Quantised<'_>,
        first: usize,
        panel: &[Int4Group],
    ) -> [[f32; LANES]; R] {
        isa.int4_tile(panel, tile_rows(x, first))
    }
}

impl Element for Int8Group {
    type Input<'a> = Quantised<'a>;
    const INPUTS: usize = GROUP;
    const TILE_ROWS: usize = QUANTISED_TILE_ROWS;

    #[inline(always)]
    fn tile_sums<const R: usize>(
        isa: Isa,
        x: Quantised<'_>,
        first: usize,
        panel: &[Int8Group],
    ) -> [[f32; LANES]; R] {
        isa.int8_tile(panel, tile_rows(x, first))
    }
}

impl<E: Element> Packed<E> {
    fn inputs(&self) -> usize {
        self.length * E::INPUTS
    }

    /// Panels for that many outputs and elements of each, all `zero`.
    fn filled(outputs: usize, length: usize, zero: E) -> Result<Packed<E>, ModelError> {
        let memory = || {
            ModelError::Weights(format!("not enough memory for weights of {outputs} × {length}"))
        };
        let count = lines_for(outputs).checked_mul(length).ok_or_else(memory)?;
        let mut elements = Vec::new();
        elements.try_reserve_exact(count).map_err(|_| memory())?;
        elements.resize(count, zero);
        Ok(Packed { elements, length })
    }

    fn panel(&mut self, column: usize) -> &mut [E] {
        &mut self.elements[column / LANES * self.length..][..self.length]
    }
}

impl Packed<Line> {
    /// Zeros for that many outputs and inputs.
    pub(super) fn zeroed(outputs: usize, inputs: usize) -> Result<Packed<Line>, ModelError> {
        Packed::filled(outputs, lines_for(inputs) * LANES, Line::ZERO)
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
            let panel = self.panel(column);
            for (index, &value) in values.iter().enumerate() {
                panel[input(index)].0[column % LANES] = value;
            }
        }
    }
}

impl<G: Group + Element> Packed<G> {
    /// Zeros for that many outputs and inputs.
    pub(super) fn groups(outputs: usize, inputs: usize) -> Result<Packed<G>, ModelError> {
        Packed::filled(outputs, inputs / GROUP, G::ZERO)
    }

    /// Packs blocks: their row `r` becomes column `column(r)`. `false` if one of them does not fit the groups.
    #[must_use]
    pub(super) fn fill_blocks(&mut self, blocks: &Blocks, column: impl Fn(usize) -> usize) -> bool {
        let encoding = blocks.encoding();
        blocks.row_bytes().enumerate().all(|(row, bytes)| {
            let column = column(row);
            let blocks = bytes.chunks_exact(encoding.block_bytes());
            let mut groups = self.panel(column).iter_mut().zip(blocks);
            groups.all(|(group, block)| group.set(column % LANES, encoding, block))
        })
    }

    fn weights(&self, column: usize, block: usize) -> Line {
        let inputs = block * LANES;
        let group = &self.elements[column / LANES * self.length + inputs / GROUP];
        Line(std::array::from_fn(|input| group.weight(column % LANES, inputs % GROUP + input)))
    }
}

impl Panels {
    /// An f32 matrix as it is.
    pub(super) fn from_matrix(matrix: &Matrix) -> Result<Panels, ModelError> {
        let mut packed = Packed::zeroed(matrix.rows, matrix.columns)?;
        packed.fill(matrix, |row| row, |column| column);
        Ok(Panels::F32(packed))
    }

    /// Inputs, padded to whole lines.
    pub(super) fn inputs(&self) -> usize {
        match self {
            Panels::F32(packed) => packed.inputs(),
            Panels::Int4(packed) => packed.inputs(),
            Panels::Int8(packed) => packed.inputs(),
        }
    }

    /// Weights of one output, as an embedding row: 16 inputs from `block × 16`.
    pub(super) fn column_block(&self, column: usize, block: usize) -> Line {
        match self {
            Panels::F32(packed) => {
                let first = column / LANES * packed.length + block * LANES;
                let lines = &packed.elements[first..][..LANES];
                Line(std::array::from_fn(|input| lines[input].0[column % LANES]))
            }
            Panels::Int4(packed) => packed.weights(column, block),
            Panels::Int8(packed) => packed.weights(column, block),
        }
    }
}
