//! Packs a model's tensors for the executor, one at a time, and checks their shapes.

use std::ops::Deref;

use super::Precision;
use super::isa::{Arena, Cores, Slab, bytes_mut};
use super::lines::{LANES, Line, lines_for, panel_stride, zeroed};
use super::norm::Norm;
use super::pack::Part;
use super::packed::{Kind, Section};
use super::panels::Panels;
use super::product::Linear;
use super::sections::Sections;
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
    pub(super) embedding: Option<Slab<Line>>,
    /// `[position][hidden / 16]` of learned positions.
    pub(super) positions: Option<Slab<Line>>,
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
        Weights::build(&Packer::new(tensors, precision, None)?)
    }

    /// Zeros in the form that these sections have, to be filled with their bytes.
    ///
    /// # Errors
    /// The sections are not those of a model of this configuration, or memory is short.
    pub(super) fn with_sections(
        tensors: &dyn Tensors,
        precision: Precision,
        sections: &[Section],
    ) -> Result<Weights, ModelError> {
        let packer = Packer::new(tensors, precision, Some(Sections::new(sections)))?;
        let weights = Weights::build(&packer)?;
        packer.sections.map_or(Ok(()), |sections| sections.finish())?;
        Ok(weights)
    }

    fn build(source: &Packer<'_>) -> Result<Weights, ModelError> {
        let config = source.config;
        // The largest tensors first: their unpacked copies are gone before the rest adds up.
        let (head, embedding) = source.head_and_embedding()?;
        let positions = match config.architecture {
            Architecture::Gpt2 => Some(source.rows(
                TensorRole::PositionEmbedding,
                config.context_tokens,
                config.hidden_size,
            )?),
            Architecture::Llama => None,
        };
        let output_norm = source.norm(TensorRole::OutputNormWeight, TensorRole::OutputNormBias)?;
        let blocks =
            (0..config.layers).map(|layer| source.block(layer)).collect::<Result<_, _>>()?;
        Ok(Weights { head, embedding, positions, blocks, output_norm })
    }

    /// All that was packed, kinds and bytes, in the order in which [`Weights::build`] asks for it.
    pub(super) fn sections_mut(&mut self) -> Vec<(Kind, &mut [u8])> {
        let mut all = vec![self.head.section_mut()];
        all.extend(self.embedding.as_mut().map(|rows| (Kind::Lines, bytes_mut(rows))));
        all.extend(self.positions.as_mut().map(|rows| (Kind::Lines, bytes_mut(rows))));
        self.output_norm.push_sections(&mut all);
        for block in &mut self.blocks {
            block.attention_norm.push_sections(&mut all);
            block.qkv.push_sections(&mut all);
            block.attention_output.push_sections(&mut all);
            block.ffn_norm.push_sections(&mut all);
            match &mut block.ffn {
                FeedForward::SwiGlu(linear) => all.push(linear.panels.section_mut()),
                FeedForward::Gelu(linear) => linear.push_sections(&mut all),
            }
            block.down.push_sections(&mut all);
        }
        all
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

impl Norm {
    fn push_sections<'a>(&'a mut self, all: &mut Vec<(Kind, &'a mut [u8])>) {
        all.push((Kind::Lines, bytes_mut(&mut self.weight)));
        all.extend(self.bias.as_mut().map(|bias| (Kind::Lines, bytes_mut(bias))));
    }
}

impl Linear {
    fn push_sections<'a>(&'a mut self, all: &mut Vec<(Kind, &'a mut [u8])>) {
        all.push(self.panels.section_mut());
        all.push(match &mut self.bias {
            Some(bias) => (Kind::Lines, bytes_mut(bias)),
            None => (Kind::Absent, &mut []),
        });
    }
}

fn zero_lines(count: usize) -> Result<Vec<Line>, ModelError> {
    zeroed(count).map_err(|_| ModelError::Weights("not enough memory for a vector".into()))
}

/// Writes rows into lines, each padded to whole ones.
fn pad_rows(matrix: &Matrix, lines: &mut [Line]) {
    let width = lines_for(matrix.columns);
    for (row, lines) in matrix.data.chunks_exact(matrix.columns).zip(lines.chunks_exact_mut(width))
    {
        for (index, &value) in row.iter().enumerate() {
            lines[index / LANES].0[index % LANES] = value;
        }
    }
}

/// A bias: role, length, and the output of each of its elements.
type BiasPart<'a> = (TensorRole, usize, &'a dyn Fn(usize) -> usize);

