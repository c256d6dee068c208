//! Rows of a request: made by the code that makes a job's, through the engine that answers everybody. They are driven on a thread of
//! their own, where templates and filters may take their time. Who drops the events stops the work.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use textnlp_generation::call::{Call, Made};
use textnlp_generation::completer::{
    Boxed, Completer, Completion, CompletionError, ModelFacts, Prompt, Request,
};
use textnlp_generation::engine::{EngineCompleter, ended};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::{Semaphore, oneshot};

use crate::admission::Place;
use crate::api::generate::{GenerateEvent, GenerateRequest};
use crate::ask::rows::{RowsAsk, refused};
use crate::error::ApiError;
use crate::generation::Origin;
use crate::recorder::Recorder;
use crate::routes::AppState;
use crate::served::Served;

/// Rows that are finished and not yet taken.
const BUFFER: usize = 16;

/// How long a client may take none of them: its places are others' then.
const STALLED: Duration = Duration::from_secs(60);

/// Begins to make rows; their events come in the order of the rows.
///
/// # Errors
/// The request can never work, or there is no place for it.
pub(crate) async fn begin(
    state: &AppState,
    served: &Arc<Served>,
    request: GenerateRequest,
    streamed: bool,
    origin: Origin,
    turn: Place,
) -> Result<Receiver<GenerateEvent>, ApiError> {
    let (started, begun) = oneshot::channel();
    let (sender, events) = mpsc::channel(BUFFER);
    let runtime = Handle::current();
    let driver = Driver { state: state.clone(), served: Arc::clone(served), origin };
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        runtime.block_on(async {
            tokio::select! {
                () = sender.closed() => {}
                () = driver.drive(request, streamed, started, &sender) => {}
            }
        });
    });
    begun.await.unwrap_or(Err(ApiError::Internal))?;
    Ok(events)
}

struct Driver {
    state: AppState,
    served: Arc<Served>,
    origin: Origin,
}

impl Driver {
    async fn drive(
        &self,
        request: GenerateRequest,
        streamed: bool,
        started: oneshot::Sender<Result<(), ApiError>>,
        sender: &Sender<GenerateEvent>,
    ) {
        let asked = RowsAsk::compile(request, self.facts(), streamed).and_then(|mut ask| {
            let completer = Arc::new(self.completer(ask.width)?);
            ask.models.connect(self.served.name.clone(), completer);
            Ok(ask)
        });
        let begun = asked.as_ref().map_err(Clone::clone).and_then(|ask| {
            Call::new(&ask.job, &ask.models, &ask.source, ask.width).map_err(|e| refused(&e))
        });
        let mut call = match begun {
            Ok(call) => call,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        // Nobody waits for it any more only when the client has gone; then the rows are not wanted either.
        let _ = started.send(Ok(()));
        let last = loop {
            let event = match call.next().await {
                Ok(Some(Made::Accepted(row))) => GenerateEvent::Row(row),
                Ok(Some(Made::Rejected(row))) => GenerateEvent::Rejected(row),
                Ok(Some(Made::Failed(row))) => GenerateEvent::Failed(row),
                Ok(None) => break GenerateEvent::Summary(Box::new(call.finish())),
                Err(error) => {
                    tracing::error!("rows of a request cannot be made: {error}");
                    let error = ApiError::ModelFailed(error.to_string());
                    break GenerateEvent::Error(error.body().error);
                }
            };
            if sender.send_timeout(event, STALLED).await.is_err() {
                return;
            }
        };
        let _ = sender.send_timeout(last, STALLED).await;
    }

    fn facts(&self) -> ModelFacts {
        let info = self.served.model.info();
        ModelFacts {
            name: self.served.name.clone(),
            digest: info.digest.clone(),
            numerics: info.numerics.clone(),
            reproducible: info.reproducible,
            chat: info.chat,
            tokenizer_digest: Some(info.tokenizer_digest.clone()),
            context_tokens: Some(info.context_tokens),
        }
    }

    fn completer(&self, width: usize) -> Result<ServedCompleter, ApiError> {
        Ok(ServedCompleter {
            engine: Arc::new(EngineCompleter::of(&self.served.model)),
            state: self.state.clone(),
            origin: self.origin.clone(),
            places: Arc::new(self.state.admission.enter(width)?),
            slots: Arc::new(Semaphore::new(width)),
        })
    }
}

/// The engine as a job asks it, with what the server counts and limits of each completion.
struct ServedCompleter {
    engine: Arc<EngineCompleter>,
    state: AppState,
    origin: Origin,
    /// Of the whole server, for the completions that run at once; kept until the last of them has ended.
    places: Arc<Vec<Place>>,
    /// One for each of those.
    slots: Arc<Semaphore>,
}

impl ServedCompleter {
    async fn start(
        &self,
        request: Request,
        answer: oneshot::Sender<Result<Completion, CompletionError>>,
    ) -> Result<textnlp_engine::engine::Ticket, CompletionError> {
        let failed = |error: ApiError| CompletionError::Model(error.to_string());
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|_| failed(ApiError::Internal))?;
        let (engine, prompt) = (Arc::clone(&self.engine), request.prompt.clone());
        let encode = move || Ok(engine.tokens(&prompt));
        let tokens = self.state.admission.encode(encode).await.map_err(failed)??;
        let asked = Instant::now();
        let inflight = self.state.metrics.enter(self.origin.source, asked);
        let metrics = Arc::clone(&self.state.metrics);
        let mut recorder = Recorder::new(metrics, asked, inflight, slot);
        if let Some(caller) = &self.origin.caller {
            recorder.charge(Arc::clone(&self.state.access), caller.clone(), tokens.len());
        }
        let (places, answer) = (Arc::clone(&self.places), Mutex::new(Some(answer)));
        let sink = Box::new(move |event| {
            let _places = &places;
            recorder.record(&event, Instant::now());
            let Some(ended) = ended(event) else { return };
            if let Some(answer) = answer.lock().ok().and_then(|mut answer| answer.take()) {
                // Nobody waits any more: the row was given up.
                let _ = answer.send(ended);
            }
        });
        self.engine.start_tokens(tokens, &request, sink)
    }
}

impl Completer for ServedCompleter {
    fn complete(&self, request: Request) -> Boxed<'_, Result<Completion, CompletionError>> {
        Box::pin(async move {
            let (sender, receiver) = oneshot::channel();
            let _ticket = self.start(request, sender).await?;
            let stopped = || Err(CompletionError::Model("the engine stopped".to_owned()));
            receiver.await.unwrap_or_else(|_| stopped())
        })
    }

    fn count(&self, prompt: &Prompt) -> Result<u64, CompletionError> {
        self.engine.count(prompt)
    }
}
