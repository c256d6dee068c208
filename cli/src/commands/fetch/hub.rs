//! Repositories of the Hugging Face hub, or of a server that speaks its API: the revision is resolved to a commit, and its
//! files are fetched with the digests that the hub knows.

use std::path::Path;

use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde_json::{Value, json};
use textnlp_crds::model::HuggingFace;

use super::download::{Downloader, Expected};
use super::error::FetchError;
use super::files;

const PUBLIC: &str = "https://huggingface.co";
const BRANCH: &str = "main";

/// A revision, as the hub describes it.
#[derive(Debug, Deserialize)]
struct Revision {
    /// Commit.
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Debug, Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

/// Brings the files of a model into a folder.
pub(super) async fn bring(
    downloader: &Downloader,
    source: &HuggingFace,
    secret: &Path,
    folder: &Path,
) -> Result<Value, FetchError> {
    let bearer = match &source.secret_ref {
        Some(_) => Some(token(&secret.join("token"))?),
        None => None,
    };
    let hub = source.endpoint.as_deref().unwrap_or(PUBLIC).trim_end_matches('/');
    let wanted = escaped(source.revision.as_deref().unwrap_or(BRANCH));
    let list = format!("{hub}/api/models/{}/revision/{wanted}?blobs=true", source.repo);
    let revision: Revision = downloader.document(&list, bearer.as_ref()).await?;
    if revision.sha.is_empty() || !revision.sha.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(FetchError::Failed(format!("{hub} names no commit for {wanted}")));
    }
    let place = format!("{} at {}", source.repo, revision.sha);
    let names: Vec<&str> = revision.siblings.iter().map(|s| s.rfilename.as_str()).collect();
    let mut files = Vec::new();
    for name in files::select(&place, &names)? {
        let Some(file) = revision.siblings.iter().find(|s| s.rfilename == name) else { continue };
        let sha256 = file.lfs.as_ref().and_then(|lfs| lfs.sha256.clone());
        let expected = Expected { bytes: file.size, sha256 };
        let url = format!("{hub}/{}/resolve/{}/{}", source.repo, revision.sha, escaped(name));
        downloader.download(&url, bearer.as_ref(), &folder.join(name), &expected).await?;
        files.push(name);
    }
    Ok(json!({"repo": source.repo, "commit": revision.sha, "hub": hub, "files": files}))
}

/// The token of a mounted Secret, as a header that is never shown.
fn token(path: &Path) -> Result<HeaderValue, FetchError> {
    let failed = |why: String| FetchError::Unauthorized(format!("the Secret's key token {why}"));
    let text = std::fs::read_to_string(path)
        .map_err(|error| failed(format!("cannot be read: {error}")))?;
    let mut value = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
        .map_err(|_| failed("holds characters that no header can have".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A name as a part of an address.
fn escaped(name: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    name.bytes().fold(String::new(), |mut text, byte| {
        match plain(byte) {
            true => text.push(char::from(byte)),
            false => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_as_one_part_of_an_address() {
        assert_eq!(escaped("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(escaped("a b?c.json"), "a%20b%3Fc.json");
    }
}
