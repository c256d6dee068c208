//! `textnlp generate`: one completion, whole or as it comes.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::mpsc;

use serde_json::json;
use textnlp_crds::sampling::ResolvedSampling;
use textnlp_dataset::display;
use textnlp_engine::engine::{Completion, Event};
use textnlp_generation::completer::{ChatMessage, Prompt, Request};
use textnlp_generation::engine::{EngineCompleter, EngineModel, EngineOptions};
use textnlp_telemetry::trace::TraceContext;

use crate::args::{GenerateArgs, SamplingArgs};
use crate::cache;
use crate::commands::interactive;
use crate::failure::Failure;
use crate::{print_json, print_text};

pub(crate) fn run(args: &GenerateArgs) -> Result<(), Failure> {
    let sampling = sampling(&args.sampling)?;
    let model = EngineModel::open("model", &args.model, cache::of(&args.cache))?;
    let chat = model.facts().chat && !args.raw;
    if args.system.is_some() && !chat {
        return Err(Failure::usage("--system needs a model with a chat template"));
    }
    let engine = model.load(engine_options(args))?;
    if args.interactive {
        return interactive::run(args, &model, &engine, sampling, chat);
    }
    let text = match &args.prompt {
        Some(prompt) => prompt.clone(),
        None => read_stdin()?,
    };
    let request = Request {
        prompt: prompt(text, args.system.as_deref(), chat),
        seed: seed(&sampling),
        sampling,
        record: 0,
        trace: TraceContext::default(),
    };
    let done = complete(&engine, &request, |text| {
        if args.stream {
            print_text(&display::terminal(text));
        }
    })?;
    if args.json {
        print_json(&json!({
            "text": done.text,
            "finishReason": done.finish_reason.as_str(),
            "usage": {"promptTokens": done.prompt_tokens, "completionTokens": done.completion_tokens},
            "model": {"digest": model.facts().digest, "numerics": model.facts().numerics},
        }));
    } else if args.stream {
        print_text("\n");
    } else {
        print_text(&format!("{}\n", display::terminal(&done.text)));
    }
    Ok(())
}

fn read_stdin() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    std::io::stdin()
        .lock()
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::failed(format!("cannot read standard input: {e}")))?;
    String::from_utf8(bytes).map_err(|_| Failure::usage("standard input is no UTF-8"))
}

/// One sequence only: threads are what matters.
fn engine_options(args: &GenerateArgs) -> EngineOptions {
    EngineOptions {
        threads: args.engine.threads.map(usize::from),
        sequences: 1,
        speculation: args.speculation.speculation(),
    }
}

/// The request's seed is the user's own: `--seed` means the same here as in the HTTP API.
pub(crate) fn seed(sampling: &ResolvedSampling) -> u64 {
    sampling.seed.unsigned_abs()
}

/// A prompt of one turn, as a chat where the model has a template.
pub(crate) fn prompt(text: String, system: Option<&str>, chat: bool) -> Prompt {
    if !chat {
        return Prompt::Text(text);
    }
    let system = system.map(|s| ChatMessage { role: "system", content: s.to_owned() });
    Prompt::Chat(system.into_iter().chain([ChatMessage { role: "user", content: text }]).collect())
}

/// The flags over the API's defaults, checked by the engine's own ranges.
fn sampling(args: &SamplingArgs) -> Result<ResolvedSampling, Failure> {
    let mut sampling = ResolvedSampling { stop: args.stop.clone(), ..ResolvedSampling::default() };
    macro_rules! take {
        ($($field:ident),*) => { $(if let Some(value) = args.$field { sampling.$field = value; })* };
    }
    take!(temperature, top_p, min_p, repetition_penalty);
    let small = |name: &str, value: u32| {
        i32::try_from(value)
            .map_err(|_| Failure::usage(format!("--{name} {value}: at most {}", i32::MAX)))
    };
    if let Some(top_k) = args.top_k {
        sampling.top_k = small("top-k", top_k)?;
    }
    if let Some(max_tokens) = args.max_tokens {
        sampling.max_tokens = small("max-tokens", max_tokens)?;
    }
    if let Some(seed) = args.seed {
        sampling.seed = i64::try_from(seed).ok().filter(|s| *s < 1 << 53).ok_or_else(|| {
            Failure::usage(format!("--seed {seed}: at most 2^53 - 1 = 9007199254740991"))
        })?;
    }
    Ok(sampling)
}

/// Makes one completion on this thread's time; `shown` gets its text as it comes.
pub(crate) fn complete(
    engine: &Arc<EngineCompleter>,
    request: &Request,
    mut shown: impl FnMut(&str),
) -> Result<Completion, Failure> {
    let (sender, receiver) = mpsc::channel();
    let sink = Box::new(move |event| {
        // A send fails only when this function has returned.
        let _ = sender.send(event);
    });
    let _ticket = engine.start(request, sink).map_err(Failure::usage)?;
    for event in receiver {
        match event {
            Event::Begun { .. } => {}
            Event::Token { text, .. } => shown(&text),
            Event::Finished(done) => {
                let _ = std::io::stdout().flush();
                return Ok(done);
            }
            Event::Failed(error) if error.is_of_request() => return Err(Failure::usage(error)),
            Event::Failed(error) => return Err(Failure::failed(error)),
        }
    }
    Err(Failure::failed("the engine stopped"))
}
