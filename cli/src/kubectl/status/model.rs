//! The page of a model. No I/O.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use textnlp_crds::ModelDeployment;
use textnlp_crds::cost::Price;
use textnlp_crds::model_status::{ColdStart, Load, ModelDeploymentStatus, ModelInfo};
use textnlp_dataset::display;

use super::super::standing::{is_ready, is_stalled, telling_of_model};
use super::super::words::{Fields, age, count};
use super::job::{conditions, failure};

/// Everything about a model that a person wants to know.
pub(crate) fn page(model: &ModelDeployment, now: Timestamp) -> String {
    let nothing = ModelDeploymentStatus::default();
    let status = model.status.as_ref().unwrap_or(&nothing);
    let mut text = heading(model);
    text.push_str(&fields(model, status, now).text());
    if let Some(found) = &status.failure {
        text.push_str(&failure(found));
    }
    text.push_str(&conditions(&status.conditions));
    if !is_ready(model) {
        text.push_str(&format!("\n  next: kubectl textnlp why mdl/{}\n", model.name_any()));
    }
    text
}

fn heading(model: &ModelDeployment) -> String {
    let stand = match (is_ready(model), is_stalled(model)) {
        (true, _) => "Ready",
        (_, true) => "Stalled",
        _ => "not ready",
    };
    let mut text = format!("mdl/{}  {stand}", model.name_any());
    match telling_of_model(model) {
        Some(condition) => text.push_str(&format!("  {}: {}", condition.reason, condition.message)),
        None => text.push_str("  not seen by the operator yet"),
    }
    format!("{}\n", display::line(&text))
}

fn fields(model: &ModelDeployment, status: &ModelDeploymentStatus, now: Timestamp) -> Fields {
    let mut fields = Fields::default();
    fields.add_some("servers", servers(status));
    fields.add_some("url", status.url.as_ref());
    fields.add_some("model", status.model.as_ref().and_then(info));
    fields.add_some("digest", status.model.as_ref().and_then(|model| model.digest.as_ref()));
    fields.add_some("price", model.spec.price.as_ref().map(price));
    fields.add_some("load", status.load.as_ref().map(load));
    fields.add_some("last start", status.cold_start.as_ref().and_then(cold_start));
    fields.add("age", age(model.metadata.creation_timestamp.as_ref(), now));
    fields
}

fn servers(status: &ModelDeploymentStatus) -> Option<String> {
    let mut text = format!("{} ready", status.ready_summary.as_ref()?);
    if let Some(desired) = status.desired_replicas {
        text.push_str(&format!(", {desired} wanted"));
    }
    Some(text)
}

