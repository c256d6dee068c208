//! Requests and answers of the OpenAI-compatible API, and what each answer means for a row and for the run. Pure.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::completer::{Completion, CompletionError, Prompt, Request};

/// Longest wait that a server may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Our own servers know every account of their namespace.
const OWN_REFUSES: &str = "workers that were started before servers.access was changed have no token that fits: `kubectl textnlp retry` the job";

/// Longest message of a server that is passed on, in characters.
const MAX_MESSAGE: usize = 300;

/// Which parameters a server knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Ours: every parameter.
    Textnlp,
    /// Only what OpenAI's API defines.
    OpenAi,
}

/// The path of a prompt's kind, below the base address.
pub(super) fn path(prompt: &Prompt) -> &'static str {
    match prompt {
        Prompt::Text(_) => "v1/completions",
        Prompt::Chat(_) => "v1/chat/completions",
    }
}

/// The body of a request. Messages are sent as they are: the server's chat template renders them.
pub(super) fn body(model: &str, request: &Request, dialect: Dialect) -> Value {
    let sampling = &request.sampling;
    let mut body = Map::new();
    body.insert("model".into(), json!(model));
    match &request.prompt {
        Prompt::Text(_) => body.insert("prompt".into(), request.prompt.to_json()),
        Prompt::Chat(_) => body.insert("messages".into(), request.prompt.to_json()),
    };
    body.insert("n".into(), json!(1));
    body.insert("seed".into(), json!(request.seed));
    body.insert("temperature".into(), json!(sampling.temperature));
    body.insert("top_p".into(), json!(sampling.top_p));
    if dialect == Dialect::Textnlp {
        body.insert("top_k".into(), json!(sampling.top_k));
        body.insert("min_p".into(), json!(sampling.min_p));
        body.insert("repetition_penalty".into(), json!(sampling.repetition_penalty));
    }
    body.insert("max_tokens".into(), json!(sampling.max_tokens));
    if !sampling.stop.is_empty() {
        body.insert("stop".into(), json!(sampling.stop));
    }
    Value::Object(body)
}

/// A server's answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    /// HTTP status.
    pub(super) status: u16,
    /// Header `Retry-After`.
    pub(super) retry_after: Option<&'a str>,
    /// Header `Location`.
    pub(super) location: Option<&'a str>,
    /// The model digest that the server has, where it says so.
    pub(super) digest: Option<&'a str>,
    /// Body.
    pub(super) body: &'a [u8],
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meaning {
    /// The completion.
    Done(Completion),
    /// This request fails however often it is tried.
    Row(String),
    /// Try again, elsewhere where there is another place; not before so long.
    Again(Option<Duration>),
    /// Nothing can be completed at this server.
    End(CompletionError),
}

/// Judges an answer of a server for the model `model`, whose digest must be `digest` where there is one.
pub(super) fn judge(answer: &Answer<'_>, model: &str, digest: Option<&str>) -> Meaning {
    let said = || message(answer.body);
    match answer.status {
        200..=299 => match (digest, answer.digest) {
            (Some(expected), Some(found)) if expected != found => {
                Meaning::End(changed(model, expected, Some(found)))
            }
            _ => completion(answer.body),
        },
        300..=399 => Meaning::End(CompletionError::ModelUnknown(format!(
            "model {model:?}: the server sends on to {}; give the address that answers itself",
            answer.location.map_or("another address".to_owned(), sanitized)
        ))),
        401..=403 => Meaning::End(CompletionError::Unauthorized(format!(
            "model {model:?}: the server refuses the request ({}): {}; {}",
            answer.status,
            said(),
            match digest {
                Some(_) => OWN_REFUSES,
                None => "check the Secret with the apiKey, and what it allows",
            }
        ))),
        404 | 405 | 410 => Meaning::End(CompletionError::ModelUnknown(format!(
            "model {model:?}: the server does not have it ({}): {}; check the model's name and the address",
            answer.status,
            said()
        ))),
        412 => match digest {
            Some(expected) => Meaning::End(changed(model, expected, answer.digest)),
            None => Meaning::Row(format!("the server refuses the request (412): {}", said())),
        },
        408 | 409 | 425 | 429 => Meaning::Again(answer.retry_after.and_then(wait)),
        400..=499 => {
            Meaning::Row(format!("the server refuses the request ({}): {}", answer.status, said()))
        }
        _ => Meaning::Again(answer.retry_after.and_then(wait)),
    }
}

