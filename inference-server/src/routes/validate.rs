//! `POST /validate`: scores of texts that are in the request, as `textnlp validate` gives them of a file.

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};
use textnlp_dataset::SourceRecord;
use textnlp_generation::evaluation::{Entry, Evaluated, Evaluation};
use textnlp_generation::report::passes;
use textnlp_generation::scoring::Scoring;

use super::AppState;
use crate::access::Caller;
use crate::api::validate::{ValidateRequest, ValidateResponse};
use crate::ask::manifest;
use crate::ask::rows::refused;
use crate::body::read_json;
use crate::error::ApiError;

pub(super) async fn validate(
    State(state): State<AppState>,
    request: Request,
) -> Result<Json<ValidateResponse>, ApiError> {
    let caller = request.extensions().get::<Caller>().cloned();
    let mut bytes = state.admission.bytes();
    let request: ValidateRequest = read_json(request, &state.config, &mut bytes).await?;
    let turn = state.admission.queue(caller.as_ref())?;
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

/// Compiles what a manifest could have as `spec.validation`.
fn compile(validation: &Value) -> Result<Scoring, ApiError> {
    let columns = json!([{"name": "text", "value": "text"}]);
    let spec = manifest::spec(&json!({"columns": columns, "validation": validation}))?;
    if spec.validation.as_ref().is_some_and(|validation| validation.deduplicate.is_some()) {
        return Err(ApiError::unsupported(
            "validation.deduplicate",
            "measure duplicateRate or nearDuplicateRate; a job removes duplicates",
        ));
    }
    Scoring::compile(spec.validation.as_ref()).map_err(|error| refused(&error))
}
