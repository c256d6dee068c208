//! Files into objects: documents, positions, references, and what nobody expects.

use proptest::prelude::*;
use textnlp_crds::manifest::{self, Given, Location, Manifest, Position};
use textnlp_crds::output::OutputFormat;
use textnlp_crds::{Kind, Mode, admission, explain};

const EXAMPLE: &str = include_str!("manifests/support-tickets.yaml");

fn read(text: &str) -> Manifest {
    Manifest::read([("job.yaml", text.as_bytes())], &[]).unwrap_or_else(|wrong| panic!("{wrong}"))
}

fn resolve(text: &str, given: Given) -> String {
    match read(text).resolve(given) {
        Ok(resolved) => {
            let models: Vec<&str> = resolved.models.keys().copied().collect();
            format!("models {models:?}, config map {}", resolved.config_map.is_some())
        }
        Err(error) => error.to_string(),
    }
}

fn job(name: &str, spec: &str) -> String {
    format!(
        "---\napiVersion: textnlp.dev/v1alpha1\nkind: GenerationJob\nmetadata: {{name: {name}}}\nspec:\n  modelRef: {{name: m}}\n  columns: [{{name: text, prompt: Hi}}]\n  {spec}\n"
    )
}

fn model(name: &str) -> String {
    format!(
        "---\napiVersion: textnlp.dev/v1alpha1\nkind: ModelDeployment\nmetadata: {{name: {name}}}\nspec: {{source: {{file: {{path: m.gguf}}}}}}\n"
    )
}

fn config_map(name: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  rows.csv: |\n    a,b\n    1,2\nbinaryData: {{x: aGk=}}\n"
    )
}

#[test]
fn the_example_of_the_api_is_read_with_types_defaults_and_order() {
    let manifest = read(EXAMPLE);
    let resolved = manifest.resolve(Given::default()).expect("one job and its model");
    let spec = &resolved.job.object.spec;
    assert_eq!(spec.samples_per_record, 4);
    assert_eq!(spec.columns[0].mode, Mode::Auto);
    let sampling = spec.sampling_of(&spec.columns[0]);
    assert_eq!((sampling.max_tokens, sampling.seed, sampling.temperature), (200, 42, 0.8));
    assert_eq!(sampling.stop, ["\n\n"]);
    assert_eq!(spec.output.formats, [OutputFormat::JSONL]);
    assert_eq!(spec.execution.shards, None);
    assert_eq!(spec.model_of(&spec.columns[1]), None);
    let records = spec.source.inline.as_ref().expect("inline").records.to_vec();
    assert_eq!(records[0].keys().collect::<Vec<_>>(), ["product", "gold"], "keys keep their order");
    let model = &resolved.models["smollm2"].object.spec;
    let gpu = &model.resources.as_ref().expect("resources").limits.as_ref().expect("limits")["nvidia.com/gpu"];
    assert_eq!(gpu.0, "1");
    assert_eq!(model.scaling.as_ref().expect("scaling").max_replicas, 8);
}

#[test]
fn yaml_and_json_of_one_object_are_the_same() {
    let yaml = read(EXAMPLE);
    let json = serde_json::to_string_pretty(&yaml.jobs[0].value).expect("JSON");
    let again = read(&json);
    assert_eq!(again.jobs[0].object, yaml.jobs[0].object);
    let escaped =
        read(&job("a", "constants: {\"face\": \"\\ud83d\\ude00\", \"slash\": \"a\\/b\"}"));
    assert_eq!(escaped.jobs[0].object.spec.constants["face"], "😀");
    assert_eq!(escaped.jobs[0].object.spec.constants["slash"], "a/b");
}

#[test]
fn every_field_has_a_line_and_a_column() {
    let manifest = read(EXAMPLE);
    let origin = &manifest.jobs[0].origin;
    let at = |path: &str| match origin.locate(path) {
        Location::File { file, at: Position { line, column } } => format!("{file}:{line}:{column}"),
        Location::Override => "--set".into(),
    };
    for (path, expect) in [
        ("", "job.yaml:2:1"),
        ("metadata.name", "job.yaml:4:12"),
        ("spec.sampling.topP", "job.yaml:17:32"),
        ("spec.columns[1]", "job.yaml:24:7"),
        ("spec.columns[1].value", "job.yaml:25:7"),
        // What is not there is looked for at its parent.
        ("spec.columns[1].prompt", "job.yaml:24:7"),
        ("spec.columns[9].prompt", "job.yaml:18:3"),
        ("spec.nothing.at.all", "job.yaml:5:1"),
    ] {
        assert_eq!(at(path), expect, "{path}");
    }
}

