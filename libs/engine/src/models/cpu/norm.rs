//! RMSNorm and LayerNorm over rows of the residual stream.

use super::lines::{Activations, LANES, Line};

/// A norm over the width of the residual stream.
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<Line>,
    /// LayerNorm's; an RMSNorm has none.
    pub(super) bias: Option<Vec<Line>>,
    pub(super) width: usize,
    pub(super) epsilon: f32,
}

impl Norm {
    /// Norms row `row` of `x` into `out`, `weight.len()` lines.
    #[inline(always)]
    pub(super) fn apply(&self, x: Activations<'_>, row: usize, out: &mut [Line]) {
        match &self.bias {
            None => self.rms_norm(x, row, out),
            Some(bias) => self.layer_norm(bias, x, row, out),
        }
    }

    /// x · (1 / √(mean(x²) + ε)) · weight
    #[inline(always)]
    fn rms_norm(&self, x: Activations<'_>, row: usize, out: &mut [Line]) {
        let mut squares = Line::ZERO;
        for block in 0..out.len() {
            squares = x.line(row, block).zip(squares, |x, sum| x.mul_add(x, sum));
        }
        let scale = self.inverse_deviation(squares);
        for (block, (out, weight)) in out.iter_mut().zip(&self.weight).enumerate() {
            *out = x.line(row, block).zip(*weight, |x, weight| x * scale * weight);
        }
    }

    /// (x − mean) · (1 / √(variance + ε)) · weight + bias, the variance in a second pass.
    #[inline(always)]
    fn layer_norm(&self, bias: &[Line], x: Activations<'_>, row: usize, out: &mut [Line]) {
        let mut sum = Line::ZERO;
        for block in 0..out.len() {
            sum = sum.zip(*x.line(row, block), |sum, x| sum + x);
        }
        let mean = sum.reduce(|a, b| a + b) / self.width as f32;
        let mut squares = Line::ZERO;
        for (block, out) in out.iter_mut().enumerate() {
            let mut centred = x.line(row, block).map(|x| x - mean);
            // Lanes beyond the width are zero in x, not in x − mean.
            for lane in self.width.saturating_sub(block * LANES)..LANES {
                centred.0[lane] = 0.0;
            }
            squares = centred.zip(squares, |x, sum| x.mul_add(x, sum));
            *out = centred;
        }
        let scale = self.inverse_deviation(squares);
        for ((out, weight), bias) in out.iter_mut().zip(&self.weight).zip(bias) {
            *out = out
                .map(|x| x * scale)
                .zip(*weight, |x, weight| x * weight)
                .zip(*bias, |x, bias| x + bias);
        }
    }

    #[inline(always)]
    fn inverse_deviation(&self, squares: Line) -> f32 {
        1.0 / (squares.reduce(|a, b| a + b) / self.width as f32 + self.epsilon).sqrt()
    }
}
