//! Unknown fields, types, nulls, ranges, enums and lists.

use textnlp_crds::manifest::Manifest;

use crate::{JOB, MODEL, NOTE, check, spec};

#[test]
fn empty_and_foreign_documents() {
    check(
        "{}",
        "job.yaml:1:1: apiVersion: Required value: every object names its apiVersion and kind",
    );
    check("", "accepted");
    check("[]", "job.yaml:1:1: a document must be an object with apiVersion and kind");
    check("hello", "job.yaml:1:1: a document must be an object with apiVersion and kind");
    check(
        "apiVersion: textnlp.dev/v1alpha1\nkind: GenerationJob\n",
        "job.yaml:1:1: spec: Required value\njob.yaml:1:1: metadata.name: Required value: name is required",
    );
    check(
        "apiVersion: textnlp.dev/v1alpha1\nkind: GenerationJobs\n",
        "job.yaml:2:1: kind: no kind \"GenerationJobs\" in textnlp.dev/v1alpha1; did you mean \"GenerationJob\"?",
    );
    check(
        "apiVersion: textnlp.dev/v1\nkind: GenerationJob\n",
        "job.yaml:1:1: apiVersion: no matches for kind \"GenerationJob\" in version \"textnlp.dev/v1\": this program knows it in textnlp.dev/v1alpha1",
    );
    check(
        "apiVersion: textnlp.dev/v1alpha1\nkind: Tokenizer\n",
        "job.yaml:2:1: kind: no kind \"Tokenizer\" in textnlp.dev/v1alpha1: there are GenerationJob and ModelDeployment",
    );
    check(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n",
        "accepted job.yaml:1:1: Deployment \"web\" (apps/v1) is left aside: a local run has no use for it",
    );
}

#[test]
fn the_note_says_that_rules_were_not_checked_and_comes_last() {
    let text = JOB.replace("name: ticket", "name: 5").replace("    prompt: Hello\n", "");
    let wrong = Manifest::read([("job.yaml", text.as_bytes())], &[]).expect_err("a type");
    let lines: Vec<String> = wrong.0.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1], format!("job.yaml:1:1: {NOTE}"));
}

#[test]
fn fields_that_do_not_exist() {
    spec(
        "sampling: {maxTokenz: 3}",
        "job.yaml:10:14: spec.sampling.maxTokenz: unknown field \"spec.sampling.maxTokenz\"; did you mean \"maxTokens\"?",
    );
    spec("banana: 1", "job.yaml:10:3: spec.banana: unknown field \"spec.banana\"");
    spec(
        "validation: {metrics: [{metrik: wordCount}]}",
        "job.yaml:10:26: spec.validation.metrics[0].metric: Required value\njob.yaml:10:27: spec.validation.metrics[0].metrik: unknown field \"spec.validation.metrics[0].metrik\"; did you mean \"metric\"?",
    );
    check(
        &JOB.replace("  name: tickets", "  name: tickets\n  label: {a: b}"),
        "job.yaml:5:3: metadata.label: unknown field \"metadata.label\"; did you mean \"labels\"?",
    );
}

#[test]
fn wrong_types() {
    spec(
        "samplesPerRecord: \"4\"",
        "job.yaml:10:3: spec.samplesPerRecord: Invalid value: \"4\": must be of type integer: \"string\"",
    );
    spec(
        "samplesPerRecord: 1.5",
        "job.yaml:10:3: spec.samplesPerRecord: Invalid value: 1.5: must be of type integer: \"number\"",
    );
    spec(
        "samplesPerRecord: [1]",
        "job.yaml:10:3: spec.samplesPerRecord: Invalid value: \"array\": must be of type integer: \"array\"",
    );
    spec(
        "sampling: {temperature: warm}",
        "job.yaml:10:14: spec.sampling.temperature: Invalid value: \"warm\": must be of type number: \"string\"",
    );
    spec(
        "sampling: 7",
        "job.yaml:10:3: spec.sampling: Invalid value: 7: must be of type object: \"integer\"",
    );
    spec(
        "execution: {suspend: \"no\"}",
        "job.yaml:10:15: spec.execution.suspend: Invalid value: \"no\": must be of type boolean: \"string\"",
    );
    spec(
        "source: {inline: {records: [1]}}",
        "job.yaml:10:31: spec.source.inline.records[0]: Invalid value: 1: must be of type object: \"integer\"",
    );
    spec(
        "output: {destination: {claim: {size: true}}}",
        "job.yaml:10:34: spec.output.destination.claim.size: Invalid value: true: must be of type integer,string: \"boolean\"",
    );
}

