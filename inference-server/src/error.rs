//! Everything that a request can be refused for, and its HTTP status: the one map from errors to responses.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use textnlp_engine::chat::ChatError;
use textnlp_engine::engine::{LanguageModelError, RowError, SubmitError};
use textnlp_engine::sampling::ParamsError;
use textnlp_engine::scheduler::ScheduleError;
use textnlp_engine::tokenizer::TokenizerError;

use crate::api::error::{ErrorBody, ErrorDetail};
use crate::readiness::Phase;

/// Why a request gets no completion.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum ApiError {
    /// The body is not JSON; the problem has line and column.
    #[error("the body is not valid JSON: {0}")]
    NotJson(String),
    /// The body has another media type.
    #[error("the body has content type {0:?}; send JSON with content-type: application/json")]
    MediaType(String),
    /// The body is too long.
    #[error("the body has more than {limit} bytes, which is the limit")]
    BodyTooLarge {
        /// Most bytes accepted.
        limit: usize,
    },
    /// The body did not come in time.
    #[error("the body did not arrive within {seconds} s; send the request again")]
    BodyTimeout {
        /// The limit.
        seconds: u64,
    },
    /// The connection broke while the body was read.
    #[error("the body cannot be read: {0}")]
    Body(String),
    /// A parameter that is missing, out of range, of another type, or not supported.
    #[error("{message}")]
    Parameter {
        /// Which one, as a path.
        param: Option<String>,
        /// What was found and what is allowed.
        message: String,
        /// One word.
        code: &'static str,
    },
    /// The prompt leaves no room for a completion.
    #[error("{message}")]
    ContextLength {
        /// `prompt` or `messages`.
        param: &'static str,
        /// How long it is, and how long it may be.
        message: String,
    },
    /// The model cannot continue a conversation.
    #[error("{0}")]
    NoChatTemplate(String),
    /// Another model than this server's.
    #[error("the model {found:?} does not exist; this server has {known:?}")]
    UnknownModel {
        /// The name in the request.
        found: String,
        /// The name that would do.
        known: String,
    },
    /// The sender pinned another digest.
    #[error("the request is for the model {wanted}, this server has {found}: the model changed")]
    ModelChanged {
        /// The digest in the request's header.
        wanted: String,
        /// The loaded model's.
        found: String,
    },
    /// No key, or one that opens nothing.
    #[error("a valid API key is needed: send it as `Authorization: Bearer KEY`")]
    Unauthorized,
    /// The key is for other things.
    #[error("this API key has not the scope {scope}")]
    Forbidden {
        /// What would be needed.
        scope: &'static str,
    },
    /// The key's limit of requests or tokens is used up.
    #[error("this API key's limit is used up; try again in {seconds} s")]
    RateLimited {
        /// When there is room again.
        seconds: u64,
    },
    /// Those who know who may call do not answer.
    #[error("whether you may call cannot be found out now; try again later")]
    AccessUnavailable,
    /// As many requests as the server takes.
    #[error("{capacity} completions are running or waiting, which is the limit; try again later")]
    QueueFull {
        /// The limit.
        capacity: usize,
    },
    /// One key's completions take their part of the line.
    #[error(
        "this API key has {held} completions running or waiting, which is its share while others may come; try again later"
    )]
    ShareFull {
        /// How many they are.
        held: usize,
    },
    /// The bodies of all requests together are too large.
    #[error(
        "the bodies of other requests take all the memory that there is for them; try again later"
    )]
    BodiesFull,
    /// The time that the request has is over.
    #[error("the completion was not done within {seconds} s, which is the request's limit")]
    DeadlineExceeded {
        /// The limit.
        seconds: f64,
    },
    /// The model is not loaded yet.
    #[error("the model is not ready: {}; try again later", .0.as_str())]
    Loading(Phase),
    /// The server is shutting down.
    #[error("this server is shutting down; another one will answer")]
    Draining,
    /// The engine's thread has ended.
    #[error("{0}")]
    EngineStopped(String),
    /// The model failed, not the request.
    #[error("{0}")]
    ModelFailed(String),
    /// A fault of this server.
    #[error("the server failed on this request; its log says why")]
    Internal,
    /// A path that is a socket.
    #[error("GET /generate is a WebSocket (version 13); without one, use POST")]
    UpgradeRequired,
    /// A socket that a page of another site asks for.
    #[error("pages of other sites may not do this; `--allow-origin` names those that may")]
    ForeignOrigin,
    /// No such route.
    #[error("there is no {method} {path} here")]
    NotFound {
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
    },
    /// The route has other methods.
    #[error("{path} does not take {method}")]
    MethodNotAllowed {
        /// The request's method.
        method: String,
        /// The request's path.
        path: String,
    },
}

