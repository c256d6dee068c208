//! One row: attributes drawn, templates rendered, columns completed one after the other. Its failure is its own.

use std::sync::Arc;

use serde_json::{Value, json};
use textnlp_dataset::{Outcome, Record, Row, RowId, RowMeta, SourceRecord, Tokens};
use textnlp_engine::sampling::request_seed;
use textnlp_telemetry::trace::{self, Rows, TraceContext};
use tracing::Instrument;

use crate::completer::{ChatMessage, CompletionError, Models, Prompt, Request};
use crate::error::Error;
use crate::job::{Column, Generated, Job, Kind, PromptTemplate};
use crate::progress::Progress;

/// Attempts other than the first belong to filters that ask again; there are none yet.
const ATTEMPT: u32 = 0;

/// Why a row ended early: at which step, and what happened.
struct Failure {
    stage: &'static str,
    message: String,
}

/// What makes rows.
pub(crate) struct RowMaker {
    pub(crate) job: Arc<Job>,
    pub(crate) models: Models,
    pub(crate) progress: Arc<Progress>,
    pub(crate) traces: RowTraces,
}

/// What rows are part of, and which of them are traced.
#[derive(Debug, Clone)]
pub(crate) struct RowTraces {
    parent: TraceContext,
    rows: Rows,
}

impl RowTraces {
    /// Of a job with so many rows, inside `parent`.
    pub(crate) fn new(parent: TraceContext, total: u64) -> Self {
        Self { parent, rows: trace::rows(total) }
    }

    fn of(&self, row: u64) -> TraceContext {
        match self.rows.includes(row) {
            true => self.parent.clone(),
            false => self.parent.unsampled(),
        }
    }
}

impl RowMaker {
    /// Makes one row. An error is not the row's: the model stopped working, and the run with it.
    pub(crate) async fn make(&self, record: &SourceRecord, sample: u32) -> Result<Row, Error> {
        let number = record.index * u64::from(self.job.samples) + u64::from(sample);
        let mut span = self.traces.of(number).child("row");
        let made =
            self.make_within(span.context(), record, sample).instrument(span.context().log()).await;
        if let Ok(row) = &made {
            span.set("textnlp.row", row.id.to_string());
            if let Outcome::Failed { stage, .. } = &row.outcome {
                span.failed(format!("failed at {stage}"));
            }
        }
        made
    }

    async fn make_within(
        &self,
        trace: &TraceContext,
        record: &SourceRecord,
        sample: u32,
    ) -> Result<Row, Error> {
        let id = RowId { record: record.index, sample };
        let mut row = Row {
            id,
            fields: record.fields().clone(),
            attributes: self.job.draw(id),
            columns: Record::new(),
            outcome: Outcome::Generated,
            meta: RowMeta::default(),
        };
        let failure = match &record.record {
            Err(error) => Some(Failure { stage: "source", message: error.message.clone() }),
            Ok(_) => self.columns(trace, &mut row).await?,
        };
        if let Some(Failure { stage, message }) = failure {
            row.outcome = Outcome::Failed { stage: stage.to_owned(), message };
        }
        row.columns = in_manifest_order(&self.job, std::mem::take(&mut row.columns));
        Ok(row)
    }

    async fn columns(&self, trace: &TraceContext, row: &mut Row) -> Result<Option<Failure>, Error> {
        for &index in &self.job.order {
            let column = &self.job.columns[index];
            let made = match &column.kind {
                Kind::Value(template) => self
                    .render(template, row)
                    .map(Value::String)
                    .map_err(|message| Failure { stage: "template", message }),
                Kind::Generated(generated) => {
                    let mut span = trace.child("column");
                    span.set("textnlp.column", column.name.clone());
                    span.set("gen_ai.request.model", generated.model.clone());
                    self.complete(span.context(), column, generated, row).await?
                }
            };
            match made {
                Ok(value) => row.columns.insert(column.name.clone(), value),
                Err(failure) => return Ok(Some(failure)),
            };
        }
        Ok(None)
    }

