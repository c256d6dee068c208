use super::super::stored::Float;
use super::*;

const SHAPE: CacheShape = CacheShape { kv_heads: 2, head_dim: 20 };

fn pages<L: Cached>() -> Pages<L> {
    let mut pages = Pages::new(2, SHAPE);
    pages.reserve(3).expect("three small pages");
    pages
}

fn vector(seed: usize) -> [Line; 2] {
    [0, 1].map(|block| Line(std::array::from_fn(|lane| (seed * 100 + block * LANES + lane) as f32)))
}

fn store<L: Cached>(layer: &mut LayerCache<L>, page: usize, slot: usize, head: usize, seed: usize) {
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
    let mut cache = Cache::new(64, shape, KvFormat::Bf16);
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

/// What a vector's numbers lose at most when eight bits say them: half of a step.
fn half_a_step(vector: &[Line]) -> f32 {
    crate::models::cpu::lines::largest(vector.iter().map(|line| &line.0)) / 127.0 / 2.0
}

#[test]
fn eight_bits_and_their_scales_say_a_stored_token() {
    let mut pages = pages::<ByteLine>();
    let layer = pages.layer(1);
    store(layer, 2, 5, 1, 1);
    store(layer, 2, 6, 1, 30);
    for (slot, seed) in [(5, 1), (6, 30)] {
        let (key, value) = (vector(seed), vector(seed + 1));
        for dimension in 0..20 {
            let read = layer.scale_by_keys(layer.keys(2, 1)[dimension].widen(), 2, 1).0[slot];
            let expect = key[dimension / LANES].0[dimension % LANES];
            assert!((read - expect).abs() <= half_a_step(&key) * 1.001, "{read}, not {expect}");
        }
        let mut weights = Line::ZERO;
        weights.0[slot] = 2.0;
        let weight = layer.scale_by_values(weights, 2, 1).0[slot];
        for block in 0..2 {
            let read = layer.values(2, 1, block)[slot].widen().map(|byte| byte * weight / 2.0);
            for (read, expect) in read.0.iter().zip(value[block].0) {
                assert!((read - expect).abs() <= half_a_step(&value) * 1.001, "{read} {expect}");
            }
        }
    }
    let ones = Line([1.0; LANES]);
    assert_eq!(layer.scale_by_keys(ones, 2, 0), Line::ZERO, "another head");
    assert_eq!(layer.scale_by_values(ones, 1, 1), Line::ZERO, "another page");
}

#[test]
fn a_partial_copy_takes_the_scales_of_its_positions_along() {
    let mut pages = pages::<ByteLine>();
    for slot in 0..PAGE_TOKENS {
        store(pages.layer(0), 0, slot, 1, slot);
        store(pages.layer(0), 2, slot, 1, slot + 40);
    }
    pages.copy(&[PageCopy { from: 0, to: 2, tokens: 7 }]);
    let layer = pages.layer(0);
    let ones = Line([1.0; LANES]);
    for scales in [LayerCache::scale_by_keys, LayerCache::scale_by_values] {
        let of = |page| scales(&*layer, ones, page, 1).0;
        assert_eq!(of(2)[..7], of(0)[..7]);
        assert!(of(2)[7..].iter().zip(&of(0)[7..]).all(|(own, other)| own > other));
    }
}

#[test]
fn a_page_has_the_bytes_of_its_numbers_and_scales() {
    // 64 is SmolLM2's head: no padding.
    let shape = CacheShape { kv_heads: 3, head_dim: 64 };
    let numbers = 2 * 5 * 3 * 64 * PAGE_TOKENS;
    let bytes = |format| Cache::new(5, shape, format).page_bytes();
    assert_eq!(bytes(KvFormat::F32), numbers * 4);
    assert_eq!(bytes(KvFormat::Bf16), numbers * 2);
    assert_eq!(bytes(KvFormat::Int8), numbers + numbers / 64 * 4);
}
