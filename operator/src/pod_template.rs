//! The pod template that both controllers start from: the restricted pod security standard, ours where it must be, and the user's
//! `pod` merged in. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EmptyDirVolumeSource, EnvVar, PodSecurityContext, PodSpec,
    PodTemplateSpec, SeccompProfile, SecurityContext, Volume, VolumeMount,
};
use kube::api::ObjectMeta;
use textnlp_crds::pod::Pod;
use textnlp_crds::task::labels;

use crate::config::Config;
use crate::meta::Owner;

/// User and group of all pods: nobody's in particular, and in both images.
pub const USER: i64 = 65_532;
/// Files of Secrets, ConfigMaps and tokens: readable by the pod's user and group.
pub const READ_ONLY: i32 = 0o440;
/// Seconds that a pod's token is good for; the kubelet renews it long before.
pub const TOKEN_SECONDS: i64 = 3_600;
/// Name of the main container.
pub const CONTAINER: &str = "textnlp";

/// What a pod is made of, besides what all pods have.
#[derive(Clone, Debug, Default)]
pub struct Template<'a> {
    /// `app.kubernetes.io/component`.
    pub component: &'a str,
    /// Arguments of `textnlp`.
    pub args: Vec<String>,
    /// The main container's ports, probes, lifecycle, resources and mounts; what is set here wins over the defaults.
    pub container: Container,
    /// The pod's volumes, init containers, service account, grace period; what is set here wins over the defaults.
    pub pod: PodSpec,
    /// What the user wants of the pod.
    pub user: Option<&'a Pod>,
}

impl Template<'_> {
    /// The pod template, for this owner.
    pub fn build(self, owner: &Owner, config: &Config) -> PodTemplateSpec {
        let user = self.user.cloned().unwrap_or_default();
        let metadata = ObjectMeta {
            labels: Some(merged(user.labels.clone(), owner.labels(self.component), is_ours)),
            annotations: Some(merged(user.annotations.clone(), owner.annotations(), is_ours)),
            ..ObjectMeta::default()
        };
        let container = container(self.args, self.container, &user, config, &owner.namespace);
        PodTemplateSpec { metadata: Some(metadata), spec: Some(pod(self.pod, container, user)) }
    }
}

/// Labels and annotations that only the operator sets: selectors and owners are told by them.
fn is_ours(key: &str) -> bool {
    key.starts_with("textnlp.dev/")
        || matches!(key, labels::NAME | labels::MANAGED_BY | labels::COMPONENT)
        || key.starts_with("batch.kubernetes.io/")
        || key == "kueue.x-k8s.io/queue-name"
}

/// The user's entries, except those that are ours to set; then ours.
fn merged(
    user: Option<BTreeMap<String, String>>,
    ours: BTreeMap<String, String>,
    reserved: impl Fn(&str) -> bool,
) -> BTreeMap<String, String> {
    let mut merged = user.unwrap_or_default();
    merged.retain(|key, _| !reserved(key));
    merged.extend(ours);
    merged
}

fn container(
    args: Vec<String>,
    given: Container,
    user: &Pod,
    config: &Config,
    namespace: &str,
) -> Container {
    let mut mounts = given.volume_mounts.unwrap_or_default();
    mounts.push(VolumeMount {
        name: "tmp".into(),
        mount_path: "/tmp".into(),
        ..VolumeMount::default()
    });
    // What must be ours comes last: of two variables of one name, the last counts.
    let env = config
        .traces
        .iter()
        .flat_map(|traces| traces.environment(namespace))
        .chain(user.env.iter().flatten().cloned())
        .chain(given.env.into_iter().flatten());
    let env = last_of_each(env);
    Container {
        name: CONTAINER.into(),
        image: Some(user.image.clone().unwrap_or_else(|| config.image.clone())),
        image_pull_policy: Some(config.image_pull_policy.as_str().into()),
        args: Some(args),
        env: (!env.is_empty()).then_some(env),
        resources: given.resources.or_else(|| user.resources.clone()),
        volume_mounts: Some(mounts),
        termination_message_policy: Some("File".into()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
            read_only_root_filesystem: Some(true),
            ..SecurityContext::default()
        }),
        ..given
    }
}

/// Server-side apply refuses a list in which a name comes twice.
fn last_of_each(variables: impl Iterator<Item = EnvVar>) -> Vec<EnvVar> {
    let mut kept: Vec<EnvVar> = Vec::new();
    for variable in variables {
        kept.retain(|before| before.name != variable.name);
        kept.push(variable);
    }
    kept
}

fn pod(given: PodSpec, container: Container, user: Pod) -> PodSpec {
    let mut volumes = given.volumes.unwrap_or_default();
    volumes.push(Volume {
        name: "tmp".into(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    });
    PodSpec {
        containers: vec![container],
        volumes: Some(volumes),
        node_selector: given.node_selector.or(user.node_selector),
        tolerations: given.tolerations.or(user.tolerations),
        affinity: given.affinity.or(user.affinity),
        topology_spread_constraints: given
            .topology_spread_constraints
            .or(user.topology_spread_constraints),
        priority_class_name: given.priority_class_name.or(user.priority_class_name),
        runtime_class_name: given.runtime_class_name.or(user.runtime_class_name),
        service_account_name: user.service_account_name.or(given.service_account_name),
        image_pull_secrets: given.image_pull_secrets.or(user.image_pull_secrets),
        automount_service_account_token: Some(
            given.automount_service_account_token.unwrap_or(false),
        ),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(
            given.termination_grace_period_seconds.unwrap_or(60),
        ),
        security_context: Some(security(user.security_context.unwrap_or_default())),
        ..given
    }
}

/// The restricted standard, with the user's own choices inside it.
fn security(user: PodSecurityContext) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(user.run_as_non_root.unwrap_or(true)),
        run_as_user: Some(user.run_as_user.unwrap_or(USER)),
        run_as_group: Some(user.run_as_group.unwrap_or(USER)),
        fs_group: Some(user.fs_group.unwrap_or(USER)),
        // A volume of a million chunk files is not walked again at each start.
        fs_group_change_policy: Some(
            user.fs_group_change_policy.clone().unwrap_or_else(|| "OnRootMismatch".into()),
        ),
        seccomp_profile: Some(
            user.seccomp_profile.clone().unwrap_or(SeccompProfile {
                type_: "RuntimeDefault".into(),
                localhost_profile: None,
            }),
        ),
        ..user
    }
}
