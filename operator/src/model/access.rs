//! What the servers' pods need to know their callers, and to whom they may talk for it. Pure.

use k8s_openapi::api::core::v1::{
    ConfigMapProjection, DownwardAPIProjection, DownwardAPIVolumeFile, KeyToPath,
    ObjectFieldSelector, ProjectedVolumeSource, SecretVolumeSource, ServiceAccountTokenProjection,
    Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;
use textnlp_crds::task::{ACCOUNT_MOUNT, KEYS_MOUNT};

use super::place::mount;
use super::validate::Validated;
use crate::access::{Access, HTTPS};
use crate::egress;
use crate::pod_template::{READ_ONLY, TOKEN_SECONDS};

/// Name of the volume with the account's token.
const ACCOUNT: &str = "account";
/// Name of the volume with the API keys.
const KEYS: &str = "keys";
/// The ConfigMap that each namespace has, with the CA of the API server.
const ROOT_CA: &str = "kube-root-ca.crt";

/// The flags of `textnlp serve`.
pub(super) fn flags(model: &Validated, access: &Access) -> Vec<String> {
    let owner = &model.owner;
    let mut flags = vec![
        "--kubernetes-access".to_owned(),
        format!("{}/{}", owner.namespace, owner.name()),
        "--kubernetes-audience".to_owned(),
        access.audience.clone(),
    ];
    if let Some(keys) = &access.keys {
        flags.extend(["--keys".to_owned(), format!("{KEYS_MOUNT}/{}", keys.key)]);
    }
    if let Some(oidc) = &access.oidc {
        flags.extend(["--oidc-issuer".to_owned(), oidc.issuer.clone()]);
        flags.extend(["--oidc-audience".to_owned(), oidc.audience.clone()]);
        if !oidc.algorithms.is_empty() {
            flags.extend(["--oidc-algorithms".to_owned(), oidc.algorithms.join(",")]);
        }
    }
    flags
}

/// The account's token, which asks the API server about callers, and the API keys.
pub(super) fn volumes(access: &Access) -> Vec<Volume> {
    let keys = access.keys.as_ref().map(|keys| Volume {
        name: KEYS.into(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(keys.secret.clone()),
            items: Some(vec![key_to_path(&keys.key)]),
            default_mode: Some(READ_ONLY),
            // Not every namespace gives out keys; a Secret that is made later is mounted then.
            optional: Some(true),
        }),
        ..Volume::default()
    });
    [account()].into_iter().chain(keys).collect()
}

/// Where they are mounted.
pub(super) fn mounts(access: &Access) -> Vec<VolumeMount> {
    let keys = access.keys.as_ref().map(|_| mount(KEYS, KEYS_MOUNT, true));
    [mount(ACCOUNT, ACCOUNT_MOUNT, true)].into_iter().chain(keys).collect()
}

/// What Kubernetes itself mounts into pods that ask for their account's token.
fn account() -> Volume {
    let token = VolumeProjection {
        service_account_token: Some(ServiceAccountTokenProjection {
            audience: None,
            expiration_seconds: Some(TOKEN_SECONDS),
            path: "token".into(),
        }),
        ..VolumeProjection::default()
    };
    let ca = VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: ROOT_CA.into(),
            items: Some(vec![key_to_path("ca.crt")]),
            optional: None,
        }),
        ..VolumeProjection::default()
    };
    let namespace = DownwardAPIVolumeFile {
        path: "namespace".into(),
        field_ref: Some(ObjectFieldSelector {
            api_version: Some("v1".into()),
            field_path: "metadata.namespace".into(),
        }),
        ..DownwardAPIVolumeFile::default()
    };
    let namespace = VolumeProjection {
        downward_api: Some(DownwardAPIProjection { items: Some(vec![namespace]) }),
        ..VolumeProjection::default()
    };
    Volume {
        name: ACCOUNT.into(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(READ_ONLY),
            sources: Some(vec![token, ca, namespace]),
        }),
        ..Volume::default()
    }
}

fn key_to_path(key: &str) -> KeyToPath {
    KeyToPath { key: key.into(), path: key.into(), mode: None }
}

