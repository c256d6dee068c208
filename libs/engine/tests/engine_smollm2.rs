//! The whole engine on the real model: a completion is the same tokens, with the same log probabilities to the last
//! bit, whatever runs beside it.

mod common;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use textnlp_engine::chat::Message;
use textnlp_engine::engine::{
    Completion, EngineConfig, EngineStats, Event, FinishReason, LanguageModel, LoadOptions, Prompt,
    Request, Ticket,
};
use textnlp_engine::sampling::SamplingParams;

fn load(engine: EngineConfig) -> LanguageModel {
    let options = LoadOptions { threads: Some(2), engine };
    LanguageModel::load(&common::smollm2_path(), options).expect("the model loads")
}

fn chat(content: String) -> Prompt {
    let message = |role: &str, content: String| Message { role: role.to_owned(), content };
    Prompt::Chat(vec![message("user", content)])
}

fn submit(model: &LanguageModel, request: Request) -> (Ticket, Receiver<Event>) {
    let (sender, receiver) = channel();
    let sink = Box::new(move |event| {
        let _ = sender.send(event);
    });
    (model.submit(request, sink).expect("it runs"), receiver)
}

/// The completion; fails unless the streamed texts are its text.
fn completion(events: &Receiver<Event>) -> Completion {
    let mut streamed = String::new();
    loop {
        match events.recv_timeout(Duration::from_secs(300)).expect("the engine answers") {
            Event::Begun { .. } => {}
            Event::Token { text, .. } => streamed.push_str(&text),
            Event::Failed(error) => panic!("{error}"),
            Event::Finished(completion) => {
                assert_eq!(streamed, completion.text, "the stream is the completion");
                return completion;
            }
        }
    }
}

/// Text, and tokens with the bits of their log probabilities.
type Exact = (String, Vec<(u32, u64)>);

/// All requests, that many at a time; the engine's figures at the end.
fn run(
    engine: EngineConfig,
    requests: &[(Prompt, u32)],
    concurrency: usize,
) -> (Vec<Exact>, EngineStats) {
    let model = load(engine);
    let mut found = Vec::new();
    let mut seeds = 0..;
    for group in requests.chunks(concurrency) {
        let pending: Vec<_> = group
            .iter()
            .zip(&mut seeds)
            .map(|((prompt, max_tokens), seed)| {
                let prompt = model.prompts().encode(prompt).expect("a valid prompt");
                let params = SamplingParams {
                    max_tokens: *max_tokens,
                    logprobs: Some(0),
                    ..SamplingParams::default()
                };
                submit(&model, Request { prompt, params, seed, choice: 0 })
            })
            .collect();
        found.extend(pending.iter().map(|(_, events)| {
            let Completion { text, logprobs, .. } = completion(events);
            (text, logprobs.iter().map(|token| (token.token, token.logprob.to_bits())).collect())
        }));
    }
    model.engine().shutdown();
    (found, model.stats())
}

/// Four samples of each of several records: a common beginning, then one prompt for each record.
fn requests(records: usize, max_tokens: u32) -> Vec<(Prompt, u32)> {
    let airports =
        ["Thigpen", "Livingston Municipal", "Meadow Lake", "Perry-Warsaw", "Hilliard Airpark"];
    (0..records * 4)
        .map(|index| {
            let record = index / 4;
            let airport = airports[record % airports.len()];
            let content = format!(
                "Write a short complaint of a traveller at {airport} airport, gate {record}."
            );
            (chat(content), max_tokens)
        })
        .collect()
}

#[test]
fn completions_are_the_same_bits_one_five_and_sixty_four_at_a_time() {
    let requests = requests(16, 4);
    let (at_once, stats) = run(EngineConfig::default(), &requests, 64);
    assert!(
        stats.cached_tokens * 3 > stats.prompt_tokens * 2,
        "samples share their prompts: {stats:?}"
    );
    // Alone, a sequence costs as much as 64: part of them are enough.
    let few = &requests[..12];
    assert_eq!(run(EngineConfig::default(), few, 1).0, at_once[..12]);
    assert_eq!(run(EngineConfig::default(), few, 5).0, at_once[..12]);
    let without = EngineConfig { reuse_prefixes: false, ..EngineConfig::default() };
    let (found, stats) = run(without, few, 12);
    assert_eq!(found, at_once[..12]);
    assert_eq!(stats.cached_tokens, 0);
}

