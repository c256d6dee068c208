//! The engine's thread: takes requests, runs steps, draws tokens, calls sinks.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::draw::{Draw, Drawing};
use super::pace::Pace;
use super::queue::{End, Job, Queue};
use super::text::CompletionText;
use super::{Completion, EngineConfig, EngineStats, Event, FinishReason, RowError, Sink};
use crate::model::{Batch, Logits, Model, ModelError};
use crate::sampling::{Sampled, SamplingError, SamplingParams, TokenLogprob, token_random};
use crate::scheduler::{Next, Plan, Scheduler, SchedulerConfig, SequenceId};
use crate::tokenizer::Tokenizer;

/// Failed steps in a row after which the model is given up.
const FAILURES: u32 = 3;

/// A request that the scheduler has.
struct Active {
    sink: Sink,
    cancelled: Arc<AtomicBool>,
    params: SamplingParams,
    seed: u64,
    choice: u32,
    /// Whether its prompt is being computed, or was.
    begun: bool,
    prompt_tokens: usize,
    /// Tokens drawn, the end token not among them.
    completion_tokens: usize,
    text: CompletionText,
    logprobs: Vec<TokenLogprob>,
}

impl Active {
    /// Calls the sink. One that panics is given up, and its request with it.
    fn send(&mut self, event: Event) {
        if catch_unwind(AssertUnwindSafe(|| (self.sink)(event))).is_err() {
            tracing::error!("a request's callback panicked; its request is cancelled");
            self.cancelled.store(true, Ordering::Relaxed);
        }
    }
}

/// All that the thread owns.
pub(super) struct Worker {
    model: Box<dyn Model>,
    tokenizer: Arc<Tokenizer>,
    scheduler: Scheduler,
    drawing: Drawing,
    logits: Logits,
    active: BTreeMap<SequenceId, Active>,
    queue: Arc<Queue>,
    pace: Pace,
    stats: EngineStats,
    max_sequences: usize,
    failures: u32,
}

impl Worker {
    pub(super) fn new(
        model: Box<dyn Model>,
        tokenizer: Arc<Tokenizer>,
        config: &EngineConfig,
        queue: Arc<Queue>,
    ) -> Worker {
        let info = model.info();
        let pages = u32::try_from(config.kv_bytes / info.page_bytes.max(1)).unwrap_or(u32::MAX);
        let mut limits = SchedulerConfig::new(info, config.max_sequences, pages);
        limits.max_rows = limits.max_rows.min(config.max_batch_tokens.unwrap_or(usize::MAX));
        limits.context_tokens = config.context_tokens(limits.context_tokens);
        limits.reuse_prefixes = config.reuse_prefixes;
        limits.speculation &= config.speculation;
        Worker {
            model,
            tokenizer,
            scheduler: Scheduler::new(limits),
            drawing: Drawing::default(),
            logits: Logits::default(),
            active: BTreeMap::new(),
            queue,
            pace: Pace::new(config.step),
            stats: EngineStats::default(),
            max_sequences: config.max_sequences.max(1),
            failures: 0,
        }
    }

    /// Runs until the engine is ended; a panic of its own ends it.
    pub(super) fn run(mut self) {
        let end = catch_unwind(AssertUnwindSafe(|| self.serve()));
        let end = end.unwrap_or_else(|panic| {
            let cause = format!("the engine's thread panicked: {}", message(panic.as_ref()));
            tracing::error!("{cause}");
            Some(cause)
        });
        fail_jobs(self.queue.end(end.clone()), end.clone());
        for active in
            self.active.values_mut().filter(|active| !active.cancelled.load(Ordering::Relaxed))
        {
            active.send(Event::Failed(RowError::Stopped(end.clone())));
        }
    }

    /// Takes requests and makes steps, until the end.
    fn serve(&mut self) -> End {
        loop {
            // More than can run, so that the scheduler sees equal prompts, but not all: they can still be cancelled.
            let wanted = self.max_sequences.saturating_sub(self.scheduler.stats().waiting);
            match self.queue.take(wanted, self.scheduler.is_empty()) {
                Ok(jobs) => jobs.into_iter().for_each(|job| self.begin(job)),
                Err(end) => return end,
            }
            self.drop_cancelled();
            if let Err(cause) = self.step() {
                return Some(cause);
            }
            self.publish_stats();
        }
    }

