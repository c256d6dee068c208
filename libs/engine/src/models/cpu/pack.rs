//! Which precision a matrix is computed in, and the packing of stored tensors into its panels.

use std::fmt;

use super::cache::KvFormat;
use super::groups::{GROUP, Group};
use super::lines::LANES;
use super::packed::Kind;
use super::panels::{Element, Packed, Panels};
use super::stored::Float;
use super::weights::Packer;
use super::{KvPrecision, Precision};
use crate::model::ModelError;
use crate::models::Tensors;
use crate::weights::{
    Architecture, Encoding, IntegerGroup, LayerTensor, Matrix, ModelConfig, TensorRole,
};

/// Numerics of a model that is computed in f32 throughout.
const F32: &str = "cpu-1/f32";

/// What a model is computed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numerics {
    /// Name of the arithmetic of the weights.
    weights: &'static str,
    pub(super) kv: KvFormat,
}

/// Name of the arithmetic that a model runs in: what its weights are converted to, or else that of its smallest ones, then
/// what keys and values are kept in where they are not kept as such weights have it.
///
/// A matrix whose stored blocks can be computed with is; the others are computed in f32. Keys and values are kept in
/// bfloat16, or in f32 if all weights are in floating point, unless `kv_cache` says otherwise.
pub fn numerics(tensors: &dyn Tensors, precision: Precision, kv_cache: KvPrecision) -> String {
    Numerics::of(tensors, precision, kv_cache).to_string()
}

impl Numerics {
    pub(super) fn of(
        tensors: &dyn Tensors,
        precision: Precision,
        kv_cache: KvPrecision,
    ) -> Numerics {
        let weights = weights_numerics(tensors, precision);
        let kv = match kv_cache {
            KvPrecision::AsWeights => Numerics::usual_kv(weights),
            KvPrecision::Bf16 => KvFormat::Bf16,
            KvPrecision::Int8 => KvFormat::Int8,
        };
        Numerics { weights, kv }
    }

    fn usual_kv(weights: &str) -> KvFormat {
        if weights == F32 { KvFormat::F32 } else { KvFormat::Bf16 }
    }
}

impl fmt::Display for Numerics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.weights)?;
        out.write_str(match self.kv {
            kv if kv == Numerics::usual_kv(self.weights) => "",
            KvFormat::F32 => "+kv32",
            KvFormat::Bf16 => "+kv16",
            KvFormat::Int8 => "+kv8",
        })
    }
}

fn weights_numerics(tensors: &dyn Tensors, precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => return F32,
        Precision::Int8 => return "cpu-1/to-int8",
        Precision::Int4 => return "cpu-1/to-int4",
        Precision::AsStored => {}
    }
    let config = tensors.config();
    let layers = (0..config.layers).flat_map(|layer| layer_matrices(config, layer));
    let head = match tensors.encoding(TensorRole::Head) {
        Some(_) => TensorRole::Head,
        None => TensorRole::TokenEmbedding,
    };
    let classes: Vec<Class> = layers
        .chain([vec![head]])
        .map(|roles| Class::of(tensors, precision, roles.iter().copied()))
        .collect();
    if classes.iter().any(|class| matches!(class, Class::Int4 | Class::WideInt4)) {
        "cpu-1/q4"
    } else if classes.iter().any(|class| matches!(class, Class::Int8 | Class::WideInt8)) {
        "cpu-1/int8"
    } else {
        F32
    }
}

/// The tensors of each matrix of a block.
fn layer_matrices(config: &ModelConfig, layer: usize) -> Vec<Vec<TensorRole>> {
    use LayerTensor::{AttentionOutput, Down, Gate, Key, Query, Up, Value};
    let inner: &[LayerTensor] = match config.architecture {
        Architecture::Llama => &[Gate, Up],
        Architecture::Gpt2 => &[Up],
    };
    [&[Query, Key, Value][..], &[AttentionOutput], inner, &[Down]]
        .map(|tensors| tensors.iter().map(|&tensor| TensorRole::Layer(layer, tensor)).collect())
        .to_vec()
}

/// Kind of panels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    F32,
    Bf16,
    Int4,
    WideInt4,
    Int8,
    WideInt8,
}

