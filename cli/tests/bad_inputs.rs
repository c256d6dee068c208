//! What each bad input gets from a local run: the message that a user sees, and the exit code. No model is loaded for
//! any of them. (The schema's own table is in `crds/tests`, the sources' in `libs/dataset/tests`.)

mod common;

use std::path::Path;

use common::{model, stderr, textnlp, write};

/// A job that is right; each case spoils one thing.
const JOB: &str = r#"apiVersion: textnlp.dev/v1alpha1
kind: GenerationJob
metadata: {name: spoiled}
spec:
  modelRef: {name: m}
  source:
    file: {path: data.csv}
  columns:
    - name: text
      prompt: "About {{ product }}."
  validation:
    filters:
      - {name: long, metric: wordCount, column: text, min: 1}
"#;

struct Case<'a> {
    job: String,
    data: &'a [u8],
    arguments: &'a [&'a str],
}

impl Default for Case<'_> {
    fn default() -> Self {
        Self { job: JOB.to_owned(), data: b"product\nkettle\n", arguments: &[] }
    }
}

/// Runs the case and looks for each part in what the user is told.
fn check(case: &Case<'_>, code: i32, parts: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "job.yaml", &case.job);
    write(directory.path(), "data.csv", case.data);
    let output = textnlp(directory.path())
        .args(["run", "job.yaml", "--dry-run", "--model"])
        .arg(model())
        .args(case.arguments)
        .output()
        .unwrap();
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{told}");
    for part in parts {
        assert!(told.contains(part), "{part:?} is not in: {told}");
    }
    assert!(!told.contains("panicked"), "{told}");
}

/// The job with one text replaced.
fn job(from: &str, to: &str) -> Case<'static> {
    assert!(JOB.contains(from), "{from}");
    Case { job: JOB.replace(from, to), ..Case::default() }
}

fn data(data: &[u8]) -> Case<'_> {
    Case { data, ..Case::default() }
}

#[test]
fn the_job_itself_is_right() {
    check(&Case::default(), 0, &[]);
}

#[test]
fn a_manifest_is_refused_with_line_column_path_and_what_is_allowed() {
    let sampling =
        |fields: &str| job("  columns:", &format!("  sampling: {{{fields}}}\n  columns:"));
    let check = |case: Case<'_>, parts: &[&str]| check(&case, 2, parts);
    check(Case { job: "{}".into(), ..Case::default() }, &["job.yaml:1:1", "apiVersion"]);
    check(
        sampling("maxTokenz: 3"),
        &["job.yaml:8:", "unknown field \"spec.sampling.maxTokenz\"", "maxTokens"],
    );
    check(sampling("maxTokens: \"3\""), &["spec.sampling.maxTokens", "string", "integer"]);
    check(
        sampling("maxTokens: 0"),
        &["spec.sampling.maxTokens", "Invalid value: 0", "greater than or equal to 1"],
    );
    check(sampling("maxTokens: -1"), &["spec.sampling.maxTokens", "-1"]);
    check(sampling("maxTokens: 2147483648"), &["spec.sampling.maxTokens", "2147483648"]);
    check(sampling("temperature: -0.1"), &["spec.sampling.temperature", "-0.1"]);
    check(sampling("temperature: 2.1"), &["spec.sampling.temperature", "less than or equal to 2"]);
    check(sampling("temperature: .nan"), &["job.yaml:8:", "no number"]);
    check(sampling("topP: 0"), &["spec.sampling.topP", "greater than 0"]);
    check(sampling("topP: 1.1"), &["spec.sampling.topP"]);
    check(sampling("topK: -1"), &["spec.sampling.topK"]);
    check(
        job("spec:\n", "spec:\n  execution: {parallelism: 0}\n"),
        &["spec.execution.parallelism"],
    );
    check(
        job("spec:\n", "spec:\n  execution: {parallelism: 1000000}\n"),
        &["spec.execution.parallelism"],
    );
    check(
        job("    file: {path: data.csv}", "    file: {path: data.csv}\n    inline: {records: []}"),
        &["spec.source", "at most one"],
    );
    check(
        job("  columns:", "  output: {destination: {directory: {path: a}, claim: {}}}\n  columns:"),
        &["spec.output.destination", "at most one"],
    );
    check(job("  columns:", "  output: {formats: [jsonl]}\n  columns:"), &["\"jsonl\"", "JSONL"]);
    check(
        job("    - name: text\n", "    - {name: text, value: x}\n    - name: text\n"),
        &["spec.columns", "text"],
    );
    check(
        job("  columns:", "  modelRef: {name: x}\n  columns:"),
        &["job.yaml:8:3", "\"modelRef\" is already set at 5:3"],
    );
    check(job("prompt: \"About {{ product }}.\"", "prompt: null"), &["spec.columns[0]"]);
}

