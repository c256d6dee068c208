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
    first_position: usize,
    pages: Range<usize>,
    pub(super) outputs: Outputs,
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

    /// The sequences whose next token is to be drawn, in the order of the logits' rows.
    pub fn outputs(&self) -> impl Iterator<Item = SequenceId> {
        let sampled = self.spans.iter().filter(|span| span.outputs == Outputs::Last);
        sampled.map(|span| span.sequence)
    }

    pub(super) fn add(
        &mut self,
        sequence: SequenceId,
        tokens: &[u32],
        first_position: usize,
        pages: &[PageId],
        outputs: Outputs,
    ) {
        let start = self.pages.len();
        self.tokens.extend_from_slice(tokens);
        self.pages.extend_from_slice(pages);
        let pages = start..self.pages.len();
        self.spans.push(PlannedSpan {
            sequence,
            rows: tokens.len(),
            first_position,
            pages,
            outputs,
        });
    }
}
