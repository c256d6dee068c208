//! What one file in `metrics/` implements ([`Definition`]), and its form without types that the registry holds.

use std::any::Any;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bootstrap::{from_fixed, to_fixed};
use crate::metric::{RowError, Sample};
use crate::values::{Distribution, RowValues};

/// A metric of texts with its parameters.
pub(crate) trait Definition: Send + Sync + 'static {
    /// What a dataset's score is computed from.
    type State: State;

    /// The row value; `None` if the metric has none. The caller has checked that references exist where they are needed.
    fn row(&self, sample: &Sample<'_>) -> Result<Option<f64>, RowError>;

    /// Takes the row into the dataset's state.
    fn add(&self, state: &mut Self::State, sample: &Sample<'_>) -> Result<(), RowError>;

    /// The dataset value of a state of at least one row; `None` if these rows have no such value.
    fn score(&self, state: &Self::State) -> Option<Value>;

    /// As [`Definition::add`]; and the row's share of what the dataset value is computed from, as whole numbers that add up: the same
    /// number of them for each row; none if the value is not computed from sums. For confidence intervals.
    fn add_with_figures(
        &self,
        state: &mut Self::State,
        sample: &Sample<'_>,
    ) -> Result<Vec<u64>, RowError> {
        self.add(state, sample)?;
        Ok(Vec::new())
    }

    /// The dataset value of sums of the figures.
    fn score_of_figures(&self, _: &[u64]) -> Option<f64> {
        None
    }

    /// Parameters and version of the dataset value, `key:value` joined by `|`, without the metric's name.
    fn signature(&self) -> String;

    /// The same for the row value, where it differs.
    fn row_signature(&self) -> String {
        self.signature()
    }
}

/// A dataset value, with the distribution of the row values if there are any.
pub(crate) struct Value {
    pub(crate) value: f64,
    pub(crate) distribution: Option<Distribution>,
}

/// A dataset's sufficient statistics: a commutative monoid, so that any grouping of merges gives the same bits.
pub(crate) trait State:
    Default + Clone + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// Adds the rows of `other`.
    fn merge(&mut self, other: Self);

    /// Whether a state that another process wrote keeps this type's invariants.
    fn is_sound(&self) -> bool {
        true
    }
}

/// A metric whose dataset value is the mean of its row values.
pub(crate) trait RowMetric: Send + Sync + 'static {
    /// The value of one row: finite.
    fn value(&self, sample: &Sample<'_>) -> Result<f64, RowError>;

    /// As [`Definition::signature`].
    fn signature(&self) -> String;
}

/// Makes a [`Definition`] of a [`RowMetric`].
pub(crate) struct Mean<M>(pub(crate) M);

impl<M: RowMetric> Definition for Mean<M> {
    type State = RowValues;

    fn row(&self, sample: &Sample<'_>) -> Result<Option<f64>, RowError> {
        self.0.value(sample).map(Some)
    }

    fn add(&self, state: &mut RowValues, sample: &Sample<'_>) -> Result<(), RowError> {
        state.push(self.0.value(sample)?);
        Ok(())
    }

    fn add_with_figures(
        &self,
        state: &mut RowValues,
        sample: &Sample<'_>,
    ) -> Result<Vec<u64>, RowError> {
        let value = self.0.value(sample)?;
        state.push(value);
        Ok(vec![1, to_fixed(value)])
    }

    fn score_of_figures(&self, sums: &[u64]) -> Option<f64> {
        match sums {
            [rows, sum] if *rows > 0 => Some(from_fixed(*sum) / *rows as f64),
            _ => None,
        }
    }

    fn score(&self, state: &RowValues) -> Option<Value> {
        let distribution = state.distribution();
        Some(Value { value: distribution.mean, distribution: Some(distribution) })
    }

    fn signature(&self) -> String {
        self.0.signature()
    }
}

/// [`Definition`] without its state's type.
pub(crate) trait ErasedDefinition: Send + Sync {
    fn row(&self, sample: &Sample<'_>) -> Result<Option<f64>, RowError>;
    fn row_signature(&self) -> String;
    fn signature(&self) -> String;
    fn score_of_figures(&self, sums: &[u64]) -> Option<f64>;
    fn start(self: Arc<Self>) -> Box<dyn ErasedState>;
    fn load(self: Arc<Self>, saved: &serde_json::Value) -> Option<Box<dyn ErasedState>>;
}

/// A running state together with its definition.
pub(crate) trait ErasedState: Send + Sync {
    fn add(&mut self, sample: &Sample<'_>) -> Result<(), RowError>;
    fn add_with_figures(&mut self, sample: &Sample<'_>) -> Result<Vec<u64>, RowError>;
    /// False, and nothing changes, if `other` has a state of another type.
    fn merge(&mut self, other: Box<dyn ErasedState>) -> bool;
    fn score(&self) -> Option<Value>;
    fn save(&self) -> serde_json::Value;
    fn copy(&self) -> Box<dyn ErasedState>;
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

struct Running<D: Definition> {
    definition: Arc<D>,
    state: D::State,
}

impl<D: Definition> ErasedDefinition for D {
    fn row(&self, sample: &Sample<'_>) -> Result<Option<f64>, RowError> {
        Definition::row(self, sample)
    }

    fn row_signature(&self) -> String {
        Definition::row_signature(self)
    }

    fn signature(&self) -> String {
        Definition::signature(self)
    }

    fn score_of_figures(&self, sums: &[u64]) -> Option<f64> {
        Definition::score_of_figures(self, sums)
    }

    fn start(self: Arc<Self>) -> Box<dyn ErasedState> {
        Box::new(Running { definition: self, state: D::State::default() })
    }

    fn load(self: Arc<Self>, saved: &serde_json::Value) -> Option<Box<dyn ErasedState>> {
        let state = <D::State as serde::Deserialize>::deserialize(saved).ok()?;
        state
            .is_sound()
            .then(|| Box::new(Running { definition: self, state }) as Box<dyn ErasedState>)
    }
}

impl<D: Definition> ErasedState for Running<D> {
    fn add(&mut self, sample: &Sample<'_>) -> Result<(), RowError> {
        self.definition.add(&mut self.state, sample)
    }

    fn add_with_figures(&mut self, sample: &Sample<'_>) -> Result<Vec<u64>, RowError> {
        self.definition.add_with_figures(&mut self.state, sample)
    }

    fn merge(&mut self, other: Box<dyn ErasedState>) -> bool {
        match other.into_any().downcast::<Running<D>>() {
            Ok(other) => {
                self.state.merge(other.state);
                true
            }
            Err(_) => false,
        }
    }

    fn score(&self) -> Option<Value> {
        self.definition.score(&self.state)
    }

    fn save(&self) -> serde_json::Value {
        // Every state is made of numbers, strings, lists and maps with string keys, which JSON can hold.
        serde_json::to_value(&self.state).unwrap_or_default()
    }

    fn copy(&self) -> Box<dyn ErasedState> {
        Box::new(Running { definition: self.definition.clone(), state: self.state.clone() })
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
