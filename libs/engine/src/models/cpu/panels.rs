//! Packed weights: panels of 16 output columns, and the kinds of elements they are made of.
//!
//! The lanes of a register are outputs, so one load of weights serves every row of a tile. Columns beyond n and inputs
//! beyond k are zero.

use super::groups::{Activation, GROUP, Group, Half, Int4Group, Int8Group, WideInt8Group};
use super::isa::{Arena, Cores, Isa, Plain, Slab, bytes_mut};
use super::lines::{Activations, LANES, Line, lines_for};
use super::operand::{Operand, OperandBuffers};
use super::packed::Kind;
use super::stored::{Float, ShortLine, Stored};
use crate::model::ModelError;
use crate::weights::{IntegerGroup, Matrix};

/// A packed matrix, `[n/16][k / inputs of an element]`.
#[derive(Debug)]
pub(super) struct Packed<E> {
    pub(super) elements: Slab<E>,
    /// Elements of a panel.
    pub(super) length: usize,
}

/// A packed matrix of whichever kind.
#[derive(Debug)]
pub(super) enum Panels {
    /// One line per input.
    F32(Packed<Line>),
    /// The same in half the memory; products are those of f32.
    Bf16(Packed<ShortLine>),
    /// Four bits a weight, scales and minima in half precision.
    Int4(Packed<Int4Group<Half>>),
    /// Four bits a weight, scales and minima in single precision.
    WideInt4(Packed<Int4Group<f32>>),
    /// Eight bits a weight, one scale in half precision.
    Int8(Packed<Int8Group>),
    /// Eight bits a weight, two scales and a minimum.
    WideInt8(Packed<WideInt8Group>),
}

/// Does the same for whichever kind of panels.
macro_rules! with_packed {
    ($panels:expr, $packed:ident => $body:expr) => {
        match $panels {
            Panels::F32($packed) => $body,
            Panels::Bf16($packed) => $body,
            Panels::Int4($packed) => $body,
            Panels::WideInt4($packed) => $body,
            Panels::Int8($packed) => $body,
            Panels::WideInt8($packed) => $body,
        }
    };
}
pub(super) use with_packed;

/// What a panel is made of: weights of 16 outputs for some inputs.
pub(super) trait Element: Plain {
    /// What it is multiplied with.
    type Input<'a>: Rows + Copy + Sync;
    /// Inputs that an element has weights for.
    const INPUTS: usize;
    /// Bytes of those inputs of a row.
    const INPUT_BYTES: usize;
    /// Rows of the largest register tile.
    fn tile_rows(isa: Isa) -> usize;
    /// A product's left side in that form.
    fn input<'a>(
        x: Operand<'a>,
        cores: Cores<'_>,
        packed: &Packed<Self>,
        buffers: &'a mut OperandBuffers,
    ) -> Self::Input<'a>;
    /// The weights of one output for 16 inputs from `block × 16`.
    fn weights(packed: &Packed<Self>, column: usize, block: usize) -> Line;
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

impl<L: Float + Plain> Element for L {
    type Input<'a> = Activations<'a>;
    const INPUTS: usize = 1;
    const INPUT_BYTES: usize = size_of::<f32>();

    fn input<'a>(
        x: Operand<'a>,
        cores: Cores<'_>,
        _packed: &Packed<L>,
        buffers: &'a mut OperandBuffers,
    ) -> Activations<'a> {
        x.lines(cores, buffers)
    }

    fn tile_rows(_isa: Isa) -> usize {
        LINE_TILE_ROWS
    }

    fn weights(packed: &Packed<L>, column: usize, block: usize) -> Line {
        let first = column / LANES * packed.length + block * LANES;
        let lines = &packed.elements[first..][..LANES];
        Line(std::array::from_fn(|input| lines[input].widen().0[column % LANES]))
    }

    /// Each output is one chain of fused multiply-adds, k ascending from +0.
    #[inline(always)]
    fn tile_sums<const R: usize>(
        _isa: Isa,
        x: Activations<'_>,
        first: usize,
        panel: &[L],
    ) -> [[f32; LANES]; R] {
        let mut sums = [[0.0; LANES]; R];
        let (blocks, _) = panel.as_chunks::<LANES>();
        for (block, weights) in blocks.iter().enumerate() {
            accumulate(&mut sums, std::array::from_fn(|r| x.line(first + r, block)), weights);
        }
        sums
    }
}

/// 6 × 2 accumulators, 2 weights and a broadcast fit the 16 registers of AVX2.
pub(super) const LINE_TILE_ROWS: usize = 6;

/// Sixteen steps along k of a tile: `sums[r] += x[r][k] · weights[k]`.
#[inline(always)]
#[allow(clippy::needless_range_loop)] // fixed bounds: LLVM keeps `sums` in registers
pub(super) fn accumulate<const R: usize, L: Stored>(
    sums: &mut [[f32; LANES]; R],
    x: [&Line; R],
    weights: &[L],
) {
    for (k, weights) in weights.iter().enumerate() {
        let weights = weights.widen();
        for r in 0..R {
            for lane in 0..LANES {
                sums[r][lane] = x[r].0[k].mul_add(weights.0[lane], sums[r][lane]);
            }
        }
    }
}

