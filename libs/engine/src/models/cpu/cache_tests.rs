use super::*;

const SHAPE: CacheShape = CacheShape { kv_heads: 2, head_dim: 20 };

fn pages<L: Stored>() -> Pages<L> {
    let mut pages = Pages::new(2, SHAPE);
    pages.reserve(3).expect("three small pages");
    pages
}

fn vector(seed: usize) -> [Line; 2] {
    [0, 1].map(|block| Line(std::array::from_fn(|lane| (seed * 100 + block * LANES + lane) as f32)))
}

fn store<L: Stored>(layer: &mut LayerCache<L>, page: usize, slot: usize, head: usize, seed: usize) {
    layer.pages_mut([page])[0].store(slot, head, &vector(seed), &vector(seed + 1));
}

#[test]
fn a_stored_token_is_found_in_both_layouts() {
    let mut pages = pages::<Line>();
    store(pages.layer(1), 2, 5, 1, 1);
    let layer = pages.layer(1);
    assert_eq!(layer.keys(2, 1)[19].0[5], 119.0);
    assert_eq!(layer.values(2, 1, 1)[5], vector(2)[1]);
    assert_eq!(layer.keys(2, 0)[19].0[5], 0.0);
}

#[test]
fn several_pages_are_written_at_once_and_each_is_its_own() {
    let mut pages = pages::<Line>();
    let layer = pages.layer(0);
    for (page, seed) in layer.pages_mut([0, 2]).iter_mut().zip([3, 5]) {
        page.store(1, 0, &vector(seed), &vector(seed + 1));
    }
    assert_eq!(layer.keys(0, 0)[2].0[1], 302.0);
    assert_eq!(layer.keys(1, 0)[2].0[1], 0.0);
    assert_eq!(layer.keys(2, 0)[2].0[1], 502.0);
    assert_eq!(layer.values(2, 0, 0)[1], vector(6)[0]);
}

#[test]
fn a_partial_copy_leaves_the_other_positions() {
    let mut pages = pages::<ShortLine>();
    for slot in 0..PAGE_TOKENS {
        store(pages.layer(0), 0, slot, 0, slot % 2);
    }
    pages.copy(&[PageCopy { from: 0, to: 1, tokens: 7 }]);
    let layer = pages.layer(0);
    assert_eq!(layer.keys(1, 0)[3].widen().0[5], 103.0);
    assert_eq!(layer.keys(1, 0)[3].widen().0[7], 0.0);
    assert_eq!(layer.values(1, 0, 1)[5].widen(), Line::narrow(&vector(2)[1]));
    assert_eq!(layer.values(1, 0, 1)[7], ShortLine::ZERO);
}

#[test]
fn more_pages_than_memory_are_refused() {
    let shape = CacheShape { kv_heads: 1 << 16, head_dim: 1 << 12 };
    let mut cache = Cache::new(64, shape, KvPrecision::Bf16);
    let error = cache.reserve(u32::MAX).expect_err("no machine has so much");
    assert!(matches!(error, ModelError::Memory { pages: u32::MAX, .. }), "{error}");
    assert_eq!(cache.pages(), 0);
}

#[test]
fn a_second_reservation_keeps_what_the_first_holds() {
    let mut pages = pages::<Line>();
    store(pages.layer(0), 2, 0, 0, 4);
    pages.reserve(8).expect("eight small pages");
    assert_eq!(pages.pages, 8);
    assert_eq!(pages.layer(0).keys(2, 0)[1].0[0], 401.0);
}

#[test]
fn bfloat16_is_the_nearest_one_with_ties_to_even() {
    // Neighbours of 1 are 2⁻⁷ apart above it.
    let ulp = 1.0 / 128.0;
    let wide = |value: f32| f32::from_bits(u32::from(bf16(value)) << 16);
    assert_eq!(wide(1.0 + 0.49 * ulp), 1.0);
    assert_eq!(wide(1.0 + 0.5 * ulp), 1.0, "a tie goes to the even one below");
    assert_eq!(wide(1.0 + 1.5 * ulp), 1.0 + 2.0 * ulp, "a tie goes to the even one above");
    assert_eq!(wide(-1.0 - 0.51 * ulp), -1.0 - ulp);
    assert_eq!(wide(f32::INFINITY), f32::INFINITY);
    assert_eq!(wide(f32::MAX), f32::INFINITY);
    assert_eq!(wide(-0.0).to_bits(), (-0.0_f32).to_bits());
    assert!(wide(f32::NAN).is_nan());
    assert!(wide(f32::from_bits(0x7f80_0001)).is_nan(), "its payload is all in the lower half");
}
