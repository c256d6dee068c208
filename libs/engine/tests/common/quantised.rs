//! Quantises random weights as ggml's `quantize_row_*_ref` would, near enough.

use textnlp_engine::weights::{Blocks, Encoding, LayerTensor, Matrix, TensorRole, dequantize};

/// Bits of an IEEE 754 half-precision number near a value that is normal as one, rounded towards zero.
fn half(value: f32) -> [u8; 2] {
    let bits = value.to_bits();
    let sign = (bits >> 16) & 0x8000;
    let exponent = (bits >> 23) & 0xff;
    let half = if exponent < 113 { 0 } else { (exponent - 112) << 10 | (bits >> 13) & 0x3ff };
    ((sign | half) as u16).to_le_bytes()
}

/// Every type, a block whose parts share none (layer 1's queries, keys and values), vectors left as they are.
pub(crate) fn encoding(role: TensorRole) -> Option<Encoding> {
    use LayerTensor as T;
    match role {
        TensorRole::TokenEmbedding | TensorRole::Head => Some(Encoding::Q8_0),
        TensorRole::Layer(1, T::Value) => Some(Encoding::Q8_0),
        TensorRole::Layer(_, T::Query | T::Key | T::Value | T::Gate | T::Up) => {
            Some(Encoding::Q4_1)
        }
        TensorRole::Layer(0, T::Down) => Some(Encoding::Q4_0),
        TensorRole::Layer(_, T::AttentionOutput | T::Down) => Some(Encoding::Q8_0),
        _ => None,
    }
}

/// Rounds a matrix to blocks.
pub(crate) fn blocks(matrix: &Matrix, encoding: Encoding) -> Blocks {
    let mut bytes = Vec::new();
    for values in matrix.data.chunks(32) {
        let start = bytes.len();
        let largest = values.iter().copied().fold(f32::MIN, f32::max);
        let least = values.iter().copied().fold(f32::MAX, f32::min);
        let size = largest.max(-least);
        let (scale, zero) = match encoding {
            Encoding::Q4_0 => (size / 7.0, -8.0 * (size / 7.0)),
            Encoding::Q4_1 => ((largest - least) / 15.0, least),
            _ => (size / 127.0, 0.0),
        };
        bytes.extend(half(scale));
        if encoding == Encoding::Q4_1 {
            bytes.extend(half(least));
        }
        let integer = |value: f32| ((value - zero) / scale).round();
        if encoding == Encoding::Q8_0 {
            bytes.extend(values.iter().map(|value| integer(*value) as i8 as u8));
        } else {
            let nibble = |value: f32| integer(value).clamp(0.0, 15.0) as u8;
            bytes.extend((0..16).map(|j| nibble(values[j]) | nibble(values[j + 16]) << 4));
        }
        assert_eq!(bytes.len(), start + encoding.block_bytes());
    }
    Blocks::new(encoding, matrix.rows, matrix.columns, bytes).expect("whole blocks")
}

/// The values that blocks stand for.
pub(crate) fn decoded(blocks: &Blocks) -> Matrix {
    let mut data = vec![0.0; blocks.rows() * blocks.columns()];
    for (bytes, values) in blocks.row_bytes().zip(data.chunks_mut(blocks.columns())) {
        dequantize(blocks.encoding(), bytes, values);
    }
    Matrix { rows: blocks.rows(), columns: blocks.columns(), data }
}
