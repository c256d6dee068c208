//! A request in the engine: its choices begin together, their events come in the order of their making. Dropping it
//! stops what is not finished.

use std::sync::Arc;
use std::time::Instant;

use textnlp_engine::engine::{Event, Request, RowError, Ticket};
use textnlp_engine::scheduler::ScheduleError;
use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::access::Caller;
use crate::ask::{Ask, Prompt};
use crate::error::ApiError;
use crate::inflight::Source;
use crate::recorder::Recorder;
use crate::routes::AppState;
use crate::served::Served;

/// Choices that are being generated.
#[derive(Debug)]
pub(crate) struct Generation {
    /// At most one event for each token, and the number of those is bounded by the context.
    events: UnboundedReceiver<(usize, Event)>,
    /// Dropping them stops the engine.
    tickets: Vec<Ticket>,
    /// Choices that have not ended.
    open: usize,
    prompt_param: &'static str,
}

/// When and from whom a request came.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) source: Source,
    pub(crate) arrived: Instant,
    /// Where callers have names.
    pub(crate) caller: Option<Caller>,
}

impl Generation {
    /// Hands all choices to the engine, or none: if there is no place for them, or a prompt cannot be run.
    pub(crate) async fn start(
        state: &AppState,
        served: &Arc<Served>,
        ask: Ask,
        origin: Origin,
    ) -> Result<Self, ApiError> {
        let engine = served.model.engine();
        ask.check(served.model.info(), engine.model().vocab_size, origin.source)?;
        // First of all, so that a full server does no work for what it refuses.
        let mut places = state.admission.enter(ask.completions())?.into_iter();
        let Ask { prompts, params, seed, choices, prompt_param, .. } = ask;
        let model = Arc::clone(served);
        let encode = move || -> Result<Vec<Vec<u32>>, ApiError> {
            prompts.iter().map(|prompt| tokens(&model, prompt, prompt_param)).collect()
        };
        let prompts = state.admission.encode(encode).await?;
        let (sender, events) = mpsc::unbounded_channel();
        let mut tickets = Vec::new();
        for prompt in prompts {
            for (choice, place) in (0..choices).zip(&mut places) {
                let inflight = state.metrics.enter(origin.source, origin.arrived);
                let metrics = Arc::clone(&state.metrics);
                let mut recorder = Recorder::new(metrics, origin.arrived, inflight, place);
                if let Some(caller) = &origin.caller {
                    recorder.charge(Arc::clone(&state.access), caller.clone(), prompt.len());
                }
                let (sender, index) = (sender.clone(), tickets.len());
                let sink = Box::new(move |event| {
                    recorder.record(&event, Instant::now());
                    // The client may have gone; the ticket then ends this too.
                    let _ = sender.send((index, event));
                });
                let (prompt, params) = (prompt.clone(), params.clone());
                let request = Request { prompt, params, seed, choice };
                let ticket = engine.try_submit(request, sink);
                tickets.push(ticket.map_err(|error| ApiError::of_submit(&error))?);
            }
        }
        Ok(Self { events, open: tickets.len(), tickets, prompt_param })
    }

    /// Number of choices.
    pub(crate) fn choices(&self) -> usize {
        self.tickets.len()
    }

    /// The next event of any choice, by the choice's index; none after the last one. An error ends all of them.
    pub(crate) async fn next(&mut self) -> Option<Result<(usize, Event), ApiError>> {
        if self.open == 0 {
            return None;
        }
        let failed = match self.events.recv().await {
            Some((_, Event::Failed(error))) => error,
            Some((index, event)) => {
                if let Event::Finished(_) = event {
                    self.open -= 1;
                }
                return Some(Ok((index, event)));
            }
            None => RowError::Stopped(None),
        };
        self.open = 0;
        self.events.close();
        Some(Err(ApiError::of_row(&failed, self.prompt_param)))
    }
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
