//! Reads the file of keys again when it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Access, Keys};
use crate::fresh::keep_fresh;

/// Looks at the file for ever.
pub(crate) async fn reload(path: PathBuf, access: Arc<Access>, known: String) {
    // A file that is not there yet has no text, and is no news.
    let is_there = !known.is_empty();
    let take = |text: &String| {
        let path = path.display();
        let keys = Keys::parse(text);
        let keys = keys.map_err(|error| format!("the keys in {path} are not used: {error}"))?;
        tracing::info!(keys = keys.len(), "the keys in {path} have changed");
        access.replace(keys);
        Ok(())
    };
    keep_fresh(known, is_there, "the last ones stay", || read(&path), take).await;
}

async fn read(path: &Path) -> Result<String, String> {
    let text = tokio::fs::read_to_string(path).await;
    text.map_err(|error| format!("the keys in {} cannot be read: {error}", path.display()))
}
