//! The three child Jobs. Each is created once; afterwards only its parallelism and suspension are written. No I/O.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Affinity, Container, ContainerPort, PodAffinity, PodAffinityTerm, PodSpec, PodTemplateSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use textnlp_crds::execution::Execution;
use textnlp_crds::task::{JobTask, Prepared, WORKER_METRICS_PORT, labels};

use super::mounts::Mounts;
use crate::config::Config;
use crate::job::children::{ATTEMPT, ONE_NODE, PREPARED, QUEUE, RUN, Step, VALIDATION};
use crate::job::position::{Turn, validation_hash};
use crate::meta::{self, Owner};
use crate::names;
use crate::pod_template::Template;

/// Annotation: hash of what the user wants of the pods, and of the image.
pub(crate) const POD_HASH: &str = "textnlp.dev/pod-hash";

/// How often the one pod of prepare and finalize is tried again.
const STEP_BACKOFF_LIMIT: i32 = 3;
/// Exit codes by which pods say what became of them.
pub(crate) const CANNOT_WORK: i32 = 2;
const INTERRUPTED: i32 = 130;

/// What child Jobs are made from.
pub(crate) struct Blueprint<'a> {
    /// The job.
    pub(crate) owner: &'a Owner,
    /// The snapshot that the pods get.
    pub(crate) task: &'a JobTask,
    /// Name of the ConfigMap with the snapshot.
    pub(crate) task_name: String,
    /// How the job is run: as the spec has it now, since it decides no row.
    pub(crate) execution: &'a Execution,
    /// Names of the Secrets of external models, by model.
    pub(crate) model_secrets: BTreeMap<String, String>,
    /// Whether all pods must be on one node, since the claim can be mounted by only one.
    pub(crate) one_node: bool,
    /// The operator's settings.
    pub(crate) config: &'a Config,
}

impl Blueprint<'_> {
    /// Hash of what decides the pods, besides the snapshot.
    pub(crate) fn pod_hash(execution: &Execution, config: &Config) -> String {
        meta::hash(&serde_json::json!([
            execution.pod,
            config.image,
            config.image_pull_policy.as_str(),
            config.access.as_ref().map(|access| &access.audience)
        ]))
    }

    fn job(&self, step: Step, turn: &Turn<'_>, args: &[&str], spec: JobSpec) -> Job {
        let suffix = match turn.run {
            0 => format!("{}-{}", step.word(), turn.attempt),
            run => format!("{}-{}-{run}", step.word(), turn.attempt),
        };
        let mut metadata = self.owner.object_meta(
            &names::job(self.owner.name(), self.owner.uid(), &suffix),
            step.component(),
        );
        metadata.annotations.get_or_insert_default().extend([
            (ATTEMPT.to_owned(), turn.attempt.to_string()),
            (RUN.to_owned(), turn.run.to_string()),
            (POD_HASH.to_owned(), Self::pod_hash(self.execution, self.config)),
        ]);
        if self.one_node {
            metadata.annotations.get_or_insert_default().insert(ONE_NODE.into(), "true".into());
        }
        // Kueue starts what its queue admits; the operator never writes `suspend` again.
        let suspend = self.execution.queue_name.as_ref().map(|queue| {
            metadata.labels.get_or_insert_default().insert(QUEUE.into(), queue.clone());
            true
        });
        Job {
            metadata,
            spec: Some(JobSpec {
                suspend,
                pod_failure_policy: Some(failure_policy()),
                // A pod is replaced when it has ended, not while it still writes.
                pod_replacement_policy: Some("Failed".into()),
                template: self.template(step, args),
                ..spec
            }),
            status: None,
        }
    }

    fn template(&self, step: Step, args: &[&str]) -> PodTemplateSpec {
        let mounts = Mounts::of(step, self);
        let ports = (step == Step::Generate).then(|| {
            vec![ContainerPort {
                name: Some("metrics".into()),
                container_port: i32::from(WORKER_METRICS_PORT),
                ..ContainerPort::default()
            }]
        });
        let user = self.execution.pod.as_deref();
        let template = Template {
            component: step.component(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            container: Container {
                ports,
                volume_mounts: Some(mounts.mounts),
                ..Container::default()
            },
            pod: PodSpec {
                restart_policy: Some("Never".into()),
                volumes: Some(mounts.volumes),
                affinity: self
                    .one_node
                    .then(|| self.together(user.and_then(|pod| pod.affinity.clone()))),
                ..PodSpec::default()
            },
            user,
        };
        template.build(self.owner, self.config)
    }

    /// The user's affinity, and: on the node where the job's other pods are.
    fn together(&self, user: Option<Affinity>) -> Affinity {
        let mut affinity = user.unwrap_or_default();
        let pods: &mut PodAffinity = affinity.pod_affinity.get_or_insert_default();
        pods.required_during_scheduling_ignored_during_execution.get_or_insert_default().push(
            PodAffinityTerm {
                label_selector: Some(LabelSelector {
                    match_labels: Some(BTreeMap::from([(
                        labels::JOB_UID.into(),
                        self.owner.uid().into(),
                    )])),
                    match_expressions: None,
                }),
                topology_key: "kubernetes.io/hostname".into(),
                ..PodAffinityTerm::default()
            },
        );
        affinity
    }
}

