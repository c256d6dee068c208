//! The engine: a model and a scheduler on a thread of their own, requests in, events out.
//!
//! No async runtime: each request brings a callback, and whoever needs a channel sends into it from there. Requests
//! that would not be computed soon wait in a bounded queue. A request's failure is its own; an error or a panic
//! of the model fails the requests of that step; three failed steps in a row, or a panic elsewhere, end the engine, which
//! then says why.

mod draw;
mod language_model;
mod model_cache;
mod pace;
mod queue;
mod request;
mod text;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

pub use self::language_model::{
    LanguageModel, LanguageModelError, LanguageModelInfo, LoadOptions, OpenModel, Prompt,
    PromptEncoder, Rendered,
};
pub use self::model_cache::ModelCache;
pub use self::request::{Completion, Event, FinishReason, Request, RowError, Sink};

use self::queue::{Job, Queue};
use self::request::cause;
use self::worker::Worker;
use crate::model::{Model, ModelInfo};
use crate::tokenizer::Tokenizer;

/// Limits of an engine. None but the context changes a completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineConfig {
    /// Most tokens of prompt and completion together; `None`, and what the model cannot do, is the model's own context.
    pub max_context_tokens: Option<usize>,
    /// Most sequences that are generated at a time.
    pub max_sequences: usize,
    /// Most tokens of a step; `None` leaves it to the model.
    pub max_batch_tokens: Option<usize>,
    /// Most bytes of KV memory. It is reserved as it is needed, in steps of half of what there is.
    pub kv_bytes: usize,
    /// How long a step may take while there are prompts to compute: 250 ms suits a job, 50 ms a server.
    pub step: Duration,
    /// Most requests that wait for their turn.
    pub queue: usize,
    /// Whether equal beginnings of prompts are computed once.
    pub reuse_prefixes: bool,
    /// Whether a few sequences alone are sped up by computing, beside the last token, what followed it the last time.
    /// Only with a model whose rows do not depend on each other.
    pub speculation: bool,
}

impl EngineConfig {
    /// The context that a model gets.
    pub(crate) fn context_tokens(&self, model: usize) -> usize {
        model.min(self.max_context_tokens.unwrap_or(usize::MAX))
    }
}

impl Default for EngineConfig {
    /// For a job: 64 sequences, 1 GiB of KV memory, steps of 250 ms, 1024 waiting requests.
    fn default() -> EngineConfig {
        EngineConfig {
            max_context_tokens: None,
            max_sequences: 64,
            max_batch_tokens: None,
            kv_bytes: 1 << 30,
            step: Duration::from_millis(250),
            queue: 1024,
            reuse_prefixes: true,
            speculation: true,
        }
    }
}

/// Why an engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The KV memory does not hold one page.
    #[error("{found} bytes of KV memory do not hold one page of {page_bytes} bytes; give it more")]
    KvMemory {
        /// Bytes allowed.
        found: usize,
        /// Bytes of a page.
        page_bytes: usize,
    },
    /// The operating system gives no thread.
    #[error("cannot start the engine's thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too many requests wait; only from [`Engine::try_submit`].
    #[error("{capacity} requests are waiting already, which is the limit; try again later")]
    Full {
        /// The limit.
        capacity: usize,
    },
    /// The engine has stopped; the cause, if it was not asked to.
    #[error("the engine has stopped{}", cause(.0))]
    Stopped(Option<String>),
}

/// Figures of the moment, and counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Sequences that are being generated.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Steps of the model.
    pub steps: u64,
    /// Tokens drawn.
    pub generated_tokens: u64,
    /// Tokens of the prompts of all requests that have begun.
    pub prompt_tokens: u64,
    /// Those of them whose keys and values were there already.
    pub cached_tokens: u64,
    /// Requests with a completion.
    pub finished: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Times that a sequence had to give its pages to others.
    pub preemptions: u64,
    /// Tokens computed ahead, as proposals of what might follow.
    pub proposed_tokens: u64,
    /// Those of them that were drawn then.
    pub accepted_tokens: u64,
    /// Time that steps of the model took.
    pub computing: Duration,
    /// Time that drawing tokens from its logits took.
    pub drawing: Duration,
    /// KV memory that sequences hold, bytes.
    pub kv_used_bytes: usize,
    /// KV memory that has been reserved, bytes.
    pub kv_reserved_bytes: usize,
    /// KV memory that may be reserved, bytes.
    pub kv_limit_bytes: usize,
}

