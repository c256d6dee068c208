//! The controller of GenerationJobs.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::store::Writer;
use textnlp_crds::GenerationJob;

use crate::context::Context;

/// Runs the controller until its watches end; the writers are those of its caches in the [`Context`].
pub async fn controller(_: Arc<Context>, _: Writer<GenerationJob>, _: Writer<Job>, _: Writer<Pod>) {
    std::future::pending().await
}
