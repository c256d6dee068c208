//! Reads the file of keys again when it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{Access, Keys};

/// How often the file is looked at. A mounted Secret takes about a minute to change anyway.
const PERIOD: Duration = Duration::from_secs(2);

/// Looks at the file for ever; a mounted Secret is replaced by a link, so that its content is compared, not its time.
pub(crate) async fn reload(path: PathBuf, access: Arc<Access>, mut known: String) {
    let mut refused = String::new();
    // A file that is not there yet has no text, and is no news.
    let mut readable = !known.is_empty();
    loop {
        tokio::time::sleep(PERIOD).await;
        let text = match tokio::fs::read_to_string(&path).await {
            Ok(text) => text,
            Err(error) => {
                // Half of a change may be seen, or the file be gone for good: the keys stay.
                if std::mem::take(&mut readable) {
                    let path = path.display();
                    tracing::warn!(
                        "the keys in {path} cannot be read: {error}; the last ones stay"
                    );
                }
                continue;
            }
        };
        readable = true;
        if text == known || text == refused {
            continue;
        }
        match Keys::parse(&text) {
            Ok(keys) => {
                changed(&path, &keys);
                access.replace(keys);
                known = text;
            }
            Err(error) => {
                tracing::error!(
                    "the keys in {} are not used: {error}; the last ones stay",
                    path.display()
                );
                refused = text;
            }
        }
    }
}

fn changed(path: &Path, keys: &Keys) {
    tracing::info!(keys = keys.len(), "the keys in {} have changed", path.display());
}
