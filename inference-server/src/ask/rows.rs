//! Requests for rows, compiled. Pure.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use textnlp_generation::completer::{ModelFacts, Models};
use textnlp_generation::task::ROWS_PER_POD;
use textnlp_generation::{Error, Job, Source};

use super::manifest;
use crate::api::generate::GenerateRequest;
use crate::error::ApiError;

/// Most rows of an answer that is sent whole, and of one that is streamed: what is more is a job.
const MAX_ROWS: u64 = 1_000;
const MAX_STREAMED_ROWS: u64 = 1_000_000;

/// Most records of a request.
const MAX_RECORDS: usize = 100_000;

/// Rows to make.
pub(crate) struct RowsAsk {
    pub(crate) job: Arc<Job>,
    pub(crate) models: Models,
    pub(crate) source: Source,
    /// How many are made at once.
    pub(crate) width: usize,
}

impl RowsAsk {
    /// Compiles a request for the one model that there is.
    pub(crate) fn compile(
        request: GenerateRequest,
        model: ModelFacts,
        streamed: bool,
    ) -> Result<Self, ApiError> {
        if let Some(found) = request.model.filter(|name| *name != model.name) {
            return Err(ApiError::UnknownModel { found, known: model.name });
        }
        let mut spec = Map::new();
        spec.insert("modelRef".to_owned(), json!({"name": model.name}));
        spec.insert("columns".to_owned(), request.columns);
        for (name, value) in [
            ("samplesPerRecord", request.samples_per_record),
            ("constants", request.constants),
            ("attributes", request.attributes),
            ("sampling", request.sampling),
            ("validation", request.validation),
            ("output", request.mask_pii.map(|mask| json!({"maskPii": mask}))),
        ] {
            spec.extend(value.map(|value| (name.to_owned(), value)));
        }
        let spec = manifest::spec(&Value::Object(spec))?;
        let mut models = Models::default();
        models.describe(model);
        let job = Job::compile("request", &spec, &models).map_err(|error| refused(&error))?;
        let records = request.records.unwrap_or_default();
        if records.len() > MAX_RECORDS {
            let found = records.len();
            let message = format!("the request has {found} records; allowed: {MAX_RECORDS}");
            return Err(ApiError::invalid("records", message));
        }
        let rows = u64::from(job.samples).saturating_mul(records.len().max(1) as u64);
        let most = if streamed { MAX_STREAMED_ROWS } else { MAX_ROWS };
        if rows > most {
            let advice = match streamed {
                true => "make more of them by a GenerationJob",
                false => "set stream, or make more of them by a GenerationJob",
            };
            let message = format!("the request asks for {rows} rows; allowed: {most}; {advice}");
            return Err(ApiError::invalid("records", message));
        }
        let source = if records.is_empty() { Source::None } else { Source::Inline(records) };
        let width = usize::try_from(rows).unwrap_or(usize::MAX).min(ROWS_PER_POD);
        Ok(Self { job: Arc::new(job), models, source, width })
    }
}

/// Why a request can never work, with its own names.
pub(crate) fn refused(error: &Error) -> ApiError {
    match error {
        Error::Spec { path, message } => manifest::at(path, message, ""),
        Error::Source(error) => {
            let message = error.to_string().replace("spec.source.inline.records", "records");
            ApiError::invalid("records", message)
        }
        error => {
            tracing::error!("rows cannot be made: {error}");
            ApiError::Internal
        }
    }
}
