//! Speculation changes nothing that a user can see: all events of all requests, with it and without.

use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use proptest::prelude::*;

use super::tests::{fake, start};
use super::{Engine, EngineConfig, EngineStats, Event, Request, Ticket};
use crate::model::Model;
use crate::models::{FakeConfig, FakeLogits, FakeModel};
use crate::sampling::SamplingParams;

/// A request, and after how many tokens its user has enough.
#[derive(Debug, Clone)]
struct Wish {
    request: Request,
    patience: Option<usize>,
}

/// How an engine is set up, and how many requests are under way at a time.
#[derive(Debug, Clone)]
struct Setting {
    concurrency: usize,
    pages: usize,
    max_batch_tokens: Option<usize>,
    reuse_prefixes: bool,
}

fn params() -> impl Strategy<Value = SamplingParams> {
    let temperature = prop_oneof![2 => Just(0.0), 2 => Just(1.0), 1 => Just(1.7)];
    let cut = (prop_oneof![Just(0u32), Just(1), Just(5)], prop_oneof![Just(1.0), Just(0.8)]);
    let penalty = prop_oneof![3 => Just(1.0), 1 => Just(1.3)];
    // Likely tokens, one of which ends the text where it is forbidden or wanted.
    let bias = prop::collection::vec((14u32..25, -12.0f32..12.0), 0..3);
    // The likely tokens are control characters, in this order.
    let stop = prop_oneof![
        3 => Just(vec![]),
        1 => Just(vec!["\u{12}\u{15}\u{14}".to_owned()]),
        1 => Just(vec!["\u{17}x".to_owned(), "\u{13}".to_owned()])
    ];
    let ends = prop_oneof![3 => Just(0.0f32), 1 => Just(8.0)];
    let rest = (1u32..60, prop::option::of(0u8..3), any::<bool>(), ends);
    (temperature, cut, penalty, bias, stop, rest).prop_map(
        |(temperature, (top_k, top_p), repetition_penalty, mut logit_bias, stop, rest)| {
            let (max_tokens, logprobs, ignore_end, end) = rest;
            logit_bias.push((256, end));
            SamplingParams {
                temperature,
                top_p,
                top_k,
                repetition_penalty,
                max_tokens,
                stop,
                logprobs,
                logit_bias,
                ignore_end,
                ..SamplingParams::default()
            }
        },
    )
}

fn wish() -> impl Strategy<Value = Wish> {
    let prompt = prop_oneof![
        prop::collection::vec(16u32..24, 1..40),
        Just([17, 22, 23, 18, 21, 20].repeat(5)),
    ];
    let patience = prop::option::weighted(0.2, 1usize..20);
    (prompt, params(), 0u64..50, patience).prop_map(|(prompt, params, seed, patience)| Wish {
        request: Request { prompt, params, seed, choice: 0 },
        patience,
    })
}

fn setting() -> impl Strategy<Value = Setting> {
    let max_batch_tokens = prop_oneof![Just(None), (1usize..12).prop_map(Some)];
    (1usize..7, 7usize..20, max_batch_tokens, any::<bool>()).prop_map(
        |(concurrency, pages, max_batch_tokens, reuse_prefixes)| Setting {
            concurrency,
            pages,
            max_batch_tokens,
            reuse_prefixes,
        },
    )
}

/// Hands a request over. Its user lets the ticket go in the very call that brings the last event he wants.
fn submit(engine: &Engine, wish: &Wish, events: impl Fn(Event) + Send + 'static) {
    let held: Arc<(Mutex<Option<Ticket>>, Condvar)> = Arc::default();
    let (slot, mut left) = (Arc::clone(&held), wish.patience.unwrap_or(usize::MAX));
    let sink = Box::new(move |event| {
        assert!(left > 0, "an event after the end of patience");
        left -= 1;
        events(event);
        if left == 0 {
            let ticket = slot.0.lock().expect("no panic");
            drop(slot.1.wait_while(ticket, |ticket| ticket.is_none()).expect("no panic").take());
        }
    });
    let ticket = engine.submit(wish.request.clone(), sink).expect("it runs");
    *held.0.lock().expect("no panic") = Some(ticket);
    held.1.notify_all();
}

