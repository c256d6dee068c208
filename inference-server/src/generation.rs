//! A request on its way to the engine and in it: its choices get their turns one after the other, their events come in
//! the order of their making. Dropping it stops what is not finished.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use textnlp_engine::engine::{Event, Request, RowError, SubmitError, Ticket};
use textnlp_engine::scheduler::ScheduleError;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use crate::access::Caller;
use crate::ask::{Ask, Prompt};
use crate::deadline::{self, Deadline};
use crate::error::ApiError;
use crate::inflight::Source;
use crate::line::{Begin, Line};
use crate::recorder::{Held, Recorder};
use crate::routes::AppState;
use crate::served::Served;
use crate::traced::Traced;

/// Choices that are being generated, or wait for it.
#[derive(Debug)]
pub(crate) struct Generation {
    /// At most one event for each token, and the number of those is bounded by the context.
    events: UnboundedReceiver<(usize, Event)>,
    /// Stopped at the end.
    begun: Begun,
    /// Choices that have not ended.
    open: usize,
    prompt_param: &'static str,
    deadline: Option<Deadline>,
}

/// When and from whom a request came.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) source: Source,
    pub(crate) arrived: Instant,
    /// Where callers have names.
    pub(crate) caller: Option<Caller>,
    /// When nobody waits for it any more.
    pub(crate) deadline: Option<Deadline>,
    /// What it is part of.
    pub(crate) traced: Traced,
}

impl Generation {
    /// Lets all choices wait for the engine, or none: if there is no place for them, or a prompt cannot be run.
    pub(crate) async fn start(
        state: &AppState,
        served: &Arc<Served>,
        ask: Ask,
        origin: Origin,
    ) -> Result<Self, ApiError> {
        let engine = served.model.engine();
        ask.check(served.model.info(), engine.model().vocab_size, origin.source)?;
        if let Some(cause) = engine.stopped() {
            return Err(ApiError::of_submit(&SubmitError::Stopped(cause)));
        }
        // First of all, so that a full server does no work for what it refuses.
        let line = Arc::clone(state.admission.line());
        let mut places = line.enter(ask.completions(), origin.caller.as_ref())?.into_iter();
        let Ask { prompts, params, seed, choices, prompt_param, .. } = ask;
        let encoding = origin.traced.context().child("encode");
        let model = Arc::clone(served);
        let encode = move || -> Result<Vec<Vec<u32>>, ApiError> {
            prompts.iter().map(|prompt| tokens(&model, prompt, prompt_param)).collect()
        };
        let prompts = state.admission.encode(encode).await?;
        drop(encoding);
        let (sender, events) = mpsc::unbounded_channel();
        let (mut tickets, mut begins) = (Vec::new(), Vec::new());
        for prompt in prompts {
            for (choice, place) in (0..choices).zip(&mut places) {
                let (prompt, params) = (prompt.clone(), params.clone());
                let recorder = recorder(state, &origin, place, prompt.len());
                let request = Request { prompt, params, seed, choice };
                let sender = (sender.clone(), tickets.len());
                let ticket = Arc::new(Ticket::default());
                begins.push(begin(
                    Arc::clone(served),
                    Arc::clone(&ticket),
                    request,
                    recorder,
                    sender,
                ));
                tickets.push(ticket);
            }
        }
        let (open, Origin { caller, deadline, .. }) = (tickets.len(), origin);
        let begun = Begun::new(line, caller, tickets, begins);
        Ok(Self { events, begun, open, prompt_param, deadline })
    }

    /// Number of choices.
    pub(crate) fn choices(&self) -> usize {
        self.begun.tickets.len()
    }

    /// The next event of any choice, by the choice's index; none after the last one. An error ends all of them.
    pub(crate) async fn next(&mut self) -> Option<Result<(usize, Event), ApiError>> {
        if self.open == 0 {
            return None;
        }
        let events = &mut self.events;
        let next = deadline::within(self.deadline, async { Ok(events.recv().await) }).await;
        let failed = match next {
            Ok(Some((_, Event::Failed(error)))) => ApiError::of_row(&error, self.prompt_param),
            Ok(Some((index, event))) => {
                if let Event::Finished(_) = event {
                    self.open -= 1;
                }
                return Some(Ok((index, event)));
            }
            Ok(None) => ApiError::of_row(&RowError::Stopped(None), self.prompt_param),
            Err(late) => late,
        };
        self.open = 0;
        self.events.close();
        self.begun.stop();
        Some(Err(failed))
    }
}

