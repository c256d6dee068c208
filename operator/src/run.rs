//! From settings to running controllers: client, election, one set of controllers for each scope while this replica leads. I/O.

use std::sync::Arc;

use futures::future::join_all;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::budget::Budget;
use crate::client::{self, Validity};
use crate::config::Config;
use crate::context::{Context, Scope, Shared};
use crate::events::{self, Events};
use crate::http::{self, Health};
use crate::lease::Elector;
use crate::metrics::Metrics;
use crate::resource_metrics::Caches;
use crate::scrape::Scraper;
use crate::watch::Lists;
use crate::{job, model};

/// Why the operator could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cluster is configured.
    #[error("no cluster is configured, neither in the pod nor in a kubeconfig: {0}")]
    Config(#[from] kube::config::InferConfigError),
    /// The client cannot be made.
    #[error("the Kubernetes client cannot be made: {0}")]
    Client(#[from] kube::Error),
    /// The address is taken.
    #[error("cannot listen: {0}")]
    Listen(#[from] std::io::Error),
    /// The client for scrapes cannot be made.
    #[error("the client for metrics cannot be made: {0}")]
    Http(#[from] reqwest::Error),
}

/// Runs the operator until `stop`.
pub async fn run(config: Config, stop: CancellationToken) -> Result<(), Error> {
    let metrics = Arc::new(Metrics::default());
    let health = Health::new(metrics.clone());
    let listener = TcpListener::bind(config.listen).await?;
    let server = tokio::spawn(http::serve(listener, health.clone(), stop.clone()));

    let validity =
        if config.election.is_some() { Validity::default() } else { Validity::forever() };
    let client = client::connect(kube::Config::infer().await?, validity.clone(), metrics.clone())?;
    let (events, queue) = Events::new(metrics.clone());
    let publisher = tokio::spawn(events::publish(client.clone(), config.identity.clone(), queue));
    let (leads, mut leading) = watch::channel(config.election.is_none());
    let elector = config.election.clone().map(|election| {
        let elector = Elector::new(client.clone(), election, config.identity.clone(), validity);
        tokio::spawn(elector.run(leads, stop.clone()))
    });
    wait_for_api(&client, &stop).await;
    health.set_ready(true);

    let budget = Arc::new(Budget::new(config.progress_writes));
    let token = config.access.as_ref().map(|access| access.token.clone());
    let shared = Shared {
        client,
        config: Arc::new(config),
        metrics,
        events,
        budget,
        scraper: Scraper::new(token)?,
    };
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => break,
            // The sender is gone without an election: then this replica leads forever.
            _ = leading.wait_for(|leads| *leads) => {}
        }
        lead(&shared, &mut leading, &stop).await;
    }
    if let Some(elector) = elector {
        let _ = elector.await;
    }
    drop(shared);
    let _ = publisher.await;
    let _ = server.await;
    Ok(())
}

/// Runs the controllers until this replica does not lead any more, or `stop`. Dropping them cuts off what is under way.
async fn lead(shared: &Shared, leading: &mut watch::Receiver<bool>, stop: &CancellationToken) {
    tracing::info!(identity = shared.config.identity, "leading");
    shared.metrics.is_leader.set(1);
    let scopes =
        shared.config.scopes.iter().map(|scope| controllers(shared.clone(), scope.clone()));
    let lost = async {
        if leading.wait_for(|leads| !*leads).await.is_err() {
            // No election.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = lost => tracing::warn!("the lease is lost: controllers stop"),
        _ = join_all(scopes) => tracing::error!("all controllers have ended; they are started again"),
    }
    shared.metrics.is_leader.set(0);
}

/// Both controllers of one scope.
async fn controllers(shared: Shared, scope: Scope) {
    let lists = Lists::offered(&shared.client, &scope).await;
    let (context, writers) = Context::new(shared, scope, lists);
    let caches = Caches { jobs: context.jobs.clone(), models: context.models.clone() };
    let _shown = context.shared.metrics.resources.show(caches);
    let jobs =
        job::controller(context.clone(), writers.jobs, writers.job_children, writers.job_pods);
    let models = model::controller(context, writers.models);
    futures::join!(jobs, models);
}

/// Waits until the API server answers.
async fn wait_for_api(client: &Client, stop: &CancellationToken) {
    loop {
        let version = crate::apply::call(|| "version".into(), client.apiserver_version());
        match tokio::select! { () = stop.cancelled() => return, version = version => version } {
            Ok(version) => {
                tracing::info!(version = version.git_version, "the API server answers");
                return;
            }
            Err(error) => tracing::warn!(%error, "the API server does not answer yet"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(std::time::Duration::from_secs(2)) => {}
        }
    }
}
