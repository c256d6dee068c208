//! Decoding of stored tensors to f32, block by block, with the results of ggml's `dequantize_row_*` (`ggml-quants.c`) and
//! of the Python package `gguf`, from which the goldens come.

use half::{bf16, f16};

use super::Encoding;
use super::integers::{IntegerGroup, integer_groups};

/// Decodes as many whole blocks as both slices hold, and returns their number.
pub fn dequantize(encoding: Encoding, bytes: &[u8], values: &mut [f32]) -> usize {
    let blocks =
        (bytes.len() / encoding.block_bytes()).min(values.len() / encoding.block_elements());
    let bytes = &bytes[..blocks * encoding.block_bytes()];
    match encoding {
        Encoding::F32 => decode(bytes, values, f32::from_le_bytes),
        Encoding::F16 => decode(bytes, values, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Encoding::BF16 => decode(bytes, values, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        quantised => {
            let groups = integer_groups(quantised, bytes).into_iter().flatten();
            let values = values.as_chunks_mut::<{ IntegerGroup::LENGTH }>().0;
            for (group, values) in groups.zip(values) {
                *values = group.values();
            }
        }
    }
    blocks
}

fn decode<const BYTES: usize>(
    bytes: &[u8],
    values: &mut [f32],
    number: impl Fn([u8; BYTES]) -> f32,
) {
    for (bytes, value) in bytes.as_chunks::<BYTES>().0.iter().zip(values) {
        *value = number(*bytes);
    }
}
