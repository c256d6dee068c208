//! Streamed answers: server-sent events, `[DONE]` at the end. When the client goes, the stream is dropped, and with it
//! the generation.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use http::HeaderValue;
use serde::Serialize;
use textnlp_engine::engine::{Completion, Event};

use super::{Envelope, Piece, Shape, logprobs};
use crate::generation::Generation;

/// How often a comment is sent while there is nothing else: a request may wait long for its turn, and proxies give up
/// on silent connections.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The response of a streamed answer.
pub(super) fn respond<S: Shape>(
    envelope: Envelope,
    generation: Generation,
    include_usage: bool,
) -> Response {
    let stream = Streamed::<S>::new(envelope, generation, include_usage);
    let events = stream::unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // nginx would keep the events until the answer is whole.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// The events of one answer.
struct Streamed<S: Shape> {
    envelope: Envelope,
    generation: Generation,
    include_usage: bool,
    /// Events that are ready to be sent.
    ready: VecDeque<Sent>,
    done: Vec<Option<Completion>>,
    /// Characters of each choice's tokens so far.
    offsets: Vec<usize>,
    ended: bool,
    shape: std::marker::PhantomData<S>,
}

impl<S: Shape> Streamed<S> {
    fn new(envelope: Envelope, generation: Generation, include_usage: bool) -> Self {
        let choices = generation.choices();
        let mut stream = Self {
            envelope,
            generation,
            include_usage,
            ready: VecDeque::new(),
            done: vec![None; choices],
            offsets: vec![0; choices],
            ended: false,
            shape: std::marker::PhantomData,
        };
        for index in 0..choices {
            if let Some(chunk) = S::opening(&stream.envelope, index) {
                stream.push(chunk);
            }
        }
        stream
    }

    async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            match self.generation.next().await {
                Some(Ok((index, event))) => self.take(index, event),
                Some(Err(error)) => {
                    // Without `[DONE]`: the answer is not whole.
                    self.ready.push_back(json(&error.body()));
                    self.ended = true;
                }
                None => self.finish(),
            }
        }
    }

    fn take(&mut self, index: usize, event: Event) {
        match event {
            Event::Begun { .. } => {}
            Event::Token { text, logprob } => {
                let Some(offset) = self.offsets.get_mut(index) else { return };
                let begins = *offset;
                if let Some(logprob) = &logprob {
                    *offset += logprobs::characters(&self.envelope.served, logprob.token);
                }
                // A token may have no text yet: half a character, or what may become a stop text.
                if !text.is_empty() || logprob.is_some() {
                    let piece = Piece { text, logprob, offset: begins };
                    self.push(S::piece(&self.envelope, index, piece));
                }
            }
            Event::Finished(completion) => {
                let reason = completion.finish_reason.as_str();
                if let Some(slot) = self.done.get_mut(index) {
                    *slot = Some(completion);
                }
                self.push(S::ending(&self.envelope, index, reason));
            }
            // `Generation` turns it into an error.
            Event::Failed(_) => {}
        }
    }

    fn finish(&mut self) {
        if self.include_usage {
            let done: Vec<Completion> =
                std::mem::take(&mut self.done).into_iter().flatten().collect();
            let mut chunk = S::empty(&self.envelope);
            S::set_usage(&mut chunk, Some(self.envelope.usage(&done)));
            self.ready.push_back(json(&chunk));
        }
        self.ready.push_back(Sent::default().data("[DONE]"));
        self.ended = true;
    }

    fn push(&mut self, mut chunk: S::Chunk) {
        if self.include_usage {
            S::set_usage(&mut chunk, None);
        }
        self.ready.push_back(json(&chunk));
    }
}

fn json(value: &impl Serialize) -> Sent {
    // Maps with text keys, numbers and texts are always JSON.
    Sent::default().data(serde_json::to_string(value).unwrap_or_default())
}
