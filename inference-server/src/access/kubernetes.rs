//! Who may call: those whom the cluster's API server knows and lets invoke this server's ModelDeployment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};
use kube::client::ClientBuilder;
use kube::{Client, Config};
use tokio::sync::Semaphore;

use super::cache::Cache;
use super::caller::{Caller, Kind};
use super::credential::Token;
use super::keys::Scope;
use crate::config::KubernetesConfig;
use crate::error::ApiError;

/// How long a verdict may take, waiting for a place included.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tokens that are reviewed at once: strangers must not make this server a burden to the cluster.
const MAX_REVIEWS: usize = 16;
/// How long somebody may go on who may call no more.
const KEEP_KNOWN: Duration = Duration::from_secs(600);
const KEEP_ALLOWED: Duration = Duration::from_secs(60);
/// How long somebody waits who may call now.
const KEEP_DENIED: Duration = Duration::from_secs(10);
/// Verdicts of each kind that are kept. Those of strangers are kept apart: however many come, they push out no others.
const MAX_VERDICTS: usize = 4096;

/// An API server that is asked, and what it said.
pub(crate) struct Kubernetes {
    client: Client,
    config: KubernetesConfig,
    /// How usernames of the namespace's own service accounts begin.
    neighbours: String,
    /// Reviews at once: for those whom it let in lately, and for all others, who may be as many as they like.
    places: Semaphore,
    known_places: Semaphore,
    known: Mutex<Cache<Question, ()>>,
    allowed: Mutex<Cache<Question, Caller>>,
    denied: Mutex<Cache<Question, Denied>>,
    /// The API server gave no verdict last time.
    silent: AtomicBool,
}

/// SHA-256 of a token, and what it is to be good for.
type Question = ([u8; 32], Scope);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Denied {
    /// The token is not known, or not meant for this server.
    Unknown,
    /// Its owner may not do that.
    Forbidden(Scope),
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Unknown => Self::Unauthorized,
            Denied::Forbidden(scope) => Self::Forbidden { scope: scope.as_str() },
        }
    }
}

