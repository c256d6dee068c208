//! `report.json` and `report.md`: what became of a job's rows, and how good they are. Pure.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use textnlp_dataset::Record;
use textnlp_dataset::display::markdown as escape_markdown;
use textnlp_dataset::manifest::RowCounts;

/// The result of a job, as `run --json` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Records of the source that were used.
    pub records: u64,
    /// How many rows ended how; they balance.
    pub rows: RowCounts,
    /// Rows that each filter rejected, in the manifest's order.
    pub rejections: Vec<Rejection>,
    /// Rows that failed, by the step at which they did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<Failures>,
    /// Metrics of the dataset, gates among them.
    pub scores: Vec<Score>,
    /// Spread of the metrics that have a value for each row.
    pub distributions: Vec<NamedDistribution>,
    /// The first accepted rows.
    pub samples: Vec<Record>,
    /// Whether the dataset passed all gates and has rows.
    pub passed: bool,
    /// Dataset digest.
    pub digest: String,
    /// The model of the generated columns; more than one where columns differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelReport>,
    /// Where the dataset is.
    pub output: OutputReport,
    /// What was asked of models, over all runs of this output.
    pub usage: Usage,
    /// Seconds that the last run took.
    pub seconds: f64,
}

/// Rows that a filter rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Name of the filter.
    pub filter: String,
    /// Rows.
    pub rows: u64,
}

/// Rows that failed at one step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failures {
    /// The step.
    pub stage: String,
    /// Rows.
    pub rows: u64,
    /// The first one's message.
    pub first: String,
}

/// A metric's value over the dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Metric.
    pub metric: String,
    /// Column, where it measures one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The value; absent when there was nothing to measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// The gate on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateReport>,
    /// Metric, version, tokenizer and parameters, as sacrebleu writes them.
    pub signature: String,
}

/// A bound that the dataset must keep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// Which statistic of a row metric it bounds; absent: the dataset's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stat: Option<String>,
    /// Least value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// Greatest value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// Whether it held; a value that could not be had does not pass.
    pub passed: bool,
}

/// Spread of a row metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedDistribution {
    /// Metric.
    pub metric: String,
    /// Column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Mean, minimum, percentiles, maximum.
    #[serde(flatten)]
    pub distribution: textnlp_validation::Distribution,
}

/// The model that generated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelReport {
    /// Name of the ModelDeployment.
    pub name: String,
    /// Model digest.
    pub digest: String,
    /// Name of the arithmetic.
    pub numerics: String,
}

/// Where a dataset is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputReport {
    /// Directory or URI.
    pub directory: String,
    /// Formats.
    pub formats: Vec<String>,
    /// Accepted rows.
    pub rows: u64,
    /// Bytes of the dataset in all formats.
    pub bytes: u64,
}

/// What was asked of models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Completions.
    pub requests: u64,
}

impl Report {
    /// Whether a gate failed.
    pub fn gate_failed(&self) -> bool {
        self.scores.iter().any(|s| s.gate.as_ref().is_some_and(|g| !g.passed))
    }

    /// The report for people.
    pub fn to_markdown(&self, name: &str) -> String {
        let mut text = String::new();
        let _ = self.write_markdown(name, &mut text);
        text
    }

    fn write_markdown(&self, name: &str, out: &mut String) -> std::fmt::Result {
        let rows = &self.rows;
        writeln!(out, "# {}\n", escape_markdown(name))?;
        writeln!(out, "{}\n", if self.passed { "**Passed.**" } else { "**Not passed.**" })?;
        writeln!(out, "| rows | |\n|---|---:|")?;
        writeln!(out, "| requested | {} |", rows.requested)?;
        writeln!(out, "| accepted | {} |", rows.accepted)?;
        for rejection in &self.rejections {
            writeln!(
                out,
                "| rejected by {} | {} |",
                escape_markdown(&rejection.filter),
                rejection.rows
            )?;
        }
        for failures in &self.failures {
            let first = escape_markdown(&failures.first);
            writeln!(out, "| failed at {} (first: {first}) | {} |", failures.stage, failures.rows)?;
        }
        writeln!(out, "\nDataset digest `{}`.", self.digest)?;
        if let Some(model) = &self.model {
            let (name, numerics) = (escape_markdown(&model.name), &model.numerics);
            writeln!(out, "Model {name}, numerics `{numerics}`, digest `{}`.", model.digest)?;
        }
        if !self.scores.is_empty() {
            writeln!(
                out,
                "\n## Scores\n\n| metric | column | value | gate | |\n|---|---|---:|---|---|"
            )?;
        }
        for score in &self.scores {
            let column = escape_markdown(score.column.as_deref().unwrap_or(""));
            let (gate, passed) = score.gate_cells();
            writeln!(
                out,
                "| {} | {column} | {} | {gate} | {passed} |",
                score.metric,
                score.value_cell()
            )?;
        }
        self.write_details(out)
    }

    fn write_details(&self, out: &mut String) -> std::fmt::Result {
        if !self.distributions.is_empty() {
            writeln!(
                out,
                "\n## Distributions\n\n| metric | column | mean | min | p05 | p50 | p95 | max |"
            )?;
            writeln!(out, "|---|---|---:|---:|---:|---:|---:|---:|")?;
        }
        for NamedDistribution { metric, column, distribution: d } in &self.distributions {
            let column = escape_markdown(column.as_deref().unwrap_or(""));
            write!(out, "| {metric} | {column} |")?;
            for value in [d.mean, d.min, d.p05, d.p50, d.p95, d.max] {
                write!(out, " {} |", number(value))?;
            }
            writeln!(out)?;
        }
        if !self.samples.is_empty() {
            writeln!(out, "\n## Samples")?;
        }
        for sample in &self.samples {
            writeln!(out)?;
            for (field, value) in sample {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                writeln!(out, "- **{}**: {}", escape_markdown(field), escape_markdown(&text))?;
            }
        }
        if !self.scores.is_empty() {
            writeln!(out, "\n## Signatures\n")?;
        }
        for score in &self.scores {
            writeln!(out, "- `{}`", score.signature)?;
        }
        Ok(())
    }
}

impl Score {
    /// The value for a table.
    pub fn value_cell(&self) -> String {
        self.value.map_or_else(|| "–".to_owned(), number)
    }

    /// The gate's bounds, and whether it passed, for a table.
    pub fn gate_cells(&self) -> (String, &'static str) {
        let Some(gate) = &self.gate else { return (String::new(), "") };
        let stat = gate.stat.as_ref().map(|s| format!("{s} ")).unwrap_or_default();
        let min = gate.min.map(|m| format!("≥ {}", number(m)));
        let max = gate.max.map(|m| format!("≤ {}", number(m)));
        let bounds: Vec<String> = min.into_iter().chain(max).collect();
        (format!("{stat}{}", bounds.join(", ")), if gate.passed { "passed" } else { "FAILED" })
    }
}

/// A number for people: whole ones without a point, others with four significant digits or more.
pub fn number(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        format!("{value}")
    } else if value.abs() >= 1000.0 {
        format!("{value:.1}")
    } else if value.abs() >= 1.0 {
        format!("{value:.3}")
    } else {
        format!("{value:.4}")
    }
}
