//! Rows as JSON text: a line each, or all of them in one document of bounded size. Pure.

use serde::Serialize;
use textnlp_generation::call::{Made, Summary};

use crate::api::generate::GenerateEvent;
use crate::error::ApiError;

/// Most bytes of a row.
const MAX_ROW: usize = 4 << 20;

/// Most bytes of a whole answer.
const MAX_ANSWER: usize = 64 << 20;

/// How rows are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// In one document, at the end.
    Whole,
    /// Each as soon as it is finished.
    Lines,
}

/// JSON that can be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) json: String,
    /// Nothing comes after it.
    pub(crate) is_last: bool,
    /// It says that something went wrong.
    pub(crate) is_error: bool,
}

impl Finished {
    /// The last event of an answer that cannot go on.
    pub(crate) fn error(error: &ApiError) -> Self {
        let event = GenerateEvent::Error(error.body().error);
        Self { json: json(&event), is_last: true, is_error: true }
    }
}

/// The rows so far.
#[derive(Debug)]
pub(crate) struct Written {
    delivery: Delivery,
    /// Of a whole answer: the rows as elements of lists.
    accepted: String,
    rejected: String,
    failed: String,
}

impl Written {
    pub(crate) fn new(delivery: Delivery) -> Self {
        let list = String::new;
        Self { delivery, accepted: list(), rejected: list(), failed: list() }
    }

    /// Bytes that are kept for the end.
    pub(crate) fn kept(&self) -> usize {
        self.accepted.len() + self.rejected.len() + self.failed.len()
    }

    /// Takes a row; gives its line, where rows are sent one by one.
    pub(crate) fn row(&mut self, made: Made) -> Result<Option<Finished>, ApiError> {
        match self.delivery {
            Delivery::Lines => {
                let event = match made {
                    Made::Accepted(row) => GenerateEvent::Row(row),
                    Made::Rejected(row) => GenerateEvent::Rejected(row),
                    Made::Failed(row) => GenerateEvent::Failed(row),
                };
                let json = json(&event);
                check(json.len())?;
                Ok(Some(Finished { json, is_last: false, is_error: false }))
            }
            Delivery::Whole => {
                let (list, row) = match made {
                    Made::Accepted(row) => (&mut self.accepted, row),
                    Made::Rejected(row) => (&mut self.rejected, row),
                    Made::Failed(row) => (&mut self.failed, row),
                };
                let json = json(&row);
                check(json.len())?;
                if !list.is_empty() {
                    list.push(',');
                }
                list.push_str(&json);
                match self.kept() {
                    kept if kept > MAX_ANSWER => Err(ApiError::invalid(
                        "stream",
                        format!(
                            "the rows have more than {MAX_ANSWER} bytes, the most of a whole answer; set stream"
                        ),
                    )),
                    _ => Ok(None),
                }
            }
        }
    }

    /// What is sent at the end.
    pub(crate) fn end(self, summary: Summary) -> Finished {
        let json = match self.delivery {
            Delivery::Lines => json(&GenerateEvent::Summary(Box::new(summary))),
            Delivery::Whole => {
                let Self { accepted, rejected, failed, .. } = self;
                let summary = json(&summary);
                format!(
                    "{{\"rows\":[{accepted}],\"rejected\":[{rejected}],\"failed\":[{failed}],\"summary\":{summary}}}"
                )
            }
        };
        Finished { json, is_last: true, is_error: false }
    }
}

fn check(bytes: usize) -> Result<(), ApiError> {
    if bytes <= MAX_ROW {
        return Ok(());
    }
    let message = format!("a row has {bytes} bytes; allowed: {MAX_ROW}; make such rows by a job");
    Err(ApiError::invalid("columns", message))
}

fn json(value: &impl Serialize) -> String {
    // Maps with text keys, numbers and texts are always JSON.
    serde_json::to_string(value).unwrap_or_default()
}