/// The events of all requests, and the engine's figures at the end.
fn run(setting: &Setting, wishes: &[Wish], speculation: bool) -> (Vec<Vec<Event>>, EngineStats) {
    let model = fake(FakeLogits::Habit);
    let page_bytes = FakeModel::new(model.clone()).info().page_bytes;
    let config = EngineConfig {
        kv_bytes: setting.pages * page_bytes,
        max_batch_tokens: setting.max_batch_tokens,
        reuse_prefixes: setting.reuse_prefixes,
        step: Duration::ZERO,
        speculation,
        ..EngineConfig::default()
    };
    let engine = start(model, config);
    let mut all = Vec::new();
    for group in wishes.chunks(setting.concurrency) {
        let pending: Vec<_> = group
            .iter()
            .map(|wish| {
                let (sender, events) = channel();
                submit(&engine, wish, move |event| drop(sender.send(event)));
                events
            })
            .collect();
        // A sink is dropped with its request, finished or cancelled.
        all.extend(pending.into_iter().map(|events| events.into_iter().collect::<Vec<_>>()));
    }
    engine.shutdown();
    (all, engine.stats())
}

/// What others computed before decides how much of a prompt was there already; with several at a time that is chance.
fn without_cached_tokens(events: &mut [Vec<Event>]) {
    for event in events.iter_mut().flatten() {
        match event {
            Event::Begun { cached_tokens } => *cached_tokens = 0,
            Event::Finished(completion) => completion.cached_tokens = 0,
            Event::Token { .. } | Event::Failed(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn all_events_are_the_same_with_speculation_and_without(
        setting in setting(),
        wishes in prop::collection::vec(wish(), 1..12),
    ) {
        let (mut plain, plain_stats) = run(&setting, &wishes, false);
        let (mut found, stats) = run(&setting, &wishes, true);
        if setting.concurrency > 1 {
            without_cached_tokens(&mut plain);
            without_cached_tokens(&mut found);
        }
        prop_assert_eq!(found, plain);
        prop_assert_eq!(plain_stats.proposed_tokens, 0);
        prop_assert!(stats.accepted_tokens <= stats.proposed_tokens);
        prop_assert_eq!(stats.generated_tokens, plain_stats.generated_tokens);
        prop_assert_eq!((stats.finished, stats.failed), (plain_stats.finished, plain_stats.failed));
        prop_assert_eq!(stats.kv_used_bytes, 0);
    }
}

fn repeating(patience: Option<usize>) -> Wish {
    let params = SamplingParams { temperature: 0.0, max_tokens: 100, ..SamplingParams::default() };
    let request = Request { prompt: vec![17], params, seed: 1, choice: 0 };
    Wish { request, patience }
}

#[test]
fn a_text_that_repeats_itself_is_mostly_proposed() {
    let roomy =
        Setting { concurrency: 1, pages: 100, max_batch_tokens: None, reuse_prefixes: true };
    let (found, stats) = run(&roomy, &[repeating(None)], true);
    let (plain, without) = run(&roomy, &[repeating(None)], false);
    assert_eq!(found, plain);
    assert_eq!(stats.steps, without.steps - stats.accepted_tokens);
    assert!(stats.accepted_tokens > 50, "{stats:?}");
    assert_eq!((without.proposed_tokens, without.accepted_tokens), (0, 0));
}

#[test]
fn no_event_follows_the_one_in_which_a_user_goes_though_the_next_tokens_are_computed() {
    let roomy =
        Setting { concurrency: 1, pages: 100, max_batch_tokens: None, reuse_prefixes: true };
    for patience in 1..60 {
        let (found, stats) = run(&roomy, &[repeating(Some(patience))], true);
        // The first event is none of a token.
        assert_eq!((found[0].len(), stats.generated_tokens), (patience, patience as u64 - 1));
    }
}

#[test]
fn a_model_whose_rows_depend_on_each_other_gets_no_proposals() {
    let model = FakeConfig { batch_invariant: false, ..fake(FakeLogits::Habit) };
    let engine = start(model, EngineConfig::default());
    let (sender, events) = channel();
    submit(&engine, &repeating(None), move |event| drop(sender.send(event)));
    assert_eq!(events.into_iter().count(), 102, "the beginning, 100 tokens, the end");
    engine.shutdown();
    assert_eq!(engine.stats().proposed_tokens, 0);
}
