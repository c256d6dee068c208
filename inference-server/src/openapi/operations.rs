//! What can be asked, and what is answered.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::schemas::Schemas;
use crate::api::chat::{ChatChunk, ChatCompletion, ChatRequest};
use crate::api::completions::{Completion, CompletionRequest};
use crate::api::error::ErrorBody;
use crate::api::format::FormatRequest;
use crate::api::generate::{GenerateEvent, GenerateRequest, GenerateResponse};
use crate::api::health::Health;
use crate::api::models::{Model, ModelList};
use crate::api::validate::{ValidateRequest, ValidateResponse};

const OPENAI: &str = "OpenAI";
const PLATFORM: &str = "Platform";
const OPERATION: &str = "Operation";

/// Statuses of errors, and what they mean.
const ERRORS: [(&str, &str); 13] = [
    ("400", "the request is wrong: `param` names where"),
    ("401", "no valid key or token was sent"),
    ("403", "the key is for other things"),
    ("404", "there is no such model or path"),
    ("405", "the path has other methods"),
    ("408", "the body did not come in time"),
    ("412", "the model is another than the one that was pinned"),
    ("413", "the body is too long"),
    ("415", "the body is not JSON"),
    ("429", "the queue is full, or the key's limit used up: see Retry-After"),
    ("500", "the server or the model failed"),
    ("503", "the server is not ready, or ends: see Retry-After"),
    ("504", "the request's deadline has passed"),
];

/// The groups of the operations.
pub(super) fn tags() -> Value {
    json!([
        {"name": OPENAI, "description": "What stock clients call."},
        {"name": PLATFORM, "description": "What `textnlp run`, `validate` and `format` do, without files."},
        {"name": OPERATION, "description": "For probes, dashboards and programs that read descriptions."},
    ])
}

/// All paths.
pub(super) fn paths(schemas: &mut Schemas) -> Value {
    let mut paths = Map::new();
    let mut add = |path: &str, method: &str, operation: Operation| {
        let path = paths.entry(path).or_insert_with(|| json!({}));
        path[method] = operation.0;
    };
    let s = schemas;
    add("/v1/chat/completions", "post", chat(s));
    add("/v1/completions", "post", completions(s));
    add(
        "/v1/models",
        "get",
        Operation::get(s, "listModels", OPENAI, "The one model").json::<ModelList>(s),
    );
    add("/v1/models/{id}", "get", model(s));
    add("/generate", "post", generate(s));
    add("/generate", "get", socket(s));
    add("/validate", "post", validate(s));
    add("/format", "post", format(s));
    let health = |s: &mut Schemas, id, summary, other, meaning| {
        let operation = Operation::get(s, id, OPERATION, summary).open().json::<Health>(s);
        operation.without_errors().content_of::<Health>(s, other, meaning, "application/json")
    };
    add(
        "/healthz",
        "get",
        health(s, "live", "Whether the process can do its work", "500", "the engine has died"),
    );
    add(
        "/readyz",
        "get",
        health(
            s,
            "ready",
            "Whether requests should come here",
            "503",
            "not ready, or not any more",
        ),
    );
    add(
        "/metrics",
        "get",
        Operation::get(s, "metrics", OPERATION, "For Prometheus")
            .text("text/plain; version=0.0.4; charset=utf-8", "string"),
    );
    add(
        "/openapi.json",
        "get",
        Operation::get(s, "openapi", OPERATION, "This document").text("application/json", "object"),
    );
    add(
        "/docs",
        "get",
        Operation::get(s, "docs", OPERATION, "This document, to be read")
            .text("text/html; charset=utf-8", "string"),
    );
    Value::Object(paths)
}

fn chat(s: &mut Schemas) -> Operation {
    let describe = "Needs a model with a chat template. With `stream`, server-sent events: each `data:` is a chunk, the last one `[DONE]`.";
    Operation::post::<ChatRequest>(
        s,
        "createChatCompletion",
        OPENAI,
        "Continue a conversation",
        describe,
    )
    .json::<ChatCompletion>(s)
    .events::<ChatChunk>(s)
}

fn completions(s: &mut Schemas) -> Operation {
    let describe = "With `stream`, server-sent events: each `data:` is an answer with what is new, the last one `[DONE]`.";
    Operation::post::<CompletionRequest>(s, "createCompletion", OPENAI, "Continue a text", describe)
        .json::<Completion>(s)
        .events::<Completion>(s)
}

