//! From the words of a manifest to metrics, filters and the removal of duplicates.

use serde_json::Value;
use textnlp_crds::validation::{
    Confidence, Deduplicate, DuplicateMethod, Filter as FilterSpec, MetricName, MetricParams,
};
use textnlp_validation::{
    Bootstrap, Expression, Filter, Likeness, Metric, ParamError, Range, registry,
};

use super::{Duplicates, NamedFilter, Target};
use crate::error::Error;

pub(super) fn filter(index: usize, spec: &FilterSpec) -> Result<NamedFilter, Error> {
    let path = format!("spec.validation.filters[{index}]");
    let target = Target {
        path: path.clone(),
        column: spec.column.clone(),
        reference: spec.reference.clone(),
    };
    let filter = match (&spec.expression, spec.metric) {
        (Some(expression), _) => Filter::Expression(
            Expression::compile(expression)
                .map_err(|e| Error::spec(format!("{path}.expression"), e.to_string()))?,
        ),
        (None, Some(name)) => {
            let metric = build(&path, name.as_str(), &params_value(spec.params.as_ref()))?;
            let range = Range::new(spec.min, spec.max).map_err(|e| param_error(&path, e))?;
            Filter::range(metric, range).map_err(|e| param_error(&path, e))?
        }
        (None, None) => return Err(Error::spec(path, "needs metric or expression")),
    };
    Ok(NamedFilter {
        name: spec.name.clone(),
        target,
        filter,
        metric: spec.metric.map(MetricName::as_str),
    })
}

pub(super) fn build(path: &str, name: &str, params: &Value) -> Result<Metric, Error> {
    registry::build(name, params).map_err(|e| param_error(path, e))
}

pub(super) fn param_error(path: &str, error: ParamError) -> Error {
    Error::spec(
        format!("{path}.{}", error.field),
        format!("found {}; allowed: {}", error.found, error.allowed),
    )
}

pub(super) fn params_value(params: Option<&MetricParams>) -> Value {
    params.and_then(|p| serde_json::to_value(p).ok()).unwrap_or(Value::Null)
}

pub(super) fn duplicates(spec: &Deduplicate) -> Duplicates {
    Duplicates {
        target: Target {
            path: "spec.validation.deduplicate".to_owned(),
            column: Some(spec.column.clone()),
            reference: None,
        },
        likeness: match spec.method {
            DuplicateMethod::Exact => Likeness::Exact,
            DuplicateMethod::Near => Likeness::near(spec.threshold),
        },
    }
}

pub(super) fn bootstrap(spec: &Confidence) -> Bootstrap {
    Bootstrap {
        seed: spec.seed.unsigned_abs(),
        resamples: spec.resamples.unsigned_abs() as usize,
        level: spec.level,
    }
}
