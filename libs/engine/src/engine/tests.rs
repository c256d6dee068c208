//! The engine with a model that needs no weights.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};

use super::*;
use crate::models::{FakeConfig, FakeLogits, FakeModel};
use crate::sampling::SamplingParams;
use crate::weights::{GgufTokenizer, SpecialTokens, TokenizerSource};

/// Ids 0 to 255 are the bytes, 256 ends a completion.
const END: u32 = 256;

/// A tokenizer without merges: every byte is the token of its value.
pub(crate) fn test_tokenizer() -> Tokenizer {
    // GPT-2's alphabet: printable bytes stand for themselves, the others follow from U+0100.
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut others = 0x100u32..;
    let mut tokens: Vec<String> = (0..=255u8)
        .map(|byte| match printable(&byte) {
            true => char::from(byte).to_string(),
            false => others.next().and_then(char::from_u32).expect("a letter").to_string(),
        })
        .collect();
    tokens.push("<|end|>".to_owned());
    let source = TokenizerSource::Gguf(GgufTokenizer {
        model: "gpt2".to_owned(),
        pre: Some("gpt-2".to_owned()),
        token_types: (0..tokens.len()).map(|id| if id == END as usize { 3 } else { 1 }).collect(),
        tokens,
        merges: Vec::new(),
    });
    let special = SpecialTokens { bos: None, end: vec![END], add_bos: false };
    Tokenizer::new(&source, &special).expect("a valid tokenizer")
}

pub(super) fn fake(logits: FakeLogits) -> FakeConfig {
    FakeConfig { vocab_size: 257, logits, ..FakeConfig::default() }
}

pub(super) fn start(model: FakeConfig, config: EngineConfig) -> Engine {
    Engine::start(Box::new(FakeModel::new(model)), Arc::new(test_tokenizer()), config)
        .expect("it starts")
}

fn request(prompt: &str, max_tokens: u32) -> Request {
    let params = SamplingParams { max_tokens, ..SamplingParams::default() };
    Request { prompt: prompt.bytes().map(u32::from).collect(), params, seed: 1, choice: 0 }
}

fn greedy(prompt: &str, max_tokens: u32) -> Request {
    let mut request = request(prompt, max_tokens);
    request.params.temperature = 0.0;
    request
}

fn submit(engine: &Engine, request: Request) -> (Ticket, Receiver<Event>) {
    let (sender, receiver) = channel();
    let sink = Box::new(move |event| {
        let _ = sender.send(event);
    });
    (engine.submit(request, sink).expect("it runs"), receiver)
}

/// Text of all token events, and the last event.
fn outcome(events: &Receiver<Event>) -> (String, Result<Completion, RowError>) {
    let mut streamed = String::new();
    loop {
        match events.recv_timeout(Duration::from_secs(60)).expect("the engine answers") {
            Event::Begun { .. } => {}
            Event::Token { text, .. } => streamed.push_str(&text),
            Event::Finished(completion) => return (streamed, Ok(completion)),
            Event::Failed(error) => return (streamed, Err(error)),
        }
    }
}

fn complete(engine: &Engine, request: Request) -> Result<Completion, RowError> {
    let (_ticket, events) = submit(engine, request);
    let (streamed, outcome) = outcome(&events);
    if let Ok(completion) = &outcome {
        assert_eq!(streamed, completion.text, "the stream is the completion");
    }
    assert_eq!(events.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Disconnected));
    outcome
}

fn successor() -> Engine {
    start(fake(FakeLogits::Successor), EngineConfig::default())
}

#[test]
fn a_completion_ends_at_max_tokens() {
    let completion = complete(&successor(), greedy("a", 4)).expect("completed");
    let expect = Completion {
        text: "bcde".to_owned(),
        finish_reason: FinishReason::Length,
        prompt_tokens: 1,
        completion_tokens: 4,
        cached_tokens: 0,
        logprobs: Vec::new(),
    };
    assert_eq!(completion, expect);
}

#[test]
fn a_completion_ends_at_a_stop_text_that_spans_tokens() {
    let mut request = greedy("a", 50);
    request.params.stop = vec!["xx".into(), "efg".into()];
    let completion = complete(&successor(), request).expect("completed");
    assert_eq!((completion.text.as_str(), completion.finish_reason), ("bcd", FinishReason::Stop));
    assert_eq!(completion.completion_tokens, 6, "the stop text was generated too");
}

