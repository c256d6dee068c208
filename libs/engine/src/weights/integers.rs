//! Quantised blocks taken apart into integers, scales and minima: the one form that decoding and packing start from.
//! Layouts are those of ggml's `ggml-common.h`.

use half::f16;

use super::Encoding;

/// 32 stored weights: number i is `(integers[i] − offset) · scales[i / 16] + minimum`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IntegerGroup {
    /// As stored.
    pub integers: [i8; IntegerGroup::LENGTH],
    /// That of the type, what `integers` have to be lowered by.
    pub offset: i8,
    /// Of each half; the same number twice in all types but `Q6_K`.
    pub scales: [f32; 2],
    /// −0 where a type has none, which changes no sum.
    pub minimum: f32,
}

impl IntegerGroup {
    /// Weights of a group.
    pub const LENGTH: usize = 32;

    /// No weights.
    pub const ZERO: IntegerGroup =
        IntegerGroup { integers: [0; Self::LENGTH], offset: 0, scales: [0.0; 2], minimum: -0.0 };

    /// The weights' values.
    pub fn values(&self) -> [f32; IntegerGroup::LENGTH] {
        // No fused multiply-add: the products are exact (at most 22 bits), so it would give the same bits.
        std::array::from_fn(|i| {
            f32::from(self.integers[i] - self.offset) * self.scales[i / 16] + self.minimum
        })
    }

    /// Rounds weights to eight bits as ggml's `quantize_row_q8_0_ref` does; `None` if half precision cannot hold the
    /// scale, as with weights that are no finite numbers.
    pub fn nearest_8_bits(weights: &[f32; IntegerGroup::LENGTH]) -> Option<IntegerGroup> {
        let largest = weights.iter().fold(0.0_f32, |largest, weight| larger(largest, weight.abs()));
        let scale = largest / 127.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let integer = |i: usize| (weights[i] * inverse).round() as i8;
        Some(IntegerGroup::lowered([finite_half(scale)?; 2], 0, integer))
    }

    /// Rounds weights to four bits and a minimum as ggml's `quantize_row_q4_1_ref` does; `None` as above.
    pub fn nearest_4_bits(weights: &[f32; IntegerGroup::LENGTH]) -> Option<IntegerGroup> {
        let largest = weights.iter().copied().fold(f32::NEG_INFINITY, larger);
        let least = -weights.iter().fold(f32::NEG_INFINITY, |most, weight| larger(most, -weight));
        let scale = (largest - least) / 15.0;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        let integer = |i: usize| ((weights[i] - least) * inverse + 0.5).min(15.0) as i8;
        Some(IntegerGroup::new(finite_half(scale)?, finite_half(least)?, integer))
    }

    /// Without an offset.
    fn new(scale: f32, minimum: f32, integer: impl Fn(usize) -> i8) -> IntegerGroup {
        let integers = std::array::from_fn(integer);
        IntegerGroup { integers, offset: 0, scales: [scale; 2], minimum }
    }

    /// Without a minimum.
    fn lowered(scales: [f32; 2], offset: i8, integer: impl Fn(usize) -> i8) -> IntegerGroup {
        IntegerGroup { integers: std::array::from_fn(integer), offset, scales, minimum: -0.0 }
    }
}

/// The nearest number in half precision.
fn finite_half(value: f32) -> Option<f32> {
    let half = f16::from_f32(value);
    half.is_finite().then(|| half.to_f32())
}

/// NaN if one of them is.
fn larger(a: f32, b: f32) -> f32 {
    if a >= b || a.is_nan() { a } else { b }
}

/// Takes blocks apart, each into its elements / 32 groups; `None` unless it is an array of whole quantised blocks.
pub fn integer_groups(
    encoding: Encoding,
    bytes: &[u8],
) -> Option<impl Iterator<Item = IntegerGroup>> {
    let per_block = encoding.block_elements() / IntegerGroup::LENGTH;
    let whole = per_block > 0 && bytes.len().is_multiple_of(encoding.block_bytes());
    let blocks = whole.then(|| bytes.chunks_exact(encoding.block_bytes()))?;
    Some(
        blocks
            .flat_map(move |block| (0..per_block).map(move |index| group(encoding, block, index))),
    )
}

/// Group `index` of a whole block.
fn group(encoding: Encoding, block: &[u8], index: usize) -> IntegerGroup {
    let half = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    // Byte i holds elements i and i + 16.
    let nibble = |bytes: &[u8], i: usize| (bytes[i % 16] >> (i / 16 * 4) & 15) as i8;
    let bit = |bytes: &[u8], i: usize| (bytes[i / 8] >> (i % 8) & 1) as i8;
    match encoding {
        Encoding::Q4_0 => IntegerGroup::lowered([half(0); 2], 8, |i| nibble(&block[2..], i)),
        Encoding::Q4_1 => IntegerGroup::new(half(0), half(2), |i| nibble(&block[4..], i)),
        Encoding::Q5_0 => IntegerGroup::lowered([half(0); 2], 16, |i| {
            nibble(&block[6..], i) | bit(&block[2..], i) << 4
        }),
        Encoding::Q5_1 => IntegerGroup::new(half(0), half(2), |i| {
            nibble(&block[8..], i) | bit(&block[4..], i) << 4
        }),
        Encoding::Q8_0 => IntegerGroup::lowered([half(0); 2], 0, |i| block[2 + i] as i8),
        Encoding::Q4_K => {
            let (scale, minimum) = six_bits(&block[4..16], index);
            let nibbles = &block[16..][index / 2 * 32..];
            IntegerGroup::new(half(0) * scale, -(half(2) * minimum), |i| {
                (nibbles[i] >> (index % 2 * 4) & 15) as i8
            })
        }
        Encoding::Q5_K => {
            let (scale, minimum) = six_bits(&block[4..16], index);
            let (bits, nibbles) = (&block[16..], &block[48..][index / 2 * 32..]);
            IntegerGroup::new(half(0) * scale, -(half(2) * minimum), |i| {
                (nibbles[i] >> (index % 2 * 4) & 15 | (bits[i] >> index & 1) << 4) as i8
            })
        }
        Encoding::Q6_K => {
            let nibbles = &block[index / 4 * 64 + index % 2 * 32..];
            let bits = &block[128..][index / 4 * 32..];
            let scale = |half_group: usize| {
                half(208) * f32::from(block[192 + 2 * index + half_group] as i8)
            };
            let integer = |i: usize| {
                let low = nibbles[i] >> (index / 2 % 2 * 4) & 15;
                (low | (bits[i] >> (index % 4 * 2) & 3) << 4) as i8
            };
            IntegerGroup::lowered([scale(0), scale(1)], 32, integer)
        }
        Encoding::F32 | Encoding::F16 | Encoding::BF16 => IntegerGroup::ZERO,
    }
}

/// Scale and minimum of a group: eight pairs of six bits in twelve bytes, the upper two bits of the last four pairs in the
/// first eight bytes.
fn six_bits(bytes: &[u8], index: usize) -> (f32, f32) {
    let (scale, minimum) = if index < 4 {
        (bytes[index] & 63, bytes[index + 4] & 63)
    } else {
        let low = bytes[index + 4];
        (low & 15 | bytes[index - 4] >> 6 << 4, low >> 4 | bytes[index] >> 6 << 4)
    };
    (f32::from(scale), f32::from(minimum))
}