/// Packing, place by place: tensors or, where sections are given, zeros in their form.
pub(super) struct Packer<'a> {
    source: Source<'a>,
    pub(super) precision: Precision,
    pub(super) arena: Arena,
    pub(super) sections: Option<Sections>,
}

impl<'a> Deref for Packer<'a> {
    type Target = Source<'a>;

    fn deref(&self) -> &Source<'a> {
        &self.source
    }
}

impl<'a> Packer<'a> {
    fn new(
        tensors: &'a dyn Tensors,
        precision: Precision,
        sections: Option<Sections>,
    ) -> Result<Packer<'a>, ModelError> {
        let source = Source::new(tensors)?;
        Ok(Packer { source, precision, arena: Arena::default(), sections })
    }
}

impl Packer<'_> {
    fn panels(&self, role: TensorRole, rows: usize, columns: usize) -> Result<Panels, ModelError> {
        self.pack(&[Part::whole(role, rows, columns)], (rows, columns))
    }

    /// The head's panels, and the embedding's rows unless it is tied to the head.
    fn head_and_embedding(&self) -> Result<(Panels, Option<Slab<Line>>), ModelError> {
        let ModelConfig { vocab_size, hidden_size, .. } = *self.config;
        let panels = |role| self.panels(role, vocab_size, hidden_size);
        if self.tensors.encoding(TensorRole::Head).is_none() {
            return Ok((panels(TensorRole::TokenEmbedding)?, None));
        }
        let head = panels(TensorRole::Head)?;
        Ok((head, Some(self.rows(TensorRole::TokenEmbedding, vocab_size, hidden_size)?)))
    }

    /// The rows of a matrix that are looked up one by one.
    fn rows(
        &self,
        role: TensorRole,
        rows: usize,
        columns: usize,
    ) -> Result<Slab<Line>, ModelError> {
        let lines = rows.saturating_mul(lines_for(columns));
        let memory = || ModelError::Weights("not enough memory for the embedding".into());
        if let Some(sections) = &self.sections {
            sections.lines(lines)?;
            return self.arena.zeroed(lines).ok_or_else(memory);
        }
        let matrix = self.matrix(role, rows, columns)?;
        let mut slab = self.arena.zeroed(lines).ok_or_else(memory)?;
        pad_rows(&matrix, &mut slab);
        Ok(slab)
    }

    /// A vector that must be there.
    fn vector(&self, role: TensorRole, length: usize) -> Result<Vec<Line>, ModelError> {
        if let Some(sections) = &self.sections {
            sections.lines(lines_for(length))?;
            return zero_lines(lines_for(length));
        }
        let mut lines = zero_lines(lines_for(length))?;
        pad_rows(&self.matrix(role, 1, length)?, &mut lines);
        Ok(lines)
    }

    /// The biases of a product's parts as one.
    fn biases(
        &self,
        parts: &[BiasPart<'_>],
        outputs: usize,
    ) -> Result<Option<Vec<Line>>, ModelError> {
        let count = lines_for(outputs);
        if let Some(sections) = &self.sections {
            return sections.optional_lines(count)?.then(|| zero_lines(count)).transpose();
        }
        let mut lines = None;
        for (role, length, column) in parts {
            let Some(own) = self.bias(*role, *length)? else { continue };
            let lines = match &mut lines {
                Some(lines) => lines,
                none => none.insert(zero_lines(count)?),
            };
            for (row, &value) in own.data.iter().enumerate() {
                lines[column(row) / LANES].0[column(row) % LANES] = value;
            }
        }
        Ok(lines)
    }

    fn norm(&self, weight: TensorRole, bias: TensorRole) -> Result<Norm, ModelError> {
        let width = self.config.hidden_size;
        let weight = self.vector(weight, width)?;
        let bias = match self.config.architecture {
            Architecture::Gpt2 => Some(self.vector(bias, width)?),
            Architecture::Llama => None,
        };
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
        let biases = parts.map(|(_, bias, heads, column)| (role(bias), heads * head_dim, column));
        let bias = self.biases(&biases, outputs)?;
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
        let bias = TensorRole::Layer(layer, LayerTensor::AttentionOutputBias);
        Ok(Linear { panels, bias: self.biases(&[(bias, hidden_size, &|row| row)], hidden_size)? })
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
        Ok(Linear { panels, bias: self.biases(&[(bias, outputs, &|row| row)], outputs)? })
    }
}
