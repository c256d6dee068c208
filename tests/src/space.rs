//! A namespace for one test, with the restricted pod security standard, and the model's file in a claim.

use serde_json::{Value, json};

use crate::command::{Answer, kubectl, run_with_input};
use crate::local::{local_report, model_file};
use crate::wait::{eventually, eventually_or};
use crate::{Job, Model};

/// What tokens for our servers are for: the chart's `servers.access.kubernetes.audience`.
pub const AUDIENCE: &str = "textnlp.dev";

/// A namespace of a test. It is deleted at the end, also when the test fails (what it looked like is printed then).
#[derive(Debug)]
pub struct Space {
    name: String,
}

impl Space {
    /// Makes a namespace with the claim `models`, which holds the example's model.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        let space = Self::empty(name);
        let directory = model_file().parent().map(|p| p.display().to_string()).unwrap_or_default();
        space.volume("models", &directory, "ReadOnlyMany");
        space
    }

    /// Makes a namespace without any claim.
    #[track_caller]
    pub fn empty(name: &str) -> Self {
        let space = Self { name: format!("e2e-{name}") };
        let namespace = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": space.name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
        });
        run_with_input("kubectl", &["create", "-f", "-"], &namespace.to_string())
            .expect("the namespace");
        space
    }

    /// Name of the namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A claim over a directory of this machine, which all nodes see.
    #[track_caller]
    pub fn volume(&self, claim: &str, directory: &str, mode: &str) {
        let volume = format!("{}-{claim}", self.name);
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
                "spec": {
                    "capacity": {"storage": "10Gi"}, "accessModes": [mode], "storageClassName": "",
                    "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": directory, "type": "Directory"},
                    "claimRef": {"namespace": self.name, "name": claim}
                }
            },
            {
                "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim, "namespace": self.name},
                "spec": {
                    "accessModes": [mode], "storageClassName": "", "volumeName": volume,
                    "resources": {"requests": {"storage": "10Gi"}}
                }
            }
        ]});
        run_with_input("kubectl", &["apply", "-f", "-"], &list.to_string()).expect("the volume");
    }

    /// Runs `kubectl` in this namespace.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> Answer {
        let mut all = vec!["--namespace", &self.name];
        all.extend(arguments);
        kubectl(&all)
    }

    /// `kubectl VERB -f -` with an object.
    #[track_caller]
    pub fn kubectl_with(&self, verb: &str, object: &Value) -> Answer {
        let arguments = ["--namespace", &self.name, verb, "-f", "-"];
        run_with_input("kubectl", &arguments, &object.to_string())
    }

    /// `kubectl apply`, whatever comes of it.
    #[track_caller]
    pub fn try_apply(&self, object: &Value) -> Answer {
        self.kubectl_with("apply", object)
    }

    /// `kubectl apply` that must succeed.
    #[track_caller]
    pub fn apply(&self, object: &Value) {
        self.try_apply(object).expect("kubectl apply");
    }

    /// Applies the model and the job.
    #[track_caller]
    pub fn start(&self, model: &Model, job: &Job) {
        self.apply(&model.0);
        self.apply(&job.0);
    }

    /// Merges a patch into an object.
    #[track_caller]
    pub fn patch(&self, object: &str, patch: Value) {
        self.kubectl(&["patch", object, "--type", "merge", "--patch", &patch.to_string()])
            .expect("kubectl patch");
    }

    /// An object, such as `gj/tickets`; null where it is not there or the API server does not answer.
    pub fn get(&self, object: &str) -> Value {
        let answer = self.kubectl(&["get", object, "--output", "json"]);
        serde_json::from_str(&answer.stdout).unwrap_or(Value::Null)
    }

    /// All objects of a kind that a label selector finds.
    pub fn list(&self, kind: &str, selector: &str) -> Vec<Value> {
        let answer = self.kubectl(&["get", kind, "--selector", selector, "--output", "json"]);
        let list: Value = serde_json::from_str(&answer.stdout).unwrap_or_default();
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// A token of an account of this namespace, for an audience (without one, for the API server), as a user gets it.
    #[track_caller]
    pub fn token(&self, account: &str, audience: Option<&str>) -> String {
        let audience = audience.map(|audience| format!("--audience={audience}"));
        let arguments = ["create", "token", account].into_iter().chain(audience.as_deref());
        let arguments: Vec<&str> = arguments.collect();
        // The account is made a moment after its namespace.
        eventually("a token", || {
            let answer = self.kubectl(&arguments);
            if answer.ok() { Ok(answer.stdout.trim().to_owned()) } else { Err(answer.stderr) }
        })
    }

    /// Address and port of a model's Service.
    pub fn address(&self, model: &str) -> String {
        let model = self.get(&format!("mdl/{model}"));
        let url = model["status"]["url"].as_str().unwrap_or_default();
        let host = url.trim_start_matches("http://").split('.').next().unwrap_or_default();
        let service = self.get(&format!("service/{host}"));
        format!("{}:8000", service["spec"]["clusterIP"].as_str().unwrap_or_default())
    }

    /// Names of the pods of one component that run.
    pub fn running(&self, component: &str) -> Vec<String> {
        self.list("pods", &format!("app.kubernetes.io/component={component}"))
            .iter()
            .filter(|pod| {
                pod["status"]["phase"] == "Running"
                    && pod["metadata"]["deletionTimestamp"].is_null()
            })
            .filter_map(|pod| pod["metadata"]["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Waits until a test of an object holds, and returns the object.
    #[track_caller]
    pub fn until(&self, object: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        eventually_or(
            &format!("{object} in {}: {what}", self.name),
            || Some(self.get(object)).filter(&holds),
            || self.picture(),
        )
    }

    /// Waits until a condition has a status and a reason (any, where it is empty), and returns its message.
    #[track_caller]
    pub fn until_condition(&self, object: &str, kind: &str, status: &str, reason: &str) -> String {
        let is = |c: &Value| c["status"] == status && (reason.is_empty() || c["reason"] == reason);
        let found =
            self.until(object, &format!("{kind}={status} {reason}"), |o| is(&condition(o, kind)));
        condition(&found, kind)["message"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a job has finished some rows but not all, so that there is something to disturb.
    #[track_caller]
    pub fn until_half_done(&self, job: &Job) {
        self.until(&format!("gj/{}", job.name()), "some rows are finished", |o| {
            assert_ne!(
                o["status"]["phase"], "Succeeded",
                "the job was done before it could be disturbed"
            );
            o["status"]["progress"]["percent"].as_i64().is_some_and(|percent| percent > 0)
        });
    }

    /// Waits until a job has succeeded, and holds its rows and its digest against those of the local run.
    #[track_caller]
    pub fn expect_local_digest(&self, job: &Job) -> Value {
        let done = self.until(&format!("gj/{}", job.name()), "Succeeded", |o| {
            assert_ne!(o["status"]["phase"], "Failed", "{}", self.picture());
            condition(o, "Succeeded")["status"] == "True"
        });
        let (status, report) = (&done["status"], local_report(job));
        assert_eq!(status["output"]["digest"], report["digest"], "{}", self.picture());
        assert_eq!(status["rows"], report["rows"]);
        done
    }

    /// What a person would look at: for the message of a test that fails.
    pub fn picture(&self) -> String {
        let look = |arguments: &[&str]| self.kubectl(arguments).stdout;
        format!(
            "{}{}{}{}",
            look(&["get", "gj,mdl,jobs,deployments,pods,pvc", "--output", "wide"]),
            look(&[
                "get",
                "gj",
                "--output",
                "jsonpath={range .items[*]}{.metadata.name}{\" \"}{.status}{\"\\n\"}{end}"
            ]),
            look(&[
                "get",
                "mdl",
                "--output",
                "jsonpath={range .items[*]}{.metadata.name}{\" \"}{.status}{\"\\n\"}{end}"
            ]),
            look(&["get", "events", "--sort-by", ".lastTimestamp"]),
        )
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
        for claim in ["models", "broken"] {
            kubectl(&[
                "delete",
                "pv",
                &format!("{}-{claim}", self.name),
                "--wait=false",
                "--ignore-not-found",
            ]);
        }
    }
}

/// A condition of an object; null where there is none of that type.
pub fn condition(object: &Value, kind: &str) -> Value {
    object["status"]["conditions"]
        .as_array()
        .and_then(|all| all.iter().find(|c| c["type"] == kind))
        .cloned()
        .unwrap_or(Value::Null)
}
