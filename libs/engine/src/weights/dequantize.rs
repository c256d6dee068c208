//! Stored tensor types and their decoding to f32, block by block, with the results of ggml's `dequantize_row_*`
//! (`ggml-quants.c`) and of the Python package `gguf`, from which the goldens below come.

use std::fmt;

use half::{bf16, f16};

/// Types that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)] // ggml's own names
pub enum Encoding {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of an f32.
    BF16,
    /// 32 elements: f16 scale, 4-bit values minus 8.
    Q4_0,
    /// 32 elements: f16 scale, f16 minimum, 4-bit values.
    Q4_1,
    /// 32 elements: f16 scale, 8-bit signed values.
    Q8_0,
}

impl Encoding {
    /// All of them, in the order in which messages list them.
    pub const ALL: [Encoding; 6] = [
        Encoding::F32,
        Encoding::F16,
        Encoding::BF16,
        Encoding::Q4_0,
        Encoding::Q4_1,
        Encoding::Q8_0,
    ];

    /// ggml's name, in capitals.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::F32 => "F32",
            Encoding::F16 => "F16",
            Encoding::BF16 => "BF16",
            Encoding::Q4_0 => "Q4_0",
            Encoding::Q4_1 => "Q4_1",
            Encoding::Q8_0 => "Q8_0",
        }
    }

    /// Elements of a block.
    pub fn block_elements(self) -> usize {
        match self {
            Encoding::F32 | Encoding::F16 | Encoding::BF16 => 1,
            Encoding::Q4_0 | Encoding::Q4_1 | Encoding::Q8_0 => 32,
        }
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        match self {
            Encoding::F32 => 4,
            Encoding::F16 | Encoding::BF16 => 2,
            Encoding::Q4_0 => 18,
            Encoding::Q4_1 => 20,
            Encoding::Q8_0 => 34,
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Decodes as many whole blocks as both slices hold, and returns their number.
pub fn dequantize(encoding: Encoding, bytes: &[u8], values: &mut [f32]) -> usize {
    let blocks =
        (bytes.len() / encoding.block_bytes()).min(values.len() / encoding.block_elements());
    match encoding {
        Encoding::F32 => {
            decode::<4, 1>(bytes, values, |block, out| out[0] = f32::from_le_bytes(*block))
        }
        Encoding::F16 => {
            decode::<2, 1>(bytes, values, |block, out| out[0] = f16::from_le_bytes(*block).to_f32())
        }
        Encoding::BF16 => decode::<2, 1>(bytes, values, |block, out| {
            out[0] = bf16::from_le_bytes(*block).to_f32()
        }),
        Encoding::Q4_0 => decode::<18, 32>(bytes, values, q4_0),
        Encoding::Q4_1 => decode::<20, 32>(bytes, values, q4_1),
        Encoding::Q8_0 => decode::<34, 32>(bytes, values, q8_0),
    }
    blocks
}

fn decode<const BYTES: usize, const ELEMENTS: usize>(
    bytes: &[u8],
    values: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [f32; ELEMENTS]),
) {
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let (outputs, _) = values.as_chunks_mut::<ELEMENTS>();
    for (input, output) in blocks.iter().zip(outputs) {
        block(input, output);
    }
}

fn q4_0(block: &[u8; 18], out: &mut [f32; 32]) {
    let d = f16::from_le_bytes([block[0], block[1]]).to_f32();
    for j in 0..16 {
        out[j] = (i32::from(block[2 + j] & 15) - 8) as f32 * d;
        out[j + 16] = (i32::from(block[2 + j] >> 4) - 8) as f32 * d;
    }
}

fn q4_1(block: &[u8; 20], out: &mut [f32; 32]) {
    let d = f16::from_le_bytes([block[0], block[1]]).to_f32();
    let m = f16::from_le_bytes([block[2], block[3]]).to_f32();
    // The product is exact in f32 (11 bits by 4), so a fused multiply-add would give the same bits.
    for j in 0..16 {
        out[j] = f32::from(block[4 + j] & 15) * d + m;
        out[j + 16] = f32::from(block[4 + j] >> 4) * d + m;
    }
}

fn q8_0(block: &[u8; 34], out: &mut [f32; 32]) {
    let d = f16::from_le_bytes([block[0], block[1]]).to_f32();
    for j in 0..32 {
        out[j] = f32::from(block[2 + j] as i8) * d;
    }
}
