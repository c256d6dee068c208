//! What a product multiplies: rows as they are or normed first, in whichever form the weights take.

use super::groups::{Activation, GROUP};
use super::isa::{Cores, Kernel};
use super::lines::{Activations, LANES, Line, grow};
use super::norm::Norm;
use super::panels::Quantised;
use crate::model::ModelError;

/// Rows of a task of the thread pool: so few take less time than another thread needs to come and help.
const TASK_ROWS: usize = 4;

/// Left side of a product.
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    /// Rows as they are.
    Rows(Activations<'a>),
    /// Some rows, normed.
    Normed { norm: &'a Norm, x: Activations<'a>, rows: &'a [usize] },
}

/// Memory for a product's operand.
#[derive(Debug, Default)]
pub(super) struct OperandBuffers {
    /// Row-major.
    normed: Vec<Line>,
    /// Row-major.
    quantised: Vec<Activation>,
}

impl OperandBuffers {
    /// Makes them large enough for so many rows, normed ones of `normed` lines and any of `widest`.
    pub(super) fn grow(
        &mut self,
        rows: usize,
        normed: usize,
        widest: usize,
    ) -> Result<(), ModelError> {
        grow(&mut self.normed, rows * normed, Line::ZERO)?;
        grow(&mut self.quantised, rows * (widest * LANES).div_ceil(GROUP), Activation::ZERO)
    }
}

impl<'a> Operand<'a> {
    /// In f32.
    pub(super) fn lines<'b>(
        self,
        cores: Cores<'_>,
        buffers: &'b mut OperandBuffers,
    ) -> Activations<'b>
    where
        'a: 'b,
    {
        let (norm, x, rows) = match self {
            Operand::Rows(x) => return x,
            Operand::Normed { norm, x, rows } => (norm, x, rows),
        };
        let width = norm.weight.len();
        let normed = &mut buffers.normed[..rows.len() * width];
        let tasks = normed.chunks_mut(TASK_ROWS * width).zip(rows.chunks(TASK_ROWS)).collect();
        cores.pool.for_each(tasks, |(normed, rows)| {
            cores.isa.run(NormRows { norm, x, rows, normed });
        });
        Activations::row_major(normed, rows.len(), width)
    }

    /// In groups of 32, `width` of them a row.
    pub(super) fn quantised<'b>(
        self,
        cores: Cores<'_>,
        width: usize,
        buffers: &'b mut OperandBuffers,
    ) -> Quantised<'b> {
        let OperandBuffers { normed, quantised } = buffers;
        match self {
            Operand::Rows(x) => {
                let groups = &mut quantised[..x.rows * width];
                let tasks = groups.chunks_mut(TASK_ROWS * width).enumerate().collect();
                cores.pool.for_each(tasks, |(task, out)| {
                    cores.isa.run(QuantiseRows { x, first: task * TASK_ROWS, width, out });
                });
                Quantised::new(groups, x.rows, width)
            }
            Operand::Normed { norm, x, rows } => {
                let groups = &mut quantised[..rows.len() * width];
                let lines = norm.weight.len();
                let tasks = groups.chunks_mut(TASK_ROWS * width);
                let tasks = tasks.zip(normed.chunks_mut(TASK_ROWS * lines));
                let tasks = tasks.zip(rows.chunks(TASK_ROWS)).collect();
                cores.pool.for_each(tasks, |((out, normed), rows)| {
                    let normed = &mut normed[..rows.len() * lines];
                    cores.isa.run(NormRows { norm, x, rows, normed });
                    let x = Activations::row_major(normed, rows.len(), lines);
                    cores.isa.run(QuantiseRows { x, first: 0, width, out });
                });
                Quantised::new(groups, rows.len(), width)
            }
        }
    }
}

struct NormRows<'a> {
    norm: &'a Norm,
    x: Activations<'a>,
    rows: &'a [usize],
    normed: &'a mut [Line],
}

impl Kernel for NormRows<'_> {
    #[inline(always)]
    fn run(self) {
        let width = self.norm.weight.len();
        for (&row, normed) in self.rows.iter().zip(self.normed.chunks_exact_mut(width)) {
            self.norm.apply(self.x, row, normed);
        }
    }
}

struct QuantiseRows<'a> {
    x: Activations<'a>,
    first: usize,
    width: usize,
    out: &'a mut [Activation],
}

impl Kernel for QuantiseRows<'_> {
    #[inline(always)]
    fn run(self) {
        const LINES: usize = GROUP / LANES;
        for (row, groups) in self.out.chunks_exact_mut(self.width).enumerate() {
            for (index, group) in groups.iter_mut().enumerate() {
                let line = |part| &self.x.line(self.first + row, index * LINES + part).0;
                *group = Activation::quantise(std::array::from_fn(line));
            }
        }
    }
}