    fn begin(&mut self, job: Job) {
        let Job { request, sink, cancelled } = job;
        let mut active = Active {
            sink,
            cancelled,
            begun: false,
            prompt_tokens: request.prompt.len(),
            completion_tokens: 0,
            text: CompletionText::new(Arc::clone(&self.tokenizer), request.params.stop.clone()),
            logprobs: Vec::new(),
            params: request.params,
            seed: request.seed,
            choice: request.choice,
        };
        let checked = active.params.check(self.model.info().vocab_size).map_err(RowError::from);
        let max_tokens = active.params.max_tokens as usize;
        let submitted =
            checked.and_then(|()| Ok(self.scheduler.submit(request.prompt, max_tokens)?));
        match submitted {
            Ok(id) => {
                self.active.insert(id, active);
            }
            Err(error) => {
                self.stats.failed += 1;
                active.send(Event::Failed(error));
            }
        }
    }

    fn drop_cancelled(&mut self) {
        let scheduler = &mut self.scheduler;
        self.active.retain(|id, active| {
            let cancelled = active.cancelled.load(Ordering::Relaxed);
            if cancelled {
                scheduler.cancel(*id);
            }
            !cancelled
        });
    }

    /// One step. An error is the model's end.
    fn step(&mut self) -> Result<(), String> {
        let model = &mut self.model;
        let prefill_tokens = self.pace.prefill_tokens(self.scheduler.stats().running);
        let mut plan = self.scheduler.plan(prefill_tokens, &mut |pages| {
            let reserved = model.reserve(pages);
            reserved.inspect_err(|error| tracing::warn!("{error}; going on with less")).is_ok()
        });
        for (id, error) in &plan.failed {
            self.fail(*id, RowError::Schedule(error.clone()));
        }
        if plan.is_empty() {
            return Ok(());
        }
        if self.tell_begun(&plan) {
            // Whoever goes at this hears nothing more, as at any other event.
            self.drop_cancelled();
        }
        let started = Instant::now();
        if let Err(error) = self.forward(&plan) {
            return self.abort(&plan, &error);
        }
        let took = started.elapsed();
        self.stats.computing += took;
        if plan.proposed_tokens() == 0 {
            self.pace.record(plan.tokens.len(), took);
        }
        self.scheduler.note_time(&plan, took.as_secs_f64());
        self.failures = 0;
        self.stats.steps += 1;
        // More than once only where proposals were right.
        loop {
            let next = self.next_tokens(&plan);
            self.scheduler.apply(&mut plan, &next);
            if plan.outputs().next().is_none() {
                return Ok(());
            }
            self.drop_cancelled();
        }
    }

    /// Tells the sinks of sequences that are part of a step for the first time; whether there are any.
    fn tell_begun(&mut self, plan: &Plan) -> bool {
        let mut told = false;
        for id in plan.sequences() {
            let cached_tokens = self.scheduler.cached_tokens(id);
            if let Some(active) = self.active.get_mut(&id).filter(|active| !active.begun) {
                active.begun = true;
                active.send(Event::Begun { cached_tokens });
                told = true;
            }
        }
        told
    }

    /// Draws a token for each of the plan's outputs, and tells the sinks.
    fn next_tokens(&mut self, plan: &Plan) -> Vec<Next> {
        let started = Instant::now();
        let mut drawn = self.draw(plan).into_iter();
        self.stats.drawing += started.elapsed();
        let advance = |(id, _)| match self.active.contains_key(&id) {
            true => drawn.next().map_or(Next::End, |drawn| self.advance(id, drawn)),
            false => Next::End,
        };
        plan.outputs().map(advance).collect()
    }

    /// The next tokens of the plan's sequences.
    fn draw(&mut self, plan: &Plan) -> Vec<Result<Sampled, SamplingError>> {
        let draw = |(id, row)| {
            let active = self.active.get(&id)?;
            let position = active.completion_tokens as u64;
            Some(Draw {
                row,
                history: self.scheduler.tokens(id)?,
                params: &active.params,
                random: token_random(active.seed, active.choice, position),
            })
        };
        let draws: Vec<Draw<'_>> = plan.outputs().filter_map(draw).collect();
        self.drawing.draw(self.model.as_ref(), &self.logits, &draws)
    }

