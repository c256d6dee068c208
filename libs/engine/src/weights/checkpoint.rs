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

/// Files with tensors, and how they name them.
pub(super) struct Checkpoint {
    /// What messages call the whole: its file, or the index of several.
    pub(super) name: String,
    /// In name order; no tensor is in two of them.
    pub(super) files: Vec<WeightsFile>,
    pub(super) naming: Naming,
    /// Whether the embedding serves as head.
    pub(super) tied: bool,
}

/// One file of a checkpoint.
pub(super) struct WeightsFile {
    pub(super) source: Arc<dyn ReadAt>,
    pub(super) tensors: TensorTable,
}

/// A tensor and the file it is in.
#[derive(Clone, Copy)]
pub(super) struct Stored<'a> {
    pub(super) source: &'a dyn ReadAt,
    pub(super) tensor: &'a TensorInfo,
}

impl Checkpoint {
    /// Checks that every tensor of the model is there, in the shape that the configuration says and in a type that
    /// can be decoded, and that there is none that the model would have to use and would not.
    pub(super) fn check(&self, config: &ModelConfig) -> Result<(), WeightsError> {
        for role in TensorRole::all(config) {
            if let Some((Stored { source, tensor }, _, _)) = self.find(role, config)? {
                encoding_of(source.name(), tensor)?;
            }
        }
        let used: HashSet<&str> =
            self.used_tensors(config).iter().map(|tensor| tensor.name.as_str()).collect();
        let mut all = self.files.iter().flat_map(WeightsFile::stored);
        let unexpected = all.find(|Stored { tensor, .. }| {
            !used.contains(tensor.name.as_str())
                && !self.naming.is_redundant(&tensor.name, self.tied)
        });
        match unexpected {
            None => Ok(()),
            Some(Stored { source, tensor }) => {
                let reason = "no supported model of this architecture has it; the results would be wrong without it";
                Err(WeightsError::tensor(source.name(), &tensor.name, reason))
            }
        }
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.source.size()))
    }

    /// The tensor of that name, in whichever file.
    fn get(&self, name: &str) -> Option<Stored<'_>> {
        self.files.iter().find_map(|file| {
            let tensor = file.tensors.get(name)?;
            Some(Stored { source: file.source.as_ref(), tensor })
        })
    }

    /// The tensors that the model uses, each once, in the order of their roles.
    pub(super) fn used_tensors(&self, config: &ModelConfig) -> Vec<&TensorInfo> {
        let mut seen = HashSet::new();
        let places =
            TensorRole::all(config).into_iter().filter_map(|role| self.place(role, config));
        let stored = places.filter_map(|place| self.get(&place.name)).map(|stored| stored.tensor);
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
        let Some((stored, place, shape)) = self.find(role, config)? else {
            return Ok(None);
        };
        let (rows, columns) = match shape {
            Shape::Vector(length) => (1, length),
            Shape::Matrix { rows, columns } => (rows, columns),
        };
        let mut data = vec![0.0; rows * columns];
        match place.layout {
            Layout::Same => stored.elements(0..rows * columns, &mut data)?,
            Layout::Rows { range, .. } => {
                let width = if matches!(shape, Shape::Vector(_)) { 1 } else { columns };
                stored.elements(range.start * width..range.end * width, &mut data)?;
            }
            Layout::Interleaved { heads } => {
                stored.read_interleaved(rows / heads, columns, &mut data)?
            }
            Layout::Columns { range, total } => {
                stored.read_columns(range, total, columns, &mut data)?
            }
        }
        Ok(Some(Matrix { rows, columns, data }))
    }

    /// The stored tensor of a role, its shape checked; `None` if the model has none.
    pub(super) fn find(
        &self,
        role: TensorRole,
        config: &ModelConfig,
    ) -> Result<Option<(Stored<'_>, Place, Shape)>, WeightsError> {
        let (Some(place), Some(shape)) = (self.place(role, config), role.shape(config)) else {
            return Ok(None);
        };
        let Some(stored) = self.get(&place.name) else {
            return Err(WeightsError::tensor(&self.name, &place.name, "missing"));
        };
        let (found, expected) = (&stored.tensor.shape, stored_shape(shape, &place.layout));
        if *found != expected {
            let reason = format!("has shape {found:?}, but the configuration says {expected:?}");
            return Err(WeightsError::tensor(stored.source.name(), &place.name, reason));
        }
        Ok(Some((stored, place, shape)))
    }
}

impl WeightsFile {
    /// Its tensors.
    fn stored(&self) -> impl Iterator<Item = Stored<'_>> {
        let source = self.source.as_ref();
        self.tensors.iter().map(move |tensor| Stored { source, tensor })
    }
}

impl Stored<'_> {
    /// Head by head: stored row `2j + s` becomes row `s·head_dim/2 + j`.
    fn read_interleaved(
        &self,
        head_dim: usize,
        columns: usize,
        data: &mut [f32],
    ) -> Result<(), WeightsError> {
        let mut stored = vec![0.0; head_dim * columns];
        for (head, output) in data.chunks_exact_mut(head_dim * columns).enumerate() {
            let first = head * head_dim * columns;
            self.elements(first..first + stored.len(), &mut stored)?;
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
            self.elements(first * total..(first + rows) * total, stored)?;
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

    fn elements(&self, run: Range<usize>, values: &mut [f32]) -> Result<(), WeightsError> {
        read_elements(self.source, self.tensor, run.start as u64..run.end as u64, values)
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
