//! Metrics, filters and gates of a job, compiled, and what they say of a row and of the dataset. Pure.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use textnlp_crds::validation::{
    Filter as FilterSpec, Gate as GateSpec, MetricName, MetricParams, Validation,
};
use textnlp_dataset::manifest::RowCounts;
use textnlp_dataset::{Outcome, Record, Row};
use textnlp_validation::{
    Accumulator, Counts, DatasetScore, Expression, Filter, Gate, Metric, ParamError, Range,
    RowError, Sample, Stat, TextMetric, registry,
};

use crate::error::Error;
use crate::job::list;
use crate::report::{GateReport, NamedDistribution, Score};

/// The validation of a job.
#[derive(Debug, Clone, Default)]
pub struct Scoring {
    /// What is measured: the metrics of the manifest, then those that only gates name.
    measures: Vec<Measure>,
    filters: Vec<NamedFilter>,
    gates: Vec<NamedGate>,
}

/// A metric of a column.
#[derive(Debug, Clone)]
struct Measure {
    target: Target,
    metric: Metric,
    params: Value,
    /// Whether `spec.validation.metrics` names it: then a row's value is kept with the row.
    listed: bool,
}

/// What a metric, filter or gate reads.
#[derive(Debug, Clone, PartialEq)]
struct Target {
    /// Its place in the manifest, for messages.
    path: String,
    column: Option<String>,
    reference: Option<String>,
}

#[derive(Debug, Clone)]
struct NamedFilter {
    name: String,
    target: Target,
    filter: Filter,
    metric: Option<&'static str>,
}

#[derive(Debug, Clone)]
struct NamedGate {
    /// Index into `measures`.
    measure: usize,
    gate: Gate,
    range: Range,
    stat: Option<String>,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Judgement {
    /// It is in the dataset.
    Accepted {
        /// Row values of the manifest's metrics.
        scores: Record,
    },
    /// A filter refused it.
    Rejected {
        /// Name of the filter: the first that did, in the manifest's order.
        filter: String,
        /// Row values of the manifest's metrics.
        scores: Record,
    },
    /// It could not be made, or not be judged.
    Failed {
        /// At which step.
        stage: String,
        /// Why.
        message: String,
    },
}

impl Scoring {
    /// Compiles `spec.validation`.
    pub fn compile(spec: Option<&Validation>) -> Result<Self, Error> {
        let mut scoring = Self::default();
        let Some(spec) = spec else { return Ok(scoring) };
        for (index, metric) in spec.metrics.iter().enumerate() {
            let path = format!("spec.validation.metrics[{index}]");
            let target =
                Target { path, column: metric.column.clone(), reference: metric.reference.clone() };
            scoring.measure(target, metric.metric, metric.params.as_ref(), true)?;
        }
        for (index, filter) in spec.filters.iter().enumerate() {
            scoring.filters.push(compile_filter(index, filter)?);
        }
        for (index, gate) in spec.gates.iter().enumerate() {
            scoring.gate(index, gate)?;
        }
        Ok(scoring)
    }

    /// Adds what is to be measured, if it is not measured yet.
    fn measure(
        &mut self,
        target: Target,
        name: MetricName,
        params: Option<&MetricParams>,
        listed: bool,
    ) -> Result<usize, Error> {
        let params = params_value(params);
        let metric = build(&target.path, name, &params)?;
        let same = self.measures.iter().position(|m| {
            m.metric.info().name == metric.info().name
                && (&m.target.column, &m.target.reference, &m.params)
                    == (&target.column, &target.reference, &params)
        });
        Ok(same.unwrap_or_else(|| {
            self.measures.push(Measure { target, metric, params, listed });
            self.measures.len() - 1
        }))
    }

    fn gate(&mut self, index: usize, spec: &GateSpec) -> Result<(), Error> {
        let path = format!("spec.validation.gates[{index}]");
        let target = Target {
            path: path.clone(),
            column: spec.column.clone(),
            reference: spec.reference.clone(),
        };
        let measure = self.measure(target, spec.metric, spec.params.as_ref(), false)?;
        let located = |e: ParamError| param_error(&path, e);
        let range = Range::new(spec.min, spec.max).map_err(located)?;
        let stat = spec.stat.map(|stat| stat.as_str().to_owned());
        let parsed = stat.as_deref().map(Stat::parse).transpose().map_err(located)?;
        let gate =
            Gate::new(self.measures[measure].metric.info(), range, parsed).map_err(located)?;
        self.gates.push(NamedGate { measure, gate, range, stat });
        Ok(())
    }

    /// Names of the filters, in the manifest's order.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        self.filters.iter().map(|f| f.name.as_str())
    }

