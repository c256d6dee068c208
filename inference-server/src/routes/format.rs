//! `POST /format`: rows as a table of any format that datasets are written in.

use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use textnlp_dataset::format::{self, Format, Options, Schema};

use super::AppState;
use crate::access::Caller;
use crate::api::format::FormatRequest;
use crate::body::read_json;
use crate::error::ApiError;

/// Different fields of a table.
const MAX_FIELDS: usize = 1_000;

/// Its rows times its fields.
const MAX_CELLS: usize = 1_000_000;

pub(super) async fn format(
    State(state): State<AppState>,
    request: Request,
) -> Result<Response, ApiError> {
    let caller = request.extensions().get::<Caller>().cloned();
    let mut bytes = state.admission.bytes();
    let request: FormatRequest = read_json(request, &state.config, &mut bytes).await?;
    let turn = state.admission.queue(caller.as_ref())?;
    let media_type = match request.format {
        Format::Jsonl => "application/jsonl",
        Format::Csv => "text/csv; charset=utf-8; header=present",
        Format::Markdown => "text/markdown; charset=utf-8",
        Format::Parquet => "application/vnd.apache.parquet",
    };
    let bytes = state.admission.compute(turn, move || write(&request)).await?;
    let mut response = bytes.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

fn write(request: &FormatRequest) -> Result<Vec<u8>, ApiError> {
    if request.rows.is_empty() {
        return Err(ApiError::invalid("rows", "rows is empty; send at least one object"));
    }
    let names: HashSet<&str> =
        request.rows.iter().flat_map(|row| row.keys().map(String::as_str)).collect();
    let cells = names.len().saturating_mul(request.rows.len());
    if names.len() > MAX_FIELDS || cells > MAX_CELLS {
        let found = format!("{} rows with {} different fields", request.rows.len(), names.len());
        let allowed = format!("at most {MAX_FIELDS} fields, and {MAX_CELLS} cells in all");
        return Err(ApiError::invalid("rows", format!("{found}; allowed: {allowed}")));
    }
    let mut schema = Schema::new();
    request.rows.iter().for_each(|row| schema.add(row));
    if let Some(fields) = &request.fields {
        schema = schema.select(fields).map_err(|error| {
            let message = error.to_string().replace("output.fields", "fields");
            ApiError::invalid("fields", message)
        })?;
    }
    let options = Options { escape_formulas: request.escape_formulas };
    let bytes = Bytes::default();
    let written = format::writer(request.format, &schema, options, Box::new(bytes.clone()))
        .and_then(|mut table| {
            request.rows.iter().try_for_each(|row| table.write(row))?;
            table.finish()
        });
    written.map_err(|error| ApiError::invalid("rows", error.to_string()))?;
    bytes.take().ok_or(ApiError::Internal)
}

/// Where a table goes whose writer must own its sink.
#[derive(Clone, Default)]
struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Bytes {
    fn take(self) -> Option<Vec<u8>> {
        self.0.lock().ok().map(|mut bytes| std::mem::take(&mut *bytes))
    }
}

impl Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().map_err(|_| io::Error::other("the table is poisoned"))?;
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
