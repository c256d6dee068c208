//! Keys and values in pages of 16 positions, laid out as the panels that attention multiplies with.
//!
//! In eight bits, each key and each value of a head is rounded by itself, keys after they are turned: integers
//! round(x·(127/amax)), ties to even, and a scale amax/127 in f32.

use std::collections::TryReserveError;

use super::lines::{LANES, Line, lines_for};
use super::stored::{ByteLine, Cached, ShortLine, Stored};
use crate::model::{ModelError, PageCopy};

/// Tokens of a page: the lanes of a line.
pub(super) const PAGE_TOKENS: usize = LANES;

/// KV memory of all blocks, in one of the forms.
#[derive(Debug)]
pub(super) enum Cache {
    F32(Pages<Line>),
    /// Half the memory, and half the bytes that attention reads.
    Bf16(Pages<ShortLine>),
    /// Half of that again, and a scale for each vector.
    Int8(Pages<ByteLine>),
}

/// Does the same for whichever form.
macro_rules! with_pages {
    ($cache:expr, $pages:ident => $body:expr) => {
        match $cache {
            Cache::F32($pages) => $body,
            Cache::Bf16($pages) => $body,
            Cache::Int8($pages) => $body,
        }
    };
}
pub(super) use with_pages;

/// Form of keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KvFormat {
    F32,
    Bf16,
    Int8,
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
}

impl Cache {
    /// No pages yet.
    pub(super) fn new(layers: usize, shape: CacheShape, format: KvFormat) -> Cache {
        match format {
            KvFormat::F32 => Cache::F32(Pages::new(layers, shape)),
            KvFormat::Bf16 => Cache::Bf16(Pages::new(layers, shape)),
            KvFormat::Int8 => Cache::Int8(Pages::new(layers, shape)),
        }
    }

    /// Number of usable pages.
    pub(super) fn pages(&self) -> u32 {
        with_pages!(self, pages => pages.pages)
    }

    /// Bytes of a page, keys and values of all layers.
    pub(super) fn page_bytes(&self) -> usize {
        with_pages!(self, pages => pages.page_bytes())
    }

    /// Makes pages `0..pages` usable and keeps what those that were usable hold.
    pub(super) fn reserve(&mut self, count: u32) -> Result<(), ModelError> {
        with_pages!(self, pages => pages.reserve(count))
    }

    /// Copies the first positions of pages, in order. The copies have been checked.
    pub(super) fn copy_pages(&mut self, copies: &[PageCopy]) {
        with_pages!(self, pages => pages.copy(copies));
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
    /// `[page][kv head]` if the form is scaled, else empty.
    scales: Vec<Scales>,
}

/// What the keys and the values of one head and page are multiplied with; lanes are positions.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Scales {
    keys: Line,
    values: Line,
}

impl Scales {
    const ZERO: Scales = Scales { keys: Line::ZERO, values: Line::ZERO };
}

/// One page of a block, to be written.
#[derive(Debug)]
pub(super) struct PageMut<'a, L> {
    shape: CacheShape,
    keys: &'a mut [L],
    values: &'a mut [L],
    scales: &'a mut [Scales],
}

impl<L: Cached> Pages<L> {
    fn new(layers: usize, shape: CacheShape) -> Pages<L> {
        let layer =
            || LayerCache { shape, keys: Vec::new(), values: Vec::new(), scales: Vec::new() };
        Pages { layers: (0..layers).map(|_| layer()).collect(), shape, pages: 0 }
    }

    fn page_bytes(&self) -> usize {
        let lines = 2 * self.shape.page() * size_of::<L>();
        self.layers.len() * (lines + scales_of::<L>(self.shape) * size_of::<Scales>())
    }

