//! Where a job's dataset lies. No I/O.

use kube::ResourceExt;
use textnlp_crds::GenerationJob;

use super::super::error::Error;
use super::super::standing::{Standing, standing};

/// Where a dataset lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A folder of a claim; the path is relative, and empty for the claim's root.
    Claim {
        /// The claim.
        name: String,
        /// The folder.
        path: String,
    },
    /// A prefix of an object store.
    ObjectStore {
        /// Its URI.
        uri: String,
        /// The store's address, if it is not the cloud's own.
        endpoint: Option<String>,
    },
}

/// Where a job's finished dataset lies; an error where there is none yet.
pub(crate) fn of(job: &GenerationJob) -> Result<Place, Error> {
    let name = job.name_any();
    let output = job.status.as_ref().and_then(|status| status.output.as_ref());
    let Some(uri) = output.and_then(|output| output.uri.as_deref()) else {
        return Err(Error::Refused(match standing(job) {
            Standing::Failed => {
                format!(
                    "gj/{name} failed before it wrote a dataset: `kubectl textnlp why {name}` says why"
                )
            }
            _ => format!(
                "gj/{name} has not written its dataset yet: `kubectl textnlp status {name} --watch` waits for it"
            ),
        }));
    };
    if let Some(rest) = uri.strip_prefix("pvc://") {
        let (claim, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_matches('/');
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        if claim.is_empty() || !(path.is_empty() || path.split('/').all(plain)) {
            return Err(Error::Transfer(format!("gj/{name}: {uri} is no place in a claim")));
        }
        return Ok(Place::Claim { name: claim.into(), path: path.into() });
    }
    let store = job
        .spec
        .output
        .destination
        .as_ref()
        .and_then(|destination| destination.object_store.as_ref());
    Ok(Place::ObjectStore {
        uri: uri.into(),
        endpoint: store.and_then(|store| store.endpoint.clone()),
    })
}

/// The command that copies a prefix of an object store.
pub(crate) fn copy_command(uri: &str, endpoint: Option<&str>, directory: &str) -> String {
    let (uri, directory) = (quoted(uri), quoted(directory));
    if uri.contains("gs://") {
        return format!("gcloud storage cp --recursive {uri} {directory}");
    }
    if uri.contains("az://") || uri.contains("abfs") || uri.contains("blob.core.windows.net") {
        return format!("azcopy copy --recursive {uri} {directory}");
    }
    let endpoint = endpoint
        .map(|endpoint| format!(" --endpoint-url {}", quoted(endpoint)))
        .unwrap_or_default();
    format!("aws s3 cp --recursive --exclude 'chunks/*'{endpoint} {uri} {directory}")
}

/// An argument as a shell takes it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubectl::testing::{condition, job};

    #[test]
    fn places_are_read_from_the_status() {
        let check = |uri: &str, expect: Result<Place, &str>| {
            let found = of(&job(json!({}), json!({"output": {"uri": uri}})));
            assert_eq!(found.map_err(|error| error.reason()), expect, "{uri}");
        };
        let claim =
            |name: &str, path: &str| Ok(Place::Claim { name: name.into(), path: path.into() });
        check("pvc://data/dataset", claim("data", "dataset"));
        check("pvc://data/a/b/", claim("data", "a/b"));
        check("pvc://data", claim("data", ""));
        check("pvc://data/", claim("data", ""));
        check("pvc://data/../x", Err("TransferFailed"));
        check("pvc:///x", Err("TransferFailed"));
        check(
            "s3://bucket/p/",
            Ok(Place::ObjectStore { uri: "s3://bucket/p/".into(), endpoint: None }),
        );
    }

    #[test]
    fn a_job_without_a_dataset_says_what_to_do() {
        let text = |status| of(&job(json!({}), status)).unwrap_err().to_string();
        assert!(text(json!({"phase": "Running"})).contains("status tickets --watch"));
        let failed = json!({"conditions": [condition("Succeeded", "False", "InvalidSpec", "")]});
        assert!(text(failed).contains("failed before it wrote a dataset"));
    }

    #[test]
    fn commands_for_object_stores_can_be_pasted() {
        let check = |uri: &str, endpoint: Option<&str>, expect: &str| {
            assert_eq!(copy_command(uri, endpoint, "my rows"), expect);
        };
        check(
            "s3://b/p/",
            Some("http://s3.local:9000"),
            "aws s3 cp --recursive --exclude 'chunks/*' --endpoint-url http://s3.local:9000 s3://b/p/ 'my rows'",
        );
        check("gs://b/p", None, "gcloud storage cp --recursive gs://b/p 'my rows'");
        check(
            "s3://b/it's",
            None,
            r"aws s3 cp --recursive --exclude 'chunks/*' 's3://b/it'\''s' 'my rows'",
        );
    }
}
