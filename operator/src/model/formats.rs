//! The engine's number formats as flags of the pods that compute in them or say so. Pure.

use textnlp_crds::engine::{Dtype, Engine, KvCache, Quantization};

/// The flags for the engine's number formats: only what the manifest sets.
pub(super) fn format_flags(engine: Option<&Engine>) -> Vec<String> {
    let Some(engine) = engine else { return Vec::new() };
    let dtype = match engine.dtype {
        Dtype::Auto => None,
        Dtype::F32 => Some("F32"),
        Dtype::BF16 => Some("BF16"),
        Dtype::F16 => Some("F16"),
    };
    let quantization = match engine.quantization {
        Quantization::Auto => None,
        Quantization::None => Some("None"),
        Quantization::Int8 => Some("Int8"),
        Quantization::Int4 => Some("Int4"),
    };
    let kv_cache = match engine.kv_cache {
        KvCache::Auto => None,
        KvCache::BF16 => Some("BF16"),
        KvCache::Int8 => Some("Int8"),
    };
    let flags = [("--dtype", dtype), ("--quantization", quantization), ("--kv-cache", kv_cache)];
    let set = flags.into_iter().filter_map(|(flag, value)| Some([flag, value?]));
    set.flatten().map(Into::into).collect()
}
