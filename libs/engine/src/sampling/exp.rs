//! The exponential function of the written order: plain IEEE operations in one order, the same bits everywhere.

/// Below this, `exp` is 0: 2^−1022 is e^−708.396, and smaller results would be subnormal.
const LOWEST: f64 = -708.0;

/// Adding 1.5 · 2^52 rounds to an integer, ties to even, and leaves that integer in the low bits of the sum.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// ln 2 in two parts (fdlibm): the first has 21 trailing zero bits, so that its product with n is exact.
const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// e^x for x ≤ 0, within 2 ulp; 0 below −708.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; Taylor's polynomial of degree 13 in r (its rest is below 2^−57) in Estrin's
/// order, multiply and add each rounded; times 2^n. No branch, so that the compiler can vectorise a loop over it.
#[inline(always)]
pub(super) fn exp(x: f64) -> f64 {
    let clamped = if x > LOWEST { x } else { LOWEST };
    let shifted = clamped * std::f64::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (clamped - n * LN_2_HIGH) - n * LN_2_LOW;
    let exponent = shifted.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(1023);
    let y = polynomial(r) * f64::from_bits(exponent << 52);
    if x > LOWEST { y } else { 0.0 }
}

/// The sum of r^k / k! for k from 0 to 13.
#[inline(always)]
fn polynomial(r: f64) -> f64 {
    let r2 = r * r;
    let r4 = r2 * r2;
    let k0 = 1.0 + r;
    let k2 = 1.0 / 2.0 + 1.0 / 6.0 * r;
    let k4 = 1.0 / 24.0 + 1.0 / 120.0 * r;
    let k6 = 1.0 / 720.0 + 1.0 / 5_040.0 * r;
    let k8 = 1.0 / 40_320.0 + 1.0 / 362_880.0 * r;
    let k10 = 1.0 / 3_628_800.0 + 1.0 / 39_916_800.0 * r;
    let k12 = 1.0 / 479_001_600.0 + 1.0 / 6_227_020_800.0 * r;
    let k8 = k8 + k10 * r2;
    let k4 = k4 + k6 * r2;
    let k4 = k4 + (k8 + k12 * r4) * r4;
    k0 + (k2 + k4 * r2) * r2
}

/// The weight of a logit: `exp((logit − maximum) / temperature)`.
#[inline(always)]
pub(super) fn weight(logit: f32, maximum: f32, temperature: f64) -> f64 {
    exp((f64::from(logit) - f64::from(maximum)) / temperature)
}

/// The weights of a row added up in the order of ids, sequentially.
pub(super) fn total_weight(values: &[f32], maximum: f32, temperature: f64) -> f64 {
    let mut total = 0.0;
    let mut weights = [0.0; 64];
    for chunk in values.chunks(weights.len()) {
        for (weight, &value) in weights.iter_mut().zip(chunk) {
            *weight = self::weight(value, maximum, temperature);
        }
        for weight in &weights[..chunk.len()] {
            total += weight;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_ulp_of_libm() {
        let steps = 400_000;
        for step in 0..=steps {
            for x in [
                -40.0 * f64::from(step) / f64::from(steps),
                -707.9 * f64::from(step) / f64::from(steps),
            ] {
                let (found, expect) = (exp(x), libm::exp(x));
                let ulps = found.to_bits().abs_diff(expect.to_bits());
                assert!(ulps <= 2, "exp({x}) = {found:e}, libm says {expect:e}");
            }
        }
    }

    #[test]
    fn exp_has_exact_ends_and_golden_bits() {
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-0.0), 1.0);
        assert_eq!(exp(-708.0), 0.0);
        assert_eq!(exp(f64::NEG_INFINITY), 0.0);
        // From a transcription to Python, whose floats are IEEE doubles. A change is a new numerics name.
        assert_eq!(exp(-0.3).to_bits(), 0x3fe7_b4c8_69c3_7c04);
        assert_eq!(exp(-1.0).to_bits(), 0x3fd7_8b56_362c_ef38);
        assert_eq!(exp(-41.25).to_bits(), 0x3c36_73f0_ec02_6e5d);
        assert_eq!(exp(-700.5).to_bits(), 0x00c4_ff47_5c68_ca02);
    }

    #[test]
    fn a_sum_over_chunks_is_the_sequential_sum() {
        let values: Vec<f32> = (0..203).map(|i| (i as f32 * 0.37).sin() * 9.0).collect();
        let expect = values.iter().fold(0.0, |sum, &value| sum + weight(value, 9.0, 0.7));
        assert_eq!(total_weight(&values, 9.0, 0.7).to_bits(), expect.to_bits());
    }
}