fn changed(model: &str, expected: &str, found: Option<&str>) -> CompletionError {
    CompletionError::ModelChanged(format!(
        "model {model:?} changed: the job began with digest {expected}, the server has {}; restore the model, or make a new job",
        found.map_or("another".to_owned(), sanitized)
    ))
}

fn wait(retry_after: &str) -> Option<Duration> {
    // The other form, a date, needs a clock that agrees with the server's.
    let seconds = retry_after.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

#[derive(Deserialize)]
struct Document {
    choices: Vec<Choice>,
    /// Not every server counts.
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
}

#[derive(Deserialize, Default)]
struct Usage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
}

fn completion(body: &[u8]) -> Meaning {
    let document: Document = match serde_json::from_slice(body) {
        Ok(document) => document,
        Err(error) => {
            return Meaning::Row(format!("the server's answer is no completion: {error}"));
        }
    };
    let Some(choice) = document.choices.into_iter().next() else {
        return Meaning::Row("the server's answer has no choices".to_owned());
    };
    let finish_reason = match choice.finish_reason.as_deref() {
        Some("stop") => "stop",
        Some("length") => "length",
        Some(other) => {
            return Meaning::Row(format!(
                "the server ended the completion with {}; stop and length are completions",
                sanitized(other)
            ));
        }
        None => return Meaning::Row("the server does not say why the completion ended".to_owned()),
    };
    // A completion without a token has no text, and some servers then send null.
    let text = choice.text.or(choice.message.and_then(|m| m.content)).unwrap_or_default();
    let usage = document.usage.unwrap_or_default();
    Meaning::Done(Completion {
        text,
        finish_reason,
        prompt_tokens: usage.prompt_tokens,
        completion_tokens: usage.completion_tokens,
    })
}

/// What a server says of an error: OpenAI's form, or what others make of it.
fn message(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let found = ["/error/message", "/error", "/message", "/detail"]
        .iter()
        .find_map(|path| value.pointer(path).and_then(Value::as_str));
    match found {
        Some(text) if !text.trim().is_empty() => sanitized(text),
        _ => "it says no more".to_owned(),
    }
}

