//! Divisors of the rotary frequencies for scaled contexts.

use std::f64::consts::PI;

/// `rope_type: llama3`, the parameters of Llama 3.1's scaling.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Llama3 {
    pub(super) factor: f64,
    pub(super) low_freq_factor: f64,
    pub(super) high_freq_factor: f64,
    pub(super) original_context: f64,
}

impl Llama3 {
    /// For each pair of a head, what its frequency is divided by. Oracle: `_compute_llama3_parameters` of
    /// transformers (`modeling_rope_utils.py`); the smoothed band is its formula divided by the unscaled frequency.
    pub(super) fn factors(&self, theta: f32, head_dim: usize) -> Vec<f32> {
        let low_wavelength = self.original_context / self.low_freq_factor;
        let high_wavelength = self.original_context / self.high_freq_factor;
        let factor = |pair: usize| {
            let exponent = (2 * pair) as f64 / head_dim as f64;
            let wavelength = 2.0 * PI * libm::pow(theta.into(), exponent);
            if wavelength < high_wavelength {
                1.0
            } else if wavelength > low_wavelength {
                self.factor
            } else {
                let band = self.high_freq_factor - self.low_freq_factor;
                let smooth = (self.original_context / wavelength - self.low_freq_factor) / band;
                1.0 / ((1.0 - smooth) / self.factor + smooth)
            }
        };
        (0..head_dim / 2).map(|pair| factor(pair) as f32).collect()
    }
}

/// `rope_type: linear`: every frequency is divided by one factor.
pub(super) fn linear_factors(factor: f32, head_dim: usize) -> Vec<f32> {
    vec![factor; head_dim / 2]
}
