//! Admission as an API server does it, with strict field validation: the generated schema and its
//! CEL rules are evaluated on a JSON object. Nothing about the two kinds is written here a second
//! time. No I/O.
//!
//! The order is the API server's: unknown fields, nulls, defaults, then types, ranges and lists,
//! then metadata, then CEL. All causes are returned, not only the first.

mod cause;
mod metadata;
mod prune;
mod rules;
mod schema;
mod suggest;
mod validate;

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Value, json};

pub(crate) use cause::quoted;
pub use cause::{Cause, CauseKind};
pub(crate) use metadata::schema as object_meta;
pub(crate) use suggest::closest;

use crate::kind::{API_VERSION, Kind};
use schema::{Schema, SchemaError};

/// What an API server would store for `object`, a manifest of `kind`: defaults filled in, nulls and
/// status dropped. With `old`, `object` replaces it, and transition rules apply.
///
/// # Errors
/// Every reason why an API server would refuse the object, in the order of the schema.
pub fn admit(kind: Kind, object: &Value, old: Option<&Value>) -> Result<Value, Vec<Cause>> {
    let schema = match compiled(kind) {
        Ok(schema) => schema,
        Err(error) => return Err(vec![Cause::new("", CauseKind::Invalid, error.to_string())]),
    };
    let mut causes = Vec::new();
    let mut admitted = object.clone();
    with_status_of(&mut admitted, old);
    prune::drop_unknown_fields(schema, &mut admitted, &mut causes);
    check_type_meta(kind, &admitted, &mut causes);
    complete(schema, &mut admitted);
    validate::check(schema, &admitted, &mut causes);
    metadata::check(admitted.get("metadata"), &mut causes);
    if causes.iter().any(|cause| cause.kind.blocks_rules()) {
        causes.push(Cause::new("", CauseKind::Skipped, cause::RULES_NOT_CHECKED));
        return Err(causes);
    }
    prune::unify_numbers(schema, &mut admitted); // after messages have shown them as written
    let old = old.map(|old| {
        let mut old = old.clone();
        complete(schema, &mut old);
        prune::unify_numbers(schema, &mut old);
        old
    });
    rules::check(kind, &admitted, old.as_ref(), &mut causes);
    if causes.is_empty() { Ok(admitted) } else { Err(causes) }
}

/// A ConfigMap that passes Kubernetes' own schema, without nulls.
pub(crate) fn admit_config_map(object: &Value) -> Result<Value, Vec<Cause>> {
    static SCHEMA: LazyLock<Result<Schema, SchemaError>> =
        LazyLock::new(|| with_object_meta(&metadata::schema_of::<ConfigMap>()));
    let schema = match &*SCHEMA {
        Ok(schema) => schema,
        Err(error) => return Err(vec![Cause::new("", CauseKind::Invalid, error.to_string())]),
    };
    let mut causes = Vec::new();
    let mut admitted = object.clone();
    prune::drop_unknown_fields(schema, &mut admitted, &mut causes);
    complete(schema, &mut admitted);
    validate::check(schema, &admitted, &mut causes);
    metadata::check(admitted.get("metadata"), &mut causes);
    if causes.is_empty() { Ok(admitted) } else { Err(causes) }
}

fn complete(schema: &Schema, object: &mut Value) {
    prune::drop_nulls(schema, object);
    prune::fill_defaults(schema, object);
}

/// The status belongs to its own subresource: an API server takes it from the stored object, and
/// drops what a manifest says.
fn with_status_of(object: &mut Value, old: Option<&Value>) {
    let Some(object) = object.as_object_mut() else {
        return;
    };
    object.shift_remove("status");
    if let Some(status) = old.and_then(|old| old.get("status")) {
        object.insert("status".into(), status.clone());
    }
}

fn check_type_meta(kind: Kind, object: &Value, causes: &mut Vec<Cause>) {
    for (field, expected) in [("apiVersion", API_VERSION), ("kind", kind.name())] {
        match object.get(field) {
            None | Some(Value::Null) => {
                causes.push(Cause::required(field, &format!("must be {expected}")));
            }
            Some(Value::String(text)) if text != expected => {
                causes.push(Cause::invalid(field, &json!(text), &format!("must be {expected}")));
            }
            Some(_) => {} // the wrong type, or right
        }
    }
}

fn compiled(kind: Kind) -> &'static Result<Schema, SchemaError> {
    static JOB: LazyLock<Result<Schema, SchemaError>> =
        LazyLock::new(|| with_object_meta(Kind::GenerationJob.schema()));
    static MODEL: LazyLock<Result<Schema, SchemaError>> =
        LazyLock::new(|| with_object_meta(Kind::ModelDeployment.schema()));
    match kind {
        Kind::GenerationJob => &JOB,
        Kind::ModelDeployment => &MODEL,
    }
}

/// The schema with what an API server adds to each: apiVersion, kind and metadata.
fn with_object_meta(schema: &Value) -> Result<Schema, SchemaError> {
    let mut schema = schema.clone();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert("apiVersion".into(), json!({"type": "string"}));
        properties.insert("kind".into(), json!({"type": "string"}));
        properties.insert("metadata".into(), metadata::schema());
    }
    Schema::compile(&schema)
}
