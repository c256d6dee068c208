//! A whole job in one process, with a model that answers at once: every row once, the same bytes however it is run.

mod common;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use textnlp_crds::cost::Price;
use textnlp_dataset::store::LocalStore;
use textnlp_generation::local::{self, Finished, Verdict};
use textnlp_generation::rows::Options;
use textnlp_generation::{Cancel, Completer, Error, Models, Progress, Source};

use common::{Parrot, job, models, spec};

fn spec_value(records: u64, samples: u32) -> Value {
    json!({
        "modelRef": {"name": "parrot"},
        "source": {"inline": {"records": (0..records).map(|i| json!({"product": format!("p{i}")})).collect::<Vec<_>>()}},
        "samplesPerRecord": samples,
        "attributes": [{"name": "tone", "choice": {"values": ["angry", "calm"]}}],
        "sampling": {"seed": 7},
        "columns": [
            {"name": "subject", "value": "{{ tone }}: {{ ticket }}"},
            {"name": "ticket", "prompt": "{{ product }} {{ tone }}"}
        ],
        "validation": {
            "metrics": [{"metric": "wordCount", "column": "ticket"}],
            "filters": [{"name": "long", "metric": "wordCount", "column": "ticket", "min": 4}],
            "gates": [{"metric": "failedRate", "max": 0}]
        },
        "output": {"formats": ["JSONL", "CSV", "Markdown", "Parquet"]}
    })
}

struct Run<'a> {
    directory: &'a Path,
    spec: Value,
    concurrency: usize,
    dies_after: u64,
    cancel: Cancel,
    models: Models,
}

impl<'a> Run<'a> {
    fn new(directory: &'a Path, spec: Value) -> Self {
        Self {
            directory,
            spec,
            concurrency: 5,
            dies_after: u64::MAX,
            cancel: Cancel::new(),
            models: models(),
        }
    }

    fn go(self) -> Result<(Finished, u64), Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let spec = spec(self.spec);
        let source = match &spec.source.inline {
            Some(inline) => Source::Inline(inline.records.to_vec()),
            None => Source::None,
        };
        let store = LocalStore::open(self.directory).expect("a store");
        let parrot = Parrot::new(self.dies_after);
        let connected = parrot.clone();
        let finished = runtime.block_on(local::run(
            job(&spec),
            self.models,
            &source,
            &store,
            Arc::new(Progress::default()),
            &Options::new(self.concurrency, self.cancel),
            move |models| {
                models.connect("parrot", connected as Arc<dyn Completer>);
                Ok(())
            },
        ))?;
        Ok((finished, parrot.answered.load(std::sync::atomic::Ordering::Relaxed)))
    }
}

