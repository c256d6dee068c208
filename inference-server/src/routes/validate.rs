//! `POST /validate`: scores of texts that are in the request, as `textnlp validate` gives them of a file.

use axum::Json;
use axum::extract::{Request, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use textnlp_crds::Kind;
use textnlp_crds::admission::{self, Cause};
use textnlp_crds::validation::Validation;
use textnlp_dataset::SourceRecord;
use textnlp_generation::evaluation::{Entry, Evaluated, Evaluation};
use textnlp_generation::report::{Failures, NamedDistribution, Rejection, Score, passes};
use textnlp_generation::scoring::Scoring;

use super::AppState;
use crate::body::read_json;
use crate::error::ApiError;

/// What is to be scored and how.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidateRequest {
    /// The rows: objects with the fields that the metrics name.
    rows: Vec<Map<String, Value>>,
    /// What to measure, as in a GenerationJob.
    validation: Value,
    /// Whether each row's scores are in the answer.
    #[serde(default)]
    include_rows: bool,
}

/// The scores: a report without what belongs to a job.
#[derive(Debug, Serialize)]
pub(super) struct ValidateResponse {
    records: u64,
    rows: textnlp_dataset::manifest::RowCounts,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejections: Vec<Rejection>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Failures>,
    scores: Vec<Score>,
    distributions: Vec<NamedDistribution>,
    passed: bool,
    /// `{"id", "scores"}` of each row, with `rejectedBy`, or `error` in place of the scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<Vec<Value>>,
}

pub(super) async fn validate(
    State(state): State<AppState>,
    request: Request,
) -> Result<Json<ValidateResponse>, ApiError> {
    let turn = state.admission.queue()?;
    let request: ValidateRequest =
        read_json(request, &state.config, &mut state.admission.bytes()).await?;
    state.admission.compute(turn, move || evaluate(request)).await.map(Json)
}

fn evaluate(request: ValidateRequest) -> Result<ValidateResponse, ApiError> {
    if request.rows.is_empty() {
        return Err(ApiError::invalid("rows", "rows is empty; send at least one object"));
    }
    let scoring = compile(&request.validation)?;
    let evaluation = Evaluation { scoring: &scoring, given: &[], column: "", threads: 1 };
    let entries = request.rows.into_iter().zip(0..).map(|(fields, index)| {
        let record = SourceRecord { index, record: Ok(fields) };
        Ok(Entry { record, given: Ok(Vec::new()) })
    });
    let mut lines = Vec::new();
    let rows = request.include_rows.then_some(&mut lines as &mut (dyn std::io::Write + Send));
    let found = evaluation.run(entries, rows).map_err(|error| {
        tracing::error!("scoring failed: {error}");
        ApiError::Internal
    })?;
    let results = request.include_rows.then(|| {
        let rows = serde_json::Deserializer::from_slice(&lines).into_iter();
        rows.filter_map(Result::ok).collect()
    });
    Ok(response(found, results))
}

fn response(found: Evaluated, results: Option<Vec<Value>>) -> ValidateResponse {
    ValidateResponse {
        passed: passes(&found.scores, &found.rows),
        records: found.rows.requested,
        rows: found.rows,
        rejections: found.rejections,
        failures: found.failures,
        scores: found.scores,
        distributions: found.distributions,
        results,
    }
}

/// Compiles what a manifest could have as `spec.validation`, in the words in which an API server refuses it.
fn compile(validation: &Value) -> Result<Scoring, ApiError> {
    let manifest = json!({
        "apiVersion": "textnlp.dev/v1alpha1",
        "kind": "GenerationJob",
        "metadata": {"name": "validate"},
        "spec": {"columns": [{"name": "text", "value": "text"}], "validation": validation},
    });
    let admitted = admission::admit(Kind::GenerationJob, &manifest, None)
        .map_err(|causes| refused(&causes))?;
    let spec = admitted.pointer("/spec/validation").cloned().unwrap_or_default();
    let spec: Validation = serde_json::from_value(spec)
        .map_err(|error| ApiError::invalid("validation", error.to_string()))?;
    if spec.deduplicate.is_some() {
        return Err(ApiError::unsupported(
            "validation.deduplicate",
            "measure duplicateRate or nearDuplicateRate; a job removes duplicates",
        ));
    }
    Scoring::compile(Some(&spec)).map_err(|error| {
        let message = error.to_string().replace("spec.validation", "validation");
        let param = message.split([':', ' ']).next().unwrap_or("validation").to_owned();
        ApiError::invalid(param, message)
    })
}

/// The first reason, and how many there are.
fn refused(causes: &[Cause]) -> ApiError {
    let Some(first) = causes.first() else { return ApiError::Internal };
    let param = first.path.trim_start_matches("spec.").to_owned();
    let more = match causes.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let message = first.message.replace("spec.validation", "validation");
    ApiError::invalid(param.clone(), format!("{param}: {message}{more}"))
}
