//! The status of a model, from what was observed and applied. Pure: the time is a parameter.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use textnlp_crds::conditions::{Failure, types};
use textnlp_crds::model::External;
use textnlp_crds::model_status::{ColdStart, Load, ModelDeploymentStatus, ModelInfo};
use textnlp_crds::task::SERVER_PORT;

use super::fetch::Fetch;
use super::network::selector;
use super::scale::Scaled;
use super::scaled::scaled;
use super::scaling::Decision;
use super::standing::{Progress, Servers, Standing};
use super::trouble::Trouble;
use super::validate::{self, Source, Validated};
use crate::conditions::{Conditions, State};

/// Digest and numerics of a model that runs elsewhere.
const EXTERNAL: &str = "external";

/// What is known of a model after its plan was applied.
pub struct Facts<'a> {
    /// The model.
    pub model: &'a Validated,
    /// Where its fetch Job stands.
    pub fetch: &'a Fetch,
    /// The Deployment.
    pub deployment: Option<&'a Deployment>,
    /// How many servers there shall be.
    pub decision: Decision,
    /// What became of that.
    pub scaled: Option<&'a Scaled>,
    /// Whether the demand has not been known for a while.
    pub blind: bool,
    /// Why it does not go on.
    pub trouble: Option<Trouble>,
    /// What the servers do.
    pub load: Option<Load>,
    /// How the last start went.
    pub cold_start: Option<ColdStart>,
}

/// The status of a model with servers.
pub fn status(
    before: &ModelDeploymentStatus,
    generation: Option<i64>,
    facts: &Facts<'_>,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let servers = Servers::of(facts);
    let standing = Standing::of(facts, servers);
    let mut conditions = Conditions::new(&before.conditions, generation, now);
    standing.set(&mut conditions, servers);
    let (state, reason, message) = cached(facts);
    conditions.set(types::MODEL_CACHED, state, reason, message);
    let (state, reason, message) = loaded(&standing, servers);
    conditions.set(types::MODEL_LOADED, state, &reason, message);
    let (state, reason, message) = scaled(facts.model, facts.decision, facts.scaled, facts.blind);
    conditions.set(types::SCALED, state, reason, message);
    let model = facts.model;
    let labels: Vec<String> =
        selector(model).iter().map(|(key, value)| format!("{key}={value}")).collect();
    ModelDeploymentStatus {
        observed_generation: generation,
        conditions: conditions.finish(),
        replicas: Some(servers.there),
        ready_replicas: Some(servers.ready),
        desired_replicas: Some(facts.decision.replicas),
        ready_summary: Some(format!("{}/{}", servers.ready, servers.wanted)),
        selector: Some(labels.join(",")),
        url: Some(format!(
            "http://{}.{}.svc:{SERVER_PORT}",
            model.child_name(),
            model.owner.namespace
        )),
        model: match facts.fetch {
            Fetch::Done { fetched, .. } => Some(fetched.model.clone()),
            _ => before.model.clone(),
        },
        load: if servers.ready > 0 {
            facts.load.clone().or_else(|| before.load.clone())
        } else {
            None
        },
        cold_start: last_start(before.cold_start.as_ref(), facts.cold_start.as_ref()),
        failure: failure(
            before,
            facts.trouble.as_ref().filter(|_| standing.progress != Progress::Done),
            now,
        ),
    }
}

/// The status of a model that runs elsewhere: it counts as ready, and its workers find out.
pub fn external(
    before: &ModelDeploymentStatus,
    generation: Option<i64>,
    external: &External,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let mut conditions = Conditions::new(&before.conditions, generation, now);
    let standing = Standing {
        ready: true,
        progress: Progress::Done,
        reason: "External".into(),
        message: format!("{} answers for the model {:?}", external.endpoint, external.model),
    };
    standing.set(&mut conditions, Servers::default());
    ModelDeploymentStatus {
        observed_generation: generation,
        conditions: conditions.finish(),
        url: Some(external.endpoint.clone()),
        model: Some(ModelInfo {
            digest: Some(EXTERNAL.into()),
            numerics: Some(EXTERNAL.into()),
            ..ModelInfo::default()
        }),
        ..ModelDeploymentStatus::default()
    }
}