/// A running engine. Clones are handles of the same one; it ends with the last of them.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("model", &self.inner.model).finish_non_exhaustive()
    }
}

/// Stops generation when it is dropped. Keep it until the last event. A new one is for [`Engine::try_submit_as`].
#[derive(Debug, Default)]
#[must_use = "dropping a ticket cancels its request"]
pub struct Ticket {
    cancelled: Arc<AtomicBool>,
}

impl Ticket {
    /// Stops generation; no event comes after the one that may be under way.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.cancel();
    }
}

struct Inner {
    queue: Arc<Queue>,
    model: ModelInfo,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Inner {
    /// Ends the engine and waits for its thread (unless this is that thread: a sink may own the last handle).
    fn shutdown(&self) {
        worker::fail_jobs(self.queue.end(None), None);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id())
        {
            // The thread catches its own panics.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Engine {
    /// Starts the thread that runs the model.
    ///
    /// # Errors
    /// The KV memory is less than a page, or there is no thread to be had.
    pub fn start(
        model: Box<dyn Model>,
        tokenizer: Arc<Tokenizer>,
        config: EngineConfig,
    ) -> Result<Engine, EngineError> {
        let info = model.info().clone();
        let page_bytes = info.page_bytes.max(1);
        if config.kv_bytes < page_bytes {
            return Err(EngineError::KvMemory { found: config.kv_bytes, page_bytes });
        }
        let queue = Arc::new(Queue::new(config.queue));
        let worker = Worker::new(model, tokenizer, &config, Arc::clone(&queue));
        let thread = thread::Builder::new().name("engine".to_owned()).spawn(|| worker.run())?;
        Ok(Engine {
            inner: Arc::new(Inner { queue, model: info, thread: Mutex::new(Some(thread)) }),
        })
    }

    /// What the model says of itself.
    pub fn model(&self) -> &ModelInfo {
        &self.inner.model
    }

    /// Hands a request over; waits while the queue is full.
    ///
    /// # Errors
    /// [`SubmitError::Stopped`].
    pub fn submit(&self, request: Request, sink: Sink) -> Result<Ticket, SubmitError> {
        self.push(request, sink, true)
    }

    /// Hands a request over if the queue has space.
    ///
    /// # Errors
    /// [`SubmitError`]; the sink is dropped then.
    pub fn try_submit(&self, request: Request, sink: Sink) -> Result<Ticket, SubmitError> {
        self.push(request, sink, false)
    }

    /// The same for a request whose ticket is there already; cancelled before, it never begins.
    ///
    /// # Errors
    /// As [`Engine::try_submit`].
    pub fn try_submit_as(
        &self,
        ticket: &Ticket,
        request: Request,
        sink: Sink,
    ) -> Result<(), SubmitError> {
        let cancelled = Arc::clone(&ticket.cancelled);
        self.inner.queue.push(Job { request, sink, cancelled }, false)
    }

    fn push(&self, request: Request, sink: Sink, wait: bool) -> Result<Ticket, SubmitError> {
        let ticket = Ticket::default();
        let cancelled = Arc::clone(&ticket.cancelled);
        self.inner.queue.push(Job { request, sink, cancelled }, wait)?;
        Ok(ticket)
    }

    /// Figures, as of the last step.
    pub fn stats(&self) -> EngineStats {
        self.inner.queue.stats()
    }

    /// Whether the engine has stopped, and the cause if it was not asked to.
    pub fn stopped(&self) -> Option<Option<String>> {
        self.inner.queue.ended()
    }

    /// Stops after the current step: requests that are not finished fail with [`RowError::Stopped`]. Returns when the
    /// thread has ended.
    pub fn shutdown(&self) {
        self.inner.shutdown();
    }
}

#[cfg(test)]
pub(crate) use self::tests::test_tokenizer;

#[cfg(test)]
mod speculation_tests;
#[cfg(test)]
mod tests;