impl ApiError {
    /// A parameter's value that is not allowed.
    pub(crate) fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        let param = Some(param.into());
        Self::Parameter { param, message: message.into(), code: "invalid_value" }
    }

    /// A parameter that this server does not have.
    pub(crate) fn unsupported(param: impl Into<String>, advice: &str) -> Self {
        let param = param.into();
        let message = format!("{param} is not supported by this server; {advice}");
        Self::Parameter { param: Some(param), message, code: "unsupported_parameter" }
    }

    /// A prompt that the text side of the model refuses; `param` is where it stands.
    pub(crate) fn of_prompt(error: &LanguageModelError, param: &'static str) -> Self {
        let message = error.to_string();
        match error {
            LanguageModelError::NoChatTemplate | LanguageModelError::BrokenChatTemplate(_) => {
                Self::NoChatTemplate(message)
            }
            LanguageModelError::Chat(ChatError::Thread(_)) => Self::ModelFailed(message),
            LanguageModelError::Tokenizer(TokenizerError::TextTooLong { .. })
            | LanguageModelError::Chat(ChatError::Limit { .. }) => {
                Self::ContextLength { param, message }
            }
            _ => Self::invalid(param, message),
        }
    }

    /// A failure of the engine at one completion.
    pub(crate) fn of_row(error: &RowError, param: &'static str) -> Self {
        let message = error.to_string();
        match error {
            RowError::Params(error) => Self::of_params(error),
            RowError::Schedule(ScheduleError::PromptTooLong { .. }) => {
                Self::ContextLength { param, message }
            }
            RowError::Schedule(ScheduleError::EmptyPrompt | ScheduleError::UnknownToken { .. }) => {
                Self::invalid(param, message)
            }
            // Its arithmetic fails on this prompt, and would again: as in a local run, the row is lost, not the model.
            RowError::Sampling(_) => Self::invalid(param, message),
            RowError::Schedule(ScheduleError::KvCacheTooSmall { .. }) | RowError::Step(_) => {
                Self::ModelFailed(message)
            }
            RowError::Stopped(_) => Self::EngineStopped(message),
        }
    }

    /// A sampling parameter out of its range, by its name on the wire.
    pub(crate) fn of_params(error: &ParamsError) -> Self {
        let param = match error.parameter {
            "topP" => "top_p",
            "minP" => "min_p",
            "repetitionPenalty" => "repetition_penalty",
            "maxTokens" => "max_tokens",
            "logitBias" => "logit_bias",
            same => same,
        };
        Self::invalid(param, format!("{param} is {}; {}", error.found, error.allowed))
    }

    /// The engine does not take a request.
    pub(crate) fn of_submit(error: &SubmitError) -> Self {
        match error {
            SubmitError::Full { capacity } => Self::QueueFull { capacity: *capacity },
            SubmitError::Stopped(_) => Self::EngineStopped(error.to_string()),
        }
    }

    /// The kind of error as one word: the `code` of the response.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "invalid_json",
            Self::MediaType(_) => "unsupported_media_type",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyTimeout { .. } => "body_timeout",
            Self::Body(_) => "body_unreadable",
            Self::Parameter { code, .. } => code,
            Self::ContextLength { .. } => "context_length_exceeded",
            Self::NoChatTemplate(_) => "no_chat_template",
            Self::UnknownModel { .. } => "model_not_found",
            Self::ModelChanged { .. } => "model_changed",
            Self::QueueFull { .. } | Self::BodiesFull => "queue_full",
            Self::ShareFull { .. } => "queue_share_full",
            Self::DeadlineExceeded { .. } => "deadline_exceeded",
            Self::Unauthorized => "invalid_api_key",
            Self::Forbidden { .. } => "insufficient_scope",
            Self::RateLimited { .. } => "rate_limit_exceeded",
            Self::AccessUnavailable => "access_unavailable",
            Self::Loading(_) => "model_loading",
            Self::Draining => "server_draining",
            Self::EngineStopped(_) => "engine_stopped",
            Self::ModelFailed(_) => "model_failed",
            Self::Internal => "internal_error",
            Self::NotFound { .. } => "not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::UpgradeRequired => "upgrade_required",
            Self::ForeignOrigin => "foreign_origin",
        }
    }

    /// The HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotJson(_)
            | Self::Body(_)
            | Self::Parameter { .. }
            | Self::ContextLength { .. }
            | Self::NoChatTemplate(_) => StatusCode::BAD_REQUEST,
            Self::UnknownModel { .. } | Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTimeout { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::ModelChanged { .. } => StatusCode::PRECONDITION_FAILED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } | Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            Self::QueueFull { .. }
            | Self::ShareFull { .. }
            | Self::BodiesFull
            | Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::DeadlineExceeded { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::ModelFailed(_) | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::AccessUnavailable
            | Self::Loading(_)
            | Self::Draining
            | Self::EngineStopped(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// As OpenAI's API writes it.
    pub(crate) fn body(&self) -> ErrorBody {
        let kind = match self.status() {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let param = match self {
            Self::Parameter { param, .. } => param.clone(),
            Self::ContextLength { param, .. } => Some((*param).to_owned()),
            Self::NoChatTemplate(_) => Some("messages".to_owned()),
            Self::UnknownModel { .. } => Some("model".to_owned()),
            _ => None,
        };
        let message = self.to_string();
        ErrorBody { error: ErrorDetail { message, kind, param, code: self.reason() } }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Self::DeadlineExceeded { .. } = self {
            // OpenAI's clients would send it again at once, for a caller who waits no longer.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        if let Self::RateLimited { seconds } = self {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        } else if [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE].contains(&status)
        {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use textnlp_engine::sampling::SamplingParams;

    #[track_caller]
    fn check(error: &ApiError, status: u16, expect: serde_json::Value) {
        let body = serde_json::to_value(error.body()).expect("it is JSON");
        assert_eq!((error.status().as_u16(), body), (status, json!({ "error": expect })));
    }

    #[test]
    fn a_range_is_told_with_the_parameters_name_on_the_wire() {
        let params = SamplingParams { top_p: 0.0, ..SamplingParams::default() };
        let error = params.check(10).expect_err("out of range");
        check(
            &ApiError::of_params(&error),
            400,
            json!({
                "message": "top_p is 0; it must be above 0 and at most 1",
                "type": "invalid_request_error", "param": "top_p", "code": "invalid_value",
            }),
        );
    }

    #[test]
    fn a_long_prompt_has_openais_code() {
        let error = RowError::Schedule(ScheduleError::PromptTooLong { found: 12, context: 10 });
        check(
            &ApiError::of_row(&error, "messages"),
            400,
            json!({
                "message": "the prompt has 12 tokens; the model's context of 10 leaves room for 9 at most",
                "type": "invalid_request_error", "param": "messages",
                "code": "context_length_exceeded",
            }),
        );
    }

    #[test]
    fn what_may_go_right_at_another_time_or_place_is_no_fault_of_the_request() {
        for (error, status) in [
            (RowError::Step("device".into()), 500),
            (RowError::Stopped(None), 503),
            (RowError::Schedule(ScheduleError::KvCacheTooSmall { needed: 9, available: 1 }), 500),
        ] {
            assert_eq!(ApiError::of_row(&error, "prompt").status().as_u16(), status, "{error}");
            assert!(!error.is_of_request());
        }
        assert_eq!(ApiError::of_submit(&SubmitError::Full { capacity: 1 }).status().as_u16(), 429);
    }
}