    /// Checks that what is read is there: `fields` are in every row, `generated` are a model's columns.
    pub fn check_fields(
        &self,
        fields: &BTreeSet<&str>,
        generated: &BTreeSet<&str>,
    ) -> Result<(), Error> {
        let measures = self.measures.iter().map(|m| (&m.target, m.metric.info().name));
        let filters = self.filters.iter().filter_map(|f| Some((&f.target, f.metric?)));
        for (target, metric) in measures.chain(filters) {
            for (field, name) in [("column", &target.column), ("reference", &target.reference)] {
                let Some(name) = name else { continue };
                if !fields.contains(name.as_str()) {
                    let message =
                        format!("no row has a field {name:?}; there are {}", list(fields));
                    return Err(Error::spec(format!("{}.{field}", target.path), message));
                }
            }
            let column = target.column.as_deref().unwrap_or("");
            if ["tokenCount", "truncated"].contains(&metric) && !generated.contains(column) {
                let message = format!(
                    "{metric} needs a column that a model generates, and {column:?} is none; there are {}",
                    list(generated)
                );
                return Err(Error::spec(format!("{}.column", target.path), message));
            }
        }
        Ok(())
    }

    /// Decides what becomes of a row.
    pub fn judge(&self, row: &Row) -> Judgement {
        if let Outcome::Failed { stage, message } = &row.outcome {
            return Judgement::Failed { stage: stage.clone(), message: message.clone() };
        }
        let scores = match self.row_scores(row) {
            Ok(scores) => scores,
            Err((target, error)) => {
                let message = format!("{}: {error}", target.path);
                return Judgement::Failed { stage: "metric".to_owned(), message };
            }
        };
        let mut flat = None;
        for filter in &self.filters {
            let flat = flat.get_or_insert_with(|| fields_of(row));
            let kept = with_sample(row, &filter.target, |sample| filter.filter.keeps(sample, flat));
            match kept {
                Ok(true) => {}
                Ok(false) => return Judgement::Rejected { filter: filter.name.clone(), scores },
                Err(error) => {
                    let message = format!("filter {:?}: {error}", filter.name);
                    return Judgement::Failed { stage: "filter".to_owned(), message };
                }
            }
        }
        Judgement::Accepted { scores }
    }

    /// Row values of the manifest's metrics, by metric; by metric and column where a metric reads several columns.
    fn row_scores(&self, row: &Row) -> Result<Record, (&Target, RowError)> {
        let mut scores = Record::new();
        for measure in &self.measures {
            let Metric::Text(metric) = &measure.metric else { continue };
            let value = with_sample(row, &measure.target, |sample| value_of(metric, sample));
            match value.map_err(|error| (&measure.target, error))? {
                Some(value) if measure.listed => {
                    scores.insert(self.score_name(measure), Value::from(value));
                }
                _ => {}
            }
        }
        Ok(scores)
    }

    fn score_name(&self, measure: &Measure) -> String {
        let name = measure.metric.info().name;
        let twins =
            self.measures.iter().filter(|m| m.listed && m.metric.info().name == name).count();
        match (&measure.target.column, twins) {
            (Some(column), 2..) => format!("{name}:{column}"),
            _ => name.to_owned(),
        }
    }

    /// Begins to score a dataset.
    pub fn scorer(&self) -> Scorer<'_> {
        let start = |m: &Measure| match &m.metric {
            Metric::Text(metric) => Some(metric.accumulator()),
            Metric::Count(_) => None,
        };
        Scorer { scoring: self, accumulators: self.measures.iter().map(start).collect() }
    }
}

fn value_of(metric: &TextMetric, sample: Option<&Sample<'_>>) -> Result<Option<f64>, RowError> {
    match sample {
        Some(sample) => metric.row(sample),
        None => Err(RowError::NoText { metric: metric.info().name }),
    }
}

/// A dataset being scored.
pub struct Scorer<'a> {
    scoring: &'a Scoring,
    accumulators: Vec<Option<Accumulator>>,
}

