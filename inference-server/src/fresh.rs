//! Files that are read again when they change. What cannot be read or used changes nothing.

use std::time::Duration;

/// How often they are looked at. A mounted Secret takes about a minute to change anyway.
const PERIOD: Duration = Duration::from_secs(2);

/// Looks for ever at what `read` gives, and hands what is new to `take`; `known` is what is in use, `is_there` whether it was read.
///
/// A mounted Secret is replaced by a link, so that contents are compared, not times. Half of a change may be seen, or a file be gone for
/// good: the log says so once, with the error and what `stays`.
pub(crate) async fn keep_fresh<T: PartialEq, R>(
    mut known: T,
    is_there: bool,
    stays: &str,
    read: impl Fn() -> R,
    take: impl Fn(&T) -> Result<(), String>,
) where
    R: Future<Output = Result<T, String>>,
{
    let (mut readable, mut refused) = (is_there, None);
    loop {
        tokio::time::sleep(PERIOD).await;
        let found = match read().await {
            Ok(found) => found,
            Err(error) => {
                if std::mem::take(&mut readable) {
                    tracing::warn!("{error}; {stays}");
                }
                continue;
            }
        };
        readable = true;
        if found == known {
            refused = None;
            continue;
        }
        if refused.as_ref() == Some(&found) {
            continue;
        }
        match take(&found) {
            Ok(()) => (known, refused) = (found, None),
            Err(error) => {
                tracing::error!("{error}; {stays}");
                refused = Some(found);
            }
        }
    }
}
