//! Rows of a request: made by the code that makes a job's, through the engine that answers everybody. They are driven on a thread of
//! their own, where templates and filters may take their time. Who drops the events stops the work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use textnlp_engine::engine::{Event, Ticket};
use textnlp_generation::call::{Call, Made};
use textnlp_generation::completer::{
    Boxed, Completer, Completion, CompletionError, ModelFacts, Prompt, Request,
};
use textnlp_generation::engine::{EngineCompleter, ended, engine_request};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::admission::{self, Bytes};
use crate::api::generate::{GenerateEvent, GenerateRequest};
use crate::ask::rows::{RowsAsk, refused};
use crate::deadline;
use crate::error::ApiError;
use crate::generation::{self, Begun, Origin};
use crate::line::Place;
use crate::routes::AppState;
use crate::served::Served;

/// Rows that are finished and not yet taken.
const BUFFER: usize = 16;

/// How long a client may take none of them: its places are others' then.
const STALLED: Duration = Duration::from_secs(60);

/// What a request for rows takes part of while it runs.
pub(crate) struct Held {
    /// One of the calls that may be long.
    pub(crate) turn: admission::Call,
    /// Its own bytes; kept until its templates are compiled.
    pub(crate) bytes: Bytes,
}

/// An event, or why there are no more.
pub(crate) type Next = Result<GenerateEvent, ApiError>;

/// Begins to make rows; their events come in the order of the rows, the summary as the last.
///
/// # Errors
/// The request can never work, or there is no place for it.
pub(crate) async fn begin(
    state: &AppState,
    served: &Arc<Served>,
    request: GenerateRequest,
    streamed: bool,
    origin: Origin,
    held: Held,
) -> Result<Receiver<Next>, ApiError> {
    let (started, begun) = oneshot::channel();
    let (sender, events) = mpsc::channel(BUFFER);
    let runtime = Handle::current();
    let deadline = origin.deadline;
    let driver = Driver { state: state.clone(), served: Arc::clone(served), origin };
    let Held { turn, bytes } = held;
    tokio::task::spawn_blocking(move || {
        let _turn = turn;
        runtime.block_on(async {
            let rows = deadline::within(deadline, async {
                driver.drive((request, bytes), streamed, started, &sender).await;
                Ok(())
            });
            tokio::select! {
                () = sender.closed() => {}
                driven = rows => if let Err(late) = driven {
                    let _ = sender.send_timeout(Err(late), STALLED).await;
                }
            }
        });
    });
    let begun = async { begun.await.unwrap_or(Err(ApiError::Internal)) };
    deadline::within(deadline, begun).await?;
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
        (request, bytes): (GenerateRequest, Bytes),
        streamed: bool,
        started: oneshot::Sender<Result<(), ApiError>>,
        sender: &Sender<Next>,
    ) {
        let asked = RowsAsk::compile(request, self.facts(), streamed).and_then(|mut ask| {
            let completer = Arc::new(self.completer(ask.width)?);
            ask.models.connect(self.served.name.clone(), completer);
            Ok(ask)
        });
        drop(bytes);
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
                Ok(None) => break Ok(GenerateEvent::Summary(Box::new(call.finish()))),
                Err(error) => {
                    tracing::error!("rows of a request cannot be made: {error}");
                    break Err(ApiError::ModelFailed(error.to_string()));
                }
            };
            if sender.send_timeout(Ok(event), STALLED).await.is_err() {
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
        let line = self.state.admission.line();
        Ok(ServedCompleter {
            engine: Arc::new(EngineCompleter::of(&self.served.model)),
            state: self.state.clone(),
            served: Arc::clone(&self.served),
            origin: self.origin.clone(),
            places: Arc::new(line.enter(width, self.origin.caller.as_ref())?),
            slots: Arc::new(Semaphore::new(width)),
        })
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
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let slot = slot.map_err(|_| failed(ApiError::Internal))?;
        let slot = Slot { _slot: slot, _places: Arc::clone(&self.places) };
        let (engine, prompt) = (Arc::clone(&self.engine), request.prompt.clone());
        let encode = move || Ok(engine.tokens(&prompt));
        let tokens = self.state.admission.encode(encode).await.map_err(failed)??;
        let origin = Origin { arrived: Instant::now(), ..self.origin.clone() };
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
