//! The number formats of a ModelDeployment's `spec.engine` as flags.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::de::DeserializeOwned;
use textnlp_crds::engine::{Dtype, Engine, KvCache, Quantization};

use crate::failure::Failure;
use crate::formats::{Formats, Unsupported};

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct FormatArgs {
    /// Number format of the arithmetic
    #[arg(long, ignore_case = true, default_value = "Auto", value_parser = format::<Dtype>(&["Auto", "F32", "BF16", "F16"]))]
    pub(crate) dtype: Dtype,
    /// Number format of the weights
    #[arg(long, ignore_case = true, default_value = "Auto", value_parser = format::<Quantization>(&["Auto", "None", "Int8", "Int4"]))]
    pub(crate) quantization: Quantization,
    /// Number format of the keys and values of past tokens
    #[arg(long, ignore_case = true, default_value = "Auto", value_parser = format::<KvCache>(&["Auto", "BF16", "Int8"]))]
    pub(crate) kv_cache: KvCache,
}

impl FormatArgs {
    /// As the manifest says it.
    pub(crate) fn engine(self) -> Engine {
        let FormatArgs { dtype, quantization, kv_cache } = self;
        Engine { dtype, quantization, kv_cache, ..Engine::default() }
    }

    /// What the model is computed in.
    ///
    /// # Errors
    /// This build does not compute in one of them.
    pub(crate) fn formats(self) -> Result<Formats, Failure> {
        Formats::of(&self.engine()).map_err(|Unsupported { field, found, allowed }| {
            Failure::usage(format!(
                "--{field} is {found}: this build does not compute in it; use {allowed}"
            ))
        })
    }
}

/// A number format by one of its names in a ModelDeployment's `spec.engine`, in any case.
fn format<T>(names: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: DeserializeOwned + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|typed| {
        let name = names.iter().find(|name| name.eq_ignore_ascii_case(&typed));
        serde_json::from_value(name.copied().into())
    })
}
