#![no_main]
//! A GGUF of any bytes: opened, every tensor dequantised, the tokenizer and the chat template inside it built.

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use textnlp_engine::chat::ChatTemplate;
use textnlp_engine::tokenizer::Tokenizer;
use textnlp_engine::weights::{ModelFiles, TensorRole};

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = ModelFiles::from_gguf(Arc::new(bytes.to_vec())) else { return };
    for role in TensorRole::all(model.config()) {
        let _ = model.tensor(role);
    }
    let _ = (model.summary(), model.digest());
    if let Ok(tokenizer) = Tokenizer::new(model.tokenizer(), model.special_tokens()) {
        let _ = tokenizer.encode("Hello, world 123\n");
    }
    let _ = model.chat_template().map(ChatTemplate::new);
});
