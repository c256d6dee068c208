//! What the tests of both controllers share: the settings, a context over a scripted API server, and overlaid JSON.

use std::sync::Arc;

use clap::Parser;
use kube::Client;
use kube::runtime::watcher::Event;
use serde_json::Value;

use crate::budget::Budget;
use crate::config::{Args, Config};
use crate::context::{Context, Scope, Shared, Writers};
use crate::events::Events;
use crate::scrape::Scraper;
use crate::watch::Lists;

/// An operator in the namespace `textnlp-system`.
pub(crate) fn config() -> Config {
    config_with(&[])
}

/// The same, with these flags.
pub(crate) fn config_with(flags: &[&str]) -> Config {
    let args =
        ["textnlp-operator", "--image", "textnlp:0.1.0", "--lease-namespace", "textnlp-system"];
    let args = Args::parse_from(args.iter().chain(flags));
    Config::new(&args, Some("host".into())).expect("settings")
}

/// A context over this client, whose four caches count as filled.
pub(crate) fn context(client: Client) -> (Arc<Context>, Writers) {
    let metrics = Arc::default();
    let shared = Shared {
        client,
        config: Arc::new(config()),
        events: Events::new(Arc::clone(&metrics)).0,
        metrics,
        budget: Arc::new(Budget::new(1)),
        scraper: Scraper::new(None).expect("a client"),
    };
    let (context, writers) = Context::new(shared, Scope::Cluster, Lists::Streamed);
    for _ in 0..4 {
        context.filling.follow::<()>()(&Event::InitDone);
    }
    (context, writers)
}

/// Lays `from` over `into`.
pub(crate) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
