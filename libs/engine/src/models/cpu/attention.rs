//! Attention over paged keys and values: two-pass softmax, partitioned by absolute position.
//!
//! A query's result depends on its position and on what the cache holds before it, and on nothing else: scores are
//! chains over dimensions, the sum of exponentials runs in 16 lanes (lane = position mod 16), and values are added in
//! ascending position. So a decode step at p equals a prefill of p + 1 tokens, bit for bit.

use std::sync::Mutex;

use super::cache::{CacheShape, LayerCache, PAGE_TOKENS};
use super::isa::{Cores, Kernel};
use super::lines::{Activations, LANES, Line};
use super::math;
use super::panels::{Element, accumulate};
use super::product::{RowTile, by_tiles};
use super::rope::Rope;
use crate::model::Span;

/// Rows of a task of the thread pool: they read the same keys and values while those are in the cache.
const TASK_ROWS: usize = 12;

/// Attention of one block for one step.
#[derive(Clone, Copy)]
pub(super) struct Attention<'a> {
    pub(super) cores: Cores<'a>,
    pub(super) shape: CacheShape,
    /// Query heads that share a key and value head.
    pub(super) group: usize,
    pub(super) rope: Option<&'a Rope>,
    /// One per thread of the pool.
    pub(super) scratch: &'a [Mutex<Scratch>],
}

/// A thread's buffers.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// `[query of the tile][dimension / 16]`
    queries: Vec<Line>,
    /// `[page][query of the tile]`: scores, then their exponentials.
    scores: Vec<Line>,
}

impl Attention<'_> {
    /// Stores the keys and values of a step. `qkv` is `[head][row]`, all query heads, then keys, then values.
    pub(super) fn store(&self, qkv: Activations<'_>, spans: &[Span<'_>], layer: &mut LayerCache) {
        let lines = self.shape.head_lines();
        let keys = self.shape.kv_heads * self.group * lines;
        let values = keys + self.shape.kv_heads * lines;
        let mut key = vec![Line::ZERO; lines];
        let mut value = vec![Line::ZERO; lines];
        let places = spans.iter().flat_map(|span| {
            let positions = span.first_position..span.first_position + span.rows;
            positions.map(|position| {
                (span.pages[position / PAGE_TOKENS] as usize, position % PAGE_TOKENS)
            })
        });
        for (row, place) in places.enumerate() {
            for head in 0..self.shape.kv_heads {
                for block in 0..lines {
                    key[block] = *qkv.line(row, keys + head * lines + block);
                    value[block] = *qkv.line(row, values + head * lines + block);
                }
                if let Some(rope) = self.rope {
                    rope.rotate(row, &mut key);
                }
                layer.store(self.shape, place, head, &key, &value);
            }
        }
    }

    /// Attends from every row of the step, whose keys and values are stored, into `out`, `[row][head][dimension]`.
    pub(super) fn attend(
        &self,
        qkv: Activations<'_>,
        spans: &[Span<'_>],
        layer: &LayerCache,
        out: &mut [Line],
    ) {
        let width = self.shape.kv_heads * self.group * self.shape.head_lines();
        let mut tasks = Vec::with_capacity(spans.len() + qkv.rows / TASK_ROWS);
        let mut rest = out;
        let mut row = 0;
        for span in spans {
            let (own, others) = rest.split_at_mut(span.rows * width);
            rest = others;
            for (index, out) in own.chunks_mut(TASK_ROWS * width).enumerate() {
                let position = span.first_position + index * TASK_ROWS;
                tasks.push(Rows { pages: span.pages, row: row + index * TASK_ROWS, position, out });
            }
            row += span.rows;
        }
        self.cores.pool.for_each(tasks, |rows| {
            let mut own = Scratch::default();
            let mut free = self.scratch.iter().find_map(|scratch| scratch.try_lock().ok());
            let scratch = free.as_deref_mut().unwrap_or(&mut own);
            self.cores.isa.run(Task { attention: *self, qkv, layer, rows, width, scratch });
        });
    }
}

/// Consecutive rows of a span.
struct Rows<'a> {
    pages: &'a [u32],
    /// Row in the step.
    row: usize,
    position: usize,
    out: &'a mut [Line],
}

struct Task<'a> {
    attention: Attention<'a>,
    qkv: Activations<'a>,
    layer: &'a LayerCache,
    rows: Rows<'a>,
    width: usize,
    scratch: &'a mut Scratch,
}

impl Kernel for Task<'_> {
    #[inline(always)]
    fn run(mut self) {
        let queries = self.rows.out.len() / self.width * self.attention.group;
        for kv_head in 0..self.attention.shape.kv_heads {
            by_tiles(queries, Line::TILE_ROWS, &mut HeadTile { task: &mut self, kv_head });
        }
    }
}

/// A tile holds the queries that share a key and value head, row by row.
struct HeadTile<'a, 'b> {
    task: &'b mut Task<'a>,
    kv_head: usize,
}

