//! Tiles of quantised products for AVX2, FMA and F16C: the same bits as the formulas in `groups`, an order of magnitude
//! sooner.
//!
//! The integer sums are exact: a nibble times an activation is at most 15 · 127, and 16 of those, the number that one
//! 16-bit lane adds up in a group, stay below 2¹⁵; |w| · a of two 8-bit weights is at most 2 · 128 · 127 < 2¹⁵.

use std::arch::asm;
use std::arch::x86_64::*;

use super::super::groups::{Activation, Int4Group, Int8Group, Scale, WideInt8Group};
use super::super::lines::LANES;
use super::tile::{nth, of_length, prefetch, quad_bits};

/// R × 16 sums in registers.
type Tile<T, const R: usize> = [[T; 2]; R];

/// Keeps a tile's sums in registers as they are: LLVM would reassociate the additions over the steps and run out of
/// registers (73 instead of 102 billion multiplications a second).
macro_rules! keep {
    ($tile:expr) => {
        for row in &mut $tile {
            for sum in row {
                let value = *sum;
                let kept: __m256i;
                // SAFETY: no instruction; the register keeps its value.
                unsafe {
                    asm!("/* {0} */", inlateout(ymm_reg) value => kept,
                        options(pure, nomem, nostack, preserves_flags));
                }
                *sum = kept;
            }
        }
    };
}

/// The sums of four-bit weights.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn int4_tile<S: Scale, const R: usize>(
    panel: &[Int4Group<S>],
    x: [&[Activation]; R],
) -> [[f32; LANES]; R] {
    let ones = _mm256_set1_epi16(1);
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    let x = of_length(x, panel.len());
    for (index, group) in panel.iter().enumerate() {
        prefetch(group);
        let x = nth(&x, index);
        let mut integers = [[_mm256_setzero_si256(); 2]; R];
        for (pair, weights) in group.nibbles.iter().enumerate() {
            let both = load_pair(weights);
            let even = [low_nibbles(both[0]), low_nibbles(both[1])];
            let odd = [high_nibbles(both[0]), high_nibbles(both[1])];
            for r in 0..R {
                let quads = &x[r].quads;
                let [first, second] = [quad(quads[2 * pair]), quad(quads[2 * pair + 1])];
                for c in 0..2 {
                    let product = _mm256_maddubs_epi16(even[c], first);
                    integers[r][c] = _mm256_add_epi16(integers[r][c], product);
                }
                for c in 0..2 {
                    let product = _mm256_maddubs_epi16(odd[c], second);
                    integers[r][c] = _mm256_add_epi16(integers[r][c], product);
                }
            }
            keep!(integers);
        }
        let (scales, minima) = (widened(&group.scales), widened(&group.minima));
        for r in 0..R {
            let scale = _mm256_set1_ps(x[r].scale);
            let sum = _mm256_set1_ps(x[r].sum);
            for c in 0..2 {
                let integer = _mm256_cvtepi32_ps(_mm256_madd_epi16(integers[r][c], ones));
                let with_minimum = _mm256_fmadd_ps(minima[c], sum, sums[r][c]);
                sums[r][c] =
                    _mm256_fmadd_ps(_mm256_mul_ps(scales[c], scale), integer, with_minimum);
            }
        }
    }
    store(sums)
}

/// The sums of eight-bit weights.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn int8_tile<const R: usize>(
    panel: &[Int8Group],
    x: [&[Activation]; R],
) -> [[f32; LANES]; R] {
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    let x = of_length(x, panel.len());
    for (index, group) in panel.iter().enumerate() {
        prefetch(group);
        let x = nth(&x, index);
        let mut integers = [[_mm256_setzero_si256(); 2]; R];
        for (step, weights) in group.quads.iter().enumerate() {
            add_quads(weights, &x, step, &mut integers);
            keep!(integers);
        }
        let scales = widened(&group.scales);
        for r in 0..R {
            let scale = _mm256_set1_ps(x[r].scale);
            for c in 0..2 {
                let integer = _mm256_cvtepi32_ps(integers[r][c]);
                sums[r][c] = _mm256_fmadd_ps(_mm256_mul_ps(scales[c], scale), integer, sums[r][c]);
            }
        }
    }
    store(sums)
}

