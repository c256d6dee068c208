//! Servers answer only whom they know. The whole test cluster has it so: all other tests' workers, and the operator that reads metrics,
//! come in by the same door.

use serde_json::{Value, json};
use textnlp_tests::disturb::together;
use textnlp_tests::{AUDIENCE, Job, Model, Space, binary, eventually, http, run};

/// The Secret that `tests/cluster/deploy` names.
const KEYS: &str = "textnlp-keys";

/// A model that serves, and how it answers callers.
struct Served {
    space: Space,
    address: String,
}

impl Served {
    fn start(space: Space) -> Self {
        space.apply(&Model::small("smollm2").0);
        space.until_condition("mdl/smollm2", "Ready", "True", "Serving");
        let served = Self { address: space.address("smollm2"), space };
        served.expect(None, 401, "servers ask for a token: the operator was installed with servers.access.kubernetes.enabled=true");
        served
    }

    /// Waits until a completion is answered so: each node's proxy must know the server, and what the API server said of a caller
    /// counts for a while.
    #[track_caller]
    fn expect(&self, token: Option<&str>, status: u16, why: &str) {
        let body = json!({"model": "smollm2", "prompt": "A kettle is", "max_tokens": 2, "seed": 1});
        let ask = || http::post_as(token, &self.address, "/v1/completions", &body.to_string());
        eventually(why, || is(status, ask()));
    }

    #[track_caller]
    fn expect_metrics(&self, token: Option<&str>, status: u16, why: &str) {
        eventually(why, || is(status, http::get_as(token, &self.address, "/metrics")));
    }

    /// Binds a ClusterRole in the model's namespace to an account of another one.
    fn bind(&self, role: &str, account: &str, of: &Space) {
        self.space.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": role},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": of.name()}],
        }));
    }
}

fn is(status: u16, answer: Result<(u16, String), String>) -> Result<(), String> {
    match answer {
        Ok((found, _)) if found == status => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn servers_answer_accounts_of_their_namespace_and_who_may_invoke_them() {
    let _undisturbed = together();
    let served = Served::start(Space::new("access"));
    let elsewhere = Space::empty("access-callers");

    let own = served.space.token("default", Some(AUDIENCE));
    served.expect(Some(&own), 200, "an account of the model's namespace may call it");
    served.expect_metrics(Some(&own), 403, "to call a model is not to read its metrics");
    let for_the_api = served.space.token("default", None);
    served.expect(Some(&for_the_api), 401, "a token for the API server is not for our servers");
    served.expect(Some("open-sesame"), 401, "no token at all");

    let theirs = elsewhere.token("default", Some(AUDIENCE));
    served.expect(Some(&theirs), 403, "an account of another namespace may not call it");
    served.bind("textnlp-invoker", "default", &elsewhere);
    served.expect(Some(&theirs), 200, "an account that is bound to textnlp-invoker may call it");
    served.expect_metrics(Some(&theirs), 403, "to call a model is not to read its metrics");
    served.bind("textnlp-view", "default", &elsewhere);
    served.expect_metrics(Some(&theirs), 200, "who may get the model may read its metrics");

    served.expect_metrics(None, 401, "metrics are for those who are known");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(is(200, http::get(&served.address, path)), Ok(()), "the kubelet has no token");
    }
}

#[test]
fn workers_and_the_operator_are_known_to_the_servers() {
    let _undisturbed = together();
    let served = Served::start(Space::new("access-job"));
    let space = &served.space;
    space.until("mdl/smollm2", "the operator reads the metrics", |o| {
        o["status"]["load"]["runningRequests"].is_number()
    });
    let job = Job::small("tickets").with("execution", json!({"parallelism": 2}));
    space.apply(&job.0);
    space.expect_local_digest(&job);
    let workers = space.list("pods", "app.kubernetes.io/component=worker");
    assert!(!workers.is_empty(), "{}", space.picture());
    for pod in workers {
        let spec = &pod["spec"];
        assert_eq!(spec["automountServiceAccountToken"], false, "no token for the API server");
        let volumes = spec["volumes"].as_array().into_iter().flatten();
        let audiences: Vec<&Value> = volumes
            .flat_map(|volume| volume["projected"]["sources"].as_array().into_iter().flatten())
            .map(|source| &source["serviceAccountToken"]["audience"])
            .collect();
        assert_eq!(audiences, [AUDIENCE], "a token for our servers and for nothing else");
    }
}

#[test]
fn a_namespace_that_has_keys_lets_in_who_has_one() {
    let _undisturbed = together();
    let space = Space::new("access-keys");
    let made = run(&binary("textnlp"), &["key", "--name", "team"]);
    let entry = made.stderr.lines().find(|line| line.starts_with("- {")).unwrap_or_default();
    let secret = |entry: &str| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": KEYS},
            "stringData": {"keys.yaml": format!("keys:\n{entry}\n")}
        })
    };
    space.apply(&secret(entry));
    let key = made.stdout.trim().to_owned();
    let served = Served::start(space);
    served.expect(Some(&key), 200, "a key of the Secret opens the servers");
    served.expect(Some(&format!("{key}0")), 401, "another does not");
    served.expect_metrics(Some(&key), 403, "this key has no other scope");
    let own = served.space.token("default", Some(AUDIENCE));
    served.expect(Some(&own), 200, "Kubernetes goes on counting beside the keys");
}
