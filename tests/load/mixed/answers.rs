//! Whether an answer is whole. I/O.

use std::time::Duration;

use reqwest::Response;

use crate::api::{Answer, Choice, Usage};
use crate::error::chain;
use crate::events::Events;

/// What an answer must show of its request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Choices of all prompts.
    pub(crate) choices: usize,
    pub(crate) max_tokens: u64,
}

/// The texts of an answer that came at once.
pub(crate) async fn whole(response: Response, asked: Asked) -> Result<Vec<String>, String> {
    let bytes = response.bytes().await.map_err(|error| chain(&error))?;
    let answer: Answer = parse(&bytes)?;
    let mut parts = Parts::new(asked);
    parts.add(answer.choices)?;
    parts.end(answer.usage)
}

/// The texts of a streamed answer, read to its end with a pause before every event.
pub(crate) async fn stream(
    response: Response,
    asked: Asked,
    pause: Duration,
) -> Result<Vec<String>, String> {
    let mut events = Events::new(response);
    let (mut parts, mut usage, mut done) = (Parts::new(asked), None, false);
    while let Some(data) = events.next().await.map_err(|error| chain(&error))? {
        if done {
            return Err(format!("after [DONE] comes {}", String::from_utf8_lossy(data)));
        }
        if data == b"[DONE]" {
            done = true;
            continue;
        }
        let chunk: Answer = parse(data)?;
        if let Some(error) = chunk.error {
            return Err(format!("the stream ends with {error}"));
        }
        usage = chunk.usage.or(usage);
        parts.add(chunk.choices)?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    match done {
        true => parts.end(usage),
        false => Err("the stream ends without [DONE]".to_owned()),
    }
}

fn parse(bytes: &[u8]) -> Result<Answer, String> {
    serde_json::from_slice(bytes)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(bytes)))
}

/// What has come of each choice.
#[derive(Debug)]
struct Parts {
    asked: Asked,
    texts: Vec<String>,
    reasons: Vec<Option<String>>,
}

impl Parts {
    fn new(asked: Asked) -> Self {
        Self {
            asked,
            texts: vec![String::new(); asked.choices],
            reasons: vec![None; asked.choices],
        }
    }

    fn add(&mut self, choices: Vec<Choice>) -> Result<(), String> {
        for choice in choices {
            let index = choice.index;
            let (Some(text), Some(reason)) =
                (self.texts.get_mut(index), self.reasons.get_mut(index))
            else {
                return Err(format!("choice {index} of {}", self.asked.choices));
            };
            if reason.is_some() {
                return Err(format!("choice {index} goes on after its end"));
            }
            text.push_str(choice.text());
            *reason = choice.finish_reason;
        }
        Ok(())
    }

    /// The texts, if all choices have ended as they should.
    fn end(self, usage: Option<Usage>) -> Result<Vec<String>, String> {
        let Asked { choices, max_tokens } = self.asked;
        let most = max_tokens * choices as u64;
        let mut for_length = 0;
        for (index, reason) in self.reasons.iter().enumerate() {
            match reason.as_deref() {
                Some("length") => for_length += 1,
                Some("stop") => {}
                other => return Err(format!("choice {index} ended with {other:?}")),
            }
        }
        let tokens = usage.ok_or("no usage")?.completion_tokens;
        let least = max_tokens * for_length;
        match (least..=most).contains(&tokens) {
            true => Ok(self.texts),
            false => Err(format!("{tokens} tokens, where {least} to {most} were expected")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parts(choices: serde_json::Value, tokens: u64) -> Result<Vec<String>, String> {
        let mut parts = Parts::new(Asked { choices: 2, max_tokens: 3 });
        parts.add(serde_json::from_value(choices).expect("choices"))?;
        parts.end(Some(Usage { prompt_tokens: 1, completion_tokens: tokens }))
    }

    #[test]
    fn an_answer_is_whole_when_every_choice_has_ended_within_its_tokens() {
        let a = json!({"index": 0, "delta": {"content": "a"}});
        let end = |index, reason| json!({"index": index, "delta": {}, "finish_reason": reason});
        let b = json!({"index": 1, "message": {"content": "b"}, "finish_reason": "stop"});
        let texts = parts(json!([a, end(0, "length"), b]), 4);
        assert_eq!(texts, Ok(vec!["a".to_owned(), "b".to_owned()]));
        for (choices, tokens, problem) in [
            (json!([a, b]), 4, "choice 0 ended with None"),
            (json!([a, end(0, "abort"), b]), 4, "choice 0 ended with Some(\"abort\")"),
            (json!([end(0, "stop"), a, b]), 4, "choice 0 goes on after its end"),
            (json!([end(2, "stop")]), 4, "choice 2 of 2"),
            (json!([end(0, "length"), b]), 2, "2 tokens, where 3 to 6 were expected"),
            (json!([end(0, "length"), b]), 7, "7 tokens, where 3 to 6 were expected"),
        ] {
            assert_eq!(parts(choices, tokens), Err(problem.to_owned()));
        }
    }
}
