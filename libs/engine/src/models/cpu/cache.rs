//! Keys and values in pages of 16 positions, laid out as the panels that attention multiplies with.

use super::lines::{LANES, Line, element, lines_for};
use crate::model::{ModelError, PageCopy};

/// Tokens of a page: the lanes of a line.
pub(super) const PAGE_TOKENS: usize = LANES;

/// KV memory of all blocks, in one of the precisions.
#[derive(Debug)]
pub(super) enum Cache {
    F32(Pages<Line>),
    /// Half the memory, and half the bytes that attention reads.
    Bf16(Pages<ShortLine>),
}

/// Precision of keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KvPrecision {
    F32,
    Bf16,
}

/// Sixteen numbers of the cache.
pub(super) trait Stored: Copy + Send + Sync + std::fmt::Debug {
    /// All zero.
    const ZERO: Self;
    /// In f32.
    fn widen(&self) -> Line;
    /// Puts a number into a lane, rounded to what is stored.
    fn set(&mut self, lane: usize, value: f32);
    /// Copies the first lanes of another.
    fn copy_lanes(&mut self, from: Self, lanes: usize);
    /// All lanes, rounded to what is stored.
    fn narrow(line: &Line) -> Self;
}

impl Stored for Line {
    const ZERO: Line = Line::ZERO;

    #[inline(always)]
    fn widen(&self) -> Line {
        *self
    }

    #[inline(always)]
    fn set(&mut self, lane: usize, value: f32) {
        self.0[lane] = value;
    }

    fn copy_lanes(&mut self, from: Line, lanes: usize) {
        self.0[..lanes].copy_from_slice(&from.0[..lanes]);
    }

    #[inline(always)]
    fn narrow(line: &Line) -> Line {
        *line
    }
}

/// Sixteen bfloat16: the upper halves of f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(32))]
pub(super) struct ShortLine([u16; LANES]);

impl Stored for ShortLine {
    const ZERO: ShortLine = ShortLine([0; LANES]);

    #[inline(always)]
    fn widen(&self) -> Line {
        let mut line = Line::ZERO;
        for (wide, &short) in line.0.iter_mut().zip(&self.0) {
            *wide = f32::from_bits(u32::from(short) << 16);
        }
        line
    }

    #[inline(always)]
    fn set(&mut self, lane: usize, value: f32) {
        self.0[lane] = bf16(value);
    }

    fn copy_lanes(&mut self, from: ShortLine, lanes: usize) {
        self.0[..lanes].copy_from_slice(&from.0[..lanes]);
    }

    #[inline(always)]
    fn narrow(line: &Line) -> ShortLine {
        let mut short = ShortLine::ZERO;
        for (short, &wide) in short.0.iter_mut().zip(&line.0) {
            *short = bf16(wide);
        }
        short
    }
}

/// Rounds to the nearest bfloat16, ties to even; a NaN stays one.
#[inline(always)]
fn bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    // Quiet, so that it does not become an infinity where its upper half is empty.
    let nan = (bits >> 16) as u16 | 0x40;
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    if value.is_nan() { nan } else { rounded }
}

/// Sizes that decide where an element lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct CacheShape {
    pub(super) kv_heads: usize,
    /// Width of a head.
    pub(super) head_dim: usize,
}

impl CacheShape {
    /// Lines of a head's row.
    pub(super) fn head_lines(self) -> usize {
        lines_for(self.head_dim)
    }

    /// Lines that the keys, or the values, of one head and page take.
    fn head_page(self) -> usize {
        self.head_lines() * LANES
    }

    /// Lines that the keys, or the values, of all heads and one page take.
    fn page(self) -> usize {
        self.kv_heads * self.head_page()
    }

    /// Bytes of a page, keys and values of all layers.
    pub(super) fn page_bytes(self, layers: usize, precision: KvPrecision) -> usize {
        let line = match precision {
            KvPrecision::F32 => size_of::<Line>(),
            KvPrecision::Bf16 => size_of::<ShortLine>(),
        };
        2 * layers * self.page() * line
    }
}

impl Cache {
    /// No pages yet.
    pub(super) fn new(layers: usize, shape: CacheShape, precision: KvPrecision) -> Cache {
        match precision {
            KvPrecision::F32 => Cache::F32(Pages::new(layers, shape)),
            KvPrecision::Bf16 => Cache::Bf16(Pages::new(layers, shape)),
        }
    }

    /// Number of usable pages.
    pub(super) fn pages(&self) -> u32 {
        match self {
            Cache::F32(pages) => pages.pages,
            Cache::Bf16(pages) => pages.pages,
        }
    }

    /// Makes pages `0..pages` usable and keeps what those that were usable hold.
    pub(super) fn reserve(&mut self, count: u32) -> Result<(), ModelError> {
        match self {
            Cache::F32(pages) => pages.reserve(count),
            Cache::Bf16(pages) => pages.reserve(count),
        }
    }

