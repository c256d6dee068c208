//! The tensor list of a GGUF: types, dimensions and places, all checked against the file.

use super::super::WeightsError;
use super::super::encoding::Encoding;
use super::super::table::{ElementType, TensorInfo, TensorTable};
use super::cursor::Cursor;

/// `GGML_MAX_NAME`, without which ggml itself refuses the file.
const MAX_NAME_BYTES: u64 = 64;
const MAX_DIMENSIONS: u32 = 4;
const MAX_TENSORS: u64 = 1 << 16;
/// Name length, number of dimensions, one dimension, type, offset.
const MIN_TENSOR_BYTES: u64 = 8 + 4 + 8 + 4 + 8;

/// What `ggml.h` and `ggml-common.h` say of a type: name, elements and bytes of a block.
struct GgmlType {
    element: ElementType,
    block_elements: u64,
    block_bytes: u64,
}

fn ggml_type(id: u32) -> Option<GgmlType> {
    let known = match id {
        0 => Some(Encoding::F32),
        1 => Some(Encoding::F16),
        2 => Some(Encoding::Q4_0),
        3 => Some(Encoding::Q4_1),
        6 => Some(Encoding::Q5_0),
        7 => Some(Encoding::Q5_1),
        8 => Some(Encoding::Q8_0),
        12 => Some(Encoding::Q4_K),
        13 => Some(Encoding::Q5_K),
        14 => Some(Encoding::Q6_K),
        30 => Some(Encoding::BF16),
        _ => None,
    };
    if let Some(encoding) = known {
        let (block_elements, block_bytes) =
            (encoding.block_elements() as u64, encoding.block_bytes() as u64);
        return Some(GgmlType {
            element: ElementType::Known(encoding),
            block_elements,
            block_bytes,
        });
    }
    let (name, block_elements, block_bytes) = match id {
        9 => ("Q8_1", 32, 40),
        10 => ("Q2_K", 256, 84),
        11 => ("Q3_K", 256, 110),
        15 => ("Q8_K", 256, 292),
        16 => ("IQ2_XXS", 256, 66),
        17 => ("IQ2_XS", 256, 74),
        18 => ("IQ3_XXS", 256, 98),
        19 => ("IQ1_S", 256, 50),
        20 => ("IQ4_NL", 32, 18),
        21 => ("IQ3_S", 256, 110),
        22 => ("IQ2_S", 256, 82),
        23 => ("IQ4_XS", 256, 136),
        24 => ("I8", 1, 1),
        25 => ("I16", 1, 2),
        26 => ("I32", 1, 4),
        27 => ("I64", 1, 8),
        28 => ("F64", 1, 8),
        29 => ("IQ1_M", 256, 56),
        34 => ("TQ1_0", 256, 54),
        35 => ("TQ2_0", 256, 66),
        39 => ("MXFP4", 32, 17),
        40 => ("NVFP4", 64, 36),
        41 => ("Q1_0", 128, 18),
        _ => return None,
    };
    Some(GgmlType { element: ElementType::Other(name), block_elements, block_bytes })
}

/// Reads `count` tensor entries; offsets in the result are those of the file.
pub(super) fn read(
    cursor: &mut Cursor<'_>,
    file: &str,
    count: u64,
    alignment: u64,
    file_bytes: u64,
) -> Result<TensorTable, WeightsError> {
    let count = cursor.check_count(count, MIN_TENSOR_BYTES, MAX_TENSORS, "tensors")?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(read_entry(cursor, file)?);
    }
    // No overflow: the cursor ends within 256 MiB, and the alignment is at most 1 MiB.
    let data_start = cursor.position().next_multiple_of(alignment);
    let mut table = TensorTable::default();
    for mut tensor in entries {
        place(&mut tensor, file, data_start, alignment, file_bytes)?;
        let name = tensor.name.clone();
        if !table.insert(tensor) {
            return Err(WeightsError::tensor(file, &name, "appears twice in the file"));
        }
    }
    if let Some((first, second)) = table.overlapping() {
        let reason = format!("shares bytes with tensor {}", first.name);
        return Err(WeightsError::tensor(file, &second.name, reason));
    }
    Ok(table)
}

fn read_entry(cursor: &mut Cursor<'_>, file: &str) -> Result<TensorInfo, WeightsError> {
    let name = cursor.string(MAX_NAME_BYTES, "a tensor's name")?;
    let dimensions = cursor.u32("a tensor's number of dimensions")?;
    if !(1..=MAX_DIMENSIONS).contains(&dimensions) {
        let reason = format!("has {dimensions} dimensions, but 1 to {MAX_DIMENSIONS} are allowed");
        return Err(WeightsError::tensor(file, &name, reason));
    }
    let mut shape = Vec::with_capacity(MAX_DIMENSIONS as usize);
    for _ in 0..dimensions {
        shape.push(cursor.u64("a tensor's dimension")?);
    }
    let row = shape[0];
    shape.reverse(); // the file has the contiguous dimension first
    let id = cursor.u32("a tensor's type")?;
    let offset = cursor.u64("a tensor's offset")?;
    let error = |reason: String| WeightsError::tensor(file, &name, reason);
    let Some(ggml) = ggml_type(id) else {
        let supported = Encoding::ALL.map(Encoding::name).join(", ");
        return Err(error(format!("type {id} is unknown; supported are {supported}")));
    };
    if !row.is_multiple_of(ggml.block_elements) {
        let reason = format!(
            "rows of {row} elements are no multiple of {}'s {}",
            ggml.element, ggml.block_elements
        );
        return Err(error(reason));
    }
    let elements =
        shape.iter().try_fold(1u64, |product, &dimension| product.checked_mul(dimension));
    let bytes = elements
        .and_then(|elements| (elements / ggml.block_elements).checked_mul(ggml.block_bytes));
    match (elements, bytes) {
        (Some(0), _) => Err(error(format!("shape {shape:?} has a dimension of 0"))),
        (Some(elements), Some(bytes)) => {
            Ok(TensorInfo { name, element: ggml.element, shape, elements, offset, bytes })
        }
        _ => Err(error(format!("shape {shape:?} has more elements than can be counted"))),
    }
}

/// Turns an offset into the data section into one into the file, and checks that the bytes are there.
fn place(
    tensor: &mut TensorInfo,
    file: &str,
    data_start: u64,
    alignment: u64,
    file_bytes: u64,
) -> Result<(), WeightsError> {
    if !tensor.offset.is_multiple_of(alignment) {
        let reason =
            format!("offset {} is no multiple of the alignment, {alignment}", tensor.offset);
        return Err(WeightsError::tensor(file, &tensor.name, reason));
    }
    let start = data_start.checked_add(tensor.offset);
    let end = start.and_then(|start| start.checked_add(tensor.bytes));
    match (start, end) {
        (Some(start), Some(end)) if end <= file_bytes => {
            tensor.offset = start;
            Ok(())
        }
        (_, Some(end)) => {
            let missing = end - file_bytes;
            let reason = format!(
                "ends at byte {end}, but the file has {file_bytes}: {missing} bytes are missing"
            );
            Err(WeightsError::tensor(file, &tensor.name, reason))
        }
        _ => {
            let reason =
                format!("offset {} lies far outside the file of {file_bytes} bytes", tensor.offset);
            Err(WeightsError::tensor(file, &tensor.name, reason))
        }
    }
}
