//! Step 2: whether the job can go on, and with which models. No I/O.

use std::collections::BTreeMap;

use textnlp_crds::ModelDeployment;
use textnlp_crds::conditions::types;
use textnlp_crds::task::{ExternalEndpoint, ModelEndpoint, SERVER_PORT};

use crate::conditions;
use crate::job::observe::{ConfigMapFound, Observed};
use crate::job::reasons;
use crate::names;

/// Digest that stands for a server that is not ours.
const EXTERNAL: &str = "external";

/// What prepare can be begun with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Validated {
    /// The models that the columns call, with the digests that the job pins.
    pub(crate) models: BTreeMap<String, ModelEndpoint>,
}

/// Why a job cannot go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// Whether the spec must change; else it goes on by itself once the obstacle is gone.
    pub(crate) is_final: bool,
    /// One word.
    pub(crate) reason: String,
    /// A sentence.
    pub(crate) message: String,
}

impl Obstacle {
    fn waits(reason: &str, message: impl Into<String>) -> Self {
        Self { is_final: false, reason: reason.into(), message: message.into() }
    }
}

/// Checks what prepare needs; what only `prepare` itself can find is left to it.
pub(crate) fn validate(observed: &Observed) -> Result<Validated, Obstacle> {
    local_only(observed)?;
    source(observed)?;
    claims(observed)?;
    let mut models = BTreeMap::new();
    for (name, model) in &observed.models {
        models.insert(name.clone(), endpoint(observed, name, model.as_deref())?);
    }
    Ok(Validated { models })
}

/// Whether every model answers.
pub(crate) fn readiness(observed: &Observed) -> Result<(), Obstacle> {
    for (name, model) in &observed.models {
        let model = model.as_deref().ok_or_else(|| not_found(observed, name))?;
        let status = model.status.clone().unwrap_or_default();
        let ready = conditions::find(&status.conditions, types::READY);
        let answers =
            model.spec.source.external.is_some() || status.ready_replicas.unwrap_or(0) > 0;
        if ready.is_some_and(|ready| ready.status == "True") && answers {
            continue;
        }
        if let Some(stalled) = stalled(model) {
            return Err(Obstacle::waits(reasons::MODEL_FAILED, format!("model {name}: {stalled}")));
        }
        let why = ready
            .filter(|ready| !ready.message.is_empty())
            .map(|ready| format!(": {}", ready.message));
        let why = why.unwrap_or_default();
        return Err(Obstacle::waits(
            reasons::MODEL_NOT_READY,
            format!("model {name} does not answer yet{why}"),
        ));
    }
    Ok(())
}

fn local_only(observed: &Observed) -> Result<(), Obstacle> {
    let spec = &observed.job.spec;
    let never = |path: &str, instead: &str| Obstacle {
        is_final: true,
        reason: reasons::LOCAL_ONLY.into(),
        message: format!("{path} is for `textnlp run` on one machine; in a cluster use {instead}"),
    };
    if spec.source.file.is_some() {
        return Err(never(
            "spec.source.file",
            "inline, configMap, persistentVolumeClaim or objectStore",
        ));
    }
    if spec.output.destination.as_ref().is_some_and(|place| place.directory.is_some()) {
        return Err(never(
            "spec.output.destination.directory",
            "claim, persistentVolumeClaim or objectStore",
        ));
    }
    Ok(())
}

fn source(observed: &Observed) -> Result<(), Obstacle> {
    let Some(source) = &observed.job.spec.source.config_map else { return Ok(()) };
    match observed.needs.config_map {
        Some(ConfigMapFound::Missing) => Err(Obstacle::waits(
            reasons::CONFIG_MAP_NOT_FOUND,
            format!(
                "spec.source.configMap: there is no ConfigMap {:?} in namespace {:?}",
                source.name, observed.owner.namespace
            ),
        )),
        Some(ConfigMapFound::NoKey) => Err(Obstacle::waits(
            reasons::CONFIG_MAP_KEY_MISSING,
            format!(
                "spec.source.configMap: ConfigMap {:?} has no key {:?}",
                source.name, source.key
            ),
        )),
        Some(ConfigMapFound::Key) | None => Ok(()),
    }
}