    async fn complete(
        &self,
        trace: &TraceContext,
        column: &Column,
        generated: &Generated,
        row: &mut Row,
    ) -> Result<Result<Value, Failure>, Error> {
        let rendering = trace.child("render");
        let prompt = match self.prompt(column, generated, row) {
            Ok(prompt) => prompt,
            Err(failure) => return Ok(Err(failure)),
        };
        drop(rendering);
        row.meta.prompts.insert(column.name.clone(), prompt.to_json());
        let completer = self
            .models
            .completer(&generated.model)
            .ok_or_else(|| Error::Model(format!("model {:?} is not connected", generated.model)))?;
        Progress::add(&self.progress.requests, 1);
        let seed = u64::try_from(generated.sampling.seed).unwrap_or_default();
        let request = Request {
            prompt,
            sampling: generated.sampling.clone(),
            seed: request_seed(seed, &column.name, row.id.record, row.id.sample, ATTEMPT),
            record: row.id.record,
            trace: trace.clone(),
        };
        match completer.complete(request).await {
            Ok(done) => {
                let tokens =
                    Tokens { prompt: done.prompt_tokens, completion: done.completion_tokens };
                self.progress.used(&generated.model, tokens);
                row.meta.finish_reasons.insert(column.name.clone(), done.finish_reason.to_owned());
                row.meta.tokens.insert(column.name.clone(), tokens);
                Ok(Ok(json!(done.text)))
            }
            Err(CompletionError::Request(message)) => Ok(Err(Failure {
                stage: "completion",
                message: format!("column {:?}: {message}", column.name),
            })),
            Err(error) => Err(Error::of_model(error)),
        }
    }

    fn prompt(&self, column: &Column, generated: &Generated, row: &Row) -> Result<Prompt, Failure> {
        let failure = |message| Failure { stage: "prompt", message };
        let prompt = match &generated.prompt {
            PromptTemplate::Text(template) => {
                Prompt::Text(self.render(template, row).map_err(failure)?)
            }
            PromptTemplate::Chat(turns) => Prompt::Chat(
                turns
                    .iter()
                    .map(|(role, template)| {
                        let content = self.render(template, row)?;
                        Ok(ChatMessage { role, content })
                    })
                    .collect::<Result<_, _>>()
                    .map_err(failure)?,
            ),
        };
        if prompt.is_blank() {
            return Err(failure(format!("column {:?}: the rendered prompt is blank", column.name)));
        }
        if prompt.texts().any(|text| text.contains('\0')) {
            return Err(failure(format!(
                "column {:?}: the rendered prompt holds a NUL character (U+0000), which no model can read",
                column.name
            )));
        }
        Ok(prompt)
    }

    fn render(
        &self,
        template: &textnlp_dataset::template::Template,
        row: &Row,
    ) -> Result<String, String> {
        template
            .render(&[&self.job.constants, &row.fields, &row.attributes, &row.columns])
            .map_err(|e| e.to_string())
    }

    /// The rendered prompts of the columns that need no completion first, for previews and dry runs.
    pub(crate) fn first_prompts(
        &self,
        record: &SourceRecord,
        sample: u32,
    ) -> Vec<(String, Result<Prompt, String>)> {
        let id = RowId { record: record.index, sample };
        let row = Row {
            id,
            fields: record.fields().clone(),
            attributes: self.job.draw(id),
            columns: Record::new(),
            outcome: Outcome::Generated,
            meta: RowMeta::default(),
        };
        let mut prompts = Vec::new();
        for &index in &self.job.order {
            let column = &self.job.columns[index];
            let Some(generated) = column.generated() else { continue };
            if generated.reads().any(|name| self.job.columns.iter().any(|c| c.name == name)) {
                continue;
            }
            let prompt = match &record.record {
                Err(error) => Err(error.message.clone()),
                Ok(_) => self.prompt(column, generated, &row).map_err(|failure| failure.message),
            };
            prompts.push((column.name.clone(), prompt));
        }
        prompts
    }
}

fn in_manifest_order(job: &Job, mut made: Record) -> Record {
    job.columns.iter().filter_map(|c| made.remove(&c.name).map(|v| (c.name.clone(), v))).collect()
}