#[test]
fn a_completion_ends_at_an_end_token_which_is_not_counted() {
    let mut request = greedy("", 50);
    request.prompt = vec![253];
    let completion = complete(&successor(), request.clone()).expect("completed");
    assert_eq!(
        (completion.text.as_str(), completion.finish_reason),
        ("\u{fffd}\u{fffd}", FinishReason::Stop)
    );
    assert_eq!(completion.completion_tokens, 2);
    request.params.ignore_end = true;
    let completion = complete(&successor(), request).expect("completed");
    assert_eq!(
        (completion.completion_tokens, completion.finish_reason),
        (50, FinishReason::Length)
    );
}

#[test]
fn text_held_back_for_a_stop_text_is_given_at_an_end_token() {
    // Byte 255 is no character; the end token follows it.
    let mut request = greedy("", 9);
    request.prompt = vec![254];
    request.params.stop = vec!["\u{fffd}x".into()];
    let completion = complete(&successor(), request).expect("completed");
    assert_eq!((completion.text.as_str(), completion.completion_tokens), ("\u{fffd}", 1));
}

#[test]
fn a_character_that_is_cut_off_at_max_tokens_is_marked() {
    let mut request = greedy("", 1);
    request.prompt = vec![0xc2];
    let completion = complete(&successor(), request).expect("completed");
    assert_eq!(
        (completion.text.as_str(), completion.finish_reason),
        ("\u{fffd}", FinishReason::Length)
    );
}

#[test]
fn the_context_cuts_a_completion() {
    let model = FakeConfig { context_tokens: 10, ..fake(FakeLogits::Successor) };
    let completion =
        complete(&start(model, EngineConfig::default()), greedy("abcdefg", 50)).expect("completed");
    assert_eq!((completion.text.as_str(), completion.finish_reason), ("hij", FinishReason::Length));
}

#[test]
fn a_smaller_context_cuts_a_completion_and_refuses_prompts() {
    let config = EngineConfig { max_context_tokens: Some(10), ..EngineConfig::default() };
    let engine = start(fake(FakeLogits::Successor), config);
    let completion = complete(&engine, greedy("abcdefg", 50)).expect("completed");
    assert_eq!((completion.text.as_str(), completion.finish_reason), ("hij", FinishReason::Length));
    let error = complete(&engine, greedy("abcdefghij", 1)).expect_err("it leaves no room");
    let expect = "the prompt has 10 tokens; the model's context of 10 leaves room for 9 at most";
    assert_eq!(error.to_string(), expect);
}

