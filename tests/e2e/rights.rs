//! The operator and the servers have the rights that they need, and no other. Runs after the other tests: it reads what they made
//! them do.

use std::collections::BTreeSet;

use serde_json::Value;
use textnlp_tests::disturb::{OPERATOR, cluster};
use textnlp_tests::kubectl;

/// `group/resource verb` of every rule that the operator has, or the servers.
fn granted(component: &str) -> BTreeSet<String> {
    let selector =
        format!("app.kubernetes.io/name=textnlp-operator,app.kubernetes.io/component={component}");
    let mut all = BTreeSet::new();
    for kind in ["clusterroles", "roles"] {
        let text = kubectl(&[
            "--namespace",
            OPERATOR,
            "get",
            kind,
            "--selector",
            &selector,
            "--output",
            "json",
        ])
        .expect("the roles");
        let list: Value = serde_json::from_str(&text).expect("JSON");
        for role in list["items"].as_array().into_iter().flatten() {
            // The roles that are added to `view` and `edit` are for people.
            if !role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"].is_null()
                || !role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"]
                    .is_null()
            {
                continue;
            }
            for rule in role["rules"].as_array().into_iter().flatten() {
                for group in texts(&rule["apiGroups"]) {
                    for resource in texts(&rule["resources"]) {
                        for verb in texts(&rule["verbs"]) {
                            all.insert(format!("{group}/{resource} {verb}"));
                        }
                    }
                }
            }
        }
    }
    all
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// `group/resource verb` of every request of some accounts that the API server granted, and of those it refused.
///
/// Refused is what was not granted in the same namespace at another time: an API server that has just started forbids what
/// it has not read the roles for yet.
fn used(accounts: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let log = std::fs::read_to_string(cluster(&["audit"]).trim()).expect("the audit log");
    let (mut granted, mut refused) = (BTreeSet::new(), BTreeSet::new());
    let mut granted_in = BTreeSet::new();
    for line in log.lines().filter(|line| line.contains(accounts)) {
        let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
        let object = &line["objectRef"];
        let text = |key: &str| object[key].as_str().unwrap_or_default().to_owned();
        let mut resource = text("resource");
        if !text("subresource").is_empty() {
            resource = format!("{resource}/{}", text("subresource"));
        }
        let request = |verb: &str| format!("{}/{resource} {verb}", text("apiGroup"));
        let namespace = text("namespace");
        let verb = line["verb"].as_str().unwrap_or_default();
        // Not by the status alone: in a namespace that is being deleted, what the rights allow is forbidden too.
        if line["annotations"]["authorization.k8s.io/decision"] == "forbid" {
            // One test takes a right away.
            if namespace != "e2e-rights" {
                refused.insert((request(verb), namespace));
            }
            continue;
        }
        granted.insert(request(verb));
        granted_in.insert((request(verb), namespace));
        // To apply what is not there yet takes the right to create it, which the API server asks for inside the request.
        if verb == "patch" && line["responseStatus"]["code"] == 201 {
            granted.insert(request("create"));
        }
    }
    (
        granted,
        refused
            .difference(&granted_in)
            .map(|(right, space)| format!("{right} in {space}"))
            .collect(),
    )
}

#[test]
fn every_right_of_the_operator_is_used_and_none_is_missing() {
    // The account that `helm test` makes beside it reads what it may not, too.
    let (used, refused) = used("system:serviceaccount:textnlp-system:textnlp-operator\"");
    assert!(refused.is_empty(), "refused: {refused:#?}");
    // Some are never requested by name: finalizers let an owner reference block the owner's deletion, and who may get a model is
    // shown its servers' metrics, without which no test of scaling passes.
    let by_name = |right: &str| {
        !right.contains("/finalizers ") && right != "textnlp.dev/modeldeployments get"
    };
    let unused: Vec<String> = granted("operator")
        .into_iter()
        .filter(|right| by_name(right) && !used.contains(right))
        .collect();
    assert!(unused.is_empty(), "no test made the operator use: {unused:#?}");
}

#[test]
fn every_right_of_the_servers_is_used() {
    let (used, _) = used("system:serviceaccount:e2e-");
    let granted = granted("server");
    assert_eq!(granted.len(), 2, "{granted:?}");
    let unused: Vec<&String> = granted.difference(&used).collect();
    assert!(unused.is_empty(), "no test made a server use: {unused:#?}");
}
