//! The dataset card and the manifest behind it.

use serde_json::json;
use textnlp_dataset::card::{Score, render};
use textnlp_dataset::format::Format;
use textnlp_dataset::manifest::Manifest;
use textnlp_dataset::store::LocalStore;

fn manifest() -> Manifest {
    serde_json::from_value(json!({
        "job": {"metadata": {"name": "tickets"}},
        "generationHash": "aaaa", "validationHash": "bbbb",
        "source": {"digest": "cccc", "records": 600, "offset": 0},
        "models": {"ticket": {"name": "smollm2", "digest": "dddd", "numerics": "cpu-1/int4", "mode": "Chat"}},
        "digest": "eeee",
        "rows": {"requested": 1200, "accepted": 1100, "rejected": 90, "failed": 10},
        "seed": 42, "versions": {"textnlp": "0.1.0"}, "chunks": [], "files": [],
    }))
    .unwrap()
}

#[test]
fn the_card_has_the_header_that_hubs_read_and_the_scores() {
    let scores = [
        Score { metric: "rougeL".into(), column: Some("ticket".into()), value: 0.25, passed: None },
        Score { metric: "failedRate".into(), column: None, value: 0.0083, passed: Some(true) },
    ];
    let card = render("tickets", &manifest(), &[Format::Markdown, Format::Jsonl], &scores);
    let header = "---\npretty_name: \"tickets\"\ntags:\n- synthetic\n- textnlp\ntask_categories:\n- text-generation\n\
                  size_categories:\n- 1K<n<10K\nconfigs:\n- config_name: default\n  data_files: dataset.jsonl\n---\n\n# tickets\n";
    assert!(card.starts_with(header), "{card}");
    for line in [
        "| accepted, in this dataset | 1100 |",
        "| ticket | smollm2 | cpu-1/int4 | dddd |",
        "| rougeL | ticket | 0.2500 |  |",
        "| failedRate |  | 0.0083 | passed |",
        "- dataset digest: eeee",
        "- seed: 42",
    ] {
        assert!(card.lines().any(|found| found == line), "{line}\n{card}");
    }
    assert!(!card.contains("license"));
}

#[test]
fn user_text_cannot_leave_its_place_in_the_card() {
    let card = render("a\"\n---\n# <b>x</b> | [y](z)", &manifest(), &[], &[]);
    assert_eq!(card.lines().nth(1), Some("pretty_name: \"a\\\" --- # <b>x</b> | [y](z)\""));
    assert_eq!(card.lines().filter(|line| *line == "---").count(), 2);
    assert!(card.contains("# a\"<br>---<br>\\# &lt;b&gt;x&lt;/b&gt; \\| \\[y\\](z)"), "{card}");
    assert!(!card.contains("configs:"));
}

#[test]
fn a_manifest_is_read_back_as_it_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    manifest().save(&store).unwrap();
    assert_eq!(Manifest::load(&store).unwrap(), Some(manifest()));
    let text = std::fs::read_to_string(directory.path().join("manifest.json")).unwrap();
    assert!(
        text.contains("\n  \"generationHash\": \"aaaa\",\n") && text.ends_with("}\n"),
        "{text}"
    );
}