    /// Copies the first positions of pages, in order. The copies have been checked.
    pub(super) fn copy_pages(&mut self, copies: &[PageCopy]) {
        match self {
            Cache::F32(pages) => pages.copy(copies),
            Cache::Bf16(pages) => pages.copy(copies),
        }
    }
}

/// KV memory of all blocks.
#[derive(Debug)]
pub(super) struct Pages<L> {
    layers: Vec<LayerCache<L>>,
    shape: CacheShape,
    pages: u32,
}

/// KV memory of one block.
#[derive(Debug)]
pub(super) struct LayerCache<L> {
    shape: CacheShape,
    /// `[page][kv head][dimension]`, lanes are positions.
    keys: Vec<L>,
    /// `[page][kv head][dimension / 16][position]`, lanes are dimensions.
    values: Vec<L>,
}

/// One page of a block, to be written.
#[derive(Debug)]
pub(super) struct PageMut<'a, L> {
    shape: CacheShape,
    keys: &'a mut [L],
    values: &'a mut [L],
}

impl<L: Stored> Pages<L> {
    fn new(layers: usize, shape: CacheShape) -> Pages<L> {
        let layer = || LayerCache { shape, keys: Vec::new(), values: Vec::new() };
        Pages { layers: (0..layers).map(|_| layer()).collect(), shape, pages: 0 }
    }

    fn reserve(&mut self, pages: u32) -> Result<(), ModelError> {
        let line = size_of::<L>();
        let page_bytes = 2 * self.layers.len() * self.shape.page() * line;
        let memory = || ModelError::Memory { pages, page_bytes };
        let lines = (pages as usize).checked_mul(self.shape.page()).ok_or_else(memory)?;
        for layer in &mut self.layers {
            for lines_of in [&mut layer.keys, &mut layer.values] {
                let more = lines.saturating_sub(lines_of.len());
                lines_of.try_reserve_exact(more).map_err(|_| memory())?;
            }
        }
        for layer in &mut self.layers {
            for lines_of in [&mut layer.keys, &mut layer.values] {
                lines_of.resize(lines.max(lines_of.len()), L::ZERO);
            }
        }
        self.pages = self.pages.max(pages);
        Ok(())
    }

    fn copy(&mut self, copies: &[PageCopy]) {
        for layer in &mut self.layers {
            for copy in copies {
                layer.copy_page(*copy);
            }
        }
    }

    /// One block's keys and values.
    pub(super) fn layer(&mut self, layer: usize) -> &mut LayerCache<L> {
        &mut self.layers[layer]
    }
}

impl<L: Stored> LayerCache<L> {
    /// Keys of a head's page: one line per dimension.
    #[inline(always)]
    pub(super) fn keys(&self, page: usize, head: usize) -> &[L] {
        let first = (page * self.shape.kv_heads + head) * self.shape.head_page();
        &self.keys[first..][..self.shape.head_page()]
    }

    /// Values of a head's page and block of 16 dimensions: one line per position.
    #[inline(always)]
    pub(super) fn values(&self, page: usize, head: usize, block: usize) -> &[L; PAGE_TOKENS] {
        let blocks = self.values.as_chunks::<PAGE_TOKENS>().0;
        &blocks[(page * self.shape.kv_heads + head) * self.shape.head_lines() + block]
    }

    /// Those pages, to be written; their numbers ascend.
    pub(super) fn pages_mut(
        &mut self,
        pages: impl IntoIterator<Item = usize>,
    ) -> Vec<PageMut<'_, L>> {
        let (shape, size) = (self.shape, self.shape.page());
        let (mut keys, mut values) = (self.keys.as_mut_slice(), self.values.as_mut_slice());
        let mut passed = 0;
        let mut all = Vec::new();
        for page in pages {
            let skipped = (page - passed) * size;
            let (own_keys, other_keys) = keys.split_at_mut(skipped).1.split_at_mut(size);
            let (own_values, other_values) = values.split_at_mut(skipped).1.split_at_mut(size);
            all.push(PageMut { shape, keys: own_keys, values: own_values });
            (keys, values, passed) = (other_keys, other_values, page + 1);
        }
        all
    }

    fn copy_page(&mut self, copy: PageCopy) {
        let page = self.shape.page();
        let (from, to) = (copy.from as usize * page, copy.to as usize * page);
        for line in 0..page {
            let key = self.keys[from + line];
            self.keys[to + line].copy_lanes(key, copy.tokens);
            if line % LANES < copy.tokens {
                self.values[to + line] = self.values[from + line];
            }
        }
    }
}

impl<L: Stored> PageMut<'_, L> {
    /// Stores a token's key and value of one head, each `head_lines` long.
    #[inline(always)]
    pub(super) fn store(&mut self, slot: usize, head: usize, key: &[Line], value: &[Line]) {
        let first = head * self.shape.head_page();
        for (dimension, line) in self.keys[first..][..self.shape.head_page()].iter_mut().enumerate()
        {
            line.set(slot, element(key, dimension));
        }
        for (block, line) in value.iter().enumerate() {
            self.values[first + block * LANES + slot] = L::narrow(line);
        }
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
