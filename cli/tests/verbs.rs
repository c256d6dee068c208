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
        (&["--metrics", "wordCount", "--report", "x.pdf"], ".html"),
        (&["--metrics", "wordCount", "--rows", "rows.jsonl"], "the file to be scored"),
        (&["--metrics", "rougeL", "--gate", "rougeL=min:0", "--gate", "rougeL=max:1"], "twice"),
        (&["--metrics", "rougeL", "--gate", "rougeL=min:0,min:1"], "twice"),
        (&["--metrics", "rougeL,rougeL"], "twice"),
        (&[], "--metrics"),
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
fn validate_gives_the_same_whatever_the_threads_and_the_format_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let rows: String = (0..2_000)
        .map(|i| {
            let text = format!("the {} cat number {} sat on {} mats", i % 7, i, i % 13);
            format!("{}\n", serde_json::json!({"id": format!("{i}-0"), "text": text, "gold": "the cat sat on a mat"}))
        })
        .collect();
    write(at, "rows.jsonl", rows);
    for to in ["csv", "parquet"] {
        let out = format!("rows.{to}");
        let done = textnlp(at)
            .args(["format", "rows.jsonl", "--to", to, "--output", &out])
            .output()
            .unwrap();
        assert_eq!(done.status.code(), Some(0), "{}", stderr(&done));
    }
    let run = |file: &str, threads: &str| {
        let metrics = "bleu,chrf,rougeL,wordCount,distinct,selfBleu,duplicateRate,nearDuplicateRate,compressionRatio";
        let output = textnlp(at)
            .args([
                "validate",
                file,
                "--column",
                "text",
                "--reference",
                "gold",
                "--metrics",
                metrics,
            ])
            .args(["--threads", threads, "--confidence", "--rows", "scores.jsonl", "--json"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let mut report: Value = serde_json::from_slice(&output.stdout).unwrap();
        report.as_object_mut().unwrap().remove("seconds");
        (report, std::fs::read_to_string(at.join("scores.jsonl")).unwrap())
    };
    let one = run("rows.jsonl", "1");
    assert_eq!(one.0["rows"]["accepted"], 2_000);
    assert!(one.0["scores"][0]["ci"]["low"].as_f64() < one.0["scores"][0]["value"].as_f64());
    assert_eq!(one.1.lines().count(), 2_000);
    for (file, threads) in
        [("rows.jsonl", "2"), ("rows.jsonl", "7"), ("rows.csv", "3"), ("rows.parquet", "2")]
    {
        assert_eq!(run(file, threads), one, "{file} with {threads} threads");
    }
}

#[test]
fn rows_of_several_datasets_may_have_the_same_ids() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let lines = |id: &dyn Fn(usize) -> String| -> String {
        let line = |i| serde_json::json!({"id": id(i), "text": format!("row {i} has words of its own {}", i * i)});
        (0..50).map(|i| format!("{}\n", line(i))).collect()
    };
    write(at, "own.jsonl", lines(&|i| format!("{i}")));
    write(at, "same.jsonl", lines(&|_| "0-0".to_owned()));
    let run = |file: &str| {
        let output = textnlp(at)
            .args([
                "validate",
                file,
                "--column",
                "text",
                "--metrics",
                "selfBleu,compressionRatio,charCount",
            ])
            .args(["--confidence", "0.9", "--json"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let (own, same) = (run("own.jsonl"), run("same.jsonl"));
    assert_eq!(own["scores"][0]["value"], same["scores"][0]["value"]);
    assert_eq!(own["scores"][1]["value"], same["scores"][1]["value"]);
    let width = |report: &Value| {
        let ci = &report["scores"][2]["ci"];
        ci["high"].as_f64().unwrap() - ci["low"].as_f64().unwrap()
    };
    // Resampled as one, the rows would have an interval many times as wide.
    assert!(width(&same) < 3.0 * width(&own), "{} and {}", width(&same), width(&own));
}

#[test]
fn rows_that_cannot_be_scored_fail_alone_and_a_gate_can_count_them() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let rows = [
        r#"{"text": "one two", "gold": ["one two", "two"]}"#,
        r#"{"text": null, "gold": "a"}"#,
        r#"{"text": "three"}"#,
        r#"{"text": "four", "gold": []}"#,
        r#"{"text": "five", "gold": "five"}"#,
    ];
    write(at, "rows.jsonl", rows.join("\n"));
    let run = |more: &[&str]| {
        let arguments = ["validate", "rows.jsonl", "--column", "text", "--reference", "gold"];
        textnlp(at).args(arguments).args(more).output().unwrap()
    };
    let output = run(&["--metrics", "rouge1,failedRate", "--rows", "scores.jsonl", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["rows"]["accepted"], &report["rows"]["failed"]), (&2.into(), &3.into()));
    assert_eq!(report["scores"][0]["value"], 1.0);
    assert_eq!(report["scores"][1]["value"], 0.6);
    assert!(report["failures"][0]["first"].as_str().unwrap().contains("row 1"), "{report}");
    let lines = std::fs::read_to_string(at.join("scores.jsonl")).unwrap();
    let errors: Vec<bool> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["error"].is_string())
        .collect();
    assert_eq!(errors, [false, true, true, true, false]);
    let gated = run(&["--metrics", "rouge1,failedRate", "--gate", "failedRate=max:0.5"]);
    assert_eq!(gated.status.code(), Some(3));
    // A field that no record has is a mistake of the call; a file that no text can be taken from fails.
    let output = textnlp(at)
        .args(["validate", "rows.jsonl", "--column", "txt", "--metrics", "wordCount"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("text, gold"), "{}", stderr(&output));
    write(at, "empty.jsonl", r#"{"text": null}"#);
    let output = textnlp(at)
        .args(["validate", "empty.jsonl", "--column", "text", "--metrics", "wordCount"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn a_program_of_ones_own_is_a_metric() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    write(at, "rows.jsonl", ROWS);
    // Answers late: all of them after the last row.
    let program = "import json, sys\nrows = [json.loads(line) for line in sys.stdin]\nfor row in rows:\n    \
        n = len(row['text'])\n    print(json.dumps({'error': 'too long'} if n > 21 else {'value': n / 2}))\n";
    write(at, "half.py", program);
    let run = |more: &[&str]| {
        let arguments = ["validate", "rows.jsonl", "--column", "text", "--json"];
        textnlp(at).args(arguments).args(more).output().unwrap()
    };
    let output = run(&[
        "--metric-command",
        "half=python3 half.py",
        "--metrics",
        "charCount",
        "--rows",
        "scores.jsonl",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["scores"][1]["metric"], &report["scores"][1]["value"]),
        (&"half".into(), &10.0.into())
    );
    assert_eq!(report["rows"]["failed"], 1);
    let lines = std::fs::read_to_string(at.join("scores.jsonl")).unwrap();
    assert!(lines.starts_with(r#"{"id":"0-0","error":"too long"}"#), "{lines}");
    let gated = run(&["--metric-command", "half=python3 half.py", "--gate", "half=min:11"]);
    assert_eq!(gated.status.code(), Some(3), "{}", stderr(&gated));
    for (command, part) in [
        ("half=exit 3", "exit status: 3"),
        ("half=cat > /dev/null", "0 answers to 3 rows"),
        ("half=cat", "expected {\"value\": NUMBER}"),
        ("half=yes '{\"value\": 1}' | head -4", "4 answers to 3 rows"),
        ("half=no-such-program-here", "exit status: 127"),
        // A wrong answer ends it, whatever it does then.
        ("half=echo no; sleep 600", "expected {\"value\": NUMBER}"),
    ] {
        let output = run(&["--metric-command", command]);
        assert_eq!(output.status.code(), Some(1), "{command}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{command}: {}", stderr(&output));
    }
    for (command, part) in
        [("half", "no `=`"), ("bleu=cat", "a metric of this name"), ("=cat", "1 to 63")]
    {
        let output = run(&["--metric-command", command]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(stderr(&output).contains(part), "{command}: {}", stderr(&output));
    }
    // One that neither reads nor answers is ended, and what its shell started too.
    for command in ["half=sleep 600; true", "half=exec >&-; sleep 600"] {
        let stuck = run(&["--metric-command", command, "--command-timeout", "1"]);
        assert_eq!(stuck.status.code(), Some(1), "{command}");
        assert!(stderr(&stuck).contains("was ended"), "{command}: {}", stderr(&stuck));
    }
    // A row without a text is not shown to the program, and fails alone.
    write(at, "rows.jsonl", format!("{{\"text\": null}}\n{ROWS}"));
    let output = run(&["--metric-command", "half=python3 half.py"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["rows"]["failed"], &report["scores"][0]["value"]),
        (&2.into(), &10.0.into())
    );
}

#[test]
fn validate_writes_reports_for_people_and_programs() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    write(at, "rows.jsonl", ROWS);
    let run = |reports: &[&str]| {
        let mut command = textnlp(at);
        command.args([
            "validate",
            "rows.jsonl",
            "--column",
            "text",
            "--metrics",
            "wordCount,distinct",
        ]);
        reports.iter().for_each(|report| _ = command.args(["--report", report]));
        command.output().unwrap()
    };
    let output = run(&["r.html", "r.md", "r.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let read = |name: &str| std::fs::read_to_string(at.join(name)).unwrap();
    assert!(read("r.html").contains("a dog barked, loudly") && read("r.html").contains("<svg"));
    assert!(read("r.md").contains("| wordCount | text | 4.667 |"), "{}", read("r.md"));
    let json: Value = serde_json::from_str(&read("r.json")).unwrap();
    assert_eq!(json["distributions"][0]["histogram"]["counts"], serde_json::json!([2, 0, 1]));
    assert_eq!(run(&["r.pdf"]).status.code(), Some(2));
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

#[test]
fn a_new_key_is_printed_once_and_its_entry_is_one_that_a_server_reads() {
    let directory = tempfile::tempdir().unwrap();
    let make = || textnlp(directory.path()).args(["key", "--name", "team-a"]).output().unwrap();
    let (one, two) = (make(), make());
    assert_eq!(one.status.code(), Some(0), "{}", stderr(&one));
    let key = stdout(&one).trim().to_owned();
    assert!(key.starts_with("tnlp_") && key.len() == 69 && key != stdout(&two).trim(), "{key}");
    let errors = stderr(&one);
    assert!(errors.contains("- {name: team-a, sha256: ") && !errors.contains(&key), "{errors}");
    let named = textnlp(directory.path()).args(["key", "--name", "a b"]).output().unwrap();
    assert_eq!(named.status.code(), Some(2));
}