impl Class {
    /// Its name in a file.
    fn kind(self) -> Kind {
        match self {
            Class::F32 => Kind::F32,
            Class::Bf16 => Kind::Bf16,
            Class::Int4 => Kind::Int4,
            Class::WideInt4 => Kind::WideInt4,
            Class::Int8 => Kind::Int8,
            Class::WideInt8 => Kind::WideInt8,
        }
    }

    /// That of a matrix made of these tensors: the narrowest that says all of them exactly.
    fn of(
        tensors: &dyn Tensors,
        precision: Precision,
        roles: impl IntoIterator<Item = TensorRole>,
    ) -> Class {
        let classes = roles.into_iter().map(|role| Class::of_one(tensors, precision, role));
        classes.reduce(Class::both).unwrap_or(Class::F32)
    }

    fn both(self, other: Class) -> Class {
        match (self, other) {
            _ if self == other => self,
            (Class::F32 | Class::Bf16, _) | (_, Class::F32 | Class::Bf16) => Class::F32,
            (Class::Int4 | Class::WideInt4, Class::Int4 | Class::WideInt4) => Class::WideInt4,
            _ => Class::WideInt8,
        }
    }

    fn of_one(tensors: &dyn Tensors, precision: Precision, role: TensorRole) -> Class {
        let output = matches!(role, TensorRole::Layer(_, LayerTensor::AttentionOutput));
        // Its inputs are heads, each padded to whole lines; padding inside a block would take it apart.
        let padded = output && !tensors.config().head_dim.is_multiple_of(LANES);
        let stored = match tensors.encoding(role) {
            Some(Encoding::BF16) => Class::Bf16,
            _ => Class::F32,
        };
        // Logits want more bits than the sums inside.
        let vocabulary = matches!(role, TensorRole::Head | TensorRole::TokenEmbedding);
        let whole = inputs(tensors.config(), role).is_multiple_of(GROUP);
        match precision {
            _ if padded => stored,
            Precision::F32 => Class::F32,
            Precision::Int4 if whole && !vocabulary => Class::Int4,
            Precision::Int8 | Precision::Int4 if whole => Class::Int8,
            Precision::Int8 | Precision::Int4 => stored,
            Precision::AsStored => match tensors.block_encoding(role) {
                Some(Encoding::Q4_0 | Encoding::Q4_1) => Class::Int4,
                Some(Encoding::Q4_K) => Class::WideInt4,
                Some(Encoding::Q8_0 | Encoding::Q5_0) => Class::Int8,
                Some(Encoding::Q5_1 | Encoding::Q5_K | Encoding::Q6_K) => Class::WideInt8,
                Some(Encoding::F32 | Encoding::F16 | Encoding::BF16) | None => stored,
            },
        }
    }
}

/// Columns of a matrix.
fn inputs(config: &ModelConfig, role: TensorRole) -> usize {
    match role {
        TensorRole::Layer(_, LayerTensor::Down) => config.ffn_size,
        TensorRole::Layer(_, LayerTensor::AttentionOutput) => config.heads * config.head_dim,
        _ => config.hidden_size,
    }
}

/// A tensor's part in a packed matrix.
pub(super) struct Part<'a> {
    pub(super) role: TensorRole,
    pub(super) rows: usize,
    pub(super) columns: usize,
    /// Output column of each of its rows.
    pub(super) column: &'a dyn Fn(usize) -> usize,
    /// Input of each of its columns, where f32 panels are padded.
    pub(super) input: &'a dyn Fn(usize) -> usize,
}

impl<'a> Part<'a> {
    /// A tensor that is a matrix of its own.
    pub(super) fn whole(role: TensorRole, rows: usize, columns: usize) -> Part<'a> {
        Part { role, rows, columns, column: &|row| row, input: &|column| column }
    }
}

