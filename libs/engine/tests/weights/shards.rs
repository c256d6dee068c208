//! Weights in several safetensors files: the same model as in one, and every way in which index and files can disagree.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use textnlp_engine::model::{Batch, Logits, Model, Outputs, Span};
use textnlp_engine::models::{CpuModel, CpuOptions};
use textnlp_engine::weights::{Companions, Format, ModelFiles, ReadAt, ShardIndex};

use crate::formats::assert_equal_tensors;
use crate::writer::TinyLlama;

const INDEX: &str = "model.safetensors.index.json";

/// The tiny model in three files.
fn sharded() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for (name, bytes) in TinyLlama::new(false).shards(3) {
        fs::write(folder.path().join(name), bytes).expect("a file is written");
    }
    fs::write(folder.path().join("config.json"), TinyLlama::config_json(false).to_string())
        .expect("a file is written");
    folder
}

fn shard(number: usize) -> String {
    format!("model-{number:05}-of-00003.safetensors")
}

/// Changes the index of a sharded model.
fn with_index(change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = sharded();
    let path = folder.path().join(INDEX);
    let mut index = serde_json::from_slice(&fs::read(&path).expect("an index")).expect("JSON");
    change(&mut index);
    fs::write(&path, index.to_string()).expect("a file is written");
    folder
}

fn open(path: &Path) -> ModelFiles {
    ModelFiles::open(path).unwrap_or_else(|error| panic!("{error}"))
}

