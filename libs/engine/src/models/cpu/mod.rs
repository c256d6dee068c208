//! The CPU executor, numerics `cpu-1/…`: weights in four or eight bits where the model's file has them so or the user wants
//! it, else in f32 or bfloat16; keys and values in f32, bfloat16 or eight bits.
//!
//! In f32 throughout, [`Precision::F32`], it is the plain arithmetic that the quantised kind is tested against.
//!
//! Every output element is computed in a written order that depends on nothing but the model, the token's position and
//! the tokens before it: not on the other rows of a batch, how a prompt is cut, where its pages lie, the number of
//! threads or the instruction set. `panels`, `groups` and `attention` say what that order is.

mod attention;
mod cache;
mod groups;
mod head;
mod isa;
mod lines;
mod math;
mod norm;
mod operand;
mod pack;
mod packed;
mod packed_file;
mod panels;
mod product;
mod rope;
mod sections;
mod step;
mod stored;
mod weights;

use std::sync::Mutex;

use super::{Tensors, batch};
use crate::model::{Batch, Logits, Model, ModelError, ModelInfo, PageCopy};
use crate::weights::Architecture;
use cache::{Cache, CacheShape, PAGE_TOKENS};
use isa::{Cores, Pool};
use rope::Rope;
use step::Step;
use weights::Weights;

#[cfg(feature = "candle")]
pub(super) use head::block_maximum;
pub use isa::{ISA_VARIABLE, Isa};
use pack::Numerics;
pub use pack::numerics;
pub(crate) use packed::LAYOUT;
pub use packed::PackedHead;
pub use packed_file::PackedFile;

/// What weights are computed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// A matrix stored in blocks of integers in those, all others in floating point.
    #[default]
    AsStored,
    /// f32: slow, and the truth that the others are measured by.
    F32,
    /// Eight bits, whatever the file has.
    Int8,
    /// Four bits, eight for the vocabulary's matrix.
    Int4,
}

impl Precision {
    /// One word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Precision::AsStored => "as-stored",
            Precision::F32 => "f32",
            Precision::Int8 => "int8",
            Precision::Int4 => "int4",
        }
    }
}

/// What keys and values of past tokens are kept in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KvPrecision {
    /// f32 if all weights are in floating point, else bfloat16.
    #[default]
    AsWeights,
    /// bfloat16.
    Bf16,
    /// Eight bits, and a scale for each key and each value of a head: about half of bfloat16's memory.
    Int8,
}

/// How to run a model on the CPU. Only the precisions change a result.
#[derive(Debug, Clone)]
pub struct CpuOptions {
    /// Threads that compute, at least 1.
    pub threads: usize,
    /// Most rows of a step; scratch memory grows with it.
    pub max_rows: usize,
    /// Instruction set; `None` takes what [`ISA_VARIABLE`] names, or else the best there is.
    pub isa: Option<Isa>,
    /// What weights are computed in.
    pub precision: Precision,
    /// What keys and values are kept in.
    pub kv_cache: KvPrecision,
    /// Where the packed weights are kept from one start to the next; `None` packs them at each.
    pub packed: Option<PackedFile>,
}

impl Default for CpuOptions {
    /// A thread per processor that this process may use, and 512 rows.
    fn default() -> CpuOptions {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (precision, kv_cache) = (Precision::default(), KvPrecision::default());
        CpuOptions { threads, max_rows: 512, isa: None, precision, kv_cache, packed: None }
    }
}

/// A model whose weights are packed for the CPU.
#[derive(Debug)]
pub struct CpuModel {
    info: ModelInfo,
    isa: Isa,
    pool: Pool,
    weights: Weights,
    cache: Cache,
    step: Step,
}

impl CpuModel {
    /// Packs the weights, tensor by tensor, and starts the threads.
    ///
    /// # Errors
    /// [`ModelError::Weights`] if a tensor is missing or has another shape than the configuration says, or if memory
    /// is short; [`ModelError::Device`] if the threads or the instruction set cannot be had.
    pub fn load(tensors: &dyn Tensors, options: CpuOptions) -> Result<CpuModel, ModelError> {
        let config = tensors.config();
        let isa = options.isa.map_or_else(Isa::from_environment, Ok)?;
        let threads = options.threads.max(1);
        let pool = Pool::new(threads, default_float_environment)
            .map_err(|error| {
                ModelError::Device(format!("cannot start {threads} threads: {error}"))
            })?
            .ok_or_else(|| {
                ModelError::Device(
                    "the processor does not round to nearest or flushes subnormal numbers: results would differ"
                        .into(),
                )
            })?;
        let weights = match &options.packed {
            None => Weights::load(tensors, options.precision)?,
            Some(file) => file.load(tensors, options.precision, &pool)?,
        };
        let shape = CacheShape { kv_heads: config.kv_heads, head_dim: config.head_dim };
        let numerics = Numerics::of(tensors, options.precision, options.kv_cache);
        let cache = Cache::new(config.layers, shape, numerics.kv);
        let info = ModelInfo {
            vocab_size: config.vocab_size,
            context_tokens: config.context_tokens,
            page_tokens: PAGE_TOKENS,
            page_bytes: cache.page_bytes(),
            max_rows: options.max_rows.max(1),
            numerics: numerics.to_string(),
            batch_invariant: true,
        };
        let rope = (config.architecture == Architecture::Llama).then(|| Rope::new(config));
        let scratch = (0..threads).map(|_| Mutex::default()).collect();
        Ok(CpuModel {
            info,
            isa,
            pool,
            weights,
            cache,
            step: Step::new(shape, config.heads, rope, scratch),
        })
    }

    /// The instruction set it runs on.
    pub fn isa(&self) -> Isa {
        self.isa
    }
}

impl Model for CpuModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn reserve(&mut self, pages: u32) -> Result<(), ModelError> {
        self.cache.reserve(pages)
    }

    fn copy_pages(&mut self, copies: &[PageCopy]) -> Result<(), ModelError> {
        batch::check_copies(copies, &self.info, self.cache.pages())?;
        self.cache.copy_pages(copies);
        Ok(())
    }

    fn forward(&mut self, batch: &Batch<'_>, logits: &mut Logits) -> Result<(), ModelError> {
        let outputs = batch::check(batch, &self.info, self.cache.pages())?;
        logits.rows = outputs;
        if batch.tokens.is_empty() {
            logits.values.clear();
            logits.block_max.clear();
            return Ok(());
        }
        let CpuModel { info, isa, pool, weights, cache, step } = self;
        step.run(Cores { isa: *isa, pool }, weights, cache, batch, info.vocab_size, logits)
    }

    fn for_each(&self, count: usize, task: &(dyn Fn(usize) + Sync)) {
        self.pool.for_each((0..count).collect(), task);
    }
}

/// Whether this thread rounds to nearest even and keeps subnormal numbers, as the written order assumes.
fn default_float_environment() -> bool {
    let number = std::hint::black_box::<fn(f32) -> f32>(std::hint::black_box);
    let half_ulp = number(f32::EPSILON / 2.0);
    let nearest_even = number(1.0) + half_ulp == 1.0
        && number(1.0 + f32::EPSILON) + half_ulp == 1.0 + 2.0 * f32::EPSILON;
    let symmetric = number(-1.0) - half_ulp == -1.0;
    let subnormal = number(f32::MIN_POSITIVE) * number(0.5);
    nearest_even
        && symmetric
        && subnormal > 0.0
        && number(subnormal) * number(2.0) == f32::MIN_POSITIVE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_start_with_the_default_float_environment() {
        assert!(default_float_environment());
    }
}
