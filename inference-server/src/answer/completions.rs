//! Answers of `/v1/completions`. Pure.

use textnlp_engine::engine;

use super::{Envelope, Piece, Shape, logprobs};
use crate::api::Usage;
use crate::api::completions::{Completion, CompletionChoice};

/// The completions endpoint.
pub(crate) struct Text;

fn completion(envelope: &Envelope, choices: Vec<CompletionChoice>) -> Completion {
    Completion {
        id: envelope.id.clone(),
        object: "text_completion",
        created: envelope.created,
        model: envelope.served.name.clone(),
        choices,
        usage: None,
        system_fingerprint: envelope.served.fingerprint.clone(),
    }
}

impl Shape for Text {
    type Whole = Completion;
    type Chunk = Completion;

    fn whole(envelope: &Envelope, done: Vec<engine::Completion>, usage: Usage) -> Completion {
        let choices = done.into_iter().enumerate().map(|(index, completion)| CompletionChoice {
            index,
            logprobs: (!completion.logprobs.is_empty())
                .then(|| logprobs::completions(&envelope.served, &completion.logprobs, 0)),
            text: completion.text,
            finish_reason: Some(completion.finish_reason.as_str()),
        });
        Completion { usage: Some(Some(usage)), ..completion(envelope, choices.collect()) }
    }

    fn opening(_: &Envelope, _: usize) -> Option<Completion> {
        None
    }

    fn piece(envelope: &Envelope, index: usize, piece: Piece) -> Completion {
        let tokens = piece.logprob.as_slice();
        let logprobs = (!tokens.is_empty())
            .then(|| logprobs::completions(&envelope.served, tokens, piece.offset));
        let choice = CompletionChoice { index, text: piece.text, logprobs, finish_reason: None };
        completion(envelope, vec![choice])
    }

    fn ending(envelope: &Envelope, index: usize, finish_reason: &'static str) -> Completion {
        let finish_reason = Some(finish_reason);
        let choice = CompletionChoice { index, text: String::new(), logprobs: None, finish_reason };
        completion(envelope, vec![choice])
    }

    fn empty(envelope: &Envelope) -> Completion {
        completion(envelope, Vec::new())
    }

    fn set_usage(chunk: &mut Completion, usage: Option<Usage>) {
        chunk.usage = Some(usage);
    }
}