/// The sums of eight-bit weights with minima and two scales a group.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) fn wide_int8_tile<const R: usize>(
    panel: &[WideInt8Group],
    x: [&[Activation]; R],
) -> [[f32; LANES]; R] {
    let mut sums = [[_mm256_setzero_ps(); 2]; R];
    let x = of_length(x, panel.len());
    for (index, group) in panel.iter().enumerate() {
        prefetch(group);
        let x = nth(&x, index);
        let minima = widened(&group.minima);
        for r in 0..R {
            let sum = _mm256_set1_ps(x[r].sum);
            for c in 0..2 {
                sums[r][c] = _mm256_fmadd_ps(minima[c], sum, sums[r][c]);
            }
        }
        let half = group.quads.len() / 2;
        for (part, (quads, scales)) in group.quads.chunks(half).zip(&group.scales).enumerate() {
            let mut integers = [[_mm256_setzero_si256(); 2]; R];
            for (step, weights) in quads.iter().enumerate() {
                add_quads(weights, &x, part * half + step, &mut integers);
                keep!(integers);
            }
            let scales = widened(scales);
            for r in 0..R {
                let scale = _mm256_set1_ps(x[r].scale);
                for c in 0..2 {
                    let integer = _mm256_cvtepi32_ps(integers[r][c]);
                    sums[r][c] =
                        _mm256_fmadd_ps(_mm256_mul_ps(scales[c], scale), integer, sums[r][c]);
                }
            }
        }
    }
    store(sums)
}

/// Adds the products of a quad of eight-bit weights, the group's number `step`, to R rows' sums.
#[inline]
#[target_feature(enable = "avx2")]
fn add_quads<const R: usize>(
    weights: &[[i8; 4]; LANES],
    x: &[&Activation; R],
    step: usize,
    integers: &mut Tile<__m256i, R>,
) {
    let ones = _mm256_set1_epi16(1);
    let weights = load_pair(weights);
    // |w| · (a · sign of w): one factor has to be unsigned, and |−128| is 128 as such.
    let sizes = [_mm256_abs_epi8(weights[0]), _mm256_abs_epi8(weights[1])];
    for r in 0..R {
        let x = quad(x[r].quads[step]);
        for c in 0..2 {
            let pairs = _mm256_maddubs_epi16(sizes[c], _mm256_sign_epi8(x, weights[c]));
            integers[r][c] = _mm256_add_epi32(integers[r][c], _mm256_madd_epi16(pairs, ones));
        }
    }
}

/// 64 bytes of weights as two registers.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load_pair<T: Copy>(weights: &[[T; 4]; LANES]) -> [__m256i; 2] {
    const { assert!(size_of::<T>() == 1) };
    let first = weights.as_ptr().cast::<__m256i>();
    // SAFETY: they are 64 bytes, as was just checked; it needs no alignment.
    unsafe { [_mm256_loadu_si256(first), _mm256_loadu_si256(first.add(1))] }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn low_nibbles(bytes: __m256i) -> __m256i {
    _mm256_and_si256(bytes, _mm256_set1_epi8(15))
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn high_nibbles(bytes: __m256i) -> __m256i {
    low_nibbles(_mm256_srli_epi16::<4>(bytes))
}

/// Four activations in every 32-bit lane.
#[inline]
#[target_feature(enable = "avx2")]
fn quad(quad: [i8; 4]) -> __m256i {
    _mm256_set1_epi32(quad_bits(quad))
}

/// 16 scales in single precision.
#[inline]
#[target_feature(enable = "avx2,f16c")]
pub(super) fn widened<S: Scale>(scales: &[S; LANES]) -> [__m256; 2] {
    const { assert!(size_of::<S>() == 2 || size_of::<S>() == 4) };
    if const { size_of::<S>() == 2 } {
        // SAFETY: both are 32 bytes, and every pattern of bits is valid for a register; scales of 2 bytes are `Half`.
        let [low, high] = unsafe { std::mem::transmute_copy::<[S; LANES], [__m128i; 2]>(scales) };
        [_mm256_cvtph_ps(low), _mm256_cvtph_ps(high)]
    } else {
        // SAFETY: both are 64 bytes, and every pattern of bits is valid for a register; scales of 4 bytes are `f32`.
        unsafe { std::mem::transmute_copy::<[S; LANES], [__m256; 2]>(scales) }
    }
}

#[inline(always)]
pub(super) fn store<const R: usize>(tile: Tile<__m256, R>) -> [[f32; LANES]; R] {
    let mut all = [[0.0; LANES]; R];
    for (row, sums) in tile.into_iter().zip(&mut all) {
        // SAFETY: both are 64 bytes, and every pattern of bits is valid for an f32.
        *sums = unsafe { std::mem::transmute::<[__m256; 2], [f32; LANES]>(row) };
    }
    all
}
