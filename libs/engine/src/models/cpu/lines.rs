//! [`Line`], the 16 lanes that all data of the executor is made of, and reductions over rows of them.

use crate::model::ModelError;

/// Lanes of a line.
pub(super) const LANES: usize = 16;

/// Sixteen floats, one cache line.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [f32; LANES]);

impl Line {
    pub(super) const ZERO: Line = Line([0.0; LANES]);

    /// Lane by lane.
    #[inline(always)]
    pub(super) fn map(self, f: impl Fn(f32) -> f32) -> Line {
        let mut out = self;
        for lane in 0..LANES {
            out.0[lane] = f(self.0[lane]);
        }
        out
    }

    /// Lane by lane with another line.
    #[inline(always)]
    pub(super) fn zip(self, other: Line, f: impl Fn(f32, f32) -> f32) -> Line {
        let mut out = self;
        for lane in 0..LANES {
            out.0[lane] = f(self.0[lane], other.0[lane]);
        }
        out
    }

    /// Combines the lanes in the fixed tree of the written order: lane i with i + 8, then + 4, + 2, + 1.
    #[inline(always)]
    pub(super) fn reduce(self, f: impl Fn(f32, f32) -> f32) -> f32 {
        let mut lanes = self.0;
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                lanes[lane] = f(lanes[lane], lanes[lane + half]);
            }
            half /= 2;
        }
        lanes[0]
    }
}

/// Lines that hold `elements` floats.
pub(super) const fn lines_for(elements: usize) -> usize {
    elements.div_ceil(LANES)
}

/// Element `index` of consecutive lines.
#[inline(always)]
pub(super) fn element(lines: &[Line], index: usize) -> f32 {
    lines[index / LANES].0[index % LANES]
}

/// The largest absolute value; infinity or NaN where there is one.
#[inline(always)]
pub(super) fn largest<'a>(lines: impl IntoIterator<Item = &'a [f32; LANES]>) -> f32 {
    // Without their signs, floats order as integers do, infinity and NaN last.
    let mut sizes = [0; LANES];
    for line in lines {
        for (size, value) in sizes.iter_mut().zip(line) {
            *size = (value.to_bits() & 0x7fff_ffff).max(*size);
        }
    }
    f32::from_bits(sizes.into_iter().fold(0, u32::max))
}

/// A zeroed buffer whose allocation may fail.
pub(super) fn zeroed(lines: usize) -> Result<Vec<Line>, std::collections::TryReserveError> {
    let mut buffer = Vec::new();
    buffer.try_reserve_exact(lines)?;
    buffer.resize(lines, Line::ZERO);
    Ok(buffer)
}

/// Makes scratch memory hold at least `count` elements; what it held is lost only where the caller overwrites it.
pub(super) fn grow<T: Clone>(buffer: &mut Vec<T>, count: usize, zero: T) -> Result<(), ModelError> {
    if let Some(more) = count.checked_sub(buffer.len()) {
        buffer.try_reserve_exact(more).map_err(|_| {
            ModelError::Device(format!("out of memory: {count} times {} bytes", size_of::<T>()))
        })?;
        buffer.resize(count, zero);
    }
    Ok(())
}

/// Lines from one block to the next of panel-major activations of so many rows. An odd number: with 64 rows a row's blocks
/// would lie 4 KiB apart, and all be kept in the same few places of the cache.
pub(super) fn panel_stride(rows: usize) -> usize {
    rows | 1
}

/// Activations of a step, read by a product: line `block` of row `row` is at `row × row_stride + block × block_stride`.
///
/// Products write *panel-major* (`[block][row]`), so that threads that own different panels own different memory;
/// what runs row by row (norms, attention) writes *row-major* (`[row][block]`).
#[derive(Clone, Copy)]
pub(super) struct Activations<'a> {
    lines: &'a [Line],
    pub(super) rows: usize,
    row_stride: usize,
    block_stride: usize,
}

impl<'a> Activations<'a> {
    /// `[block][row]`, blocks [`panel_stride`] apart.
    pub(super) fn panel_major(lines: &'a [Line], rows: usize) -> Activations<'a> {
        Activations { lines, rows, row_stride: 1, block_stride: panel_stride(rows) }
    }

    /// `[row][block]` with `blocks` lines a row.
    pub(super) fn row_major(lines: &'a [Line], rows: usize, blocks: usize) -> Activations<'a> {
        Activations { lines, rows, row_stride: blocks, block_stride: 1 }
    }

    /// Line `block` of row `row`.
    #[inline(always)]
    pub(super) fn line(&self, row: usize, block: usize) -> &'a Line {
        &self.lines[row * self.row_stride + block * self.block_stride]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_are_combined_in_the_fixed_tree() {
        let mut line = Line::ZERO;
        // 1e8 + 1 loses the 1 in f32, so the result shows the order: (0 + 8), (4 + 12) first.
        line.0[0] = 1e8;
        line.0[8] = -1e8;
        line.0[4] = 1.0;
        line.0[12] = 0.0;
        assert_eq!(line.reduce(|a, b| a + b), 1.0);
        line.0[8] = 1.0;
        line.0[4] = -1e8;
        assert_eq!(line.reduce(|a, b| a + b), 0.0);
    }

    #[test]
    fn both_layouts_find_the_same_element() {
        let number = |row: usize, block: usize| Line([(row * 10 + block) as f32; LANES]);
        let by_panel: Vec<Line> = (0..9).map(|i| number(i % 3, i / 3)).collect();
        let by_row: Vec<Line> = (0..6).map(|i| number(i / 3, i % 3)).collect();
        for (row, block) in [(0, 0), (1, 0), (0, 2), (1, 2)] {
            assert_eq!(
                Activations::panel_major(&by_panel, 2).line(row, block),
                &number(row, block)
            );
            assert_eq!(Activations::row_major(&by_row, 2, 3).line(row, block), &number(row, block));
        }
    }
}