#[test]
fn texts_that_yaml_takes_for_something_else() {
    let hint = "YAML reads y, n, yes, no, on and off as booleans: put a text in quotes";
    for (word, value) in [("y", true), ("no", false), ("On", true)] {
        spec(
            &format!("attributes: [{{name: a, choice: {{values: [x, {word}]}}}}]"),
            &format!(
                "job.yaml:10:47: spec.attributes[0].choice.values[1]: Invalid value: {value}: must be of type string: \"boolean\"; {hint}"
            ),
        );
    }
    spec(
        "sampling: {stop: [5]}",
        "job.yaml:10:21: spec.sampling.stop[0]: Invalid value: 5: must be of type string: \"integer\"; put a text in quotes",
    );
}

#[test]
fn nulls() {
    check(
        &JOB.replace("name: ticket\n    prompt", "name: null\n    prompt"),
        "job.yaml:8:5: spec.columns[0].name: Required value",
    );
    check(
        &JOB.replace("  columns:\n  - name: ticket\n    prompt: Hello\n", "  columns: null\n"),
        "job.yaml:7:3: spec.columns: Required value",
    );
    // An optional field that is null is as absent.
    spec("sampling: {temperature: null, seed: ~}", "accepted");
}

#[test]
fn numbers_out_of_range() {
    spec(
        "sampling: {maxTokens: 0}",
        "job.yaml:10:14: spec.sampling.maxTokens: Invalid value: 0: should be greater than or equal to 1",
    );
    spec(
        "sampling: {maxTokens: -1}",
        "job.yaml:10:14: spec.sampling.maxTokens: Invalid value: -1: should be greater than or equal to 1",
    );
    spec(
        "sampling: {maxTokens: 2147483648}",
        "job.yaml:10:14: spec.sampling.maxTokens: Invalid value: 2147483648: should be less than or equal to 1048576",
    );
    spec(
        "sampling: {temperature: -0.1}",
        "job.yaml:10:14: spec.sampling.temperature: Invalid value: -0.1: should be greater than or equal to 0",
    );
    spec(
        "sampling: {temperature: 2.1}",
        "job.yaml:10:14: spec.sampling.temperature: Invalid value: 2.1: should be less than or equal to 2",
    );
    spec(
        "sampling: {temperature: .nan}",
        "job.yaml:10:27: .nan is no number that JSON can express",
    );
    spec(
        "sampling: {temperature: .inf}",
        "job.yaml:10:27: .inf is no number that JSON can express",
    );
    spec(
        "sampling: {topP: 0}",
        "job.yaml:10:14: spec.sampling.topP: Invalid value: 0: should be greater than 0",
    );
    spec(
        "sampling: {topP: 1.1}",
        "job.yaml:10:14: spec.sampling.topP: Invalid value: 1.1: should be less than or equal to 1",
    );
    spec(
        "sampling: {topK: -1}",
        "job.yaml:10:14: spec.sampling.topK: Invalid value: -1: should be greater than or equal to 0",
    );
    spec(
        "sampling: {seed: 9007199254740992}",
        "job.yaml:10:14: spec.sampling.seed: Invalid value: 9007199254740992: should be less than or equal to 9007199254740991",
    );
    spec(
        "sampling: {seed: 1e30}",
        "job.yaml:10:14: spec.sampling.seed: Invalid value: 1e+30: should be less than or equal to 9007199254740991",
    );
    spec(
        "execution: {parallelism: 0}",
        "job.yaml:10:15: spec.execution.parallelism: Invalid value: 0: should be greater than or equal to 1",
    );
    spec(
        "execution: {parallelism: -1}",
        "job.yaml:10:15: spec.execution.parallelism: Invalid value: -1: should be greater than or equal to 1",
    );
    spec(
        "execution: {parallelism: 1e6}",
        "job.yaml:10:15: spec.execution.parallelism: Invalid value: 1000000: should be less than or equal to 10000",
    );
    // All causes are told, in the order of the lines.
    spec(
        "samplesPerRecord: 0\nsampling:\n  topP: 0\n  minP: 2\n",
        "job.yaml:10:3: spec.samplesPerRecord: Invalid value: 0: should be greater than or equal to 1\njob.yaml:12:5: spec.sampling.topP: Invalid value: 0: should be greater than 0\njob.yaml:13:5: spec.sampling.minP: Invalid value: 2: should be less than or equal to 1",
    );
}

