//! candle as a second implementation: NVIDIA GPUs, and on the CPU a cross-check within tolerance.
//!
//! candle's products choose their order of summation by shape, so a row's logits may differ in their last bits with the
//! batch: `batch_invariant` is false, and so is a job's `reproducible`.

mod cache;
mod decoder;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use super::{Tensors, batch, cpu};
use crate::model::{Batch, LOGITS_BLOCK, Logits, Model, ModelError, ModelInfo, PageCopy};
use cache::KvPool;
use decoder::Decoder;

/// Tokens of a KV page.
const PAGE_TOKENS: usize = 16;

/// Where and in which precision candle computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandleDevice {
    /// f32 on the CPU, numerics `candle-cpu/f32`.
    Cpu,
    /// f32 on the GPU of that ordinal, numerics `cuda/f32`. Needs the feature `cuda`.
    CudaF32(usize),
    /// bf16 on the GPU of that ordinal, numerics `cuda/bf16`. Needs the feature `cuda`.
    CudaBf16(usize),
}

/// How to run a model with candle.
#[derive(Debug, Clone, Copy)]
pub struct CandleOptions {
    /// Device and precision.
    pub device: CandleDevice,
    /// Most rows of a step.
    pub max_rows: usize,
}

/// A model on a candle device.
pub struct CandleModel {
    info: ModelInfo,
    decoder: Decoder,
    pool: KvPool,
}

impl CandleModel {
    /// Copies the weights to the device.
    ///
    /// # Errors
    /// [`ModelError::Weights`] if a tensor is missing or has another shape than the configuration says;
    /// [`ModelError::Device`] if the device cannot be had or its memory does not suffice.
    pub fn load(tensors: &dyn Tensors, options: CandleOptions) -> Result<CandleModel, ModelError> {
        let (device, dtype, numerics) = match options.device {
            CandleDevice::Cpu => (Device::Cpu, DType::F32, "candle-cpu/f32"),
            CandleDevice::CudaF32(ordinal) => (Device::new_cuda(ordinal)?, DType::F32, "cuda/f32"),
            CandleDevice::CudaBf16(ordinal) => {
                (Device::new_cuda(ordinal)?, DType::BF16, "cuda/bf16")
            }
        };
        let decoder = Decoder::load(tensors, &device, dtype)?;
        let config = tensors.config();
        let pool = KvPool::new(config, &device, dtype);
        let info = ModelInfo {
            vocab_size: config.vocab_size,
            context_tokens: config.context_tokens,
            page_tokens: PAGE_TOKENS,
            page_bytes: pool.page_bytes(),
            max_rows: options.max_rows.max(1),
            numerics: numerics.into(),
            batch_invariant: false,
        };
        Ok(CandleModel { info, decoder, pool })
    }
}

impl Model for CandleModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn reserve(&mut self, pages: u32) -> Result<(), ModelError> {
        self.pool
            .reserve(pages)
            .map_err(|_| ModelError::Memory { pages, page_bytes: self.info.page_bytes })
    }

    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), ModelError> {
        batch::check_copies(copies, &self.info, self.pool.pages())?;
        Ok(self.pool.copy_pages(copies)?)
    }

    fn forward(&mut self, batch: &Batch<'_>, logits: &mut Logits) -> Result<(), ModelError> {
        logits.rows = batch::check(batch, &self.info, self.pool.pages())?;
        logits.values.clear();
        logits.block_max.clear();
        if batch.tokens.is_empty() {
            return Ok(());
        }
        let outputs = self.decoder.forward(&self.pool, batch)?;
        if let Some(outputs) = outputs {
            read_logits(&outputs, logits)?;
        }
        Ok(())
    }

    fn for_each(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        // candle's own threads.
        (0..count).into_par_iter().for_each(task);
    }
}

/// Copies `[rows][vocab]` from the device.
fn read_logits(outputs: &Tensor, logits: &mut Logits) -> Result<(), ModelError> {
    logits.values = outputs.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    for row in logits.values.chunks(outputs.dim(1)?) {
        logits.block_max.extend(row.chunks(LOGITS_BLOCK).map(cpu::block_maximum));
    }
    Ok(())
}

impl From<candle_core::Error> for ModelError {
    fn from(error: candle_core::Error) -> ModelError {
        ModelError::Device(error.to_string())
    }
}
