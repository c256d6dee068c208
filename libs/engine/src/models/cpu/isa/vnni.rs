//! Tiles of quantised products by VNNI: one instruction multiplies unsigned weights with activations and adds them up by
//! fours into 32 bits, which is exact, so the bits are those of the formulas in `groups`.
//!
//! Signed weights are moved up by 128, and their sum starts at −128 · Σ of the activations.

/// Writes the tiles for a set of features. The module that uses it has the operations on 16 lanes, in one register or two:
/// the types `Floats` and `Integers`, and the functions called below.
macro_rules! vnni_tiles {
    ($features:literal) => {
        /// The sums of four-bit weights.
        #[target_feature(enable = $features)]
        pub(in super::super) fn int4_tile<S: Scale, const R: usize>(
            panel: &[Int4Group<S>],
            x: [&[Activation]; R],
        ) -> [[f32; LANES]; R] {
            let mut sums = [zero(); R];
            let x = of_length(x, panel.len());
            for (index, group) in panel.iter().enumerate() {
                prefetch(group);
                let x = nth(&x, index);
                // A tile of few rows has two sums a row: it would wait for each addition.
                let mut integers = [[splat(0); 2]; R];
                let other = usize::from(R < SUMS_IN_FLIGHT);
                for (pair, weights) in group.nibbles.iter().enumerate() {
                    let both = load(weights);
                    let (even, odd) = (low_nibbles(both), high_nibbles(both));
                    for r in 0..R {
                        let [first, second] = [x[r].quads[2 * pair], x[r].quads[2 * pair + 1]];
                        integers[r][0] = dot(integers[r][0], even, splat(quad_bits(first)));
                        integers[r][other] = dot(integers[r][other], odd, splat(quad_bits(second)));
                    }
                }
                let (scales, minima) = (widened(&group.scales), widened(&group.minima));
                for r in 0..R {
                    let [integer, second] = integers[r];
                    let integer = if other == 1 { add(integer, second) } else { integer };
                    sums[r] = add_product(sums[r], minima, x[r].sum);
                    sums[r] = add_scaled(sums[r], scales, x[r].scale, integer);
                }
            }
            stored(sums)
        }

        /// The sums of eight-bit weights.
        #[target_feature(enable = $features)]
        pub(in super::super) fn int8_tile<const R: usize>(
            panel: &[Int8Group],
            x: [&[Activation]; R],
        ) -> [[f32; LANES]; R] {
            let mut sums = [zero(); R];
            let x = of_length(x, panel.len());
            for (index, group) in panel.iter().enumerate() {
                prefetch(group);
                let x = nth(&x, index);
                let mut integers = [splat(0); R];
                for r in 0..R {
                    integers[r] = start(x[r].totals[0] + x[r].totals[1]);
                }
                for (step, weights) in group.quads.iter().enumerate() {
                    add_quads(weights, &x, step, &mut integers);
                }
                let scales = widened(&group.scales);
                for r in 0..R {
                    sums[r] = add_scaled(sums[r], scales, x[r].scale, integers[r]);
                }
            }
            stored(sums)
        }

        /// The sums of eight-bit weights with minima and two scales a group.
        #[target_feature(enable = $features)]
        pub(in super::super) fn wide_int8_tile<const R: usize>(
            panel: &[WideInt8Group],
            x: [&[Activation]; R],
        ) -> [[f32; LANES]; R] {
            let mut sums = [zero(); R];
            let x = of_length(x, panel.len());
            for (index, group) in panel.iter().enumerate() {
                prefetch(group);
                let x = nth(&x, index);
                let minima = widened(&group.minima);
                for r in 0..R {
                    sums[r] = add_product(sums[r], minima, x[r].sum);
                }
                let half = group.quads.len() / 2;
                let parts = group.quads.chunks(half).zip(&group.scales);
                for (part, (quads, scales)) in parts.enumerate() {
                    let mut integers = [splat(0); R];
                    for r in 0..R {
                        integers[r] = start(x[r].totals[part]);
                    }
                    for (step, weights) in quads.iter().enumerate() {
                        add_quads(weights, &x, part * half + step, &mut integers);
                    }
                    let scales = widened(scales);
                    for r in 0..R {
                        sums[r] = add_scaled(sums[r], scales, x[r].scale, integers[r]);
                    }
                }
            }
            stored(sums)
        }

        /// Adds the products of a quad of eight-bit weights, the group's number `step`, to R rows' sums.
        #[inline]
        #[target_feature(enable = $features)]
        fn add_quads<const R: usize>(
            weights: &[[i8; 4]; LANES],
            x: &[&Activation; R],
            step: usize,
            integers: &mut [Integers; R],
        ) {
            let weights = moved_up(load(weights));
            for r in 0..R {
                integers[r] = dot(integers[r], weights, splat(quad_bits(x[r].quads[step])));
            }
        }

        /// What a sum starts with whose weights are moved up by 128.
        #[inline]
        #[target_feature(enable = $features)]
        fn start(total: i16) -> Integers {
            splat(-128 * i32::from(total))
        }
    };
}
pub(super) use vnni_tiles;