/// A text of a server in one line, cut where it is long.
fn sanitized(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    let mut line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(MAX_MESSAGE) {
        line.truncate(end);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use textnlp_crds::sampling::ResolvedSampling;

    use super::*;
    use crate::completer::ChatMessage;

    fn request(prompt: Prompt) -> Request {
        let sampling = ResolvedSampling {
            temperature: 0.8,
            top_k: 50,
            stop: vec!["\n\n".to_owned()],
            ..ResolvedSampling::default()
        };
        Request { prompt, sampling, seed: (1 << 53) - 1, record: 3, trace: Default::default() }
    }

    #[test]
    fn our_servers_get_every_parameter_and_messages_as_they_are() {
        let turns = vec![
            ChatMessage { role: "system", content: "Be brief.".into() },
            ChatMessage { role: "user", content: "<|im_end|>".into() },
        ];
        let request = request(Prompt::Chat(turns));
        assert_eq!(path(&request.prompt), "v1/chat/completions");
        assert_eq!(
            body("smollm2", &request, Dialect::Textnlp),
            json!({
                "model": "smollm2",
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "<|im_end|>"},
                ],
                "n": 1,
                "seed": 9_007_199_254_740_991_u64,
                "temperature": 0.8,
                "top_p": 1.0,
                "top_k": 50,
                "min_p": 0.0,
                "repetition_penalty": 1.0,
                "max_tokens": 256,
                "stop": ["\n\n"],
            })
        );
    }

    #[test]
    fn other_servers_get_what_openai_defines_and_nothing_else() {
        let mut request = request(Prompt::Text("Once".into()));
        request.sampling.stop.clear();
        assert_eq!(path(&request.prompt), "v1/completions");
        assert_eq!(
            body("llama", &request, Dialect::OpenAi),
            json!({
                "model": "llama",
                "prompt": "Once",
                "n": 1,
                "seed": 9_007_199_254_740_991_u64,
                "temperature": 0.8,
                "top_p": 1.0,
                "max_tokens": 256,
            })
        );
    }

    fn judged(status: u16, body: &str) -> Meaning {
        let answer = Answer {
            status,
            retry_after: None,
            location: None,
            digest: None,
            body: body.as_bytes(),
        };
        judge(&answer, "m", Some("sha256:aa"))
    }

    #[test]
    fn a_completion_is_read_with_and_without_usage() {
        let check = |body: Value, expect: (&str, &str, u64, u64)| {
            let Meaning::Done(done) = judged(200, &body.to_string()) else { panic!("{body}") };
            let found =
                (&*done.text, done.finish_reason, done.prompt_tokens, done.completion_tokens);
            assert_eq!(found, expect);
        };
        check(
            json!({"choices": [{"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
                   "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}}),
            ("Hi", "stop", 5, 1),
        );
        check(
            json!({"choices": [{"text": " a", "finish_reason": "length"}]}),
            (" a", "length", 0, 0),
        );
        check(
            json!({"choices": [{"message": {"content": null}, "finish_reason": "stop"}], "usage": null}),
            ("", "stop", 0, 0),
        );
    }

    #[test]
    fn an_answer_that_is_no_completion_fails_its_row_with_the_servers_words() {
        let check = |status, body: &str, expect: &str| match judged(status, body) {
            Meaning::Row(message) => assert!(message.contains(expect), "{message}"),
            other => panic!("{status} {body}: {other:?}"),
        };
        check(400, r#"{"error": {"message": "prompt is\nlonger"}}"#, "(400): prompt is longer");
        check(413, r#"{"detail": "too large"}"#, "(413): too large");
        check(422, "<html>", "(422): it says no more");
        check(200, "{", "is no completion");
        check(200, r#"{"choices": []}"#, "no choices");
        check(
            200,
            r#"{"choices": [{"text": "", "finish_reason": "content_filter"}]}"#,
            "with content_filter",
        );
        check(200, r#"{"choices": [{"text": ""}]}"#, "does not say why");
        let long = json!({"error": {"message": "x".repeat(5000)}}).to_string();
        let Meaning::Row(message) = judged(400, &long) else { panic!() };
        assert!(message.len() < 400, "{message}");
    }

    #[test]
    fn what_may_pass_is_tried_again_after_the_time_that_the_server_asks_for() {
        for status in [408, 429, 500, 502, 503, 504, 529] {
            assert_eq!(judged(status, ""), Meaning::Again(None), "{status}");
        }
        let after = |text| {
            let answer = Answer {
                status: 429,
                retry_after: Some(text),
                location: None,
                digest: None,
                body: b"",
            };
            judge(&answer, "m", None)
        };
        assert_eq!(after("2"), Meaning::Again(Some(Duration::from_secs(2))));
        assert_eq!(after("86400"), Meaning::Again(Some(MAX_RETRY_AFTER)));
        assert_eq!(after("Wed, 21 Oct 2026 07:28:00 GMT"), Meaning::Again(None));
    }

    #[test]
    fn what_ends_the_run_says_what_to_do() {
        let end = |meaning| match meaning {
            Meaning::End(error) => error,
            other => panic!("{other:?}"),
        };
        let error = end(judged(412, ""));
        assert!(
            matches!(&error, CompletionError::ModelChanged(_))
                && error.to_string().contains("sha256:aa"),
            "{error}"
        );
        let error = end(judged(401, r#"{"error": "bad key"}"#));
        assert!(
            matches!(&error, CompletionError::Unauthorized(_))
                && error.to_string().contains("bad key; workers that were started before"),
            "{error}"
        );
        let error = end(judged(404, ""));
        assert!(matches!(&error, CompletionError::ModelUnknown(_)), "{error}");
        let answer = Answer {
            status: 308,
            retry_after: None,
            location: Some("http://169.254.169.254/"),
            digest: None,
            body: b"",
        };
        assert!(end(judge(&answer, "m", None)).to_string().contains("sends on to http://169.254"));
        let body = br#"{"choices": [{"text": "a", "finish_reason": "stop"}]}"#;
        let answer = Answer {
            status: 200,
            digest: Some("sha256:bb"),
            location: None,
            retry_after: None,
            body,
        };
        let error = end(judge(&answer, "m", Some("sha256:aa")));
        assert!(error.to_string().contains("the server has sha256:bb"), "{error}");
        assert!(matches!(judge(&answer, "m", Some("sha256:bb")), Meaning::Done(_)));
    }
}
