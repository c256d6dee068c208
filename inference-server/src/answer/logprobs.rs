//! Log probabilities as the two endpoints write them. Pure.

use std::collections::BTreeMap;

use textnlp_engine::sampling::TokenLogprob;

use crate::api::chat::{ChatLogprob, ChatLogprobs, TopLogprob};
use crate::api::completions::CompletionLogprobs;
use crate::served::Served;

/// JSON has no infinity; OpenAI writes this for a probability of 0.
const LOWEST: f64 = -9999.0;

/// A token as text: bytes that are no whole characters are written as OpenAI does.
pub(super) fn token_text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => {
            let escaped = bytes.iter().map(|byte| format!("\\x{byte:02x}"));
            std::iter::once("bytes:".to_owned()).chain(escaped).collect()
        }
    }
}

/// Characters that a token's text has.
pub(super) fn characters(served: &Served, token: u32) -> usize {
    token_text(served.model.prompts().token_bytes(token)).chars().count()
}

/// For the chat endpoint.
pub(super) fn chat(served: &Served, tokens: &[TokenLogprob]) -> ChatLogprobs {
    let written = |token: u32, logprob: f64| {
        let bytes = served.model.prompts().token_bytes(token);
        let logprob = logprob.max(LOWEST);
        TopLogprob { token: token_text(bytes), logprob, bytes: bytes.to_vec() }
    };
    let content = tokens.iter().map(|token| ChatLogprob {
        chosen: written(token.token, token.logprob),
        top_logprobs: token.top.iter().map(|&(token, logprob)| written(token, logprob)).collect(),
    });
    ChatLogprobs { content: content.collect() }
}

/// For the completions endpoint; the first token begins at `offset`.
pub(super) fn completions(
    served: &Served,
    tokens: &[TokenLogprob],
    mut offset: usize,
) -> CompletionLogprobs {
    let text = |token: u32| token_text(served.model.prompts().token_bytes(token));
    let mut logprobs = CompletionLogprobs::default();
    for token in tokens {
        let written = text(token.token);
        let logprob = token.logprob.max(LOWEST);
        let top = token.top.iter().map(|&(token, logprob)| (text(token), logprob.max(LOWEST)));
        let mut top: BTreeMap<String, f64> = top.collect();
        // The token itself is always among them, as OpenAI does.
        top.insert(written.clone(), logprob);
        logprobs.text_offset.push(offset);
        offset += written.chars().count();
        logprobs.tokens.push(written);
        logprobs.token_logprobs.push(logprob);
        logprobs.top_logprobs.push(top);
    }
    logprobs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_characters_are_written_in_hexadecimal() {
        assert_eq!(token_text(" héllo".as_bytes()), " héllo");
        assert_eq!(token_text(b"\xe2\x82"), "bytes:\\xe2\\x82");
    }
}
