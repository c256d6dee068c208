//! Attention over paged keys and values: two-pass softmax, partitioned by absolute position.
//!
//! A query's result depends on its position and on what the cache holds before it, and on nothing else: scores are
//! chains over dimensions, the sum of exponentials runs in 16 lanes (lane = position mod 16), and values are added in
//! ascending position. Where keys and values have scales (see `cache`), a chain over dimensions takes the key's integers as
//! they are and its sum is multiplied with the key's scale, then with 1/√d; the exponential of a position is added to the sum
//! of exponentials first, then multiplied with the value's scale, and that product weighs the value's integers. So a decode step at p equals a prefill of p + 1 tokens, bit for bit.

use std::ops::Range;
use std::sync::Mutex;

use super::cache::{CacheShape, LayerCache, PAGE_TOKENS, PageMut};
use super::isa::{Cores, Kernel};
use super::lines::{Activations, LANES, Line};
use super::math;
use super::panels::{LINE_TILE_ROWS, accumulate};
use super::product::{RowTile, by_tiles};
use super::rope::Rope;
use super::stored::Cached;
use crate::model::Span;

/// Rows of a task of the thread pool: they read the same keys and values while those are in the cache.
const TASK_ROWS: usize = 12;

/// Positions from which on a single row's heads are worth more than one thread.
const LONG_CONTEXT: usize = 128;

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
    /// `[page][query of the tile]`: scores, then what they weigh the values with.
    scores: Vec<Line>,
}

/// A row whose key and value are stored.
#[derive(Clone, Copy)]
struct Place {
    page: usize,
    /// Position in the page.
    slot: usize,
    /// Position in the sequence.
    position: usize,
    /// Row in the step.
    row: usize,
}

impl Attention<'_> {
    /// Stores the keys and values of a step's rows and attends from each into `out`, `[row][head][dimension]`. `qkv` is
    /// `[head][row]`, all query heads, then keys, then values.
    pub(super) fn run<L: Cached>(
        &self,
        qkv: Activations<'_>,
        spans: &[Span<'_>],
        layer: &mut LayerCache<L>,
        out: &mut [Line],
    ) {
        self.store(qkv, spans, layer);
        self.attend(qkv, spans, layer, out);
    }

    /// In parallel over pages: no two spans write the same one.
    fn store<L: Cached>(
        &self,
        qkv: Activations<'_>,
        spans: &[Span<'_>],
        layer: &mut LayerCache<L>,
    ) {
        let positions = spans.iter().flat_map(|span| {
            let positions = span.first_position..span.first_position + span.rows;
            positions.map(|position| (span.pages[position / PAGE_TOKENS], position))
        });
        let mut places: Vec<Place> = positions
            .enumerate()
            .map(|(row, (page, position))| {
                let slot = position % PAGE_TOKENS;
                Place { page: page as usize, slot, position, row }
            })
            .collect();
        places.sort_unstable_by_key(|place| (place.page, place.slot));
        let by_page: Vec<&[Place]> = places.chunk_by(|a, b| a.page == b.page).collect();
        let pages = layer.pages_mut(by_page.iter().map(|places| places[0].page));
        self.cores.pool.for_each(pages.into_iter().zip(by_page).collect(), |(page, places)| {
            self.cores.isa.run(StorePage { attention: *self, qkv, page, places });
        });
    }

    /// In parallel over rows; over key and value heads too where that is needed to have a task for each thread.
    fn attend<L: Cached>(
        &self,
        qkv: Activations<'_>,
        spans: &[Span<'_>],
        layer: &LayerCache<L>,
        out: &mut [Line],
    ) {
        let kv_heads = self.shape.kv_heads;
        let head = self.group * self.shape.head_lines();
        let mut tasks = Vec::with_capacity(spans.len() + qkv.rows / TASK_ROWS);
        let mut rest = out;
        let mut row = 0;
        for span in spans {
            let (own, others) = rest.split_at_mut(span.rows * kv_heads * head);
            rest = others;
            let alone = span.rows == 1
                && spans.len() < 2 * self.cores.pool.threads()
                && span.first_position >= LONG_CONTEXT;
            let heads = if alone { 1 } else { kv_heads };
            for (index, out) in own.chunks_mut(TASK_ROWS.min(span.rows) * heads * head).enumerate()
            {
                let (rows, first_head) = if alone { (0, index) } else { (index * TASK_ROWS, 0) };
                tasks.push(Rows {
                    pages: span.pages,
                    row: row + rows,
                    position: span.first_position + rows,
                    heads: first_head..first_head + heads,
                    out,
                });
            }
            row += span.rows;
        }
        self.cores.pool.for_each(tasks, |rows| {
            let mut own = Scratch::default();
            let mut free = self.scratch.iter().find_map(|scratch| scratch.try_lock().ok());
            let scratch = free.as_deref_mut().unwrap_or(&mut own);
            let width = rows.heads.len() * head;
            self.cores.isa.run(Task { attention: *self, qkv, layer, rows, width, scratch });
        });
    }
}

struct StorePage<'a, L> {
    attention: Attention<'a>,
    qkv: Activations<'a>,
    page: PageMut<'a, L>,
    places: &'a [Place],
}

impl<L: Cached> Kernel for StorePage<'_, L> {
    #[inline(always)]
    fn run(mut self) {
        let Attention { shape, group, rope, .. } = self.attention;
        let lines = shape.head_lines();
        let keys = shape.kv_heads * group * lines;
        let values = keys + shape.kv_heads * lines;
        let mut key = vec![Line::ZERO; lines];
        let mut value = vec![Line::ZERO; lines];
        for &Place { slot, position, row, .. } in self.places {
            for head in 0..shape.kv_heads {
                for block in 0..lines {
                    key[block] = *self.qkv.line(row, keys + head * lines + block);
                    value[block] = *self.qkv.line(row, values + head * lines + block);
                }
                if let Some(rope) = rope {
                    rope.rotate(position, &mut key);
                }
                self.page.store(slot, head, &key, &value);
            }
        }
    }
}

