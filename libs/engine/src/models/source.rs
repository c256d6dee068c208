//! Looks up a model's tensors with the shapes that its configuration asks for.

use super::Tensors;
use crate::model::ModelError;
use crate::weights::{Architecture, Blocks, Matrix, ModelConfig, TensorRole};

/// The tensors, looked up with the shape they must have.
pub(super) struct Source<'a> {
    pub(super) tensors: &'a dyn Tensors,
    pub(super) config: &'a ModelConfig,
}

impl<'a> Source<'a> {
    /// Checks the configuration.
    pub(super) fn new(tensors: &'a dyn Tensors) -> Result<Source<'a>, ModelError> {
        let config = tensors.config();
        check_config(config)?;
        Ok(Source { tensors, config })
    }

    /// The tensor of that role, if there is one.
    pub(super) fn find(
        &self,
        role: TensorRole,
        rows: usize,
        columns: usize,
    ) -> Result<Option<Matrix>, ModelError> {
        let tensor =
            self.tensors.tensor(role).map_err(|error| ModelError::Weights(error.to_string()))?;
        match tensor {
            Some(tensor) if (tensor.rows, tensor.columns) != (rows, columns) => {
                Err(ModelError::Weights(format!(
                    "{role:?} is {} × {}, but the configuration asks for {rows} × {columns}",
                    tensor.rows, tensor.columns
                )))
            }
            Some(tensor) if Some(tensor.data.len()) != rows.checked_mul(columns) => {
                Err(ModelError::Weights(format!(
                    "{role:?} has {} values instead of {rows} × {columns}",
                    tensor.data.len()
                )))
            }
            other => Ok(other),
        }
    }

    /// The tensor of that role, which must be there.
    pub(super) fn matrix(
        &self,
        role: TensorRole,
        rows: usize,
        columns: usize,
    ) -> Result<Matrix, ModelError> {
        self.find(role, rows, columns)?
            .ok_or_else(|| ModelError::Weights(format!("{role:?} ({rows} × {columns}) is missing")))
    }

    /// The matrix of that role as blocks, if it is stored so.
    pub(super) fn blocks(
        &self,
        role: TensorRole,
        rows: usize,
        columns: usize,
    ) -> Result<Option<Blocks>, ModelError> {
        let blocks =
            self.tensors.blocks(role).map_err(|error| ModelError::Weights(error.to_string()))?;
        match blocks {
            Some(blocks) if (blocks.rows(), blocks.columns()) != (rows, columns) => {
                Err(ModelError::Weights(format!(
                    "{role:?} is {} × {}, but the configuration asks for {rows} × {columns}",
                    blocks.rows(),
                    blocks.columns()
                )))
            }
            other => Ok(other),
        }
    }

    /// A vector that GPT-2 must have and other architectures may have.
    pub(super) fn bias(
        &self,
        role: TensorRole,
        length: usize,
    ) -> Result<Option<Matrix>, ModelError> {
        match self.config.architecture {
            Architecture::Gpt2 => self.matrix(role, 1, length).map(Some),
            Architecture::Llama => self.find(role, 1, length),
        }
    }
}

/// Largest size that is believed; products of two sizes are then far from overflow.
const MOST: usize = 1 << 24;

fn check_config(config: &ModelConfig) -> Result<(), ModelError> {
    let refuse =
        |message: &str| Err(ModelError::Weights(format!("the model's configuration: {message}")));
    let sizes = [
        config.vocab_size,
        config.hidden_size,
        config.layers,
        config.heads,
        config.kv_heads,
        config.head_dim,
        config.ffn_size,
        config.context_tokens,
    ];
    if sizes.iter().any(|size| !(1..=MOST).contains(size)) {
        return refuse("every size must be from 1 to 16,777,216");
    }
    if !config.heads.is_multiple_of(config.kv_heads) {
        return refuse("the key and value heads must divide the query heads");
    }
    if config.architecture == Architecture::Llama {
        if !config.head_dim.is_multiple_of(2) {
            return refuse("rotary position embedding needs an even head width");
        }
        if config.rope_factors.as_ref().is_some_and(|factors| factors.len() != config.head_dim / 2)
        {
            return refuse("there must be one rotary factor for each pair of a head");
        }
    }
    Ok(())
}