fn lines(directory: &Path, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(directory.join(file)).expect("a file");
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn ids(directory: &Path, file: &str) -> Vec<String> {
    lines(directory, file).iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn every_row_ends_in_exactly_one_file_and_the_counts_balance() {
    let directory = tempfile::tempdir().unwrap();
    let (finished, asked) = Run::new(directory.path(), spec_value(50, 3)).go().unwrap();
    let rows = finished.report.rows;
    assert_eq!((rows.requested, asked), (150, 150));
    assert!(rows.balance() && rows.accepted > 0 && rows.rejected > 0, "{rows:?}");
    let mut all = ids(directory.path(), "dataset.jsonl");
    assert_eq!(all.len() as u64, rows.accepted);
    all.extend(ids(directory.path(), "rejected.jsonl"));
    all.extend(ids(directory.path(), "failed.jsonl"));
    all.sort();
    let mut expected: Vec<String> =
        (0..50).flat_map(|r| (0..3).map(move |s| format!("{r}-{s}"))).collect();
    expected.sort();
    assert_eq!(all, expected);
    assert_eq!(finished.report.rejections[0].filter, "long");
    assert_eq!(finished.report.rejections[0].rows, rows.rejected);
    for row in lines(directory.path(), "rejected.jsonl") {
        assert!(row["ticket"].as_str().unwrap().split(' ').count() < 4, "{row}");
    }
}

#[test]
fn a_row_holds_fields_attributes_and_columns_in_order_and_its_provenance() {
    let directory = tempfile::tempdir().unwrap();
    Run::new(directory.path(), spec_value(8, 1)).go().unwrap();
    let row = &lines(directory.path(), "dataset.jsonl")[0];
    let keys: Vec<&String> = row.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["product", "tone", "subject", "ticket", "id", "_textnlp"]);
    let (tone, ticket) = (row["tone"].as_str().unwrap(), row["ticket"].as_str().unwrap());
    assert_eq!(row["subject"], format!("{tone}: {ticket}"));
    let words = ticket.split(' ').count();
    assert_eq!(row["_textnlp"]["scores"]["wordCount"].as_f64(), Some(words as f64));
    let product = row["product"].as_str().unwrap();
    assert_eq!(row["_textnlp"]["prompts"]["ticket"][0]["content"], format!("{product} {tone}"));
}

#[test]
fn the_dataset_is_the_same_for_every_concurrency() {
    let mut digests = Vec::new();
    for concurrency in [1, 5, 64] {
        let directory = tempfile::tempdir().unwrap();
        let run = Run { concurrency, ..Run::new(directory.path(), spec_value(40, 2)) };
        digests.push(run.go().unwrap().0.report.digest);
    }
    assert!(digests.iter().all(|d| *d == digests[0]), "{digests:?}");
}

#[test]
fn a_run_whose_model_dies_again_and_again_ends_with_the_same_dataset_and_asks_for_each_row_once() {
    let reference = tempfile::tempdir().unwrap();
    let (whole, _) = Run::new(reference.path(), spec_value(60, 2)).go().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut answered = 0;
    let finished = loop {
        let run = Run { dies_after: 17, ..Run::new(directory.path(), spec_value(60, 2)) };
        match run.go() {
            Ok((finished, _)) => break finished,
            Err(error) => assert_eq!((error.reason(), error.exit_code()), ("ModelFailed", 1)),
        }
        answered += 17;
        assert!(answered < 17 * 30, "no progress");
    };
    assert_eq!(finished.report.digest, whole.report.digest);
    assert_eq!(finished.report.usage, whole.report.usage);
    assert!(answered < 120 + 17 * 3, "rows that were finished were asked for again: {answered}");
}

#[test]
fn a_price_gives_the_report_a_cost_and_changes_nothing_else() {
    let (free, priced) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = |directory: &Path, prompt_tokens: Option<&str>| {
        let mut run = Run::new(directory, spec_value(8, 1));
        if let Some(prompt_tokens) = prompt_tokens {
            let price = Price {
                currency: "EUR".into(),
                prompt_tokens: prompt_tokens.into(),
                completion_tokens: "2000000".into(),
            };
            run.models.set_price("parrot", price);
        }
        run.go().unwrap().0
    };
    let without = run(free.path(), None).report;
    // One unit for a token of a prompt, two for one of a completion.
    let with = run(priced.path(), Some("1000000")).report;
    assert_eq!((&with.digest, with.usage.total), (&without.digest, without.usage.total));
    let used = with.usage.total;
    assert!(used.prompt_tokens > 0 && used.completion_tokens > 0, "{used:?}");
    assert_eq!(without.usage.cost_line(), None);
    assert_eq!(without.usage.models.len(), 1);
    let amount = format!("{}.000000", used.prompt_tokens + 2 * used.completion_tokens);
    assert_eq!(with.usage.cost_line(), Some(format!("{amount} EUR")));
    let report = std::fs::read(priced.path().join("report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let cost = json!({"currency": "EUR", "amount": amount});
    assert_eq!(
        report["usage"],
        json!({
            "promptTokens": used.prompt_tokens, "completionTokens": used.completion_tokens, "requests": 8,
            "models": [{
                "name": "parrot", "promptTokens": used.prompt_tokens, "completionTokens": used.completion_tokens,
                "requests": 8, "cost": cost.clone(),
            }],
            "costs": [cost],
        })
    );
    for (file, lacks) in [("report.md", "Cost "), ("report.html", " EUR")] {
        let read = |at: &Path| std::fs::read_to_string(at.join(file)).unwrap();
        assert!(read(priced.path()).contains(&format!("{amount} EUR")), "{file}");
        assert!(!read(free.path()).contains(lacks), "{file}");
    }
    let dataset = |at: &Path| std::fs::read(at.join("dataset.jsonl")).unwrap();
    assert_eq!(dataset(priced.path()), dataset(free.path()));
    // A finished job keeps the cost of its end.
    let again = run(priced.path(), Some("5"));
    assert!(again.was_finished);
    assert_eq!(again.report.usage, with.usage);
}

#[test]
fn a_cancelled_run_says_so_keeps_its_rows_and_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let run = Run { cancel, ..Run::new(directory.path(), spec_value(10, 1)) };
    let error = run.go().unwrap_err();
    assert_eq!((error.reason(), error.exit_code()), ("Interrupted", 130));
    let (finished, _) = Run::new(directory.path(), spec_value(10, 1)).go().unwrap();
    assert_eq!(finished.report.rows.requested, 10);
}

#[test]
fn a_finished_directory_gives_its_report_again_and_asks_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (first, _) = Run::new(directory.path(), spec_value(20, 2)).go().unwrap();
    let (again, asked) = Run::new(directory.path(), spec_value(20, 2)).go().unwrap();
    assert!(again.was_finished && asked == 0);
    assert_eq!(again.report, first.report);
}

#[test]
fn more_samples_or_records_extend_a_finished_dataset_to_what_one_run_would_have_made() {
    let directory = tempfile::tempdir().unwrap();
    let mut value = spec_value(30, 2);
    value["source"]["limit"] = json!(10);
    Run::new(directory.path(), value.clone()).go().unwrap();
    value["samplesPerRecord"] = json!(3);
    let (_, asked) = Run::new(directory.path(), value.clone()).go().unwrap();
    assert_eq!(asked, 10);
    value["source"]["limit"] = json!(25);
    let (extended, asked) = Run::new(directory.path(), value.clone()).go().unwrap();
    assert_eq!(asked, 45);
    let other = tempfile::tempdir().unwrap();
    let (whole, _) = Run::new(other.path(), value).go().unwrap();
    assert_eq!(extended.report.digest, whole.report.digest);
}

#[test]
fn two_halves_by_offset_add_up_to_the_whole() {
    let rows_of = |offset: u64, limit: u64| {
        let directory = tempfile::tempdir().unwrap();
        let mut value = spec_value(20, 2);
        value["source"]["offset"] = json!(offset);
        value["source"]["limit"] = json!(limit);
        Run::new(directory.path(), value).go().unwrap();
        std::fs::read_to_string(directory.path().join("dataset.jsonl")).unwrap()
    };
    assert_eq!(rows_of(0, 11) + &rows_of(11, 9), rows_of(0, 20));
}

#[test]
fn a_changed_validation_is_applied_without_a_token() {
    let directory = tempfile::tempdir().unwrap();
    let (first, _) = Run::new(directory.path(), spec_value(30, 1)).go().unwrap();
    let mut value = spec_value(30, 1);
    value["validation"]["filters"][0]["min"] = json!(6);
    let (second, asked) = Run::new(directory.path(), value).go().unwrap();
    assert_eq!(asked, 0);
    assert!(second.report.rows.accepted < first.report.rows.accepted);
    assert!(second.report.rows.balance());
}

#[test]
fn a_changed_prompt_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    Run::new(directory.path(), spec_value(5, 1)).go().unwrap();
    let mut value = spec_value(5, 1);
    value["columns"][1]["prompt"] = json!("{{ product }}!");
    value["sampling"]["seed"] = json!(8);
    let error = Run::new(directory.path(), value).go().unwrap_err().to_string();
    for part in ["spec.seed: 7 → 8", "spec.columns[1].prompt", "--fresh"] {
        assert!(error.contains(part), "{part} not in: {error}");
    }
}

