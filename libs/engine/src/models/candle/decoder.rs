//! The decoder on candle tensors. Rows of all sequences go through the products together; attention runs span by span
//! over gathered pages, since candle's own models keep one position for a whole batch.

use candle_core::{D, DType, Device, Module, Tensor};
use candle_nn::{Linear, ops, rotary_emb};

use super::cache::KvPool;
use crate::model::{Batch, ModelError, Outputs, Span};
use crate::models::Tensors;
use crate::models::rope::{frequencies, turn};
use crate::models::source::Source;
use crate::weights::{Architecture, LayerTensor, Matrix, ModelConfig, TensorRole};

/// Weights of a model on a device.
pub(super) struct Decoder {
    config: ModelConfig,
    device: Device,
    dtype: DType,
    /// `[vocab][hidden]`
    embedding: Tensor,
    /// `[context][hidden]` (GPT-2)
    positions: Option<Tensor>,
    /// Radians per position (LLaMA).
    frequencies: Option<Vec<f32>>,
    blocks: Vec<Block>,
    output_norm: Norm,
    head: Linear,
}

struct Block {
    attention_norm: Norm,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    ffn_norm: Norm,
    /// SwiGLU's (LLaMA).
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
}

/// An RMSNorm, or with a bias a LayerNorm.
struct Norm {
    weight: Tensor,
    bias: Option<Tensor>,
    epsilon: f32,
}

impl Norm {
    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        match &self.bias {
            None => ops::rms_norm(x, &self.weight, self.epsilon),
            Some(bias) => ops::layer_norm(x, &self.weight, bias, self.epsilon),
        }
    }
}

impl Decoder {
    pub(super) fn load(
        tensors: &dyn Tensors,
        device: &Device,
        dtype: DType,
    ) -> Result<Decoder, ModelError> {
        let source = Source::new(tensors)?;
        let config = source.config.clone();
        let load = Load { source, device, dtype };
        let gpt2 = config.architecture == Architecture::Gpt2;
        let embedding = load.matrix(load.source.matrix(
            TensorRole::TokenEmbedding,
            config.vocab_size,
            config.hidden_size,
        )?)?;
        let head =
            match load.source.find(TensorRole::Head, config.vocab_size, config.hidden_size)? {
                Some(head) => load.matrix(head)?,
                None => embedding.clone(),
            };
        let positions = match gpt2 {
            true => {
                let role = TensorRole::PositionEmbedding;
                Some(load.matrix(load.source.matrix(
                    role,
                    config.context_tokens,
                    config.hidden_size,
                )?)?)
            }
            false => None,
        };
        Ok(Decoder {
            embedding,
            positions,
            frequencies: (!gpt2).then(|| frequencies(&config)),
            blocks: (0..config.layers).map(|layer| load.block(layer)).collect::<Result<_, _>>()?,
            output_norm: load.norm(TensorRole::OutputNormWeight, TensorRole::OutputNormBias)?,
            head: Linear::new(head, None),
            device: device.clone(),
            dtype,
            config,
        })
    }

    /// Logits of the rows asked for, `[rows][vocab]`, `None` if there are none. The batch has been checked.
    pub(super) fn forward(
        &self,
        pool: &KvPool,
        batch: &Batch<'_>,
    ) -> candle_core::Result<Option<Tensor>> {
        let positions: Vec<usize> = batch
            .spans
            .iter()
            .flat_map(|span| span.first_position..span.first_position + span.rows)
            .collect();
        let mut x = self.embedding.index_select(&Tensor::new(batch.tokens, &self.device)?, 0)?;
        if let Some(learned) = &self.positions {
            let index =
                Tensor::from_iter(positions.iter().map(|&position| position as i64), &self.device)?;
            x = (x + learned.index_select(&index, 0)?)?;
        }
        let turns = self.turns(&positions)?;
        for (layer, block) in self.blocks.iter().enumerate() {
            let attended = self.attention(layer, block, pool, batch.spans, turns.as_ref(), &x)?;
            x = (x + attended)?;
            let inner = block.ffn_norm.forward(&x)?;
            let inner = match &block.gate {
                Some(gate) => (gate.forward(&inner)?.silu()? * block.up.forward(&inner)?)?,
                None => block.up.forward(&inner)?.gelu()?,
            };
            x = (x + block.down.forward(&inner)?)?;
        }
        let rows = output_rows(batch.spans);
        if rows.is_empty() {
            return Ok(None);
        }
        let x = x.index_select(&Tensor::new(rows, &self.device)?, 0)?;
        self.head.forward(&self.output_norm.forward(&x)?).map(Some)
    }

