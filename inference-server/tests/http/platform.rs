//! The platform's own calls: `/validate` and `/format`.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::server::{json_of, ready};

#[tokio::test]
async fn texts_of_a_request_are_scored_as_those_of_a_file_are() {
    let server = ready().await;
    let body = json!({
        "rows": [
            {"id": "a", "text": "the cat sat on the mat", "gold": "the cat sat on a mat"},
            {"id": "b", "text": "a dog barked", "gold": ["the dog barked", "a dog barked"]},
            {"id": "c", "text": "no", "gold": "no"},
            {"id": "d", "text": null},
        ],
        "validation": {
            "metrics": [{"metric": "rougeL", "column": "text", "reference": "gold"}, {"metric": "bleu", "column": "text", "reference": "gold"}],
            "filters": [{"name": "long", "metric": "wordCount", "column": "text", "min": 2}, {"name": "cel", "expression": "row.id != 'z'"}],
            "gates": [{"metric": "wordCount", "column": "text", "stat": "max", "max": 5}, {"metric": "failedRate", "max": 0.5}],
            "confidence": {"resamples": 100},
        },
        "include_rows": true,
    });
    let answer = json_of(server.post("/validate", &body).await, StatusCode::OK).await;
    assert_eq!(answer["rows"], json!({"requested": 4, "accepted": 2, "rejected": 1, "failed": 1}));
    assert_eq!(answer["rejections"][0], json!({"filter": "long", "rows": 1}));
    assert_eq!(answer["passed"], false);
    // rouge_score's rougeL of the first row: five of six words in common.
    let rouge = answer["scores"][0]["value"].as_f64().expect("a value");
    assert!((rouge - (5.0 / 6.0 + 1.0) / 2.0).abs() < 1e-12, "{rouge}");
    assert!(answer["scores"][1]["ci"]["low"].is_f64(), "{answer}");
    let results = answer["results"].as_array().expect("rows");
    assert_eq!(results.len(), 4);
    assert_eq!(results[1]["scores"]["rougeL"], 1.0);
    assert_eq!((&results[2]["id"], &results[2]["rejectedBy"]), (&json!("c"), &json!("long")));
    assert!(results[3]["error"].is_string());
}

