//! Parts of a request that are written as in a GenerationJob, checked by its schema and rules, and refused in the words in which an
//! API server refuses them.

use serde_json::{Value, json};
use textnlp_crds::Kind;
use textnlp_crds::admission::{self, Cause};
use textnlp_crds::job::GenerationJobSpec;

use crate::error::ApiError;

/// What a request calls otherwise than a spec.
const NAMES: [(&str, &str); 5] = [
    ("source.inline.records", "records"),
    ("samplesPerRecord", "samples_per_record"),
    ("output.maskPii", "mask_pii"),
    ("modelRef", "model"),
    ("source", "records"),
];

/// A spec with every default filled in.
pub(crate) fn spec(spec: &Value) -> Result<GenerationJobSpec, ApiError> {
    let manifest = json!({
        "apiVersion": "textnlp.dev/v1alpha1",
        "kind": "GenerationJob",
        "metadata": {"name": "request"},
        "spec": spec,
    });
    let admitted = admission::admit(Kind::GenerationJob, &manifest, None)
        .map_err(|causes| refused(&causes))?;
    let spec = admitted.get("spec").cloned().unwrap_or_default();
    serde_path_to_error::deserialize(spec)
        .map_err(|error| at(&format!("spec.{}", error.path()), &error.inner().to_string(), ""))
}

/// A field of the spec at which something is wrong, as the request calls it.
pub(crate) fn at(path: &str, message: &str, more: &str) -> ApiError {
    let param = renamed(path);
    ApiError::invalid(param.clone(), format!("{param}: {}{more}", message.replace("spec.", "")))
}

/// The first reason, and how many there are.
fn refused(causes: &[Cause]) -> ApiError {
    let Some(first) = causes.first() else { return ApiError::Internal };
    let more = match causes.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    at(&first.path, &first.message, &more)
}

fn renamed(path: &str) -> String {
    let path = path.strip_prefix("spec.").unwrap_or(path);
    let found = NAMES.iter().find_map(|(ours, theirs)| Some((path.strip_prefix(ours)?, theirs)));
    match found {
        Some((rest, name)) if rest.is_empty() || rest.starts_with(['.', '[']) => {
            format!("{name}{rest}")
        }
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_spec_gets_the_requests_names() {
        for (path, expect) in [
            ("spec.columns[0].prompt", "columns[0].prompt"),
            ("spec.samplesPerRecord", "samples_per_record"),
            ("spec.output.maskPii.fields[1]", "mask_pii.fields[1]"),
            ("spec.source.inline.records[3]", "records[3]"),
            ("spec.sourceless", "sourceless"),
        ] {
            assert_eq!(renamed(path), expect);
        }
    }
}
