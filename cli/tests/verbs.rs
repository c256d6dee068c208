//! The verbs beside `run`, as a user calls them.

mod common;

use serde_json::Value;

use common::{model, stderr, stdout, textnlp, write};

const ROWS: &str = concat!(
    r#"{"id":"0-0","text":"the cat sat on the mat","gold":"the cat sat on a mat"}"#,
    "\n",
    r#"{"id":"0-1","text":"a dog barked, loudly","gold":"the dog barked loudly"}"#,
    "\n",
    r#"{"id":"1-0","text":"a dog barked, loudly","gold":"=1+1"}"#,
    "\n",
);

#[test]
fn validate_scores_a_file_and_a_gate_decides_the_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "rows.jsonl", ROWS);
    let run = |more: &[&str]| {
        let arguments = ["validate", "rows.jsonl", "--column", "text", "--reference", "gold"];
        textnlp(directory.path()).args(arguments).args(more).output().unwrap()
    };
    let output =
        run(&["--metrics", "rougeL,duplicateRate,wordCount", "--rows", "scores.jsonl", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["records"], 3);
    assert!((report["scores"][1]["value"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-12, "{report}");
    let rows = std::fs::read_to_string(directory.path().join("scores.jsonl")).unwrap();
    let first: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["id"], first["scores"]["wordCount"].as_f64()),
        (&Value::from("0-0"), Some(6.0))
    );
    assert_eq!(
        run(&["--metrics", "duplicateRate", "--gate", "duplicateRate=max:0.1"]).status.code(),
        Some(3)
    );
    assert_eq!(
        run(&["--metrics", "duplicateRate", "--gate", "duplicateRate=max:0.4"]).status.code(),
        Some(0)
    );
    for (more, part) in [
        (&["--metrics", "rouge"][..], "rougeL"),
        (&["--metrics", "rougeL", "--gate", "bleu=min:1"], "bleu"),
        (&["--metrics", "rougeL", "--gate", "rougeL=1"], "min:X"),
        (&["--metrics", "rougeL", "--param", "rougeL.stemer=true"], "stemmer"),
        (&["--metrics", "failedRate"], "failedRate"),
    ] {
        let output = run(more);
        assert_eq!(output.status.code(), Some(2), "{more:?}");
        assert!(stderr(&output).contains(part), "{}", stderr(&output));
    }
    let output = textnlp(directory.path())
        .args(["validate", "rows.jsonl", "--metrics", "wordCount"])
        .output()
        .unwrap();
    assert!(stderr(&output).contains("--column: text, gold"), "{}", stderr(&output));
}

