//! Quantised weights and activations in groups of 32 inputs, and the written order of their products.
//!
//! A weight is d·q + m and an activation s·a, with integers q and a; d and m belong to an output and a group of inputs, s
//! to a row and a group. Per output, groups ascending: `acc = fma(m, t, acc); acc = fma(d·s, f32(Σ q·a), acc)`, where
//! t = s·Σa and where the first step falls away if weights have no minimum; where they have a d for each half of the group,
//! the second step is done for one half and then for the other. The sums of integers are exact however they
//! are added up, so every instruction set yields the same bits. This module has the formulas; `isa` the fast versions.

use half::f16;

use super::lines::{LANES, largest};
use super::math;
use crate::weights::IntegerGroup;

/// Inputs of a group.
pub(super) const GROUP: usize = 32;

/// Inputs that lie side by side for each output: what the processor multiplies and adds in one 32-bit lane.
const QUAD: usize = 4;

/// A group of activations of one row.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C)]
pub(super) struct Activation {
    /// The integers, −127 to 127, in order.
    pub(super) quads: [[i8; QUAD]; GROUP / QUAD],
    /// s
    pub(super) scale: f32,
    /// t = s · Σ of the integers
    pub(super) sum: f32,
    /// Σ of the integers of each half.
    pub(super) totals: [i16; 2],
}

impl Activation {
    pub(super) const ZERO: Activation =
        Activation { quads: [[0; QUAD]; GROUP / QUAD], scale: 0.0, sum: 0.0, totals: [0; 2] };

    /// Quantises a group: s = amax/127, a = x·(127/amax) rounded to even.
    ///
    /// A group of zeros stays zero, and so does one so small that 127/amax overflows. One with a NaN or an infinity
    /// gets a NaN for a scale, so that it fails its own row and no other.
    #[inline(always)]
    pub(super) fn quantise(x: [&[f32; LANES]; GROUP / LANES]) -> Activation {
        let largest = largest(x);
        let inverse = 127.0 / largest;
        if !largest.is_finite() {
            return Activation { scale: f32::NAN, sum: f32::NAN, ..Activation::ZERO };
        }
        if !inverse.is_finite() {
            return Activation::ZERO;
        }
        let mut quads = [[0; QUAD]; GROUP / QUAD];
        let mut totals = [0; 2];
        let (integers, _) = quads.as_flattened_mut().as_chunks_mut::<LANES>();
        for ((x, integers), total) in x.into_iter().zip(integers).zip(&mut totals) {
            for (x, integer) in x.iter().zip(integers) {
                let rounded = math::round(x * inverse);
                *total += rounded as i16;
                *integer = rounded as i8;
            }
        }
        let scale = largest / 127.0;
        let sum = scale * f32::from(totals[0] + totals[1]);
        Activation { quads, scale, sum, totals }
    }
}

/// A scale or minimum as a panel keeps it.
pub(super) trait Scale: Copy + Send + Sync + std::fmt::Debug + 'static {
    /// `None` if it is another number in this form.
    fn exact(value: f32) -> Option<Self>;
    fn get(self) -> f32;
}

/// Half precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Half(pub(super) u16);

impl Scale for Half {
    fn exact(value: f32) -> Option<Half> {
        let half = f16::from_f32(value);
        (half.to_f32() == value || value.is_nan()).then_some(Half(half.to_bits()))
    }

    fn get(self) -> f32 {
        f16::from_bits(self.0).to_f32()
    }
}

impl Scale for f32 {
    fn exact(value: f32) -> Option<f32> {
        Some(value)
    }

    fn get(self) -> f32 {
        self
    }
}

/// Weights of 16 outputs for a group of inputs.
pub(super) trait Group: Copy + Send + Sync + 'static {
    /// Takes one output's weights; `false` if they cannot be said in this form.
    fn set(&mut self, output: usize, weights: &IntegerGroup) -> bool;
    /// The weight that multiplies an input, as the file means it.
    fn weight(&self, output: usize, input: usize) -> f32;
    /// The product's sums of one group, and their use: a step of the written order for R rows.
    fn step<const R: usize>(&self, x: [&Activation; R], sums: &mut [[f32; LANES]; R]);
}

/// Four-bit weights, d and m of each output: 320 bytes with those in half precision, 384 in single.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Int4Group<S> {
    /// d
    pub(super) scales: [S; LANES],
    /// m
    pub(super) minima: [S; LANES],
    /// Of each two quads of inputs and each output: the even quad in the low nibbles, the odd one in the high ones.
    pub(super) nibbles: [[[u8; QUAD]; LANES]; GROUP / QUAD / 2],
}

/// Eight-bit weights without minima, 544 bytes.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(32))]
pub(super) struct Int8Group {
    /// d of each output.
    pub(super) scales: [Half; LANES],
    /// Of each quad of inputs and each output.
    pub(super) quads: [[[i8; QUAD]; LANES]; GROUP / QUAD],
}

/// Eight-bit weights with a minimum and with a scale for each half of the inputs, 704 bytes: holds all that files have.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct WideInt8Group {
    /// d of each half and output.
    pub(super) scales: [[f32; LANES]; 2],
    /// m
    pub(super) minima: [f32; LANES],
    /// Of each quad of inputs and each output.
    pub(super) quads: [[[i8; QUAD]; LANES]; GROUP / QUAD],
}

