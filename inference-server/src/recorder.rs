//! What the metrics learn of one completion: its events, as the engine sends them. Pure but for the metrics.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use textnlp_engine::engine::Event;
use textnlp_generation::engine::observe;
use textnlp_telemetry::trace::Stages;

use crate::access::{Access, Caller};
use crate::inflight::InflightGuard;
use crate::metrics::Metrics;
use crate::traced::Traced;

/// What a completion has of the server while it lives.
pub(crate) trait Held: fmt::Debug + Send + 'static {}

impl<T: fmt::Debug + Send + 'static> Held for T {}

/// Lives as long as the engine has the completion, however slowly its client reads: so it also holds its place and its
/// part of the concurrency.
#[derive(Debug)]
pub(crate) struct Recorder {
    metrics: Arc<Metrics>,
    arrived: Instant,
    last: Option<Instant>,
    tokens: usize,
    /// Time from the token before to the last event that may be a token; text that was held back comes like one.
    gap: Option<Duration>,
    ended: bool,
    /// Whose limits its tokens count against.
    account: Option<(Arc<Access>, Caller, usize)>,
    /// Its stages, and the request that they are part of.
    stages: Option<(Stages, Traced)>,
    _inflight: InflightGuard,
    /// The completion's part of the server, free again with it.
    _place: Box<dyn Held>,
}

impl Recorder {
    pub(crate) fn new(
        metrics: Arc<Metrics>,
        arrived: Instant,
        inflight: InflightGuard,
        place: impl Held,
    ) -> Self {
        Self {
            metrics,
            arrived,
            last: None,
            tokens: 0,
            gap: None,
            ended: false,
            account: None,
            stages: None,
            _inflight: inflight,
            _place: Box::new(place),
        }
    }

    /// Counts its tokens against the caller's limits, once they are known; those of the prompt in any case.
    pub(crate) fn charge(&mut self, access: Arc<Access>, caller: Caller, prompt: usize) {
        self.account = Some((access, caller, prompt));
    }

    /// Writes its stages into a trace. It waits from now on: what came before (the body, the prompt's tokens) is not the line's.
    pub(crate) fn trace(&mut self, traced: Traced) {
        self.stages = Some((Stages::new(traced.context().clone(), Instant::now()), traced));
    }

    /// Takes an event at its time.
    pub(crate) fn record(&mut self, event: &Event, now: Instant) {
        if let Some((stages, _)) = &mut self.stages {
            observe(stages, event, now);
        }
        match event {
            Event::Begun { .. } => {}
            Event::Token { .. } => self.token(now),
            Event::Finished(completion) => {
                if self.last.is_none() {
                    self.first(now);
                }
                if self.tokens > completion.completion_tokens {
                    self.gap = None;
                }
                self.account(completion.completion_tokens);
                self.end(completion.finish_reason.as_str(), now);
            }
            Event::Failed(_) => self.end("error", now),
        }
    }

    fn account(&mut self, completion: usize) {
        if let Some((access, caller, prompt)) = self.account.take() {
            access.used(&caller, (prompt + completion) as u64);
            self.metrics.used(caller.label(), prompt as u64, completion as u64);
        }
    }

    fn token(&mut self, now: Instant) {
        self.observe_gap();
        match self.last {
            None => self.first(now),
            Some(last) => self.gap = Some(now.saturating_duration_since(last)),
        }
        self.tokens += 1;
        self.last = Some(now);
    }

    fn first(&self, now: Instant) {
        let waited = now.saturating_duration_since(self.arrived);
        self.metrics.first_token.observe(waited.as_secs_f64());
    }

    fn observe_gap(&mut self) {
        if let Some(gap) = self.gap.take() {
            self.metrics.between_tokens.observe(gap.as_secs_f64());
        }
    }

    fn end(&mut self, reason: &'static str, now: Instant) {
        self.observe_gap();
        self.ended = true;
        self.metrics.finished(reason);
        let took = now.saturating_duration_since(self.arrived);
        self.metrics.request.observe(took.as_secs_f64());
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // What was generated for a client that went counts too.
        self.account(self.tokens);
        if !self.ended {
            self.metrics.finished("abort");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inflight::Source;
    use crate::line::Line;
    use textnlp_engine::engine::{Completion, FinishReason};

    fn value(metrics: &Metrics, series: &str) -> f64 {
        let (_, text) = metrics.text().expect("it can be written");
        let line = text.lines().find_map(|line| line.strip_prefix(series)).expect(series);
        line.trim().parse().expect("a number")
    }

    fn line() -> Arc<Line> {
        Arc::new(Line::new(1, 1))
    }

    fn recorder(metrics: &Arc<Metrics>, start: Instant) -> Recorder {
        let place = line().enter(1, None).expect("there is room").remove(0);
        let inflight = metrics.enter(Source::External, start);
        Recorder::new(Arc::clone(metrics), start, inflight, place)
    }

    #[test]
    fn gaps_are_those_between_tokens_and_held_back_text_is_none() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let metrics = Arc::new(Metrics::new("m", Arc::default(), line(), start));
        let mut recorder = recorder(&metrics, start);
        let token = Event::Token { text: String::new(), logprob: None };
        for seconds in [2, 5, 9, 9] {
            recorder.record(&token, after(seconds));
        }
        let completion = Completion {
            text: "abc".into(),
            finish_reason: FinishReason::Stop,
            prompt_tokens: 1,
            completion_tokens: 3,
            cached_tokens: 0,
            logprobs: Vec::new(),
        };
        recorder.record(&Event::Finished(completion), after(10));
        drop(recorder);
        for (series, expect) in [
            ("vllm:time_to_first_token_seconds_sum{model_name=\"m\"}", 2.0),
            ("vllm:inter_token_latency_seconds_sum{model_name=\"m\"}", 7.0),
            ("vllm:inter_token_latency_seconds_count{model_name=\"m\"}", 2.0),
            ("vllm:time_per_output_token_seconds_count{model_name=\"m\"}", 2.0),
            ("vllm:e2e_request_latency_seconds_sum{model_name=\"m\"}", 10.0),
            ("vllm:request_success_total{model_name=\"m\",finished_reason=\"stop\"}", 1.0),
            ("vllm:request_success_total{model_name=\"m\",finished_reason=\"abort\"}", 0.0),
        ] {
            assert_eq!(value(&metrics, series), expect, "{series}");
        }
    }

    #[test]
    fn a_completion_that_nobody_waits_for_is_aborted() {
        let metrics = Arc::new(Metrics::new("m", Arc::default(), line(), Instant::now()));
        drop(recorder(&metrics, Instant::now()));
        let series = "vllm:request_success_total{model_name=\"m\",finished_reason=\"abort\"}";
        assert_eq!(value(&metrics, series), 1.0);
    }
}