    fn reserve(&mut self, pages: u32) -> Result<(), ModelError> {
        let page_bytes = self.page_bytes();
        let memory = || ModelError::Memory { pages, page_bytes };
        let count = |of_page: usize| (pages as usize).checked_mul(of_page).ok_or_else(memory);
        let (lines, scales) = (count(self.shape.page())?, count(scales_of::<L>(self.shape))?);
        for layer in &mut self.layers {
            let done = reserve(&mut layer.keys, lines)
                .and_then(|()| reserve(&mut layer.values, lines))
                .and_then(|()| reserve(&mut layer.scales, scales));
            done.map_err(|_| memory())?;
        }
        for layer in &mut self.layers {
            layer.keys.resize(lines.max(layer.keys.len()), L::ZERO);
            layer.values.resize(lines.max(layer.values.len()), L::ZERO);
            layer.scales.resize(scales.max(layer.scales.len()), Scales::ZERO);
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

/// Scales of a page of one block.
fn scales_of<L: Cached>(shape: CacheShape) -> usize {
    if L::SCALED { shape.kv_heads } else { 0 }
}

/// Asks for the memory of so many elements.
fn reserve<T>(buffer: &mut Vec<T>, count: usize) -> Result<(), TryReserveError> {
    buffer.try_reserve_exact(count.saturating_sub(buffer.len()))
}

impl<L: Cached> LayerCache<L> {
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

    /// Sums of products with a head's page of keys, each times the scale of its key if there is one.
    #[inline(always)]
    pub(super) fn scale_by_keys(&self, sums: Line, page: usize, head: usize) -> Line {
        match self.scales(page, head) {
            Some(scales) => sums.zip(scales.keys, |sum, scale| sum * scale),
            None => sums,
        }
    }

    /// Weights of a head's page of values, each times the scale of its value if there is one.
    #[inline(always)]
    pub(super) fn scale_by_values(&self, weights: Line, page: usize, head: usize) -> Line {
        match self.scales(page, head) {
            Some(scales) => weights.zip(scales.values, |weight, scale| weight * scale),
            None => weights,
        }
    }

    #[inline(always)]
    fn scales(&self, page: usize, head: usize) -> Option<&Scales> {
        L::SCALED.then(|| &self.scales[page * self.shape.kv_heads + head])
    }

    /// Those pages, to be written; their numbers ascend.
    pub(super) fn pages_mut(
        &mut self,
        pages: impl IntoIterator<Item = usize>,
    ) -> Vec<PageMut<'_, L>> {
        let shape = self.shape;
        let (lines, scales) = (shape.page(), scales_of::<L>(shape));
        let mut all_keys = self.keys.as_mut_slice();
        let mut all_values = self.values.as_mut_slice();
        let mut all_scales = self.scales.as_mut_slice();
        let mut passed = 0;
        let mut page = |page: usize| {
            let skipped = page - passed;
            passed = page + 1;
            PageMut {
                shape,
                keys: take(&mut all_keys, skipped, lines),
                values: take(&mut all_values, skipped, lines),
                scales: take(&mut all_scales, skipped, scales),
            }
        };
        pages.into_iter().map(&mut page).collect()
    }

    fn copy_page(&mut self, PageCopy { from, to, tokens }: PageCopy) {
        let (lines, scales) = (self.shape.page(), scales_of::<L>(self.shape));
        let [from, to] = [from, to].map(|page| page as usize);
        for line in 0..lines {
            let key = self.keys[from * lines + line];
            copy_lanes(&mut self.keys[to * lines + line], &key, tokens);
            if line % LANES < tokens {
                self.values[to * lines + line] = self.values[from * lines + line];
            }
        }
        for head in 0..scales {
            let Scales { keys, values } = self.scales[from * scales + head];
            let own = &mut self.scales[to * scales + head];
            copy_lanes(&mut own.keys, &keys, tokens);
            copy_lanes(&mut own.values, &values, tokens);
        }
    }
}

/// Takes a page of so many elements off the front, and what lies before it.
fn take<'a, T>(rest: &mut &'a mut [T], skipped: usize, elements: usize) -> &'a mut [T] {
    let (_, later) = std::mem::take(rest).split_at_mut(skipped * elements);
    let (page, later) = later.split_at_mut(elements);
    *rest = later;
    page
}

fn copy_lanes<L: Stored>(to: &mut L, from: &L, lanes: usize) {
    to.lanes_mut()[..lanes].copy_from_slice(&from.lanes()[..lanes]);
}

impl<L: Cached> PageMut<'_, L> {
    /// Stores a token's key and value of one head, each `head_lines` long.
    #[inline(always)]
    pub(super) fn store(&mut self, slot: usize, head: usize, key: &[Line], value: &[Line]) {
        let first = head * self.shape.head_page();
        let scales = [L::scale(key), L::scale(value)];
        let keys = self.keys[first..].as_chunks_mut::<LANES>().0;
        for (key, lines) in key.iter().zip(keys) {
            let key = L::quantise(key, scales[0]);
            for (line, &number) in lines.iter_mut().zip(key.lanes()) {
                line.lanes_mut()[slot] = number;
            }
        }
        for (block, value) in value.iter().enumerate() {
            self.values[first + block * LANES + slot] = L::quantise(value, scales[1]);
        }
        if L::SCALED {
            let own = &mut self.scales[head];
            [own.keys.0[slot], own.values.0[slot]] = scales.map(|scale| scale.scale);
        }
    }
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
