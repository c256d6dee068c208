//! Which waiting sequences start, and on which pages.

use super::kv::Prefix;
use super::pages::Reserve;
use super::plan::Plan;
use super::prefix::common_prefix;
use super::sequence::Sequence;
use super::{Scheduler, SequenceId, add_rows};
use crate::model::PageCopy;

impl Scheduler {
    /// Starts waiting sequences, in the order of their arrival, as long as there are rows and pages for them. A
    /// sequence that waits for another one's prompt keeps its place, and others may pass it; one that waits for pages
    /// holds up all behind it, lest large requests starve.
    pub(super) fn admit(&mut self, plan: &mut Plan, mut budget: usize, reserve: &mut Reserve<'_>) {
        let mut examined = None;
        // A long queue of one prompt need not be looked through in every step.
        for _ in 0..2 * self.config.max_sequences {
            if budget == 0 || self.running.len() >= self.config.max_sequences {
                return;
            }
            let Some(id) = self.next_waiting(examined) else { return };
            examined = Some(id);
            let Some(mut sequence) = self.sequences.remove(&id) else { continue };
            let needed_pages = self.kv.pages_for(sequence.tokens.len());
            let prefix = self.kv.lookup(sequence.reusable());
            let awaited = self.awaits_prefill(&sequence, &prefix);
            let started = !awaited && self.start(&mut sequence, prefix, plan, reserve);
            if started {
                let rows = sequence.remaining().min(budget);
                add_rows(plan, id, &sequence, rows);
                budget -= rows;
            }
            self.sequences.insert(id, sequence);
            if started {
                self.waiting.remove(&id);
                self.running.insert(id);
            } else if !awaited {
                if self.kv.limit() < needed_pages {
                    self.fail(id, plan);
                    continue;
                }
                return;
            }
        }
    }

    fn next_waiting(&self, after: Option<SequenceId>) -> Option<SequenceId> {
        let from = after.map_or(SequenceId(0), |SequenceId(after)| SequenceId(after + 1));
        self.waiting.range(from..).next().copied()
    }

    /// Whether a running sequence is computing tokens that this one could copy once they are done: a page's worth at
    /// least, or all that are missing.
    fn awaits_prefill(&self, sequence: &Sequence, prefix: &Prefix) -> bool {
        if !self.kv.reuse() {
            return false;
        }
        let reusable = sequence.reusable();
        let known = self.tokens_of(prefix);
        let running = self.running.iter().filter_map(|id| self.sequences.get(id));
        running.filter(|other| other.remaining() > 1).any(|other| {
            let shared = common_prefix(reusable, &other.tokens);
            shared >= known + self.config.page_tokens
                || (shared > known && shared == reusable.len())
        })
    }

    fn tokens_of(&self, prefix: &Prefix) -> usize {
        let partial = prefix.partial.map_or(0, |(_, tokens)| tokens);
        prefix.pages.len() * self.config.page_tokens + partial
    }

    /// Gives a sequence the pages of its prefix and new ones for the rest of its tokens. Without enough of them, and
    /// some in reserve for what it and the others will generate, it holds none and returns false.
    fn start(
        &mut self,
        sequence: &mut Sequence,
        prefix: Prefix,
        plan: &mut Plan,
        reserve: &mut Reserve<'_>,
    ) -> bool {
        for &page in &prefix.pages {
            self.kv.hold(page);
        }
        let shared_tokens = prefix.pages.len() * self.config.page_tokens;
        sequence.start(prefix.pages, prefix.node, shared_tokens);
        let missing = self.kv.pages_for(sequence.tokens.len()) - sequence.pages.len();
        if self.kv.available() < missing + self.expected_growth(sequence) {
            sequence.release(&mut self.kv);
            return false;
        }
        // The page to copy from must not be taken for this very sequence, unless there is no other.
        let partial = prefix.partial.filter(|_| self.kv.available() > missing);
        if let Some((page, _)) = partial {
            self.kv.hold(page);
            self.copied.push(page);
        }
        for _ in 0..missing {
            let Some(page) = self.kv.allocate(reserve) else {
                sequence.release(&mut self.kv);
                return false;
            };
            sequence.pages.push(page);
        }
        if let Some((from, tokens)) = partial {
            let to = sequence.pages[shared_tokens / self.config.page_tokens];
            plan.copies.push(PageCopy { from, to, tokens });
            sequence.computed += tokens;
        }
        sequence.cached_tokens.get_or_insert(sequence.computed);
        true
    }

    /// Pages that running sequences and this one can be expected to need for what they generate. None if it is alone:
    /// it will get them all.
    fn expected_growth(&self, sequence: &Sequence) -> usize {
        if self.running.is_empty() {
            return 0;
        }
        let growth = |sequence: &Sequence| {
            let now = self.kv.pages_for(sequence.tokens.len());
            sequence.expected_pages(&self.kv).saturating_sub(now)
        };
        let running = self.running.iter().filter_map(|id| self.sequences.get(id));
        running.map(growth).sum::<usize>() + growth(sequence)
    }
}
