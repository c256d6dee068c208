//! Completion requests.

use textnlp_engine::engine;

use super::sampling::{self, Fields};
use super::{Ask, MAX_PROMPTS, Prompt};
use crate::api::completions::{self, CompletionRequest};
use crate::error::ApiError;

impl TryFrom<CompletionRequest> for Ask {
    type Error = ApiError;

    fn try_from(request: CompletionRequest) -> Result<Self, ApiError> {
        let CompletionRequest {
            model,
            prompt,
            max_tokens,
            temperature,
            top_p,
            top_k,
            min_p,
            repetition_penalty,
            stop,
            seed,
            n,
            best_of,
            stream,
            stream_options,
            logprobs,
            logit_bias,
            presence_penalty,
            frequency_penalty,
            echo,
            suffix,
            response_format,
            tools,
            functions,
        } = request;
        super::no_tools(tools, functions)?;
        super::text_only(response_format)?;
        let choices = sampling::choices(n)?;
        // `best_of` equal to `n` is what its absence means.
        if best_of.is_some_and(|best_of| best_of > 1 && best_of != i64::from(choices)) {
            return Err(ApiError::unsupported("best_of", "use n"));
        }
        if echo == Some(true) {
            return Err(ApiError::unsupported("echo", "put the prompt before the text yourself"));
        }
        if suffix.is_some_and(|suffix| !suffix.is_empty()) {
            return Err(ApiError::unsupported("suffix", "its models cannot fill gaps"));
        }
        let fields = Fields {
            temperature,
            top_p,
            top_k,
            min_p,
            repetition_penalty,
            presence_penalty,
            frequency_penalty,
            max_tokens,
            max_tokens_param: "max_tokens",
            stop,
            logit_bias,
            logprobs,
            logprobs_param: "logprobs",
        };
        Ok(Self {
            model: super::model(model)?,
            prompts: prompts(prompt)?,
            params: fields.resolve()?,
            seed: sampling::seed(seed)?,
            choices,
            delivery: super::delivery(stream, stream_options)?,
            prompt_param: "prompt",
            max_tokens_param: "max_tokens",
        })
    }
}

fn prompts(prompt: Option<completions::Prompt>) -> Result<Vec<Prompt>, ApiError> {
    let text = |text| Prompt::Encode(engine::Prompt::Text(text));
    let prompts: Vec<Prompt> = match prompt {
        None => Vec::new(),
        Some(completions::Prompt::Text(one)) => vec![text(one)],
        Some(completions::Prompt::Texts(texts)) => texts.into_iter().map(text).collect(),
        Some(completions::Prompt::Tokens(tokens)) => vec![Prompt::Tokens(tokens)],
        Some(completions::Prompt::TokenLists(lists)) => {
            lists.into_iter().map(Prompt::Tokens).collect()
        }
    };
    match prompts.len() {
        0 => Err(ApiError::invalid("prompt", "prompt is missing or empty; give a text")),
        found if found > MAX_PROMPTS => {
            let message =
                format!("prompt is a list of {found}; it may hold {MAX_PROMPTS} prompts at most");
            Err(ApiError::invalid("prompt", message))
        }
        _ => Ok(prompts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(body: serde_json::Value) -> Result<Ask, ApiError> {
        let request: CompletionRequest = serde_json::from_value(body).expect("of the right types");
        Ask::try_from(request)
    }

    #[test]
    fn a_prompt_is_a_text_or_tokens_or_a_list_of_either() {
        let check = |prompt: serde_json::Value, expect: &[Prompt]| {
            let asked = ask(json!({"model": "m", "prompt": prompt})).expect("valid");
            assert_eq!(asked.prompts, expect);
        };
        let text = |text: &str| Prompt::Encode(engine::Prompt::Text(text.to_owned()));
        check(json!("a"), &[text("a")]);
        check(json!(["a", "b"]), &[text("a"), text("b")]);
        check(json!([1, 2]), &[Prompt::Tokens(vec![1, 2])]);
        check(json!([[1], [2]]), &[Prompt::Tokens(vec![1]), Prompt::Tokens(vec![2])]);
    }

    #[test]
    fn what_is_not_supported_is_refused_by_its_name() {
        let check = |extra: serde_json::Value, param: &str| {
            let mut body = json!({"model": "m", "prompt": "a"});
            if let (Some(body), Some(extra)) = (body.as_object_mut(), extra.as_object()) {
                body.extend(extra.clone());
            }
            let error = ask(body).expect_err("refused").body().error;
            assert_eq!(error.param.as_deref(), Some(param));
        };
        check(json!({"best_of": 2}), "best_of");
        check(json!({"echo": true}), "echo");
        check(json!({"suffix": "."}), "suffix");
        check(json!({"n": 9}), "n");
        check(json!({"prompt": []}), "prompt");
        check(json!({"prompt": vec!["a"; 33]}), "prompt");
        check(json!({"model": null}), "model");
        check(json!({"logprobs": 21}), "logprobs");
        let harmless = json!({
            "model": "m", "prompt": "a", "best_of": 1, "echo": false, "suffix": null,
            "response_format": {"type": "text"}, "presence_penalty": 0, "user": "u",
        });
        assert!(ask(harmless).is_ok());
    }
}
