//! Files and directories as a user names them: what is chosen, what is refused, what the digest covers.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use textnlp_engine::weights::{ModelFiles, TokenizerSource};

use crate::writer::TinyLlama;

const TOKENIZER: &str = r#"{
    "added_tokens": [
        {"id": 44, "content": "<|end_of_text|>", "special": true},
        {"id": 45, "content": "<|im_end|>", "special": true},
        {"id": 46, "content": "<s>", "special": true},
        {"id": 47, "content": "[EOT]", "special": false}
    ],
    "post_processor": {"type": "Sequence", "processors": [
        {"type": "ByteLevel"},
        {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A"}}]}
    ]},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}
}"#;

/// Names and contents.
type Files<'a> = &'a [(&'a str, &'a [u8])];

fn folder(files: Files<'_>) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).expect("a file is written");
    }
    folder
}

/// The tiny model as a directory, with more files.
fn hub(files: &[(&str, &str)]) -> TempDir {
    let folder = folder(&[
        ("model.safetensors", &TinyLlama::new(false).safetensors()),
        ("config.json", TinyLlama::config_json(false).to_string().as_bytes()),
    ]);
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file is written");
    }
    folder
}

fn open(path: &Path) -> ModelFiles {
    ModelFiles::open(path).expect("the model opens")
}

fn check_refused(path: &Path, expected: &str) {
    let message = ModelFiles::open(path).map(|_| ()).expect_err("refused").to_string();
    assert!(message.contains(expected), "{message:?} lacks {expected:?}");
}

#[test]
fn a_directory_and_its_weights_file_are_the_same_model() {
    let folder = hub(&[("tokenizer.json", TOKENIZER)]);
    let (whole, file) = (open(folder.path()), open(&folder.path().join("model.safetensors")));
    assert_eq!(whole.digest().expect("a digest"), file.digest().expect("a digest"));
    assert!(
        matches!(file.tokenizer(), TokenizerSource::Json(bytes) if bytes == TOKENIZER.as_bytes())
    );
}

#[test]
fn a_directory_with_one_gguf_is_that_model() {
    let folder =
        folder(&[("README.md", b"#"), ("tiny.gguf", &TinyLlama::new(false).gguf().bytes())]);
    assert_eq!(
        open(folder.path()).summary().parameters,
        open(&folder.path().join("tiny.gguf")).summary().parameters
    );
}

#[test]
fn what_is_no_single_model_is_refused_with_the_reason() {
    let (gguf, weights) =
        (TinyLlama::new(false).gguf().bytes(), TinyLlama::new(false).safetensors());
    let cases: &[(Files<'_>, &str)] = &[
        (&[], "holds neither"),
        (&[("pytorch_model.bin", b"PK\x03\x04")], "pickle checkpoints run code"),
        (
            &[("a.gguf", &gguf), ("model.safetensors.index.json", b"{}")],
            "several: a.gguf, model.safetensors.index.json",
        ),
        (
            &[("a.safetensors.index.json", b"{}"), ("b.safetensors.index.json", b"{}")],
            "several: a.safetensors.index.json, b.safetensors.index.json",
        ),
        (&[("a.gguf", &gguf), ("b.gguf", &gguf)], "several: a.gguf, b.gguf"),
        (
            &[("a.gguf", &gguf), ("model.safetensors", &weights)],
            "several: a.gguf, model.safetensors",
        ),
        (&[("model.safetensors", &weights)], "config.json is missing beside it"),
    ];
    for (files, expected) in cases {
        check_refused(folder(files).path(), expected);
    }
}

#[test]
fn files_of_other_kinds_are_refused_with_the_reason() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("model.safetensors.index.json", b"{}", "missing field `weight_map`"),
        ("model.pt", b"anything", "pickle checkpoints run code"),
        ("model.ckpt", b"", "pickle checkpoints run code"),
        ("model.dat", b"PK\x03\x04", "pickle checkpoints run code"),
        ("model.gguf", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        ("model.safetensors", b"<html>", "web page"),
        ("config.json", b"{}", "it is JSON"),
    ];
    for (name, bytes, expected) in cases {
        let folder = folder(&[(name, bytes)]);
        check_refused(&folder.path().join(name), expected);
    }
    check_refused(Path::new("/nonexistent/model.gguf"), "cannot read /nonexistent/model.gguf");
    check_refused(Path::new("/dev/null"), "neither a regular file nor a directory");
}

