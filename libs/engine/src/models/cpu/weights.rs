//! Packs a model's tensors for the executor, one at a time, and checks their shapes.

use std::ops::Deref;

use super::Precision;
use super::isa::{Arena, Cores};
use super::lines::{LANES, Line, lines_for, panel_stride, zeroed};
use super::norm::Norm;
use super::pack::Part;
use super::panels::Panels;
use super::product::Linear;
use crate::model::ModelError;
use crate::models::Tensors;
use crate::models::source::Source;
use crate::weights::{Architecture, LayerTensor, Matrix, ModelConfig, TensorRole};

/// All weights of a model.
#[derive(Debug)]
pub(super) struct Weights {
    /// The output head, and when tied the embedding too.
    pub(super) head: Panels,
    /// `[token][hidden / 16]`, unless tied.
    pub(super) embedding: Option<Vec<Line>>,
    /// `[position][hidden / 16]` of learned positions.
    pub(super) positions: Option<Vec<Line>>,
    pub(super) blocks: Vec<Block>,
    pub(super) output_norm: Norm,
}

/// Weights of one block.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) attention_norm: Norm,
    /// Query heads, key heads, value heads, each padded to whole lines.
    pub(super) qkv: Linear,
    pub(super) attention_output: Linear,
    pub(super) ffn_norm: Norm,
    pub(super) ffn: FeedForward,
    pub(super) down: Linear,
}

/// The first half of a feed-forward block.
#[derive(Debug)]
pub(super) enum FeedForward {
    /// Panels alternate between gate and up.
    SwiGlu(Linear),
    Gelu(Linear),
}

impl Weights {
    /// Packs the tensors of a checked configuration.
    pub(super) fn load(tensors: &dyn Tensors, precision: Precision) -> Result<Weights, ModelError> {
        let config = tensors.config();
        let source = Packer { source: Source::new(tensors)?, precision, arena: Arena::default() };
        // The largest tensors first: their unpacked copies are gone before the rest adds up.
        let (head, embedding) = source.head_and_embedding()?;
        let gpt2 = config.architecture == Architecture::Gpt2;
        let positions = match gpt2 {
            true => Some(padded_rows(&source.matrix(
                TensorRole::PositionEmbedding,
                config.context_tokens,
                config.hidden_size,
            )?)?),
            false => None,
        };
        let output_norm = source.norm(TensorRole::OutputNormWeight, TensorRole::OutputNormBias)?;
        let blocks =
            (0..config.layers).map(|layer| source.block(layer)).collect::<Result<_, _>>()?;
        Ok(Weights { head, embedding, positions, blocks, output_norm })
    }

    /// Writes the embeddings of a step into the residual stream, panel-major, in parallel over blocks.
    pub(super) fn embed(
        &self,
        cores: Cores<'_>,
        tokens: &[u32],
        positions: &[usize],
        out: &mut [Line],
    ) {
        let hidden = self.output_norm.weight.len();
        let blocks = out.chunks_mut(panel_stride(tokens.len())).enumerate().collect();
        cores.pool.for_each(blocks, |(block, out): (usize, &mut [Line])| {
            for ((&token, &position), out) in tokens.iter().zip(positions).zip(out) {
                *out = match &self.embedding {
                    None => self.head.column_block(token as usize, block),
                    Some(rows) => rows[token as usize * hidden + block],
                };
                if let Some(learned) = &self.positions {
                    *out = out.zip(learned[position * hidden + block], |token, position| {
                        token + position
                    });
                }
            }
        });
    }
}

/// Rows padded to whole lines.
fn padded_rows(matrix: &Matrix) -> Result<Vec<Line>, ModelError> {
    let width = lines_for(matrix.columns);
    let mut lines = matrix
        .rows
        .checked_mul(width)
        .and_then(|lines| zeroed(lines).ok())
        .ok_or_else(|| ModelError::Weights("not enough memory for the embedding".into()))?;
    for (row, lines) in matrix.data.chunks_exact(matrix.columns).zip(lines.chunks_exact_mut(width))
    {
        for (index, &value) in row.iter().enumerate() {
            lines[index / LANES].0[index % LANES] = value;
        }
    }
    Ok(lines)
}

/// Packing, place by place.
pub(super) struct Packer<'a> {
    source: Source<'a>,
    pub(super) precision: Precision,
    pub(super) arena: Arena,
}

impl<'a> Deref for Packer<'a> {
    type Target = Source<'a>;

    fn deref(&self) -> &Source<'a> {
        &self.source
    }
}