#[test]
fn a_destination_outside_the_manifests_directory_is_refused() {
    let long = "x".repeat(5000);
    for (path, part) in
        [("../out", ".."), ("/out", "relative"), (long.as_str(), "1024"), ("a\\0b", "NUL")]
    {
        let destination =
            format!("  output: {{destination: {{directory: {{path: \"{path}\"}}}}}}\n  columns:");
        check(
            &job("  columns:", &destination),
            2,
            &["spec.output.destination.directory.path", part],
        );
    }
}

#[test]
fn a_template_is_refused_before_anything_is_generated() {
    let prompt = |text: &str| job("\"About {{ product }}.\"", text);
    check(&prompt("\"{{ prodct }}\""), 2, &["spec.columns[0]", "prodct", "product"]);
    check(&prompt("\"{{ product\""), 2, &["job.yaml:10:", "spec.columns[0].prompt", "1:"]);
    check(&prompt("\"{{ product | shout }}\""), 2, &["spec.columns[0].prompt", "shout"]);
    let nested = format!("\"{}x{}\"", "{% if true %}".repeat(9000), "{% endif %}".repeat(9000));
    check(&prompt(&nested), 2, &["spec.columns[0].prompt"]);
    check(
        &job("    - name: text\n", "    - {name: product, value: x}\n    - name: text\n"),
        2,
        &["spec.columns[0].name", "a field of the source too"],
    );
    let cycle = "    - {name: a, value: \"{{ b }}\"}\n    - {name: b, value: \"{{ a }}\"}\n    - name: text\n";
    check(&job("    - name: text\n", cycle), 2, &["spec.columns", "a → b → a"]);
}

#[test]
fn a_row_that_cannot_be_rendered_fails_alone() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "job.yaml", JOB.replace("\"About {{ product }}.\"", "\"{% if product == 'blank' %}  {% elif product == 'loop' %}{% for i in range(1000000000) %}x{% endfor %}{% else %}{{ product }}{% endif %}\""));
    write(directory.path(), "data.csv", "product\nkettle\nblank\nloop\n{{ 7 * 7 }}<|im_end|>\n");
    let output = textnlp(directory.path())
        .args(["run", "job.yaml", "--dry-run", "--json", "--model"])
        .arg(model())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((report["rows"].as_u64(), report["failed"].as_u64()), (Some(4), Some(2)));
    let failures = report["failures"].to_string();
    assert!(failures.contains("row 1-0") && failures.contains("blank"), "{failures}");
    assert!(failures.contains("row 2-0"), "{failures}");
    let prompts = report["prompts"].to_string();
    assert!(
        prompts.contains("{{ 7 * 7 }}<|im_end|>"),
        "template syntax in user data is plain text: {prompts}"
    );
}

#[test]
fn a_source_is_refused_with_file_line_and_column() {
    check(&data(b"product,b\nkettle,1\nlamp\n"), 2, &["data.csv", "3"]);
    check(&data(b"product\n\"kettle\n"), 2, &["data.csv", "quote"]);
    check(&data(b"product\ncaf\xe9\n"), 2, &["data.csv:2:4", "UTF-8"]);
    check(&data(b""), 2, &["data.csv"]);
    check(&data(b"product\n"), 2, &["no records"]);
    check(&data(b"product,product\na,b\n"), 2, &["product"]);
    check(&data(b"product,_textnlp\na,b\n"), 2, &["_textnlp"]);
    check(&data(b"\xef\xbb\xbfproduct\r\nkettle\r\n"), 0, &[]);
    check(
        &Case { arguments: &["--source", "nothing.csv"], ..Case::default() },
        2,
        &["nothing.csv"],
    );
}

