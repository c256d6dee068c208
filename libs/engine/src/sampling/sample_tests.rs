//! The draw against a slow transcription of the written order, and its special cases.

use proptest::prelude::*;

use super::*;
use crate::model::Logits;

fn logits(values: &[f32]) -> Logits {
    let block_max = values.chunks(LOGITS_BLOCK).map(block_maximum).collect();
    Logits { rows: 1, values: values.to_vec(), block_max }
}

fn sample(
    values: &[f32],
    history: &[u32],
    params: &SamplingParams,
    random: f64,
) -> Result<Sampled, SamplingError> {
    let logits = logits(values);
    Sampler::default().sample(LogitsRow::of(&logits, 0).expect("one row"), history, params, random)
}

fn token(values: &[f32], history: &[u32], params: &SamplingParams, random: f64) -> u32 {
    sample(values, history, params, random).expect("finite logits").token
}

/// The module's text, word by word, with a full sort.
fn written_order(values: &[f32], history: &[u32], params: &SamplingParams, random: f64) -> u32 {
    let mut logits = values.to_vec();
    for &(token, bias) in &params.logit_bias {
        logits[token as usize] += bias;
    }
    let mut seen: Vec<u32> = history.to_vec();
    seen.sort_unstable();
    seen.dedup();
    if params.repetition_penalty != 1.0 {
        let penalty = params.repetition_penalty as f32;
        for token in seen {
            let logit = &mut logits[token as usize];
            *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
        }
    }
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by(|a, b| {
        logits[*b as usize].partial_cmp(&logits[*a as usize]).expect("no NaN").then(a.cmp(b))
    });
    if params.temperature == 0.0 {
        return order[0];
    }
    let maximum = logits[order[0] as usize];
    let weight = |id: u32| weight(logits[id as usize], maximum, params.temperature);
    let sum = |ids: &[u32]| ids.iter().fold(0.0, |sum, &id| sum + weight(id));
    let mut total = sum(&(0..logits.len() as u32).collect::<Vec<u32>>());
    if params.top_k > 0 && (params.top_k as usize) < order.len() {
        order.truncate(params.top_k as usize);
        total = sum(&order);
    }
    let before = order.len();
    if params.top_p < 1.0 {
        let shortest =
            (1..=order.len()).find(|&count| sum(&order[..count]) >= params.top_p * total);
        order.truncate(shortest.unwrap_or(order.len()));
    }
    order.retain(|&id| weight(id) >= params.min_p);
    let cut = before < logits.len() || params.top_p < 1.0 || params.min_p > 0.0;
    let total = if cut { sum(&order) } else { total };
    let found = (1..=order.len()).find(|&count| sum(&order[..count]) > random * total);
    let last = order.iter().rposition(|&id| weight(id) > 0.0).expect("the first weighs 1");
    order[found.map_or(last, |count| count - 1)]
}

fn params() -> impl Strategy<Value = SamplingParams> {
    let temperature = prop_oneof![Just(0.0), Just(1.0), 0.01f64..2.0];
    let top_p = prop_oneof![Just(1.0), 0.05f64..1.0];
    let top_k = prop_oneof![Just(0u32), 1u32..300];
    let min_p = prop_oneof![Just(0.0), 0.0f64..1.0];
    let penalty = prop_oneof![Just(1.0), 0.5f64..2.0];
    let bias = prop::collection::vec((0u32..300, -9.0f32..9.0), 0..3);
    (temperature, top_p, top_k, min_p, penalty, bias).prop_map(
        |(temperature, top_p, top_k, min_p, repetition_penalty, logit_bias)| SamplingParams {
            temperature,
            top_p,
            top_k,
            min_p,
            repetition_penalty,
            logit_bias,
            ..SamplingParams::default()
        },
    )
}

proptest! {
    #[test]
    fn every_draw_is_that_of_the_written_order(
        values in prop::collection::vec(prop_oneof![-12.0f32..12.0, (-6i8..6).prop_map(f32::from)], 300..700),
        history in prop::collection::vec(0u32..300, 0..40),
        params in params(),
        random in prop_oneof![Just(0.0), Just(1.0 - f64::EPSILON / 2.0), 0.0f64..1.0],
    ) {
        let expect = written_order(&values, &history, &params, random);
        prop_assert_eq!(token(&values, &history, &params, random), expect);
    }
}