#[test]
fn format_converts_there_and_back() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    write(at, "rows.jsonl", ROWS);
    let run = |arguments: &[&str]| {
        let output = textnlp(at).arg("format").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    run(&["rows.jsonl", "--to", "parquet", "--output", "rows.parquet"]);
    run(&["rows.parquet", "--to", "csv", "--output", "rows.csv"]);
    let back = run(&["rows.csv", "--to", "jsonl"]);
    let parse = |text: &str| {
        text.lines().map(|l| serde_json::from_str::<Value>(l).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(parse(&back), parse(ROWS));
    assert!(run(&["rows.jsonl", "--to", "csv", "--escape-formulas"]).contains("'=1+1"));
    assert!(run(&["rows.jsonl", "--to", "markdown"]).starts_with("| id | text | gold |"));
    let output = textnlp(at).args(["format", "rows.jsonl", "--to", "parquet"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!at.join("rows.txt").exists());
}

#[test]
fn generate_gives_the_same_text_whole_and_streamed() {
    let directory = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| {
        let mut command = textnlp(directory.path());
        command.args([
            "generate",
            "--prompt",
            "Name a colour.",
            "--max-tokens",
            "12",
            "--seed",
            "3",
            "--model",
        ]);
        let output = command.arg(model()).args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let whole = run(&[]);
    assert!(!whole.trim().is_empty());
    assert_eq!(run(&["--stream"]), whole);
    let document: Value = serde_json::from_str(&run(&["--json"])).unwrap();
    assert_eq!(document["text"].as_str().map(|t| format!("{t}\n")), Some(whole));
    assert!(document["usage"]["completionTokens"].as_u64().unwrap() <= 12);
}

#[test]
fn an_interactive_conversation_ends_in_a_manifest_that_runs() {
    use std::io::Write;
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut command = textnlp(at);
    command.args(["generate", "--interactive", "--model"]).arg(model());
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let typed = "/set maxTokens 8\n/set nothing 1\n/record city=Oslo country=Norway\nOne word about {{ city }}?\n/save job.yaml\n/quit\n";
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("\"nothing\" is no sampling field"), "{}", stderr(&output));
    let run = textnlp(at).args(["run", "job.yaml", "--output", "out", "--json"]).output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    let row = std::fs::read_to_string(at.join("out/dataset.jsonl")).unwrap();
    assert!(row.contains("One word about Oslo?"), "{row}");
}

#[test]
fn preview_shows_rows_beside_their_prompts_and_writes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let example = common::root().join("examples/airport-tickets/base");
    let mut command = textnlp(directory.path());
    command.arg("run").arg(example).args([
        "--preview",
        "1",
        "--set",
        "spec.sampling.maxTokens=4",
        "--model",
    ]);
    let output = command.arg(model()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let shown = stdout(&output);
    for part in [
        "row 0-0",
        "ticket ← system:",
        "ticket ← user: Write a short complaint",
        "ticket = ",
        "tone = ",
    ] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn explain_speaks_the_schemas_words() {
    let directory = tempfile::tempdir().unwrap();
    let run = |field: &str| textnlp(directory.path()).args(["explain", field]).output().unwrap();
    let output = run("gj.spec.sampling.topK");
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("topK <integer>"), "{}", stdout(&output));
    let output = run("gj.spec.samplin");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("sampling"), "{}", stderr(&output));
}

#[test]
fn model_inspect_tells_what_the_file_is() {
    let directory = tempfile::tempdir().unwrap();
    let output = textnlp(directory.path())
        .args(["model", "inspect", "--json"])
        .arg(model())
        .output()
        .unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["architecture"], "llama");
    assert_eq!(document["parameters"], 134_515_008);
    assert_eq!(document["tensorTypes"]["Q4_1"], 210);
    assert!(document["digest"].as_str().unwrap().starts_with("sha256:"));
}

#[test]
fn a_second_start_takes_the_model_from_the_cache_and_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let model = model();
    let run = |more: &[&str]| {
        let mut command = textnlp(directory.path());
        command.env("TEXTNLP_CACHE", "variable").args(["generate", "--model"]).arg(&model);
        command.args(["--prompt", "Say yes.", "--max-tokens", "4", "--temperature", "0"]);
        let output = command.args(more).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        (stdout(&output), stderr(&output))
    };
    let files = |folder: &str| {
        let folder = directory.path().join(folder);
        let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let expect = run(&["--no-cache"]);
    assert_eq!(expect.1, "");
    assert!(files("variable").is_empty());
    for _ in 0..2 {
        assert_eq!(run(&[]), expect);
    }
    assert_eq!(files("variable/packed").len(), 1);
    assert_eq!(run(&["--cache", "flag"]), expect);
    let [packed] = &files("flag/packed")[..] else { panic!("one model, one file") };
    let mut bytes = std::fs::read(packed).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(packed, bytes).unwrap();
    let (text, warning) = run(&["--cache", "flag"]);
    assert_eq!(text, expect.0);
    assert!(warning.contains("is not used, the model is packed again"), "{warning}");
    assert_eq!(run(&["--cache", "flag"]), expect, "it was mended");
    write(directory.path(), "file", "no directory");
    let (text, warning) = run(&["--cache", "file"]);
    assert_eq!(text, expect.0);
    assert!(warning.contains("the packed weights are not kept"), "{warning}");
}
