//! Whether caches are filled: what is not in one yet must not be taken for what does not exist. No I/O.
//!
//! kube's own `Store::wait_until_ready` wakes only the last of several tasks that wait for the same store; here any number may.

use std::sync::Arc;

use kube::runtime::watcher::Event;
use tokio::sync::watch;

/// Counts the caches that are not filled yet.
#[derive(Clone, Debug)]
pub struct Filling(Arc<watch::Sender<usize>>);

impl Filling {
    /// So many caches, all of them empty.
    pub fn of(caches: usize) -> Self {
        Self(Arc::new(watch::Sender::new(caches)))
    }

    /// Follows the watch of one of the caches: for `inspect_ok`, behind the `reflect` that fills it.
    pub fn follow<K>(&self) -> impl FnMut(&Event<K>) + Send + 'static {
        let (missing, mut counted) = (self.0.clone(), false);
        move |event| {
            if matches!(event, Event::InitDone) && !std::mem::replace(&mut counted, true) {
                missing.send_modify(|missing| *missing = missing.saturating_sub(1));
            }
        }
    }

    /// Waits until all of them are filled.
    pub async fn done(&self) {
        // The sender lives as long as `self`.
        let _ = self.0.subscribe().wait_for(|missing| *missing == 0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use k8s_openapi::api::core::v1::Pod;

    #[tokio::test]
    async fn all_who_wait_go_on_when_each_cache_was_filled_once() {
        let filling = Filling::of(2);
        let (mut first, mut second) = (filling.follow::<Pod>(), filling.follow::<Pod>());
        let waiting = [1, 2].map(|_| {
            tokio::spawn({
                let filling = filling.clone();
                async move { filling.done().await }
            })
        });
        first(&Event::Init);
        first(&Event::InitDone);
        // A watch that begins anew fills the same cache again.
        first(&Event::InitDone);
        assert!(filling.done().now_or_never().is_none());
        second(&Event::InitDone);
        for waiter in waiting {
            waiter.await.expect("it went on");
        }
        assert!(filling.done().now_or_never().is_some());
    }
}
