//! Looks at a job without writing anything: a few real rows beside their prompts, or every prompt and what it costs.

use std::sync::Arc;

use futures::TryStreamExt;
use serde::Serialize;
use textnlp_dataset::{Row, SourceRecord};
use textnlp_telemetry::trace::TraceContext;

use crate::call;
use crate::completer::Models;
use crate::error::Error;
use crate::job::Job;
use crate::prepare::Source;
use crate::progress::Progress;
use crate::row::{RowMaker, RowTraces};

/// Makes the first rows of a job and keeps nothing.
pub async fn preview(
    job: Arc<Job>,
    models: Models,
    source: &Source,
    rows: usize,
) -> Result<Vec<Row>, Error> {
    let records = call::records(&job, source, rows)?;
    call::rows(&job, &models, records, (rows, rows), untraced()).try_collect().await
}

/// A look at a job is part of no trace.
fn untraced() -> RowTraces {
    RowTraces::new(TraceContext::default(), 0)
}

/// What a job would ask of its models.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DryRun {
    /// Records of the source.
    pub records: u64,
    /// Rows: records × samples.
    pub rows: u64,
    /// Completions.
    pub requests: u64,
    /// Tokens of the prompts that read no generated column; those of the others are not known before the run.
    pub prompt_tokens: u64,
    /// Columns whose prompts read generated columns.
    pub unknown: Vec<String>,
    /// The most tokens that completions can have.
    pub max_completion_tokens: u64,
    /// Rows that would fail, and why (the first ten).
    pub failures: Vec<String>,
    /// How many rows would fail.
    pub failed: u64,
    /// The first prompts, as they would be sent.
    pub prompts: Vec<String>,
}

/// Renders every prompt that can be rendered before the run and counts its tokens.
pub fn dry_run(job: Arc<Job>, models: Models, source: &Source) -> Result<DryRun, Error> {
    call::records(&job, source, 0)?;
    let generated: Vec<_> = job.columns.iter().filter_map(|c| Some((c, c.generated()?))).collect();
    let mut result = DryRun {
        unknown: generated
            .iter()
            .filter(|(_, g)| g.reads().any(|name| job.columns.iter().any(|c| c.name == name)))
            .map(|(c, _)| c.name.clone())
            .collect(),
        ..DryRun::default()
    };
    let per_row: u64 =
        generated.iter().map(|(_, g)| u64::from(g.sampling.max_tokens.unsigned_abs())).sum();
    let maker = RowMaker {
        job: job.clone(),
        models,
        progress: Arc::new(Progress::default()),
        traces: untraced(),
    };
    for record in source.records(&job.spec.source)? {
        let record = record?;
        result.records += 1;
        for sample in 0..job.samples {
            result.rows += 1;
            result.requests += generated.len() as u64;
            result.max_completion_tokens += per_row;
            dry_row(&maker, &record, sample, &mut result);
        }
    }
    Ok(result)
}

fn dry_row(maker: &RowMaker, record: &SourceRecord, sample: u32, result: &mut DryRun) {
    for (column, prompt) in maker.first_prompts(record, sample) {
        let model = maker.job.columns.iter().find(|c| c.name == column).and_then(|c| c.generated());
        let completer = model.and_then(|g| maker.models.completer(&g.model));
        let tokens = prompt.and_then(|prompt| match completer {
            Some(completer) => {
                let tokens = completer.count(&prompt).map_err(|e| e.to_string())?;
                Ok((prompt, tokens))
            }
            None => Err("the model is not connected".to_owned()),
        });
        match tokens {
            Ok((prompt, tokens)) => {
                result.prompt_tokens += tokens;
                if result.prompts.len() < 3 {
                    result.prompts.push(prompt.to_json().to_string());
                }
            }
            Err(message) => {
                result.failed += 1;
                if result.failures.len() < 10 {
                    result.failures.push(format!("row {}-{sample}: {message}", record.index));
                }
                return;
            }
        }
    }
}
