//! Requests, checked and in the engine's terms. Pure, but for seeds that nobody gave.

mod chat;
mod completions;
pub(crate) mod manifest;
pub(crate) mod rows;
mod sampling;

use textnlp_engine::engine::{self, LanguageModelInfo};
use textnlp_engine::sampling::SamplingParams;

use crate::error::ApiError;
use crate::inflight::Source;

/// Most choices of a prompt.
pub(crate) const MAX_CHOICES: i64 = 8;
/// Most prompts of a request.
pub(crate) const MAX_PROMPTS: usize = 32;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ask {
    /// Name of the model.
    pub(crate) model: String,
    /// What to continue, each with its own choices.
    pub(crate) prompts: Vec<Prompt>,
    /// How tokens are drawn.
    pub(crate) params: SamplingParams,
    /// Start of the random numbers; choices draw different ones.
    pub(crate) seed: u64,
    /// Choices of each prompt.
    pub(crate) choices: u32,
    /// How the answer is sent.
    pub(crate) delivery: Delivery,
    /// The parameter that holds the prompt: `messages` or `prompt`.
    pub(crate) prompt_param: &'static str,
    /// The parameter that `max_tokens` came by.
    pub(crate) max_tokens_param: &'static str,
}

/// A prompt, as text or as tokens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Prompt {
    /// For the model's text side.
    Encode(engine::Prompt),
    /// Token ids.
    Tokens(Vec<u32>),
}

/// How an answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// At the end.
    Whole,
    /// As it grows, as server-sent events.
    Stream {
        /// With a last chunk that has the usage.
        include_usage: bool,
    },
}

impl Ask {
    /// All choices of all prompts.
    pub(crate) fn completions(&self) -> usize {
        self.prompts.len().saturating_mul(self.choices as usize)
    }

    /// Checks what depends on the model.
    pub(crate) fn check(
        &self,
        model: &LanguageModelInfo,
        vocab_size: usize,
        source: Source,
    ) -> Result<(), ApiError> {
        self.params.check(vocab_size).map_err(|error| ApiError::of_params(&error))?;
        let (found, context) = (self.params.max_tokens as usize, model.context_tokens);
        // A job's manifest may ask for more than its model can: on a laptop too, such a row ends at the context.
        if source == Source::External && found > context {
            let param = self.max_tokens_param;
            let message =
                format!("{param} is {found}; the model's context has {context} tokens in all");
            return Err(ApiError::invalid(param, message));
        }
        Ok(())
    }
}

/// The model that a request names.
fn model(name: Option<String>) -> Result<String, ApiError> {
    name.ok_or_else(|| ApiError::invalid("model", "model is missing; GET /v1/models lists it"))
}

/// How the answer is to be sent.
fn delivery(
    stream: Option<bool>,
    options: Option<crate::api::StreamOptions>,
) -> Result<Delivery, ApiError> {
    match (stream.unwrap_or(false), options) {
        (false, None) => Ok(Delivery::Whole),
        (false, Some(_)) => Err(ApiError::invalid(
            "stream_options",
            "stream_options is given without stream; it is for streamed answers only",
        )),
        (true, options) => {
            let include_usage = options.and_then(|options| options.include_usage).unwrap_or(false);
            Ok(Delivery::Stream { include_usage })
        }
    }
}

/// Refuses formats of answers other than text.
fn text_only(format: Option<crate::api::ResponseFormat>) -> Result<(), ApiError> {
    match format {
        Some(format) if format.kind != "text" => {
            Err(ApiError::unsupported("response_format", "only {\"type\": \"text\"} is"))
        }
        _ => Ok(()),
    }
}

/// Refuses tools, old and new.
fn no_tools<T>(tools: Option<T>, functions: Option<T>) -> Result<(), ApiError> {
    let advice = "leave it out: the model answers with text only";
    match (tools, functions) {
        (Some(_), _) => Err(ApiError::unsupported("tools", advice)),
        (None, Some(_)) => Err(ApiError::unsupported("functions", advice)),
        (None, None) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_tokens_than_the_context_are_refused_but_for_a_job_whose_rows_end_there() {
        let model = LanguageModelInfo {
            name: "m".into(),
            architecture: "llama".into(),
            digest: "sha256:00".into(),
            numerics: "fake".into(),
            reproducible: true,
            context_tokens: 100,
            chat: true,
            tokenizer_digest: "sha256:01".into(),
        };
        let ask = Ask {
            model: "m".into(),
            prompts: vec![],
            params: SamplingParams { max_tokens: 101, ..SamplingParams::default() },
            seed: 0,
            choices: 1,
            delivery: Delivery::Whole,
            prompt_param: "prompt",
            max_tokens_param: "max_tokens",
        };
        let error = ask.check(&model, 10, Source::External).expect_err("too many");
        let expect = "max_tokens is 101; the model's context has 100 tokens in all";
        assert_eq!(error, ApiError::invalid("max_tokens", expect));
        assert_eq!(ask.check(&model, 10, Source::Job), Ok(()));
        let fits = SamplingParams { max_tokens: 100, ..SamplingParams::default() };
        assert_eq!(Ask { params: fits, ..ask }.check(&model, 10, Source::External), Ok(()));
    }
}
