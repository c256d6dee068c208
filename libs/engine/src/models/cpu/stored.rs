//! [`Stored`], sixteen numbers as memory keeps them: weights, keys and values in floating point, and keys and values in eight
//! bits.

use super::lines::{LANES, Line, largest};
use super::math;

/// Sixteen numbers in memory.
pub(super) trait Stored: Copy + Send + Sync + std::fmt::Debug {
    /// One of them.
    type Number: Copy;
    /// All zero.
    const ZERO: Self;
    /// The numbers.
    fn lanes(&self) -> &[Self::Number; LANES];
    /// The numbers, to be written.
    fn lanes_mut(&mut self) -> &mut [Self::Number; LANES];
    /// In f32.
    fn widen(&self) -> Line;
}

/// Numbers in floating point: each is rounded by itself.
pub(super) trait Float: Stored {
    /// Rounded to what is stored.
    fn round(value: f32) -> Self::Number;

    /// All lanes, rounded.
    #[inline(always)]
    fn narrow(line: &Line) -> Self {
        let mut stored = Self::ZERO;
        for (number, &value) in stored.lanes_mut().iter_mut().zip(&line.0) {
            *number = Self::round(value);
        }
        stored
    }
}

/// What a vector is divided by before it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// What its numbers are multiplied with when they are read.
    pub(super) scale: f32,
    /// What they are multiplied with before they are rounded.
    pub(super) inverse: f32,
}

/// A form of keys and values.
pub(super) trait Cached: Stored {
    /// Whether each vector has a scale of its own.
    const SCALED: bool;
    /// That scale.
    fn scale(vector: &[Line]) -> Scale;
    /// Sixteen numbers of a vector, rounded.
    fn quantise(line: &Line, scale: Scale) -> Self;
}

impl<F: Float> Cached for F {
    const SCALED: bool = false;

    #[inline(always)]
    fn scale(_vector: &[Line]) -> Scale {
        Scale { scale: 1.0, inverse: 1.0 }
    }

    #[inline(always)]
    fn quantise(line: &Line, _scale: Scale) -> F {
        F::narrow(line)
    }
}

impl Stored for Line {
    type Number = f32;
    const ZERO: Line = Line::ZERO;

    #[inline(always)]
    fn lanes(&self) -> &[f32; LANES] {
        &self.0
    }

    #[inline(always)]
    fn lanes_mut(&mut self) -> &mut [f32; LANES] {
        &mut self.0
    }

    #[inline(always)]
    fn widen(&self) -> Line {
        *self
    }
}

impl Float for Line {
    #[inline(always)]
    fn round(value: f32) -> f32 {
        value
    }
}

/// Sixteen bfloat16: the upper halves of f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(32))]
pub(super) struct ShortLine([u16; LANES]);

impl Stored for ShortLine {
    type Number = u16;
    const ZERO: ShortLine = ShortLine([0; LANES]);

    #[inline(always)]
    fn lanes(&self) -> &[u16; LANES] {
        &self.0
    }

    #[inline(always)]
    fn lanes_mut(&mut self) -> &mut [u16; LANES] {
        &mut self.0
    }

    #[inline(always)]
    fn widen(&self) -> Line {
        let mut line = Line::ZERO;
        for (wide, &short) in line.0.iter_mut().zip(&self.0) {
            *wide = f32::from_bits(u32::from(short) << 16);
        }
        line
    }
}

impl Float for ShortLine {
    #[inline(always)]
    fn round(value: f32) -> u16 {
        bf16(value)
    }
}

/// Rounds to the nearest bfloat16, ties to even; a NaN stays one.
#[inline(always)]
fn bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    // Quiet, so that it does not become an infinity where its upper half is empty.
    let nan = (bits >> 16) as u16 | 0x40;
    let rounded = (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16;
    if value.is_nan() { nan } else { rounded }
}

/// Sixteen integers from −127 to 127 of vectors that have scales.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(16))]
pub(super) struct ByteLine([i8; LANES]);

impl Stored for ByteLine {
    type Number = i8;
    const ZERO: ByteLine = ByteLine([0; LANES]);

    #[inline(always)]
    fn lanes(&self) -> &[i8; LANES] {
        &self.0
    }

    #[inline(always)]
    fn lanes_mut(&mut self) -> &mut [i8; LANES] {
        &mut self.0
    }

