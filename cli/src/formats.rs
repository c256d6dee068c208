//! Which of the number formats that a ModelDeployment may name this build computes in. No I/O.

use std::fmt::Debug;

use textnlp_crds::engine::{Dtype, Engine, KvCache, Quantization};
use textnlp_engine::models::Precision;

/// A format that this build does not compute in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsupported {
    /// The field of `spec.engine`.
    pub(crate) field: &'static str,
    /// What it says.
    pub(crate) found: String,
    /// What it may say.
    pub(crate) allowed: &'static str,
}

/// What the model is computed in, or the first format that this build does not compute in.
pub(crate) fn precision(engine: &Engine) -> Result<Precision, Unsupported> {
    let refuse = |field, found: &dyn Debug, allowed| {
        Err(Unsupported { field, found: format!("{found:?}"), allowed })
    };
    match (engine.dtype, engine.quantization, engine.kv_cache) {
        (Dtype::BF16 | Dtype::F16, ..) => refuse("dtype", &engine.dtype, "Auto or F32"),
        (.., KvCache::BF16 | KvCache::Int8) => refuse("kvCache", &engine.kv_cache, "Auto"),
        (Dtype::F32, Quantization::Int8 | Quantization::Int4, _) => {
            refuse("quantization", &engine.quantization, "Auto or None, with dtype F32")
        }
        (Dtype::F32, ..) | (_, Quantization::None, _) => Ok(Precision::F32),
        (Dtype::Auto, Quantization::Auto, _) => Ok(Precision::AsStored),
        (Dtype::Auto, Quantization::Int8, _) => Ok(Precision::Int8),
        (Dtype::Auto, Quantization::Int4, _) => Ok(Precision::Int4),
    }
}
