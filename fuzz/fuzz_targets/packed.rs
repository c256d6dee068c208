#![no_main]
//! The head of a file of packed weights: any bytes, and any sections under a valid checksum, which no fuzzer finds by
//! itself. What is understood is written as the same bytes again.

use libfuzzer_sys::fuzz_target;
use textnlp_engine::models::cpu::PackedHead;
use twox_hash::XxHash3_64;

/// Bytes of a section in the head.
const SECTION: usize = 16;

fuzz_target!(|input: &[u8]| {
    check(input);
    let empty = PackedHead::default().to_bytes();
    let mut sealed = empty[..empty.len() - 8].to_vec();
    sealed[12..16].copy_from_slice(&((input.len() / SECTION) as u32).to_le_bytes());
    sealed.extend(&input[..input.len() / SECTION * SECTION]);
    sealed.extend(XxHash3_64::oneshot(&sealed).to_le_bytes());
    check(&sealed);
});

fn check(bytes: &[u8]) {
    if let Ok(head) = PackedHead::parse(bytes) {
        assert!(bytes.starts_with(&head.to_bytes()));
    }
}
