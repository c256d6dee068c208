//! Implementations of [`Model`](crate::model::Model): the CPU executor, and candle for NVIDIA GPUs and cross-checks.
#![warn(clippy::disallowed_methods)] // numbers must be the same on every platform

mod batch;
#[cfg(feature = "candle")]
pub mod candle;
pub mod cpu;
pub mod fake;
mod rope;
mod source;

use crate::weights::{Matrix, ModelConfig, ModelFiles, TensorRole, WeightsError};

#[cfg(feature = "candle")]
pub use candle::{CandleDevice, CandleModel, CandleOptions};
pub use cpu::{CpuModel, CpuOptions, Isa};
pub use fake::{FakeConfig, FakeLogits, FakeModel};

/// Where a model's weights come from: model files, or random numbers in tests.
pub trait Tensors {
    /// Shape and constants of the model.
    fn config(&self) -> &ModelConfig;
    /// The tensor as f32, `None` when the model has none of that role. It is dropped as soon as it is packed, so an
    /// implementation should make it anew rather than keep it.
    fn tensor(&self, role: TensorRole) -> Result<Option<Matrix>, WeightsError>;
}

impl Tensors for ModelFiles {
    fn config(&self) -> &ModelConfig {
        ModelFiles::config(self)
    }

    fn tensor(&self, role: TensorRole) -> Result<Option<Matrix>, WeightsError> {
        ModelFiles::tensor(self, role)
    }
}
