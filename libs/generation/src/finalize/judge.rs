//! What becomes of each row, in the order of the rows.

use textnlp_crds::validation::DUPLICATE;
use textnlp_dataset::Row;

use super::mask::Mask;
use crate::job::Job;
use crate::scoring::{Judgement, RowDeduplicator, Scoring};

/// What decides of rows in their order: a row's duplicates stand before it.
pub(crate) struct Judge<'a> {
    scoring: &'a Scoring,
    mask: Option<Mask<'a>>,
    deduplicator: Option<RowDeduplicator<'a>>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(job: &'a Job) -> Self {
        Self {
            scoring: &job.scoring,
            mask: job.spec.output.mask_pii.as_ref().map(Mask::new),
            deduplicator: job.scoring.deduplicator(),
        }
    }

    /// The row as the dataset knows it, and what becomes of it.
    pub(crate) fn row(&mut self, mut row: Row) -> (Row, Judgement) {
        if let Some(mask) = &self.mask {
            mask.apply(&mut row);
        }
        let judgement = self.scoring.judge(&row);
        let stays = !matches!(judgement, Judgement::Accepted { .. })
            || self.deduplicator.as_mut().is_none_or(|seen| seen.stays(&row));
        match judgement {
            Judgement::Accepted { scores } if !stays => {
                (row, Judgement::Rejected { filter: DUPLICATE.to_owned(), scores })
            }
            judgement => (row, judgement),
        }
    }
}