/// The status of a model whose spec can never work. Servers of the spec before go on, and the fields about them stay.
pub fn invalid(
    before: &ModelDeploymentStatus,
    generation: Option<i64>,
    error: &validate::Error,
    now: Timestamp,
) -> ModelDeploymentStatus {
    let mut conditions = Conditions::new(&before.conditions, generation, now);
    let trouble = Trouble {
        reason: error.reason().into(),
        message: error.to_string(),
        pod: None,
        exit_code: None,
        stalled: true,
    };
    let standing = Standing {
        ready: false,
        progress: Progress::Stalled,
        reason: trouble.reason.clone(),
        message: trouble.message.clone(),
    };
    standing.set(&mut conditions, Servers::default());
    for kept in [types::MODEL_CACHED, types::MODEL_LOADED, types::SCALED] {
        conditions.keep(kept);
    }
    ModelDeploymentStatus {
        observed_generation: generation,
        conditions: conditions.finish(),
        failure: failure(before, Some(&trouble), now),
        ..before.clone()
    }
}

fn cached(facts: &Facts<'_>) -> (State, &'static str, String) {
    match (facts.fetch, &facts.model.source) {
        (Fetch::Done { fetched, .. }, Source::Claim { name, .. }) => (
            State::True,
            "InClaim",
            format!("the claim {name} has the model: {} bytes", fetched.bytes),
        ),
        (Fetch::Done { fetched, .. }, _) => {
            (State::True, "Fetched", format!("the cache has the model: {} bytes", fetched.bytes))
        }
        (Fetch::Failed { failure, .. } | Fetch::Running { failure: Some(failure) }, _) => {
            (State::False, "FetchFailed", failure.message.clone())
        }
        _ => (State::False, "Fetching", "the model is being fetched and looked at".into()),
    }
}

fn loaded(standing: &Standing, servers: Servers) -> (State, String, String) {
    match servers.ready > 0 {
        true => (State::True, "Loaded".into(), "a server has loaded the model".into()),
        false => (State::False, standing.reason.clone(), standing.message.clone()),
    }
}

/// The last start. While a server does not say how long it loaded, what is known of the same start stays.
fn last_start(before: Option<&ColdStart>, now: Option<&ColdStart>) -> Option<ColdStart> {
    let (Some(before), Some(now)) = (before, now) else { return now.or(before).cloned() };
    let load_seconds = now.load_seconds.or(before.load_seconds);
    let completed = ColdStart { load_seconds, ..now.clone() };
    if completed == *before { Some(completed) } else { Some(now.clone()) }
}