#[inline(always)]
fn rows_of<'a, const R: usize>(x: Quantised<'a>, first: usize) -> [&'a [Activation]; R] {
    std::array::from_fn(|r| x.row(first + r))
}

macro_rules! element_of_groups {
    ($group:ty, $tile:ident) => {
        impl Element for $group {
            type Input<'a> = Quantised<'a>;
            const INPUTS: usize = GROUP;
            const INPUT_BYTES: usize = size_of::<Activation>();

            fn input<'a>(
                x: Operand<'a>,
                cores: Cores<'_>,
                packed: &Packed<$group>,
                buffers: &'a mut OperandBuffers,
            ) -> Quantised<'a> {
                x.quantised(cores, packed.length, buffers)
            }

            fn tile_rows(isa: Isa) -> usize {
                isa.quantised_tile_rows()
            }

            fn weights(packed: &Packed<$group>, column: usize, block: usize) -> Line {
                let inputs = block * LANES;
                let index = column / LANES * packed.length + inputs / GROUP;
                let group = &packed.elements[index];
                let weight = |input| group.weight(column % LANES, inputs % GROUP + input);
                Line(std::array::from_fn(weight))
            }

            #[inline(always)]
            fn tile_sums<const R: usize>(
                isa: Isa,
                x: Quantised<'_>,
                first: usize,
                panel: &[$group],
            ) -> [[f32; LANES]; R] {
                isa.$tile(panel, rows_of(x, first))
            }
        }
    };
}

element_of_groups!(Int4Group<Half>, int4_tile);
element_of_groups!(Int4Group<f32>, int4_tile);
element_of_groups!(Int8Group, int8_tile);
element_of_groups!(WideInt8Group, wide_int8_tile);

impl<E: Element> Packed<E> {
    fn inputs(&self) -> usize {
        self.length * E::INPUTS
    }

    /// Zeros, panels for that many outputs and elements of each.
    fn zeros(arena: &Arena, outputs: usize, length: usize) -> Result<Packed<E>, ModelError> {
        let count = lines_for(outputs).checked_mul(length);
        let elements = count.and_then(|count| arena.zeroed(count)).ok_or_else(|| {
            ModelError::Weights(format!("not enough memory for weights of {outputs} × {length}"))
        })?;
        Ok(Packed { elements, length })
    }

    fn panel(&mut self, column: usize) -> &mut [E] {
        &mut self.elements[column / LANES * self.length..][..self.length]
    }
}

impl<L: Float + Element> Packed<L> {
    /// Zeros for that many outputs and inputs.
    pub(super) fn zeroed(
        arena: &Arena,
        outputs: usize,
        inputs: usize,
    ) -> Result<Packed<L>, ModelError> {
        Packed::zeros(arena, outputs, lines_for(inputs) * LANES)
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
                panel[input(index)].lanes_mut()[column % LANES] = L::round(value);
            }
        }
    }
}

impl<G: Group + Element> Packed<G> {
    /// Zeros for that many outputs and inputs.
    pub(super) fn groups(
        arena: &Arena,
        outputs: usize,
        inputs: usize,
    ) -> Result<Packed<G>, ModelError> {
        Packed::zeros(arena, outputs, inputs / GROUP)
    }

    /// Packs one row's groups as a column; `false` if one of them does not fit this form.
    #[must_use]
    pub(super) fn fill_column(
        &mut self,
        column: usize,
        groups: impl Iterator<Item = IntegerGroup>,
    ) -> bool {
        let mut pairs = self.panel(column).iter_mut().zip(groups);
        pairs.all(|(group, weights)| group.set(column % LANES, &weights))
    }
}

impl Panels {
    /// Kind and bytes, as a file has them.
    pub(super) fn section_mut(&mut self) -> (Kind, &mut [u8]) {
        let kind = match self {
            Panels::F32(_) => Kind::F32,
            Panels::Bf16(_) => Kind::Bf16,
            Panels::Int4(_) => Kind::Int4,
            Panels::WideInt4(_) => Kind::WideInt4,
            Panels::Int8(_) => Kind::Int8,
            Panels::WideInt8(_) => Kind::WideInt8,
        };
        (kind, with_packed!(self, packed => bytes_mut(&mut packed.elements)))
    }

    /// Inputs, padded to whole lines.
    pub(super) fn inputs(&self) -> usize {
        with_packed!(self, packed => packed.inputs())
    }

    /// Weights of one output, as an embedding row: 16 inputs from `block × 16`.
    pub(super) fn column_block(&self, column: usize, block: usize) -> Line {
        with_packed!(self, packed => Element::weights(packed, column, block))
    }
}
