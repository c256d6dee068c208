//! The controller of ModelDeployments.

use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use textnlp_crds::ModelDeployment;

use crate::context::Context;
use crate::watch;

/// Runs the controller until its watches end; `models` is the writing end of [`Context::models`].
pub async fn controller(context: Arc<Context>, models: Writer<ModelDeployment>) {
    let cached = watch::guarded::<ModelDeployment>(context.clone(), "modeldeployment").default_backoff().reflect(models);
    cached.for_each(|_| std::future::ready(())).await;
}