    #[inline(always)]
    fn widen(&self) -> Line {
        let mut line = Line::ZERO;
        for (wide, &byte) in line.0.iter_mut().zip(&self.0) {
            *wide = f32::from(byte);
        }
        line
    }
}

impl Cached for ByteLine {
    const SCALED: bool = true;

    /// amax/127, and 127/amax to multiply with.
    ///
    /// Of zeros it is zero, and so it is of a vector so small that 127/amax overflows. With a NaN or an infinity it is a NaN,
    /// which fails the rows that read the vector, whatever its integers are.
    #[inline(always)]
    fn scale(vector: &[Line]) -> Scale {
        let largest = largest(vector.iter().map(|line| &line.0));
        let inverse = 127.0 / largest;
        if !largest.is_finite() {
            Scale { scale: f32::NAN, inverse: 0.0 }
        } else if !inverse.is_finite() {
            Scale { scale: 0.0, inverse: 0.0 }
        } else {
            Scale { scale: largest / 127.0, inverse }
        }
    }

    /// x·(127/amax), rounded to even.
    #[inline(always)]
    fn quantise(line: &Line, scale: Scale) -> ByteLine {
        let mut bytes = ByteLine::ZERO;
        for (byte, &value) in bytes.0.iter_mut().zip(&line.0) {
            *byte = math::round(value * scale.inverse) as i8;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bfloat16_is_the_nearest_one_with_ties_to_even() {
        // Neighbours of 1 are 2⁻⁷ apart above it.
        let ulp = 1.0 / 128.0;
        let wide = |value: f32| f32::from_bits(u32::from(bf16(value)) << 16);
        assert_eq!(wide(1.0 + 0.49 * ulp), 1.0);
        assert_eq!(wide(1.0 + 0.5 * ulp), 1.0, "a tie goes to the even one below");
        assert_eq!(wide(1.0 + 1.5 * ulp), 1.0 + 2.0 * ulp, "a tie goes to the even one above");
        assert_eq!(wide(-1.0 - 0.51 * ulp), -1.0 - ulp);
        assert_eq!(wide(f32::INFINITY), f32::INFINITY);
        assert_eq!(wide(f32::MAX), f32::INFINITY);
        assert_eq!(wide(-0.0).to_bits(), (-0.0_f32).to_bits());
        assert!(wide(f32::NAN).is_nan());
        assert!(wide(f32::from_bits(0x7f80_0001)).is_nan(), "its payload is all in the lower half");
    }

    /// A vector of two lines as eight bits say it.
    fn bytes(vector: &[Line; 2]) -> (f32, [[i8; LANES]; 2]) {
        let scale = ByteLine::scale(vector);
        (scale.scale, vector.map(|line| ByteLine::quantise(&line, scale).0))
    }

    #[test]
    fn bytes_are_the_nearest_integers_with_ties_to_even() {
        // The largest is 127 · 2⁻⁴, so that a step is exactly 2⁻⁴.
        let steps = |steps: f32| steps / 16.0;
        let mut vector = [Line::ZERO; 2];
        vector[0].0[..7].copy_from_slice(&[0.5, 1.5, -2.5, 2.51, -126.5, 0.49, 3.0].map(steps));
        vector[1].0[15] = steps(-127.0);
        let (scale, bytes) = bytes(&vector);
        assert_eq!(scale, 1.0 / 16.0);
        assert_eq!(bytes[0][..8], [0, 2, -2, 3, -126, 0, 3, 0]);
        assert_eq!((bytes[1][0], bytes[1][15]), (0, -127));
        assert_eq!(ByteLine(bytes[0]).widen().0[4], -126.0);
    }

    #[test]
    fn vectors_without_a_scale_are_zeros_or_fail_who_reads_them() {
        let vector = |value: f32| {
            let mut vector = [Line::ZERO; 2];
            vector[1].0[3] = value;
            vector
        };
        for value in [0.0, -0.0, 1e-40] {
            assert_eq!(bytes(&vector(value)), (0.0, [[0; LANES]; 2]), "{value}");
        }
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(bytes(&vector(value)).0.is_nan(), "{value}");
        }
        let (scale, bytes) = bytes(&vector(f32::MAX));
        assert_eq!((scale, bytes[1][3]), (f32::MAX / 127.0, 127));
    }
}