impl<S: Scale> Group for Int4Group<S> {
    fn set(&mut self, output: usize, weights: &IntegerGroup) -> bool {
        let IntegerGroup { integers, offset, scales: [scale, other], minimum } = *weights;
        // d·(q − 8) = d·q − 8d: only an absurdly large d has no such minimum.
        let minimum = minimum - f32::from(offset) * scale;
        let fits = integers.iter().all(|integer| (0..16).contains(integer));
        let one = scale == other || scale.is_nan();
        let (true, Some(scale), Some(minimum)) = (fits && one, S::exact(scale), S::exact(minimum))
        else {
            return false;
        };
        self.scales[output] = scale;
        self.minima[output] = minimum;
        let element = |index: usize| integers[index] as u8;
        for (pair, quads) in self.nibbles.iter_mut().enumerate() {
            let first = pair * 2 * QUAD;
            quads[output] =
                std::array::from_fn(|k| element(first + k) | element(first + QUAD + k) << 4);
        }
        true
    }

    fn weight(&self, output: usize, input: usize) -> f32 {
        let byte = self.nibbles[input / QUAD / 2][output][input % QUAD];
        let integer = byte >> (input / QUAD % 2 * 4) & 15;
        f32::from(integer) * self.scales[output].get() + self.minima[output].get()
    }

    #[inline(always)]
    fn step<const R: usize>(&self, x: [&Activation; R], sums: &mut [[f32; LANES]; R]) {
        for (x, sums) in x.into_iter().zip(sums) {
            let mut integers = [0; LANES];
            for (weights, x) in self.nibbles.iter().zip(x.quads.as_chunks::<2>().0) {
                for (weights, integer) in weights.iter().zip(&mut integers) {
                    for k in 0..QUAD {
                        *integer += i32::from(weights[k] & 15) * i32::from(x[0][k])
                            + i32::from(weights[k] >> 4) * i32::from(x[1][k]);
                    }
                }
            }
            for (output, sum) in sums.iter_mut().enumerate() {
                *sum = self.minima[output].get().mul_add(x.sum, *sum);
                let scale = self.scales[output].get() * x.scale;
                *sum = scale.mul_add(integers[output] as f32, *sum);
            }
        }
    }
}

impl Group for Int8Group {
    fn set(&mut self, output: usize, weights: &IntegerGroup) -> bool {
        let IntegerGroup { scales: [scale, other], minimum, .. } = *weights;
        let one = scale == other || scale.is_nan();
        let (true, Some(scale)) = (one && minimum == 0.0, Half::exact(scale)) else {
            return false;
        };
        self.scales[output] = scale;
        set_quads(&mut self.quads, output, weights);
        true
    }

    fn weight(&self, output: usize, input: usize) -> f32 {
        f32::from(self.quads[input / QUAD][output][input % QUAD]) * self.scales[output].get()
    }

    #[inline(always)]
    fn step<const R: usize>(&self, x: [&Activation; R], sums: &mut [[f32; LANES]; R]) {
        for (x, sums) in x.into_iter().zip(sums) {
            let integers = sums_of_quads(&self.quads, &x.quads);
            for (output, sum) in sums.iter_mut().enumerate() {
                let scale = self.scales[output].get() * x.scale;
                *sum = scale.mul_add(integers[output] as f32, *sum);
            }
        }
    }
}

impl Group for WideInt8Group {
    fn set(&mut self, output: usize, weights: &IntegerGroup) -> bool {
        for (half, scale) in self.scales.iter_mut().zip(weights.scales) {
            half[output] = scale;
        }
        self.minima[output] = weights.minimum;
        set_quads(&mut self.quads, output, weights);
        true
    }

    fn weight(&self, output: usize, input: usize) -> f32 {
        let integer = f32::from(self.quads[input / QUAD][output][input % QUAD]);
        integer * self.scales[input / LANES][output] + self.minima[output]
    }

    #[inline(always)]
    fn step<const R: usize>(&self, x: [&Activation; R], sums: &mut [[f32; LANES]; R]) {
        const HALF: usize = GROUP / QUAD / 2;
        for (x, sums) in x.into_iter().zip(sums) {
            let first = sums_of_quads(&self.quads[..HALF], &x.quads[..HALF]);
            let second = sums_of_quads(&self.quads[HALF..], &x.quads[HALF..]);
            for (output, sum) in sums.iter_mut().enumerate() {
                *sum = self.minima[output].mul_add(x.sum, *sum);
                for (scales, integers) in self.scales.iter().zip([&first, &second]) {
                    *sum = (scales[output] * x.scale).mul_add(integers[output] as f32, *sum);
                }
            }
        }
    }
}

fn set_quads(quads: &mut [[[i8; QUAD]; LANES]], output: usize, weights: &IntegerGroup) {
    let integers = weights.integers.map(|integer| integer - weights.offset);
    for (quad, integers) in quads.iter_mut().zip(integers.as_chunks::<QUAD>().0) {
        quad[output] = *integers;
    }
}

#[inline(always)]
fn sums_of_quads(weights: &[[[i8; QUAD]; LANES]], x: &[[i8; QUAD]]) -> [i32; LANES] {
    let mut integers = [0; LANES];
    for (weights, x) in weights.iter().zip(x) {
        for (weights, integer) in weights.iter().zip(&mut integers) {
            for k in 0..QUAD {
                *integer += i32::from(weights[k]) * i32::from(x[k]);
            }
        }
    }
    integers
}

/// A tile's sums over all groups of a panel, by the formulas.
#[inline(always)]
pub(super) fn tile<G: Group, const R: usize>(
    panel: &[G],
    x: [&[Activation]; R],
) -> [[f32; LANES]; R] {
    let mut sums = [[0.0; LANES]; R];
    for (index, group) in panel.iter().enumerate() {
        group.step(std::array::from_fn(|r| &x[r][index]), &mut sums);
    }
    sums
}

#[cfg(test)]
#[path = "groups_tests.rs"]
mod tests;