#[test]
fn logprobs_come_with_every_token() {
    let mut request = greedy("a", 3);
    request.params.logprobs = Some(2);
    let engine = successor();
    let (_ticket, events) = submit(&engine, request);
    assert_eq!(events.recv(), Ok(Event::Begun { cached_tokens: 0 }));
    let streamed: Vec<u32> = (0..3)
        .map(|_| match events.recv().expect("three tokens") {
            Event::Token { logprob: Some(logprob), .. } => logprob.token,
            event => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(streamed, [98, 99, 100]);
    let completion = outcome(&events).1.expect("completed");
    assert!(
        completion.logprobs.iter().all(|logprob| logprob.top.len() == 2 && logprob.logprob > -0.1)
    );
    assert_eq!(completion.logprobs.len(), 3);
}

/// Prompts that share beginnings, some of them equal, sampled at temperature 1.
fn mixed_requests() -> Vec<Request> {
    (0..64u64)
        .map(|index| {
            let record = index / 4;
            let prompt = format!(
                "Write a complaint about {}, number {record}",
                ["trains", "planes"][record as usize % 2]
            );
            Request { seed: index, ..request(&prompt, 20 + (index % 7) as u32) }
        })
        .collect()
}

/// All completions' texts, that many requests at a time.
fn run_all(engine: &Engine, concurrency: usize) -> Vec<String> {
    let requests = mixed_requests();
    let mut texts = Vec::new();
    for group in requests.chunks(concurrency) {
        let pending: Vec<_> = group.iter().map(|request| submit(engine, request.clone())).collect();
        texts.extend(pending.iter().map(|(_, events)| {
            let (streamed, outcome) = outcome(events);
            assert_eq!(streamed, outcome.as_ref().expect("completed").text);
            streamed
        }));
    }
    texts
}

#[test]
fn completions_do_not_depend_on_concurrency_prefixes_or_memory() {
    let model = || fake(FakeLogits::History);
    let page_bytes = FakeModel::new(model()).info().page_bytes;
    let expect = run_all(&start(model(), EngineConfig::default()), 1);
    assert!(expect.iter().any(|text| text.len() > 10));
    let check = |concurrency, config: EngineConfig| {
        let engine = start(model(), config.clone());
        assert_eq!(run_all(&engine, concurrency), expect, "{concurrency} at a time, {config:?}");
        engine.shutdown();
        engine.stats()
    };
    check(5, EngineConfig::default());
    let shared = check(64, EngineConfig::default());
    assert!(shared.cached_tokens * 2 > shared.prompt_tokens, "{shared:?}");
    let alone = check(64, EngineConfig { reuse_prefixes: false, ..EngineConfig::default() });
    assert_eq!((alone.cached_tokens, alone.prompt_tokens), (0, shared.prompt_tokens));
    check(
        64,
        EngineConfig { max_batch_tokens: Some(3), step: Duration::ZERO, ..EngineConfig::default() },
    );
    let tight = EngineConfig { kv_bytes: 9 * page_bytes, ..EngineConfig::default() };
    assert!(check(64, tight).preemptions > 0);
}

#[test]
fn a_bad_request_fails_alone() {
    let model = FakeConfig { nan_token: Some(7), ..fake(FakeLogits::Successor) };
    let engine = start(model, EngineConfig::default());
    let check = |request: Request, expect: &str| {
        let error = complete(&engine, request).expect_err("it must fail");
        assert!(error.is_of_request());
        assert_eq!(error.to_string(), expect);
    };
    check(greedy("", 5), "the prompt has no tokens; give it at least one");
    let long = "x".repeat(256);
    check(
        greedy(&long, 5),
        "the prompt has 256 tokens; the model's context of 256 leaves room for 255 at most",
    );
    check(greedy("a", 0), "maxTokens is 0; it must be at least 1");
    check(
        greedy("\u{5}", 9),
        "the model's logits hold NaN; its weights or its arithmetic are damaged",
    );
    assert_eq!(complete(&engine, greedy("a", 2)).expect("the engine goes on").text, "bc");
    engine.shutdown();
    assert_eq!((engine.stats().failed, engine.stats().finished), (4, 1));
}

/// Why a request to an engine that has given up is refused, or, while the engine is about to stop, taken in and failed.
fn refused(engine: &Engine) -> String {
    let (sender, events) = channel();
    let sink = Box::new(move |event| drop(sender.send(event)));
    match engine.submit(greedy("a", 2), sink) {
        Err(refused) => refused.to_string(),
        Ok(_ticket) => outcome(&events).1.expect_err("it stops").to_string(),
    }
}

#[test]
fn a_failed_step_fails_its_requests_and_the_engine_goes_on_until_the_third_in_a_row() {
    let model = FakeConfig { error_token: Some(7), ..fake(FakeLogits::Successor) };
    let engine = start(model, EngineConfig::default());
    let expect = "the model failed: device: a token that the fake model fails at";
    for round in 0..4 {
        let error = complete(&engine, greedy("\u{7}", 5)).expect_err("it must fail");
        assert_eq!(error.to_string(), expect, "round {round}");
        assert!(!error.is_of_request());
        assert!(complete(&engine, greedy("a", 2)).is_ok(), "a good step in between");
    }
    for _ in 0..3 {
        let failed = complete(&engine, greedy("\u{7}", 5));
        assert_eq!(failed.expect_err("it must fail").to_string(), expect);
    }
    let error = refused(&engine);
    let expect = "the engine has stopped: 3 steps in a row failed, the last with: device: a token that the fake model \
                  fails at";
    assert_eq!(error, expect);
}

#[test]
fn a_panic_of_the_model_fails_its_step_and_the_engine_goes_on_until_the_third_in_a_row() {
    let model = FakeConfig { panic_token: Some(7), ..fake(FakeLogits::Successor) };
    let engine = start(model, EngineConfig::default());
    let expect =
        "the model failed: a panic in its arithmetic: a token that the fake model panics at";
    for _ in 0..4 {
        let error = complete(&engine, greedy("\u{7}", 5)).expect_err("it must fail");
        assert_eq!(error.to_string(), expect);
        assert!(!error.is_of_request());
        assert_eq!(complete(&engine, greedy("a", 2)).expect("a good step").text, "bc");
    }
    for _ in 0..3 {
        let failed = complete(&engine, greedy("\u{7}", 5));
        assert_eq!(failed.expect_err("it must fail").to_string(), expect);
    }
    let error = refused(&engine);
    let expect = "the engine has stopped: 3 steps in a row failed, the last with: a panic in its arithmetic: ";
    assert!(error.starts_with(expect), "{error}");
}

#[test]
fn sequences_that_had_no_part_in_a_panic_go_on() {
    let model = FakeConfig { panic_token: Some(7), max_rows: 1, ..fake(FakeLogits::Successor) };
    let engine = start(model, EngineConfig { reuse_prefixes: false, ..EngineConfig::default() });
    let (_waiting, events) = submit(&engine, greedy("a", 20));
    let error = complete(&engine, greedy("\u{7}", 5)).expect_err("it must fail");
    assert!(error.to_string().contains("a panic in its arithmetic"), "{error}");
    assert_eq!(outcome(&events).1.expect("completed").text, "bcdefghijklmnopqrstu");
}

#[test]
fn a_sink_that_panics_loses_its_own_request_only() {
    let engine = successor();
    let panicking: Sink = Box::new(|_| panic!("a sink"));
    let _ticket = engine.submit(greedy("a", 50), panicking).expect("it runs");
    assert_eq!(complete(&engine, greedy("a", 3)).expect("completed").text, "bcd");
}

/// A sink that waits, on the engine's thread, until the test lets it go.
fn blocking() -> (Sink, std::sync::mpsc::Sender<()>, Receiver<()>) {
    let (go, gate) = channel::<()>();
    let (entered, inside) = channel();
    let sink = Box::new(move |event| {
        if let Event::Begun { .. } = event {
            return;
        }
        let _ = entered.send(());
        let _ = gate.recv_timeout(Duration::from_secs(60));
    });
    (sink, go, inside)
}

#[test]
fn a_full_queue_refuses_and_has_space_again_later() {
    let config = EngineConfig { queue: 2, ..EngineConfig::default() };
    let engine = start(fake(FakeLogits::Successor), config);
    let (sink, go, inside) = blocking();
    let ticket = engine.submit(greedy("a", 50), sink).expect("it runs");
    inside.recv().expect("the engine's thread is in the sink");
    let waiting: Vec<_> = (0..2).map(|_| submit(&engine, greedy("b", 2))).collect();
    assert_eq!(engine.stats().waiting, 2);
    let refused = engine.try_submit(greedy("c", 2), Box::new(drop));
    assert_eq!(refused.expect_err("full"), SubmitError::Full { capacity: 2 });
    drop((ticket, go));
    for (_, events) in &waiting {
        assert_eq!(outcome(events).1.expect("completed").text, "cd");
    }
    assert!(engine.try_submit(greedy("c", 2), Box::new(drop)).is_ok());
}

#[test]
fn a_dropped_ticket_stops_generation() {
    let engine = successor();
    let (sink, go, inside) = blocking();
    let ticket = engine.submit(greedy("a", 200), sink).expect("it runs");
    let (other, events) = submit(&engine, greedy("k", 200));
    inside.recv().expect("the first token");
    drop((ticket, other));
    drop(go);
    assert!(
        inside.recv_timeout(Duration::from_secs(60)).is_err(),
        "no event follows, the sink is dropped"
    );
    assert!(matches!(events.recv(), Err(_) | Ok(Event::Begun { .. } | Event::Token { .. })));
    assert_eq!(complete(&engine, greedy("a", 1)).expect("completed").text, "b");
    engine.shutdown();
    assert_eq!((engine.stats().running, engine.stats().kv_used_bytes), (0, 0));
}

#[test]
fn shutting_down_fails_what_is_not_finished() {
    let engine = successor();
    let (sink, go, inside) = blocking();
    let _ticket = engine.submit(greedy("a", 200), sink).expect("it runs");
    inside.recv().expect("the first token");
    let (_waiting, events) = submit(&engine, greedy("k", 200));
    let handle = engine.clone();
    let stopping = thread::spawn(move || handle.shutdown());
    assert_eq!(outcome(&events).1, Err(RowError::Stopped(None)));
    drop(go);
    stopping.join().expect("it ends");
    assert_eq!(engine.stopped(), Some(None));
    let refused = engine.submit(greedy("a", 1), Box::new(drop));
    assert_eq!(refused.expect_err("it has stopped").to_string(), "the engine has stopped");
}

#[test]
fn the_last_handle_may_be_dropped_by_a_sink() {
    let engine = successor();
    let handle = engine.clone();
    let (sender, receiver) = channel();
    let mut last = Some(handle);
    let sink: Sink = Box::new(move |event| {
        if let Event::Finished(_) = event {
            drop(last.take());
            let _ = sender.send(());
        }
    });
    let ticket = engine.submit(greedy("a", 5), sink).expect("it runs");
    drop(engine);
    receiver.recv_timeout(Duration::from_secs(60)).expect("the thread does not wait for itself");
    drop(ticket);
}

#[test]
fn a_sink_that_is_dropped_may_hand_over_the_next_request() {
    struct Next(Engine, std::sync::mpsc::Sender<Event>, Arc<Ticket>);
    impl Drop for Next {
        fn drop(&mut self) {
            let sender = self.1.clone();
            let sink = Box::new(move |event| drop(sender.send(event)));
            self.0.try_submit_as(&self.2, greedy("a", 2), sink).expect("there is room");
        }
    }
    let engine = start(
        fake(FakeLogits::Successor),
        EngineConfig { max_sequences: 1, ..EngineConfig::default() },
    );
    // One that is running when its turn ends, one that is cancelled while it waits in the queue.
    for cancelled in [false, true] {
        let (sender, events) = channel();
        let ticket = Arc::new(Ticket::default());
        let next = Next(engine.clone(), sender, Arc::clone(&ticket));
        let (blocker, go, inside) = blocking();
        let running = engine.submit(greedy("k", 3), blocker).expect("it runs");
        inside.recv().expect("a first token");
        let sink = Box::new(move |_| {
            let _ = &next;
        });
        let waiting = engine.submit(greedy("k", 1), sink).expect("it waits");
        if cancelled {
            waiting.cancel();
        }
        drop(go);
        assert_eq!(outcome(&events).0, "bc", "cancelled: {cancelled}");
        drop((running, waiting));
    }
    let late = Ticket::default();
    late.cancel();
    let (sender, events) = channel();
    let sink = Box::new(move |event| drop(sender.send(event)));
    engine.try_submit_as(&late, greedy("a", 2), sink).expect("there is room");
    assert_eq!(complete(&engine, greedy("a", 1)).expect("completed").text, "b");
    assert!(events.try_recv().is_err(), "cancelled before, it never begins");
}

#[test]
fn memory_below_a_page_is_refused() {
    let config = EngineConfig { kv_bytes: 10, ..EngineConfig::default() };
    let model = Box::new(FakeModel::new(fake(FakeLogits::History)));
    let error = Engine::start(model, Arc::new(test_tokenizer()), config).expect_err("refused");
    assert!(
        error.to_string().starts_with("10 bytes of KV memory do not hold one page of "),
        "{error}"
    );
}

#[test]
fn a_request_beyond_the_kv_memory_fails_for_want_of_memory_and_not_for_its_own_fault() {
    let model = fake(FakeLogits::Successor);
    let page_bytes = FakeModel::new(model.clone()).info().page_bytes;
    let engine = start(model, EngineConfig { kv_bytes: 2 * page_bytes, ..EngineConfig::default() });
    let error = complete(&engine, greedy("a", 40)).expect_err("it must fail");
    let expect = "prompt and completion may reach 41 tokens, the KV cache holds 32: lower maxTokens or give the KV \
                  cache more memory";
    assert_eq!(error.to_string(), expect);
    assert!(!error.is_of_request());
    assert_eq!(complete(&engine, greedy("a", 2)).expect("the engine goes on").text, "bc");
}
