//! Metrics, filters and gates of a job, compiled, and what they say of a row and of the dataset. Pure.

mod compile;
mod duplicates;
mod scored;
mod scorer;

use std::collections::BTreeSet;

use serde_json::Value;
use textnlp_crds::validation::{DUPLICATE, Gate as GateSpec, Validation};
use textnlp_dataset::{Outcome, Record, Row};
use textnlp_validation::{
    Bootstrap, Filter, Gate, Likeness, Metric, ParamError, Range, RowError, Sample, Stat,
    TextMetric, registry,
};

pub use self::duplicates::RowDeduplicator;
pub use self::scored::Scored;
use self::scored::with_sample;
pub use self::scorer::Scorer;
use crate::error::Error;
use crate::job::list;

/// The validation of a job.
#[derive(Debug, Clone, Default)]
pub struct Scoring {
    /// What is measured: the metrics of the manifest, then those that only gates name.
    measures: Vec<Measure>,
    filters: Vec<NamedFilter>,
    duplicates: Option<Duplicates>,
    gates: Vec<NamedGate>,
    bootstrap: Option<Bootstrap>,
}

/// Which texts are duplicates, and of what.
#[derive(Debug, Clone)]
struct Duplicates {
    target: Target,
    likeness: Likeness,
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
    stat: Option<String>,
}

/// A metric as a command line asks for it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Its name.
    pub metric: String,
    /// Its parameters: an object, or null.
    pub params: Value,
    /// The field that it reads, if it reads texts and does not count rows.
    pub column: String,
    /// The field with the references.
    pub reference: Option<String>,
    /// What its value must be.
    pub gate: Option<Range>,
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
            let params = compile::params_value(metric.params.as_ref());
            scoring.measure(target, metric.metric.as_str(), params, true)?;
        }
        for (index, filter) in spec.filters.iter().enumerate() {
            scoring.filters.push(compile::filter(index, filter)?);
        }
        scoring.duplicates = spec.deduplicate.as_ref().map(compile::duplicates);
        scoring.bootstrap = spec.confidence.as_ref().map(compile::bootstrap);
        for (index, gate) in spec.gates.iter().enumerate() {
            scoring.gate(index, gate)?;
        }
        Ok(scoring)
    }

    /// Adds what is to be measured, if it is not measured yet.
    fn measure(
        &mut self,
        target: Target,
        name: &str,
        params: Value,
        listed: bool,
    ) -> Result<usize, Error> {
        let metric = compile::build(&target.path, name, &params)?;
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
        let params = compile::params_value(spec.params.as_ref());
        let measure = self.measure(target, spec.metric.as_str(), params, false)?;
        let range = Range::new(spec.min, spec.max).map_err(|e| compile::param_error(&path, e))?;
        self.add_gate(&path, measure, range, spec.stat.map(|stat| stat.as_str()))
    }

    fn add_gate(
        &mut self,
        path: &str,
        measure: usize,
        range: Range,
        stat: Option<&str>,
    ) -> Result<(), Error> {
        let located = |e: ParamError| compile::param_error(path, e);
        let parsed = stat.map(Stat::parse).transpose().map_err(located)?;
        let gate =
            Gate::new(self.measures[measure].metric.info(), range, parsed).map_err(located)?;
        self.gates.push(NamedGate { measure, gate, stat: stat.map(str::to_owned) });
        Ok(())
    }

    /// Adds a metric of a column as a command line names it, and the gate on it.
    pub fn add_metric(&mut self, asked: Asked) -> Result<(), Error> {
        let path = asked.metric.clone();
        let counts = registry::info(&asked.metric).is_some_and(|info| !info.needs_text);
        let column = Some(asked.column).filter(|_| !counts);
        let target = Target { path: path.clone(), column, reference: asked.reference };
        let measure = self.measure(target, &asked.metric, asked.params, true)?;
        match asked.gate {
            Some(range) => self.add_gate(&path, measure, range, None),
            None => Ok(()),
        }
    }

    /// Asks for confidence intervals.
    pub fn set_bootstrap(&mut self, bootstrap: Bootstrap) {
        self.bootstrap = Some(bootstrap);
    }

    /// Under which names rows are rejected: the filters in the manifest's order, then the removal of duplicates.
    pub fn rejecters(&self) -> impl Iterator<Item = &str> {
        let filters = self.filters.iter().map(|f| f.name.as_str());
        filters.chain(self.duplicates.iter().map(|_| DUPLICATE))
    }

    /// What removes duplicates, if the job asks for it.
    pub fn deduplicator(&self) -> Option<RowDeduplicator<'_>> {
        self.duplicates.as_ref().map(RowDeduplicator::new)
    }

    /// Checks that what is read is there: `fields` are in every row, `generated` are a model's columns.
    pub fn check_fields(
        &self,
        fields: &BTreeSet<&str>,
        generated: &BTreeSet<&str>,
    ) -> Result<(), Error> {
        let measures = self.measures.iter().map(|m| (&m.target, m.metric.info().name));
        let filters = self.filters.iter().filter_map(|f| Some((&f.target, f.metric?)));
        let duplicates = self.duplicates.iter().map(|d| (&d.target, "deduplicate"));
        for (target, metric) in measures.chain(filters).chain(duplicates) {
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

    /// Decides what becomes of a row, duplicates aside.
    pub fn judge(&self, row: &Row) -> Judgement {
        match &row.outcome {
            Outcome::Failed { stage, message } => {
                Judgement::Failed { stage: stage.clone(), message: message.clone() }
            }
            Outcome::Generated => self.decide(row),
        }
    }

    /// The same of a row that is whole.
    pub fn decide(&self, row: &impl Scored) -> Judgement {
        let scores = match self.row_scores(row) {
            Ok(scores) => scores,
            Err(message) => {
                return Judgement::Failed { stage: "metric".to_owned(), message };
            }
        };
        let mut flat = None;
        for filter in &self.filters {
            let flat = flat.get_or_insert_with(|| row.flat());
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

    /// Row values of the manifest's metrics, by metric; by metric and column where a metric reads several columns. The error says which
    /// could not be computed and why, for the user.
    fn row_scores(&self, row: &impl Scored) -> Result<Record, String> {
        let mut scores = Record::new();
        for measure in &self.measures {
            let Metric::Text(metric) = &measure.metric else { continue };
            let value = with_sample(row, &measure.target, |sample| value_of(metric, sample));
            match value.map_err(|error| format!("{}: {error}", measure.target.path))? {
                Some(value) if measure.listed => {
                    let mut name = self.score_name(measure);
                    if scores.contains_key(&name) {
                        // The same metric of the same column with other parameters.
                        name = format!("{name}:{}", scores.len());
                    }
                    scores.insert(name, Value::from(value));
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
        Scorer::new(self)
    }
}

fn value_of(metric: &TextMetric, sample: Option<&Sample<'_>>) -> Result<Option<f64>, RowError> {
    match sample {
        Some(sample) => metric.row(sample),
        None => Err(RowError::NoText { metric: metric.info().name }),
    }
}
