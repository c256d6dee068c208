//! A dataset's scores, row by row; parts of a dataset are scored apart and merged.

use textnlp_dataset::manifest::RowCounts;
use textnlp_validation::{
    Accumulator, Counts, DatasetScore, Interval, MergeError, Metric, RowError,
};

use super::scored::{Scored, with_sample};
use super::{Measure, NamedGate, Scoring};
use crate::report::{ConfidenceInterval, GateReport, NamedDistribution, Score};

/// A dataset being scored.
#[derive(Clone)]
pub struct Scorer<'a> {
    scoring: &'a Scoring,
    accumulators: Vec<Option<Accumulator>>,
}

impl<'a> Scorer<'a> {
    pub(super) fn new(scoring: &'a Scoring) -> Self {
        let start = |measure: &Measure| match (&measure.metric, scoring.bootstrap) {
            (Metric::Text(metric), None) => Some(metric.accumulator()),
            (Metric::Text(metric), Some(bootstrap)) => Some(metric.accumulator_with(bootstrap)),
            (Metric::Count(_), _) => None,
        };
        Self { scoring, accumulators: scoring.measures.iter().map(start).collect() }
    }

    /// Adds a row that [`Scoring::judge`] or [`Scoring::decide`] accepted.
    pub fn add(&mut self, row: &impl Scored) -> Result<(), RowError> {
        for (measure, accumulator) in self.scoring.measures.iter().zip(&mut self.accumulators) {
            let Some(accumulator) = accumulator else { continue };
            with_sample(row, &measure.target, |sample| match sample {
                Some(sample) => accumulator.add(sample),
                None => Err(RowError::NoText { metric: measure.metric.info().name }),
            })?;
        }
        Ok(())
    }

    /// Adds the rows of another scorer of the same [`Scoring`]. Any grouping gives the same scores.
    pub fn merge(&mut self, other: Scorer<'_>) -> Result<(), MergeError> {
        for (accumulator, more) in self.accumulators.iter_mut().zip(other.accumulators) {
            if let (Some(accumulator), Some(more)) = (accumulator, more) {
                accumulator.merge(more)?;
            }
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
        let (mut scores, mut distributions) = (Vec::new(), Vec::new());
        let measures = self.scoring.measures.iter().zip(&self.accumulators).enumerate();
        for (index, (measure, accumulator)) in measures {
            let found = score(measure, accumulator.as_ref(), &counts);
            let interval = accumulator.as_ref().and_then(Accumulator::interval);
            let line = |gate| line(measure, found.as_ref(), interval, gate);
            let mut gates = self.scoring.gates.iter().filter(|g| g.measure == index).peekable();
            if gates.peek().is_none() {
                scores.push(line(None));
            }
            scores.extend(gates.map(|gate| line(Some(gate))));
            if let Some(distribution) = found.and_then(|found| found.distribution) {
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

fn line(
    measure: &Measure,
    found: Option<&DatasetScore>,
    interval: Option<Interval>,
    gate: Option<&NamedGate>,
) -> Score {
    // An interval is one of the dataset's value, not of another figure of the rows' values.
    let interval = interval.filter(|_| gate.is_none_or(|gate| gate.stat.is_none()));
    Score {
        metric: measure.metric.info().name.to_owned(),
        column: measure.target.column.clone(),
        value: match gate {
            Some(gate) => found.and_then(|f| gate.gate.value(f)),
            None => found.map(|f| f.value),
        },
        ci: interval.map(|i| ConfidenceInterval { low: i.low, high: i.high, level: i.level }),
        gate: gate.map(|gate| GateReport::new(&gate.gate, gate.stat.clone(), found)),
        signature: found.map_or_else(|| measure.metric.signature(), |f| f.signature.clone()),
    }
}