#[test]
fn enums_are_exact() {
    spec(
        "output: {formats: [jsonl]}",
        "job.yaml:10:22: spec.output.formats[0]: Unsupported value: \"jsonl\": supported values: \"JSONL\", \"CSV\", \"Markdown\", \"Parquet\"",
    );
    spec(
        "source: {format: csv}",
        "job.yaml:10:12: spec.source.format: Unsupported value: \"csv\": supported values: \"CSV\", \"JSONL\", \"Parquet\"",
    );
    spec(
        "validation: {metrics: [{metric: ROUGEL, column: ticket}]}",
        "job.yaml:10:27: spec.validation.metrics[0].metric: Unsupported value: \"ROUGEL\": supported values: \"wordCount\", \"charCount\", \"tokenCount\", \"truncated\", \"regex\", \"distinct\", \"duplicateRate\", \"nearDuplicateRate\", \"bleu\", \"bleuNltk\", \"rouge1\", \"rouge2\", \"rougeL\", \"rougeLsum\", \"chrf\", \"ter\", \"selfBleu\", \"compressionRatio\", \"repetition\", \"pii\", \"language\", \"fleschReadingEase\", \"fleschKincaidGrade\", \"jsonSchema\", \"expression\", \"failedRate\", \"acceptedRows\", \"acceptanceRate\"",
    );
    spec(
        "output: {formats: [CSV, CSV]}",
        "job.yaml:10:27: spec.output.formats[1]: Duplicate value: \"CSV\"",
    );
}

#[test]
fn lists_that_are_too_long() {
    let records = "{a: 1}, ".repeat(1001);
    spec(
        &format!("source: {{inline: {{records: [{records}]}}}}"),
        "job.yaml:10:21: spec.source.inline.records: Too many: 1001: must have at most 1000 items",
    );
    let stop = "a, ".repeat(17);
    spec(
        &format!("sampling: {{stop: [{stop}]}}"),
        "job.yaml:10:14: spec.sampling.stop: Too many: 17: must have at most 16 items",
    );
    check(
        &JOB.replace("  columns:\n  - name: ticket\n    prompt: Hello\n", "  columns: []\n"),
        "job.yaml:7:3: spec.columns: Invalid value: 0: should have at least 1 items",
    );
}

#[test]
fn prices_are_decimal_texts() {
    let price =
        |fields: &str, expect: &str| check(&format!("{MODEL}  price: {{{fields}}}\n"), expect);
    price("currency: EUR, promptTokens: '0.15', completionTokens: '0.6'", "accepted");
    price(
        "currency: euro, promptTokens: '0', completionTokens: '1'",
        "job.yaml:8:11: spec.price.currency: Invalid value: \"euro\": should match '^[A-Z]{3}$'",
    );
    price(
        "currency: EUR, promptTokens: 0.15, completionTokens: '1'",
        "job.yaml:8:26: spec.price.promptTokens: Invalid value: 0.15: must be of type string: \"number\"; put a text in quotes",
    );
    price(
        "currency: EUR, promptTokens: '1', completionTokens: '0.1234567'",
        "job.yaml:8:45: spec.price.completionTokens: Invalid value: \"0.1234567\": should match '^[0-9]{1,9}(\\.[0-9]{1,6})?$'",
    );
    price(
        "currency: EUR, promptTokens: '1'",
        "job.yaml:8:3: spec.price.completionTokens: Required value",
    );
}