fn check_refused(folder: &TempDir, expected: &[&str]) {
    let message = ModelFiles::open(folder.path()).map(|_| ()).expect_err("refused").to_string();
    for expected in expected {
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
}

/// Logits at all positions of a few tokens.
fn logits(model: &ModelFiles) -> Vec<u32> {
    let options = CpuOptions { threads: 1, max_rows: 8, ..CpuOptions::default() };
    let mut model = CpuModel::load(model, options).expect("a valid model");
    model.reserve(1).expect("memory for a page");
    let spans = [Span { rows: 5, first_position: 0, pages: &[0], outputs: Outputs::All }];
    let mut logits = Logits::default();
    let batch = Batch { tokens: &[1, 40, 7, 0, 47], spans: &spans };
    model.forward(&batch, &mut logits).expect("a valid batch");
    logits.values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn a_model_in_three_files_is_the_same_model_as_in_one() {
    let (three, whole) = (sharded(), tempfile::tempdir().expect("a temporary directory"));
    fs::write(whole.path().join("model.safetensors"), TinyLlama::new(false).safetensors())
        .expect("a file is written");
    fs::copy(three.path().join("config.json"), whole.path().join("config.json")).expect("a copy");
    let (three, whole) = (open(three.path()), open(whole.path()));
    assert_equal_tensors(&three, &whole);
    assert_eq!(logits(&three), logits(&whole));
    assert_eq!(three.format(), Format::SafeTensors);
    let (three, whole) = (three.summary(), whole.summary());
    assert_eq!(
        (three.parameters, three.tensor_types),
        (whole.parameters, whole.tensor_types.clone())
    );
    assert!(three.file_bytes > whole.file_bytes, "three headers");
}

#[test]
fn a_directory_and_its_index_are_the_same_model() {
    let folder = sharded();
    let (directory, index) = (open(folder.path()), open(&folder.path().join(INDEX)));
    assert_eq!(directory.digest().expect("a digest"), index.digest().expect("a digest"));
    // As transformers takes the one file where both lie there.
    fs::write(folder.path().join("model.safetensors"), TinyLlama::new(false).safetensors())
        .expect("a file is written");
    assert_ne!(open(folder.path()).digest().expect("a digest"), index.digest().expect("a digest"));
}

#[test]
fn the_digest_has_a_line_for_each_file_in_name_order() {
    let hex = |bytes: &[u8]| {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let folder = sharded();
    let hash = |name: &str| hex(&fs::read(folder.path().join(name)).expect("a file"));
    let lines = format!(
        "config {}\nweights-1 {}\nweights-2 {}\nweights-3 {}\n",
        hash("config.json"),
        hash(&shard(1)),
        hash(&shard(2)),
        hash(&shard(3)),
    );
    let digest = open(folder.path()).digest().expect("a digest");
    assert_eq!(digest, format!("sha256:{}", hex(lines.as_bytes())));
}

#[test]
fn a_shard_that_is_missing_or_no_file_is_named() {
    let folder = sharded();
    fs::remove_file(folder.path().join(shard(2))).expect("a file");
    let (shard_2, index) = (shard(2), folder.path().join(INDEX).display().to_string());
    check_refused(
        &folder,
        &[&shard_2, "one of the 3 files", &index, "it is missing; download it too"],
    );
    fs::create_dir(folder.path().join(&shard_2)).expect("a directory");
    check_refused(&folder, &[&shard_2, "neither a regular file nor a directory"]);
}

#[test]
fn a_shard_that_is_damaged_or_of_another_kind_is_named() {
    let folder = sharded();
    let (shard_3, path) = (shard(3), folder.path().join(shard(3)));
    let bytes = fs::read(&path).expect("a file");
    fs::write(&path, &bytes[..bytes.len() - 1]).expect("a file is written");
    check_refused(&folder, &[&shard_3, "damaged", "1 bytes are missing"]);
    fs::write(&path, "version https://git-lfs.github.com/spec/v1\n").expect("a file is written");
    check_refused(&folder, &[&shard_3, "git lfs pull"]);
}

#[test]
fn a_tensor_that_is_not_in_its_file_is_named_with_both() {
    let name = "model.norm.weight";
    let folder = with_index(|index| index["weight_map"][name] = json!(shard(3)));
    check_refused(&folder, &[&shard(3), name, "missing, though", INDEX]);
    let folder = with_index(|index| index["weight_map"]["invented.weight"] = json!(shard(1)));
    check_refused(&folder, &[&shard(1), "invented.weight", "missing, though"]);
}

#[test]
fn a_tensor_in_two_files_is_refused() {
    // Twice in the index, and once there but in two files.
    let folder = sharded();
    let text = fs::read_to_string(folder.path().join(INDEX)).expect("an index");
    let twice = text.replacen(
        "\"weight_map\":{",
        &format!("\"weight_map\":{{\"model.norm.weight\":\"{}\",", shard(3)),
        1,
    );
    assert_ne!(twice, text);
    fs::write(folder.path().join(INDEX), twice).expect("a file is written");
    check_refused(&folder, &["\"model.norm.weight\" appears twice"]);
    fs::write(folder.path().join(INDEX), text).expect("a file is written");
    fs::write(folder.path().join(shard(3)), TinyLlama::new(false).safetensors())
        .expect("a file is written");
    check_refused(&folder, &[&shard(3), &shard(1), "has it too"]);
}

#[test]
fn a_tensor_that_the_index_leaves_out_counts_all_the_same() {
    // What a file holds is part of the model, listed or not, as transformers has it.
    let folder = with_index(|index| {
        let map = index["weight_map"].as_object_mut().expect("a map");
        assert!(map.remove("model.norm.weight").is_some());
    });
    assert_equal_tensors(&open(folder.path()), &open(sharded().path()));
}

#[test]
fn a_file_outside_the_directory_is_never_opened() {
    for name in [
        "/etc/passwd.safetensors",
        "../model.safetensors",
        "sub/model.safetensors",
        "sub\\model.safetensors",
        "..safetensors",
        ".safetensors",
        "..",
        "",
        "config.json",
        "model\u{0}.safetensors",
        "model\u{202e}.safetensors",
    ] {
        let folder = with_index(|index| index["weight_map"]["model.norm.weight"] = json!(name));
        check_refused(&folder, &[INDEX, "weight_map", "only a .safetensors file"]);
    }
}

#[test]
fn an_index_that_is_none_is_refused() {
    let many: serde_json::Map<_, _> =
        (0..1001).map(|n| (n.to_string(), json!(format!("{n}.safetensors")))).collect();
    for (text, expected) in [
        ("", "is no index of weights"),
        ("{", "is no index of weights"),
        ("[]", "is no index of weights"),
        ("{\"weight_map\": 1}", "a map of tensors' names"),
        ("{\"weight_map\": {\"a\": 1}}", "is no index of weights"),
        ("{\"weight_map\": {}}", "names 0 files"),
        (&json!({"weight_map": many}).to_string(), "names 1001 files; from 1 to 1000"),
    ] {
        let folder = sharded();
        fs::write(folder.path().join(INDEX), text).expect("a file is written");
        check_refused(&folder, &[INDEX, expected]);
    }
    let folder = sharded();
    let file = fs::File::create(folder.path().join(INDEX)).expect("a file");
    file.set_len(33 << 20).expect("a sparse file");
    check_refused(&folder, &[INDEX, "is 34603008 bytes; at most"]);
}

#[test]
fn shards_can_come_from_memory() {
    let mut files = TinyLlama::new(true).shards(2);
    let (name, index) = files.pop().expect("an index");
    let index = ShardIndex::parse(&name, &index).expect("a valid index");
    assert_eq!(
        index.files().collect::<Vec<_>>(),
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    );
    let sources: Vec<Arc<dyn ReadAt>> =
        files.into_iter().map(|(_, bytes)| Arc::new(bytes) as Arc<dyn ReadAt>).collect();
    let companions = || -> Companions { TinyLlama::companions(true) };
    let error = ModelFiles::from_shards(&index, sources[..1].to_vec(), companions());
    let error = error.map(|_| ()).expect_err("a file is left out").to_string();
    assert!(error.contains("names 2 files, not 1"), "{error}");
    let model = ModelFiles::from_shards(&index, sources, companions()).expect("a model");
    let whole = Arc::new(TinyLlama::new(true).safetensors());
    let whole = ModelFiles::from_safetensors(whole, companions()).expect("a model");
    assert_equal_tensors(&model, &whole);
}