    /// Runs the model. A panic in it is an error like another: what it has written is only what this step was to write,
    /// the pages of sequences that are forgotten then, and the logits.
    fn forward(&mut self, plan: &Plan) -> Result<(), String> {
        let (model, logits) = (&mut self.model, &mut self.logits);
        let forward = || {
            if !plan.copies.is_empty() {
                model.copy_pages(&plan.copies)?;
            }
            model.forward(&Batch { tokens: &plan.tokens, spans: &plan.spans() }, logits)
        };
        match catch_unwind(AssertUnwindSafe(forward)) {
            Ok(done) => done.map_err(|error: ModelError| error.to_string()),
            Err(panic) => Err(format!("a panic in its arithmetic: {}", message(panic.as_ref()))),
        }
    }

    fn abort(&mut self, plan: &Plan, error: &str) -> Result<(), String> {
        tracing::error!("a step failed: {error}");
        self.scheduler.abort(plan);
        for id in plan.sequences() {
            self.fail(id, RowError::Step(error.to_owned()));
        }
        self.failures += 1;
        match self.failures {
            FAILURES.. => Err(format!("{FAILURES} steps in a row failed, the last with: {error}")),
            _ => Ok(()),
        }
    }

    /// Takes the next token of a sequence, and tells its sink.
    fn advance(&mut self, id: SequenceId, drawn: Result<Sampled, SamplingError>) -> Next {
        let Some(active) = self.active.get_mut(&id) else { return Next::End };
        if active.completion_tokens == 0 {
            self.stats.prompt_tokens += active.prompt_tokens as u64;
            self.stats.cached_tokens += self.scheduler.cached_tokens(id) as u64;
        }
        let Sampled { token, logprob } = match drawn {
            Ok(sampled) => sampled,
            Err(error) => {
                self.fail(id, RowError::Sampling(error));
                return Next::End;
            }
        };
        self.stats.generated_tokens += 1;
        if !active.params.ignore_end && self.tokenizer.end_tokens().contains(&token) {
            self.finish(id, FinishReason::Stop);
            return Next::End;
        }
        active.completion_tokens += 1;
        active.logprobs.extend(logprob.clone());
        let mut text = active.text.push(token);
        let finish_reason = match self.scheduler.room(id) {
            _ if active.text.stopped() => Some(FinishReason::Stop),
            0..=1 => Some(FinishReason::Length),
            _ => None,
        };
        if finish_reason.is_some() {
            text.push_str(&active.text.finish());
        }
        active.send(Event::Token { text, logprob });
        match finish_reason {
            None => Next::Token(token),
            Some(reason) => {
                self.finish(id, reason);
                Next::End
            }
        }
    }

    /// Tells a sink that its completion is done.
    fn finish(&mut self, id: SequenceId, finish_reason: FinishReason) {
        let cached_tokens = self.scheduler.cached_tokens(id);
        let Some(mut active) = self.active.remove(&id) else { return };
        let held = active.text.finish();
        if !held.is_empty() {
            active.send(Event::Token { text: held, logprob: None });
        }
        self.stats.finished += 1;
        let completion = Completion {
            text: active.text.take_text(),
            finish_reason,
            prompt_tokens: active.prompt_tokens,
            completion_tokens: active.completion_tokens,
            cached_tokens,
            logprobs: std::mem::take(&mut active.logprobs),
        };
        active.send(Event::Finished(completion));
    }

    fn fail(&mut self, id: SequenceId, error: RowError) {
        self.stats.failed += 1;
        if let Some(mut active) = self.active.remove(&id) {
            active.send(Event::Failed(error));
        }
    }

    fn publish_stats(&mut self) {
        let scheduler = self.scheduler.stats();
        let page_bytes = self.model.info().page_bytes;
        self.stats.running = scheduler.running;
        self.stats.waiting = scheduler.waiting;
        self.stats.preemptions = scheduler.preemptions;
        self.stats.proposed_tokens = scheduler.proposed;
        self.stats.accepted_tokens = scheduler.accepted;
        self.stats.kv_used_bytes = scheduler.used_pages.saturating_mul(page_bytes);
        self.stats.kv_reserved_bytes = scheduler.reserved_pages.saturating_mul(page_bytes);
        self.stats.kv_limit_bytes = scheduler.max_pages.saturating_mul(page_bytes);
        self.queue.set_stats(self.stats);
    }
}

/// Tells requests that never began that they will not.
pub(super) fn fail_jobs(jobs: Vec<Job>, end: End) {
    for mut job in jobs.into_iter().filter(|job| !job.is_cancelled()) {
        let event = Event::Failed(RowError::Stopped(end.clone()));
        // A sink that panics is that request's own matter.
        let _ = catch_unwind(AssertUnwindSafe(|| (job.sink)(event)));
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
