//! Makes the cluster what the plan says. I/O: writes, and only where something differs.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use kube::{Resource, ResourceExt};
use serde_json::json;

use super::observe::Observed;
use super::plan::{FetchStep, Plan, Wish};
use super::scale::{self, Scaled, scale};
use super::scaling::Decision;
use super::trouble::Trouble;
use super::validate::Validated;
use crate::apply::{self, Object};
use crate::context::Context;
use crate::error::Error;

/// What was applied: the status can be told only after this.
pub struct Applied {
    /// The Deployment as it is now.
    pub deployment: Option<Deployment>,
    /// How many servers there shall be.
    pub decision: Decision,
    /// What became of that; none without a Deployment.
    pub scaled: Option<Scaled>,
    /// The first child that the API server does not take.
    pub refused: Option<Trouble>,
}

/// Applies `plan`. A child that the API server refuses does not keep the others away; any other error ends the reconciliation.
pub async fn apply(
    context: &Context,
    model: &Validated,
    observed: &Observed,
    plan: Plan,
) -> Result<Applied, Error> {
    let Plan {
        service_account,
        cache,
        network_policy,
        service,
        headless_service,
        disruption_budget,
        fetch,
        deployment,
        decision,
    } = plan;
    let mut applier = Applier { context, model, refused: None };
    // Pods come last: their account, their volume and the rules about their traffic are there before them.
    applier.fulfil(observed.service_account.as_ref(), service_account).await?;
    applier.fulfil(observed.cache.as_ref(), cache).await?;
    applier.fulfil(observed.network_policy.as_ref(), network_policy).await?;
    applier.fulfil(observed.service.as_ref(), service).await?;
    applier.fulfil(observed.headless_service.as_ref(), headless_service).await?;
    applier.fulfil(observed.disruption_budget.as_ref(), disruption_budget).await?;
    applier.fetch(observed, fetch).await?;
    let deployment =
        applier.deploy(observed.deployment.as_ref(), deployment, decision.replicas).await?;
    let scaled = match &deployment {
        Some(deployment) => Some(scale(context, deployment, decision.replicas).await?),
        None => None,
    };
    Ok(Applied { deployment, decision, scaled, refused: applier.refused })
}

struct Applier<'a> {
    context: &'a Context,
    model: &'a Validated,
    refused: Option<Trouble>,
}

impl Applier<'_> {
    /// Makes a child what is wished; returns what is there afterwards.
    async fn fulfil<K: Object>(
        &mut self,
        observed: Option<&Arc<K>>,
        wish: Wish<K>,
    ) -> Result<Option<K>, Error> {
        let client = self.context.client();
        let observed = observed.map(|object| &**object);
        let result = match wish {
            Wish::Have(wanted) => apply::apply_if_changed(client, observed, *wanted)
                .await
                .map(|(object, _)| Some(object)),
            // An object of that name which is somebody else's is not touched.
            Wish::Keep => return Ok(observed.filter(|object| self.controls(*object)).cloned()),
            Wish::Gone => {
                if let Some(object) = observed.filter(|object| self.controls(*object)) {
                    apply::delete(client, object).await?;
                }
                return Ok(None);
            }
        };
        match self.unless_refused(result)? {
            // What is refused leaves what is there as it was.
            None => Ok(observed.filter(|object| self.controls(*object)).cloned()),
            made => Ok(made),
        }
    }

    fn controls(&self, object: &impl Resource) -> bool {
        self.model.owner.controls(object.meta())
    }

    /// Remembers a refusal, and goes on.
    fn unless_refused<T>(&mut self, result: Result<Option<T>, Error>) -> Result<Option<T>, Error> {
        match result {
            Err(error) if error.is_refused() || matches!(error, Error::NameTaken { .. }) => {
                self.refused.get_or_insert_with(|| Trouble::refused(&error));
                Ok(None)
            }
            result => result,
        }
    }

    /// Does what is to be done about the fetch Job; those of other sources go.
    async fn fetch(&mut self, observed: &Observed, step: FetchStep) -> Result<(), Error> {
        let client = self.context.client();
        let present = observed.fetch_job(self.model);
        let others = observed
            .fetch_jobs
            .iter()
            .filter(|job| present.is_none_or(|present| present.uid() != job.uid()));
        for job in others.filter(|job| job.metadata.deletion_timestamp.is_none()) {
            apply::delete(client, &**job).await?;
        }
        match step {
            FetchStep::Keep => Ok(()),
            FetchStep::Gone => match present {
                Some(job) => apply::delete(client, &**job).await,
                None => Ok(()),
            },
            FetchStep::Create(wanted) => self.create(&wanted).await,
            FetchStep::Replace(wanted) => {
                if let Some(job) = present {
                    apply::delete(client, &**job).await?;
                }
                self.create(&wanted).await
            }
            FetchStep::Record { key, value } => {
                let patch = json!({"metadata": {"annotations": {key: value}}});
                let name = self.model.fetch_name();
                apply::merge::<Job>(client, &self.model.owner.namespace, &name, &patch)
                    .await
                    .map(|_| ())
            }
        }
    }

    async fn create(&mut self, job: &Job) -> Result<(), Error> {
        let created = apply::create(self.context.client(), job).await;
        self.unless_refused(created).map(|_| ())
    }

    /// Makes the Deployment what is wished. A new one is made with its replicas, which the scaler then takes over: without
    /// them, it would begin with one server, whatever was decided.
    async fn deploy(
        &mut self,
        observed: Option<&Arc<Deployment>>,
        wish: Wish<Deployment>,
        replicas: i32,
    ) -> Result<Option<Deployment>, Error> {
        let found = match (observed, &wish) {
            (None, Wish::Have(wanted)) => {
                let mut first = (**wanted).clone();
                if let Some(spec) = &mut first.spec {
                    spec.replicas = Some(replicas);
                }
                let made = apply::apply(self.context.client(), &first).await.map(Some);
                let Some(made) = self.unless_refused(made)? else { return Ok(None) };
                Some(Arc::new(made))
            }
            (found, _) => found.cloned(),
        };
        if let Some(deployment) =
            found.as_ref().filter(|d| self.controls(&***d) && scale::is_to_be_taken_over(d))
        {
            scale::take_over(self.context, deployment).await?;
        }
        self.fulfil(found.as_ref(), wish).await
    }
}
