#![no_main]
//! A source of any bytes, as CSV, JSONL and Parquet, compressed or not.

use libfuzzer_sys::fuzz_target;
use textnlp_dataset::source::{Format, Limits, read_bytes};

fuzz_target!(|input: (u8, &[u8])| {
    let format = match input.0 % 3 {
        0 => Format::Csv,
        1 => Format::Jsonl,
        _ => Format::Parquet,
    };
    let limits = Limits { record_bytes: 1 << 20, ..Limits::default() };
    let _ = read_bytes(format, input.1, limits);
});