fn info(model: &ModelInfo) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(model.architecture.clone());
    parts.extend(model.parameters.map(|parameters| format!("{} parameters", count(parameters))));
    parts.extend(model.context_tokens.map(|tokens| format!("{tokens} tokens of context")));
    parts.extend(model.dtype.clone());
    parts.extend(model.numerics.clone());
    match model.chat_template {
        Some(true) => parts.push("chat template".into()),
        Some(false) => parts.push("no chat template".into()),
        None => {}
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn price(price: &Price) -> String {
    let Price { currency, prompt_tokens, completion_tokens } = price;
    format!(
        "{prompt_tokens} {currency} for a million tokens of prompts, {completion_tokens} {currency} of completions"
    )
}

fn load(load: &Load) -> String {
    let mut text = format!(
        "{} requests running, {} queued",
        load.running_requests.unwrap_or(0),
        load.queued_requests.unwrap_or(0)
    );
    if let Some(rate) = load.tokens_per_second {
        text.push_str(&format!(", {rate:.0} tokens/s"));
    }
    text
}

fn cold_start(start: &ColdStart) -> Option<String> {
    let total = start.total_seconds?;
    let part =
        |seconds: Option<f64>, what: &str| seconds.map(|seconds| format!("{seconds:.1} s {what}"));
    let parts = [
        part(start.schedule_seconds, "scheduling"),
        part(start.pull_seconds, "pulling the image"),
        part(start.load_seconds, "loading the weights"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    Some(match parts.is_empty() {
        true => format!("{total:.1} s"),
        false => format!("{total:.1} s: {}", parts.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kubectl::testing::{condition, model};

    fn check(status: Value, expect: &[&str]) {
        let now = "2026-01-01T00:10:00Z".parse().expect("a time");
        let page = page(&model(status), now);
        assert_eq!(page.lines().collect::<Vec<_>>(), expect, "{page}");
    }

    #[test]
    fn a_ready_model_shows_what_it_is_and_does() {
        let status = json!({
            "observedGeneration": 1, "readySummary": "2/2", "desiredReplicas": 2, "url": "http://mdl-smollm2.shop.svc:8000",
            "model": {"architecture": "llama", "parameters": 134_515_008, "contextTokens": 2048, "digest": "m1",
                "numerics": "cpu-1/int8", "chatTemplate": true},
            "load": {"runningRequests": 3, "queuedRequests": 0, "tokensPerSecond": 210.4},
            "coldStart": {"loadSeconds": 1.25, "totalSeconds": 4.0},
            "conditions": [condition("Ready", "True", "Serving", "2 of 2 servers answer"),
                condition("Reconciling", "False", "Serving", "")],
        });
        check(
            status,
            &[
                "mdl/smollm2  Ready  Serving: 2 of 2 servers answer",
                "  servers     2/2 ready, 2 wanted",
                "  url         http://mdl-smollm2.shop.svc:8000",
                "  model       llama, 135M parameters, 2048 tokens of context, cpu-1/int8, chat template",
                "  digest      m1",
                "  load        3 requests running, 0 queued, 210 tokens/s",
                "  last start  4.0 s: 1.2 s loading the weights",
                "  age         10m",
                "",
                "  condition  status  reason   message",
                "  Ready      True    Serving  2 of 2 servers answer",
            ],
        );
    }

    #[test]
    fn a_model_with_a_price_shows_it() {
        let now = "2026-01-01T00:10:00Z".parse().expect("a time");
        let mut priced = model(json!({"observedGeneration": -1}));
        priced.spec.price = Some(Price {
            currency: "EUR".into(),
            prompt_tokens: "0.15".into(),
            completion_tokens: "0.6".into(),
        });
        let expect = "  price  0.15 EUR for a million tokens of prompts, 0.6 EUR of completions\n  age    10m\n";
        let page = page(&priced, now);
        assert!(page.contains(expect), "{page}");
    }

    #[test]
    fn a_model_in_trouble_shows_the_cause_and_where_to_look() {
        let status = json!({
            "observedGeneration": 1, "readySummary": "0/1",
            "conditions": [condition("Ready", "False", "ImagePullFailed", "image a:1: not found"),
                condition("Reconciling", "True", "ImagePullFailed", "image a:1: not found")],
            "failure": {"reason": "ImagePullFailed", "message": "image a:1: not found", "pod": "mdl-x-1"},
        });
        check(
            status,
            &[
                "mdl/smollm2  not ready  ImagePullFailed: image a:1: not found",
                "  servers  0/1 ready",
                "  age      10m",
                "",
                "  first cause: ImagePullFailed: image a:1: not found (pod mdl-x-1)",
                "",
                "  condition    status  reason           message",
                "  Ready        False   ImagePullFailed  image a:1: not found",
                "  Reconciling  True    ImagePullFailed  image a:1: not found",
                "",
                "  next: kubectl textnlp why mdl/smollm2",
            ],
        );
        check(
            json!({"observedGeneration": -1}),
            &[
                "mdl/smollm2  not ready  not seen by the operator yet",
                "  age  10m",
                "",
                "  next: kubectl textnlp why mdl/smollm2",
            ],
        );
    }
}
