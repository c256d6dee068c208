//! The scheduler: which tokens of which sequences the next step computes, and where their keys and values go.
//!
//! A synchronous struct without threads, clocks or tensors. Its user repeats: [`Scheduler::plan`], run the model,
//! draw tokens, [`Scheduler::apply`].
//!
//! - Continuous batching: every running sequence decodes one token a step; what a step has left is filled with chunks
//!   of prompts, the oldest first, and with waiting sequences in the order of their arrival.
//! - Prefixes are shared. Full pages are found by their tokens in a tree; the beginning of a page is copied. A sequence
//!   whose prompt another one is just computing waits for it, so that the samples of a record cost one prefill. The
//!   last token is always computed, for its logits.
//! - Pages run out: pages that only the tree holds are taken back, the longest unused first; then the newest sequence
//!   is preempted. It keeps its tokens, and their keys and values are computed again later.
//!
//! - A few sequences alone leave the processor waiting for the weights: then tokens are proposed and computed behind the
//!   last one, see `speculation`.
//!
//! None of this changes a result if the model's rows do not depend on each other.

mod admission;
mod error;
mod kv;
mod pages;
mod plan;
mod prefix;
mod sequence;
mod speculation;

use std::collections::{BTreeMap, BTreeSet};

pub use self::error::ScheduleError;
pub use self::pages::Reserve;
pub use self::plan::Plan;
pub use self::sequence::SequenceId;

use self::kv::KvCache;
use self::sequence::Sequence;
use self::speculation::StepTimes;
use crate::model::{ModelInfo, Outputs, PageId};

/// Sizes that the scheduler works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// Most sequences that run at a time.
    pub max_sequences: usize,
    /// Most tokens of a step.
    pub max_rows: usize,
    /// Tokens of a KV page.
    pub page_tokens: usize,
    /// Most KV pages.
    pub max_pages: u32,
    /// Longest sequence.
    pub context_tokens: usize,
    /// Tokens of the vocabulary.
    pub vocab_size: usize,
    /// Whether sequences share the pages of equal prefixes.
    pub reuse_prefixes: bool,
    /// Whether tokens may be proposed. Only for a model whose rows do not depend on each other.
    pub speculation: bool,
}

impl SchedulerConfig {
    /// For a model, with at most that many sequences and KV pages.
    pub fn new(model: &ModelInfo, max_sequences: usize, max_pages: u32) -> SchedulerConfig {
        SchedulerConfig {
            max_sequences,
            max_rows: model.max_rows,
            page_tokens: model.page_tokens,
            max_pages,
            context_tokens: model.context_tokens,
            vocab_size: model.vocab_size,
            reuse_prefixes: true,
            speculation: model.batch_invariant,
        }
    }
}

/// What follows in a sequence of [`Plan::outputs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It goes on with this token.
    Token(u32),
    /// It has ended.
    End,
}

/// Figures of the moment, and counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SchedulerStats {
    /// Sequences that run.
    pub running: usize,
    /// Sequences that wait, preempted ones among them.
    pub waiting: usize,
    /// KV pages that sequences hold.
    pub used_pages: usize,
    /// KV pages kept for prompts to come.
    pub cached_pages: usize,
    /// KV pages that the model has reserved.
    pub reserved_pages: usize,
    /// KV pages that it may come to.
    pub max_pages: usize,
    /// Times that a sequence was preempted.
    pub preemptions: u64,
    /// Tokens that were proposed.
    pub proposed: u64,
    /// Those of them that were drawn.
    pub accepted: u64,
}

/// All sequences, and the pages of their keys and values.
#[derive(Debug)]
pub struct Scheduler {
    config: SchedulerConfig,
    sequences: BTreeMap<SequenceId, Sequence>,
    running: BTreeSet<SequenceId>,
    waiting: BTreeSet<SequenceId>,
    kv: KvCache,
    /// Pages that the current plan copies from.
    copied: Vec<PageId>,
    next_id: u64,
    preemptions: u64,
    times: StepTimes,
    proposed: u64,
    accepted: u64,
}

impl Scheduler {
    /// An empty scheduler. Sizes of 0 count as 1; no more sequences run than a step has rows, so that each of them
    /// gets on in every step.
    pub fn new(config: SchedulerConfig) -> Scheduler {
        let max_rows = config.max_rows.max(1);
        let config = SchedulerConfig {
            max_rows,
            max_sequences: config.max_sequences.clamp(1, max_rows),
            page_tokens: config.page_tokens.max(1),
            ..config
        };
        let kv = KvCache::new(config.page_tokens, config.max_pages, config.reuse_prefixes);
        Scheduler {
            config,
            sequences: BTreeMap::new(),
            running: BTreeSet::new(),
            waiting: BTreeSet::new(),
            kv,
            copied: Vec::new(),
            next_id: 0,
            preemptions: 0,
            times: StepTimes::new(),
            proposed: 0,
            accepted: 0,
        }
    }

