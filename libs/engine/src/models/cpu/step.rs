//! One step through all blocks: what is computed in which order, and the buffers between.

use std::sync::Mutex;

use super::attention::{Attention, Scratch};
use super::cache::{Cache, CacheShape, with_pages};
use super::head::head;
use super::isa::Cores;
use super::lines::{Activations, LANES, Line, grow, panel_stride};
use super::operand::{Operand, OperandBuffers};
use super::product::{Then, product};
use super::rope::Rope;
use super::weights::{Block, FeedForward, Weights};
use crate::model::{Batch, Logits, ModelError, Outputs};

/// Buffers of a step, kept from one to the next.
#[derive(Debug)]
pub(super) struct Step {
    shape: CacheShape,
    /// Query heads.
    heads: usize,
    rope: Option<Rope>,
    scratch: Vec<Mutex<Scratch>>,
    /// The residual stream, panel-major.
    residual: Vec<Line>,
    /// Queries, keys and values, panel-major.
    qkv: Vec<Line>,
    /// What attention gathered, row-major.
    attended: Vec<Line>,
    /// Inside the feed-forward block, panel-major.
    inner: Vec<Line>,
    operands: OperandBuffers,
    /// Rows to norm: all of them, then those that need logits.
    rows: Vec<usize>,
    /// Position of each row in its sequence.
    positions: Vec<usize>,
}

impl Step {
    pub(super) fn new(
        shape: CacheShape,
        heads: usize,
        rope: Option<Rope>,
        scratch: Vec<Mutex<Scratch>>,
    ) -> Step {
        Step {
            shape,
            heads,
            rope,
            scratch,
            residual: Vec::new(),
            qkv: Vec::new(),
            attended: Vec::new(),
            inner: Vec::new(),
            operands: OperandBuffers::default(),
            rows: Vec::new(),
            positions: Vec::new(),
        }
    }

    /// Runs a checked batch.
    pub(super) fn run(
        &mut self,
        cores: Cores<'_>,
        weights: &Weights,
        cache: &mut Cache,
        batch: &Batch<'_>,
        vocab_size: usize,
        logits: &mut Logits,
    ) -> Result<(), ModelError> {
        let rows = batch.tokens.len();
        self.prepare(cores, weights, batch)?;
        for (layer, block) in weights.blocks.iter().enumerate() {
            self.block(cores, block, cache, layer, batch);
        }
        self.rows.clear();
        let mut first = 0;
        for span in batch.spans {
            let end = first + span.rows;
            match span.outputs {
                Outputs::None => {}
                Outputs::Last => self.rows.push(end - 1),
                Outputs::All => self.rows.extend(first..end),
            }
            first = end;
        }
        let x = Activations::panel_major(&self.residual, rows);
        let x = Operand::Normed { norm: &weights.output_norm, x, rows: &self.rows };
        head(cores, x, &weights.head, vocab_size, &mut self.operands, logits);
        Ok(())
    }

    /// Makes the buffers large enough and puts the embeddings into the residual stream.
    fn prepare(
        &mut self,
        cores: Cores<'_>,
        weights: &Weights,
        batch: &Batch<'_>,
    ) -> Result<(), ModelError> {
        // A panic while one was held failed that step and left nothing in it that the next reads.
        self.scratch.iter().for_each(Mutex::clear_poison);
        let rows = batch.tokens.len();
        let hidden = weights.output_norm.weight.len();
        let head_lines = self.shape.head_lines();
        let attended = self.heads * head_lines;
        let inner = weights.blocks.iter().map(|block| block.down.panels.inputs() / LANES).max();
        let inner = inner.unwrap_or(0);
        let stride = panel_stride(rows);
        let lines = |buffer, blocks| grow(buffer, stride * blocks, Line::ZERO);
        lines(&mut self.residual, hidden)?;
        lines(&mut self.qkv, attended + 2 * self.shape.kv_heads * head_lines)?;
        lines(&mut self.attended, attended)?;
        lines(&mut self.inner, inner)?;
        self.operands.grow(rows, hidden, hidden.max(attended).max(inner))?;
        self.rows.clear();
        self.rows.extend(0..rows);
        self.positions.clear();
        self.positions.extend(
            batch
                .spans
                .iter()
                .flat_map(|span| span.first_position..span.first_position + span.rows),
        );
        if let Some(rope) = &mut self.rope {
            rope.extend(self.positions.iter().max().map_or(0, |last| last + 1))?;
        }
        weights.embed(cores, batch.tokens, &self.positions, &mut self.residual[..stride * hidden]);
        Ok(())
    }

    /// `x += attention(norm(x)); x += feed_forward(norm(x))`
    fn block(
        &mut self,
        cores: Cores<'_>,
        block: &Block,
        cache: &mut Cache,
        layer: usize,
        batch: &Batch<'_>,
    ) {
        let rows = batch.tokens.len();
        let hidden = block.attention_norm.weight.len();
        let width = self.heads * self.shape.head_lines();
        let stride = panel_stride(rows);
        let residual = &mut self.residual[..stride * hidden];
        let qkv =
            &mut self.qkv[..stride * (width + 2 * self.shape.kv_heads * self.shape.head_lines())];
        let attended = &mut self.attended[..rows * width];
        let attention = Attention {
            cores,
            shape: self.shape,
            group: self.heads / self.shape.kv_heads,
            rope: self.rope.as_ref(),
            scratch: &self.scratch,
        };
        let x = Activations::panel_major(residual, rows);
        let x = Operand::Normed { norm: &block.attention_norm, x, rows: &self.rows };
        let buffers = &mut self.operands;
        product(cores, x, &block.qkv, Then::Store, buffers, qkv);
        let qkv = Activations::panel_major(qkv, rows);
        with_pages!(cache, pages => {
            attention.run(qkv, batch.spans, pages.layer(layer), attended);
        });
        let x = Operand::Rows(Activations::row_major(attended, rows, width));
        product(cores, x, &block.attention_output, Then::Add, buffers, residual);

        let inner = &mut self.inner[..stride * block.down.panels.inputs() / LANES];
        let (linear, then) = match &block.ffn {
            FeedForward::SwiGlu(linear) => (linear, Then::SwiGlu),
            FeedForward::Gelu(linear) => (linear, Then::Gelu),
        };
        let x = Activations::panel_major(residual, rows);
        let x = Operand::Normed { norm: &block.ffn_norm, x, rows: &self.rows };
        product(cores, x, linear, then, buffers, inner);
        let x = Operand::Rows(Activations::panel_major(inner, rows));
        product(cores, x, &block.down, Then::Add, buffers, residual);
    }
}