/// Hugging Face transformers 5.24 on logits [2, 1, −1, 0.5], prompt [0, 2, 2], penalty 1.5:
/// `RepetitionPenaltyLogitsProcessor(1.5)(ids, scores)` gives [1.3333, 1, −1.5, 0.5].
#[test]
fn the_penalty_is_that_of_hugging_face() {
    let penalised = |values: &[f32]| {
        let mut sampler = Sampler::default();
        let logits = logits(values);
        let params = SamplingParams { repetition_penalty: 1.5, ..SamplingParams::default() };
        sampler.change(LogitsRow::of(&logits, 0).expect("one row"), &[0, 2, 2], &params);
        assert!(sampler.seen.iter().all(|seen| !seen), "marks must not stay for the next row");
        sampler.values
    };
    assert_eq!(penalised(&[2.0, 1.0, -1.0, 0.5]), [2.0 / 1.5, 1.0, -1.5, 0.5]);
}

#[test]
fn temperature_zero_takes_the_first_of_equal_maxima() {
    let greedy = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    let mut values = vec![-1.0; 200];
    (values[70], values[150]) = (3.0, 3.0);
    assert_eq!(token(&values, &[], &greedy, 0.99), 70);
    values[3] = 3.0;
    assert_eq!(token(&values, &[], &greedy, 0.0), 3);
    assert_eq!(token(&[-0.0, 0.0], &[], &greedy, 0.0), 0);
}

#[test]
fn draws_are_as_frequent_as_their_probabilities() {
    // Probabilities 1/2, 1/4, 1/8, 1/8.
    let values = [4f32, 2.0, 1.0, 1.0].map(f32::ln);
    let mut counts = [0u32; 4];
    for position in 0..8000 {
        let random = crate::sampling::token_random(1, 0, position);
        counts[token(&values, &[], &SamplingParams::default(), random) as usize] += 1;
    }
    for (count, expect) in counts.iter().zip([4000u32, 2000, 1000, 1000]) {
        assert!(count.abs_diff(expect) < 180, "{counts:?}"); // 4 σ
    }
}

#[test]
fn logits_without_a_finite_maximum_fail() {
    let check = |values: &[f32], expect| {
        for temperature in [0.0, 1.0] {
            let params = SamplingParams { temperature, ..SamplingParams::default() };
            assert_eq!(sample(values, &[], &params, 0.5), Err(expect));
        }
    };
    let mut values = vec![0.0; 130];
    values[129] = f32::NAN;
    check(&values, SamplingError::NaN);
    values[129] = f32::INFINITY;
    check(&values, SamplingError::NotFinite);
    check(&[f32::NEG_INFINITY; 3], SamplingError::NotFinite);
    let short = LogitsRow { values: &values, block_max: &values[..1] };
    let found = Sampler::default().sample(short, &[], &SamplingParams::default(), 0.5);
    assert_eq!(found, Err(SamplingError::Incomplete));
}

#[test]
fn a_token_of_probability_zero_is_never_drawn() {
    let values = [f32::NEG_INFINITY, 0.0, -5000.0];
    for random in [0.0, 0.5, 1.0 - f64::EPSILON / 2.0] {
        assert_eq!(token(&values, &[], &SamplingParams::default(), random), 1);
    }
}

/// `torch.log_softmax(torch.tensor([1., 3., 2., 3.], dtype=torch.float64), 0)` is
/// [−2.9175757955891974, −0.9175757955891977, −1.9175757955891977, −0.9175757955891977] (torch 2).
#[test]
fn logprobs_are_those_of_the_raw_logits() {
    let params = SamplingParams {
        temperature: 0.0,
        repetition_penalty: 2.0,
        logit_bias: vec![(2, 50.0)],
        logprobs: Some(3),
        ..SamplingParams::default()
    };
    let sampled = sample(&[1.0, 3.0, 2.0, 3.0], &[1], &params, 0.0).expect("finite");
    let logprob = sampled.logprob.expect("asked for");
    assert_eq!((sampled.token, logprob.token), (2, 2));
    assert!((logprob.logprob + 1.917_575_795_589_197_7).abs() < 1e-12, "{logprob:?}");
    let ids: Vec<u32> = logprob.top.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [1, 3, 2]);
    assert!((logprob.top[0].1 + 0.917_575_795_589_197_7).abs() < 1e-12, "{logprob:?}");
}