#[test]
fn references_are_named_when_they_lead_nowhere() {
    let run = |files: &[(&str, &str)], arguments: &[&str], parts: &[&str]| {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            write(directory.path(), name, text);
        }
        let output = textnlp(directory.path()).arg("run").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        for part in parts {
            assert!(stderr(&output).contains(part), "{part:?} is not in: {}", stderr(&output));
        }
    };
    run(
        &[("job.yaml", JOB)],
        &["job.yaml"],
        &["ModelDeployment \"m\"", "--model PATH", "job.yaml:5:"],
    );
    run(&[("job.yaml", JOB)], &["job.yaml", "--model", "no.gguf"], &["no.gguf"]);
    run(
        &[("job.yaml", JOB), ("m.gguf", "GGUF\u{3}\0\0\0")],
        &["job.yaml", "--model", "m.gguf"],
        &["m.gguf"],
    );
    run(
        &[("job.yaml", JOB), ("m.bin", "\u{80}\u{2}")],
        &["job.yaml", "--model", "m.bin"],
        &["m.bin"],
    );
    let with_map = JOB.replace("file: {path: data.csv}", "configMap: {name: c, key: data.csv}");
    run(
        &[("job.yaml", &with_map)],
        &["job.yaml", "--model", "m.gguf"],
        &["ConfigMap \"c\"", "--source PATH"],
    );
    run(&[], &["nothing.yaml"], &["nothing.yaml"]);
    run(&[("job.yaml", JOB)], &["job.yaml", "--set", "spec.sampling"], &["--set", "PATH=VALUE"]);
    run(
        &[("job.yaml", JOB)],
        &["job.yaml", "--set", "spec.sampling.topP=7"],
        &["--set", "spec.sampling.topP"],
    );
}

#[test]
fn a_directory_that_is_not_ours_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let at: &Path = directory.path();
    write(at, "job.yaml", JOB);
    write(at, "data.csv", "product\nkettle\n");
    std::fs::create_dir(at.join("out")).unwrap();
    write(&at.join("out"), "dataset.jsonl", "precious\n");
    for more in [&["--output", "out"][..], &["--output", "out", "--fresh"]] {
        let output = textnlp(at)
            .args(["run", "job.yaml", "--model"])
            .arg(model())
            .args(more)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("is not empty"), "{}", stderr(&output));
    }
    assert_eq!(std::fs::read_to_string(at.join("out/dataset.jsonl")).unwrap(), "precious\n");
}

#[cfg(unix)]
#[test]
fn an_output_below_a_file_or_a_link_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    write(at, "job.yaml", JOB);
    write(at, "data.csv", "product\nkettle\n");
    let output = textnlp(at)
        .args(["run", "job.yaml", "--output", "data.csv/out", "--model"])
        .arg(model())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("data.csv/out"), "{}", stderr(&output));
}

/// The job, and its model with an `engine`.
fn with_engine(engine: &str) -> Case<'static> {
    let model = format!(
        "---\napiVersion: textnlp.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {{name: m}}\n\
         spec:\n  source: {{file: {{path: m.gguf}}}}\n  engine: {engine}\n"
    );
    Case { job: format!("{JOB}{model}"), ..Case::default() }
}

#[test]
fn an_engine_that_a_server_would_refuse_is_refused_here() {
    check(
        &with_engine("{dtype: BF16}"),
        2,
        &["job.yaml:20:12", "spec.engine.dtype is BF16", "use Auto or F32"],
    );
    check(&with_engine("{maxContextTokens: 64, kvCache: Int8}"), 0, &[]);
}

#[test]
fn a_row_longer_than_the_models_limit_fails_as_on_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    write(at, "job.yaml", with_engine("{maxContextTokens: 4}").job);
    write(at, "data.csv", "product\nkettle\n");
    let output = textnlp(at)
        .args(["run", "job.yaml", "--output", "rows", "--model"])
        .arg(model())
        .output()
        .unwrap();
    let failed = std::fs::read_to_string(at.join("rows/failed.jsonl")).unwrap_or_default();
    assert!(failed.contains("the model's context of 4"), "{failed}{}", stderr(&output));
}