fn model(s: &mut Schemas) -> Operation {
    let mut operation =
        Operation::get(s, "getModel", OPENAI, "A model by its name").json::<Model>(s);
    let id = json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}});
    operation.0["parameters"] = json!([id]);
    operation
}

fn generate(s: &mut Schemas) -> Operation {
    let describe = "Rows in the order of the records: the same that a GenerationJob with these columns gives. With `stream`, or `accept: application/x-ndjson`, each line is an event, the last one a summary or an error.";
    let operation = Operation::post::<GenerateRequest>(
        s,
        "generate",
        PLATFORM,
        "Make rows from records and columns",
        describe,
    );
    let operation = operation.json::<GenerateResponse>(s);
    operation.content_of::<GenerateEvent>(s, "200", "the rows", "application/x-ndjson")
}

fn socket(s: &mut Schemas) -> Operation {
    let mut operation =
        Operation::get(s, "generateSocket", PLATFORM, "The same as a WebSocket (RFC 6455)");
    operation.0["description"] = json!(
        "The client's one message is the request of `POST /generate`, each of the server's is an event as of its lines."
    );
    operation.0["responses"]["101"] = json!({"description": "the socket is open"});
    operation.content_of::<ErrorBody>(s, "426", "the request is no WebSocket's", "application/json")
}

fn validate(s: &mut Schemas) -> Operation {
    let describe = "What `textnlp validate` measures of a file.";
    Operation::post::<ValidateRequest>(s, "validate", PLATFORM, "Score texts", describe)
        .json::<ValidateResponse>(s)
}

fn format(s: &mut Schemas) -> Operation {
    let describe = "The formats that datasets are written in.";
    [
        "application/jsonl",
        "text/csv; charset=utf-8; header=present",
        "text/markdown; charset=utf-8",
        "application/vnd.apache.parquet",
    ]
    .into_iter()
    .fold(
        Operation::post::<FormatRequest>(s, "format", PLATFORM, "Write rows as a table", describe),
        |operation, media| operation.text(media, "string"),
    )
}

/// One operation, as the document has it.
struct Operation(Value);

impl Operation {
    fn get(s: &mut Schemas, id: &str, tag: &str, summary: &str) -> Self {
        let mut responses = Map::new();
        let error = s.answer::<ErrorBody>();
        for (status, meaning) in ERRORS {
            let content = json!({"application/json": {"schema": error}});
            responses
                .insert(status.to_owned(), json!({"description": meaning, "content": content}));
        }
        Self(json!({
            "operationId": id,
            "tags": [tag],
            "summary": summary,
            "responses": responses,
        }))
    }

    fn post<T: JsonSchema>(
        s: &mut Schemas,
        id: &str,
        tag: &str,
        summary: &str,
        describe: &str,
    ) -> Self {
        let mut operation = Self::get(s, id, tag, summary);
        operation.0["description"] = json!(describe);
        let content = json!({"application/json": {"schema": s.request::<T>()}});
        operation.0["requestBody"] = json!({"required": true, "content": content});
        operation
    }

    fn json<T: JsonSchema>(self, s: &mut Schemas) -> Self {
        self.content_of::<T>(s, "200", "done", "application/json")
    }

    /// Server-sent events, each with such data.
    fn events<T: JsonSchema>(mut self, s: &mut Schemas) -> Self {
        let schema = json!({"type": "string", "contentMediaType": "text/event-stream", "contentSchema": s.answer::<T>()});
        self.0["responses"]["200"]["content"]["text/event-stream"] = json!({"schema": schema});
        self
    }

    fn text(mut self, media_type: &str, kind: &str) -> Self {
        self.0["responses"]["200"]["description"] = json!("done");
        self.0["responses"]["200"]["content"][media_type] = json!({"schema": {"type": kind}});
        self
    }

    fn content_of<T: JsonSchema>(
        mut self,
        s: &mut Schemas,
        status: &str,
        meaning: &str,
        media_type: &str,
    ) -> Self {
        let response = &mut self.0["responses"][status];
        response["description"] = json!(meaning);
        response["content"][media_type] = json!({"schema": s.answer::<T>()});
        self
    }

    /// Without a key.
    fn open(mut self) -> Self {
        self.0["security"] = json!([]);
        self
    }

    /// It says everything itself.
    fn without_errors(mut self) -> Self {
        if let Some(responses) = self.0["responses"].as_object_mut() {
            responses.retain(|status, _| status.starts_with('2'));
        }
        self
    }
}
