//! Which fields of a job cannot change once it has started: transition rules at the root, because
//! they read `status.startTime` beside the spec. No I/O.
//!
//! Each field has a rule of its own, so that the answer names the field.

use kube::core::Rule;

const NOT_STARTED: &str = "!has(oldSelf.status) || !has(oldSelf.status.startTime)";

/// `spec.<field>` must stay as it is.
pub(crate) fn unchanged(field: &str) -> Rule {
    let path = format!("spec.{field}");
    let same = format!(
        "has(self.{path}) == has(oldSelf.{path}) && (!has(self.{path}) || self.{path} == oldSelf.{path})"
    );
    Rule::new(format!("{NOT_STARTED} || ({})", guarded(field, same)))
        .message("field is immutable once the job has started: make a new job, or delete this one and create it again")
        .field_path(format!(".{path}"))
}

/// `spec.source.limit` may be raised or removed: the dataset is extended.
pub(crate) fn limit_only_grows() -> Rule {
    let grows = "!has(self.spec.source.limit) || (has(oldSelf.spec.source.limit) && self.spec.source.limit >= oldSelf.spec.source.limit)";
    Rule::new(format!("{NOT_STARTED} || ({})", guarded("source.limit", grows.into())))
        .message("limit can only be raised once the job has started")
        .field_path(".spec.source.limit")
}

/// `spec.samplesPerRecord` may be raised: the dataset is extended.
pub(crate) fn samples_only_grow() -> Rule {
    Rule::new(format!(
        "{NOT_STARTED} || self.spec.samplesPerRecord >= oldSelf.spec.samplesPerRecord"
    ))
    .message("samplesPerRecord can only be raised once the job has started")
    .field_path(".spec.samplesPerRecord")
}

/// A nested field is compared only where both objects have its parent; `has` of a missing parent
/// would be an error.
fn guarded(field: &str, same: String) -> String {
    match field.split_once('.') {
        Some((parent, _)) => {
            format!("!has(self.spec.{parent}) || !has(oldSelf.spec.{parent}) || ({same})")
        }
        None => same,
    }
}
