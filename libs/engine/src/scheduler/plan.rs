//! One step as the scheduler hands it out: page copies and a batch.

use std::ops::Range;

use super::{ScheduleError, SequenceId};
use crate::model::{Outputs, PageCopy, PageId, Span};

/// What a model is to do in one step: first the copies, then the batch. Given back to
/// [`Scheduler::apply`](super::Scheduler::apply) or [`Scheduler::abort`](super::Scheduler::abort).
#[derive(Debug, Default)]
pub struct Plan {
    /// Page copies, to be done before the batch.
    pub copies: Vec<PageCopy>,
    /// Tokens of all spans, one after the other.
    pub tokens: Vec<u32>,
    /// Sequences that cannot go on. The scheduler has forgotten them.
    pub failed: Vec<(SequenceId, ScheduleError)>,
    pub(super) spans: Vec<PlannedSpan>,
    /// Page tables of all spans, one after the other.
    pub(super) pages: Vec<PageId>,
}

/// A [`Span`] whose pages are a range of the plan's.
#[derive(Debug)]
pub(super) struct PlannedSpan {
    pub(super) sequence: SequenceId,
    pub(super) rows: usize,
    /// Index of its first token.
    first_token: usize,
    first_position: usize,
    pages: Range<usize>,
    pub(super) outputs: Outputs,
    /// Index of its first row of logits.
    first_output: usize,
    /// Rows whose results have been taken.
    pub(super) taken: usize,
    /// Whether a token is to be drawn from the next row.
    pub(super) draws: bool,
}

impl PlannedSpan {
    /// Takes the results up to the next row that is drawn from: what is behind it counts only if the draw agrees. `None`
    /// if there is nothing left to take.
    pub(super) fn take_rows(&mut self) -> Option<usize> {
        if self.taken > 0 && !self.draws {
            return None;
        }
        let rows = if self.outputs == Outputs::All { 1 } else { self.rows };
        self.taken += rows;
        self.draws = false;
        Some(rows)
    }
}

impl Plan {
    /// The batch's spans.
    pub fn spans(&self) -> Vec<Span<'_>> {
        let span = |planned: &PlannedSpan| Span {
            rows: planned.rows,
            first_position: planned.first_position,
            pages: &self.pages[planned.pages.clone()],
            outputs: planned.outputs,
        };
        self.spans.iter().map(span).collect()
    }

    /// Whether there is nothing to run.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The sequences that take part.
    pub fn sequences(&self) -> impl Iterator<Item = SequenceId> {
        self.spans.iter().map(|span| span.sequence)
    }

    /// The sequences whose next token is to be drawn, and from which row of the logits. After
    /// [`Scheduler::apply`](super::Scheduler::apply) these are the sequences that went on as proposed, each with its next
    /// row.
    pub fn outputs(&self) -> impl Iterator<Item = (SequenceId, usize)> {
        let drawn = self.spans.iter().filter(|span| span.draws);
        drawn.map(|span| (span.sequence, span.first_output + span.taken))
    }

    /// How many tokens are computed ahead of being drawn.
    pub fn proposed_tokens(&self) -> usize {
        let speculating = self.spans.iter().filter(|span| span.outputs == Outputs::All);
        speculating.map(|span| span.rows - 1).sum()
    }

    /// Whether the step draws a token for each of its sequences, and computes nothing but that and proposals.
    pub(super) fn only_draws(&self) -> bool {
        let draws = |span: &PlannedSpan| match span.outputs {
            Outputs::None => false,
            Outputs::Last => span.rows == 1,
            Outputs::All => true,
        };
        !self.is_empty() && self.spans.iter().all(draws)
    }

    /// The token that the span of that index computes next, as proposed.
    pub(super) fn proposal(&self, index: usize) -> Option<u32> {
        let span = self.spans.get(index).filter(|span| span.taken < span.rows)?;
        self.tokens.get(span.first_token + span.taken).copied()
    }

    /// Takes all spans out again.
    pub(super) fn clear_spans(&mut self) {
        self.spans.clear();
        self.tokens.clear();
        self.pages.clear();
    }

    /// Rows of logits so far.
    fn output_rows(&self) -> usize {
        let rows = |span: &PlannedSpan| match span.outputs {
            Outputs::None => 0,
            Outputs::Last => 1,
            Outputs::All => span.rows,
        };
        self.spans.last().map_or(0, |span| span.first_output + rows(span))
    }

    pub(super) fn add(
        &mut self,
        sequence: SequenceId,
        tokens: &[u32],
        first_position: usize,
        pages: &[PageId],
        outputs: Outputs,
    ) {
        let (start, first_token) = (self.pages.len(), self.tokens.len());
        let first_output = self.output_rows();
        self.tokens.extend_from_slice(tokens);
        self.pages.extend_from_slice(pages);
        let pages = start..self.pages.len();
        self.spans.push(PlannedSpan {
            sequence,
            rows: tokens.len(),
            first_token,
            first_position,
            pages,
            outputs,
            first_output,
            taken: 0,
            draws: outputs != Outputs::None,
        });
    }
}
