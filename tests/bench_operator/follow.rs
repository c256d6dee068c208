//! Waits by a watch, without asking again and again, until enough objects are as they should be. I/O.

use std::collections::HashSet;
use std::time::Duration;

use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watcher};

use crate::error::Error;

/// How long nothing may happen at all.
const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until `wanted` objects of a kind are as `reached` says; it answers with an error where one never will be.
pub(crate) async fn until(
    what: &str,
    api: Api<DynamicObject>,
    wanted: usize,
    reached: impl Fn(&DynamicObject) -> Result<bool, Error>,
) -> Result<(), Error> {
    let mut objects = std::pin::pin!(
        watcher(api, watcher::Config::default()).default_backoff().touched_objects()
    );
    let mut there = HashSet::new();
    let mut last = String::new();
    let mut shown = 0;
    while there.len() < wanted {
        match tokio::time::timeout(PATIENCE, objects.next()).await {
            Ok(Some(Ok(object))) => {
                if reached(&object)? {
                    there.insert(object.name_any());
                }
                last = format!(
                    "; the last to change was {}: {}",
                    object.name_any(),
                    object.data["status"]
                );
            }
            Ok(Some(Err(error))) => crate::note(&format!("{what}: {error}")),
            Ok(None) | Err(_) => {
                let (reached, seconds) = (there.len(), PATIENCE.as_secs());
                return Err(Error::Stalled {
                    what: what.into(),
                    reached,
                    wanted,
                    seconds,
                    detail: last,
                });
            }
        }
        if there.len() >= shown + wanted.div_ceil(10) {
            shown = there.len();
            crate::note(&format!("{what}: {shown} of {wanted}"));
        }
    }
    Ok(())
}
