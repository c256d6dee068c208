//! The series of jobs and of models. No I/O.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, MetricEncoder,
};
use prometheus_client::metrics::MetricType;
use textnlp_crds::conditions::types;
use textnlp_crds::job_status::{GenerationJobStatus, Rows, Usage};
use textnlp_crds::{GenerationJob, ModelDeployment};

use crate::conditions;
use crate::job::{clock, spec};

/// What stands for a phase until the operator has looked at the resource.
const PENDING: &str = "Pending";

/// One family of gauges.
struct Gauges<'a>(MetricEncoder<'a>);

impl Gauges<'_> {
    fn set(
        &mut self,
        labels: &impl EncodeLabelSet,
        value: impl EncodeGaugeValue,
    ) -> Result<(), fmt::Error> {
        self.0.encode_family(labels)?.encode_gauge(&value)
    }
}

/// Writes a family: `write` has the series of each resource. Without resources there is no family.
fn gauges<K>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    resources: &[Arc<K>],
    write: impl Fn(&mut Gauges<'_>, &K) -> Result<(), fmt::Error>,
) -> Result<(), fmt::Error> {
    if resources.is_empty() {
        return Ok(());
    }
    let mut gauges = Gauges(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?);
    resources.iter().try_for_each(|resource| write(&mut gauges, resource))
}

/// What is known of the jobs.
pub(super) fn jobs(
    encoder: &mut DescriptorEncoder<'_>,
    jobs: &[Arc<GenerationJob>],
) -> Result<(), fmt::Error> {
    let family = ("textnlp_job_info", "1 for each GenerationJob, with its phase and its models");
    gauges(encoder, family, jobs, |gauges, job| {
        let phase = job.status.as_ref().and_then(|status| status.phase);
        let phase = phase.map_or_else(|| PENDING.to_owned(), |phase| format!("{phase:?}"));
        let models = Vec::from_iter(spec::models(&job.spec)).join(",");
        let about = [("phase", phase.as_str()), ("model", models.as_str())];
        gauges.set(&(of_job(job), about), 1_i64)
    })?;
    let family =
        ("textnlp_job_rows", "Rows by outcome; while rows are generated, accepted is provisional");
    gauges(encoder, family, jobs, |gauges, job| {
        let Some(rows) = job.status.as_ref().and_then(|status| status.rows) else { return Ok(()) };
        let Rows { requested, accepted, rejected, failed } = rows;
        let finished = accepted.saturating_add(rejected).saturating_add(failed);
        let outcomes = [
            ("requested", requested),
            ("finished", finished),
            ("accepted", accepted),
            ("rejected", rejected),
            ("failed", failed),
        ];
        outcomes.into_iter().try_for_each(|(outcome, rows)| {
            gauges.set(&(of_job(job), [("outcome", outcome)]), rows)
        })
    })?;
    used(encoder, jobs)?;
    times(encoder, jobs)
}

/// What jobs used of models.
fn used(
    encoder: &mut DescriptorEncoder<'_>,
    jobs: &[Arc<GenerationJob>],
) -> Result<(), fmt::Error> {
    let family = ("textnlp_job_tokens", "Tokens of all attempts, by model and kind");
    gauges(encoder, family, jobs, |gauges, job| {
        for part in usage(job).into_iter().flat_map(|usage| &usage.models) {
            let kinds = [("prompt", part.prompt_tokens), ("completion", part.completion_tokens)];
            for (kind, tokens) in kinds {
                let about = [("modeldeployment", part.name.as_str()), ("kind", kind)];
                gauges.set(&(of_job(job), about), tokens)?;
            }
        }
        Ok(())
    })?;
    let family = ("textnlp_job_requests", "Requests to models, of all attempts");
    gauges(encoder, family, jobs, |gauges, job| match usage(job) {
        Some(usage) => gauges.set(&of_job(job), usage.requests),
        None => Ok(()),
    })?;
    let family = (
        "textnlp_job_cost",
        "Cost of the tokens in the currency's units, by model; final when the job has ended",
    );
    gauges(encoder, family, jobs, |gauges, job| {
        for part in usage(job).into_iter().flat_map(|usage| &usage.models) {
            let Some(cost) = &part.cost else { continue };
            let Some(amount) = cost.number() else { continue };
            let about =
                [("modeldeployment", part.name.as_str()), ("currency", cost.currency.as_str())];
            gauges.set(&(of_job(job), about), amount)?;
        }
        Ok(())
    })
}