#[test]
fn a_source_that_changed_since_the_run_began_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    Run::new(directory.path(), spec_value(5, 1)).go().unwrap();
    let mut value = spec_value(5, 1);
    value["source"]["inline"]["records"][2]["product"] = json!("other");
    let error = Run::new(directory.path(), value).go().unwrap_err();
    assert_eq!((error.reason(), error.exit_code()), ("SourceChanged", 2));
}

#[test]
fn a_row_that_fails_is_kept_with_its_reason_and_the_others_finish() {
    let directory = tempfile::tempdir().unwrap();
    let mut value = spec_value(4, 1);
    value["source"]["inline"]["records"] = json!([{"product": "kettle"}, {"product": "refuse"}, {"product": "a\u{0}b"}, {"product": "lamp"}]);
    value["validation"] =
        json!({"gates": [{"metric": "failedRate", "max": 0.4}], "onGateFailure": "Warn"});
    let (finished, _) = Run::new(directory.path(), value.clone()).go().unwrap();
    let rows = finished.report.rows;
    assert_eq!((rows.accepted, rows.rejected, rows.failed), (2, 0, 2));
    let failed = lines(directory.path(), "failed.jsonl");
    assert_eq!(failed[0]["id"], "1-0");
    assert!(failed[0].to_string().contains("longer than the context"), "{}", failed[0]);
    assert!(failed[1].to_string().contains("NUL character"), "{}", failed[1]);
    assert_eq!(finished.verdict, Verdict::Succeeded, "a gate that only warns");
    assert!(!finished.report.passed);
    value["validation"]["onGateFailure"] = json!("Fail");
    let (finished, _) = Run::new(directory.path(), value).go().unwrap();
    assert_eq!((finished.verdict, finished.verdict.exit_code()), (Verdict::GateFailed, 3));
}