impl RowTile for HeadTile<'_, '_> {
    #[inline(always)]
    fn tile<const R: usize>(&mut self, first: usize) {
        let group = self.task.attention.group;
        let visible: [usize; R] =
            std::array::from_fn(|r| self.task.rows.position + (first + r) / group + 1);
        self.load_queries::<R>(first);
        self.scores::<R>(visible[R - 1].div_ceil(PAGE_TOKENS));
        let sums = visible.map(|_| 0.0);
        let sums = self.softmax(&visible, sums);
        self.weigh_values(first, &visible, &sums);
    }
}

impl HeadTile<'_, '_> {
    #[inline(always)]
    fn load_queries<const R: usize>(&mut self, first: usize) {
        let Task { attention, qkv, rows, scratch, .. } = &mut *self.task;
        let lines = attention.shape.head_lines();
        scratch.queries.resize(R * lines, Line::ZERO);
        for (r, query) in scratch.queries.chunks_exact_mut(lines).enumerate() {
            let row = rows.row + (first + r) / attention.group;
            let head = self.kv_head * attention.group + (first + r) % attention.group;
            for (block, line) in query.iter_mut().enumerate() {
                *line = *qkv.line(row, head * lines + block);
            }
            if let Some(rope) = attention.rope {
                rope.rotate(row, query);
            }
        }
    }

    /// Scaled scores of whole pages; those beyond a query's own position are masked later.
    #[inline(always)]
    fn scores<const R: usize>(&mut self, pages: usize) {
        let Task { attention, layer, rows, scratch, .. } = &mut *self.task;
        let Scratch { queries, scores } = &mut **scratch;
        let lines = attention.shape.head_lines();
        let scale = 1.0 / (attention.shape.head_dim as f32).sqrt();
        scores.resize(pages * R, Line::ZERO);
        for (&page, scores) in rows.pages[..pages].iter().zip(scores.chunks_exact_mut(R)) {
            let keys = layer.keys(attention.shape, page as usize, self.kv_head);
            let mut sums = [[0.0; LANES]; R];
            for (block, keys) in keys.as_chunks::<LANES>().0.iter().enumerate() {
                accumulate(&mut sums, std::array::from_fn(|r| &queries[r * lines + block]), keys);
            }
            for (score, sums) in scores.iter_mut().zip(sums) {
                *score = Line(sums).map(|sum| sum * scale);
            }
        }
    }

    /// Turns scores into exponentials of their distance to the row's maximum; returns the sum of each row.
    #[inline(always)]
    fn softmax<const R: usize>(&mut self, visible: &[usize; R], mut sums: [f32; R]) -> [f32; R] {
        let scores = &mut self.task.scratch.scores;
        for r in 0..R {
            for (page, scores) in
                scores.chunks_exact_mut(R).enumerate().skip(visible[r] / PAGE_TOKENS)
            {
                for lane in visible[r].saturating_sub(page * PAGE_TOKENS)..LANES {
                    scores[r].0[lane] = f32::NEG_INFINITY;
                }
            }
            let mut maxima = Line([f32::NEG_INFINITY; LANES]);
            for scores in scores.chunks_exact(R) {
                maxima = maxima.zip(scores[r], larger);
            }
            let maximum = maxima.reduce(larger);
            let mut sum = Line::ZERO;
            for scores in scores.chunks_exact_mut(R) {
                scores[r] = scores[r].map(|score| math::exp(score - maximum));
                sum = sum.zip(scores[r], |sum, term| sum + term);
            }
            sums[r] = sum.reduce(|a, b| a + b);
        }
        sums
    }

    /// Adds the values up, ascending in position, each query up to its own.
    #[inline(always)]
    fn weigh_values<const R: usize>(
        &mut self,
        first: usize,
        visible: &[usize; R],
        sums: &[f32; R],
    ) {
        let Task { attention, layer, rows, width, scratch, .. } = &mut *self.task;
        let Attention { shape, group, .. } = *attention;
        let shared = visible[0] / PAGE_TOKENS;
        for block in 0..shape.head_lines() {
            let values =
                |page: usize| layer.values(shape, rows.pages[page] as usize, self.kv_head, block);
            let mut weighed = [[0.0; LANES]; R];
            for (page, terms) in scratch.scores.chunks_exact(R).enumerate().take(shared) {
                let values: &[Line; LANES] =
                    values(page).try_into().unwrap_or(&[Line::ZERO; LANES]);
                accumulate(&mut weighed, std::array::from_fn(|r| &terms[r]), values);
            }
            for r in 0..R {
                // What lies beyond a query's position must not be touched: 0 · NaN of a stale page would be NaN.
                let mut own = [weighed[r]];
                for page in shared..visible[r].div_ceil(PAGE_TOKENS) {
                    let positions = (visible[r] - page * PAGE_TOKENS).min(PAGE_TOKENS);
                    accumulate(
                        &mut own,
                        [&scratch.scores[page * R + r]],
                        &values(page)[..positions],
                    );
                }
                let head = self.kv_head * group + (first + r) % group;
                let row = (first + r) / group;
                rows.out[row * *width + head * shape.head_lines() + block] =
                    Line(own[0]).map(|value| value / sums[r]);
            }
        }
    }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