    /// Adds a sequence that waits for its turn. It may get `max_tokens` tokens, or as many as the context allows.
    ///
    /// # Errors
    /// The prompt is empty, has unknown tokens, leaves no room in the context, or can never fit the KV cache.
    pub fn submit(
        &mut self,
        prompt: Vec<u32>,
        max_tokens: usize,
    ) -> Result<SequenceId, ScheduleError> {
        let SchedulerConfig { context_tokens, vocab_size, .. } = self.config;
        if prompt.is_empty() {
            return Err(ScheduleError::EmptyPrompt);
        }
        if prompt.len() >= context_tokens {
            return Err(ScheduleError::PromptTooLong {
                found: prompt.len(),
                context: context_tokens,
            });
        }
        if let Some(&token) = prompt.iter().find(|&&token| token as usize >= vocab_size) {
            return Err(ScheduleError::UnknownToken { token, vocab_size });
        }
        let max_tokens = prompt.len().saturating_add(max_tokens.max(1)).min(context_tokens);
        self.check_fits(max_tokens)?;
        let id = SequenceId(self.next_id);
        self.next_id += 1;
        self.sequences.insert(id, Sequence::new(prompt, max_tokens));
        self.waiting.insert(id);
        Ok(id)
    }

    /// The last token of a sequence is never stored.
    fn check_fits(&self, max_tokens: usize) -> Result<(), ScheduleError> {
        if self.kv.pages_for(max_tokens - 1) <= self.kv.limit() {
            return Ok(());
        }
        let available = self.kv.limit().saturating_mul(self.config.page_tokens);
        Err(ScheduleError::KvCacheTooSmall { needed: max_tokens, available })
    }

    /// Forgets a sequence, whatever its state, and lets its pages go. Not to be called while the model computes.
    pub fn cancel(&mut self, id: SequenceId) {
        self.running.remove(&id);
        self.waiting.remove(&id);
        if let Some(mut sequence) = self.sequences.remove(&id) {
            sequence.publish_tail(&mut self.kv);
            sequence.release(&mut self.kv);
        }
    }

    /// Prompt and completion of a sequence so far.
    pub fn tokens(&self, id: SequenceId) -> Option<&[u32]> {
        self.sequences.get(&id).map(|sequence| sequence.tokens.as_slice())
    }

    /// How many tokens a sequence may still get.
    pub fn room(&self, id: SequenceId) -> usize {
        self.sequences
            .get(&id)
            .map_or(0, |sequence| sequence.max_tokens.saturating_sub(sequence.tokens.len()))
    }

    /// How many tokens of a sequence's prompt were found computed when it first ran.
    pub fn cached_tokens(&self, id: SequenceId) -> usize {
        self.sequences.get(&id).and_then(|sequence| sequence.cached_tokens).unwrap_or(0)
    }

    /// Whether no sequence is left.
    pub fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Figures of the moment.
    pub fn stats(&self) -> SchedulerStats {
        SchedulerStats {
            running: self.running.len(),
            waiting: self.waiting.len(),
            used_pages: self.kv.used(),
            cached_pages: self.kv.unused(),
            reserved_pages: self.kv.usable(),
            max_pages: self.kv.limit(),
            preemptions: self.preemptions,
            proposed: self.proposed,
            accepted: self.accepted,
        }
    }

    /// The next step: at most `prefill_tokens` tokens (but at least one) of prompts, and of every sequence whose prompt is
    /// done one token and perhaps what is proposed to follow. `reserve` is asked when more pages are needed than the model has. The plan is empty only
    /// if no sequence is left (but for those in [`Plan::failed`]).
    pub fn plan(&mut self, prefill_tokens: usize, reserve: &mut Reserve<'_>) -> Plan {
        self.release_copied();
        let mut plan = Plan::default();
        self.secure_pages(&mut plan, reserve);
        let decoding = |sequence: &Sequence| sequence.remaining() == 1;
        for (&id, sequence) in self.sequences.iter().filter(|(id, _)| self.running.contains(id)) {
            if decoding(sequence) {
                add_rows(&mut plan, id, sequence, 1);
            }
        }
        let mut budget = prefill_tokens.max(1).min(self.config.max_rows - plan.tokens.len());
        for (&id, sequence) in self.sequences.iter().filter(|(id, _)| self.running.contains(id)) {
            let rows = sequence.remaining().min(budget);
            if !decoding(sequence) && rows > 0 {
                add_rows(&mut plan, id, sequence, rows);
                budget -= rows;
            }
        }
        self.admit(&mut plan, budget, reserve);
        self.speculate(&mut plan);
        plan
    }

