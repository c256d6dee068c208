//! Random schedules on a model that notices wrong pages, and the promises of single features.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::{Batch, Logits, Model};
use crate::models::{FakeConfig, FakeLogits, FakeModel};
use crate::sampling::{LogitsRow, Sampler, SamplingParams, token_random};

const VOCAB: usize = 70;
/// A token that ends a completion.
const END: u32 = 5;

/// What a test asks for.
#[derive(Debug, Clone)]
struct Wish {
    prompt: Vec<u32>,
    max_tokens: usize,
    /// Step at which it arrives.
    arrival: usize,
    /// Steps after which it is cancelled.
    patience: Option<usize>,
}

fn wish(prompt: &[u32], max_tokens: usize) -> Wish {
    Wish { prompt: prompt.to_vec(), max_tokens, arrival: 0, patience: None }
}

/// A scheduler, a model, and what has been generated.
struct Bench {
    scheduler: Scheduler,
    model: FakeModel,
    sampler: Sampler,
    logits: Logits,
    /// Tokens and whether they came to an end.
    results: BTreeMap<SequenceId, (Vec<u32>, bool)>,
    prompts: BTreeMap<SequenceId, usize>,
    rows: usize,
    steps: usize,
}

impl Bench {
    fn new(config: SchedulerConfig) -> Bench {
        Bench::with(FakeLogits::History, config)
    }

    fn with(logits: FakeLogits, config: SchedulerConfig) -> Bench {
        let model = FakeModel::new(FakeConfig {
            vocab_size: config.vocab_size,
            context_tokens: config.context_tokens,
            page_tokens: config.page_tokens,
            max_rows: config.max_rows,
            logits,
            ..FakeConfig::default()
        });
        Bench {
            scheduler: Scheduler::new(config),
            model,
            sampler: Sampler::default(),
            logits: Logits::default(),
            results: BTreeMap::new(),
            prompts: BTreeMap::new(),
            rows: 0,
            steps: 0,
        }
    }

    fn submit(&mut self, wish: &Wish) -> Result<SequenceId, ScheduleError> {
        let id = self.scheduler.submit(wish.prompt.clone(), wish.max_tokens)?;
        self.prompts.insert(id, wish.prompt.len());
        self.results.insert(id, (Vec::new(), false));
        Ok(id)
    }

    fn step(&mut self, prefill_tokens: usize) {
        let model = &mut self.model;
        let mut plan =
            self.scheduler.plan(prefill_tokens, &mut |pages| model.reserve(pages).is_ok());
        assert_eq!(plan.failed, [], "no memory is refused here");
        assert!(!plan.is_empty() || self.scheduler.is_empty(), "a step without progress");
        self.model.copy_pages(&plan.copies).expect("valid copies");
        let batch = Batch { tokens: &plan.tokens, spans: &plan.spans() };
        self.model.forward(&batch, &mut self.logits).expect("a valid batch");
        self.rows += plan.tokens.len();
        self.steps += 1;
        loop {
            let outputs: Vec<(SequenceId, usize)> = plan.outputs().collect();
            let next: Vec<Next> = outputs.iter().map(|&(id, row)| self.draw(row, id)).collect();
            self.scheduler.apply(&mut plan, &next);
            self.scheduler.check();
            if plan.outputs().next().is_none() {
                break;
            }
        }
    }

    fn draw(&mut self, row: usize, id: SequenceId) -> Next {
        let history = self.scheduler.tokens(id).expect("a live sequence");
        let random = token_random(0, 0, (history.len() - self.prompts[&id]) as u64);
        let row = LogitsRow::of(&self.logits, row).expect("a row for every output");
        let drawn = self.sampler.sample(row, history, &SamplingParams::default(), random);
        let token = drawn.expect("finite logits").token;
        let (tokens, ended) = self.results.get_mut(&id).expect("submitted");
        tokens.push(token);
        *ended = token == END || self.scheduler.room(id) == 1;
        if *ended { Next::End } else { Next::Token(token) }
    }

