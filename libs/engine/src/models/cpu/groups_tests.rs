//! Every instruction set's tiles and quantisation against the formulas, written out once more from the stored blocks.

use half::f16;

use super::*;
use crate::models::cpu::isa::{Cores, Isa, Pool};
use crate::models::cpu::lines::{Activations, Line};
use crate::models::cpu::panels::{Element, Packed, Quantised};
use crate::models::cpu::product::quantise;
use crate::weights::Blocks;

const ENCODINGS: [Encoding; 3] = [Encoding::Q4_0, Encoding::Q4_1, Encoding::Q8_0];

/// xorshift64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn float(&mut self) -> f32 {
        (self.next() % 2001) as f32 / 1000.0 - 1.0
    }
}

/// Blocks of 16 rows, their integers from `byte`.
fn blocks(
    encoding: Encoding,
    groups: usize,
    random: &mut Random,
    byte: impl Fn(&mut Random) -> u8,
) -> Blocks {
    let mut bytes = Vec::new();
    for _ in 0..LANES * groups {
        let block = bytes.len();
        bytes.extend(f16::from_f32(random.float() / 64.0).to_le_bytes());
        if encoding == Encoding::Q4_1 {
            bytes.extend(f16::from_f32(random.float() / 8.0).to_le_bytes());
        }
        while bytes.len() < block + encoding.block_bytes() {
            bytes.push(byte(random));
        }
    }
    Blocks::new(encoding, LANES, groups * GROUP, bytes).expect("whole blocks")
}

/// d, m and the integers of a block.
fn parts(encoding: Encoding, block: &[u8]) -> (f32, Option<f32>, Vec<i32>) {
    let half = |at: usize| f16::from_le_bytes([block[at], block[at + 1]]).to_f32();
    let nibbles = |bytes: &[u8]| {
        let low = bytes.iter().map(|byte| i32::from(byte & 15));
        low.chain(bytes.iter().map(|byte| i32::from(byte >> 4))).collect()
    };
    match encoding {
        Encoding::Q4_0 => (half(0), Some(-8.0 * half(0)), nibbles(&block[2..])),
        Encoding::Q4_1 => (half(0), Some(half(2)), nibbles(&block[4..])),
        _ => (half(0), None, block[2..].iter().map(|byte| i32::from(*byte as i8)).collect()),
    }
}

/// The written order of one output and row.
fn expected(encoding: Encoding, row: &[u8], x: &[Activation]) -> f32 {
    let mut sum = 0.0_f32;
    for (block, x) in row.chunks(encoding.block_bytes()).zip(x) {
        let (scale, minimum, integers) = parts(encoding, block);
        if let Some(minimum) = minimum {
            sum = minimum.mul_add(x.sum, sum);
        }
        let x_integers = x.quads.as_flattened().iter().map(|integer| i32::from(*integer));
        let integer: i32 = integers.into_iter().zip(x_integers).map(|(w, x)| w * x).sum();
        sum = (scale * x.scale).mul_add(integer as f32, sum);
    }
    sum
}

fn activation(random: &mut Random, integer: impl Fn(&mut Random) -> i8) -> Activation {
    let mut x = Activation { scale: random.float(), ..Activation::ZERO };
    x.quads.as_flattened_mut().iter_mut().for_each(|x| *x = integer(random));
    let total: i32 = x.quads.as_flattened().iter().map(|integer| i32::from(*integer)).sum();
    Activation { sum: x.scale * total as f32, ..x }
}

fn any_activation(random: &mut Random) -> Activation {
    activation(random, |random| ((random.next() % 255) as i32 - 127) as i8)
}

#[track_caller]
fn same(a: f32, b: f32, what: &str) {
    assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "{what}: {a} instead of {b}");
}

/// Tiles of 1 to 4 rows of the blocks on every instruction set.
#[track_caller]
fn check(blocks: &Blocks, x: &[Activation]) {
    match blocks.encoding() {
        Encoding::Q8_0 => check_groups::<Int8Group>(blocks, x),
        _ => check_groups::<Int4Group>(blocks, x),
    }
}

#[track_caller]
fn check_groups<G: Group + for<'a> Element<Input<'a> = Quantised<'a>>>(
    blocks: &Blocks,
    x: &[Activation],
) {
    let mut packed = Packed::<G>::groups(LANES, blocks.columns()).expect("memory");
    assert!(packed.fill_blocks(blocks, |row| row));
    let (length, panel) = (packed.length, &packed.elements);
    let x = Quantised::new(x, x.len() / length.max(1), length);
    for isa in Isa::available() {
        check_tile::<G, 1>(isa, panel, x, blocks);
        check_tile::<G, 2>(isa, panel, x, blocks);
        check_tile::<G, 3>(isa, panel, x, blocks);
        check_tile::<G, 4>(isa, panel, x, blocks);
    }
}

#[track_caller]
fn check_tile<G: Group + for<'a> Element<Input<'a> = Quantised<'a>>, const R: usize>(
    isa: Isa,
    panel: &[G],
    x: Quantised<'_>,
    blocks: &Blocks,
) {
    let sums = G::tile_sums::<R>(isa, x, 4 - R, panel);
    for (r, sums) in sums.iter().enumerate() {
        for (output, row) in blocks.row_bytes().enumerate() {
            let expect = expected(blocks.encoding(), row, x.row(4 - R + r));
            let what = format!("{} on {}, row {r} of {R}", blocks.encoding(), isa.name());
            same(sums[output], expect, &what);
        }
    }
}

