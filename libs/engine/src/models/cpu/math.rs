//! Element functions of the written order: our own polynomials, fused multiply-adds, no platform libm.

/// Adding 1.5 · 2²³ rounds to an integer (ties to even) and leaves that integer in the low bits of the sum.
const ROUND: f32 = 12_582_912.0;

/// The nearest integer, ties to even, of a number of at most 2²²; of any other, an integer without meaning.
#[inline(always)]
pub(super) fn round(x: f32) -> i32 {
    (x + ROUND).to_bits().wrapping_sub(ROUND.to_bits()) as i32
}

/// eˣ to 2 ulp, for x in [−86, 88.7]; 0 below, ∞ above, NaN for NaN.
///
/// Cephes' `expf`: x = n·ln 2 + r with |r| ≤ ln 2 / 2, then a polynomial of degree 7 in r (its last coefficient is ½ in f32), scaled by 2ⁿ.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    let mut p = 1.987_569_1e-4_f32;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, coefficient);
    }
    let e = p.mul_add(r * r, r) + 1.0;
    // 2ⁿ⁻¹ · 2, since 2¹²⁸ is no f32 while e · 2¹²⁸ may be one.
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(126);
    let y = e * f32::from_bits(exponent << 23) * 2.0;
    let y = if x < -86.0 { 0.0 } else { y };
    if x > 88.722_83 { f32::INFINITY } else { y }
}

/// x · sigmoid(x)
#[inline(always)]
pub(super) fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// GELU's tanh approximation, ½x(1 + tanh u) = x · sigmoid(2u) with u = √(2/π)(x + 0.044715x³).
#[inline(always)]
pub(super) fn gelu_tanh(x: f32) -> f32 {
    const TWO_ROOT_2_OVER_PI: f32 = 1.595_769_2;
    let cubic = (0.044_715 * x * x).mul_add(x, x);
    x / (1.0 + exp(-TWO_ROOT_2_OVER_PI * cubic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(low: f32, high: f32, ours: fn(f32) -> f32, reference: fn(f64) -> f64) -> f64 {
        let steps = 200_000;
        (0..=steps)
            .map(|i| low + (high - low) * i as f32 / steps as f32)
            .map(|x| {
                let expect = reference(f64::from(x));
                (f64::from(ours(x)) - expect).abs() / expect.abs().max(1e-30)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn exp_is_within_two_ulp_of_libm() {
        let error = worst(-86.0, 88.7, exp, libm::exp);
        assert!(error < 2.4e-7, "{error}");
    }

    #[test]
    fn exp_has_exact_limits() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(-86.1), 0.0);
        assert_eq!(exp(89.0), f32::INFINITY);
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn silu_and_gelu_are_within_tolerance_of_their_definitions() {
        let error = worst(-80.0, 80.0, silu, |x| x / (1.0 + libm::exp(-x)));
        assert!(error < 4e-7, "{error}");
        let gelu = |x: f64| {
            0.5 * x * (1.0 + libm::tanh(0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)))
        };
        // Where tanh has cancelled to −1 the definition itself has no digits left.
        let error = worst(-2.0, 10.0, gelu_tanh, gelu);
        assert!(error < 2e-6, "{error}");
        assert_eq!(gelu_tanh(-100.0), 0.0);
        assert_eq!(gelu_tanh(100.0), 100.0);
    }
}