#[tokio::test]
async fn a_wrong_validation_is_refused_in_the_manifests_words() {
    let server = ready().await;
    let metric = |metric: Value| json!({"metrics": [metric]});
    for (validation, param, part) in [
        (
            metric(json!({"metric": "bleu", "column": "t"})),
            "validation.metrics[0].reference",
            "required",
        ),
        (
            metric(json!({"metric": "rouge", "column": "t"})),
            "validation.metrics[0].metric",
            "rougeL",
        ),
        (
            metric(json!({"metric": "regex", "column": "t", "params": {"pattern": "("}})),
            "validation.metrics[0].params.pattern",
            "regular expression",
        ),
        (json!({"metric": []}), "validation.metric", "unknown field"),
        (json!({"deduplicate": {"column": "t"}}), "validation.deduplicate", "not supported"),
        (json!([]), "validation", "object"),
    ] {
        let body = json!({"rows": [{"t": "a"}], "validation": validation});
        let answer = json_of(server.post("/validate", &body).await, StatusCode::BAD_REQUEST).await;
        assert_eq!(answer["error"]["param"], param, "{answer}");
        assert!(answer["error"]["message"].as_str().expect("a text").contains(part), "{answer}");
    }
    for (path, body) in [
        ("/validate", json!({"rows": [], "validation": {}})),
        ("/validate", json!({"rows": ["text"], "validation": {}})),
        ("/validate", json!({"rows": [{}], "validation": {}, "rows_too": 1})),
        ("/format", json!({"rows": [], "format": "CSV"})),
        ("/format", json!({"rows": [{"a": 1}], "format": "XML"})),
        ("/format", json!({"rows": [{"a": 1}], "format": "CSV", "fields": ["b"]})),
        (
            "/format",
            json!({"rows": (0..1_001).map(|i| json!({format!("f{i}"): 1})).collect::<Vec<_>>(), "format": "CSV"}),
        ),
    ] {
        json_of(server.post(path, &body).await, StatusCode::BAD_REQUEST).await;
    }
    assert_eq!(server.get("/validate").await.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn failures_are_counted_by_the_step_at_which_they_happen() {
    let server = ready().await;
    let body = json!({
        "rows": [{"t": "a", "n": 1}, {"t": null, "n": 1}, {"t": "b"}, {"t": "c"}],
        "validation": {
            "metrics": [{"metric": "charCount", "column": "t"}],
            "filters": [{"name": "n", "expression": "row.n == 1"}],
        },
    });
    let answer = json_of(server.post("/validate", &body).await, StatusCode::OK).await;
    let failures = answer["failures"].as_array().expect("a list");
    let found: Vec<_> =
        failures.iter().map(|f| (f["stage"].as_str(), f["rows"].as_u64())).collect();
    assert_eq!(found, [(Some("filter"), Some(2)), (Some("metric"), Some(1))]);
    assert!(failures[0]["first"].as_str().expect("a text").starts_with("row 2:"), "{answer}");
}

#[tokio::test]
async fn a_schema_or_a_text_that_would_exhaust_the_server_is_refused_alone() {
    let server = ready().await;
    let validation = |schema: Value| json!({"metrics": [{"metric": "jsonSchema", "column": "t", "params": {"schema": schema}}]});
    let mut defs = serde_json::Map::new();
    for i in 0..800 {
        defs.insert(format!("a{i}"), json!({"$ref": format!("#/$defs/a{}", i + 1)}));
    }
    defs.insert("a800".into(), json!({"items": {"$ref": "#/$defs/a0"}}));
    let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
    let chain = json!({"$defs": defs, "$ref": "#/$defs/a0"});
    let body = json!({"rows": [{"t": deep}], "validation": validation(chain)});
    json_of(server.post("/validate", &body).await, StatusCode::BAD_REQUEST).await;
    let wide = json!({"anyOf": vec![json!({}); 200], "items": {"$ref": "#"}});
    let long = format!("[{}1]", "1,".repeat(300_000));
    let body = json!({"rows": [{"t": long}, {"t": "[1]"}], "validation": validation(wide)});
    let answer = json_of(server.post("/validate", &body).await, StatusCode::OK).await;
    assert_eq!((&answer["rows"]["accepted"], &answer["rows"]["failed"]), (&json!(1), &json!(1)));
    assert_eq!(server.get("/healthz").await.status(), StatusCode::OK);
}

#[tokio::test]
async fn rows_become_a_table_of_each_format() {
    let server = ready().await;
    let rows = json!([{"a": "=1", "b": 2}, {"a": "x|y", "b": null}]);
    let mut answers = Vec::new();
    for (format, more) in [
        ("JSONL", json!({})),
        ("CSV", json!({"escape_formulas": true, "fields": ["b", "a"]})),
        ("Markdown", json!({})),
        ("Parquet", json!({})),
    ] {
        let mut body = json!({"rows": rows, "format": format});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        let response = server.post("/format", &body).await;
        assert_eq!(response.status(), StatusCode::OK, "{format}");
        let media_type = response.headers()["content-type"].to_str().expect("text").to_owned();
        answers.push((media_type, response.bytes().await.expect("bytes")));
    }
    let text = |at: usize| String::from_utf8_lossy(&answers[at].1).into_owned();
    assert_eq!(text(0), "{\"a\":\"=1\",\"b\":2}\n{\"a\":\"x|y\",\"b\":null}\n");
    assert_eq!(text(1), "b,a\n2,'=1\n,x|y\n");
    assert!(text(2).contains("x\\|y") && answers[2].0.starts_with("text/markdown"), "{}", text(2));
    assert!(answers[3].1.starts_with(b"PAR1") && answers[3].1.ends_with(b"PAR1"));
}