impl Packer<'_> {
    fn panels(&self, role: TensorRole, rows: usize, columns: usize) -> Result<Panels, ModelError> {
        self.pack(&[Part::whole(role, rows, columns)], (rows, columns))
    }

    /// The head's panels, and the embedding's rows unless it is tied to the head.
    fn head_and_embedding(&self) -> Result<(Panels, Option<Vec<Line>>), ModelError> {
        let ModelConfig { vocab_size, hidden_size, .. } = *self.config;
        let panels = |role| self.panels(role, vocab_size, hidden_size);
        if self.tensors.encoding(TensorRole::Head).is_none() {
            return Ok((panels(TensorRole::TokenEmbedding)?, None));
        }
        let head = panels(TensorRole::Head)?;
        let embedding = self.matrix(TensorRole::TokenEmbedding, vocab_size, hidden_size)?;
        Ok((head, Some(padded_rows(&embedding)?)))
    }

    fn norm(&self, weight: TensorRole, bias: TensorRole) -> Result<Norm, ModelError> {
        let width = self.config.hidden_size;
        let bias = match self.config.architecture {
            Architecture::Gpt2 => Some(padded_rows(&self.matrix(bias, 1, width)?)?),
            Architecture::Llama => None,
        };
        let weight = padded_rows(&self.matrix(weight, 1, width)?)?;
        Ok(Norm { weight, bias, width, epsilon: self.config.norm_epsilon })
    }

    fn block(&self, layer: usize) -> Result<Block, ModelError> {
        let role = |tensor| TensorRole::Layer(layer, tensor);
        Ok(Block {
            attention_norm: self.norm(
                role(LayerTensor::AttentionNormWeight),
                role(LayerTensor::AttentionNormBias),
            )?,
            qkv: self.qkv(layer)?,
            attention_output: self.attention_output(layer)?,
            ffn_norm: self
                .norm(role(LayerTensor::FfnNormWeight), role(LayerTensor::FfnNormBias))?,
            ffn: self.feed_forward(layer)?,
            down: self.linear(
                role(LayerTensor::Down),
                role(LayerTensor::DownBias),
                (self.config.hidden_size, self.config.ffn_size),
            )?,
        })
    }

    /// Queries, keys and values as one matrix whose heads start at whole lines.
    fn qkv(&self, layer: usize) -> Result<Linear, ModelError> {
        let ModelConfig { heads, kv_heads, head_dim, hidden_size, .. } = *self.config;
        let padded = lines_for(head_dim) * LANES;
        let place =
            |first: usize| move |row: usize| (first + row / head_dim) * padded + row % head_dim;
        let (query, key, value) = (place(0), place(heads), place(heads + kv_heads));
        let parts: [(_, _, usize, &dyn Fn(usize) -> usize); 3] = [
            (LayerTensor::Query, LayerTensor::QueryBias, heads, &query),
            (LayerTensor::Key, LayerTensor::KeyBias, kv_heads, &key),
            (LayerTensor::Value, LayerTensor::ValueBias, kv_heads, &value),
        ];
        let role = |tensor| TensorRole::Layer(layer, tensor);
        let weights = parts.map(|(weight, _, heads, column)| Part {
            column,
            ..Part::whole(role(weight), heads * head_dim, hidden_size)
        });
        let outputs = (heads + 2 * kv_heads) * padded;
        let panels = self.pack(&weights, (outputs, hidden_size))?;
        let mut bias = None;
        for (_, own, heads, column) in parts {
            let own = self.bias(role(own), heads * head_dim)?;
            for (row, &value) in own.iter().flat_map(|vector| vector.data.iter().enumerate()) {
                let bias = bias.get_or_insert_with(|| vec![Line::ZERO; outputs / LANES]);
                bias[column(row) / LANES].0[column(row) % LANES] = value;
            }
        }
        Ok(Linear { panels, bias })
    }

    /// The projection back from heads that start at whole lines.
    fn attention_output(&self, layer: usize) -> Result<Linear, ModelError> {
        let ModelConfig { heads, head_dim, hidden_size, .. } = *self.config;
        let padded = lines_for(head_dim) * LANES;
        let role = TensorRole::Layer(layer, LayerTensor::AttentionOutput);
        let input = |input: usize| input / head_dim * padded + input % head_dim;
        let part = Part { input: &input, ..Part::whole(role, hidden_size, heads * head_dim) };
        let panels = self.pack(&[part], (hidden_size, heads * padded))?;
        let bias =
            self.bias(TensorRole::Layer(layer, LayerTensor::AttentionOutputBias), hidden_size)?;
        Ok(Linear { panels, bias: bias.as_ref().map(padded_rows).transpose()? })
    }

    fn feed_forward(&self, layer: usize) -> Result<FeedForward, ModelError> {
        let ModelConfig { ffn_size, hidden_size, .. } = *self.config;
        let role = |tensor| TensorRole::Layer(layer, tensor);
        if self.config.architecture == Architecture::Gpt2 {
            let (weight, bias) = (role(LayerTensor::Up), role(LayerTensor::UpBias));
            return self.linear(weight, bias, (ffn_size, hidden_size)).map(FeedForward::Gelu);
        }
        let gate = |row: usize| row / LANES * 2 * LANES + row % LANES;
        let up = |row: usize| gate(row) + LANES;
        let part = |tensor| Part::whole(role(tensor), ffn_size, hidden_size);
        let parts = [
            Part { column: &gate, ..part(LayerTensor::Gate) },
            Part { column: &up, ..part(LayerTensor::Up) },
        ];
        let outputs = 2 * lines_for(ffn_size) * LANES;
        let panels = self.pack(&parts, (outputs, hidden_size))?;
        Ok(FeedForward::SwiGlu(Linear { panels, bias: None }))
    }

    fn linear(
        &self,
        weight: TensorRole,
        bias: TensorRole,
        (outputs, inputs): (usize, usize),
    ) -> Result<Linear, ModelError> {
        let panels = self.panels(weight, outputs, inputs)?;
        let bias = self.bias(bias, outputs)?;
        Ok(Linear { panels, bias: bias.as_ref().map(padded_rows).transpose()? })
    }
}
