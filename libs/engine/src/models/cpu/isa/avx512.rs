//! Tiles of quantised products for AVX-512 with VNNI.

use std::arch::x86_64::*;

use super::super::groups::{Activation, Int4Group, Int8Group, Scale, WideInt8Group};
use super::super::lines::LANES;
use super::tile::{nth, of_length, prefetch, quad_bits};
use super::vnni::vnni_tiles;

/// Rows of the largest tile: 8 sums of either kind and the weights fit the 32 registers.
pub(super) const TILE_ROWS: usize = 8;

/// Sums that hide how long an addition takes.
const SUMS_IN_FLIGHT: usize = 4;

type Floats = __m512;
type Integers = __m512i;

vnni_tiles!("avx512f,avx512bw,avx512vl,avx512vnni");

#[inline]
#[target_feature(enable = "avx512f,avx512vnni")]
fn dot(sum: Integers, weights: Integers, x: Integers) -> Integers {
    _mm512_dpbusd_epi32(sum, weights, x)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn add(a: Integers, b: Integers) -> Integers {
    _mm512_add_epi32(a, b)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn zero() -> Floats {
    _mm512_setzero_ps()
}

#[inline]
#[target_feature(enable = "avx512f")]
fn splat(value: i32) -> Integers {
    _mm512_set1_epi32(value)
}

#[inline]
#[target_feature(enable = "avx512f")]
fn low_nibbles(bytes: Integers) -> Integers {
    _mm512_and_si512(bytes, _mm512_set1_epi8(15))
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn high_nibbles(bytes: Integers) -> Integers {
    low_nibbles(_mm512_srli_epi16::<4>(bytes))
}

/// Adds 128 to signed bytes: turns their sign bits.
#[inline]
#[target_feature(enable = "avx512f")]
fn moved_up(bytes: Integers) -> Integers {
    _mm512_xor_si512(bytes, _mm512_set1_epi8(-128))
}

/// `fma(a, b, sum)`
#[inline]
#[target_feature(enable = "avx512f")]
fn add_product(sum: Floats, a: Floats, b: f32) -> Floats {
    _mm512_fmadd_ps(a, _mm512_set1_ps(b), sum)
}

/// `fma(d·s, f32(integer), sum)`
#[inline]
#[target_feature(enable = "avx512f")]
fn add_scaled(sum: Floats, scales: Floats, scale: f32, integer: Integers) -> Floats {
    let scale = _mm512_mul_ps(scales, _mm512_set1_ps(scale));
    _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(integer), sum)
}

/// 64 bytes of weights.
#[inline]
#[target_feature(enable = "avx512f")]
fn load<T: Copy>(weights: &[[T; 4]; LANES]) -> Integers {
    const { assert!(size_of::<T>() == 1) };
    // SAFETY: they are 64 bytes, as was just checked; it needs no alignment.
    unsafe { _mm512_loadu_si512(weights.as_ptr().cast()) }
}

/// 16 scales in single precision.
#[inline]
#[target_feature(enable = "avx512f")]
fn widened<S: Scale>(scales: &[S; LANES]) -> Floats {
    const { assert!(size_of::<S>() == 2 || size_of::<S>() == 4) };
    if const { size_of::<S>() == 2 } {
        // SAFETY: both are 32 bytes, and every pattern of bits is valid for a register; scales of 2 bytes are `Half`.
        _mm512_cvtph_ps(unsafe { std::mem::transmute_copy::<[S; LANES], __m256i>(scales) })
    } else {
        // SAFETY: both are 64 bytes, and every pattern of bits is valid for a register; scales of 4 bytes are `f32`.
        unsafe { std::mem::transmute_copy::<[S; LANES], Floats>(scales) }
    }
}

#[inline(always)]
fn stored<const R: usize>(tile: [Floats; R]) -> [[f32; LANES]; R] {
    let mut all = [[0.0; LANES]; R];
    for (sums, out) in tile.into_iter().zip(&mut all) {
        // SAFETY: both are 64 bytes, and every pattern of bits is valid for an f32.
        *out = unsafe { std::mem::transmute::<Floats, [f32; LANES]>(sums) };
    }
    all
}