/// The Job that reads and checks the source.
pub(crate) fn prepare(blueprint: &Blueprint<'_>, turn: &Turn<'_>) -> Job {
    blueprint.job(Step::Prepare, turn, &["prepare"], one_pod())
}

/// The Indexed Job of workers, one index a shard.
pub(crate) fn generate(blueprint: &Blueprint<'_>, turn: &Turn<'_>, prepared: &Prepared) -> Job {
    let execution = blueprint.execution;
    let mut job = blueprint.job(
        Step::Generate,
        turn,
        &["worker"],
        JobSpec {
            completion_mode: Some("Indexed".into()),
            completions: Some(prepared.shards),
            parallelism: Some(execution.parallelism.min(prepared.shards)),
            backoff_limit_per_index: Some(execution.backoff_limit_per_shard),
            ..JobSpec::default()
        },
    );
    let prepared = serde_json::to_string(prepared).unwrap_or_default();
    job.metadata.annotations.get_or_insert_default().insert(PREPARED.into(), prepared);
    job
}

/// The Job that merges, scores and writes. `lost` says that shards are missing for good.
pub(crate) fn finalize(blueprint: &Blueprint<'_>, turn: &Turn<'_>, lost: bool) -> Job {
    let args: &[&str] = if lost { &["finalize", "--lost-shards"] } else { &["finalize"] };
    let mut job = blueprint.job(Step::Finalize, turn, args, one_pod());
    let hash = validation_hash(&blueprint.task.spec);
    job.metadata.annotations.get_or_insert_default().insert(VALIDATION.into(), hash);
    job
}

fn one_pod() -> JobSpec {
    JobSpec {
        completions: Some(1),
        parallelism: Some(1),
        backoff_limit: Some(STEP_BACKOFF_LIMIT),
        ..JobSpec::default()
    }
}

/// Disruptions and interruptions do not count; what can never work fails the Job at once. The first rule that fits decides: an
/// evicted pod that ends with 2 has not said so of its own.
fn failure_policy() -> PodFailurePolicy {
    let exit = |action: &str, code| PodFailurePolicyRule {
        action: action.into(),
        on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
            operator: "In".into(),
            values: vec![code],
            container_name: None,
        }),
        on_pod_conditions: None,
    };
    let disrupted = PodFailurePolicyRule {
        action: "Ignore".into(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".into(),
            status: "True".into(),
        }]),
    };
    PodFailurePolicy {
        rules: vec![disrupted, exit("Ignore", INTERRUPTED), exit("FailJob", CANNOT_WORK)],
    }
}