#[test]
fn a_preempted_sequence_goes_on_with_the_same_bits() {
    let requests = requests(2, 40);
    let (roomy, stats) = run(EngineConfig::default(), &requests, 8);
    assert_eq!(stats.preemptions, 0);
    // One of these sequences takes 6 pages of 30 layers × 2 × 3 heads × 64 numbers × 16 tokens; together some thirty.
    let page_bytes = 30 * 2 * 3 * 64 * 16 * size_of::<f32>();
    let tight = EngineConfig { kv_bytes: 12 * page_bytes, ..EngineConfig::default() };
    let (found, stats) = run(tight, &requests, 8);
    assert!(stats.preemptions > 0, "{stats:?}");
    assert_eq!(found, roomy);
}

#[test]
fn a_chat_is_answered_and_ends_by_itself() {
    let model = load(EngineConfig::default());
    let prompt = chat("What is the capital of France? Answer in one short sentence.".to_owned());
    let rendered = model.prompts().render(&prompt).expect("the model has a chat template");
    assert!(rendered.text.ends_with("<|im_start|>assistant\n"), "{}", rendered.text);
    assert_eq!(rendered.tokens, model.prompts().encode(&prompt).expect("the same"));
    let params = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    let request = Request { prompt: rendered.tokens.clone(), params, seed: 0, choice: 0 };
    let (_ticket, events) = submit(&model, request);
    let answer = completion(&events);
    assert_eq!(answer.text, "The capital of France is Paris.");
    assert_eq!(answer.finish_reason, FinishReason::Stop);
    assert_eq!(answer.prompt_tokens, rendered.tokens.len());
    assert_eq!(
        answer.completion_tokens,
        model.prompts().count_tokens(&answer.text).expect("short")
    );
    let info = model.info();
    assert_eq!(info.name, "SmolLM2-135M-Instruct.Q4_1");
    assert_eq!((info.numerics.as_str(), info.context_tokens), ("cpu-1/q4", 8192));
    assert!(info.reproducible && info.chat && info.tokenizer_digest.starts_with("sha256:"));
}

/// A paragraph to be repeated, greedily and sampled; and a sample of something else beside it.
fn repetitive(model: &LanguageModel) -> Vec<Request> {
    let paragraph = "The lamps on pier 7 were lit at dusk, and the harbour master wrote their numbers into a ledger: \
                     lamp 12, lamp 15, lamp 21 and lamp 33. Nobody had asked him to do so.";
    let content = format!("Repeat this paragraph word by word.\n\n{paragraph}\n\n{paragraph}");
    let repeat = model.prompts().encode(&chat(content)).expect("a valid prompt");
    let other = chat("Write one sentence about the sea.".to_owned());
    let other = model.prompts().encode(&other).expect("a valid prompt");
    let request = |prompt: &Vec<u32>, temperature, seed| {
        let params = SamplingParams {
            temperature,
            max_tokens: 60,
            logprobs: Some(1),
            ..SamplingParams::default()
        };
        Request { prompt: prompt.clone(), params, seed, choice: 0 }
    };
    vec![request(&repeat, 0.0, 1), request(&repeat, 1.0, 2), request(&other, 1.0, 3)]
}

#[test]
fn speculation_leaves_every_token_and_log_probability_as_it_is() {
    let run = |speculation, at_once: usize| {
        let model = load(EngineConfig { speculation, ..EngineConfig::default() });
        let mut found = Vec::new();
        for group in repetitive(&model).chunks(at_once) {
            let pending: Vec<_> =
                group.iter().map(|request| submit(&model, request.clone())).collect();
            found.extend(pending.iter().map(|(_, events)| {
                let completion = completion(events);
                Completion { cached_tokens: 0, ..completion }
            }));
        }
        model.engine().shutdown();
        (found, model.stats())
    };
    let (plain, without) = run(false, 1);
    assert_eq!(without.proposed_tokens, 0);
    for at_once in [1, 2] {
        let (found, stats) = run(true, at_once);
        assert_eq!(found, plain, "{at_once} at once");
        assert!(stats.accepted_tokens > 0, "{stats:?}");
        assert!(stats.steps < without.steps, "{stats:?}");
    }
}
