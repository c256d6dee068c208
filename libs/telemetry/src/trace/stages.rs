//! The stages of a completion, as an engine's events tell them: `queue`, `prefill`, `decode`.

use std::time::{Duration, Instant, SystemTime};

use opentelemetry::KeyValue;

use super::TraceContext;

/// How a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens generated.
    pub completion_tokens: usize,
    /// Why it ends there.
    pub reason: &'static str,
}

/// A completion's stages. Dropped before the end, they say that it was cancelled.
#[derive(Debug)]
pub struct Stages {
    /// None once they are written, and where nothing is.
    parent: Option<TraceContext>,
    arrived: Instant,
    begun: Option<(Instant, usize)>,
    first: Option<Instant>,
}

impl Stages {
    /// Of a completion that arrived at `arrived`, inside `parent`.
    pub fn new(parent: TraceContext, arrived: Instant) -> Self {
        Self {
            parent: Some(parent).filter(TraceContext::is_sampled),
            arrived,
            begun: None,
            first: None,
        }
    }

    /// The engine computes its prompt from now on, of which so many tokens were known.
    pub fn begun(&mut self, now: Instant, cached_tokens: usize) {
        self.begun.get_or_insert((now, cached_tokens));
    }

    /// A token was drawn.
    pub fn token(&mut self, now: Instant) {
        self.first.get_or_insert(now);
    }

    /// It is done.
    pub fn end(&mut self, now: Instant, ended: Ended) {
        self.write(now, Ok(ended));
    }

    /// There is no completion.
    pub fn failed(&mut self, now: Instant, why: &str) {
        self.write(now, Err(why));
    }

    fn write(&mut self, now: Instant, ended: Result<Ended, &str>) {
        let Some(parent) = self.parent.take() else { return };
        let wall = Wall::new(now);
        let why = |is_last: bool| ended.err().filter(|_| is_last).map(str::to_owned);
        let begun = self.begun.map(|(begun, _)| begun);
        let queued = wall.between(self.arrived, begun.unwrap_or(now));
        parent.past("queue", queued, [], why(begun.is_none()));
        let Some((begun, cached)) = self.begun else { return };
        let mut attributes = vec![KeyValue::new("textnlp.cached_tokens", number(cached))];
        if let Ok(ended) = ended {
            attributes
                .push(KeyValue::new("gen_ai.usage.input_tokens", number(ended.prompt_tokens)));
        }
        let prefilled = wall.between(begun, self.first.unwrap_or(now));
        // An end token right away is no token: there was nothing to decode.
        let is_last = self.first.is_none();
        parent.past("prefill", prefilled, attributes, why(is_last));
        let Some(first) = self.first else { return };
        let attributes = ended.iter().flat_map(|ended| {
            [
                KeyValue::new("gen_ai.usage.output_tokens", number(ended.completion_tokens)),
                KeyValue::new("gen_ai.response.finish_reason", ended.reason),
            ]
        });
        parent.past("decode", wall.between(first, now), attributes, why(true));
    }
}

impl Drop for Stages {
    fn drop(&mut self) {
        self.write(Instant::now(), Err("cancelled"));
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Times of the day for instants.
struct Wall {
    instant: Instant,
    time: SystemTime,
}

impl Wall {
    /// `now` may be a while ago.
    fn new(now: Instant) -> Self {
        let time = SystemTime::now();
        Self { instant: now, time: time.checked_sub(now.elapsed()).unwrap_or(time) }
    }

    fn between(&self, start: Instant, end: Instant) -> (SystemTime, SystemTime) {
        (self.at(start), self.at(end.max(start)))
    }

    fn at(&self, instant: Instant) -> SystemTime {
        let before: Duration = self.instant.saturating_duration_since(instant);
        let after: Duration = instant.saturating_duration_since(self.instant);
        self.time.checked_sub(before).and_then(|time| time.checked_add(after)).unwrap_or(self.time)
    }
}