impl Packer<'_> {
    /// Packs the parts of a matrix of that many outputs and inputs, padding included.
    pub(super) fn pack(
        &self,
        parts: &[Part<'_>],
        (outputs, inputs): (usize, usize),
    ) -> Result<Panels, ModelError> {
        let roles = parts.iter().map(|part| part.role);
        let class = Class::of(self.tensors, self.precision, roles);
        let shape = (outputs, inputs);
        if let Some(sections) = &self.sections {
            return sections.panels(&self.arena, class.kind(), shape);
        }
        let converted = matches!(self.precision, Precision::Int8 | Precision::Int4);
        let packed = match class {
            Class::F32 => None,
            Class::Bf16 => Some(Panels::Bf16(self.pack_lines(parts, shape)?)),
            Class::Int4 if converted => {
                Some(Panels::Int4(self.convert(parts, outputs, IntegerGroup::nearest_4_bits)?))
            }
            Class::Int8 if converted => {
                Some(Panels::Int8(self.convert(parts, outputs, IntegerGroup::nearest_8_bits)?))
            }
            Class::Int4 => self.pack_blocks(parts, outputs)?.map(Panels::Int4),
            Class::WideInt4 => self.pack_blocks(parts, outputs)?.map(Panels::WideInt4),
            Class::Int8 => self.pack_blocks(parts, outputs)?.map(Panels::Int8),
            Class::WideInt8 => self.pack_blocks(parts, outputs)?.map(Panels::WideInt8),
        };
        match packed {
            Some(panels) => Ok(panels),
            None => self.pack_lines(parts, shape).map(Panels::F32),
        }
    }

    /// `None` if a block cannot be said in these groups.
    fn pack_blocks<G: Group + Element>(
        &self,
        parts: &[Part<'_>],
        outputs: usize,
    ) -> Result<Option<Packed<G>>, ModelError> {
        let mut packed: Option<Packed<G>> = None;
        for part in parts {
            let Some(blocks) = self.blocks(part.role, part.rows, part.columns)? else {
                return Ok(None);
            };
            let packed = match &mut packed {
                Some(packed) => packed,
                none => none.insert(Packed::groups(&self.arena, outputs, part.columns)?),
            };
            let mut rows = blocks.row_groups().enumerate();
            if !rows.all(|(row, groups)| packed.fill_column((part.column)(row), groups)) {
                return Ok(None);
            }
        }
        Ok(packed)
    }

    /// Rounds the parts of a matrix, 32 weights at a time.
    fn convert<G: Group + Element>(
        &self,
        parts: &[Part<'_>],
        outputs: usize,
        nearest: impl Fn(&[f32; GROUP]) -> Option<IntegerGroup>,
    ) -> Result<Packed<G>, ModelError> {
        let mut packed: Option<Packed<G>> = None;
        for part in parts {
            let matrix = self.matrix(part.role, part.rows, part.columns)?;
            let packed = match &mut packed {
                Some(packed) => packed,
                none => none.insert(Packed::groups(&self.arena, outputs, part.columns)?),
            };
            for (row, values) in matrix.data.chunks_exact(part.columns).enumerate() {
                let groups = values.as_chunks::<GROUP>().0.iter().map(&nearest);
                let groups: Option<Vec<IntegerGroup>> = groups.collect();
                let fits = groups.is_some_and(|groups| {
                    packed.fill_column((part.column)(row), groups.into_iter())
                });
                if !fits {
                    return Err(ModelError::Weights(format!(
                        "{:?}, row {row}: weights that are no finite numbers, or beyond half precision, cannot be converted",
                        part.role
                    )));
                }
            }
        }
        packed.ok_or_else(|| ModelError::Weights("a matrix without parts".into()))
    }

    fn pack_lines<L: Float + Element>(
        &self,
        parts: &[Part<'_>],
        (outputs, inputs): (usize, usize),
    ) -> Result<Packed<L>, ModelError> {
        // All are read, and so checked, before memory is asked for.
        let read = |part: &Part<'_>| self.matrix(part.role, part.rows, part.columns);
        let matrices: Vec<Matrix> = parts.iter().map(read).collect::<Result<_, _>>()?;
        let mut packed = Packed::zeroed(&self.arena, outputs, inputs)?;
        for (part, matrix) in parts.iter().zip(matrices) {
            packed.fill(&matrix, part.column, part.input);
        }
        Ok(packed)
    }
}