    /// Cosines and sines of the rows, `[rows][head width / 2]` each.
    fn turns(&self, positions: &[usize]) -> candle_core::Result<Option<(Tensor, Tensor)>> {
        let Some(frequencies) = &self.frequencies else {
            return Ok(None);
        };
        let turns = positions
            .iter()
            .flat_map(|&position| frequencies.iter().map(move |&f| turn(position, f)));
        let (cos, sin): (Vec<f32>, Vec<f32>) = turns.unzip();
        let shape = (positions.len(), frequencies.len());
        let tensor = |values| Tensor::from_vec(values, shape, &self.device)?.to_dtype(self.dtype);
        Ok(Some((tensor(cos)?, tensor(sin)?)))
    }

    fn attention(
        &self,
        layer: usize,
        block: &Block,
        pool: &KvPool,
        spans: &[Span<'_>],
        turns: Option<&(Tensor, Tensor)>,
        x: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let ModelConfig { heads, kv_heads, head_dim, .. } = self.config;
        let rows = x.dim(0)?;
        let normed = block.attention_norm.forward(x)?;
        // `[heads][rows][head width]`, turned.
        let by_head = |linear: &Linear, heads: usize| -> candle_core::Result<Tensor> {
            let x = linear
                .forward(&normed)?
                .reshape((1, rows, heads, head_dim))?
                .transpose(1, 2)?
                .contiguous()?;
            match turns {
                Some((cos, sin)) => rotary_emb::rope(&x, cos, sin)?.squeeze(0),
                None => x.squeeze(0),
            }
        };
        let queries = by_head(&block.query, heads)?;
        let keys = by_head(&block.key, kv_heads)?.transpose(0, 1)?.contiguous()?;
        let values = block.value.forward(&normed)?.reshape((rows, kv_heads, head_dim))?;
        let mut first_row = 0;
        for span in spans {
            pool.store(layer, span, first_row, (&keys, &values))?;
            first_row += span.rows;
        }
        let mut attended = Vec::with_capacity(spans.len());
        first_row = 0;
        for span in spans {
            attended.push(self.attend(
                layer,
                pool,
                span,
                &queries.narrow(1, first_row, span.rows)?,
            )?);
            first_row += span.rows;
        }
        block.attention_output.forward(&Tensor::cat(&attended, 0)?)
    }

    /// Attention of one span's queries, `[heads][rows][head width]`, to `[rows][heads × head width]`.
    fn attend(
        &self,
        layer: usize,
        pool: &KvPool,
        span: &Span<'_>,
        queries: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let ModelConfig { heads, kv_heads, head_dim, .. } = self.config;
        let end = span.first_position + span.rows;
        let (keys, values) = pool.gather(layer, span.pages, end)?;
        let (keys, values) =
            (keys.transpose(0, 1)?.contiguous()?, values.transpose(0, 1)?.contiguous()?);
        // The heads of a group lie side by side, as more rows of their one key and value head.
        let queries =
            queries.contiguous()?.reshape((kv_heads, heads / kv_heads * span.rows, head_dim))?;
        let scores = queries.matmul(&keys.transpose(1, 2)?)?.to_dtype(DType::F32)?;
        let scores =
            (scores * (1.0 / (head_dim as f64).sqrt()))?.reshape((heads, span.rows, end))?;
        let scores = match span.rows {
            1 => scores,
            _ => scores.broadcast_add(&self.mask(span, end)?)?,
        };
        let weights = ops::softmax_last_dim(&scores)?.to_dtype(self.dtype)?;
        let weights = weights.reshape((kv_heads, heads / kv_heads * span.rows, end))?;
        let attended = weights.matmul(&values)?.reshape((heads, span.rows, head_dim))?;
        attended.transpose(0, 1)?.contiguous()?.flatten_from(D::Minus2)
    }

    /// −∞ where a position lies after the row's own.
    fn mask(&self, span: &Span<'_>, end: usize) -> candle_core::Result<Tensor> {
        let masked = |row: usize, position: usize| match position > span.first_position + row {
            true => f32::NEG_INFINITY,
            false => 0.0,
        };
        let mask: Vec<f32> = (0..span.rows)
            .flat_map(|row| (0..end).map(move |position| masked(row, position)))
            .collect();
        Tensor::from_vec(mask, (span.rows, end), &self.device)
    }
}

/// Rows of the batch that need logits.
fn output_rows(spans: &[Span<'_>]) -> Vec<i64> {
    let mut rows = Vec::new();
    let mut first = 0i64;
    for span in spans {
        let end = first + span.rows as i64;
        match span.outputs {
            Outputs::None => {}
            Outputs::Last => rows.push(end - 1),
            Outputs::All => rows.extend(first..end),
        }
        first = end;
    }
    rows
}

/// Copies tensors to the device.
struct Load<'a> {
    source: Source<'a>,
    device: &'a Device,
    dtype: DType,
}

impl Load<'_> {
    fn matrix(&self, matrix: Matrix) -> Result<Tensor, ModelError> {
        let shape = (matrix.rows, matrix.columns);
        Ok(Tensor::from_vec(matrix.data, shape, self.device)?.to_dtype(self.dtype)?)
    }