#[test]
fn files_beyond_their_limit_are_refused_before_they_are_read() {
    for (name, bytes) in
        [("config.json", 5 << 20), ("tokenizer.json", 2 << 30), ("chat_template.jinja", 2 << 20)]
    {
        let folder = hub(&[]);
        let file = fs::File::create(folder.path().join(name)).expect("a file");
        file.set_len(bytes).expect("a sparse file");
        check_refused(folder.path(), &format!("{name} is {bytes} bytes; at most"));
    }
}

#[test]
fn special_tokens_come_from_all_the_files_of_a_directory() {
    let check = |files: &[(&str, &str)], bos: Option<u32>, end: &[u32], add_bos: bool| {
        let folder = hub(files);
        let special = open(folder.path()).special_tokens().clone();
        assert_eq!(
            (special.bos, special.end.as_slice(), special.add_bos),
            (bos, end, add_bos),
            "{files:?}"
        );
    };
    let tokenizer = ("tokenizer.json", TOKENIZER);
    let names = (
        "tokenizer_config.json",
        r#"{"bos_token": "<s>", "eos_token": {"content": "<|im_end|>"}}"#,
    );
    let no_bos = ("tokenizer_config.json", r#"{"bos_token": "<s>", "add_bos_token": false}"#);
    check(&[], None, &[], false);
    check(&[tokenizer], None, &[44, 45], false);
    check(&[tokenizer, names], Some(46), &[44, 45], true);
    check(&[tokenizer, no_bos], Some(46), &[44, 45], false);
    check(
        &[("generation_config.json", r#"{"bos_token_id": 1, "eos_token_id": [7, 2]}"#)],
        Some(1),
        &[2, 7],
        false,
    );
}

#[test]
fn a_chat_template_is_taken_from_its_file_or_the_tokenizers_configuration() {
    let check = |files: &[(&str, &str)], expected: Option<&str>| {
        assert_eq!(open(hub(files).path()).chat_template(), expected, "{files:?}");
    };
    let one = ("tokenizer_config.json", r#"{"chat_template": "one"}"#);
    let named = r#"{"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]}"#;
    check(&[], None);
    check(&[one], Some("one"));
    check(&[("tokenizer_config.json", named)], Some("d"));
    check(&[one, ("chat_template.jinja", "file")], Some("file"));
}

#[test]
fn the_digest_covers_roles_and_contents_but_no_paths() {
    let digest = |files: &[(&str, &str)]| open(hub(files).path()).digest().expect("a digest");
    let plain = digest(&[]);
    assert_eq!(plain, digest(&[]), "another directory");
    assert_eq!(
        plain,
        digest(&[("README.md", "#"), ("generation_config.json", "{}")]),
        "files without a role"
    );
    let changed = [
        digest(&[("tokenizer.json", TOKENIZER)]),
        digest(&[("chat_template.jinja", "x")]),
        digest(&[("chat_template.jinja", "y")]),
        digest(&[("config.json", &format!("{} ", TinyLlama::config_json(false)))]),
    ];
    for (index, digest) in changed.iter().enumerate() {
        assert!(*digest != plain && !changed[..index].contains(digest));
    }
}

#[test]
fn the_digest_is_the_hash_of_sorted_lines_of_role_and_hash() {
    use sha2::{Digest, Sha256};
    let hex = |bytes: &[u8]| {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let folder = hub(&[("tokenizer.json", TOKENIZER), ("chat_template.jinja", "template")]);
    let lines = format!(
        "chatTemplate {}\nconfig {}\ntokenizer {}\nweights-1 {}\n",
        hex(b"template"),
        hex(TinyLlama::config_json(false).to_string().as_bytes()),
        hex(TOKENIZER.as_bytes()),
        hex(&TinyLlama::new(false).safetensors()),
    );
    assert_eq!(
        open(folder.path()).digest().expect("a digest"),
        format!("sha256:{}", hex(lines.as_bytes()))
    );
}
