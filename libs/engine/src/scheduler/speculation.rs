//! Speculation by prompt lookup: what followed the last tokens of a sequence when they occurred before is proposed, and
//! the step computes it behind the last token. (Saxena, "Prompt Lookup Decoding", 2023; the check is that of Leviathan et
//! al., <https://arxiv.org/abs/2211.17192>, for a proposal without probabilities.)
//!
//! Nothing is lost by it: each token is drawn from its own logits with its own random number, as without, and a proposal
//! only decides whether the next logits are there already. So all here is about time: how many tokens to propose, for
//! how many sequences, and when to let it be.

use super::kv::KvCache;
use super::plan::Plan;
use super::sequence::Sequence;
use super::{Scheduler, SequenceId};
use crate::model::Outputs;

/// Most sequences of a step with proposals. With four, a row was measured to cost two thirds of a token, and what was won
/// was lost again by the proposals that were wrong (`examples/engine_speed.rs`).
const MOST_SEQUENCES: usize = 2;
/// Most tokens proposed for a sequence. Together with the last one they are a multiple of the rows of a tile, like all
/// the lengths that [`Proposer`] comes by.
const LONGEST: usize = 15;
/// How many of the last tokens are looked for, the best first.
const LENGTHS: [usize; 2] = [3, 2];

/// What a proposed row is taken to cost before there is a measurement, in tokens that could have been had without it.
const ROW_COST: f64 = 0.5;
/// Weight of the newest step.
const NEWEST: f64 = 0.25;

/// Tokens lost by proposals after which a sequence rests.
const DEBT: f64 = 1.0;
/// Most tokens won that can be lost again before.
const CREDIT: f64 = 2.0;
/// Tokens of the first rest; each one that follows without a gain in between is twice as long.
const REST: usize = 32;
const LONGEST_REST: usize = 1024;

/// How proposals have fared in a sequence.
#[derive(Debug)]
pub(super) struct Proposer {
    /// Tokens to propose.
    length: usize,
    /// Tokens won by proposals, less those that could have been had in the same time; within limits.
    balance: f64,
    /// Length of the sequence from which on there are proposals again.
    rests_until: usize,
    rest: usize,
}

impl Proposer {
    pub(super) fn new() -> Proposer {
        Proposer { length: 1, balance: 0.0, rests_until: 0, rest: REST }
    }

    /// Most tokens to propose after so many.
    fn wanted(&self, tokens: usize) -> usize {
        if tokens < self.rests_until { 0 } else { self.length }
    }

    /// Takes note of a proposal: how much of it was right, and what it cost, in tokens. `tokens` are there now.
    fn settle(&mut self, proposed: usize, accepted: usize, cost: f64, tokens: usize) {
        self.balance = (self.balance + accepted as f64 - cost).min(CREDIT);
        if self.balance < -DEBT {
            *self = Proposer {
                rests_until: tokens + self.rest,
                rest: (2 * self.rest).min(LONGEST_REST),
                ..Proposer::new()
            };
        } else if accepted == proposed && proposed == self.length {
            self.length = (2 * self.length + 1).min(LONGEST);
        } else if 2 * accepted < proposed {
            self.length = (self.length / 2).max(1);
        }
        if self.balance > DEBT {
            self.rest = REST;
        }
    }
}

/// At most so many tokens that followed the latest earlier occurrence of the last ones.
fn lookup(tokens: &[u32], most: usize) -> &[u32] {
    let followed = |length: usize| {
        let (before, last) = tokens.split_at_checked(tokens.len().checked_sub(length)?)?;
        // It may overlap the last ones: a text that repeats one token is found, too.
        let mut starts = (0..before.len()).rev();
        let start = starts.find(|&start| tokens[start..][..length] == *last)?;
        let rest = &tokens[start + length..];
        Some(&rest[..rest.len().min(most)])
    };
    LENGTHS.into_iter().find_map(followed).unwrap_or_default()
}

/// Seconds that a step takes which draws from each of its rows, by their number.
#[derive(Debug)]
pub(super) struct StepTimes([Option<f64>; MOST_SEQUENCES * (1 + LONGEST) + 1]);

impl StepTimes {
    pub(super) fn new() -> StepTimes {
        StepTimes([None; _])
    }

    fn record(&mut self, rows: usize, seconds: f64) {
        if let Some(time) = self.0.get_mut(rows) {
            let before = time.unwrap_or(seconds);
            // A step that was disturbed says little.
            *time = Some(before + NEWEST * (seconds.min(2.0 * before) - before));
        }
    }

    /// What each row beyond one a sequence costs, in tokens that could have been had without it. One at most: as many
    /// steps of one row would do the same, so what was measured beyond that is chance.
    fn row_cost(&self, sequences: usize, rows: usize) -> f64 {
        let time = |rows: usize| self.0.get(rows).copied().flatten().filter(|&time| time > 0.0);
        let (Some(without), Some(with)) = (time(sequences), time(rows)) else { return ROW_COST };
        let steps = (with / without - 1.0).max(0.0);
        let tokens = steps * sequences as f64 / rows.saturating_sub(sequences).max(1) as f64;
        tokens.min(1.0)
    }
}

