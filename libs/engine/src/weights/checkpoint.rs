//! The tensors of one model by role: checked as a whole when opened, read one by one, cut and turned into our layout.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use super::names::{Layout, Naming, Place, Shape};
use super::source::ReadAt;
use super::table::{TensorInfo, TensorTable, encoding_of, read_elements};
use super::{Matrix, ModelConfig, TensorRole, WeightsError};

/// Elements that are decoded at a time where the layout has to be turned.
const TURN_ELEMENTS: usize = 1 << 16;

/// A file with tensors, and how it names them.
pub(super) struct Checkpoint {
    pub(super) source: Arc<dyn ReadAt>,
    pub(super) tensors: TensorTable,
    pub(super) naming: Naming,
    /// Whether the embedding serves as head.
    pub(super) tied: bool,
}

impl Checkpoint {
    /// Checks that every tensor of the model is there, in the shape that the configuration says and in a type that
    /// can be decoded, and that there is none that the model would have to use and would not.
    pub(super) fn check(&self, config: &ModelConfig) -> Result<(), WeightsError> {
        for role in TensorRole::all(config) {
            if let Some((tensor, _, _)) = self.find(role, config)? {
                encoding_of(self.source.name(), tensor)?;
            }
        }
        let used: HashSet<&str> =
            self.used_tensors(config).iter().map(|tensor| tensor.name.as_str()).collect();
        let unexpected = self.tensors.iter().find(|tensor| {
            !used.contains(tensor.name.as_str())
                && !self.naming.is_redundant(&tensor.name, self.tied)
        });
        match unexpected {
            None => Ok(()),
            Some(tensor) => {
                let reason = "no supported model of this architecture has it; the results would be wrong without it";
                Err(WeightsError::tensor(self.source.name(), &tensor.name, reason))
            }
        }
    }

    /// The tensors that the model uses, each once, in the order of their roles.
    pub(super) fn used_tensors(&self, config: &ModelConfig) -> Vec<&TensorInfo> {
        let mut seen = HashSet::new();
        let places =
            TensorRole::all(config).into_iter().filter_map(|role| self.place(role, config));
        let stored = places.filter_map(|place| self.tensors.get(&place.name));
        stored.filter(|tensor| seen.insert(tensor.name.as_str())).collect()
    }

    /// Where a role lies; `None` if the model has no such tensor.
    fn place(&self, role: TensorRole, config: &ModelConfig) -> Option<Place> {
        if role == TensorRole::Head && self.tied { None } else { self.naming.place(role, config) }
    }

    /// Reads a role's tensor; `None` if the model has none.
    pub(super) fn read(
        &self,
        role: TensorRole,
        config: &ModelConfig,
    ) -> Result<Option<Matrix>, WeightsError> {
        let Some((tensor, place, shape)) = self.find(role, config)? else {
            return Ok(None);
        };
        let (rows, columns) = match shape {
            Shape::Vector(length) => (1, length),
            Shape::Matrix { rows, columns } => (rows, columns),
        };
        let mut data = vec![0.0; rows * columns];
        match place.layout {
            Layout::Same => self.elements(tensor, 0..rows * columns, &mut data)?,
            Layout::Rows { range, .. } => {
                let width = if matches!(shape, Shape::Vector(_)) { 1 } else { columns };
                self.elements(tensor, range.start * width..range.end * width, &mut data)?;
            }
            Layout::Interleaved { heads } => {
                self.read_interleaved(tensor, rows / heads, columns, &mut data)?
            }
            Layout::Columns { range, total } => {
                self.read_columns(tensor, range, total, columns, &mut data)?
            }
        }
        Ok(Some(Matrix { rows, columns, data }))
    }

    /// Head by head: stored row `2j + s` becomes row `s·head_dim/2 + j`.
    fn read_interleaved(
        &self,
        tensor: &TensorInfo,
        head_dim: usize,
        columns: usize,
        data: &mut [f32],
    ) -> Result<(), WeightsError> {
        let mut stored = vec![0.0; head_dim * columns];
        for (head, output) in data.chunks_exact_mut(head_dim * columns).enumerate() {
            let first = head * head_dim * columns;
            self.elements(tensor, first..first + stored.len(), &mut stored)?;
            for (row, values) in stored.chunks_exact(columns).enumerate() {
                let row = row % 2 * (head_dim / 2) + row / 2;
                output[row * columns..][..columns].copy_from_slice(values);
            }
        }
        Ok(())
    }

    /// Transposes the columns `range` of a stored `[inputs][total]` matrix into `[range][inputs]`.
    fn read_columns(
        &self,
        tensor: &TensorInfo,
        range: Range<usize>,
        total: usize,
        inputs: usize,
        data: &mut [f32],
    ) -> Result<(), WeightsError> {
        let step = (TURN_ELEMENTS / total).clamp(1, inputs);
        let mut stored = vec![0.0; step * total];
        for first in (0..inputs).step_by(step) {
            let rows = step.min(inputs - first);
            let stored = &mut stored[..rows * total];
            self.elements(tensor, first * total..(first + rows) * total, stored)?;
            for (output, column) in data.chunks_exact_mut(inputs).zip(range.clone()) {
                let inputs = stored.iter().skip(column).step_by(total);
                output[first..first + rows]
                    .iter_mut()
                    .zip(inputs)
                    .for_each(|(to, from)| *to = *from);
            }
        }
        Ok(())
    }

    fn elements(
        &self,
        tensor: &TensorInfo,
        run: Range<usize>,
        values: &mut [f32],
    ) -> Result<(), WeightsError> {
        read_elements(self.source.as_ref(), tensor, run.start as u64..run.end as u64, values)
    }

    /// The stored tensor of a role, its shape checked; `None` if the model has none.
    pub(super) fn find(
        &self,
        role: TensorRole,
        config: &ModelConfig,
    ) -> Result<Option<(&TensorInfo, Place, Shape)>, WeightsError> {
        let (Some(place), Some(shape)) = (self.place(role, config), role.shape(config)) else {
            return Ok(None);
        };
        let Some(tensor) = self.tensors.get(&place.name) else {
            return Err(WeightsError::tensor(self.source.name(), &place.name, "missing"));
        };
        let expected = stored_shape(shape, &place.layout);
        if tensor.shape != expected {
            let reason =
                format!("has shape {:?}, but the configuration says {expected:?}", tensor.shape);
            return Err(WeightsError::tensor(self.source.name(), &place.name, reason));
        }
        Ok(Some((tensor, place, shape)))
    }
}

fn stored_shape(shape: Shape, layout: &Layout) -> Vec<u64> {
    let dimensions = match (shape, layout) {
        (Shape::Vector(_), Layout::Rows { total, .. }) => vec![*total],
        (Shape::Vector(length), _) => vec![length],
        (Shape::Matrix { columns, .. }, Layout::Rows { total, .. }) => vec![*total, columns],
        (Shape::Matrix { columns, .. }, Layout::Columns { total, .. }) => vec![columns, *total],
        (Shape::Matrix { rows, columns }, Layout::Same | Layout::Interleaved { .. }) => {
            vec![rows, columns]
        }
    };
    dimensions.into_iter().map(|dimension| dimension as u64).collect()
}
