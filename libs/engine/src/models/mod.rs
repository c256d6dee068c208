//! Implementations of [`Model`](crate::model::Model): the CPU executor, and candle for NVIDIA GPUs and cross-checks.
#![warn(clippy::disallowed_methods)] // numbers must be the same on every platform

mod batch;
#[cfg(feature = "candle")]
pub mod candle;
pub mod cpu;
pub mod fake;
mod rope;
mod source;

use crate::weights::{Blocks, Encoding, Matrix, ModelConfig, ModelFiles, TensorRole, WeightsError};

#[cfg(feature = "candle")]
pub use candle::{CandleDevice, CandleModel, CandleOptions};
pub use cpu::{CpuModel, CpuOptions, Isa, KvPrecision, Precision};
pub use fake::{FakeConfig, FakeLogits, FakeModel};

/// Where a model's weights come from: model files, or random numbers in tests.
pub trait Tensors {
    /// Shape and constants of the model.
    fn config(&self) -> &ModelConfig;
    /// The tensor as f32, `None` when the model has none of that role. It is dropped as soon as it is packed, so an
    /// implementation should make it anew rather than keep it.
    fn tensor(&self, role: TensorRole) -> Result<Option<Matrix>, WeightsError>;
    /// The type that the tensor is stored in; `None` when the model has none of that role.
    fn encoding(&self, role: TensorRole) -> Option<Encoding>;
    /// In which blocks the matrix is stored, if it is quantised and an executor may have the blocks themselves.
    fn block_encoding(&self, _role: TensorRole) -> Option<Encoding> {
        None
    }
    /// The matrix as blocks, its rows in the order of [`Tensors::tensor`]; `None` where [`Tensors::block_encoding`] is.
    fn blocks(&self, _role: TensorRole) -> Result<Option<Blocks>, WeightsError> {
        Ok(None)
    }
}

impl Tensors for ModelFiles {
    fn config(&self) -> &ModelConfig {
        ModelFiles::config(self)
    }

    fn tensor(&self, role: TensorRole) -> Result<Option<Matrix>, WeightsError> {
        ModelFiles::tensor(self, role)
    }

    fn encoding(&self, role: TensorRole) -> Option<Encoding> {
        ModelFiles::encoding(self, role)
    }

    fn block_encoding(&self, role: TensorRole) -> Option<Encoding> {
        ModelFiles::block_encoding(self, role)
    }

    fn blocks(&self, role: TensorRole) -> Result<Option<Blocks>, WeightsError> {
        ModelFiles::blocks(self, role)
    }
}
