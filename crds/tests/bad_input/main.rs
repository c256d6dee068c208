//! What a local run answers to bad manifests: each line is the message that the user sees.

mod names_and_paths;
mod rules;
mod text;
mod values;

use textnlp_crds::manifest::{Manifest, Override};

const NOTE: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

/// A job that is right, as YAML lines.
const JOB: &str = "\
apiVersion: textnlp.dev/v1alpha1
kind: GenerationJob
metadata:
  name: tickets
spec:
  modelRef: {name: smollm2}
  columns:
  - name: ticket
    prompt: Hello
";

/// A model that is right.
const MODEL: &str = "\
apiVersion: textnlp.dev/v1alpha1
kind: ModelDeployment
metadata:
  name: smollm2
spec:
  source:
    file: {path: model.gguf}
";

fn answer(text: &str) -> String {
    match Manifest::read([("job.yaml", text.as_bytes())], &[]) {
        Ok(manifest) => {
            let warnings: Vec<String> = manifest.warnings.iter().map(ToString::to_string).collect();
            format!("accepted {}", warnings.join("\n")).trim().to_owned()
        }
        Err(wrong) => without_note(wrong.to_string()),
    }
}

/// The messages without the last line, if that only says that CEL rules were not checked.
fn without_note(messages: String) -> String {
    match messages.rsplit_once('\n') {
        Some((first, note)) if note.ends_with(NOTE) => first.to_owned(),
        _ => messages,
    }
}

#[track_caller]
fn check(text: &str, expect: &str) {
    assert_eq!(answer(text), expect.trim_matches('\n'), "\n{text}");
}

/// The job with more lines of spec.
#[track_caller]
fn spec(lines: &str, expect: &str) {
    check(&format!("{JOB}  {}\n", lines.replace('\n', "\n  ")), expect);
}

/// The job with a field set as by `--set`.
#[track_caller]
fn set(change: &str, expect: &str) {
    let change: Override = change.parse().expect("an override");
    let found = match Manifest::read([("job.yaml", JOB.as_bytes())], &[change]) {
        Ok(_) => "accepted".to_owned(),
        Err(wrong) => without_note(wrong.to_string()),
    };
    assert_eq!(found, expect.trim_matches('\n'));
}

#[test]
fn the_base_manifests_are_accepted() {
    check(JOB, "accepted");
    check(MODEL, "accepted");
    check(&format!("{JOB}---\n{MODEL}"), "accepted");
}
