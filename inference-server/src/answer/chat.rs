//! Answers of `/v1/chat/completions`. Pure.

use textnlp_engine::engine::Completion;

use super::{Envelope, Piece, Shape, logprobs};
use crate::api::Usage;
use crate::api::chat::{
    AssistantMessage, ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, Delta,
};

/// The chat endpoint.
pub(crate) struct Chat;

fn chunk(envelope: &Envelope, choices: Vec<ChatChunkChoice>) -> ChatChunk {
    ChatChunk {
        id: envelope.id.clone(),
        object: "chat.completion.chunk",
        created: envelope.created,
        model: envelope.served.name.clone(),
        choices,
        usage: None,
        system_fingerprint: envelope.served.fingerprint.clone(),
    }
}

fn choice(index: usize, delta: Delta) -> ChatChunkChoice {
    ChatChunkChoice { index, delta, logprobs: None, finish_reason: None }
}

impl Shape for Chat {
    type Whole = ChatCompletion;
    type Chunk = ChatChunk;

    fn whole(envelope: &Envelope, done: Vec<Completion>, usage: Usage) -> ChatCompletion {
        let choices = done.into_iter().enumerate().map(|(index, completion)| ChatChoice {
            index,
            logprobs: (!completion.logprobs.is_empty())
                .then(|| logprobs::chat(&envelope.served, &completion.logprobs)),
            message: AssistantMessage {
                role: "assistant",
                content: completion.text,
                refusal: None,
            },
            finish_reason: completion.finish_reason.as_str(),
        });
        ChatCompletion {
            id: envelope.id.clone(),
            object: "chat.completion",
            created: envelope.created,
            model: envelope.served.name.clone(),
            choices: choices.collect(),
            usage,
            system_fingerprint: envelope.served.fingerprint.clone(),
        }
    }

    fn opening(envelope: &Envelope, index: usize) -> Option<ChatChunk> {
        let delta = Delta { role: Some("assistant"), content: Some(String::new()) };
        Some(chunk(envelope, vec![choice(index, delta)]))
    }

    fn piece(envelope: &Envelope, index: usize, piece: Piece) -> ChatChunk {
        let delta = Delta { role: None, content: Some(piece.text) };
        let tokens = piece.logprob.as_slice();
        let logprobs = (!tokens.is_empty()).then(|| logprobs::chat(&envelope.served, tokens));
        chunk(envelope, vec![ChatChunkChoice { logprobs, ..choice(index, delta) }])
    }

    fn ending(envelope: &Envelope, index: usize, finish_reason: &'static str) -> ChatChunk {
        let ended = choice(index, Delta::default());
        chunk(envelope, vec![ChatChunkChoice { finish_reason: Some(finish_reason), ..ended }])
    }

    fn empty(envelope: &Envelope) -> ChatChunk {
        chunk(envelope, Vec::new())
    }

    fn set_usage(chunk: &mut ChatChunk, usage: Option<Usage>) {
        chunk.usage = Some(usage);
    }
}
