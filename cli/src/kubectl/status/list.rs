//! All jobs and models of a namespace, in two tables. No I/O.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use textnlp_crds::conditions::types;
use textnlp_crds::{GenerationJob, ModelDeployment};

use super::super::standing::{condition, telling, telling_of_model};
use super::super::words::age;
use crate::table;

/// Where a cell has nothing to say.
const NONE: &str = "-";
/// Which column the cost is.
const COST: usize = 6;

/// The tables.
pub(crate) fn page(
    namespace: &str,
    jobs: &[GenerationJob],
    models: &[ModelDeployment],
    now: Timestamp,
) -> String {
    if jobs.is_empty() && models.is_empty() {
        return format!("no jobs and no models in the namespace {namespace}\n");
    }
    let mut tables = Vec::new();
    if !jobs.is_empty() {
        // Where no model has a price, nobody asks for a cost.
        let with_cost = jobs.iter().any(|job| cost(job).is_some());
        let rows: Vec<_> = jobs.iter().map(|job| job_row(job, with_cost, now)).collect();
        let mut heading = vec!["job", "model", "phase", "progress", "valid", "reason", "age"];
        if with_cost {
            heading.insert(COST, "cost");
        }
        tables.push(table::render(&heading, &[], &rows));
    }
    if !models.is_empty() {
        let rows: Vec<_> = models.iter().map(|model| model_row(model, now)).collect();
        tables.push(table::render(
            &["model", "architecture", "ready", "status", "age"],
            &[],
            &rows,
        ));
    }
    tables.join("\n")
}

fn cost(job: &GenerationJob) -> Option<String> {
    job.status.as_ref()?.usage.as_ref()?.cost_summary.clone()
}

fn job_row(job: &GenerationJob, with_cost: bool, now: Timestamp) -> Vec<String> {
    let status = job.status.clone().unwrap_or_default();
    let cell = |value: Option<String>| {
        value.filter(|value| !value.is_empty()).unwrap_or_else(|| NONE.into())
    };
    let mut row = vec![
        job.name_any(),
        cell(job.spec.model_ref.as_ref().map(|model| model.name.clone())),
        cell(status.phase.map(|phase| format!("{phase:?}"))),
        cell(status.progress.as_ref().and_then(|progress| progress.summary.clone())),
        cell(
            condition(&status.conditions, types::VALIDATED)
                .map(|validated| validated.status.clone()),
        ),
        cell(telling(job).map(|condition| condition.reason.clone())),
        age(job.metadata.creation_timestamp.as_ref(), now),
    ];
    if with_cost {
        row.insert(COST, cell(cost(job)));
    }
    row
}

fn model_row(model: &ModelDeployment, now: Timestamp) -> Vec<String> {
    let status = model.status.clone().unwrap_or_default();
    let cell = |value: Option<String>| {
        value.filter(|value| !value.is_empty()).unwrap_or_else(|| NONE.into())
    };
    vec![
        model.name_any(),
        cell(status.model.and_then(|model| model.architecture)),
        cell(status.ready_summary),
        cell(telling_of_model(model).map(|condition| condition.reason.clone())),
        age(model.metadata.creation_timestamp.as_ref(), now),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubectl::testing::{condition, job, model};

    #[test]
    fn jobs_and_models_stand_in_tables() {
        let now = "2026-01-01T00:10:00Z".parse().expect("a time");
        let jobs = [
            job(json!({}), json!({"observedGeneration": -1})),
            job(
                json!({}),
                json!({"phase": "Succeeded", "progress": {"summary": "10/10"}, "conditions": [
                    condition("Validated", "True", "GatesPassed", ""), condition("Succeeded", "True", "Succeeded", "")]}),
            ),
        ];
        let models = [model(json!({"readySummary": "1/1", "model": {"architecture": "llama"},
            "conditions": [condition("Ready", "True", "Serving", "")]}))];
        let expect = [
            "job      model    phase      progress  valid  reason     age",
            "tickets  smollm2  -          -         -      -          10m",
            "tickets  smollm2  Succeeded  10/10     True   Succeeded  10m",
            "",
            "model    architecture  ready  status   age",
            "smollm2  llama         1/1    Serving  10m",
            "",
        ];
        assert_eq!(page("shop", &jobs, &models, now), expect.join("\n"));
        let mut priced = jobs;
        let usage = json!({"promptTokens": 1, "completionTokens": 2, "requests": 3, "costSummary": "0.5 EUR + 2.0 USD"});
        priced[1] = job(json!({}), json!({"phase": "Running", "usage": usage}));
        let expect = [
            "job      model    phase    progress  valid  reason  cost               age",
            "tickets  smollm2  -        -         -      -       -                  10m",
            "tickets  smollm2  Running  -         -      -       0.5 EUR + 2.0 USD  10m",
            "",
        ];
        assert_eq!(page("shop", &priced, &[], now), expect.join("\n"));
        assert_eq!(page("shop", &[], &[], now), "no jobs and no models in the namespace shop\n");
    }
}
