//! Names of objects, and paths.

use crate::{JOB, answer, check, spec};

#[test]
fn paths_of_the_output() {
    let directory = |path: &str| {
        answer(&format!("{JOB}  output: {{destination: {{directory: {{path: {path:?}}}}}}}\n"))
    };
    let inside = "must be a path inside the manifest's directory (`--output` takes any other): relative, without `..` and without a NUL character";
    for path in ["../up", "a/../../b", "..", "/etc"] {
        assert_eq!(
            directory(path),
            format!(
                "job.yaml:10:38: spec.output.destination.directory.path: Invalid value: {path:?}: {inside}"
            )
        );
    }
    assert_eq!(directory("a..b/c"), "accepted");
    spec(
        "output: {destination: {directory: {path: \"a\\0b\"}}}",
        "job.yaml:10:38: spec.output.destination.directory.path: Invalid value: \"a\\0b\": must be a path inside the manifest's directory (`--output` takes any other): relative, without `..` and without a NUL character",
    );
    spec(
        &format!("output: {{destination: {{directory: {{path: {}}}}}}}", "a".repeat(5000)),
        "job.yaml:10:38: spec.output.destination.directory.path: Too long: may not be more than 1024 bytes",
    );
    spec(
        "output: {destination: {directory: {path: ''}}}",
        "job.yaml:10:38: spec.output.destination.directory.path: Invalid value: \"\": should be at least 1 chars long",
    );
    spec(
        "output: {destination: {persistentVolumeClaim: {claimName: c, path: ../a}}}",
        "job.yaml:10:64: spec.output.destination.persistentVolumeClaim.path: Invalid value: \"../a\": must be a path inside the claim's volume: relative, without `..` and without a NUL character",
    );
    spec(
        "output: {destination: {objectStore: {uri: /tmp/out}}}",
        "job.yaml:10:40: spec.output.destination.objectStore.uri: Invalid value: \"/tmp/out\": should match '^(s3|gs|az)://[!-~]+$'",
    );
    // What is read lies where the user says.
    spec("source: {file: {path: ../data/*.csv}}", "accepted");
    spec("source: {file: {path: /data/a.csv}}", "accepted");
    spec(
        "source: {persistentVolumeClaim: {claimName: c, path: /a}}",
        "job.yaml:10:50: spec.source.persistentVolumeClaim.path: Invalid value: \"/a\": must be a path inside the claim's volume: relative, without `..` and without a NUL character",
    );
}

#[test]
fn names_of_objects() {
    let named = |name: &str| answer(&JOB.replace("tickets", name));
    for name in ["a", "2fast", "a.dotted.name", &"a".repeat(253)] {
        assert_eq!(named(name), "accepted", "{name}");
    }
    check(
        &JOB.replace("tickets", "Tickets"),
        "job.yaml:4:3: metadata.name: Invalid value: \"Tickets\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')",
    );
    check(
        &JOB.replace("tickets", "-a"),
        "job.yaml:4:3: metadata.name: Invalid value: \"-a\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com')",
    );
    check(
        &JOB.replace("tickets", "7"),
        "job.yaml:4:3: metadata.name: Invalid value: 7: must be of type string: \"integer\"; put a text in quotes",
    );
    check(
        &JOB.replace("tickets", &"a".repeat(254)),
        "job.yaml:4:3: metadata.name: Invalid value: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…\": must be no more than 253 characters",
    );
    check(
        &JOB.replace("  name: tickets\n", "  generateName: tickets-\n"),
        "job.yaml:3:1: metadata.name: Required value: generateName is not supported: a job is known by its name",
    );
    let large = format!("  name: tickets\n  annotations: {{note: {}}}\n", "x".repeat(200 << 10));
    check(&JOB.replace("  name: tickets\n", &large), "accepted");
    check(
        &JOB.replace("  name: tickets\n", "  name: tickets\n  labels: {a b: c, ok: '-'}\n"),
        "job.yaml:5:3: metadata.labels: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName')\njob.yaml:5:20: metadata.labels.ok: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
    );
    check(&JOB.replace("  name: tickets\n", "  name: tickets\n  finalizers: [example.com/hold]\n  ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: u}]\n"), "accepted");
}
