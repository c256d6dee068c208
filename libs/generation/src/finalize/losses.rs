//! Rows that no chunk holds, since the shard that should have made them was given up.

use textnlp_dataset::chunk::Rows;
use textnlp_dataset::snapshot::SnapshotReader;
use textnlp_dataset::store::Store;
use textnlp_dataset::{Outcome, Record, Row, RowId, RowMeta};

use super::stored;
use crate::error::Error;
use crate::job::Job;
use crate::prepare::Prepared;

/// The step at which rows of lost shards failed.
pub const LOST_STAGE: &str = "shard";

/// All rows of the job in row order: those that are stored, and for each of the others one that says that it was lost.
pub(super) struct WithLosses<'a> {
    job: &'a Job,
    stored: std::iter::Peekable<Rows<'a>>,
    records: SnapshotReader<'a>,
    ids: Box<dyn Iterator<Item = RowId>>,
}

impl<'a> WithLosses<'a> {
    pub(super) fn new(
        job: &'a Job,
        prepared: &Prepared,
        store: &'a dyn Store,
    ) -> Result<Self, Error> {
        Ok(Self {
            job,
            stored: stored(prepared, store)?.peekable(),
            records: SnapshotReader::new(store, prepared.snapshot.clone()),
            ids: Box::new(prepared.target.ids()),
        })
    }

    fn lost(&self, id: RowId) -> Result<Row, Error> {
        Ok(Row {
            id,
            fields: self.records.get(id.record)?.fields().clone(),
            attributes: self.job.draw(id),
            columns: Record::new(),
            outcome: Outcome::Failed {
                stage: LOST_STAGE.to_owned(),
                message: "the shard of this row failed too often; a retry generates it".to_owned(),
            },
            meta: RowMeta::default(),
        })
    }
}

impl Iterator for WithLosses<'_> {
    type Item = Result<Row, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let id = self.ids.next()?;
        let is_next = |row: &Result<Row, _>| row.as_ref().map_or(true, |row: &Row| row.id == id);
        match self.stored.next_if(is_next) {
            Some(row) => Some(row.map_err(Error::from)),
            None => Some(self.lost(id)),
        }
    }
}