impl Scorer<'_> {
    /// Adds an accepted row.
    pub fn add(&mut self, row: &Row) -> Result<(), RowError> {
        for (measure, accumulator) in self.scoring.measures.iter().zip(&mut self.accumulators) {
            let Some(accumulator) = accumulator else { continue };
            with_sample(row, &measure.target, |sample| match sample {
                Some(sample) => accumulator.add(sample),
                None => Err(RowError::NoText { metric: measure.metric.info().name }),
            })?;
        }
        Ok(())
    }

    /// The scores: a line for each metric of the manifest that has no gate, and for each gate.
    pub fn finish(&self, rows: &RowCounts) -> (Vec<Score>, Vec<NamedDistribution>) {
        let counts = Counts {
            requested: rows.requested,
            accepted: rows.accepted,
            rejected: rows.rejected,
            failed: rows.failed,
        };
        let found: Vec<Option<DatasetScore>> = self
            .scoring
            .measures
            .iter()
            .zip(&self.accumulators)
            .map(|(m, a)| score(m, a.as_ref(), &counts))
            .collect();
        let mut scores = Vec::new();
        let mut distributions = Vec::new();
        for (index, (measure, found)) in self.scoring.measures.iter().zip(&found).enumerate() {
            let mut gates = self.scoring.gates.iter().filter(|g| g.measure == index).peekable();
            if gates.peek().is_none() {
                scores.push(line(measure, found.as_ref(), None));
            }
            scores.extend(gates.map(|gate| line(measure, found.as_ref(), Some(gate))));
            if let Some(distribution) = found.as_ref().and_then(|f| f.distribution) {
                distributions.push(NamedDistribution {
                    metric: measure.metric.info().name.to_owned(),
                    column: measure.target.column.clone(),
                    distribution,
                });
            }
        }
        (scores, distributions)
    }
}

fn score(
    measure: &Measure,
    accumulator: Option<&Accumulator>,
    counts: &Counts,
) -> Option<DatasetScore> {
    match &measure.metric {
        Metric::Text(_) => accumulator.and_then(Accumulator::score),
        Metric::Count(metric) => metric.score(counts).map(|value| DatasetScore {
            value,
            rows: counts.requested,
            distribution: None,
            signature: metric.signature(),
        }),
    }
}

fn line(measure: &Measure, found: Option<&DatasetScore>, gate: Option<&NamedGate>) -> Score {
    Score {
        metric: measure.metric.info().name.to_owned(),
        column: measure.target.column.clone(),
        value: match gate {
            Some(gate) => found.and_then(|f| gate.gate.value(f)),
            None => found.map(|f| f.value),
        },
        gate: gate.map(|gate| GateReport {
            stat: gate.stat.clone(),
            min: gate.range.min(),
            max: gate.range.max(),
            passed: found.is_some_and(|f| gate.gate.passes(f)),
        }),
        signature: found.map_or_else(|| measure.metric.signature(), |f| f.signature.clone()),
    }
}

fn compile_filter(index: usize, spec: &FilterSpec) -> Result<NamedFilter, Error> {
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
            let metric = build(&path, name, &params_value(spec.params.as_ref()))?;
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

fn build(path: &str, name: MetricName, params: &Value) -> Result<Metric, Error> {
    registry::build(name.as_str(), params).map_err(|e| param_error(path, e))
}

fn param_error(path: &str, error: ParamError) -> Error {
    Error::spec(
        format!("{path}.{}", error.field),
        format!("found {}; allowed: {}", error.found, error.allowed),
    )
}

fn params_value(params: Option<&MetricParams>) -> Value {
    params.and_then(|p| serde_json::to_value(p).ok()).unwrap_or(Value::Null)
}

/// What an expression sees: the source's fields, the attributes, the columns and the id.
fn fields_of(row: &Row) -> Map<String, Value> {
    let fields = row.fields.iter().chain(&row.attributes).chain(&row.columns);
    let mut flat: Map<String, Value> = fields.map(|(k, v)| (k.clone(), v.clone())).collect();
    flat.insert("id".to_owned(), Value::from(row.id.to_string()));
    flat
}

fn field<'r>(row: &'r Row, name: &str) -> Option<&'r Value> {
    row.columns.get(name).or_else(|| row.attributes.get(name)).or_else(|| row.fields.get(name))
}

/// A field as text: strings as they are, nothing for null, anything else as JSON.
fn text_of(value: &Value) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.into()),
        other => Some(other.to_string().into()),
    }
}

/// Calls `read` with the sample that a target names in a row; with `None` if the row has no such text.
fn with_sample<T>(row: &Row, target: &Target, read: impl FnOnce(Option<&Sample<'_>>) -> T) -> T {
    let column = target.column.as_deref().unwrap_or("");
    let Some(text) = field(row, column).and_then(text_of) else { return read(None) };
    let references: Vec<_> = match target.reference.as_deref().and_then(|name| field(row, name)) {
        Some(Value::Array(values)) => values.iter().filter_map(text_of).collect(),
        Some(value) => text_of(value).into_iter().collect(),
        None => Vec::new(),
    };
    let references: Vec<&str> = references.iter().map(AsRef::as_ref).collect();
    let id = row.id.to_string();
    read(Some(&Sample {
        id: &id,
        text: &text,
        references: &references,
        tokens: row.meta.tokens.get(column).map(|t| t.completion),
        finish_reason: row.meta.finish_reasons.get(column).map(String::as_str),
    }))
}
