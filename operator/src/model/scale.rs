//! The replicas of the Deployment: a field manager of their own, and no force. Somebody else who writes them (a person, an
//! autoscaler) keeps them, and the condition `Scaled` says who. I/O: writes.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;

use crate::apply::call;
use crate::context::Context;
use crate::error::Error;
use crate::meta::FIELD_MANAGER;

/// The field manager of replicas.
pub const SCALER: &str = "textnlp-operator-scaler";

/// What became of the replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scaled {
    /// They are as wanted, and the scaler's.
    Done,
    /// Somebody else's.
    OwnedBy(String),
}

/// Makes the Deployment have `replicas`. Writes nothing when it has, or when they are somebody else's.
pub async fn scale(
    context: &Context,
    deployment: &Deployment,
    replicas: i32,
) -> Result<Scaled, Error> {
    let found = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let owners = owners(deployment);
    let ours = owners.iter().any(|owner| owner == SCALER);
    if found == Some(replicas) && ours {
        return Ok(Scaled::Done);
    }
    if found != Some(replicas)
        && let Some(other) = owners.into_iter().find(|owner| owner != SCALER)
    {
        return Ok(Scaled::OwnedBy(other));
    }
    match write(context, deployment, replicas).await {
        Ok(()) => Ok(Scaled::Done),
        // Somebody was faster: the next look at the Deployment says who.
        Err(error) if error.is_conflict() => Ok(Scaled::OwnedBy("another field manager".into())),
        Err(error) => Err(error),
    }
}

/// Takes the replicas over from the manager of everything else, which wrote them once so that a new Deployment does not
/// begin with the API server's default of one.
pub async fn take_over(context: &Context, deployment: &Deployment) -> Result<(), Error> {
    let found = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    write(context, deployment, found).await
}

/// Whether the replicas still are the manager's of everything else.
pub fn is_to_be_taken_over(deployment: &Deployment) -> bool {
    let owners = owners(deployment);
    owners.iter().any(|owner| owner == FIELD_MANAGER) && !owners.iter().any(|owner| owner == SCALER)
}

async fn write(context: &Context, deployment: &Deployment, replicas: i32) -> Result<(), Error> {
    let namespace = deployment.namespace().ok_or(Error::Incomplete("namespace"))?;
    let name = deployment.name_any();
    let body = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "uid": deployment.uid()},
        "spec": {"replicas": replicas},
    });
    let api = Api::<Deployment>::namespaced(context.client().clone(), &namespace);
    let params = PatchParams::apply(SCALER);
    let what = || format!("scale Deployment {namespace}/{name}");
    call(what, api.patch(&name, &params, &Patch::Apply(&body))).await.map(|_| ())
}

/// The managers of `spec.replicas`.
fn owners(deployment: &Deployment) -> Vec<String> {
    let managed = deployment.metadata.managed_fields.iter().flatten();
    let owning = managed.filter(|entry| {
        let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.get("f:spec"));
        fields.is_some_and(|spec| spec.get("f:replicas").is_some())
    });
    owning.filter_map(|entry| entry.manager.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn check(managed: Value, expect: &[&str], to_be_taken_over: bool) {
        let deployment: Deployment =
            serde_json::from_value(json!({"metadata": {"name": "d", "managedFields": managed}}))
                .expect("a Deployment");
        assert_eq!(owners(&deployment), expect);
        assert_eq!(is_to_be_taken_over(&deployment), to_be_taken_over, "{managed}");
    }

    fn entry(manager: &str, fields: Value) -> Value {
        json!({"manager": manager, "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    #[test]
    fn the_owner_of_the_replicas_is_read_from_the_managed_fields() {
        let replicas = json!({"f:spec": {"f:replicas": {}}});
        let template = json!({"f:spec": {"f:template": {}}});
        check(json!([]), &[], false);
        check(
            json!([entry(FIELD_MANAGER, template.clone()), entry(SCALER, replicas.clone())]),
            &[SCALER],
            false,
        );
        check(json!([entry(FIELD_MANAGER, replicas.clone())]), &[FIELD_MANAGER], true);
        check(
            json!([entry(FIELD_MANAGER, replicas.clone()), entry(SCALER, replicas.clone())]),
            &[FIELD_MANAGER, SCALER],
            false,
        );
        check(
            json!([entry("kubectl", replicas), entry(FIELD_MANAGER, template)]),
            &["kubectl"],
            false,
        );
    }
}