/// When jobs began, ended, and will be late.
fn times(
    encoder: &mut DescriptorEncoder<'_>,
    jobs: &[Arc<GenerationJob>],
) -> Result<(), fmt::Error> {
    type Moment = fn(&GenerationJobStatus) -> Option<&Time>;
    let moments: [((&str, &str), Moment); 2] = [
        (("textnlp_job_start_timestamp_seconds", "When the job started"), |status| {
            status.start_time.as_ref()
        }),
        (("textnlp_job_completion_timestamp_seconds", "When the job ended"), |status| {
            status.completion_time.as_ref()
        }),
    ];
    for (family, moment) in moments {
        gauges(encoder, family, jobs, |gauges, job| match job.status.as_ref().and_then(moment) {
            Some(time) => gauges.set(&of_job(job), time.0.as_second()),
            None => Ok(()),
        })?;
    }
    let family = (
        "textnlp_job_deadline_timestamp_seconds",
        "When the job will have been active for activeDeadlineSeconds, if it goes on until then",
    );
    gauges(encoder, family, jobs, |gauges, job| match clock::deadline(job) {
        Some(time) => gauges.set(&of_job(job), time.as_second()),
        None => Ok(()),
    })
}

/// What is known of the models.
pub(super) fn models(
    encoder: &mut DescriptorEncoder<'_>,
    models: &[Arc<ModelDeployment>],
) -> Result<(), fmt::Error> {
    let family =
        ("textnlp_model_info", "1 for each ModelDeployment; the phase is the reason of `Ready`");
    gauges(encoder, family, models, |gauges, model| {
        let status = model.status.as_ref();
        let ready = status.and_then(|status| conditions::find(&status.conditions, types::READY));
        let phase = ready.map_or(PENDING, |ready| ready.reason.as_str());
        gauges.set(&(of_model(model), [("phase", phase)]), 1_i64)
    })?;
    let family = ("textnlp_model_replicas", "Servers that the demand asks for, and that answer");
    gauges(encoder, family, models, |gauges, model| {
        let Some(status) = &model.status else { return Ok(()) };
        for (state, servers) in
            [("desired", status.desired_replicas), ("ready", status.ready_replicas)]
        {
            if let Some(servers) = servers {
                gauges.set(&(of_model(model), [("state", state)]), i64::from(servers))?;
            }
        }
        Ok(())
    })?;
    let family = ("textnlp_model_price", "Price of one token in the currency's units");
    gauges(encoder, family, models, |gauges, model| {
        let Some(price) = &model.spec.price else { return Ok(()) };
        let Some((prompt, completion)) = price.of_one_token() else { return Ok(()) };
        for (kind, amount) in [("prompt", prompt), ("completion", completion)] {
            let about = [("kind", kind), ("currency", price.currency.as_str())];
            gauges.set(&(of_model(model), about), amount)?;
        }
        Ok(())
    })
}

fn usage(job: &GenerationJob) -> Option<&Usage> {
    job.status.as_ref()?.usage.as_ref()
}

fn of_job(job: &GenerationJob) -> [(&'static str, &str); 3] {
    let ObjectMeta { namespace, name, uid, .. } = &job.metadata;
    [("namespace", text(namespace)), ("generationjob", text(name)), ("uid", text(uid))]
}

fn of_model(model: &ModelDeployment) -> [(&'static str, &str); 2] {
    let ObjectMeta { namespace, name, .. } = &model.metadata;
    [("namespace", text(namespace)), ("modeldeployment", text(name))]
}

fn text(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}
