//! Rows of a request: made by the code that makes a job's, through the engine that answers everybody. They are driven on threads of
//! their own, where templates and filters may take their time, and come as finished JSON. Who drops the events stops the work.

use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use textnlp_engine::engine::{Event, SubmitError, Ticket};
use textnlp_generation::call::{Call, Made};
use textnlp_generation::completer::{
    Boxed, Completer, Completion, CompletionError, Prompt, Request,
};
use textnlp_generation::engine::{EngineCompleter, ended, engine_request, facts};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::admission::Bytes;
use crate::api::generate::GenerateRequest;
use crate::ask::rows::{RowsAsk, refused};
use crate::deadline;
use crate::error::ApiError;
use crate::generation::{self, Begun, Origin};
use crate::line::Place;
use crate::routes::AppState;
use crate::served::Served;
use crate::written::{Delivery, Finished, Written};

/// Rows that are finished and not yet taken.
const BUFFER: usize = 16;

/// How long a client may take none of them: its places are others' then.
const STALLED: Duration = Duration::from_secs(60);

/// How long a caller whose tokens are used up waits before it looks again.
const PAUSE: Duration = Duration::from_secs(5);

/// Threads for the rows of all requests: half of the processors stay for the model.
#[derive(Debug)]
pub(crate) struct RowThreads(Option<Runtime>);

impl RowThreads {
    pub(crate) fn new() -> std::io::Result<Self> {
        let threads = (thread::available_parallelism().map_or(1, NonZero::get) / 2).max(1);
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(threads).thread_name("rows").enable_time();
        Ok(Self(Some(builder.build()?)))
    }

    fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for RowThreads {
    fn drop(&mut self) {
        // A row that is being rendered is not waited for.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a request for rows takes part of while it runs.
#[derive(Debug)]
pub(crate) struct Held {
    /// One of the calls that may be long.
    pub(crate) turn: Place,
    /// Its own bytes: its records are kept to the end.
    pub(crate) bytes: Bytes,
}

/// Finished JSON, or why there is no more of it.
pub(crate) type Next = Result<Finished, ApiError>;

/// Begins to make rows; they come in their order, the summary as the last.
///
/// # Errors
/// The request can never work, or there is no place for it.
pub(crate) async fn begin(
    state: &AppState,
    served: &Arc<Served>,
    request: GenerateRequest,
    delivery: Delivery,
    origin: Origin,
    held: Held,
) -> Result<Receiver<Next>, ApiError> {
    if let Some(cause) = served.model.engine().stopped() {
        return Err(ApiError::of_submit(&SubmitError::Stopped(cause)));
    }
    let (started, begun) = oneshot::channel();
    let (sender, events) = mpsc::channel(BUFFER);
    let deadline = origin.deadline;
    let driver = Driver { state: state.clone(), served: Arc::clone(served), origin, delivery };
    let threads = Arc::clone(&state.rows);
    threads.handle().ok_or(ApiError::Internal)?.spawn(async move {
        let Held { turn: _turn, mut bytes } = held;
        let rows = deadline::within(deadline, async {
            driver.drive(request, &mut bytes, started, &sender).await;
            Ok(())
        });
        tokio::select! {
            () = sender.closed() => {}
            driven = rows => if let Err(late) = driven {
                let _ = sender.send_timeout(Err(late), STALLED).await;
            }
        }
    });
    let begun = async { begun.await.unwrap_or(Err(ApiError::Internal)) };
    deadline::within(deadline, begun).await?;
    Ok(events)
}

struct Driver {
    state: AppState,
    served: Arc<Served>,
    origin: Origin,
    delivery: Delivery,
}

impl Driver {
    async fn drive(
        &self,
        request: GenerateRequest,
        bytes: &mut Bytes,
        started: oneshot::Sender<Result<(), ApiError>>,
        sender: &Sender<Next>,
    ) {
        let RowsAsk { job, models, source, width } = match self.compile(request) {
            Ok(ask) => ask,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        let trace = self.origin.traced.context().clone();
        let mut call = match Call::new(&job, &models, &source, width, trace) {
            Ok(call) => call,
            Err(error) => {
                let _ = started.send(Err(refused(&error)));
                return;
            }
        };
        // The call has its own.
        drop(source);
        // Nobody waits for it any more only when the client has gone; then the rows are not wanted either.
        let _ = started.send(Ok(()));
        let mut written = Written::new(self.delivery);
        let last = loop {
            let made = match call.next().await {
                Ok(Some(made)) => made,
                Ok(None) => break Ok(written.end(call.finish())),
                Err(error) => break Err(self.failed(&error)),
            };
            match self.write(&mut written, made, bytes) {
                Ok(None) => {}
                Ok(Some(line)) => {
                    if sender.send_timeout(Ok(line), STALLED).await.is_err() {
                        tracing::info!("a client took no rows for too long, or has gone");
                        return;
                    }
                }
                Err(error) => break Err(error),
            }
        };
        let _ = sender.send_timeout(last, STALLED).await;
    }

    /// A row as JSON; what is kept of it counts as the request's bytes.
    fn write(
        &self,
        written: &mut Written,
        made: Made,
        bytes: &mut Bytes,
    ) -> Result<Option<Finished>, ApiError> {
        let before = written.kept();
        let line = written.row(made)?;
        bytes.take(written.kept() - before)?;
        Ok(line)
    }

    fn failed(&self, error: &textnlp_generation::Error) -> ApiError {
        tracing::error!("rows of a request cannot be made: {error}");
        match self.served.model.engine().stopped() {
            Some(cause) => ApiError::of_submit(&SubmitError::Stopped(cause)),
            None => ApiError::ModelFailed(error.to_string()),
        }
    }

    fn compile(&self, request: GenerateRequest) -> Result<RowsAsk, ApiError> {
        let streamed = self.delivery == Delivery::Lines;
        let facts = facts(&self.served.name, self.served.model.info());
        let mut ask = RowsAsk::compile(request, facts, streamed)?;
        let places = self.places(ask.width)?;
        ask.width = places.len();
        let completer = ServedCompleter {
            engine: Arc::new(EngineCompleter::of(&self.served.model)),
            state: self.state.clone(),
            served: Arc::clone(&self.served),
            origin: self.origin.clone(),
            slots: Arc::new(Semaphore::new(places.len())),
            places: Arc::new(places),
        };
        ask.models.connect(self.served.name.clone(), Arc::new(completer));
        Ok(ask)
    }

    /// Places in the line for so many rows at once, or for fewer where it is full or short.
    fn places(&self, width: usize) -> Result<Vec<Place>, ApiError> {
        let (line, caller) = (self.state.admission.line(), self.origin.caller.as_ref());
        let mut width = width.min(line.most(caller)).max(1);
        loop {
            match line.enter(width, caller) {
                Err(ApiError::QueueFull { .. } | ApiError::ShareFull { .. }) if width > 1 => {
                    width /= 2;
                }
                entered => return entered,
            }
        }
    }
}

/// The engine as a job asks it, with what the server counts and limits of each completion.
struct ServedCompleter {
    engine: Arc<EngineCompleter>,
    state: AppState,
    served: Arc<Served>,
    origin: Origin,
    /// In the line, for the completions that run at once; kept until the last of them has ended.
    places: Arc<Vec<Place>>,
    /// One for each of those.
    slots: Arc<Semaphore>,
}

/// What one completion holds.
#[derive(Debug)]
struct Slot {
    _slot: OwnedSemaphorePermit,
    _places: Arc<Vec<Place>>,
}

impl ServedCompleter {
    /// Lets a completion wait for its turn.
    async fn start(
        &self,
        request: Request,
    ) -> Result<(Begun, UnboundedReceiver<(usize, Event)>), CompletionError> {
        let failed = |error: ApiError| CompletionError::Model(error.to_string());
        self.until_allowed().await;
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|_| failed(ApiError::Internal))?;
        let slot = Slot { _slot: slot, _places: Arc::clone(&self.places) };
        let (engine, prompt) = (Arc::clone(&self.engine), request.prompt.clone());
        let encode = move || Ok(engine.tokens(&prompt));
        let tokens = self.state.admission.encode(encode).await.map_err(failed)??;
        let traced = self.origin.traced.within(request.trace.clone());
        let origin = Origin { arrived: Instant::now(), traced, ..self.origin.clone() };
        let recorder = generation::recorder(&self.state, &origin, slot, tokens.len());
        let (sender, events) = mpsc::unbounded_channel();
        let ticket = Arc::new(Ticket::default());
        let begin = generation::begin(
            Arc::clone(&self.served),
            Arc::clone(&ticket),
            engine_request(&request, tokens),
            recorder,
            (sender, 0),
        );
        let line = Arc::clone(self.state.admission.line());
        Ok((Begun::new(line, origin.caller, vec![ticket], vec![begin]), events))
    }

    /// Waits while the caller's limit of tokens is used up: a request may be of a million rows.
    async fn until_allowed(&self) {
        let Some(caller) = &self.origin.caller else { return };
        while let Err(seconds) = self.state.access.room(caller) {
            tokio::time::sleep(Duration::from_secs(seconds).min(PAUSE)).await;
        }
    }
}

impl Completer for ServedCompleter {
    fn complete(&self, request: Request) -> Boxed<'_, Result<Completion, CompletionError>> {
        Box::pin(async move {
            let (_begun, mut events) = self.start(request).await?;
            while let Some((_, event)) = events.recv().await {
                if let Some(ended) = ended(event) {
                    return ended;
                }
            }
            Err(CompletionError::Model("the engine stopped".to_owned()))
        })
    }

    fn count(&self, prompt: &Prompt) -> Result<u64, CompletionError> {
        self.engine.count(prompt)
    }
}
