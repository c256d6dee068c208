//! `pii`: personal data in the text, as [`crate::pii`] finds it.

use serde::{Deserialize, Serialize};

use crate::definition::{Definition, State, Value};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamInfo, ParamKind, Params};
use crate::pii::{Kind, find};
use crate::values::RowValues;

/// The names of [`Kind::ALL`].
const NAMES: &[&str] = &{
    let mut names = [""; Kind::ALL.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = Kind::ALL[at].0;
        at += 1;
    }
    names
};

pub(crate) const INFO: Info = Info {
    name: "pii",
    description: "Personal data in the text: e-mail addresses, phone numbers, payment cards, accounts (IBAN), US social security numbers, IP and Bitcoin addresses, URLs. How many for a row; the dataset's value is the share of rows with any. Shapes and check digits follow Presidio's English pattern recognizers.",
    scale: Scale::Count,
    row: true,
    needs_reference: false,
    needs_text: true,
    params: &[ParamInfo {
        name: "entities",
        description: "The kinds that count; all if it is not given.",
        kind: ParamKind::Subset(NAMES),
    }],
};

struct Pii {
    kinds: Vec<Kind>,
}

pub(crate) fn new(params: &Params) -> impl Definition + use<> {
    let asked = params.subset("entities");
    let kinds = Kind::ALL.iter().filter(|(name, _)| asked.contains(name));
    Pii { kinds: kinds.map(|(_, kind)| *kind).collect() }
}

/// The rows' numbers of entities, and in how many rows there are any.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct PiiState {
    with_any: u64,
    all: u64,
    rows: RowValues,
}

impl State for PiiState {
    fn merge(&mut self, other: Self) {
        self.with_any = self.with_any.saturating_add(other.with_any);
        self.all = self.all.saturating_add(other.all);
        self.rows.merge(other.rows);
    }

    fn is_sound(&self) -> bool {
        self.with_any <= self.all && self.rows.is_sound()
    }
}

impl Definition for Pii {
    type State = PiiState;

    fn row(&self, sample: &Sample<'_>) -> Result<Option<f64>, RowError> {
        Ok(Some(find(sample.text, &self.kinds).len() as f64))
    }

    fn add(&self, state: &mut PiiState, sample: &Sample<'_>) -> Result<(), RowError> {
        self.add_with_figures(state, sample).map(|_| ())
    }

    fn add_with_figures(
        &self,
        state: &mut PiiState,
        sample: &Sample<'_>,
    ) -> Result<Vec<u64>, RowError> {
        let entities = find(sample.text, &self.kinds).len();
        let any = u64::from(entities > 0);
        state.with_any = state.with_any.saturating_add(any);
        state.all = state.all.saturating_add(1);
        state.rows.push(entities as f64);
        Ok(vec![1, any])
    }

    fn score_of_figures(&self, sums: &[u64]) -> Option<f64> {
        match sums {
            [rows, with_any] if *rows > 0 => Some(*with_any as f64 / *rows as f64),
            _ => None,
        }
    }

    fn score(&self, state: &PiiState) -> Option<Value> {
        let value = state.with_any as f64 / state.all.max(1) as f64;
        Some(Value { value, distribution: Some(state.rows.distribution()) })
    }

    fn signature(&self) -> String {
        let names: Vec<&str> = self.kinds.iter().map(|kind| kind.name()).collect();
        format!("entities:{}|version:1", names.join(","))
    }
}