#[test]
fn a_field_name_that_kubectl_takes_for_a_boolean_is_read_as_meant_with_a_warning() {
    let metric = "validation: {metrics: [{metric: distinct, column: text, params: {n: 2}}]}";
    let manifest = read(&job("a", metric));
    let validation = manifest.jobs[0].object.spec.validation.as_ref().expect("validation");
    assert_eq!(validation.metrics[0].params.as_ref().expect("params").n, Some(2));
    let warnings: Vec<String> = manifest.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "job.yaml:8:68: spec.validation.metrics[0].params.n: kubectl reads the name n as false, and an API server refuses it: write \"n\" in quotes"
        ]
    );
    let quoted = read(&job("a", &metric.replace("n: 2", "\"n\": 2")));
    assert!(quoted.warnings.is_empty());
    // Data is what kubectl makes of it.
    let record = read(&job("a", "constants: {n: 1, \"y\": 2}"));
    assert_eq!(record.jobs[0].object.spec.constants.keys().collect::<Vec<_>>(), ["false", "y"]);
}

#[test]
fn anchors_and_merge_keys_work_as_in_kubectl() {
    let text = job(
        "a",
        "constants:\n    base: &base {x: 1, z: 2}\n    more: {z: 3, <<: *base}\n    list: &list [*base]\n    again: *list\n    both: {<<: [*base, {x: 9, w: 9}]}",
    );
    let constants = &read(&text).jobs[0].object.spec.constants;
    assert_eq!(constants["more"], serde_json::json!({"x": 1, "z": 3}));
    assert_eq!(constants["again"], serde_json::json!([{"x": 1, "z": 2}]));
    assert_eq!(constants["both"], serde_json::json!({"x": 1, "z": 2, "w": 9}));
}

#[test]
fn a_byte_order_mark_crlf_comments_and_empty_documents_are_harmless() {
    let text = format!(
        "\u{feff}# a comment\r\n---\r\n---\r\n{}---\r\n# nothing\r\n",
        job("a", "").replace('\n', "\r\n")
    );
    assert_eq!(read(&text).jobs.len(), 1);
}

#[test]
fn the_items_of_a_list_are_documents_with_positions_of_their_own() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: textnlp.dev/v1alpha1\n  kind: GenerationJob\n  metadata: {name: a}\n  spec: {modelRef: {name: m}, columns: [{name: 5, prompt: x}]}\n";
    let wrong =
        Manifest::read([("list.yaml", text.as_bytes())], &[]).expect_err("a number as name");
    assert_eq!(
        wrong.0[0].to_string(),
        "list.yaml:7:42: spec.columns[0].name: Invalid value: 5: must be of type string: \"integer\"; put a text in quotes"
    );
}

#[test]
fn the_job_finds_what_it_names() {
    let all = Given::default();
    assert_eq!(resolve(&(job("a", "") + &model("m")), all), "models [\"m\"], config map false");
    let csv = "source: {configMap: {name: rows, key: rows.csv}}";
    assert_eq!(
        resolve(&(job("a", csv) + &model("m") + &config_map("rows")), all),
        "models [\"m\"], config map true"
    );
    let both = Given { model: true, source: true };
    assert_eq!(resolve(&job("a", csv), both), "models [], config map false");
}

#[test]
fn what_is_missing_or_doubled_is_named() {
    let all = Given::default();
    for (text, expect) in [
        (String::new(), "the files hold no GenerationJob: there is nothing to run"),
        (
            model("m"),
            "the files hold no GenerationJob, only 1 ModelDeployment(s) and 0 ConfigMap(s): there is nothing to run",
        ),
        (
            job("a", "") + &job("b", ""),
            "the files hold 2 GenerationJobs (a at job.yaml:2:1, b at job.yaml:10:1): a local run takes one; name its file alone",
        ),
        (
            job("a", ""),
            "job.yaml:6:14: spec.modelRef.name: the ModelDeployment \"m\" is in none of the files; add its file, or give --model PATH",
        ),
        (
            job("a", "") + &model("other"),
            "job.yaml:6:14: spec.modelRef.name: the ModelDeployment \"m\" is in none of the files (there are: other); add its file, or give --model PATH",
        ),
        (
            job("a", "") + &model("m") + &model("m"),
            "ModelDeployment \"m\" is there twice: job.yaml:10:1 and job.yaml:15:1",
        ),
        (
            job("a", "source: {configMap: {name: rows, key: rows.csv}}") + &model("m"),
            "job.yaml:8:24: spec.source.configMap.name: the ConfigMap \"rows\" is in none of the files; add its file, or give --source PATH",
        ),
    ] {
        assert_eq!(resolve(&text, all), expect);
    }
}

#[test]
fn a_config_map_holds_texts_and_bytes() {
    let manifest = read(&config_map("rows"));
    let object = &manifest.config_maps[0].object;
    assert_eq!(object.data.as_ref().expect("data")["rows.csv"], "a,b\n1,2\n");
    assert_eq!(object.binary_data.as_ref().expect("binary")["x"].0, b"hi");
    let wrong = Manifest::read(
        [(
            "c.yaml",
            &b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {port: 80}\ndate: {}\n"
                [..],
        )],
        &[],
    );
    assert_eq!(
        wrong.expect_err("a number").to_string(),
        "c.yaml:4:8: data.port: Invalid value: 80: must be of type string: \"integer\"; put a text in quotes\nc.yaml:5:1: date: unknown field \"date\"; did you mean \"data\"?"
    );
}

