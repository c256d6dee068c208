//! What a job used and what that costs: in its status, in `kubectl get`, and in the metrics of the operator that leads.

use serde_json::{Value, json};
use textnlp_tests::disturb::{OPERATOR, operator, operator_pods, together};
use textnlp_tests::metrics::sum;
use textnlp_tests::{Job, Model, Space, eventually, http, kubectl};

#[test]
fn a_price_gives_a_job_its_cost_and_changes_neither_its_dataset_nor_a_server() {
    let _undisturbed = together();
    let _operator = operator(); // its replicas are asked
    let space = Space::new("priced");
    let price = |completion: &str| json!({"currency": "EUR", "promptTokens": "1500.25", "completionTokens": completion});
    let job = Job::small("tickets").with("source/limit", json!(2));
    space.start(&Model::small("smollm2").with("price", price("6000.5")), &job);
    let done = space.expect_local_digest(&job);

    let usage = &done["status"]["usage"];
    let tokens = |kind: &str| usage[kind].as_i64().unwrap_or_default();
    let (prompt, completion) = (tokens("promptTokens"), tokens("completionTokens"));
    assert!(prompt > 0 && completion > 0, "{usage}");
    // Millionths of a euro, of a million tokens: a half of the last digit goes up.
    let millionths = (prompt * 1_500_250_000 + completion * 6_000_500_000 + 500_000) / 1_000_000;
    let amount = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
    let cost = json!({"currency": "EUR", "amount": amount});
    let part = json!({
        "name": "smollm2", "promptTokens": prompt, "completionTokens": completion,
        "requests": usage["requests"], "cost": cost,
    });
    assert_eq!(usage["models"], json!([part]));
    assert_eq!(usage["costs"], json!([cost]));
    let wide = space.kubectl(&["get", "gj/tickets", "--output", "wide"]).expect("kubectl get");
    assert!(wide.contains(&format!("{amount} EUR")), "{wide}");

    let uid = done["metadata"]["uid"].as_str().expect("a UID");
    let amount: f64 = amount.parse().expect("a number");
    let page = eventually("one replica shows the cost", || {
        only_page(|page| sum(page, "textnlp_job_cost", "uid", uid) == amount)
    });
    assert_eq!(sum(&page, "textnlp_job_info", "uid", uid), 1.0);
    assert_eq!(sum(&page, "textnlp_job_tokens", "uid", uid), (prompt + completion) as f64);
    // Requested, finished, and how the four ended.
    assert_eq!(sum(&page, "textnlp_job_rows", "uid", uid), 12.0);

    let servers = || {
        let deployments = space.list("deployments", "app.kubernetes.io/component=server");
        let generations: Vec<Value> =
            deployments.iter().map(|found| found["metadata"]["generation"].clone()).collect();
        (generations, space.running("server"))
    };
    let before = servers();
    space.patch("mdl/smollm2", json!({"spec": {"price": price("1")}}));
    space.until("mdl/smollm2", "the new price is seen", |o| {
        o["status"]["observedGeneration"] == o["metadata"]["generation"]
    });
    eventually("one replica shows the new price", || {
        only_page(|page| {
            let both = sum(page, "textnlp_model_price", "namespace", space.name());
            (both - 0.001_501_25).abs() < 1e-12
        })
    });
    assert_eq!(servers(), before);
    assert_eq!(space.get("gj/tickets")["status"]["usage"], *usage, "a finished job keeps its cost");
}

/// The metrics of the one replica of the operator of which this holds; the others must show no job at all.
fn only_page(holds: impl Fn(&str) -> bool) -> Result<String, String> {
    let pages: Vec<String> = operator_pods().iter().filter_map(|pod| page(pod)).collect();
    let (leading, waiting): (Vec<&String>, Vec<&String>) =
        pages.iter().partition(|page| page.contains("\ntextnlp_job_info{"));
    match leading.as_slice() {
        [only] if holds(only) => Ok((*only).clone()),
        [only] => Err((*only).clone()),
        _ => Err(format!("{} replicas show jobs, {} do not", leading.len(), waiting.len())),
    }
}

fn page(pod: &str) -> Option<String> {
    let address = ["get", "pod", pod, "--output", "jsonpath={.status.podIP}"];
    let arguments: Vec<&str> = ["--namespace", OPERATOR].into_iter().chain(address).collect();
    let address = format!("{}:8080", kubectl(&arguments).stdout.trim());
    let (status, page) = http::get(&address, "/metrics").ok()?;
    (status == 200).then_some(page)
}
