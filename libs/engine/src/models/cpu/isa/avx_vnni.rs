//! Tiles of quantised products for VNNI in registers of 256 bits: of processors with AVX-VNNI but without AVX-512, and of
//! those with both, where it is another way to the same bits.

use std::arch::x86_64::*;

use super::super::groups::{Activation, Int4Group, Int8Group, Scale, WideInt8Group};
use super::super::lines::LANES;
use super::avx2::{
    high_nibbles as high, load_pair as load, low_nibbles as low, store as stored, widened,
};
use super::tile::{nth, of_length, prefetch, quad_bits};
use super::vnni::vnni_tiles;

/// Sums that hide how long an addition takes: each row has two.
const SUMS_IN_FLIGHT: usize = 3;

type Floats = [__m256; 2];
type Integers = [__m256i; 2];

/// By the instruction of AVX-VNNI.
pub(super) mod vex {
    use super::*;

    vnni_tiles!("avx2,fma,f16c,avxvnni");

    #[inline]
    #[target_feature(enable = "avxvnni")]
    fn dot(sum: Integers, weights: Integers, x: Integers) -> Integers {
        let part = |c: usize| _mm256_dpbusd_avx_epi32(sum[c], weights[c], x[c]);
        [part(0), part(1)]
    }
}

/// By the same instruction of AVX-512VL.
pub(super) mod evex {
    use super::*;

    vnni_tiles!("avx2,fma,f16c,avx512vl,avx512vnni");

    #[inline]
    #[target_feature(enable = "avx512vl,avx512vnni")]
    fn dot(sum: Integers, weights: Integers, x: Integers) -> Integers {
        let part = |c: usize| _mm256_dpbusd_epi32(sum[c], weights[c], x[c]);
        [part(0), part(1)]
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(a: Integers, b: Integers) -> Integers {
    [_mm256_add_epi32(a[0], b[0]), _mm256_add_epi32(a[1], b[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
fn zero() -> Floats {
    [_mm256_setzero_ps(); 2]
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(value: i32) -> Integers {
    [_mm256_set1_epi32(value); 2]
}

#[inline]
#[target_feature(enable = "avx2")]
fn low_nibbles(bytes: Integers) -> Integers {
    [low(bytes[0]), low(bytes[1])]
}

#[inline]
#[target_feature(enable = "avx2")]
fn high_nibbles(bytes: Integers) -> Integers {
    [high(bytes[0]), high(bytes[1])]
}

/// Adds 128 to signed bytes: turns their sign bits.
#[inline]
#[target_feature(enable = "avx2")]
fn moved_up(bytes: Integers) -> Integers {
    let sign = _mm256_set1_epi8(-128);
    [_mm256_xor_si256(bytes[0], sign), _mm256_xor_si256(bytes[1], sign)]
}

/// `fma(a, b, sum)`
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_product(sum: Floats, a: Floats, b: f32) -> Floats {
    let b = _mm256_set1_ps(b);
    [_mm256_fmadd_ps(a[0], b, sum[0]), _mm256_fmadd_ps(a[1], b, sum[1])]
}

/// `fma(d·s, f32(integer), sum)`
#[inline]
#[target_feature(enable = "avx2,fma")]
fn add_scaled(sum: Floats, scales: Floats, scale: f32, integer: Integers) -> Floats {
    let scale = _mm256_set1_ps(scale);
    let part = |c: usize| {
        let scale = _mm256_mul_ps(scales[c], scale);
        _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(integer[c]), sum[c])
    };
    [part(0), part(1)]
}
