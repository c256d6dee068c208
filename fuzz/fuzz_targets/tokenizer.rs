#![no_main]
//! A `tokenizer.json` of any bytes: built, and used both ways.

use libfuzzer_sys::fuzz_target;
use textnlp_engine::tokenizer::Tokenizer;

fuzz_target!(|bytes: &[u8]| {
    let Ok(tokenizer) = Tokenizer::from_json_bytes(bytes) else { return };
    if let Ok(ids) = tokenizer.encode("Hello, wörld 123\r\n\u{1f600}<|im_end|>") {
        let _ = tokenizer.decode(&ids);
    }
    let _ = tokenizer.decode(&[0, 1, u32::MAX]);
});