    fn finish(&mut self) {
        while !self.scheduler.is_empty() {
            assert!(self.steps < 20_000, "it never ends");
            self.step(16);
        }
    }

    /// What the model continues without any scheduler.
    fn expected(&self, wish: &Wish) -> Vec<u32> {
        let mut sampler = Sampler::default();
        let mut history = wish.prompt.clone();
        let end = (wish.prompt.len() + wish.max_tokens).min(self.model.info().context_tokens);
        while history.len() < end {
            let values = self.model.logits_after(&history);
            let block_max = values
                .chunks(crate::model::LOGITS_BLOCK)
                .map(|block| block.iter().copied().fold(f32::NEG_INFINITY, f32::max))
                .collect();
            let logits = Logits { rows: 1, values, block_max };
            let row = LogitsRow::of(&logits, 0).expect("one row");
            let random = token_random(0, 0, (history.len() - wish.prompt.len()) as u64);
            let params = SamplingParams::default();
            let drawn = sampler.sample(row, &history, &params, random).expect("finite logits");
            history.push(drawn.token);
            if drawn.token == END {
                break;
            }
        }
        history.split_off(wish.prompt.len())
    }
}

impl Scheduler {
    /// Checks that every page is held as often as it is known, and that what a sequence writes nobody else has.
    fn check(&self) {
        let mut tables: BTreeMap<PageId, u32> = BTreeMap::new();
        for sequence in self.sequences.values() {
            for page in &sequence.pages {
                *tables.entry(*page).or_default() += 1;
            }
        }
        for sequence in self.sequences.values() {
            for page in sequence.pages.iter().skip(sequence.computed / self.config.page_tokens) {
                assert_eq!(
                    tables[page], 1,
                    "page {page} is written by one sequence and held by others"
                );
            }
        }
        for id in &self.waiting {
            assert!(self.sequences[id].pages.is_empty(), "a waiting sequence holds pages");
        }
        assert!(self.copied.is_empty(), "pages stay held after the step that copies them");
        assert_eq!(self.kv.used(), tables.len());
        self.kv.check(&tables);
    }
}

fn config() -> SchedulerConfig {
    SchedulerConfig {
        max_sequences: 8,
        max_rows: 64,
        page_tokens: 4,
        max_pages: 64,
        context_tokens: 64,
        vocab_size: VOCAB,
        reuse_prefixes: true,
        speculation: true,
    }
}

fn configs() -> impl Strategy<Value = SchedulerConfig> {
    let page_tokens = prop_oneof![Just(1usize), Just(2), Just(4), Just(16)];
    let max_rows = prop_oneof![Just(1usize), 1usize..40];
    // Few pages make preemptions.
    let more_pages = prop_oneof![3 => 0u32..4, 1 => 0u32..40];
    (page_tokens, 1usize..10, max_rows, more_pages, any::<bool>()).prop_map(
        |(page_tokens, max_sequences, max_rows, more_pages, reuse_prefixes)| {
            SchedulerConfig {
                max_sequences,
                max_rows,
                page_tokens,
                // At least what the longest of the wishes takes.
                max_pages: (39usize.div_ceil(page_tokens)) as u32 + more_pages,
                reuse_prefixes,
                ..config()
            }
        },
    )
}

