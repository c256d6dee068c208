//! Personal data taken out of rows, before anything reads them.

use serde_json::Value;
use textnlp_crds::output::MaskPii;
use textnlp_dataset::{Outcome, Record, Row};
use textnlp_validation::pii::{Kind, mask};

/// Which personal data is replaced, and where.
pub(super) struct Mask<'a> {
    fields: Option<&'a [String]>,
    kinds: Vec<Kind>,
}

impl<'a> Mask<'a> {
    pub(super) fn new(spec: &'a MaskPii) -> Self {
        let asked = |name: &str| match &spec.entities {
            Some(entities) => entities.iter().any(|entity| entity.as_str() == name),
            None => true,
        };
        let kinds = Kind::ALL.iter().filter(|(name, _)| asked(name)).map(|(_, kind)| *kind);
        Self { fields: spec.fields.as_deref(), kinds: kinds.collect() }
    }

    /// Masks the row's fields, and in any case the prompts and messages that may quote them.
    pub(super) fn apply(&self, row: &mut Row) {
        for fields in [&mut row.fields, &mut row.attributes, &mut row.columns] {
            self.record(fields, |name| self.fields.is_none_or(|f| f.iter().any(|f| f == name)));
        }
        self.record(&mut row.meta.prompts, |_| true);
        if let Outcome::Failed { message, .. } = &mut row.outcome {
            *message = mask(message, &self.kinds);
        }
    }

    fn record(&self, record: &mut Record, counts: impl Fn(&str) -> bool) {
        for (name, value) in record.iter_mut() {
            if counts(name) {
                self.value(value);
            }
        }
    }

    /// Texts at any depth; a number keeps its type, and so stays.
    fn value(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = mask(text, &self.kinds),
            Value::Array(values) => values.iter_mut().for_each(|value| self.value(value)),
            Value::Object(fields) => fields.values_mut().for_each(|value| self.value(value)),
            _ => {}
        }
    }
}