#[test]
fn random_tiles_are_the_written_order_on_every_instruction_set() {
    let mut random = Random(88_172_645_463_325_252);
    for encoding in ENCODINGS {
        for groups in [1, 2, 3, 18, 48] {
            let blocks = blocks(encoding, groups, &mut random, |random| random.next() as u8);
            let x: Vec<_> = (0..4 * groups).map(|_| any_activation(&mut random)).collect();
            check(&blocks, &x);
        }
    }
}

#[test]
fn extreme_integers_do_not_saturate() {
    let mut random = Random(7);
    // −128, 127 and 255 as nibbles (15, 15), and their mixtures, against activations at both ends.
    for byte in [0x80, 0x7f, 0xff, 0x00, 0x81] {
        for encoding in ENCODINGS {
            for integer in [127_i8, -127] {
                let blocks = blocks(encoding, 3, &mut random, |_| byte);
                let same: Vec<_> = (0..12).map(|_| activation(&mut random, |_| integer)).collect();
                check(&blocks, &same);
                let sign = |random: &mut Random| if random.next() & 1 == 0 { 127 } else { -127 };
                let mixed: Vec<_> = (0..12).map(|_| activation(&mut random, sign)).collect();
                check(&blocks, &mixed);
            }
        }
    }
}

#[test]
fn zero_groups_subnormal_scales_and_nan_are_the_same_everywhere() {
    let mut random = Random(11);
    for encoding in ENCODINGS {
        let blocks = blocks(encoding, 4, &mut random, |random| random.next() as u8);
        for special in [0.0, f32::MIN_POSITIVE / 4.0, f32::NAN, f32::INFINITY] {
            let x: Vec<_> = (0..16)
                .map(|_| any_activation(&mut random))
                .map(|x| Activation { scale: special, sum: special, ..x })
                .collect();
            check(&blocks, &x);
        }
        check(&blocks, &[Activation::ZERO; 16]);
    }
}

#[test]
fn a_packed_weight_is_the_stored_one() {
    let mut random = Random(13);
    for encoding in ENCODINGS {
        let blocks = blocks(encoding, 1, &mut random, |random| random.next() as u8);
        for (output, row) in blocks.row_bytes().enumerate() {
            let mut values = [0.0; GROUP];
            crate::weights::dequantize(encoding, row, &mut values);
            let weight: Box<dyn Fn(usize) -> f32> = if encoding == Encoding::Q8_0 {
                let mut group = Int8Group::ZERO;
                assert!(group.set(output, encoding, row));
                Box::new(move |input| group.weight(output, input))
            } else {
                let mut group = Int4Group::ZERO;
                assert!(group.set(output, encoding, row));
                Box::new(move |input| group.weight(output, input))
            };
            for (input, value) in values.into_iter().enumerate() {
                assert_eq!(weight(input), value, "{encoding}, input {input}");
            }
        }
    }
}

#[test]
fn a_block_that_does_not_fit_is_refused() {
    let huge = [f16::from_f32(60_000.0).to_le_bytes().as_slice(), &[0x77; 16]].concat();
    assert!(!Int4Group::ZERO.clone().set(0, Encoding::Q4_0, &huge), "−8d is beyond half precision");
    let mut group = Int4Group::ZERO;
    assert!(!group.set(0, Encoding::Q4_1, &huge), "a block of another length");
    assert!(!group.set(0, Encoding::Q8_0, &[0; 34]));
    assert!(!Int8Group::ZERO.clone().set(0, Encoding::Q4_1, &[0; 20]));
}

fn quantised(isa: Isa, x: &[Line]) -> Vec<Activation> {
    let mut scratch = vec![Activation::ZERO; x.len() / 2];
    let pool = Pool::new(1, || true).expect("no thread is started").expect("fit");
    quantise(
        Cores { isa, pool: &pool },
        Activations::row_major(x, 1, x.len()),
        x.len() / 2,
        &mut scratch,
    );
    scratch
}

#[test]
fn activations_are_rounded_to_even_on_every_instruction_set() {
    let mut random = Random(17);
    let mut x: Vec<Line> = (0..64).map(|_| Line(std::array::from_fn(|_| random.float()))).collect();
    // With 127 as the largest, x is the integer itself: halves show the rounding.
    x[0] = Line(std::array::from_fn(|lane| lane as f32 - 7.5));
    x[1] = Line([127.0; LANES]);
    for isa in Isa::available() {
        for (group, lines) in quantised(isa, &x).iter().zip(x.chunks(2)) {
            let values = [lines[0].0, lines[1].0].concat();
            let largest = values.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let integers = values.iter().map(|x| (x * (127.0 / largest)).round_ties_even() as i8);
            let integers: Vec<i8> = integers.collect();
            assert_eq!(group.quads.as_flattened(), integers, "{}", isa.name());
            let total: i32 = integers.iter().map(|integer| i32::from(*integer)).sum();
            assert_eq!(group.scale, largest / 127.0);
            assert_eq!(group.sum, group.scale * total as f32);
        }
    }
}

#[test]
fn groups_of_zeros_and_of_no_numbers_are_told_apart() {
    for isa in Isa::available() {
        for tiny in [0.0, -0.0, f32::from_bits(1), 1e-40, -3.7e-37] {
            let group = quantised(isa, &[Line([tiny; LANES]), Line::ZERO])[0];
            assert_eq!(group, Activation::ZERO, "{tiny:e}");
        }
        let small = quantised(isa, &[Line([3.8e-37; LANES]), Line::ZERO])[0];
        assert_eq!((small.quads[0], small.quads[7]), ([127; 4], [0; 4]));
        for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut line = Line([1.0; LANES]);
            line.0[9] = wrong;
            let group = quantised(isa, &[Line::ZERO, line])[0];
            assert!(group.scale.is_nan() && group.sum.is_nan(), "{wrong}");
            assert_eq!(group.quads, Activation::ZERO.quads);
        }
    }
}
