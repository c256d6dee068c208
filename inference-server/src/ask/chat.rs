//! Chat requests.

use textnlp_engine::chat::Message;
use textnlp_engine::engine;

use super::sampling::{self, Fields};
use super::{Ask, Prompt};
use crate::api::chat::{ChatMessage, ChatRequest, Content, ContentPart};
use crate::error::ApiError;

impl TryFrom<ChatRequest> for Ask {
    type Error = ApiError;

    fn try_from(request: ChatRequest) -> Result<Self, ApiError> {
        let ChatRequest {
            model,
            messages,
            max_completion_tokens,
            max_tokens,
            temperature,
            top_p,
            top_k,
            min_p,
            repetition_penalty,
            stop,
            seed,
            n,
            stream,
            stream_options,
            logprobs,
            top_logprobs,
            logit_bias,
            presence_penalty,
            frequency_penalty,
            response_format,
            tools,
            functions,
        } = request;
        super::no_tools(tools, functions)?;
        super::text_only(response_format)?;
        let max_tokens_param = match max_completion_tokens {
            Some(_) => "max_completion_tokens",
            None => "max_tokens",
        };
        let fields = Fields {
            temperature,
            top_p,
            top_k,
            min_p,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            max_tokens: max_completion_tokens.or(max_tokens),
            max_tokens_param,
            stop,
            logit_bias,
            logprobs: alternatives(logprobs, top_logprobs)?,
            logprobs_param: "top_logprobs",
        };
        Ok(Self {
            model: super::model(model)?,
            prompts: vec![Prompt::Encode(engine::Prompt::Chat(conversation(messages)?))],
            params: fields.resolve()?,
            seed: sampling::seed(seed)?,
            choices: sampling::choices(n)?,
            delivery: super::delivery(stream, stream_options)?,
            prompt_param: "messages",
            max_tokens_param,
        })
    }
}

/// How many alternatives get a log probability; `None`: no log probabilities at all.
fn alternatives(logprobs: Option<bool>, top: Option<i64>) -> Result<Option<i64>, ApiError> {
    match (logprobs.unwrap_or(false), top) {
        (true, top) => Ok(Some(top.unwrap_or(0))),
        (false, None | Some(0)) => Ok(None),
        (false, Some(_)) => Err(ApiError::invalid(
            "top_logprobs",
            "top_logprobs is given without logprobs: true; add it",
        )),
    }
}

fn conversation(messages: Option<Vec<ChatMessage>>) -> Result<Vec<Message>, ApiError> {
    let messages = messages.unwrap_or_default();
    if messages.is_empty() {
        return Err(ApiError::invalid(
            "messages",
            "messages is missing or empty; give at least one message",
        ));
    }
    messages.into_iter().enumerate().map(|(index, message)| turn(index, message)).collect()
}

fn turn(index: usize, message: ChatMessage) -> Result<Message, ApiError> {
    let role = match message.role.as_str() {
        role @ ("system" | "user" | "assistant") => role,
        // OpenAI's newer name for it; templates know the older one.
        "developer" => "system",
        other => {
            let param = format!("messages[{index}].role");
            let message = format!("{param} is {other:?}; it must be system, user or assistant");
            return Err(ApiError::invalid(param, message));
        }
    };
    let content = match message.content {
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => parts
            .into_iter()
            .enumerate()
            .map(|(part, content)| text_of(index, part, content))
            .collect::<Result<_, _>>()?,
        None => {
            let param = format!("messages[{index}].content");
            let message = format!("{param} is missing; it must be a text");
            return Err(ApiError::invalid(param, message));
        }
    };
    Ok(Message { role: role.to_owned(), content })
}

fn text_of(index: usize, part: usize, content: ContentPart) -> Result<String, ApiError> {
    match content {
        ContentPart { kind, text: Some(text) } if kind == "text" => Ok(text),
        ContentPart { kind, .. } => {
            let param = format!("messages[{index}].content[{part}]");
            let message = format!(
                "{param} is of type {kind:?}; only parts of type \"text\" with a text are understood"
            );
            Err(ApiError::invalid(param, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Delivery;
    use serde_json::json;

    fn ask(body: serde_json::Value) -> Result<Ask, ApiError> {
        let request: ChatRequest = serde_json::from_value(body).expect("of the right types");
        Ask::try_from(request)
    }

    #[track_caller]
    fn refused(extra: serde_json::Value, param: &str, part: &str) {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
            body.extend(extra.clone());
        }
        let error = ask(body).expect_err("refused").body().error;
        assert_eq!(error.param.as_deref(), Some(param));
        assert!(error.message.contains(part), "{}", error.message);
    }

    #[test]
    fn a_conversation_is_taken_over() {
        let asked = ask(json!({
            "model": "m",
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            ],
            "max_completion_tokens": 7, "max_tokens": 9, "seed": 3, "n": 2,
            "stream": true, "stream_options": {"include_usage": true},
            "logprobs": true, "top_logprobs": 2, "user": "ignored",
        }))
        .expect("valid");
        let message =
            |role: &str, content: &str| Message { role: role.into(), content: content.into() };
        let turns = vec![message("system", "Be brief."), message("user", "ab")];
        assert_eq!(asked.prompts, [Prompt::Encode(engine::Prompt::Chat(turns))]);
        assert_eq!((asked.params.max_tokens, asked.params.logprobs), (7, Some(2)));
        assert_eq!((asked.seed, asked.choices), (3, 2));
        assert_eq!(asked.delivery, Delivery::Stream { include_usage: true });
    }

    #[test]
    fn what_is_not_supported_is_refused_by_its_name() {
        refused(json!({"tools": []}), "tools", "not supported");
        refused(json!({"functions": [{"name": "f"}]}), "functions", "not supported");
        refused(json!({"response_format": {"type": "json_object"}}), "response_format", "text");
        refused(json!({"frequency_penalty": 1}), "frequency_penalty", "repetition_penalty");
        refused(json!({"top_logprobs": 2}), "top_logprobs", "logprobs: true");
        refused(json!({"stream_options": {}}), "stream_options", "streamed answers only");
        refused(json!({"max_completion_tokens": 0}), "max_completion_tokens", "1 to");
        refused(json!({"messages": []}), "messages", "at least one");
        let tool = json!({"messages": [{"role": "tool", "content": "x"}]});
        refused(tool, "messages[0].role", "system, user or assistant");
        let image = json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]});
        refused(image, "messages[0].content[0]", "image_url");
        let nothing = json!({"messages": [{"role": "user"}]});
        refused(nothing, "messages[0].content", "missing");
    }
}
