//! Rotary position embedding: how far each pair of dimensions turns.
//!
//! Over halves, as in transformers: dimension i turns with i + d/2 by position / base^(2i/d).

use crate::weights::ModelConfig;

/// Radians per position of each pair, `head_dim / 2` of them, divided by the model's factors if it has any.
pub(super) fn frequencies(config: &ModelConfig) -> Vec<f32> {
    let frequency = |pair: usize| {
        let exponent = (2 * pair) as f64 / config.head_dim as f64;
        let frequency = 1.0 / libm::pow(f64::from(config.rope_theta), exponent) as f32;
        match &config.rope_factors {
            Some(factors) => frequency / factors[pair],
            None => frequency,
        }
    };
    (0..config.head_dim / 2).map(frequency).collect()
}

/// Cosine and sine of a pair's angle, which is rounded to f32 as the reference implementations do.
pub(super) fn turn(position: usize, frequency: f32) -> (f32, f32) {
    let angle = f64::from(position as f32 * frequency);
    (libm::cos(angle) as f32, libm::sin(angle) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Architecture;

    #[test]
    fn frequencies_fall_from_one_to_the_base_and_factors_divide_them() {
        let mut config = ModelConfig {
            architecture: Architecture::Llama,
            vocab_size: 1,
            hidden_size: 8,
            layers: 1,
            heads: 1,
            kv_heads: 1,
            head_dim: 8,
            ffn_size: 1,
            context_tokens: 1,
            norm_epsilon: 0.0,
            rope_theta: 10_000.0,
            rope_factors: None,
        };
        assert_eq!(frequencies(&config), [1.0, 0.1, 0.01, 0.001]);
        config.rope_factors = Some(vec![1.0, 2.0, 4.0, 8.0]);
        assert_eq!(frequencies(&config), [1.0, 0.05, 0.0025, 0.000_125]);
    }

    #[test]
    fn position_zero_does_not_turn() {
        assert_eq!(turn(0, 0.3), (1.0, 0.0));
    }
}