#[test]
fn a_job_without_an_accepted_row_fails() {
    let directory = tempfile::tempdir().unwrap();
    let mut value = spec_value(3, 1);
    value["validation"] = json!({"filters": [{"name": "never", "expression": "false"}]});
    let (finished, _) = Run::new(directory.path(), value).go().unwrap();
    assert_eq!((finished.verdict, finished.verdict.exit_code()), (Verdict::NoRows, 1));
    assert!(!finished.report.passed);
}

#[test]
fn mistakes_that_the_source_reveals_are_named_before_the_model_is_asked() {
    let check = |change: &dyn Fn(&mut Value), expect: &str| {
        let directory = tempfile::tempdir().unwrap();
        let mut value = spec_value(3, 1);
        change(&mut value);
        let run = Run { dies_after: 0, ..Run::new(directory.path(), value) };
        let error = run.go().unwrap_err();
        assert!(error.to_string().contains(expect), "{error}\nlacks: {expect}");
        assert_eq!(error.exit_code(), 2);
    };
    check(&|v| v["columns"][1]["prompt"] = json!("{{ prodct }}"), "spec.columns[1]");
    check(&|v| v["columns"][1]["prompt"] = json!("{{ prodct }}"), "product");
    check(
        &|v| v["columns"][0] = json!({"name": "product", "value": "x"}),
        "is the name of a field of the source too",
    );
    check(&|v| v["constants"] = json!({"product": 1}), "spec.constants.product");
    check(
        &|v| v["validation"]["metrics"][0]["column"] = json!("tickt"),
        "spec.validation.metrics[0].column",
    );
    check(&|v| v["output"]["fields"] = json!(["ticket", "nothing"]), "spec.output.fields[1]");
    check(
        &|v| v["validation"]["metrics"][0] = json!({"metric": "tokenCount", "column": "subject"}),
        "tokenCount needs a column that a model generates",
    );
}
