//! How requests reach the servers, and what may disturb them: Services, NetworkPolicy, PodDisruptionBudget, ServiceAccount.
//! Pure builders.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServiceAccount, ServicePort, ServiceSpec};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicySpec,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use textnlp_crds::task::{SERVER_PORT, labels};

use super::access::egress;
use super::validate::Validated;
use crate::access::Access;
use crate::egress::port;
use crate::names;
use crate::traces::Traces;

/// Component of everything that belongs to the servers.
pub const SERVER: &str = "server";
/// The label that each namespace has: its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Name of the servers' port.
pub const PORT_NAME: &str = "http";

/// The labels that select the servers' pods, and nothing else.
pub fn selector(model: &Validated) -> BTreeMap<String, String> {
    BTreeMap::from([
        (labels::COMPONENT.into(), SERVER.into()),
        (labels::MODEL_UID.into(), model.owner.uid().into()),
    ])
}

/// The address that spreads requests over the ready servers.
pub fn service(model: &Validated) -> Service {
    Service {
        metadata: model.owner.object_meta(&model.child_name(), SERVER),
        spec: Some(ServiceSpec { type_: Some("ClusterIP".into()), ..service_spec(model) }),
        status: None,
    }
}

/// The name whose addresses are the ready servers themselves: workers choose among them.
pub fn headless_service(model: &Validated) -> Service {
    let name = names::model_pods(model.owner.name(), model.owner.uid());
    Service {
        metadata: model.owner.object_meta(&name, SERVER),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".into()),
            publish_not_ready_addresses: Some(false),
            ..service_spec(model)
        }),
        status: None,
    }
}

fn service_spec(model: &Validated) -> ServiceSpec {
    ServiceSpec {
        selector: Some(selector(model)),
        ports: Some(vec![ServicePort {
            name: Some(PORT_NAME.into()),
            port: SERVER_PORT.into(),
            target_port: Some(IntOrString::String(PORT_NAME.into())),
            protocol: Some("TCP".into()),
            app_protocol: Some("http".into()),
            ..ServicePort::default()
        }]),
        ..ServiceSpec::default()
    }
}

/// Requests come from pods of the model's namespace, and from the operator's, which reads the metrics; servers call nobody
/// but the collector of traces, if there is one. Servers that know their callers let any pod of the cluster ask.
pub fn network_policy(
    model: &Validated,
    operator_namespace: Option<&str>,
    access: Option<&Access>,
    traces: Option<&Traces>,
) -> NetworkPolicy {
    let from = match access {
        Some(_) => vec![all_pods()],
        None => those_nearby(operator_namespace),
    };
    let egress: Vec<_> =
        access.map(egress).into_iter().flatten().chain(traces.map(Traces::egress)).collect();
    NetworkPolicy {
        metadata: model.owner.object_meta(&model.child_name(), SERVER),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(label_selector(selector(model))),
            policy_types: Some(vec!["Ingress".into(), "Egress".into()]),
            ingress: Some(vec![NetworkPolicyIngressRule {
                from: Some(from),
                ports: Some(vec![port("TCP", SERVER_PORT)]),
            }]),
            egress: Some(egress).filter(|rules| !rules.is_empty()),
        }),
    }
}

fn all_pods() -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    }
}

fn those_nearby(operator_namespace: Option<&str>) -> Vec<NetworkPolicyPeer> {
    let neighbours = NetworkPolicyPeer {
        pod_selector: Some(LabelSelector::default()),
        ..NetworkPolicyPeer::default()
    };
    let operator = operator_namespace.map(|namespace| NetworkPolicyPeer {
        namespace_selector: Some(label_selector(
            [(NAMESPACE_NAME.into(), namespace.into())].into(),
        )),
        ..NetworkPolicyPeer::default()
    });
    [neighbours].into_iter().chain(operator).collect()
}

/// A drain of nodes takes one server at a time, and those that do not answer at any time.
pub fn disruption_budget(model: &Validated) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: model.owner.object_meta(&model.child_name(), SERVER),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(label_selector(selector(model))),
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".into()),
            ..PodDisruptionBudgetSpec::default()
        }),
        status: None,
    }
}

/// The account of servers and fetch pods: it may do nothing at the API server but ask about callers, where servers know them. None
/// where the user names one of their own.
pub fn service_account(model: &Validated) -> Option<ServiceAccount> {
    let own = model.spec.pod.as_ref().and_then(|pod| pod.service_account_name.as_ref());
    own.is_none().then(|| ServiceAccount {
        metadata: model.owner.object_meta(&model.child_name(), SERVER),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    })
}

/// A selector of labels.
pub fn label_selector(match_labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(match_labels), match_expressions: None }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{NAME, in_claim, metadata, model};
    use super::*;
    use serde_json::{Value, json};

    fn check(object: impl serde::Serialize, expect: Value) {
        assert_eq!(serde_json::to_value(object).expect("JSON"), expect);
    }

    fn selected() -> Value {
        json!({"app.kubernetes.io/component": "server", "textnlp.dev/model-uid": "uid-1"})
    }

    #[test]
    fn the_services_select_the_servers_and_only_them() {
        let ports = json!([{"name": "http", "port": 8000, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"}]);
        check(
            service(&in_claim()),
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata(NAME, "server"),
                "spec": {"type": "ClusterIP", "selector": selected(), "ports": ports.clone()},
            }),
        );
        check(
            headless_service(&in_claim()),
            json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata(&format!("{NAME}-pods"), "server"),
                "spec": {
                    "clusterIP": "None",
                    "publishNotReadyAddresses": false,
                    "selector": selected(),
                    "ports": ports,
                },
            }),
        );
    }

    #[test]
    fn only_neighbours_and_the_operator_reach_the_servers_and_they_reach_nobody() {
        check(
            network_policy(&in_claim(), Some("textnlp-system"), None, None),
            json!({
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": metadata(NAME, "server"),
                "spec": {
                    "podSelector": {"matchLabels": selected()},
                    "policyTypes": ["Ingress", "Egress"],
                    "ingress": [{
                        "from": [
                            {"podSelector": {}},
                            {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "textnlp-system"}}},
                        ],
                        "ports": [{"port": 8000, "protocol": "TCP"}],
                    }],
                },
            }),
        );
        let alone =
            network_policy(&in_claim(), None, None, None).spec.and_then(|spec| spec.ingress);
        check(
            alone,
            json!([{"from": [{"podSelector": {}}], "ports": [{"port": 8000, "protocol": "TCP"}]}]),
        );
    }

    #[test]
    fn a_drain_takes_one_server_at_a_time() {
        check(
            disruption_budget(&in_claim()),
            json!({
                "apiVersion": "policy/v1",
                "kind": "PodDisruptionBudget",
                "metadata": metadata(NAME, "server"),
                "spec": {
                    "maxUnavailable": 1,
                    "selector": {"matchLabels": selected()},
                    "unhealthyPodEvictionPolicy": "AlwaysAllow",
                },
            }),
        );
    }

    #[test]
    fn the_account_has_no_token_and_gives_way_to_the_user_s_own() {
        check(
            service_account(&in_claim()),
            json!({
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": metadata(NAME, "server"),
                "automountServiceAccountToken": false,
            }),
        );
        let own = json!({"source": {"huggingFace": {"repo": "a/b"}}, "pod": {"serviceAccountName": "reader"}});
        assert_eq!(service_account(&model(own)), None);
    }
}