    /// Gives every running sequence the pages for its tokens, the oldest first; preempts the newest if there are none.
    fn secure_pages(&mut self, plan: &mut Plan, reserve: &mut Reserve<'_>) {
        let mut secured = None;
        while let Some(id) = self.next_running(secured) {
            match self.secure(id, reserve) {
                true => secured = Some(id),
                false => self.preempt_newest(plan),
            }
        }
    }

    fn next_running(&self, after: Option<SequenceId>) -> Option<SequenceId> {
        let all = |id: &&SequenceId| after.is_none_or(|after| **id > after);
        self.running.iter().find(all).copied()
    }

    fn secure(&mut self, id: SequenceId, reserve: &mut Reserve<'_>) -> bool {
        let Some(sequence) = self.sequences.get_mut(&id) else { return true };
        while sequence.pages.len() < self.kv.pages_for(sequence.tokens.len()) {
            match self.kv.allocate(reserve) {
                Some(page) => sequence.pages.push(page),
                None => return false,
            }
        }
        true
    }

    fn preempt_newest(&mut self, plan: &mut Plan) {
        let Some(id) = self.running.pop_last() else { return };
        if self.running.is_empty() {
            // Alone and still without a page: the model could not reserve what it was allowed.
            self.fail(id, plan);
        } else if let Some(sequence) = self.sequences.get_mut(&id) {
            sequence.publish_tail(&mut self.kv);
            sequence.release(&mut self.kv);
            self.waiting.insert(id);
            self.preemptions += 1;
        }
    }

    /// Gives up a sequence that the KV cache cannot hold, though it could when it came: the model refused memory.
    fn fail(&mut self, id: SequenceId, plan: &mut Plan) {
        let needed = self.sequences.get(&id).map_or(0, |sequence| sequence.max_tokens);
        let available = self.kv.limit().saturating_mul(self.config.page_tokens);
        self.cancel(id);
        plan.failed.push((id, ScheduleError::KvCacheTooSmall { needed, available }));
    }

    /// Takes the results of a step: the model has stored the plan's tokens, and `next` says how the sequences of
    /// [`Plan::outputs`] go on, in that order; missing ones end. While the plan has outputs after it, the step has more
    /// to draw, and this is to be called again.
    pub fn apply(&mut self, plan: &mut Plan, next: &[Next]) {
        self.release_copied();
        let mut next = next.iter();
        for index in 0..plan.spans.len() {
            let span = &mut plan.spans[index];
            let drawn = span.draws.then(|| next.next().copied().unwrap_or(Next::End));
            let Some(rows) = span.take_rows() else { continue };
            let (id, speculates) = (span.sequence, span.outputs == Outputs::All);
            self.advance(id, rows, drawn);
            let proposal = plan.proposal(index).filter(|_| self.sequences.contains_key(&id));
            if proposal.is_some() && proposal.map(Next::Token) == drawn {
                plan.spans[index].draws = true;
                self.accepted += 1;
            } else if speculates {
                self.settle(plan, index);
            }
        }
    }

    /// Notes that a sequence's next rows are stored, and how it goes on after them.
    fn advance(&mut self, id: SequenceId, rows: usize, drawn: Option<Next>) {
        let Some(sequence) = self.sequences.get_mut(&id) else { return };
        sequence.advance(rows, &mut self.kv);
        match drawn {
            Some(Next::Token(token)) if sequence.tokens.len() < sequence.max_tokens => {
                sequence.tokens.push(token);
            }
            Some(_) => self.cancel(id),
            None => {}
        }
    }

    /// Forgets the sequences of a plan whose step failed; what is in their pages is not known.
    pub fn abort(&mut self, plan: &Plan) {
        self.release_copied();
        for id in plan.sequences() {
            self.running.remove(&id);
            if let Some(mut sequence) = self.sequences.remove(&id) {
                sequence.release(&mut self.kv);
            }
        }
    }

    fn release_copied(&mut self) {
        for page in self.copied.drain(..) {
            self.kv.release(page);
        }
    }
}

/// Adds the next rows of a sequence to a plan.
fn add_rows(plan: &mut Plan, id: SequenceId, sequence: &Sequence, rows: usize) {
    let tokens = &sequence.tokens[sequence.computed..][..rows];
    let outputs = if rows == sequence.remaining() { Outputs::Last } else { Outputs::None };
    plan.add(id, tokens, sequence.computed, &sequence.pages, outputs);
}

#[cfg(test)]
mod tests;
