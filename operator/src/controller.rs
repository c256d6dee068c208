//! The loop around a reconciliation, the same for both kinds: triggers in, one reconciliation of an object at a time, a few objects at
//! once, metrics, and jittered backoff for what failed. I/O through the reconciliation alone.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::Resource;
use kube::runtime::controller::{self, Action, ReconcileRequest};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{WatchStreamExt, applier, watcher};
use tokio_util::task::AbortOnDropHandle;

use crate::context::Context;
use crate::error::Error;

/// Waits after the first failures, and after many.
const FIRST_DELAY: Duration = Duration::from_millis(500);
const LONGEST_DELAY: Duration = Duration::from_secs(120);
/// Triggers that come this close together are one.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// Runs a controller until its triggers end or the future is dropped; reconciliations under way are cut off then.
pub async fn run<K, F, Fut>(
    name: &'static str,
    context: Arc<Context>,
    store: Store<K>,
    triggers: impl Stream<Item = Result<ReconcileRequest<K>, watcher::Error>> + Send + 'static,
    reconcile: F,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + Send + Sync + 'static,
    F: Fn(Arc<K>, Arc<Context>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let failures = Arc::new(Failures::default());
    let succeeded = failures.clone();
    let metrics = context.shared.metrics.clone();
    let config =
        controller::Config::default().debounce(DEBOUNCE).concurrency(context.config().concurrency);
    let reconciler = move |object: Arc<K>, context: Arc<Context>| {
        let reference = ObjectRef::from_obj(&*object);
        let guard = context.shared.metrics.reconcile(name);
        let (reconcile, succeeded) = (reconcile.clone(), succeeded.clone());
        let task = tokio::spawn(async move {
            let result = reconcile(object, context).await;
            drop(guard);
            if result.is_ok() {
                succeeded.forget(&reference.to_string());
            }
            result
        });
        Box::pin(async move {
            let finished = AbortOnDropHandle::new(task).await;
            finished.unwrap_or_else(|error| Err(Error::Panicked(error.to_string())))
        })
    };
    let errors = metrics.clone();
    let error_policy = move |object: Arc<K>, error: &Error, _: Arc<Context>| {
        errors.error(name, error.reason());
        let reference = ObjectRef::from_obj(&*object).to_string();
        if error.is_conflict() {
            // The cache was behind: the newer object is on its way.
            return Action::requeue(jittered(Duration::from_millis(100)));
        }
        let delay = failures.delay(&reference);
        tracing::warn!(object = reference, reason = error.reason(), %error, ?delay, "tried again later");
        Action::requeue(delay)
    };
    let objects = store.clone();
    let outcomes =
        applier(reconciler, error_policy, context, store, triggers.default_backoff(), config);
    futures::pin_mut!(outcomes);
    while let Some(outcome) = outcomes.next().await {
        metrics.objects(name, objects.len());
        match outcome {
            Ok(_) | Err(controller::Error::ReconcilerFailed(..)) => {}
            // Deleted while its trigger waited.
            Err(controller::Error::ObjectNotFound(_)) => {}
            Err(error) => {
                tracing::warn!(controller = name, %error, "a watch failed and is started again")
            }
        }
    }
}

/// How often each object failed in a row.
#[derive(Default)]
struct Failures(Mutex<HashMap<String, u32>>);

impl Failures {
    fn delay(&self, object: &str) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(object.to_owned()).or_default();
        *count = count.saturating_add(1);
        jittered(FIRST_DELAY.saturating_mul(1 << (*count - 1).min(10)).min(LONGEST_DELAY))
    }

    fn forget(&self, object: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(object);
    }
}

/// Between half and all of a time, at random: what failed together is not tried again together.
pub fn jittered(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(0_u8) >> 32;
    let share = 0.5 + (random as f64) / f64::from(u32::MAX) / 2.0;
    time.mul_f64(share.clamp(0.5, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_wait_longer_up_to_a_limit() {
        let failures = Failures::default();
        let first = failures.delay("a");
        assert!(first >= FIRST_DELAY / 2 && first <= FIRST_DELAY, "{first:?}");
        for _ in 0..40 {
            failures.delay("a");
        }
        let last = failures.delay("a");
        assert!(last >= LONGEST_DELAY / 2 && last <= LONGEST_DELAY, "{last:?}");
        failures.forget("a");
        assert!(failures.delay("a") <= FIRST_DELAY);
    }
}
