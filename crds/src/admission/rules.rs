//! The CEL rules of a schema (`x-kubernetes-validations`). No I/O.

use std::sync::LazyLock;

use kube_cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::Value;

use super::cause::{Cause, CauseKind, type_name};
use crate::kind::Kind;

/// Appends a cause for each rule that `object` breaks, or that the change from `old` breaks.
pub(super) fn check(kind: Kind, object: &Value, old: Option<&Value>, causes: &mut Vec<Cause>) {
    let Err(errors) = Validator::new().validate_compiled(compiled(kind), object, old) else {
        return;
    };
    for error in errors {
        let path = error.field_path.trim_start_matches('.');
        let detail = match error.kind {
            ErrorKind::ValidationFailure => error.message,
            _ => format!("rule {:?} could not be evaluated: {}", error.rule, error.message),
        };
        match value_at(object, path) {
            Some(scalar) if !scalar.is_object() && !scalar.is_array() => {
                causes.push(Cause::invalid(path, scalar, &detail));
            }
            found => {
                let type_ = found.map_or("object", type_name);
                let message = format!("Invalid value: \"{type_}\": {detail}");
                causes.push(Cause::new(path, CauseKind::Invalid, message));
            }
        }
    }
}

fn compiled(kind: Kind) -> &'static CompiledSchema {
    static JOB: LazyLock<CompiledSchema> =
        LazyLock::new(|| compile_schema(Kind::GenerationJob.schema()));
    static MODEL: LazyLock<CompiledSchema> =
        LazyLock::new(|| compile_schema(Kind::ModelDeployment.schema()));
    match kind {
        Kind::GenerationJob => &JOB,
        Kind::ModelDeployment => &MODEL,
    }
}

/// The value at a path as the evaluator writes it: `spec.columns[0].name`.
fn value_at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split(['.', '[']).filter(|part| !part.is_empty()).try_fold(
        object,
        |value, part| match part.strip_suffix(']') {
            Some(index) => value.get(index.parse::<usize>().ok()?),
            None => value.get(part),
        },
    )
}
