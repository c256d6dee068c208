//! Reads a request's JSON body, within limits of size and time, and says where it is wrong.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use futures::StreamExt;
use http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use crate::admission::Bytes;
use crate::config::ServerConfig;
use crate::error::ApiError;

/// What is read of a body that is too long before it is refused: a client that is still writing when the connection
/// closes would not see the answer.
const DISCARD_BYTES: usize = 64 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// The body as a value of that type; what it takes of the memory for bodies is in `taken`.
pub(crate) async fn read_json<T: DeserializeOwned + Send + 'static>(
    request: Request,
    config: &ServerConfig,
    taken: &mut Bytes,
) -> Result<T, ApiError> {
    check_media_type(request.headers())?;
    let bytes = tokio::time::timeout(config.body_timeout, read(request.into_body(), config, taken))
        .await
        .map_err(|_| ApiError::BodyTimeout { seconds: config.body_timeout.as_secs() })??;
    parse_apart(bytes).await
}

/// JSON, or nothing that says otherwise.
fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let value = value.to_str().unwrap_or("unreadable");
    let media_type = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media_type == "application/json" || media_type.ends_with("+json") {
        return Ok(());
    }
    Err(ApiError::MediaType(value.to_owned()))
}

async fn read(body: Body, config: &ServerConfig, taken: &mut Bytes) -> Result<Vec<u8>, ApiError> {
    let limit = config.body_limit;
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(part) = stream.next().await {
        let part = part.map_err(|error| ApiError::Body(error.to_string()))?;
        if bytes.len() + part.len() > limit {
            drop(bytes);
            discard(stream).await;
            return Err(ApiError::BodyTooLarge { limit });
        }
        taken.take(part.len())?;
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// Reads on for a while.
async fn discard(mut stream: BodyDataStream) {
    let rest = async {
        let mut read = 0;
        while let Some(Ok(part)) = stream.next().await {
            read += part.len();
            if read > DISCARD_BYTES {
                break;
            }
        }
    };
    // Whoever is slower than this is cut off.
    let _ = tokio::time::timeout(DISCARD_TIME, rest).await;
}

/// Texts that are parsed at once; longer ones must not hold up other connections.
const SHORT: usize = 64 << 10;

/// The same away from the threads that serve connections, if it may take its time.
pub(crate) async fn parse_apart<T: DeserializeOwned + Send + 'static>(
    bytes: Vec<u8>,
) -> Result<T, ApiError> {
    if bytes.len() <= SHORT {
        return parse(&bytes);
    }
    let parsed = tokio::task::spawn_blocking(move || parse(&bytes)).await;
    parsed.unwrap_or(Err(ApiError::Internal))
}

/// JSON text as a value of that type.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner();
        if !problem.is_data() {
            return ApiError::NotJson(problem.to_string());
        }
        match path.as_str() {
            "." => ApiError::Parameter {
                param: None,
                message: format!("the body is not a request: {problem}"),
                code: "invalid_type",
            },
            _ => ApiError::Parameter {
                message: format!("{path}: {problem}"),
                param: Some(path),
                code: "invalid_type",
            },
        }
    })?;
    json.end().map_err(|error| ApiError::NotJson(error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::chat::ChatRequest;

    #[track_caller]
    fn check(body: &str, code: &str, param: Option<&str>, message: &str) {
        let error = parse::<ChatRequest>(body.as_bytes()).expect_err("wrong").body().error;
        assert_eq!((error.code, error.param.as_deref()), (code, param));
        assert_eq!(error.message, message);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        check(
            "{\"model\": }",
            "invalid_json",
            None,
            "the body is not valid JSON: expected value at line 1 column 11",
        );
        check(
            "{}\n x",
            "invalid_json",
            None,
            "the body is not valid JSON: trailing characters at line 2 column 2",
        );
        check(
            "",
            "invalid_json",
            None,
            "the body is not valid JSON: EOF while parsing a value at line 1 column 0",
        );
        check(
            "{\"temperature\": \"hot\"}",
            "invalid_type",
            Some("temperature"),
            "temperature: invalid type: string \"hot\", expected f64 at line 1 column 21",
        );
        check(
            "{\"messages\": [{\"role\": \"user\", \"content\": 3}]}",
            "invalid_type",
            Some("messages[0].content"),
            "messages[0].content: expected a text or a list of text parts at line 1 column 44",
        );
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        let error = parse::<ChatRequest>(b"3").expect_err("a number").body().error;
        assert_eq!((error.code, error.param), ("invalid_type", None));
    }
}