impl Sequence {
    /// Tokens to compute behind the last one, with pages for them: they must be free, nothing makes room for a proposal.
    fn propose(&mut self, most: usize, kv: &mut KvCache) -> Vec<u32> {
        let room = self.max_tokens.saturating_sub(self.tokens.len() + 1);
        let wanted = self.proposer.wanted(self.tokens.len()).min(most).min(room);
        let mut proposal = match wanted {
            0 => Vec::new(),
            _ => lookup(&self.tokens, wanted).to_vec(),
        };
        while self.pages.len() < kv.pages_for(self.tokens.len() + proposal.len()) {
            match kv.take_free() {
                Some(page) => self.pages.push(page),
                None => {
                    let fitting = self.pages.len() * kv.page_tokens();
                    proposal.truncate(fitting.saturating_sub(self.tokens.len()));
                }
            }
        }
        proposal
    }

    /// Lets the pages go that only refused tokens needed.
    pub(super) fn drop_proposal(&mut self, kv: &mut KvCache) {
        for page in self.pages.drain(kv.pages_for(self.computed).min(self.pages.len())..).rev() {
            kv.release(page);
        }
    }
}

impl Scheduler {
    /// Adds proposals to a plan that draws one token for each of a few sequences and does nothing else.
    pub(super) fn speculate(&mut self, plan: &mut Plan) {
        let sequences = plan.spans.len();
        if !self.config.speculation || sequences > MOST_SEQUENCES || !plan.only_draws() {
            return;
        }
        let ids: Vec<SequenceId> = plan.sequences().collect();
        plan.clear_spans();
        let mut left = self.config.max_rows - sequences;
        for id in ids {
            let Some(sequence) = self.sequences.get_mut(&id) else { continue };
            let proposal = sequence.propose(left, &mut self.kv);
            left -= proposal.len();
            self.proposed += proposal.len() as u64;
            let outputs = if proposal.is_empty() { Outputs::Last } else { Outputs::All };
            let tokens = [&sequence.tokens[sequence.computed..], &proposal].concat();
            plan.add(id, &tokens, sequence.computed, &sequence.pages, outputs);
        }
    }

    /// Takes note of how long the model took for a plan: what proposals cost follows from it.
    pub fn note_time(&mut self, plan: &Plan, seconds: f64) {
        if plan.only_draws() {
            self.times.record(plan.tokens.len(), seconds);
        }
    }

    /// Ends a sequence's part in a step: some of its proposal was right, and what is left was not.
    pub(super) fn settle(&mut self, plan: &Plan, index: usize) {
        let span = &plan.spans[index];
        let (proposed, accepted) = (span.rows - 1, span.taken - 1);
        let Some(sequence) = self.sequences.get_mut(&span.sequence) else { return };
        let cost = self.times.row_cost(plan.spans.len(), plan.tokens.len()) * proposed as f64;
        sequence.proposer.settle(proposed, accepted, cost, sequence.tokens.len());
        sequence.drop_proposal(&mut self.kv);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_the_latest_occurrence_of_the_last_tokens_is_proposed() {
        let check = |tokens: &[u32], most, expect: &[u32]| {
            assert_eq!(lookup(tokens, most), expect, "{tokens:?}");
        };
        check(&[1, 2, 3, 4, 9, 1, 2, 3], 3, &[4, 9, 1]);
        check(&[1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3], 1, &[5]);
        check(&[1, 2, 3, 4, 8, 2, 3, 5, 1, 2, 3], 2, &[4, 8]); // three tokens before two
        check(&[7, 2, 3, 4, 8, 2, 3], 9, &[4, 8, 2, 3]);
        check(&[6, 6, 6, 6], 4, &[6]);
        check(&[6, 6], 4, &[]);
        check(&[1, 2, 3], 4, &[]);
        check(&[5], 4, &[]);
    }

    #[test]
    fn proposals_that_are_right_grow_and_those_that_do_not_pay_rest_ever_longer() {
        let mut proposer = Proposer::new();
        let mut lengths = Vec::new();
        for _ in 0..5 {
            let length = proposer.wanted(10);
            lengths.push(length);
            proposer.settle(length, length, 0.3 * length as f64, 10);
        }
        assert_eq!(lengths, [1, 3, 7, 15, 15]);
        let mut rests = Vec::new();
        let mut tokens = 10;
        while rests.len() < 7 {
            let length = proposer.wanted(tokens);
            match length {
                0 => {
                    rests.push(proposer.rests_until - tokens);
                    tokens = proposer.rests_until;
                }
                _ => proposer.settle(length, 0, 0.3 * length as f64, tokens),
            }
        }
        assert_eq!(rests, [32, 64, 128, 256, 512, 1024, 1024]);
    }

    #[test]
    fn half_of_the_tokens_right_pays_or_not_as_the_rows_cost() {
        let rests = |cost: f64| {
            let mut proposer = Proposer::new();
            for round in 0..100 {
                proposer.settle(1, round % 2, cost, 0);
            }
            proposer.rests_until > 0
        };
        assert!(!rests(0.4));
        assert!(rests(0.6));
    }

    #[test]
    fn the_cost_of_a_row_follows_from_the_times_of_steps() {
        let mut times = StepTimes::new();
        assert_eq!(times.row_cost(1, 4), ROW_COST);
        times.record(1, 0.010);
        times.record(4, 0.016);
        assert!((times.row_cost(1, 4) - 0.2).abs() < 1e-9);
        times.record(2, 0.012);
        // Two rows more for a third of the time of a step, which is two tokens.
        assert!((times.row_cost(2, 4) - 1.0 / 3.0).abs() < 1e-9);
        times.record(1, 10.0);
        assert!(times.row_cost(1, 4) > 0.09, "one disturbed step changes little");
        times.record(3, 1.0);
        assert!((times.row_cost(1, 3) - 1.0).abs() < 1e-9);
        times.record(100_000, 1.0);
        assert_eq!(times.row_cost(1, 100_000), ROW_COST);
    }
}