fn claims(observed: &Observed) -> Result<(), Obstacle> {
    let spec = &observed.job.spec;
    let missing = |path: &str, name: &str| {
        Obstacle::waits(
            reasons::CLAIM_NOT_FOUND,
            format!(
                "{path}: there is no PersistentVolumeClaim {name:?} in namespace {:?}",
                observed.owner.namespace
            ),
        )
    };
    if let (Some(claim), Some(None)) =
        (&spec.source.persistent_volume_claim, &observed.needs.source_claim)
    {
        return Err(missing("spec.source.persistentVolumeClaim", &claim.claim_name));
    }
    let theirs =
        spec.output.destination.as_ref().and_then(|place| place.persistent_volume_claim.as_ref());
    match (theirs, &observed.needs.output_claim) {
        (Some(claim), Some(None)) => {
            Err(missing("spec.output.destination.persistentVolumeClaim", &claim.claim_name))
        }
        (None, Some(Some(found)))
            if crate::watch::owner_uid(found) != Some(observed.owner.uid()) =>
        {
            let name = found.metadata.name.clone().unwrap_or_default();
            Err(Obstacle::waits(
                reasons::TARGET_IN_USE,
                format!(
                    "PersistentVolumeClaim {name:?} belongs to something else: delete it, or name another destination"
                ),
            ))
        }
        _ => Ok(()),
    }
}

/// Where a model answers, and the digest that the job pins.
pub(crate) fn endpoint(
    observed: &Observed,
    name: &str,
    model: Option<&ModelDeployment>,
) -> Result<ModelEndpoint, Obstacle> {
    let model = model.ok_or_else(|| not_found(observed, name))?;
    let status = model.status.clone().unwrap_or_default();
    if let Some(external) = &model.spec.source.external {
        return Ok(ModelEndpoint {
            url: external.endpoint.clone(),
            digest: EXTERNAL.into(),
            numerics: EXTERNAL.into(),
            reproducible: false,
            // Every server of this kind has a chat endpoint.
            chat: true,
            external: Some(ExternalEndpoint {
                model: external.model.clone(),
                limits: external.limits.clone(),
                has_key: external.secret_ref.is_some(),
            }),
            ..ModelEndpoint::default()
        });
    }
    if let Some(stalled) = stalled(model) {
        return Err(Obstacle::waits(reasons::MODEL_FAILED, format!("model {name}: {stalled}")));
    }
    let info = status.model.clone().unwrap_or_default();
    let (Some(digest), Some(numerics)) = (info.digest, info.numerics) else {
        let cached = conditions::find(&status.conditions, types::MODEL_CACHED);
        let why = cached
            .filter(|cached| !cached.message.is_empty())
            .map(|cached| format!(": {}", cached.message));
        let why = why.unwrap_or_default();
        return Err(Obstacle::waits(
            reasons::MODEL_NOT_CACHED,
            format!("model {name} is not in its cache yet, so its digest is not known{why}"),
        ));
    };
    let uid = model.metadata.uid.clone().unwrap_or_default();
    let host =
        |service: String| format!("{service}.{}.svc:{SERVER_PORT}", observed.owner.namespace);
    Ok(ModelEndpoint {
        url: status.url.unwrap_or_else(|| format!("http://{}", host(names::model(name, &uid)))),
        pods: Some(host(names::model_pods(name, &uid))),
        reproducible: is_reproducible(&numerics),
        digest,
        numerics,
        chat: info.chat_template.unwrap_or(false),
        context_tokens: info.context_tokens,
        tokenizer_digest: info.tokenizer_digest,
        external: None,
    })
}

/// The arithmetic of graphics cards and of other servers may differ from one run to the next.
fn is_reproducible(numerics: &str) -> bool {
    !numerics.starts_with("cuda") && numerics != EXTERNAL
}

fn not_found(observed: &Observed, name: &str) -> Obstacle {
    Obstacle::waits(
        reasons::MODEL_NOT_FOUND,
        format!(
            "there is no ModelDeployment {name:?} in namespace {:?}: create it, or correct modelRef",
            observed.owner.namespace
        ),
    )
}