/// Completions that wait in the line or run. Dropping it stops them.
#[derive(Debug)]
pub(crate) struct Begun {
    tickets: Vec<Arc<Ticket>>,
    /// Where they wait, whose they are, and their numbers there.
    line: Arc<Line>,
    caller: Option<Caller>,
    ids: Range<u64>,
}

impl Begun {
    /// Lets completions wait for their turns.
    pub(crate) fn new(
        line: Arc<Line>,
        caller: Option<Caller>,
        tickets: Vec<Arc<Ticket>>,
        begins: Vec<Begin>,
    ) -> Self {
        let ids = line.join(caller.as_ref(), begins);
        Self { tickets, line, caller, ids }
    }

    /// Stops what runs, and takes out of the line what waits.
    fn stop(&self) {
        self.tickets.iter().for_each(|ticket| ticket.cancel());
        self.line.leave(self.caller.as_ref(), &self.ids);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What is counted and limited of a completion that begins now to wait.
pub(crate) fn recorder(
    state: &AppState,
    origin: &Origin,
    place: impl Held,
    prompt_tokens: usize,
) -> Recorder {
    let inflight = state.metrics.enter(origin.source, origin.arrived);
    let mut recorder = Recorder::new(Arc::clone(&state.metrics), origin.arrived, inflight, place);
    recorder.trace(origin.traced.clone());
    if let Some(caller) = &origin.caller {
        recorder.charge(Arc::clone(&state.access), caller.clone(), prompt_tokens);
    }
    recorder
}

/// Hands a completion to the engine once it has a turn, which it keeps as long as the engine keeps the sink.
pub(crate) fn begin(
    served: Arc<Served>,
    ticket: Arc<Ticket>,
    request: Request,
    mut recorder: Recorder,
    (sender, index): (UnboundedSender<(usize, Event)>, usize),
) -> Begin {
    Box::new(move |turn| {
        let events = sender.clone();
        let sink = Box::new(move |event| {
            let _turn = &turn;
            recorder.record(&event, Instant::now());
            if let Event::Begun { .. } = event {
                return;
            }
            // The client may have gone; the ticket then ends this too.
            let _ = events.send((index, event));
        });
        if let Err(error) = served.model.engine().try_submit_as(&ticket, request, sink) {
            let failed = match error {
                SubmitError::Stopped(cause) => RowError::Stopped(cause),
                // It has room for all turns.
                SubmitError::Full { .. } => RowError::Step(error.to_string()),
            };
            let _ = sender.send((index, Event::Failed(failed)));
        }
    })
}

/// Token ids of a prompt that can be run.
fn tokens(served: &Served, prompt: &Prompt, param: &'static str) -> Result<Vec<u32>, ApiError> {
    let tokens = match prompt {
        Prompt::Encode(prompt) => {
            let tokens = served.model.prompts().encode(prompt);
            tokens.map_err(|error| ApiError::of_prompt(&error, param))?
        }
        Prompt::Tokens(tokens) => tokens.clone(),
    };
    // The engine would say the same, but after the first bytes of a stream were sent.
    let (found, context) = (tokens.len(), served.model.info().context_tokens);
    let vocab_size = served.model.engine().model().vocab_size;
    let unknown = tokens.iter().find(|token| **token as usize >= vocab_size);
    let problem = match unknown {
        _ if tokens.is_empty() => ScheduleError::EmptyPrompt,
        _ if found >= context => ScheduleError::PromptTooLong { found, context },
        Some(&token) => ScheduleError::UnknownToken { token, vocab_size },
        None => return Ok(tokens),
    };
    Err(ApiError::of_row(&RowError::Schedule(problem), param))
}