impl std::fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubernetes").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// # Errors
    /// This is no pod, or its service account is not there.
    pub(crate) fn new(config: &KubernetesConfig) -> Result<Self, String> {
        let client = match &config.api_server {
            None => Config::incluster().map_err(|error| error.to_string()).and_then(connect),
            Some(url) => match url.parse() {
                Ok(url) => connect(Config::new(url)),
                Err(error) => Err(format!("{url}: {error}")),
            },
        };
        let client = client.map_err(|error| {
            format!("the cluster cannot be asked who may call: {error}; access by Kubernetes needs a pod with a service account")
        })?;
        Ok(Self {
            client,
            config: config.clone(),
            neighbours: format!("system:serviceaccount:{}:", config.namespace),
            places: Semaphore::new(MAX_REVIEWS),
            known_places: Semaphore::new(MAX_REVIEWS),
            known: Mutex::new(Cache::new(MAX_VERDICTS)),
            allowed: Mutex::new(Cache::new(MAX_VERDICTS)),
            denied: Mutex::new(Cache::new(MAX_VERDICTS)),
            silent: AtomicBool::new(false),
        })
    }

    /// Who shows this token, if the cluster knows them and lets them do that.
    pub(super) async fn check(&self, token: &Token<'_>, scope: Scope) -> Result<Caller, ApiError> {
        let question = (token.hash, scope);
        if let Some(verdict) = self.remembered(&question) {
            return verdict.map_err(Into::into);
        }
        match tokio::time::timeout(PATIENCE, self.ask(token, question)).await {
            Ok(Ok(verdict)) => {
                if self.silent.swap(false, Ordering::Relaxed) {
                    tracing::info!("the API server says again who may call");
                }
                verdict.map_err(Into::into)
            }
            Ok(Err(error)) => Err(self.no_verdict(&error)),
            Err(_) => Err(self.no_verdict(&"no answer in time")),
        }
    }

    fn no_verdict(&self, error: &dyn std::fmt::Display) -> ApiError {
        // Once: whoever shows tokens could fill the log.
        if !self.silent.swap(true, Ordering::Relaxed) {
            tracing::warn!("the API server does not say who may call: {error}");
        }
        ApiError::AccessUnavailable
    }

    fn remembered(&self, question: &Question) -> Option<Result<Caller, Denied>> {
        let now = Instant::now();
        let allowed = lock(&self.allowed).get(question, now).map(Ok);
        allowed.or_else(|| lock(&self.denied).get(question, now).map(Err))
    }

    fn remember(&self, question: Question, verdict: &Result<Caller, Denied>, token: &Token<'_>) {
        let now = Instant::now();
        match verdict {
            Ok(caller) => {
                let left = |end: SystemTime| {
                    end.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO)
                };
                let end = now + token.expires.map_or(KEEP_ALLOWED, left).min(KEEP_ALLOWED);
                lock(&self.allowed).put(question, caller.clone(), end, now);
                lock(&self.known).put(question, (), now + KEEP_KNOWN, now);
            }
            Err(denied) => lock(&self.denied).put(question, *denied, now + KEEP_DENIED, now),
        }
    }

    /// Asks once there is a place, unless somebody else has asked the same meanwhile.
    async fn ask(
        &self,
        token: &Token<'_>,
        question: Question,
    ) -> Result<Result<Caller, Denied>, kube::Error> {
        // It is never closed.
        let is_known = lock(&self.known).get(&question, Instant::now()).is_some();
        let places = if is_known { &self.known_places } else { &self.places };
        let _place = places.acquire().await;
        if let Some(verdict) = self.remembered(&question) {
            return Ok(verdict);
        }
        let verdict = self.review(token.text, question.1).await?;
        self.remember(question, &verdict, token);
        Ok(verdict)
    }

    async fn review(
        &self,
        token: &str,
        scope: Scope,
    ) -> Result<Result<Caller, Denied>, kube::Error> {
        let Some(user) = self.authenticate(token).await? else { return Ok(Err(Denied::Unknown)) };
        let Some(username) = user.username.clone().filter(|name| !name.is_empty()) else {
            return Ok(Err(Denied::Unknown));
        };
        // Who may run pods in a namespace may use its models: a job's workers come so.
        let is_neighbour = username.starts_with(&self.neighbours) && scope == Scope::Inference;
        if is_neighbour || self.authorize(user, scope).await? {
            Ok(Ok(Caller::of_token(Kind::Kubernetes, &username)))
        } else {
            Ok(Err(Denied::Forbidden(scope)))
        }
    }

    /// Whose token it is, if it is meant for this server.
    async fn authenticate(&self, token: &str) -> Result<Option<UserInfo>, kube::Error> {
        let audience = &self.config.audience;
        let spec = TokenReviewSpec {
            token: Some(token.to_owned()),
            audiences: Some(vec![audience.clone()]),
        };
        let review = TokenReview { spec, ..TokenReview::default() };
        let status = create(&self.client, &review).await?.status.unwrap_or_default();
        // An API server that does not know of audiences returns none.
        let is_meant = status.audiences.is_some_and(|all| all.contains(audience));
        if status.authenticated != Some(true) || !is_meant {
            let error = status.error.unwrap_or_default();
            tracing::debug!(is_meant, "a token is refused by the API server: {error:?}");
            return Ok(None);
        }
        Ok(status.user)
    }

    /// Whether the cluster's rules let them.
    async fn authorize(&self, user: UserInfo, scope: Scope) -> Result<bool, kube::Error> {
        let verb = match scope {
            Scope::Inference => "invoke",
            Scope::Metrics => "get",
        };
        let attributes = ResourceAttributes {
            group: Some("textnlp.dev".to_owned()),
            resource: Some("modeldeployments".to_owned()),
            namespace: Some(self.config.namespace.clone()),
            name: Some(self.config.name.clone()),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            user: user.username,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let status = create(&self.client, &review).await?.status.unwrap_or_default();
        Ok(status.allowed && status.denied != Some(true))
    }
}

fn connect(mut config: Config) -> Result<Client, String> {
    // The caller is waiting, and would rather try again than find out later.
    config.default_retry = false;
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE);
    // A connection that was idle would give its next request what is left of the time.
    config.reset_reader_on_write = true;
    config.write_timeout = Some(PATIENCE);
    let builder = ClientBuilder::try_from(config).map_err(|error| error.to_string())?;
    Ok(builder.build())
}

/// A review is answered, and nothing of it stays.
async fn create<K>(client: &Client, review: &K) -> Result<K, kube::Error>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug,
    K: serde::Serialize + serde::de::DeserializeOwned,
{
    Api::<K>::all(client.clone()).create(&PostParams::default(), review).await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
