//! Which of the number formats that a ModelDeployment may name this build computes in. No I/O.

use std::fmt::Debug;

use textnlp_crds::engine::{Dtype, Engine, KvCache, Quantization};

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

/// Refuses the first format that this build does not compute in.
pub(crate) fn check(engine: &Engine) -> Result<(), Unsupported> {
    let refuse = |field, found: &dyn Debug, allowed| {
        Err(Unsupported { field, found: format!("{found:?}"), allowed })
    };
    match (engine.dtype, engine.quantization, engine.kv_cache) {
        (Dtype::BF16 | Dtype::F16, ..) => refuse("dtype", &engine.dtype, "Auto or F32"),
        (_, Quantization::Int8 | Quantization::Int4, _) => {
            refuse("quantization", &engine.quantization, "Auto or None")
        }
        (.., KvCache::BF16 | KvCache::Int8) => refuse("kvCache", &engine.kv_cache, "Auto"),
        _ => Ok(()),
    }
}
