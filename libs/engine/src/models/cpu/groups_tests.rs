//! Every instruction set's tiles and quantisation against the formulas, written out once more from the stored blocks.

use half::f16;

use super::*;
use crate::models::cpu::isa::{Arena, Cores, Isa, Pool};
use crate::models::cpu::lines::{Activations, Line};
use crate::models::cpu::operand::{Operand, OperandBuffers};
use crate::models::cpu::panels::{Element, Packed, Quantised};
use crate::weights::{Blocks, Encoding};

const ENCODINGS: [Encoding; 8] = [
    Encoding::Q4_0,
    Encoding::Q4_1,
    Encoding::Q5_0,
    Encoding::Q5_1,
    Encoding::Q8_0,
    Encoding::Q4_K,
    Encoding::Q5_K,
    Encoding::Q6_K,
];

/// Rows of the largest tile.
const ROWS: usize = 8;

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

/// Blocks of 16 rows of at least so many groups, all but their scales in half precision from `byte`.
fn blocks(
    encoding: Encoding,
    groups: usize,
    random: &mut Random,
    byte: impl Fn(&mut Random) -> u8,
) -> Blocks {
    let columns = (groups * GROUP).next_multiple_of(encoding.block_elements());
    let (scale, minimum) = match encoding {
        Encoding::Q6_K => (208, None),
        Encoding::Q4_1 | Encoding::Q5_1 | Encoding::Q4_K | Encoding::Q5_K => (0, Some(2)),
        _ => (0, None),
    };
    let mut bytes = Vec::new();
    for _ in 0..LANES * columns / encoding.block_elements() {
        let mut block: Vec<u8> = (0..encoding.block_bytes()).map(|_| byte(random)).collect();
        let mut put = |at: usize, value: f32| {
            block[at..at + 2].copy_from_slice(&f16::from_f32(value).to_le_bytes());
        };
        put(scale, random.float() / 64.0);
        if let Some(at) = minimum {
            put(at, random.float() / 8.0);
        }
        bytes.extend(block);
    }
    Blocks::new(encoding, LANES, columns, bytes).expect("whole blocks")
}

/// How a kind of groups uses what the blocks hold.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// With a minimum, which the offset is part of.
    Int4,
    /// Without a minimum.
    Int8,
    /// A minimum, and a scale for each half.
    WideInt8,
}

/// The written order of one output and row.
fn expected(kind: Kind, weights: impl Iterator<Item = IntegerGroup>, x: &[Activation]) -> f32 {
    let mut sum = 0.0_f32;
    for (weights, x) in weights.zip(x) {
        let IntegerGroup { integers, offset, scales, minimum } = weights;
        let x_integers = x.quads.as_flattened();
        let integer = |inputs: std::ops::Range<usize>, offset: i8| -> f32 {
            let product = |i: usize| i32::from(integers[i] - offset) * i32::from(x_integers[i]);
            inputs.map(product).sum::<i32>() as f32
        };
        match kind {
            Kind::Int4 => {
                sum = (minimum - f32::from(offset) * scales[0]).mul_add(x.sum, sum);
                sum = (scales[0] * x.scale).mul_add(integer(0..32, 0), sum);
            }
            Kind::Int8 => sum = (scales[0] * x.scale).mul_add(integer(0..32, offset), sum),
            Kind::WideInt8 => {
                sum = minimum.mul_add(x.sum, sum);
                sum = (scales[0] * x.scale).mul_add(integer(0..16, offset), sum);
                sum = (scales[1] * x.scale).mul_add(integer(16..32, offset), sum);
            }
        }
    }
    sum
}

fn activation(random: &mut Random, integer: impl Fn(&mut Random) -> i8) -> Activation {
    let mut x = Activation { scale: random.float(), ..Activation::ZERO };
    x.quads.as_flattened_mut().iter_mut().for_each(|x| *x = integer(random));
    let half = |half: &[i8]| half.iter().map(|integer| i16::from(*integer)).sum();
    let (first, second) = x.quads.as_flattened().split_at(GROUP / 2);
    let totals: [i16; 2] = [half(first), half(second)];
    Activation { sum: x.scale * f32::from(totals[0] + totals[1]), totals, ..x }
}

fn any_activation(random: &mut Random) -> Activation {
    activation(random, |random| ((random.next() % 255) as i32 - 127) as i8)
}

#[track_caller]
fn same(a: f32, b: f32, what: &str) {
    assert!(a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(), "{what}: {a} instead of {b}");
}

/// Tiles of some sizes of the blocks on every instruction set, in every kind of groups that holds them.
#[track_caller]
fn check(blocks: &Blocks, x: &[Activation]) {
    match blocks.encoding() {
        Encoding::Q4_0 | Encoding::Q4_1 => {
            check_groups::<Int4Group<Half>>(Kind::Int4, blocks, x);
            check_groups::<Int4Group<f32>>(Kind::Int4, blocks, x);
        }
        Encoding::Q4_K => check_groups::<Int4Group<f32>>(Kind::Int4, blocks, x),
        Encoding::Q5_0 | Encoding::Q8_0 => check_groups::<Int8Group>(Kind::Int8, blocks, x),
        _ => {}
    }
    check_groups::<WideInt8Group>(Kind::WideInt8, blocks, x);
}

