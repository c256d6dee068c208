//! The tensors of one file: names, types, shapes and places, whatever the format; and their decoding in slices.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use super::WeightsError;
use super::dequantize::dequantize;
use super::encoding::Encoding;
use super::source::{ReadAt, read_exact};

/// Bytes that are read and decoded at a time.
const SLICE_BYTES: usize = 1 << 20;

/// How a tensor's elements are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementType {
    /// A type that can be decoded.
    Known(Encoding),
    /// A type of the format that cannot be decoded here, by its name.
    Other(&'static str),
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElementType::Known(encoding) => encoding.fmt(f),
            ElementType::Other(name) => f.write_str(name),
        }
    }
}

/// One tensor of a file; `offset..offset + bytes` has been checked to lie in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Name in the file.
    pub name: String,
    /// Stored type.
    pub element: ElementType,
    /// Dimensions, outermost first; the last one is contiguous.
    pub shape: Vec<u64>,
    /// Product of the dimensions.
    pub elements: u64,
    /// First byte in the file.
    pub offset: u64,
    /// Number of bytes.
    pub bytes: u64,
}

/// The tensors of one file, by name.
#[derive(Debug, Clone, Default)]
pub struct TensorTable {
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
}

impl TensorTable {
    /// Adds a tensor; `false` if the name is taken.
    pub(super) fn insert(&mut self, tensor: TensorInfo) -> bool {
        let index = self.tensors.len();
        if self.by_name.contains_key(&tensor.name) {
            return false;
        }
        self.by_name.insert(tensor.name.clone(), index);
        self.tensors.push(tensor);
        true
    }

    /// The tensor of that name.
    pub fn get(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).and_then(|&index| self.tensors.get(index))
    }

    /// All tensors, in the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &TensorInfo> {
        self.tensors.iter()
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Two tensors that share bytes, if there are any.
    pub(super) fn overlapping(&self) -> Option<(&TensorInfo, &TensorInfo)> {
        let mut by_offset: Vec<&TensorInfo> =
            self.tensors.iter().filter(|tensor| tensor.bytes > 0).collect();
        by_offset.sort_by_key(|tensor| tensor.offset);
        let mut pairs = by_offset.windows(2);
        pairs
            .find(|pair| pair[0].offset + pair[0].bytes > pair[1].offset)
            .map(|pair| (pair[0], pair[1]))
    }
}

/// Decodes a run of a tensor's elements; its ends must fall on block boundaries.
///
/// # Errors
/// [`WeightsError::Tensor`] for a type that cannot be decoded or a run that does not fit, [`WeightsError::Io`].
pub(super) fn read_elements(
    source: &dyn ReadAt,
    tensor: &TensorInfo,
    run: Range<u64>,
    values: &mut [f32],
) -> Result<(), WeightsError> {
    let encoding = encoding_of(source.name(), tensor)?;
    let (elements, bytes) = (encoding.block_elements() as u64, encoding.block_bytes() as u64);
    let fits = run.start <= run.end
        && run.end <= tensor.elements
        && values.len() as u64 == run.end - run.start;
    if !fits || !run.start.is_multiple_of(elements) || !run.end.is_multiple_of(elements) {
        let reason = format!(
            "elements {run:?} cannot be taken out of {} in blocks of {elements}",
            tensor.elements
        );
        return Err(WeightsError::tensor(source.name(), &tensor.name, reason));
    }
    let mut offset = tensor.offset + run.start / elements * bytes;
    let slice_blocks = SLICE_BYTES / encoding.block_bytes();
    let mut buffer = vec![
        0;
        (values.len() / encoding.block_elements()).min(slice_blocks)
            * encoding.block_bytes()
    ];
    for slice in values.chunks_mut(slice_blocks * encoding.block_elements()) {
        let input = &mut buffer[..slice.len() / encoding.block_elements() * encoding.block_bytes()];
        read_exact(source, offset, input)?;
        dequantize(encoding, input, slice);
        offset += input.len() as u64;
    }
    Ok(())
}

/// The tensor's encoding, or the error that names the supported ones.
pub(super) fn encoding_of(file: &str, tensor: &TensorInfo) -> Result<Encoding, WeightsError> {
    match tensor.element {
        ElementType::Known(encoding) => Ok(encoding),
        ElementType::Other(name) => {
            let supported = Encoding::ALL.map(Encoding::name).join(", ");
            let reason = format!("type {name} is not supported; supported are {supported}");
            Err(WeightsError::tensor(file, &tensor.name, reason))
        }
    }
}