#[test]
fn files_are_told_apart_and_all_that_is_wrong_is_told() {
    let files =
        [("a.yaml", &b"a: 1\na: 2\n"[..]), ("b.yaml", &b"[]"[..]), ("c.yaml", &b"\xff"[..])];
    let wrong = Manifest::read(files, &[]).expect_err("three files");
    let files: Vec<String> = wrong.0.iter().map(|wrong| wrong.location.to_string()).collect();
    assert_eq!(files, ["a.yaml:2:1", "b.yaml:1:1", "c.yaml:1:1"]);
}

#[test]
fn a_file_beyond_the_bound_is_refused() {
    let large = vec![b'#'; manifest::MAX_FILE_BYTES + 1];
    let wrong = manifest::parse("big.yaml", &large).expect_err("too large");
    assert!(
        wrong
            .to_string()
            .starts_with("big.yaml:1:1: the file has 16777217 bytes; at most 16777216 are read.")
    );
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[a-zA-Z0-9./_-]{0,12}".prop_map(Into::into),
    ];
    let key = prop::sample::select(vec![
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "spec",
        "status",
        "source",
        "inline",
        "records",
        "sampling",
        "maxTokens",
        "topP",
        "stop",
        "columns",
        "prompt",
        "value",
        "attributes",
        "choice",
        "values",
        "weights",
        "uniform",
        "min",
        "max",
        "validation",
        "metrics",
        "metric",
        "gates",
        "filters",
        "params",
        "output",
        "formats",
        "destination",
        "directory",
        "path",
        "execution",
        "pod",
        "resources",
        "limits",
        "labels",
        "engine",
        "scaling",
        "limit",
        "startTime",
    ]);
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A right object with a random part somewhere in it.
fn disturbed() -> impl Strategy<Value = serde_json::Value> {
    let pointers = vec![
        "/spec",
        "/spec/source",
        "/spec/sampling",
        "/spec/columns",
        "/spec/columns/0",
        "/spec/attributes",
        "/spec/validation",
        "/spec/validation/metrics",
        "/spec/validation/gates/0",
        "/spec/output",
        "/spec/execution",
        "/spec/execution/pod",
        "/metadata",
    ];
    let base = read(EXAMPLE).jobs.remove(0).value;
    (prop::sample::select(pointers), json()).prop_map(move |(pointer, part)| {
        let mut object = base.clone();
        if let Some(place) = object.pointer_mut(pointer) {
            *place = part;
        }
        object
    })
}

/// Equal, where a whole double and the integer are one number.
fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Number(a), Number(b)) => a == b || (!b.is_i64() && a.as_f64() == b.as_f64()),
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Object(a), Object(b)) => {
            a.len() == b.len()
                && a.iter().zip(b).all(|((key, a), (other, b))| key == other && same(a, b))
        }
        (a, b) => a == b,
    }
}

/// No file of failures: a failure prints its input, which then becomes a test.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = manifest::parse("any", &bytes);
    }

    #[test]
    fn no_text_of_yaml_pieces_makes_the_reader_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "a", ": ", "- ", "\n", "  ", "[", "]", "{", "}", "&x ", "*x", "<<", "!!str ", "\"", "'", "|\n", ">-\n", "#", "---\n", "...\n", "? ", ",", "1", ".nan", "\t", "%YAML 1.2\n", "é",
        ]), 0..40)
    ) {
        let _ = Manifest::read([("any", pieces.concat().as_bytes())], &[]);
    }

    #[test]
    fn no_object_makes_admission_panic_and_what_it_admits_is_admitted_again_unchanged(
        object in prop_oneof![json(), disturbed()], old in json()
    ) {
        for kind in Kind::ALL {
            let _ = admission::admit(kind, &object, Some(&old));
            if let Ok(admitted) = admission::admit(kind, &object, None) {
                prop_assert_eq!(admission::admit(kind, &admitted, None), Ok(admitted.clone()));
                // What the schema admits, the types hold.
                if kind == Kind::GenerationJob {
                    let job: Result<textnlp_crds::GenerationJob, _> = serde_json::from_value(admitted);
                    prop_assert!(job.is_ok(), "{:?}", job);
                }
            }
        }
    }

    #[test]
    fn json_survives_the_reader(object in json()) {
        let object = serde_json::json!({"a": object});
        let text = object.to_string();
        let documents = manifest::parse("any", text.as_bytes());
        prop_assert!(documents.is_ok(), "valid JSON was refused: {}", text);
        let documents = documents.unwrap_or_default();
        prop_assert!(same(&documents[0].value, &object), "{}: {:?}", text, documents[0].value);
    }

    #[test]
    fn no_path_makes_explain_or_an_override_panic(path in "[a-z.\\[\\]\"0-9=]{0,30}") {
        let _ = explain(&path);
        let _ = path.parse::<manifest::Override>();
    }
}