fn packed<G: Group + Element>(blocks: &Blocks) -> Option<Packed<G>> {
    let mut packed =
        Packed::<G>::groups(&Arena::default(), LANES, blocks.columns()).expect("memory");
    let mut rows = blocks.row_groups().enumerate();
    rows.all(|(row, groups)| packed.fill_column(row, groups)).then_some(packed)
}

#[track_caller]
fn check_groups<G: Group + for<'a> Element<Input<'a> = Quantised<'a>>>(
    kind: Kind,
    blocks: &Blocks,
    x: &[Activation],
) {
    let packed = packed::<G>(blocks).expect("the blocks fit");
    let (length, panel) = (packed.length, &packed.elements);
    let x: Vec<Activation> = x.iter().copied().cycle().take(ROWS * length).collect();
    let x = Quantised::new(&x, ROWS, length);
    for isa in Isa::available() {
        check_tile::<G, 1>(isa, kind, panel, x, blocks);
        check_tile::<G, 2>(isa, kind, panel, x, blocks);
        check_tile::<G, 3>(isa, kind, panel, x, blocks);
        check_tile::<G, 4>(isa, kind, panel, x, blocks);
        check_tile::<G, 5>(isa, kind, panel, x, blocks);
        check_tile::<G, 8>(isa, kind, panel, x, blocks);
    }
}

#[track_caller]
fn check_tile<G: Group + for<'a> Element<Input<'a> = Quantised<'a>>, const R: usize>(
    isa: Isa,
    kind: Kind,
    panel: &[G],
    x: Quantised<'_>,
    blocks: &Blocks,
) {
    let sums = G::tile_sums::<R>(isa, x, ROWS - R, panel);
    for (r, sums) in sums.iter().enumerate() {
        for (output, weights) in blocks.row_groups().enumerate() {
            let expect = expected(kind, weights, x.row(ROWS - R + r));
            let what = format!("{} as {kind:?} on {}, row {r}", blocks.encoding(), isa.name());
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
        check_weights::<WideInt8Group>(&blocks);
        match encoding {
            Encoding::Q4_0 | Encoding::Q4_1 => check_weights::<Int4Group<Half>>(&blocks),
            Encoding::Q4_K => check_weights::<Int4Group<f32>>(&blocks),
            Encoding::Q5_0 | Encoding::Q8_0 => check_weights::<Int8Group>(&blocks),
            _ => {}
        }
    }
}

#[track_caller]
fn check_weights<G: Group + Element>(blocks: &Blocks) {
    let packed = packed::<G>(blocks).expect("the blocks fit");
    let mut values = vec![0.0; blocks.columns()];
    for (output, row) in blocks.row_bytes().enumerate() {
        crate::weights::dequantize(blocks.encoding(), row, &mut values);
        for (block, values) in values.chunks(LANES).enumerate() {
            assert_eq!(G::weights(&packed, output, block).0, values, "{}", blocks.encoding());
        }
    }
}

#[test]
fn a_group_that_does_not_fit_is_refused() {
    let group = |integers: [i8; GROUP], offset, scale: f32, minimum| IntegerGroup {
        integers,
        offset,
        scales: [scale; 2],
        minimum,
    };
    fn takes<G: Group + Element>(weights: IntegerGroup) -> bool {
        Arena::default().zeroed::<G>(1).expect("memory")[0].set(0, &weights)
    }
    let (takes_4_bits, takes_8_bits) = (takes::<Int4Group<Half>>, takes::<Int8Group>);
    assert!(takes_4_bits(group([15; GROUP], 8, 0.5, -0.0)));
    assert!(!takes_4_bits(group([15; GROUP], 8, 60_000.0, -0.0)), "−8d is beyond half precision");
    assert!(!takes_4_bits(group([16; GROUP], 0, 0.5, -0.0)), "five bits");
    assert!(!takes_4_bits(group([1; GROUP], 0, 1.0 / 3.0, -0.0)), "no half-precision scale");
    assert!(!takes_4_bits(IntegerGroup { scales: [0.5, 0.25], ..group([1; GROUP], 0, 0.0, 1.0) }));
    assert!(takes_8_bits(group([-128; GROUP], 0, 0.5, -0.0)));
    assert!(!takes_8_bits(group([1; GROUP], 0, 0.5, 1.0)), "a minimum");
}

fn quantised(isa: Isa, x: &[Line]) -> Vec<Activation> {
    let pool = Pool::new(1, || true).expect("no thread is started").expect("fit");
    let mut buffers = OperandBuffers::default();
    buffers.grow(1, 0, x.len()).expect("memory");
    let width = x.len() * LANES / GROUP;
    let x = Operand::Rows(Activations::row_major(x, 1, x.len()));
    x.quantised(Cores { isa, pool: &pool }, width, &mut buffers).row(0).to_vec()
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
            assert_eq!(i32::from(group.totals[0]) + i32::from(group.totals[1]), total);
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