/// Why a model is stalled, if it is.
fn stalled(model: &ModelDeployment) -> Option<String> {
    let status = model.status.as_ref()?;
    let stalled = conditions::find(&status.conditions, types::STALLED)?;
    (stalled.status == "True").then(|| format!("{}: {}", stalled.reason, stalled.message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::fixture::*;
    use serde_json::{Value, json};
    use std::sync::Arc;

    fn look(fields: Value, model: Option<ModelDeployment>) -> Observed {
        let mut observed = observed(job(fields), Vec::new());
        observed.models.insert("smollm2".into(), model.map(Arc::new));
        observed
    }

    fn check(result: Result<(), Obstacle>, expect: Option<(&str, bool, &str)>) {
        let found = result.err();
        let found = found.as_ref().map(|obstacle| {
            (obstacle.reason.as_str(), obstacle.is_final, obstacle.message.as_str())
        });
        match (found, expect) {
            (Some((reason, is_final, message)), Some((wanted, wanted_final, part))) => {
                assert_eq!((reason, is_final), (wanted, wanted_final), "{message}");
                assert!(message.contains(part), "{message}");
            }
            (found, expect) => {
                assert_eq!(found.is_some(), expect.is_some(), "{found:?} {expect:?}")
            }
        }
    }

    fn valid(observed: &Observed) -> Result<(), Obstacle> {
        validate(observed).map(|_| ())
    }

    #[test]
    fn a_job_waits_for_its_model_and_says_for_what() {
        let wait = |model, expect| check(valid(&look(json!({}), model)), expect);
        wait(Some(model()), None);
        wait(None, Some(("ModelNotFound", false, "\"smollm2\"")));
        wait(Some(model_with(json!({}))), Some(("ModelNotCached", false, "not in its cache")));
        let stalled = json!({"conditions": [{"type": "Stalled", "status": "True", "reason": "InvalidModel",
            "message": "no GGUF", "lastTransitionTime": at(0).to_string()}]});
        wait(Some(model_with(stalled)), Some(("ModelFailed", false, "InvalidModel: no GGUF")));
    }

    #[test]
    fn workers_start_when_the_model_answers() {
        let wait = |model, expect| check(readiness(&look(json!({}), model)), expect);
        wait(Some(model()), None);
        wait(None, Some(("ModelNotFound", false, "smollm2")));
        let zero =
            json!({"readyReplicas": 0, "conditions": conditions(&["Ready=True/ScaledToZero"])});
        wait(Some(model_with(zero)), Some(("ModelNotReady", false, "does not answer")));
    }

    #[test]
    fn an_external_model_has_no_digest_and_is_not_reproducible() {
        let external =
            json!({"endpoint": "https://api.example", "model": "m", "secretRef": {"name": "key"}});
        let mut there = model_with(json!({"conditions": conditions(&["Ready=True/External"])}));
        there.spec =
            serde_json::from_value(json!({"source": {"external": external}})).expect("a spec");
        let observed = look(json!({}), Some(there));
        let endpoint = validate(&observed).expect("valid").models["smollm2"].clone();
        assert_eq!((endpoint.digest.as_str(), endpoint.reproducible), ("external", false));
        assert!(endpoint.external.is_some_and(|external| external.has_key));
        check(readiness(&observed), None);
    }

    #[test]
    fn what_is_for_a_laptop_is_refused_for_good() {
        let refuse = |fields, part| {
            check(valid(&look(fields, Some(model()))), Some(("LocalOnly", true, part)))
        };
        refuse(json!({"source": {"inline": null, "file": {"path": "a.csv"}}}), "spec.source.file");
        refuse(
            json!({"output": {"destination": {"directory": {"path": "out"}}}}),
            "spec.output.destination.directory",
        );
    }

    #[test]
    fn a_config_map_and_claims_are_waited_for() {
        let mut map = look(
            json!({"source": {"inline": null, "configMap": {"name": "p", "key": "p.csv"}}}),
            Some(model()),
        );
        for (found, expect) in [
            (ConfigMapFound::Missing, Some(("ConfigMapNotFound", false, "\"p\""))),
            (ConfigMapFound::NoKey, Some(("ConfigMapKeyMissing", false, "\"p.csv\""))),
            (ConfigMapFound::Key, None),
        ] {
            map.needs.config_map = Some(found);
            check(valid(&map), expect);
        }
        let theirs =
            json!({"output": {"destination": {"persistentVolumeClaim": {"claimName": "data"}}}});
        let mut claim = look(theirs, Some(model()));
        claim.needs.output_claim = Some(None);
        check(valid(&claim), Some(("ClaimNotFound", false, "\"data\"")));
        let mut foreign = look(json!({}), Some(model()));
        foreign.needs.output_claim = Some(Some(Default::default()));
        check(valid(&foreign), Some(("TargetInUse", false, "belongs to something else")));
    }
}
