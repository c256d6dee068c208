//! `nearDuplicateRate`: rows whose text is nearly that of an earlier row (Broder, 1997).

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::definition::{Definition, State, Value};
use crate::metric::{Info, RowError, Sample, Scale};
use crate::params::{ParamInfo, ParamKind, Params};
use crate::text::folding::fold;
use crate::text::minhash::{Shingles, near_earlier, shingles};
use crate::text::sampled::row_order;

/// From which similarity on two texts are near duplicates, where nothing else is asked for.
pub(crate) const NEAR: f64 = 0.8;

/// Words in a shingle.
const SIZE: usize = 5;

pub(crate) const INFO: Info = Info {
    name: "nearDuplicateRate",
    description: "Rows that an earlier row nearly equals, of all rows: at least the threshold of the word 5-grams of both is common to both. Texts are folded as for duplicateRate; one of fewer than 5 words must be equal. Candidates are found as datasketch 2.0.0 does (MinHash with 128 permutations, LSH), and then compared in full.",
    scale: Scale::Unit,
    row: false,
    needs_reference: false,
    needs_text: true,
    params: &[ParamInfo {
        name: "threshold",
        description: "The Jaccard similarity from which on two texts are near duplicates.",
        kind: ParamKind::Number(0.2, 0.95, Some(NEAR)),
    }],
};

struct NearDuplicateRate {
    threshold: f64,
}

pub(crate) fn new(params: &Params) -> impl Definition + use<> {
    NearDuplicateRate { threshold: params.number("threshold").unwrap_or(NEAR) }
}

/// The shingles by which texts are compared.
pub(crate) fn text_shingles(text: &str) -> Shingles {
    let folded = fold(text);
    let words: Vec<&str> = folded.split(' ').collect();
    shingles(&words, SIZE)
}

/// Every row's id and shingles: 8 bytes for each word of the dataset.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShingledRows(Vec<ShingledRow>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ShingledRow {
    id: String,
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    shingles: Shingles,
}

impl ShingledRows {
    /// In the order of the rows, whatever the order in which they were added.
    fn sorted(&self) -> Vec<&ShingledRow> {
        let mut rows: Vec<&ShingledRow> = self.0.iter().collect();
        rows.sort_by(|a, b| row_order(&a.id, &b.id).then_with(|| a.shingles.cmp(&b.shingles)));
        rows
    }
}

impl State for ShingledRows {
    fn merge(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    fn is_sound(&self) -> bool {
        self.0.iter().all(|row| row.shingles.is_sorted_by(|a, b| a < b) && !row.shingles.is_empty())
    }
}

impl Serialize for ShingledRows {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.sorted())
    }
}

impl<'de> Deserialize<'de> for ShingledRows {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::deserialize(from).map(Self)
    }
}

/// 16 hexadecimal digits a shingle.
fn to_hex<S: Serializer>(shingles: &Shingles, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&shingles.iter().map(|hash| format!("{hash:016x}")).collect::<String>())
}

fn from_hex<'de, D: Deserializer<'de>>(from: D) -> Result<Shingles, D::Error> {
    let hex = String::deserialize(from)?;
    let (hashes, rest) = hex.as_bytes().as_chunks::<16>();
    if !rest.is_empty() {
        return Err(D::Error::custom("shingles are cut off"));
    }
    let parse = |digits: &[u8; 16]| {
        let digits = std::str::from_utf8(digits).map_err(D::Error::custom)?;
        u64::from_str_radix(digits, 16).map_err(D::Error::custom)
    };
    hashes.iter().map(parse).collect()
}

impl Definition for NearDuplicateRate {
    type State = ShingledRows;

    fn row(&self, _: &Sample<'_>) -> Result<Option<f64>, RowError> {
        Ok(None)
    }

    fn add(&self, state: &mut ShingledRows, sample: &Sample<'_>) -> Result<(), RowError> {
        let shingles = text_shingles(sample.text);
        state.0.push(ShingledRow { id: sample.id.to_owned(), shingles });
        Ok(())
    }

    fn score(&self, state: &ShingledRows) -> Option<Value> {
        let rows: Vec<&Shingles> = state.sorted().into_iter().map(|row| &row.shingles).collect();
        let near = near_earlier(&rows, self.threshold).into_iter().filter(|near| *near).count();
        let value = near as f64 / rows.len().max(1) as f64;
        Some(Value { value, distribution: None })
    }

    fn signature(&self) -> String {
        let threshold = self.threshold;
        format!(
            "threshold:{threshold}|fold:nfkc+case+space|shingles:{SIZE} words|minhash:128|version:2.0.0"
        )
    }
}