fn wishes() -> impl Strategy<Value = Vec<Wish>> {
    // Two tokens only, so that prompts often begin alike or are equal.
    let prompt =
        prop_oneof![prop::collection::vec(0u32..2, 1..24), Just(vec![0; 19]), Just(vec![1; 8])];
    let wish = (prompt, 1usize..16, 0usize..30, prop::option::weighted(0.15, 0usize..12));
    let wish = wish.prop_map(|(prompt, max_tokens, arrival, patience)| Wish {
        prompt,
        max_tokens,
        arrival,
        patience,
    });
    prop::collection::vec(wish, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_schedule_gives_the_tokens_of_a_sequence_alone(
        config in configs(),
        wishes in wishes(),
        budgets in prop::collection::vec(0usize..40, 1..6),
        logits in prop_oneof![Just(FakeLogits::History), Just(FakeLogits::Habit)],
        speculation in prop::bool::weighted(0.8),
    ) {
        let mut bench = Bench::with(logits, SchedulerConfig { speculation, ..config });
        let mut live: Vec<(SequenceId, Wish)> = Vec::new();
        let mut step = 0;
        while step < 30 || !bench.scheduler.is_empty() {
            prop_assert!(step < 5000, "it never ends");
            for wish in wishes.iter().filter(|wish| wish.arrival == step) {
                live.push((bench.submit(wish).expect("it fits"), wish.clone()));
            }
            bench.step(budgets[step % budgets.len()]);
            for (id, wish) in &live {
                if wish.patience.is_some_and(|patience| wish.arrival + patience == step) {
                    bench.scheduler.cancel(*id);
                    bench.scheduler.check();
                }
            }
            step += 1;
        }
        prop_assert_eq!(bench.scheduler.stats().used_pages, 0);
        prop_assert_eq!(live.len(), wishes.len());
        for (id, wish) in live {
            let (tokens, ended) = bench.results.remove(&id).expect("submitted");
            let expect = bench.expected(&wish);
            if wish.patience.is_some() && !ended {
                prop_assert_eq!(&tokens[..], &expect[..tokens.len()]);
            } else {
                prop_assert!(ended);
                prop_assert_eq!(tokens, expect);
            }
        }
    }
}

/// A bench in which a sequence repeats itself, and the sequence.
fn repeating(config: SchedulerConfig) -> (Bench, SequenceId, Wish) {
    let mut bench = Bench::with(FakeLogits::Habit, config);
    let wish = wish(&[1], 60);
    let id = bench.submit(&wish).expect("fits");
    (bench, id, wish)
}

#[test]
fn a_text_that_repeats_itself_takes_fewer_steps_and_stays_the_same() {
    let (mut plain, id, wish) = repeating(SchedulerConfig { speculation: false, ..config() });
    plain.finish();
    let (mut bench, same, _) = repeating(config());
    bench.finish();
    let expect = plain.expected(&wish);
    assert!(expect.len() > 30, "it does not end at once");
    assert_eq!((&plain.results[&id].0, &bench.results[&same].0), (&expect, &expect));
    let stats = bench.scheduler.stats();
    assert_eq!(bench.steps as u64, plain.steps as u64 - stats.accepted);
    assert!(2 * bench.steps < plain.steps, "{} of {} steps", bench.steps, plain.steps);
    assert_eq!((plain.scheduler.stats().proposed, stats.reserved_pages), (0, 64));
}

#[test]
fn proposals_take_free_pages_only_and_rows_that_are_left() {
    // The sequence fits exactly, and a step has three rows.
    let tight = SchedulerConfig { max_pages: 15, max_rows: 3, ..config() };
    let (mut bench, id, wish) = repeating(tight);
    bench.finish();
    assert_eq!(bench.results[&id].0, bench.expected(&wish));
    let stats = bench.scheduler.stats();
    assert!(stats.accepted > 0 && stats.preemptions == 0, "{stats:?}");
    assert!(bench.rows <= 3 * bench.steps);
}

#[test]
fn nothing_is_proposed_while_prompts_are_computed_or_many_sequences_run() {
    let (mut bench, ..) = repeating(config());
    while bench.scheduler.stats().accepted == 0 {
        assert!(!bench.scheduler.is_empty(), "{:?}", bench.scheduler.stats());
        bench.step(64);
    }
    let long: Vec<u32> = (10..50).collect();
    bench.submit(&wish(&long, 2)).expect("fits");
    let before = bench.rows;
    bench.step(16);
    assert_eq!(bench.rows - before, 1 + 16);
    for start in 0..4 {
        bench.submit(&wish(&[20 + start; 9], 20)).expect("fits");
    }
    bench.step(64);
    bench.step(64);
    let before = bench.scheduler.stats();
    assert!(before.running > 4);
    bench.step(64);
    assert_eq!(bench.scheduler.stats().proposed, before.proposed);
}

#[test]
fn samples_of_one_record_share_one_prefill() {
    let prompt: Vec<u32> = (10..40).collect();
    let mut bench = Bench::new(config());
    let ids: Vec<SequenceId> =
        (0..6).map(|_| bench.submit(&wish(&prompt, 8)).expect("fits")).collect();
    bench.step(64);
    assert_eq!(bench.rows, 30, "one computes the prompt, the others wait for it");
    bench.step(64);
    assert_eq!(bench.rows, 30 + 1 + 5, "then each computes the last token only");
    let cached: Vec<usize> = ids.iter().map(|&id| bench.scheduler.cached_tokens(id)).collect();
    assert_eq!(cached, [0, 29, 29, 29, 29, 29]);
    // 7 full pages of 4 tokens are common; each sequence has one page of its own.
    assert_eq!(bench.scheduler.stats().used_pages, 7 + 6);
    bench.finish();
    let expect = bench.expected(&wish(&prompt, 8));
    assert!(bench.results.values().all(|(tokens, _)| *tokens == expect));
}

#[test]
fn a_common_beginning_is_copied_even_within_a_page() {
    let mut bench = Bench::new(SchedulerConfig { page_tokens: 16, max_pages: 8, ..config() });
    let first: Vec<u32> = (10..20).collect();
    let second: Vec<u32> = (10..17).chain(30..35).collect();
    bench.submit(&wish(&first, 1)).expect("fits");
    bench.finish();
    let id = bench.submit(&wish(&second, 3)).expect("fits");
    bench.step(64);
    assert_eq!(bench.scheduler.cached_tokens(id), 7);
    bench.finish();
    assert_eq!(bench.results[&id].0, bench.expected(&wish(&second, 3)));
}

#[test]
fn the_newest_sequence_is_preempted_and_goes_on_with_the_same_tokens() {
    let config = SchedulerConfig { max_pages: 16, context_tokens: 48, ..config() };
    let mut bench = Bench::new(config);
    let wishes: Vec<Wish> = (0..3).map(|i| wish(&[20 + i, 8, 9, 11, 12], 40)).collect();
    let ids: Vec<SequenceId> =
        wishes.iter().map(|wish| bench.submit(wish).expect("fits")).collect();
    bench.finish();
    assert!(bench.scheduler.stats().preemptions > 0, "{:?}", bench.scheduler.stats());
    for (id, wish) in ids.iter().zip(&wishes) {
        assert_eq!(bench.results[id].0, bench.expected(wish));
    }
}

#[test]
fn unused_prefixes_are_evicted_the_oldest_first() {
    let mut bench = Bench::new(SchedulerConfig { max_pages: 10, ..config() });
    for start in [10, 20, 30] {
        let prompt: Vec<u32> = (start..start + 9).collect();
        bench.submit(&wish(&prompt, 3)).expect("fits");
        bench.finish();
    }
    assert_eq!(bench.scheduler.stats().cached_pages, 9);
    let again = |bench: &mut Bench, start: u32| {
        let prompt: Vec<u32> = (start..start + 9).collect();
        let id = bench.submit(&wish(&prompt, 3)).expect("fits");
        bench.step(64);
        let cached = bench.scheduler.cached_tokens(id);
        bench.finish();
        cached
    };
    assert_eq!(again(&mut bench, 30), 8, "the newest prefix is there");
    assert_eq!(again(&mut bench, 40), 0);
    assert_eq!(again(&mut bench, 30), 8);
    assert!(again(&mut bench, 10) < 8, "the oldest has made room");
}

#[test]
fn memory_grows_with_what_is_in_use_and_not_with_old_prompts() {
    let mut bench = Bench::new(SchedulerConfig { max_pages: 10_000, ..config() });
    for start in 0..400u32 {
        let prompt: Vec<u32> = (0..20).map(|i| (start * 7 + i * start) % VOCAB as u32).collect();
        bench.submit(&wish(&prompt, 4)).expect("fits");
        bench.finish();
    }
    assert_eq!(bench.scheduler.stats().reserved_pages, 64);
}

#[test]
fn a_model_that_refuses_memory_fails_only_what_cannot_fit() {
    let mut scheduler = Scheduler::new(SchedulerConfig { max_pages: 100, ..config() });
    let id = scheduler.submit(vec![1, 2, 3], 4).expect("fits, it seems");
    let plan = scheduler.plan(64, &mut |_| false);
    let plan = if plan.failed.is_empty() { scheduler.plan(64, &mut |_| false) } else { plan };
    assert!(plan.is_empty());
    let expect = ScheduleError::KvCacheTooSmall { needed: 7, available: 0 };
    assert_eq!(plan.failed, [(id, expect)]);
    assert!(scheduler.is_empty());
}

#[test]
fn large_requests_are_not_passed_by_small_ones() {
    let mut bench = Bench::new(SchedulerConfig { max_pages: 16, ..config() });
    bench.submit(&wish(&[9; 30], 30)).expect("fits");
    bench.step(64);
    let large = bench.submit(&wish(&[8; 40], 20)).expect("fits");
    let small = bench.submit(&wish(&[7; 2], 2)).expect("fits");
    while bench.results[&large].0.is_empty() {
        assert!(bench.results[&small].0.is_empty(), "the small one came first");
        bench.step(64);
    }
}

#[test]
fn a_long_prompt_does_not_stop_the_others() {
    let mut bench = Bench::new(config());
    let short = bench.submit(&wish(&[9, 9], 20)).expect("fits");
    bench.step(8);
    bench.submit(&wish(&[8; 50], 2)).expect("fits");
    for step in 1..6 {
        let before = bench.rows;
        bench.step(8);
        assert_eq!(bench.rows - before, 9, "8 of the prompt and 1 of the running sequence");
        assert!(bench.results[&short].1 || bench.results[&short].0.len() == 1 + step);
    }
}

#[test]
fn requests_that_can_never_run_are_refused() {
    let check = |prompt: Vec<u32>, max_tokens, expect: &str| {
        let mut scheduler = Scheduler::new(SchedulerConfig { max_pages: 8, ..config() });
        let error = scheduler.submit(prompt, max_tokens).expect_err("refused");
        assert_eq!(error.to_string(), expect);
    };
    check(vec![], 1, "the prompt has no tokens; give it at least one");
    let full = "the prompt has 64 tokens; the model's context of 64 leaves room for 63 at most";
    check(vec![1; 64], 1, full);
    check(vec![1, 70], 1, "the prompt has token 70; the model's vocabulary ends before 70");
    let memory = "prompt and completion may reach 34 tokens, the KV cache holds 32: lower maxTokens or give the KV \
                  cache more memory";
    check(vec![1; 30], 4, memory);
    let mut scheduler = Scheduler::new(config());
    let id = scheduler.submit(vec![1; 60], 1000).expect("cut at the context's end");
    assert_eq!(scheduler.room(id), 4);
}

#[test]
fn a_failed_step_forgets_its_sequences_and_publishes_nothing() {
    let mut bench = Bench::new(config());
    bench.submit(&wish(&[9; 10], 5)).expect("fits");
    bench.step(64);
    for wish in [wish(&[9; 12], 5), wish(&[4; 12], 5)] {
        bench.submit(&wish).expect("fits");
    }
    let model = &mut bench.model;
    let plan = bench.scheduler.plan(64, &mut |pages| model.reserve(pages).is_ok());
    assert_eq!(plan.sequences().count(), 3);
    bench.scheduler.abort(&plan);
    bench.scheduler.check();
    assert!(bench.scheduler.is_empty());
    let id = bench.submit(&wish(&[4; 12], 5)).expect("fits");
    bench.step(64);
    assert_eq!(bench.scheduler.cached_tokens(id), 0, "the failed step's tokens were never stored");
}
