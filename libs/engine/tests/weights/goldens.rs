//! Files and values that other implementations wrote (`tests/goldens/weights/make.py`).

use std::path::{Path, PathBuf};

use serde_json::Value;
use textnlp_engine::weights::{Encoding, LayerTensor, ModelFiles, TensorRole, dequantize};

use crate::formats::assert_equal_tensors;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/weights").join(name)
}

fn bytes_of(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hexadecimal");
    let pairs = (0..hex.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("two digits")).collect()
}

#[test]
fn blocks_are_dequantised_to_the_same_bits_as_by_the_gguf_package() {
    let text = std::fs::read_to_string(golden("dequantize.json")).expect("the goldens");
    let goldens: Value = serde_json::from_str(&text).expect("JSON");
    for encoding in Encoding::ALL {
        let golden = &goldens[encoding.name()];
        let expected: Vec<u8> = bytes_of(&golden["values"]);
        let mut values = vec![f32::NAN; expected.len() / 4];
        let blocks = dequantize(encoding, &bytes_of(&golden["bytes"]), &mut values);
        assert_eq!(blocks * encoding.block_elements(), values.len(), "{encoding}");
        let actual: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert!(actual == expected, "{encoding} differs");
    }
}

#[test]
fn a_llama_saved_by_transformers_equals_its_gguf() {
    let hub = ModelFiles::open(&golden("llama")).expect("the directory opens");
    let gguf = ModelFiles::open(&golden("llama.gguf")).expect("the GGUF opens");
    assert_equal_tensors(&hub, &gguf);
    assert_eq!(
        (hub.special_tokens().bos, hub.special_tokens().end.as_slice()),
        (Some(1), [2].as_slice())
    );
}

#[test]
fn a_gpt2_saved_by_transformers_equals_its_gguf() {
    let hub = ModelFiles::open(&golden("gpt2")).expect("the directory opens");
    let gguf = ModelFiles::open(&golden("gpt2.gguf")).expect("the GGUF opens");
    assert_equal_tensors(&hub, &gguf);
    assert_eq!(hub.tensor(TensorRole::Head).expect("no error"), None);
    assert_eq!(hub.tensor(TensorRole::Layer(0, LayerTensor::Gate)).expect("no error"), None);
    let key =
        hub.tensor(TensorRole::Layer(1, LayerTensor::KeyBias)).expect("no error").expect("a bias");
    assert_eq!((key.rows, key.columns), (1, 32));
}
