//! What the tiles of all instruction sets of x86-64 share.

use std::arch::x86_64::*;

use super::super::groups::Activation;

/// How far ahead weights are asked for: a core's own prefetcher stops at every page.
const PREFETCH_BYTES: usize = 4096;

/// Asks for the weights that come a page after this group. They may lie beyond the matrix: it is only a hint.
#[inline(always)]
pub(super) fn prefetch<G>(group: &G) {
    let first = std::ptr::from_ref(group).cast::<i8>();
    for line in (0..size_of::<G>()).step_by(64) {
        let address = first.wrapping_add(PREFETCH_BYTES + line);
        // SAFETY: every x86-64 processor has SSE; a prefetch reads nothing that the program can see, and cannot fault.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
    }
}

/// The rows, of as many groups as the panel has: so the compiler sees that none of them ends sooner.
#[inline(always)]
pub(super) fn of_length<const R: usize>(
    x: [&[Activation]; R],
    length: usize,
) -> [&[Activation]; R] {
    let mut rows = x;
    for row in &mut rows {
        *row = &row[..length];
    }
    rows
}

/// Group `index` of each row.
#[inline(always)]
pub(super) fn nth<'a, const R: usize>(
    x: &[&'a [Activation]; R],
    index: usize,
) -> [&'a Activation; R] {
    let mut groups = [&Activation::ZERO; R];
    for (group, row) in groups.iter_mut().zip(x) {
        *group = &row[index];
    }
    groups
}

/// Four activations as the bits of a 32-bit lane.
#[inline(always)]
pub(super) fn quad_bits(quad: [i8; 4]) -> i32 {
    i32::from_le_bytes(quad.map(|integer| integer as u8))
}