/// Consecutive rows of a span.
struct Rows<'a> {
    pages: &'a [u32],
    /// Row in the step.
    row: usize,
    position: usize,
    /// Key and value heads.
    heads: Range<usize>,
    /// `[row][head][dimension]`, the query heads of `heads`.
    out: &'a mut [Line],
}

struct Task<'a, L> {
    attention: Attention<'a>,
    qkv: Activations<'a>,
    layer: &'a LayerCache<L>,
    rows: Rows<'a>,
    /// Lines of a row of the output.
    width: usize,
    scratch: &'a mut Scratch,
}

impl<L: Cached> Kernel for Task<'_, L> {
    #[inline(always)]
    fn run(mut self) {
        let queries = self.rows.out.len() / self.width * self.attention.group;
        for kv_head in self.rows.heads.clone() {
            by_tiles(0..queries, LINE_TILE_ROWS, &mut HeadTile { task: &mut self, kv_head });
        }
    }
}

/// A tile holds the queries that share a key and value head, row by row.
struct HeadTile<'a, 'b, L> {
    task: &'b mut Task<'a, L>,
    kv_head: usize,
}

impl<L: Cached> RowTile for HeadTile<'_, '_, L> {
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

impl<L: Cached> HeadTile<'_, '_, L> {
    #[inline(always)]
    fn load_queries<const R: usize>(&mut self, first: usize) {
        let Task { attention, qkv, rows, scratch, .. } = &mut *self.task;
        let lines = attention.shape.head_lines();
        scratch.queries.resize(R * lines, Line::ZERO);
        for (r, query) in scratch.queries.chunks_exact_mut(lines).enumerate() {
            let row = (first + r) / attention.group;
            let head = self.kv_head * attention.group + (first + r) % attention.group;
            for (block, line) in query.iter_mut().enumerate() {
                *line = *qkv.line(rows.row + row, head * lines + block);
            }
            if let Some(rope) = attention.rope {
                rope.rotate(rows.position + row, query);
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
            let keys = layer.keys(page as usize, self.kv_head);
            let mut sums = [[0.0; LANES]; R];
            for (block, keys) in keys.as_chunks::<LANES>().0.iter().enumerate() {
                accumulate(&mut sums, std::array::from_fn(|r| &queries[r * lines + block]), keys);
            }
            for (score, sums) in scores.iter_mut().zip(sums) {
                let sums = layer.scale_by_keys(Line(sums), page as usize, self.kv_head);
                *score = sums.map(|sum| sum * scale);
            }
        }
    }

    /// Turns scores into exponentials of their distance to the row's maximum, and those into weights of the values as they are
    /// stored; returns the exponentials' sum of each row.
    #[inline(always)]
    fn softmax<const R: usize>(&mut self, visible: &[usize; R], mut sums: [f32; R]) -> [f32; R] {
        let Task { layer, rows, scratch, .. } = &mut *self.task;
        let scores = &mut scratch.scores;
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
            for (scores, &page) in scores.chunks_exact_mut(R).zip(rows.pages) {
                let terms = scores[r].map(|score| math::exp(score - maximum));
                sum = sum.zip(terms, |sum, term| sum + term);
                scores[r] = layer.scale_by_values(terms, page as usize, self.kv_head);
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
            let values = |page: usize| layer.values(rows.pages[page] as usize, self.kv_head, block);
            let mut weighed = [[0.0; LANES]; R];
            for (page, terms) in scratch.scores.chunks_exact(R).enumerate().take(shared) {
                accumulate(&mut weighed, std::array::from_fn(|r| &terms[r]), values(page));
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
                let head = (self.kv_head - rows.heads.start) * group + (first + r) % group;
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
