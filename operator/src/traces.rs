//! Settings: where traces go. The operator's own, in OpenTelemetry's variables, are those of all pods that it starts. No I/O.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector, SecretKeySelector};
use k8s_openapi::api::networking::v1::NetworkPolicyEgressRule;

use crate::egress;

/// Where spans are sent: the first that is set counts.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// What else pods are told as the operator was.
const OTHERS: [&str; 8] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_TRACES_EXPORTER",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_SDK_DISABLED",
    "TEXTNLP_TRACE_ROWS",
];
/// `name/key` of the Secret with the collector's credentials, in the namespace of each pod.
const HEADERS_SECRET: &str = "TEXTNLP_TRACE_HEADERS_SECRET";
/// Where the credentials are.
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
/// Not `POD_NAME`: users call theirs so.
const POD_NAME: &str = "TEXTNLP_POD_NAME";

/// How the pods send their spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traces {
    variables: Vec<(&'static str, String)>,
    headers: Option<(String, String)>,
    /// Of the collector.
    port: u16,
}

/// A setting that cannot be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No address.
    #[error("{0} is {1:?}: use an address such as http://collector:4318")]
    Endpoint(&'static str, String),
    /// Not a Secret's key.
    #[error("{HEADERS_SECRET} is {0:?}: use the name of a Secret and a key in it, as name/key")]
    Headers(String),
}

impl Traces {
    /// What the operator's environment says; none while traces are off.
    ///
    /// # Errors
    /// A value that the pods could do nothing with.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Error> {
        let get = |name: &'static str| {
            let value = variable(name)?.trim().to_owned();
            (!value.is_empty()).then_some((name, value))
        };
        let Some((name, endpoint)) = ENDPOINTS.into_iter().find_map(get) else { return Ok(None) };
        let (_, port) = egress::port_of(&endpoint).ok_or(Error::Endpoint(name, endpoint))?;
        let headers = get(HEADERS_SECRET).map(|(_, found)| match found.split_once('/') {
            Some((secret, key)) if !secret.is_empty() && !key.is_empty() => {
                Ok((secret.to_owned(), key.to_owned()))
            }
            _ => Err(Error::Headers(found.clone())),
        });
        let variables = ENDPOINTS.into_iter().chain(OTHERS).filter_map(get).collect();
        Ok(Some(Self { variables, headers: headers.transpose()?, port }))
    }

    /// The environment of a pod in this namespace. It comes before what the user wants of the pod.
    pub(crate) fn environment(&self, namespace: &str) -> Vec<EnvVar> {
        let plain = |name: &str, value: String| EnvVar {
            name: name.into(),
            value: Some(value),
            value_from: None,
        };
        let from = |name: &str, source| EnvVar {
            name: name.into(),
            value: None,
            value_from: Some(source),
        };
        let pod = ObjectFieldSelector {
            api_version: Some("v1".into()),
            field_path: "metadata.name".into(),
        };
        let mut all = vec![
            from(POD_NAME, EnvVarSource { field_ref: Some(pod), ..EnvVarSource::default() }),
            plain(
                "OTEL_RESOURCE_ATTRIBUTES",
                format!("k8s.namespace.name={namespace},k8s.pod.name=$({POD_NAME})"),
            ),
        ];
        all.extend(self.variables.iter().map(|(name, value)| plain(name, value.clone())));
        all.extend(self.headers.iter().map(|(secret, key)| {
            let key = SecretKeySelector {
                name: secret.clone(),
                key: key.clone(),
                // A namespace without it is not traced; its pods run all the same.
                optional: Some(true),
            };
            from(HEADERS, EnvVarSource { secret_key_ref: Some(key), ..EnvVarSource::default() })
        }));
        all
    }

    /// The way to the collector, by name or address.
    pub(crate) fn egress(&self) -> NetworkPolicyEgressRule {
        egress::by_name([self.port])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn traces(variables: &[(&str, &str)]) -> Result<Option<Traces>, Error> {
        Traces::of(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.obs:4318");

    #[test]
    fn pods_send_their_spans_where_the_operator_does() {
        let traces = traces(&[
            ENDPOINT,
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.1"),
            ("TEXTNLP_TRACE_ROWS", "50"),
            ("TEXTNLP_TRACE_HEADERS_SECRET", "otlp/headers"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret"),
        ]);
        let traces = traces.expect("valid").expect("on");
        let environment = serde_json::to_value(traces.environment("shop")).expect("JSON");
        let expect = json!([
            {"name": "TEXTNLP_POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
            {"name": "OTEL_RESOURCE_ATTRIBUTES", "value": "k8s.namespace.name=shop,k8s.pod.name=$(TEXTNLP_POD_NAME)"},
            {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector.obs:4318"},
            {"name": "OTEL_TRACES_SAMPLER", "value": "parentbased_traceidratio"},
            {"name": "OTEL_TRACES_SAMPLER_ARG", "value": "0.1"},
            {"name": "TEXTNLP_TRACE_ROWS", "value": "50"},
            {
                "name": "OTEL_EXPORTER_OTLP_HEADERS",
                "valueFrom": {"secretKeyRef": {"name": "otlp", "key": "headers", "optional": true}},
            },
        ]);
        assert_eq!(environment, expect, "and never the operator's own credentials");
        let egress = serde_json::to_value(traces.egress()).expect("JSON");
        assert_eq!(egress["ports"][2], json!({"port": 4318, "protocol": "TCP"}));
    }

    #[test]
    fn without_an_endpoint_nothing_is_told_and_a_wrong_one_is_refused() {
        assert_eq!(traces(&[("OTEL_TRACES_SAMPLER", "always_on")]), Ok(None));
        assert_eq!(traces(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]), Ok(None));
        for wrong in ["collector:4318", "grpc://collector:4317", "http://"] {
            let found = traces(&[("OTEL_EXPORTER_OTLP_ENDPOINT", wrong)]);
            assert!(matches!(found, Err(Error::Endpoint(..))), "{wrong}: {found:?}");
        }
        let found = traces(&[ENDPOINT, ("TEXTNLP_TRACE_HEADERS_SECRET", "otlp")]);
        assert_eq!(found, Err(Error::Headers("otlp".into())));
    }
}
