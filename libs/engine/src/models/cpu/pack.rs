//! Which precision a matrix is computed in, and the packing of stored tensors into its panels.

use super::Precision;
use super::groups::{Group, Int4Group, Int8Group};
use super::lines::{LANES, Line};
use super::panels::{Element, Packed, Panels};
use crate::model::ModelError;
use crate::models::Tensors;
use crate::models::source::Source;
use crate::weights::{Architecture, Encoding, LayerTensor, Matrix, ModelConfig, TensorRole};

/// Name of the arithmetic that a model runs in: that of its smallest weights.
///
/// A matrix whose stored blocks can be computed with is; the others are computed in f32.
pub fn numerics(tensors: &dyn Tensors, precision: Precision) -> &'static str {
    let config = tensors.config();
    let layers = (0..config.layers).flat_map(|layer| layer_matrices(config, layer));
    let head = match tensors.block_encoding(TensorRole::Head) {
        Some(_) => TensorRole::Head,
        None => TensorRole::TokenEmbedding,
    };
    let classes: Vec<Class> = layers
        .chain([vec![head]])
        .map(|roles| Class::of(tensors, precision, roles.iter().copied()))
        .collect();
    if classes.contains(&Class::Int4) {
        "cpu-1/q4"
    } else if classes.contains(&Class::Int8) {
        "cpu-1/int8"
    } else {
        "cpu-1/f32"
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
    Int4,
    Int8,
}

impl Class {
    /// That of a matrix made of these tensors: their own if they share one, else f32.
    fn of(
        tensors: &dyn Tensors,
        precision: Precision,
        roles: impl IntoIterator<Item = TensorRole>,
    ) -> Class {
        let mut classes = roles.into_iter().map(|role| Class::of_one(tensors, precision, role));
        let first = classes.next().unwrap_or(Class::F32);
        if classes.all(|class| class == first) { first } else { Class::F32 }
    }

    fn of_one(tensors: &dyn Tensors, precision: Precision, role: TensorRole) -> Class {
        let output = matches!(role, TensorRole::Layer(_, LayerTensor::AttentionOutput));
        // Its inputs are heads, each padded to whole lines; padding inside a block would take it apart.
        let padded = output && !tensors.config().head_dim.is_multiple_of(LANES);
        if precision == Precision::F32 || padded {
            return Class::F32;
        }
        match tensors.block_encoding(role) {
            Some(Encoding::Q4_0 | Encoding::Q4_1) => Class::Int4,
            Some(Encoding::Q8_0) => Class::Int8,
            _ => Class::F32,
        }
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

impl Source<'_> {
    /// Packs the parts of a matrix of that many outputs and inputs, padding included.
    pub(super) fn pack(
        &self,
        precision: Precision,
        parts: &[Part<'_>],
        (outputs, inputs): (usize, usize),
    ) -> Result<Panels, ModelError> {
        let roles = parts.iter().map(|part| part.role);
        let packed = match Class::of(self.tensors, precision, roles) {
            Class::F32 => None,
            Class::Int4 => self.pack_blocks::<Int4Group>(parts, outputs)?.map(Panels::Int4),
            Class::Int8 => self.pack_blocks::<Int8Group>(parts, outputs)?.map(Panels::Int8),
        };
        match packed {
            Some(panels) => Ok(panels),
            None => self.pack_f32(parts, outputs, inputs).map(Panels::F32),
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
                none => none.insert(Packed::groups(outputs, part.columns)?),
            };
            if !packed.fill_blocks(&blocks, part.column) {
                return Ok(None);
            }
        }
        Ok(packed)
    }

    fn pack_f32(
        &self,
        parts: &[Part<'_>],
        outputs: usize,
        inputs: usize,
    ) -> Result<Packed<Line>, ModelError> {
        // All are read, and so checked, before memory is asked for.
        let read = |part: &Part<'_>| self.matrix(part.role, part.rows, part.columns);
        let matrices: Vec<Matrix> = parts.iter().map(read).collect::<Result<_, _>>()?;
        let mut packed = Packed::zeroed(outputs, inputs)?;
        for (part, matrix) in parts.iter().zip(matrices) {
            packed.fill(&matrix, part.column, part.input);
        }
        Ok(packed)
    }
}
