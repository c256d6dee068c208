//! Step 4: the plan's writes, in an order in which each finds what it needs. I/O.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use kube::ResourceExt;
use kube::core::ObjectMeta;

use crate::apply;
use crate::context::Context;
use crate::error::Error;
use crate::job::observe::Observed;
use crate::job::plan::{Patch, Plan, Stand};
use crate::job::reasons;
use crate::job::validate::Obstacle;
use crate::meta::Owner;

/// What was done: only from it can a status be made.
pub(crate) struct Applied {
    /// The attempt that the job is in.
    pub(crate) attempt: i32,
    /// Where it stands.
    pub(crate) stand: Stand,
}

/// Carries out the plan. What the API server refuses becomes an obstacle that the status tells; what may pass is an error, and the
/// whole is tried again.
pub(crate) async fn execute(
    plan: Plan,
    observed: &Observed,
    context: &Context,
) -> Result<Applied, Error> {
    let Plan { attempt, claim, claim_owner, task, delete, patch, create, stand } = plan;
    let stand = match write(claim, task, create, observed, context).await {
        Ok(()) => stand,
        Err(error) => Stand::Obstructed(obstacle(error)?),
    };
    let namespace = &observed.owner.namespace;
    if let Some(Patch { name, fields }) = claim_owner {
        apply::merge::<PersistentVolumeClaim>(context.client(), namespace, &name, &fields).await?;
    }
    for patch in patch {
        apply::merge::<Job>(context.client(), namespace, &patch.name, &patch.fields).await?;
    }
    for job in delete {
        apply::delete(context.client(), &*job).await?;
    }
    Ok(Applied { attempt, stand })
}

/// The claim and the snapshot before the Job whose pods mount them.
async fn write(
    claim: Option<PersistentVolumeClaim>,
    task: Option<ConfigMap>,
    create: Option<Job>,
    observed: &Observed,
    context: &Context,
) -> Result<(), Error> {
    let client = context.client();
    if let Some(claim) = claim {
        let found = observed.needs.output_claim.clone().flatten();
        apply::apply_if_changed(client, found.as_ref(), claim).await?;
    }
    if let Some(task) = task {
        write_task(task, &observed.owner, context).await?;
    }
    if let Some(job) = create
        && apply::create(client, &job).await?.is_none()
    {
        // The cache may be behind; the Job that is there must be this one.
        let found: Option<Job> =
            apply::get(client, &observed.owner.namespace, &job.name_any()).await?;
        check_owner(found.as_ref().map(|job| &job.metadata), &observed.owner, "Job")?;
    }
    Ok(())
}

/// An immutable ConfigMap: one that an operator left behind that was killed before it could make the Job is replaced.
async fn write_task(task: ConfigMap, owner: &Owner, context: &Context) -> Result<(), Error> {
    let client = context.client();
    if apply::create(client, &task).await?.is_some() {
        return Ok(());
    }
    let Some(found) = apply::get::<ConfigMap>(client, &owner.namespace, &task.name_any()).await?
    else {
        return Err(Error::Incomplete("ConfigMap: it was deleted just now"));
    };
    check_owner(Some(&found.metadata), owner, "ConfigMap")?;
    if found.data == task.data {
        return Ok(());
    }
    apply::delete(client, &found).await?;
    apply::create(client, &task).await.map(|_| ())
}

fn check_owner(found: Option<&ObjectMeta>, owner: &Owner, kind: &str) -> Result<(), Error> {
    match found {
        Some(found) if !owner.controls(found) => Err(Error::NameTaken {
            kind: kind.into(),
            name: found.name.clone().unwrap_or_default(),
        }),
        _ => Ok(()),
    }
}

/// What the user can mend.
fn obstacle(error: Error) -> Result<Obstacle, Error> {
    let reason = if error.is_quota() {
        reasons::QUOTA_EXCEEDED
    } else if matches!(error, Error::NameTaken { .. }) {
        reasons::NAME_TAKEN
    } else if error.is_refused() {
        reasons::REFUSED
    } else {
        return Err(error);
    };
    Ok(Obstacle { is_final: false, reason: reason.into(), message: error.to_string() })
}
