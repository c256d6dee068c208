//! The status patch: only when something differs, and a mere load only now and then. I/O: one write at most.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use kube::ResourceExt;
use textnlp_crds::{ModelDeployment, ModelDeploymentStatus};

use super::caches::Caches;
use super::notices;
use crate::context::Context;
use crate::error::Error;
use crate::{apply, watch};

/// The status as it was observed.
pub(super) fn before(model: &ModelDeployment) -> ModelDeploymentStatus {
    model.status.clone().unwrap_or_default()
}

/// Writes `status`, if it differs from what `model` has.
pub(super) async fn status(
    context: &Context,
    caches: &Caches,
    model: &ModelDeployment,
    status: ModelDeploymentStatus,
    now: Timestamp,
) -> Result<(), Error> {
    let before = before(model);
    let uid = model.uid().unwrap_or_default();
    if status == before {
        caches.memory(&uid, |memory| memory.shows(status.load.as_ref(), false));
        return Ok(());
    }
    let only_load = ModelDeploymentStatus { load: before.load.clone(), ..status.clone() } == before;
    if only_load {
        let may = caches.memory(&uid, |memory| memory.may_write_load(now));
        if !may || !context.shared.budget.take(Instant::now()) {
            context.shared.metrics.progress_deferred.inc();
            caches.memory(&uid, |memory| memory.shows(before.load.as_ref(), true));
            return Ok(());
        }
    }
    let written = apply::status(context.client(), model, &status).await?;
    for notice in notices::between(model, &before, &status) {
        context.shared.events.send(notice);
    }
    caches.memory(&uid, |memory| {
        memory.load_was_written(now);
        memory.shows(status.load.as_ref(), false);
    });
    context.written_models.insert(model, Arc::new(watch::slim(written)), &context.models);
    Ok(())
}
