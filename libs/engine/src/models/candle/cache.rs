//! Paged keys and values as tensors: a page is 16 consecutive slots of a layer's pool.

use candle_core::{DType, Device, Result, Tensor};

use super::PAGE_TOKENS;
use crate::model::{PageCopy, Span};
use crate::weights::ModelConfig;

/// KV memory of all blocks.
pub(super) struct KvPool {
    /// Keys and values of each block, `[pages × 16][kv heads][head width]`; none before the first reservation.
    layers: Vec<(Tensor, Tensor)>,
    blocks: usize,
    slot: (usize, usize),
    device: Device,
    dtype: DType,
    pages: u32,
}

impl KvPool {
    pub(super) fn new(config: &ModelConfig, device: &Device, dtype: DType) -> KvPool {
        KvPool {
            layers: Vec::new(),
            blocks: config.layers,
            slot: (config.kv_heads, config.head_dim),
            device: device.clone(),
            dtype,
            pages: 0,
        }
    }

    /// Number of usable pages.
    pub(super) fn pages(&self) -> u32 {
        self.pages
    }

    /// Bytes of a page, keys and values of all blocks.
    pub(super) fn page_bytes(&self) -> usize {
        2 * self.blocks * PAGE_TOKENS * self.slot.0 * self.slot.1 * self.dtype.size_in_bytes()
    }

    /// Makes pages `0..pages` usable and keeps what those that were usable hold.
    pub(super) fn reserve(&mut self, pages: u32) -> Result<()> {
        if pages <= self.pages {
            return Ok(());
        }
        let shape = (pages as usize * PAGE_TOKENS, self.slot.0, self.slot.1);
        let mut layers = Vec::with_capacity(self.blocks);
        for layer in 0..self.blocks {
            let keys = Tensor::zeros(shape, self.dtype, &self.device)?;
            let values = Tensor::zeros(shape, self.dtype, &self.device)?;
            if let Some((old_keys, old_values)) = self.layers.get(layer) {
                keys.slice_set(old_keys, 0, 0)?;
                values.slice_set(old_values, 0, 0)?;
            }
            layers.push((keys, values));
        }
        self.layers = layers;
        self.pages = pages;
        Ok(())
    }

    /// Copies the first positions of pages, in order. The copies have been checked.
    pub(super) fn copy_pages(&self, copies: &[PageCopy]) -> Result<()> {
        for copy in copies.iter().filter(|copy| copy.tokens > 0) {
            let slots = self.slots(&[copy.from], copy.tokens)?;
            for (keys, values) in &self.layers {
                // `index_select` copies; `slice_set` refuses a view of what it writes.
                keys.slice_set(&keys.index_select(&slots, 0)?, 0, copy.to as usize * PAGE_TOKENS)?;
                values.slice_set(
                    &values.index_select(&slots, 0)?,
                    0,
                    copy.to as usize * PAGE_TOKENS,
                )?;
            }
        }
        Ok(())
    }

    /// Stores the keys and values, `[rows][kv heads][head width]`, of a span whose rows begin at `first_row`.
    pub(super) fn store(
        &self,
        layer: usize,
        span: &Span<'_>,
        first_row: usize,
        (keys, values): (&Tensor, &Tensor),
    ) -> Result<()> {
        let (pool_keys, pool_values) = &self.layers[layer];
        let mut row = 0;
        while row < span.rows {
            let position = span.first_position + row;
            let rows = (PAGE_TOKENS - position % PAGE_TOKENS).min(span.rows - row);
            let slot =
                span.pages[position / PAGE_TOKENS] as usize * PAGE_TOKENS + position % PAGE_TOKENS;
            pool_keys.slice_set(&keys.narrow(0, first_row + row, rows)?, 0, slot)?;
            pool_values.slice_set(&values.narrow(0, first_row + row, rows)?, 0, slot)?;
            row += rows;
        }
        Ok(())
    }

    /// Keys and values of positions `0..count` of a sequence, `[count][kv heads][head width]`.
    pub(super) fn gather(
        &self,
        layer: usize,
        pages: &[u32],
        count: usize,
    ) -> Result<(Tensor, Tensor)> {
        let slots = self.slots(pages, count)?;
        let (keys, values) = &self.layers[layer];
        Ok((keys.index_select(&slots, 0)?, values.index_select(&slots, 0)?))
    }

    fn slots(&self, pages: &[u32], count: usize) -> Result<Tensor> {
        let slot = |position: usize| {
            i64::from(pages[position / PAGE_TOKENS]) * PAGE_TOKENS as i64
                + (position % PAGE_TOKENS) as i64
        };
        Tensor::from_iter((0..count).map(slot), &self.device)
    }
}
