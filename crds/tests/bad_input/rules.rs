//! The CEL rules: fields that contradict each other.

use crate::{JOB, MODEL, answer, check, spec};

#[test]
fn two_of_what_may_be_one() {
    spec(
        "source: {inline: {records: []}, file: {path: a.csv}}",
        "job.yaml:10:3: spec.source: Invalid value: \"object\": at most one source may be set: inline, configMap, objectStore, persistentVolumeClaim, file",
    );
    spec(
        "output: {destination: {directory: {path: out}, claim: {}}}",
        "job.yaml:10:12: spec.output.destination: Invalid value: \"object\": at most one destination may be set: claim, persistentVolumeClaim, objectStore, directory",
    );
    spec(
        "attributes: [{name: a}]",
        "job.yaml:10:16: spec.attributes[0]: Invalid value: \"object\": exactly one kind of draw must be set: choice, uniform",
    );
    check(
        &format!("{JOB}    value: x\n"),
        "job.yaml:8:5: spec.columns[0]: Invalid value: \"object\": exactly one kind of column must be set: prompt, messages, value",
    );
    check(
        &JOB.replace("    prompt: Hello\n", ""),
        "job.yaml:8:5: spec.columns[0]: Invalid value: \"object\": exactly one kind of column must be set: prompt, messages, value",
    );
    check(
        &MODEL.replace(
            "file: {path: model.gguf}",
            "file: {path: m}\n    url: {url: 'https://a/b', sha256: '0'}",
        ),
        "job.yaml:6:3: spec.source: Invalid value: \"object\": exactly one source must be set: huggingFace, url, objectStore, persistentVolumeClaim, file, external\njob.yaml:8:31: spec.source.url.sha256: Invalid value: \"0\": should match '^[0-9a-f]{64}$'",
    );
    check(
        &MODEL.replace("    file: {path: model.gguf}", "    {}"),
        "job.yaml:6:3: spec.source: Invalid value: \"object\": exactly one source must be set: huggingFace, url, objectStore, persistentVolumeClaim, file, external",
    );
}

#[test]
fn names_of_columns_and_attributes() {
    check(
        &format!("{JOB}  - {{name: ticket, value: x}}\n"),
        "job.yaml:10:5: spec.columns[1]: Duplicate value: {\"name\":\"ticket\"}",
    );
    check(
        &format!("{JOB}  attributes: [{{name: ticket, uniform: {{min: 0, max: 1}}}}]\n"),
        "job.yaml:10:3: spec.attributes: Invalid value: \"array\": an attribute and a column have the same name: each name of a row stands for one value",
    );
    for name in ["id", "_textnlp"] {
        let found = answer(&JOB.replace("- name: ticket", &format!("- name: {name}")));
        assert_eq!(
            found,
            format!(
                "job.yaml:8:5: spec.columns[0].name: Invalid value: \"{name}\": `id` and `_textnlp` are reserved: every row of a dataset carries them"
            )
        );
    }
    check(
        &JOB.replace("- name: ticket", "- name: 1st"),
        "job.yaml:8:5: spec.columns[0].name: Invalid value: \"1st\": should match '^[A-Za-z_][A-Za-z0-9_]*$'",
    );
    check(
        &JOB.replace("- name: ticket", "- name: my-column"),
        "job.yaml:8:5: spec.columns[0].name: Invalid value: \"my-column\": should match '^[A-Za-z_][A-Za-z0-9_]*$'",
    );
}

#[test]
fn columns_that_contradict_themselves() {
    check(
        &JOB.replace("    prompt: Hello", "    value: x\n    system: You are"),
        "job.yaml:10:5: spec.columns[0].system: Invalid value: \"You are\": system stands beside a prompt; among messages, write one with the role `system`",
    );
    check(
        &format!("{JOB}    system: You are\n    mode: Completion\n"),
        "job.yaml:11:5: spec.columns[0].mode: Invalid value: \"Completion\": system and messages need a chat: mode must be Auto or Chat",
    );
    check(
        &JOB.replace("    prompt: Hello", "    value: x\n    sampling: {seed: 1}"),
        "job.yaml:8:5: spec.columns[0]: Invalid value: \"object\": a value column calls no model: it takes no sampling, modelRef or mode",
    );
    check(
        &JOB.replace("  modelRef: {name: smollm2}\n", ""),
        "job.yaml:5:1: spec.modelRef: Invalid value: \"object\": a column calls a model, but neither the column nor the job names one in modelRef",
    );
    spec(
        "attributes: [{name: a, choice: {values: [p, q], weights: [1]}}, {name: b, choice: {values: [x], weights: [0]}}, {name: c, uniform: {min: 2, max: 1}}]",
        "job.yaml:10:51: spec.attributes[0].choice.weights: Invalid value: \"array\": weights must have one number for each of values\njob.yaml:10:99: spec.attributes[1].choice.weights: Invalid value: \"array\": at least one weight must be greater than 0\njob.yaml:10:125: spec.attributes[2].uniform: Invalid value: \"object\": min must not be greater than max",
    );
}

