//! Files that are no manifest, and `--set`.

use textnlp_crds::manifest::{Manifest, Override};

use crate::{JOB, answer, check, set};

#[test]
fn yaml_that_cannot_be_read() {
    check(&format!("{JOB}  columns: []\n"), "job.yaml:10:3: key \"columns\" is already set at 7:3");
    check("a: 1\na: 2\n", "job.yaml:2:1: key \"a\" is already set at 1:1");
    check("a: {b: 1, b: 2}\n", "job.yaml:1:11: key \"b\" is already set at 1:5");
    check("a: [1, 2\nb: 3\n", "job.yaml:2:2: this is no YAML: illegal placement of ':' indicator");
    check(
        "a: b: c\n",
        "job.yaml:1:5: this is no YAML: mapping values are not allowed in this context",
    );
    check(
        "\ta: 1\n",
        "job.yaml:1:2: apiVersion: Required value: every object names its apiVersion and kind",
    );
    check(
        "a: *missing\n",
        "job.yaml:1:4: this is no YAML: while parsing node, found unknown anchor",
    );
    check("a: &x [*x]\n", "job.yaml:1:8: an alias stands inside the value it repeats");
    check("a: !!binary aGk=\n", "job.yaml:1:13: the tag !!binary is not supported");
    check("a: !custom x\n", "job.yaml:1:12: the tag !custom is not supported");
    check("[a, b]: 1\n", "job.yaml:1:1: a key must be a text, not a list or an object");
    check(
        &format!("a: {}{}", "[".repeat(150), "]".repeat(150)),
        "job.yaml:1:104: lists and objects nest more than 100 levels deep",
    );
    check(
        &format!("{}1{}", "{a: ".repeat(102), "}".repeat(102)),
        "job.yaml:1:402: lists and objects nest more than 100 levels deep",
    );
    assert!(answer(&"[".repeat(100_000)).contains("this is no YAML"));
    assert_eq!(
        Manifest::read([("job.yaml", &b"a: 1\nb: caf\xe9\n"[..])], &[])
            .expect_err("Latin-1")
            .to_string(),
        "job.yaml:2:7: the file is no UTF-8: save it as UTF-8, without a legacy encoding"
    );
}

#[test]
fn an_alias_bomb_is_refused_before_it_is_expanded() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    check(
        &bomb,
        "job.yaml:6:20: the file has more than 500000 values; put large data in a file of its own and name it in spec.source",
    );
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a, ".repeat(100));
    check(
        &text,
        "job.yaml:2:249: the file has more than 67108864 bytes of text when its aliases are expanded",
    );
}

#[test]
fn anchors_inside_anchors_are_no_way_around_the_bound() {
    let anchors: String = (0..90).map(|level| format!("&a{level} {{k: ")).collect();
    let text = format!("a: {anchors}[{}]{}\n", "x, ".repeat(50_000), "}".repeat(90));
    let found = answer(&text);
    assert!(found.contains("the file has more than 500000 values"), "{found}");
}

#[test]
fn overrides() {
    set("spec.sampling.seed=7", "accepted");
    set("spec.columns[0].prompt=Bye {{ name }}", "accepted");
    set("spec.columns[0].prompt='Bye {{ name }}'", "accepted");
    set(
        "spec.columns[ticket].sampling.maxTokens=0",
        "--set: spec.columns[0].sampling.maxTokens: Invalid value: 0: should be greater than or equal to 1",
    );
    set(
        "spec.sampling.tempreature=0.5",
        "--set: spec.sampling.tempreature: unknown field \"spec.sampling.tempreature\"; did you mean \"temperature\"?",
    );
    set(
        "spec.columns[7].prompt=x",
        "--set: spec.columns[7].prompt: spec.columns has 1 entries, and none is 7",
    );
    set(
        "spec.columns[summary].prompt=x",
        "--set: spec.columns[summary].prompt: spec.columns has 1 entries, and none is summary",
    );
    set(
        "spec.columns.ticket=x",
        "--set: spec.columns.ticket: spec.columns is no object: it has no fields to set",
    );
    set(
        "spec.modelRef.name.first=x",
        "--set: spec.modelRef.name.first: spec.modelRef.name is no object: it has no fields to set",
    );
    set("metadata.labels[\"example.com/team\"]=nlp", "accepted");
    let refuse = |text: &str, expect: &str| {
        assert_eq!(text.parse::<Override>().expect_err(text).to_string(), expect);
    };
    let path =
        "write fields and entries, such as spec.columns[0].prompt or spec.columns[ticket].prompt";
    refuse("seed", "\"seed\" has no `=`: write PATH=VALUE, such as spec.sampling.seed=7");
    for text in ["=1", "spec=1", "seed=1", "status.phase=Failed", "kind=x", "[0]=1"] {
        let field = text.split('=').next().unwrap_or_default();
        refuse(
            text,
            &format!("{field:?} cannot be set: a path begins with `spec.` or `metadata.`"),
        );
    }
    for text in ["spec..a=1", "spec.a[=1", "spec.a[]=1", "spec.=1", ".spec.a=1", "spec.a[0]b=1"] {
        let field = text.split('=').next().unwrap_or_default();
        refuse(text, &format!("{field:?} is no path: {path}"));
    }
    refuse("spec.a=[1", "the value cannot be read: this is no YAML: unclosed bracket '['");
    refuse("spec.a=1\n---\n2", "the value cannot be read: it has several documents");
}