    fn vector(&self, vector: Matrix) -> Result<Tensor, ModelError> {
        Ok(self.matrix(vector)?.flatten_all()?)
    }

    fn norm(&self, weight: TensorRole, bias: TensorRole) -> Result<Norm, ModelError> {
        let ModelConfig { hidden_size, norm_epsilon, architecture, .. } = *self.source.config;
        let bias = match architecture {
            Architecture::Gpt2 => Some(self.vector(self.source.matrix(bias, 1, hidden_size)?)?),
            Architecture::Llama => None,
        };
        let weight = self.vector(self.source.matrix(weight, 1, hidden_size)?)?;
        Ok(Norm { weight, bias, epsilon: norm_epsilon })
    }

    fn linear(
        &self,
        weight: TensorRole,
        bias: TensorRole,
        outputs: usize,
        inputs: usize,
    ) -> Result<Linear, ModelError> {
        let weight = self.matrix(self.source.matrix(weight, outputs, inputs)?)?;
        let bias = self.source.bias(bias, outputs)?.map(|bias| self.vector(bias)).transpose()?;
        Ok(Linear::new(weight, bias))
    }

    fn block(&self, layer: usize) -> Result<Block, ModelError> {
        use LayerTensor as T;
        let ModelConfig { heads, kv_heads, head_dim, hidden_size, ffn_size, architecture, .. } =
            *self.source.config;
        let role = |tensor| TensorRole::Layer(layer, tensor);
        let linear =
            |weight, bias, outputs, inputs| self.linear(role(weight), role(bias), outputs, inputs);
        let gate = match architecture {
            Architecture::Llama => {
                let gate = self.source.matrix(role(T::Gate), ffn_size, hidden_size)?;
                Some(Linear::new(self.matrix(gate)?, None))
            }
            Architecture::Gpt2 => None,
        };
        Ok(Block {
            attention_norm: self.norm(role(T::AttentionNormWeight), role(T::AttentionNormBias))?,
            query: linear(T::Query, T::QueryBias, heads * head_dim, hidden_size)?,
            key: linear(T::Key, T::KeyBias, kv_heads * head_dim, hidden_size)?,
            value: linear(T::Value, T::ValueBias, kv_heads * head_dim, hidden_size)?,
            attention_output: linear(
                T::AttentionOutput,
                T::AttentionOutputBias,
                hidden_size,
                heads * head_dim,
            )?,
            ffn_norm: self.norm(role(T::FfnNormWeight), role(T::FfnNormBias))?,
            gate,
            up: linear(T::Up, T::UpBias, ffn_size, hidden_size)?,
            down: linear(T::Down, T::DownBias, hidden_size, ffn_size)?,
        })
    }
}