#[test]
fn metrics_filters_and_gates() {
    spec(
        "validation: {metrics: [{metric: bleu, column: ticket}]}",
        "job.yaml:10:26: spec.validation.metrics[0].reference: Invalid value: \"object\": reference is required by bleu, bleuNltk, rouge1, rouge2, rougeL, rougeLsum, chrf and ter; expression may have one, and no other metric takes one",
    );
    spec(
        "validation: {metrics: [{metric: wordCount}]}",
        "job.yaml:10:26: spec.validation.metrics[0].column: Invalid value: \"object\": column is required, except by failedRate, acceptedRows and acceptanceRate, which count rows and take none",
    );
    spec(
        "validation: {metrics: [{metric: wordCount, column: ticket, params: {stemmer: true}}]}",
        "job.yaml:10:62: spec.validation.metrics[0].params: Invalid value: \"object\": a parameter does not belong to this metric: n is for distinct, selfBleu, repetition and bleuNltk; tokenize for bleu and bleuNltk; smoothing and smoothingValue for bleu; lowercase for bleu and chrf; method for bleuNltk; wordOrder for chrf; normalized, noPunctuation, asianSupport and caseSensitive for ter; threshold for nearDuplicateRate; entities for pii; is for language; stemmer for rouge1, rouge2, rougeL and rougeLsum; pattern for regex; schema for jsonSchema; expression for expression",
    );
    spec(
        "validation: {metrics: [{metric: regex, column: ticket}]}",
        "job.yaml:10:26: spec.validation.metrics[0].params: Invalid value: \"object\": the metric regex needs params.pattern, language params.is, jsonSchema params.schema, and expression params.expression",
    );
    spec(
        "validation: {filters: [{name: a, metric: distinct, column: ticket, min: 1}]}",
        "job.yaml:10:36: spec.validation.filters[0].metric: Invalid value: \"distinct\": this metric measures the whole dataset and has no value for one row: use it in a gate",
    );
    spec(
        "validation: {filters: [{name: a, metric: wordCount, column: ticket}]}",
        "job.yaml:10:26: spec.validation.filters[0]: Invalid value: \"object\": a filter with a metric needs min, max or both",
    );
    spec(
        "validation: {filters: [{name: a}, {name: a, expression: 'true', min: 1}]}",
        "job.yaml:10:26: spec.validation.filters[0]: Invalid value: \"object\": exactly one kind of filter must be set: metric, expression\njob.yaml:10:37: spec.validation.filters[1]: Duplicate value: {\"name\":\"a\"}\njob.yaml:10:37: spec.validation.filters[1]: Invalid value: \"object\": column, reference, params, min and max belong to a metric: an expression reads the row itself",
    );
    spec(
        "validation: {gates: [{metric: failedRate, column: ticket, max: 0.1}]}",
        "job.yaml:10:45: spec.validation.gates[0].column: Invalid value: \"ticket\": column is required, except by failedRate, acceptedRows and acceptanceRate, which count rows and take none",
    );
    spec(
        "validation: {gates: [{metric: failedRate}]}",
        "job.yaml:10:24: spec.validation.gates[0]: Invalid value: \"object\": a gate needs min, max or both",
    );
    spec(
        "validation: {gates: [{metric: distinct, column: ticket, stat: p95, min: 2, max: 1}]}",
        "job.yaml:10:24: spec.validation.gates[0]: Invalid value: \"object\": min must not be greater than max\njob.yaml:10:59: spec.validation.gates[0].stat: Invalid value: \"p95\": stat belongs to metrics that have a value for each row; this one has only a value of the dataset",
    );
    spec(
        "validation: {deduplicate: {column: ticket, threshold: 0.9}}",
        "job.yaml:10:46: spec.validation.deduplicate.threshold: Invalid value: 0.9: threshold belongs to the method Near",
    );
    spec(
        "validation: {deduplicate: {column: ticket}, filters: [{name: duplicate, expression: 'true'}]}",
        "job.yaml:10:47: spec.validation.filters: Invalid value: \"array\": the name duplicate belongs to deduplicate: give the filter another one",
    );
}

#[test]
fn models_that_contradict_themselves() {
    let external = MODEL
        .replace("file: {path: model.gguf}", "external: {endpoint: 'http://vllm:8000', model: m}");
    check(&external, "accepted");
    check(
        &format!("{external}  engine: {{dtype: F32}}\n"),
        "job.yaml:7:5: spec.source.external: Invalid value: \"object\": an external model runs elsewhere: it takes no engine, resources, cache, scaling, rollout or pod",
    );
    check(
        &format!("{MODEL}  scaling: {{minReplicas: 3, maxReplicas: 2, initialReplicas: 4}}\n"),
        "job.yaml:8:13: spec.scaling.minReplicas: Invalid value: 3: minReplicas must not be greater than maxReplicas\njob.yaml:8:45: spec.scaling.initialReplicas: Invalid value: 4: initialReplicas must not be greater than maxReplicas",
    );
    check(
        &format!("{MODEL}  rollout: {{maxSurge: 0, maxUnavailable: 0}}\n"),
        "job.yaml:8:3: spec.rollout: Invalid value: \"object\": maxSurge and maxUnavailable cannot both be 0: no server could ever be replaced",
    );
    check(
        &format!("{MODEL}  resources: {{limits: {{memory: 8 GB}}}}\n"),
        "job.yaml:8:24: spec.resources.limits.memory: Invalid value: \"8 GB\": should match '^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$'",
    );
    check(
        &format!("{MODEL}  pod: {{resources: {{}}}}\n"),
        "job.yaml:8:3: spec.pod: Invalid value: \"object\": the resources of a model stand in spec.resources",
    );
    check(
        &MODEL.replace("file: {path: model.gguf}", "url: {url: 'https://a/b', sha256: abc}"),
        "job.yaml:7:31: spec.source.url.sha256: Invalid value: \"abc\": should match '^[0-9a-f]{64}$'",
    );
    check(
        &MODEL.replace("file: {path: model.gguf}", "huggingFace: {repo: gpt2}"),
        "job.yaml:7:19: spec.source.huggingFace.repo: Invalid value: \"gpt2\": should match '^[A-Za-z0-9][-._A-Za-z0-9]*/[A-Za-z0-9][-._A-Za-z0-9]*$'",
    );
}
