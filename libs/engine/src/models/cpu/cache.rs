//! Keys and values in pages of 16 positions, f32, laid out as the panels that attention multiplies with.

use super::lines::{LANES, Line, element, lines_for};
use crate::model::{ModelError, PageCopy};

/// Tokens of a page: the lanes of a line.
pub(super) const PAGE_TOKENS: usize = LANES;

/// KV memory of all blocks.
#[derive(Debug)]
pub(super) struct Cache {
    layers: Vec<LayerCache>,
    shape: CacheShape,
    pages: u32,
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

    /// Bytes of a page, keys and values of all layers.
    pub(super) fn page_bytes(self, layers: usize) -> usize {
        2 * layers * self.kv_heads * self.head_page() * size_of::<Line>()
    }
}

/// KV memory of one block.
#[derive(Debug, Default)]
pub(super) struct LayerCache {
    /// `[page][kv head][dimension]`, lanes are positions.
    keys: Vec<Line>,
    /// `[page][kv head][dimension / 16][position]`, lanes are dimensions.
    values: Vec<Line>,
}

impl Cache {
    pub(super) fn new(layers: usize, shape: CacheShape) -> Cache {
        Cache { layers: (0..layers).map(|_| LayerCache::default()).collect(), shape, pages: 0 }
    }

    /// Number of usable pages.
    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// Makes pages `0..pages` usable and keeps what those that were usable hold.
    pub(super) fn reserve(&mut self, pages: u32) -> Result<(), ModelError> {
        let page = self.shape.kv_heads * self.shape.head_page();
        let memory =
            || ModelError::Memory { pages, page_bytes: self.shape.page_bytes(self.layers.len()) };
        let lines = (pages as usize).checked_mul(page).ok_or_else(memory)?;
        let page_bytes = self.shape.page_bytes(self.layers.len());
        for layer in &mut self.layers {
            for lines_of in [&mut layer.keys, &mut layer.values] {
                let more = lines.saturating_sub(lines_of.len());
                lines_of
                    .try_reserve_exact(more)
                    .map_err(|_| ModelError::Memory { pages, page_bytes })?;
            }
        }
        for layer in &mut self.layers {
            for lines_of in [&mut layer.keys, &mut layer.values] {
                lines_of.resize(lines.max(lines_of.len()), Line::ZERO);
            }
        }
        self.pages = self.pages.max(pages);
        Ok(())
    }

    /// Copies the first positions of pages, in order. The copies have been checked.
    pub(super) fn copy_pages(&mut self, copies: &[PageCopy]) {
        let shape = self.shape;
        for layer in &mut self.layers {
            for copy in copies {
                layer.copy_page(shape, *copy);
            }
        }
    }

    /// One block's keys and values.
    pub(super) fn layer(&mut self, layer: usize) -> &mut LayerCache {
        &mut self.layers[layer]
    }
}

impl LayerCache {
    /// Keys of a head's page: one line per dimension.
    #[inline(always)]
    pub(super) fn keys(&self, shape: CacheShape, page: usize, head: usize) -> &[Line] {
        let first = (page * shape.kv_heads + head) * shape.head_page();
        &self.keys[first..][..shape.head_page()]
    }

    /// Values of a head's page and block of 16 dimensions: one line per position.
    #[inline(always)]
    pub(super) fn values(
        &self,
        shape: CacheShape,
        page: usize,
        head: usize,
        block: usize,
    ) -> &[Line] {
        let first = (page * shape.kv_heads + head) * shape.head_page() + block * LANES;
        &self.values[first..][..LANES]
    }

    /// Stores a token's key and value of one head, each `head_lines` long.
    pub(super) fn store(
        &mut self,
        shape: CacheShape,
        (page, slot): (usize, usize),
        head: usize,
        key: &[Line],
        value: &[Line],
    ) {
        let first = (page * shape.kv_heads + head) * shape.head_page();
        for (dimension, line) in self.keys[first..][..shape.head_page()].iter_mut().enumerate() {
            line.0[slot] = element(key, dimension);
        }
        for (block, line) in value.iter().enumerate() {
            self.values[first + block * LANES + slot] = *line;
        }
    }

    fn copy_page(&mut self, shape: CacheShape, copy: PageCopy) {
        let page = shape.kv_heads * shape.head_page();
        let (from, to) = (copy.from as usize * page, copy.to as usize * page);
        for line in 0..page {
            for slot in 0..copy.tokens {
                self.keys[to + line].0[slot] = self.keys[from + line].0[slot];
            }
            if line % LANES < copy.tokens {
                self.values[to + line] = self.values[from + line];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: CacheShape = CacheShape { kv_heads: 2, head_dim: 20 };

    fn cache() -> Cache {
        let mut cache = Cache::new(2, SHAPE);
        cache.reserve(3).expect("three small pages");
        cache
    }

    fn vector(seed: usize) -> [Line; 2] {
        [0, 1].map(|block| {
            Line(std::array::from_fn(|lane| (seed * 100 + block * LANES + lane) as f32))
        })
    }

    #[test]
    fn a_stored_token_is_found_in_both_layouts() {
        let mut cache = cache();
        cache.layer(1).store(SHAPE, (2, 5), 1, &vector(1), &vector(2));
        let layer = cache.layer(1);
        assert_eq!(layer.keys(SHAPE, 2, 1)[19].0[5], 119.0);
        assert_eq!(layer.values(SHAPE, 2, 1, 1)[5], vector(2)[1]);
        assert_eq!(layer.keys(SHAPE, 2, 0)[19].0[5], 0.0);
    }

    #[test]
    fn a_partial_copy_leaves_the_other_positions() {
        let mut cache = cache();
        for slot in 0..PAGE_TOKENS {
            cache.layer(0).store(SHAPE, (0, slot), 0, &vector(slot), &vector(slot));
        }
        cache.copy_pages(&[PageCopy { from: 0, to: 1, tokens: 7 }]);
        let layer = cache.layer(0);
        assert_eq!(layer.keys(SHAPE, 1, 0)[3].0[6], 603.0);
        assert_eq!(layer.keys(SHAPE, 1, 0)[3].0[7], 0.0);
        assert_eq!(layer.values(SHAPE, 1, 0, 1)[6], vector(6)[1]);
        assert_eq!(layer.values(SHAPE, 1, 0, 1)[7], Line::ZERO);
    }

    #[test]
    fn more_pages_than_memory_are_refused() {
        let mut cache = Cache::new(64, CacheShape { kv_heads: 1 << 16, head_dim: 1 << 12 });
        let error = cache.reserve(u32::MAX).expect_err("no machine has so much");
        assert!(matches!(error, ModelError::Memory { pages: u32::MAX, .. }), "{error}");
        assert_eq!(cache.pages(), 0);
    }

    #[test]
    fn a_second_reservation_keeps_what_the_first_holds() {
        let mut cache = cache();
        cache.layer(0).store(SHAPE, (2, 0), 0, &vector(4), &vector(4));
        cache.reserve(8).expect("eight small pages");
        assert_eq!(cache.pages(), 8);
        assert_eq!(cache.layer(0).keys(SHAPE, 2, 0)[1].0[0], 401.0);
    }
}