/// To whom the servers talk: the API server, and the issuer and whoever has its keys, by name.
pub(super) fn egress(access: &Access) -> Vec<NetworkPolicyEgressRule> {
    let api = &access.api_server;
    let mut rules = vec![NetworkPolicyEgressRule {
        ports: Some(api.ports.iter().map(|number| egress::port("TCP", *number)).collect()),
        to: (!api.to.is_empty()).then(|| api.to.clone()),
    }];
    if let Some(oidc) = &access.oidc {
        // Its keys may lie elsewhere, where the usual port is all that is known.
        let own = Some(oidc.port).filter(|port| *port != HTTPS);
        rules.push(egress::by_name([HTTPS].into_iter().chain(own)));
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{config_with, fetched, in_claim};
    use super::super::{network, server};
    use serde_json::{Value, json};

    const KUBERNETES: &str = "--kubernetes-access=true";
    const KEYS: &str = "--keys-secret=textnlp-keys";
    const OIDC: [&str; 3] = [
        "--oidc-issuer=https://id.example:8443",
        "--oidc-audience=models",
        "--oidc-algorithms=RS256,ES256",
    ];

    /// The pod and the policy of a server under these settings.
    fn built(flags: &[&str]) -> (Value, Value) {
        let config = config_with(flags);
        let deployment = server::deployment(&in_claim(), &fetched(), &config);
        let policy = network::network_policy(
            &in_claim(),
            None,
            config.access.as_ref(),
            config.traces.as_ref(),
        );
        let value = |object| serde_json::to_value(object).expect("JSON");
        let deployment = value(serde_json::to_value(deployment).expect("JSON"));
        let policy = value(serde_json::to_value(policy).expect("JSON"));
        (deployment["spec"]["template"]["spec"].clone(), policy["spec"].clone())
    }

    fn flags_from<'a>(pod: &'a Value, first: &str) -> Vec<&'a str> {
        let args = pod["containers"][0]["args"].as_array().expect("arguments");
        let args = args.iter().filter_map(Value::as_str);
        args.skip_while(|arg| *arg != first).collect()
    }

    #[test]
    fn a_server_asks_the_api_server_about_its_callers_and_reaches_nobody_else() {
        let (pod, policy) = built(&[KUBERNETES]);
        let flags = ["--kubernetes-access", "shop/smollm2", "--kubernetes-audience", "textnlp.dev"];
        assert_eq!(flags_from(&pod, flags[0]), flags);
        // The kubelet's own mount stays off: a namespace may forbid it by policy.
        assert_eq!(pod["automountServiceAccountToken"], false);
        let account = json!({"name": "account", "projected": {"defaultMode": 0o440, "sources": [
            {"serviceAccountToken": {"expirationSeconds": 3600, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ]}});
        assert_eq!(pod["volumes"][1], account);
        assert_eq!(pod["volumes"].as_array().map(Vec::len), Some(3), "models, account, tmp");
        let mounted = json!({
            "name": "account", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true,
        });
        assert_eq!(pod["containers"][0]["volumeMounts"][1], mounted);
        let ports = json!([{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]);
        assert_eq!(policy["egress"], json!([{"ports": ports}]));
        assert_eq!(policy["ingress"][0]["from"], json!([{"namespaceSelector": {}}]));
    }

    #[test]
    fn keys_are_mounted_where_the_namespace_has_them() {
        let (pod, _) = built(&[KUBERNETES, KEYS]);
        assert_eq!(flags_from(&pod, "--keys"), ["--keys", "/etc/textnlp/secrets/keys/keys.yaml"]);
        let keys = json!({"name": "keys", "secret": {
            "secretName": "textnlp-keys", "optional": true, "defaultMode": 0o440,
            "items": [{"key": "keys.yaml", "path": "keys.yaml"}],
        }});
        assert_eq!(pod["volumes"][2], keys);
        let mounted =
            json!({"name": "keys", "mountPath": "/etc/textnlp/secrets/keys", "readOnly": true});
        assert_eq!(pod["containers"][0]["volumeMounts"][2], mounted);
    }

    #[test]
    fn an_issuer_is_reached_by_name() {
        let api = r#"--api-server={"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": [8443]}"#;
        let (pod, policy) = built(&[&[KUBERNETES, api], &OIDC[..]].concat());
        let expect = [
            "--oidc-issuer",
            "https://id.example:8443",
            "--oidc-audience",
            "models",
            "--oidc-algorithms",
            "RS256,ES256",
        ];
        assert_eq!(flags_from(&pod, expect[0]), expect);
        let port = |protocol: &str, number: u16| json!({"port": number, "protocol": protocol});
        let issuer = json!([port("UDP", 53), port("TCP", 53), port("TCP", 443), port("TCP", 8443)]);
        let expect = json!([
            {"ports": [port("TCP", 8443)], "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]},
            {"ports": issuer},
        ]);
        assert_eq!(policy["egress"], expect);
    }

    #[test]
    fn every_change_of_the_settings_is_another_pod() {
        let all = [
            built(&[]).0,
            built(&[KUBERNETES]).0,
            built(&[KUBERNETES, "--kubernetes-audience=other"]).0,
            built(&[KUBERNETES, KEYS]).0,
            built(&[&[KUBERNETES], &OIDC[..]].concat()).0,
        ];
        for (index, pod) in all.iter().enumerate() {
            assert!(!all[..index].contains(pod), "{pod}");
        }
    }
}