/// The first cause: it keeps its pod and time while the reason stays the same, and goes when the trouble is over.
fn failure(
    before: &ModelDeploymentStatus,
    trouble: Option<&Trouble>,
    now: Timestamp,
) -> Option<Failure> {
    let trouble = trouble?;
    if let Some(failure) =
        before.failure.as_ref().filter(|f| f.reason.as_ref() == Some(&trouble.reason))
    {
        return Some(failure.clone());
    }
    Some(Failure {
        reason: Some(trouble.reason.clone()),
        message: Some(trouble.message.clone()),
        pod: trouble.pod.clone(),
        exit_code: trouble.exit_code,
        time: Some(Time(now)),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fetch::FetchFailure;
    use super::super::fixture::{NAME, fetched, in_claim};
    use super::super::scaling::Why;
    use super::*;
    use serde_json::{Value, json};
    use textnlp_crds::conditions::Condition;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).expect("a time")
    }

    fn deployment(status: Value) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": NAME, "generation": 2},
            "spec": {"replicas": 5, "selector": {}, "template": {}},
            "status": status,
        }))
        .expect("a Deployment")
    }

    fn servers(there: i32, updated: i32, ready: i32) -> Deployment {
        deployment(json!({
            "observedGeneration": 2, "replicas": there, "updatedReplicas": updated, "readyReplicas": ready,
        }))
    }

    fn trouble(reason: &str, stalled: bool) -> Trouble {
        Trouble {
            reason: reason.into(),
            message: "why".into(),
            pod: Some("p".into()),
            exit_code: Some(1),
            stalled,
        }
    }

    fn done() -> Fetch {
        Fetch::Done { fetched: Box::new(fetched()), record: false }
    }

    fn of(
        fetch: &Fetch,
        deployment: Option<&Deployment>,
        wanted: i32,
        trouble: Option<Trouble>,
    ) -> ModelDeploymentStatus {
        let facts = Facts {
            model: &in_claim(),
            fetch,
            deployment,
            decision: Decision { replicas: wanted, why: Why::Fixed },
            scaled: Some(&Scaled::Done),
            blind: false,
            trouble,
            load: None,
            cold_start: None,
        };
        status(&ModelDeploymentStatus::default(), Some(3), &facts, at(0))
    }

    fn condition<'a>(status: &'a ModelDeploymentStatus, type_: &str) -> &'a Condition {
        crate::conditions::find(&status.conditions, type_).expect(type_)
    }

    /// `Ready` as `status reason`, and whether it is Reconciling or Stalled, with that reason.
    fn check(status: &ModelDeploymentStatus, ready: &str, progress: &str) {
        let found = |type_: &str| {
            let condition = condition(status, type_);
            format!("{} {}", condition.status, condition.reason)
        };
        assert_eq!(found(types::READY), ready);
        let on = |type_: &str| condition(status, type_).status == "True";
        let stands = match (on(types::RECONCILING), on(types::STALLED)) {
            (false, false) => "current".to_owned(),
            (true, false) => {
                format!("reconciling {}", condition(status, types::RECONCILING).reason)
            }
            (false, true) => format!("stalled {}", condition(status, types::STALLED).reason),
            (true, true) => panic!("both Reconciling and Stalled"),
        };
        assert_eq!(stands, progress, "{ready}");
    }

    #[test]
    fn a_model_on_its_way() {
        check(&of(&Fetch::Missing, None, 1, None), "False Fetching", "reconciling Fetching");
        check(&of(&done(), None, 1, None), "False Starting", "reconciling Starting");
        check(
            &of(&done(), Some(&servers(2, 2, 0)), 2, None),
            "False Starting",
            "reconciling Starting",
        );
        check(
            &of(&done(), Some(&servers(2, 2, 1)), 2, None),
            "True Serving",
            "reconciling ScalingUp",
        );
        check(&of(&done(), Some(&servers(2, 2, 2)), 2, None), "True Serving", "current");
        check(
            &of(&done(), Some(&servers(2, 1, 2)), 2, None),
            "True Serving",
            "reconciling RollingOut",
        );
        check(&of(&done(), Some(&servers(0, 0, 0)), 0, None), "True ScaledToZero", "current");
        let unseen = deployment(
            json!({"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2}),
        );
        check(&of(&done(), Some(&unseen), 2, None), "True Serving", "reconciling ScalingUp");
    }

    #[test]
    fn a_trouble_that_can_be_mended_is_reconciling_with_its_reason() {
        for reason in [
            "Unschedulable",
            "ImagePullFailed",
            "CrashLoop",
            "OutOfMemory",
            "ClaimNotBound",
            "SecretMissing",
            "QuotaExceeded",
        ] {
            let status = of(&done(), Some(&servers(1, 1, 0)), 1, Some(trouble(reason, false)));
            check(&status, &format!("False {reason}"), &format!("reconciling {reason}"));
            let failure = status.failure.expect("a failure");
            assert_eq!(
                (failure.reason.as_deref(), failure.pod.as_deref(), failure.exit_code),
                (Some(reason), Some("p"), Some(1))
            );
        }
        let fetching = Fetch::Running { failure: None };
        let status = of(&fetching, None, 1, Some(trouble("ClaimNotBound", false)));
        check(&status, "False ClaimNotBound", "reconciling ClaimNotBound");
        // Others still answer.
        let status = of(&done(), Some(&servers(2, 2, 1)), 2, Some(trouble("CrashLoop", false)));
        check(&status, "True Serving", "reconciling CrashLoop");
    }

    #[test]
    fn a_trouble_that_cannot_be_mended_is_stalled() {
        let failure = FetchFailure {
            reason: "ModelUnreadable".into(),
            message: "m".into(),
            permanent: true,
            ..Default::default()
        };
        let fetch = Fetch::Failed { failure: failure.clone(), record: false, again: at(9) };
        let status = of(&fetch, None, 1, Some(Trouble::not_fetched(&failure)));
        check(&status, "False ModelUnreadable", "stalled ModelUnreadable");
        assert_eq!(condition(&status, types::MODEL_CACHED).reason, "FetchFailed");
        // While it is tried again, nothing flickers.
        let again = Fetch::Running { failure: Some(failure.clone()) };
        check(
            &of(&again, None, 1, Some(Trouble::not_fetched(&failure))),
            "False ModelUnreadable",
            "stalled ModelUnreadable",
        );
        // Servers of the source before go on.
        let status = of(&fetch, Some(&servers(1, 1, 1)), 1, Some(Trouble::not_fetched(&failure)));
        check(&status, "True Serving", "stalled ModelUnreadable");
        let refused = of(&done(), Some(&servers(1, 1, 1)), 1, Some(trouble("Invalid", true)));
        check(&refused, "True Serving", "stalled Invalid");
    }

    #[test]
    fn a_child_that_is_refused_shows_even_where_all_servers_answer() {
        let refused = || Some(Trouble { pod: None, ..trouble("Forbidden", false) });
        let serving = of(&done(), Some(&servers(1, 1, 1)), 1, refused());
        check(&serving, "True Serving", "reconciling Forbidden");
        let asleep = of(&done(), Some(&servers(0, 0, 0)), 0, refused());
        check(&asleep, "False Forbidden", "reconciling Forbidden");
    }

    #[test]
    fn a_trouble_that_is_over_leaves_no_failure() {
        let status = of(&done(), Some(&servers(1, 1, 1)), 1, Some(trouble("CrashLoop", false)));
        check(&status, "True Serving", "current");
        assert_eq!(status.failure, None);
    }

    #[test]
    fn the_first_cause_keeps_its_pod_and_time() {
        let facts = |reason: &str, pod: &str| {
            let trouble = Trouble { pod: Some(pod.into()), ..trouble(reason, false) };
            of(&done(), Some(&servers(1, 1, 0)), 1, Some(trouble))
        };
        let first = facts("CrashLoop", "a");
        let later = failure(
            &first,
            Some(&Trouble { pod: Some("b".into()), ..trouble("CrashLoop", false) }),
            at(60),
        );
        assert_eq!(later, first.failure);
        let other =
            failure(&first, Some(&trouble("OutOfMemory", false)), at(60)).expect("a failure");
        assert_eq!(other.time, Some(Time(at(60))));
    }

    #[test]
    fn a_server_that_does_not_answer_changes_nothing_about_its_start() {
        let start = |total: f64, load: Option<f64>| ColdStart {
            load_seconds: load,
            total_seconds: Some(total),
            ..ColdStart::default()
        };
        let check =
            |before: Option<ColdStart>, now: Option<ColdStart>, expect: Option<ColdStart>| {
                assert_eq!(last_start(before.as_ref(), now.as_ref()), expect);
            };
        check(Some(start(9.0, Some(3.0))), Some(start(9.0, None)), Some(start(9.0, Some(3.0))));
        check(Some(start(9.0, Some(3.0))), Some(start(5.0, None)), Some(start(5.0, None)));
        check(Some(start(9.0, None)), Some(start(9.0, Some(3.0))), Some(start(9.0, Some(3.0))));
        check(Some(start(9.0, Some(3.0))), None, Some(start(9.0, Some(3.0))));
        check(None, None, None);
    }

    #[test]
    fn numbers_address_and_selector() {
        let status = of(&done(), Some(&servers(3, 3, 2)), 3, None);
        let expect = json!({
            "observedGeneration": 3, "replicas": 3, "readyReplicas": 2, "desiredReplicas": 3, "readySummary": "2/3",
            "selector": "app.kubernetes.io/component=server,textnlp.dev/model-uid=uid-1",
            "url": format!("http://{NAME}.shop.svc:8000"),
            "model": {"architecture": "llama", "digest": "sha256:d1", "numerics": "cpu-1/int8"},
        });
        let mut found = serde_json::to_value(&status).expect("JSON");
        found.as_object_mut().expect("an object").remove("conditions");
        assert_eq!(found, expect);
    }

    #[test]
    fn nothing_changes_when_nothing_changed() {
        let deployment = servers(1, 1, 0);
        let (model, fetch) = (in_claim(), done());
        let facts = || Facts {
            model: &model,
            fetch: &fetch,
            deployment: Some(&deployment),
            decision: Decision { replicas: 1, why: Why::Fixed },
            scaled: Some(&Scaled::Done),
            blind: false,
            trouble: Some(trouble("CrashLoop", false)),
            load: None,
            cold_start: None,
        };
        let first = status(&ModelDeploymentStatus::default(), Some(3), &facts(), at(0));
        assert_eq!(status(&first, Some(3), &facts(), at(60)), first);
    }

    #[test]
    fn an_external_model_is_ready() {
        let server = External {
            endpoint: "https://api.example".into(),
            model: "m".into(),
            ..External::default()
        };
        let status = external(&ModelDeploymentStatus::default(), Some(1), &server, at(0));
        check(&status, "True External", "current");
        assert_eq!(status.url.as_deref(), Some("https://api.example"));
        let model = status.model.expect("a model");
        assert_eq!(
            (model.digest.as_deref(), model.numerics.as_deref()),
            (Some("external"), Some("external"))
        );
    }

    #[test]
    fn a_spec_that_can_never_work_is_stalled() {
        let before = of(&done(), Some(&servers(1, 1, 1)), 1, None);
        let error = validate::Error::LocalOnly { path: "m.gguf".into() };
        let status = invalid(&before, Some(4), &error, at(60));
        check(&status, "False LocalOnly", "stalled LocalOnly");
        assert_eq!((status.observed_generation, status.model), (Some(4), before.model));
    }
}
