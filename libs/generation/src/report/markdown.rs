//! `report.md`: the report for people, and for what reads Markdown.

use std::fmt::Write;

use textnlp_dataset::display::markdown as escape_markdown;

use super::{NamedDistribution, Report, number};

impl Report {
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
        if !self.digest.is_empty() {
            writeln!(out, "\nDataset digest `{}`.", self.digest)?;
        }
        if let Some(model) = &self.model {
            let (name, numerics) = (escape_markdown(&model.name), &model.numerics);
            writeln!(out, "Model {name}, numerics `{numerics}`, digest `{}`.", model.digest)?;
        }
        if let Some(cost) = self.usage.cost_line() {
            writeln!(out, "Cost {cost}.")?;
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
