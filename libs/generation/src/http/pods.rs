//! The ready pods of a model: the addresses of its headless Service, looked up again every few seconds, and in which order
//! a record's requests try them.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often the addresses are looked up.
const REFRESH: Duration = Duration::from_secs(3);
/// How long a lookup may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The pods of a model, kept up to date in the background.
#[derive(Debug)]
pub(super) struct Pods {
    shared: Arc<Shared>,
    refresher: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// `host:port` of the headless Service.
    service: String,
    known: watch::Sender<Vec<SocketAddr>>,
    /// Those that did not let us in since the last lookup.
    down: Mutex<HashSet<SocketAddr>>,
}

impl Pods {
    /// Looks the Service up, and goes on doing so until this is dropped. A Service without ready pods is no error.
    pub(super) async fn follow(service: &str) -> Self {
        let shared = Arc::new(Shared {
            service: service.to_owned(),
            known: watch::Sender::new(Vec::new()),
            down: Mutex::default(),
        });
        shared.refresh().await;
        let background = shared.clone();
        let refresher = tokio::spawn(async move {
            loop {
                tokio::time::sleep(REFRESH).await;
                background.refresh().await;
            }
        });
        Self { shared, refresher }
    }

    /// Looks the Service up now.
    pub(super) async fn refresh(&self) {
        self.shared.refresh().await;
    }

    /// The addresses as they change.
    pub(super) fn changes(&self) -> watch::Receiver<Vec<SocketAddr>> {
        self.shared.known.subscribe()
    }

    /// The addresses that a record's requests try, the best first.
    pub(super) fn ranked(&self, record: u64) -> Vec<SocketAddr> {
        let down = self.shared.down.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.shared.known.borrow();
        rank(record, known.iter().copied().filter(|address| !down.contains(address)))
    }

    /// Leaves an address out until the next lookup.
    pub(super) fn is_down(&self, address: SocketAddr) {
        self.shared.down.lock().unwrap_or_else(PoisonError::into_inner).insert(address);
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.refresher.abort();
    }
}

impl Shared {
    async fn refresh(&self) {
        let lookup = tokio::net::lookup_host(self.service.as_str());
        // A failure is taken for "no pods": addresses that were right a moment ago may be another model's by now.
        let mut found: Vec<SocketAddr> = match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(_)) | Err(_) => Vec::new(),
        };
        found.sort_unstable();
        found.dedup();
        self.down.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.known.send_if_modified(|known| std::mem::replace(known, found.clone()) != found);
    }
}

/// Rendezvous hashing: each record has an order of its own over the addresses; when one comes or goes, only the records
/// whose first it is move.
fn rank(record: u64, addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let score = |address: &SocketAddr| {
        // With fixed keys: every worker agrees.
        let mut hasher = DefaultHasher::new();
        (record, address).hash(&mut hasher);
        hasher.finish()
    };
    let mut ranked: Vec<(u64, SocketAddr)> = addresses.map(|a| (score(&a), a)).collect();
    ranked.sort_unstable_by(|a, b| b.cmp(a));
    ranked.into_iter().map(|(_, address)| address).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn addresses(count: u8) -> Vec<SocketAddr> {
        (1..=count).map(|i| SocketAddr::from(([10, 0, 0, i], 8000))).collect()
    }

    #[test]
    fn records_spread_over_the_pods_and_move_only_when_theirs_goes() {
        let five = addresses(5);
        let first = |pods: &[SocketAddr], record| rank(record, pods.iter().copied())[0];
        let mut counts = BTreeMap::new();
        for record in 0..1000 {
            *counts.entry(first(&five, record)).or_insert(0) += 1;
            let home = first(&five, record);
            let four = &five[..4];
            if home != five[4] {
                assert_eq!(first(four, record), home);
            } else {
                assert_eq!(first(four, record), rank(record, five.iter().copied())[1]);
            }
        }
        assert!(counts.len() == 5 && counts.values().all(|n| (140..260).contains(n)), "{counts:?}");
    }

    #[test]
    fn the_order_does_not_depend_on_the_order_of_the_answer() {
        let pods = addresses(4);
        let turned = pods.iter().rev().copied();
        assert_eq!(rank(7, pods.iter().copied()), rank(7, turned));
    }

    #[tokio::test]
    async fn a_pod_that_is_down_is_left_out_until_the_next_lookup() {
        let pods = Pods::follow("127.0.0.1:8000").await;
        let address: SocketAddr = "127.0.0.1:8000".parse().unwrap();
        assert_eq!(pods.ranked(0), [address]);
        pods.is_down(address);
        assert_eq!(pods.ranked(0), []);
        pods.refresh().await;
        assert_eq!(pods.ranked(0), [address]);
        let none = Pods::follow("no-such-service.invalid:8000").await;
        assert_eq!(none.ranked(0), []);
    }
}
