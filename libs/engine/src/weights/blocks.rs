//! Quantised tensors as they are stored, for executors that compute with the blocks themselves.

use super::checkpoint::{Checkpoint, Stored};
use super::names::{Layout, Shape};
use super::source::read_exact;
use super::table::encoding_of;
use super::{
    ElementType, Encoding, IntegerGroup, ModelConfig, TensorRole, WeightsError, integer_groups,
};

/// A quantised matrix: rows of whole blocks, in the order that [`LayerTensor`](super::LayerTensor) describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocks {
    encoding: Encoding,
    rows: usize,
    columns: usize,
    bytes: Vec<u8>,
}

impl Blocks {
    /// `None` unless the bytes are that many rows of whole blocks.
    pub fn new(encoding: Encoding, rows: usize, columns: usize, bytes: Vec<u8>) -> Option<Blocks> {
        let whole = columns > 0 && columns.is_multiple_of(encoding.block_elements());
        let row = (columns / encoding.block_elements()).checked_mul(encoding.block_bytes());
        let expected = row.and_then(|row| row.checked_mul(rows));
        (whole && expected == Some(bytes.len())).then_some(Blocks {
            encoding,
            rows,
            columns,
            bytes,
        })
    }

    /// How an element is stored.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Outputs.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The rows, each a sequence of blocks.
    pub fn row_bytes(&self) -> impl Iterator<Item = &[u8]> {
        let row = self.columns / self.encoding.block_elements() * self.encoding.block_bytes();
        self.bytes.chunks_exact(row)
    }

    /// The rows, each as groups of 32 integers; none unless the elements are integers.
    pub fn row_groups(&self) -> impl Iterator<Item = impl Iterator<Item = IntegerGroup>> {
        self.row_bytes().map(|bytes| integer_groups(self.encoding, bytes).into_iter().flatten())
    }
}

impl Checkpoint {
    /// In which blocks a matrix is stored; `None` if there is no such matrix, if its elements stand alone, or if it
    /// is stored turned, so that its rows are no sequences of blocks.
    pub(super) fn block_encoding(
        &self,
        role: TensorRole,
        config: &ModelConfig,
    ) -> Option<Encoding> {
        let (Stored { tensor, .. }, place, shape) = self.find(role, config).ok()??;
        let (ElementType::Known(encoding), Shape::Matrix { .. }) = (tensor.element, shape) else {
            return None;
        };
        let turned = matches!(place.layout, Layout::Columns { .. });
        (encoding.block_elements() > 1 && !turned).then_some(encoding)
    }

    /// The type of a matrix or vector; `None` if there is none of that role.
    pub(super) fn encoding(&self, role: TensorRole, config: &ModelConfig) -> Option<Encoding> {
        let (stored, ..) = self.find(role, config).ok()??;
        match stored.tensor.element {
            ElementType::Known(encoding) => Some(encoding),
            ElementType::Other(_) => None,
        }
    }

    /// Reads a matrix as blocks; `None` where [`Checkpoint::block_encoding`] is.
    pub(super) fn read_blocks(
        &self,
        role: TensorRole,
        config: &ModelConfig,
    ) -> Result<Option<Blocks>, WeightsError> {
        let (Some(_), Some((stored, place, Shape::Matrix { rows, columns }))) =
            (self.block_encoding(role, config), self.find(role, config)?)
        else {
            return Ok(None);
        };
        let Stored { source, tensor } = stored;
        let encoding = encoding_of(source.name(), tensor)?;
        // The tensor's bytes lie in the file, so these products do not overflow.
        let row = columns / encoding.block_elements() * encoding.block_bytes();
        let first = match &place.layout {
            Layout::Rows { range, .. } => range.start,
            _ => 0,
        };
        let mut bytes = vec![0; rows * row];
        read_exact(source, tensor.offset + (first * row) as u64, &mut bytes)?;
        if let Layout::Interleaved { heads } = place.layout {
            bytes = halves(&bytes, rows / heads, row);
        }
        Ok(Blocks::new(encoding, rows, columns, bytes))
    }
}

/// Head by head: stored row `2j + s` becomes row `s·head_dim/2 + j`.
fn halves(stored: &[u8], head_dim: usize, row: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(stored.len());
    for head in stored.chunks_exact(head_dim * row) {
        for parity in 0..2 {
            for stored in head.chunks_exact(row).skip(parity).step_by(2) {
                bytes.extend_from_slice(stored);
            }
        }
    }
    bytes
}
