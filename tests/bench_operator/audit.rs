//! What somebody asked of the API server, by its audit log. The parser has no I/O.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::Error;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// Such as `create`.
    pub(crate) verb: String,
    /// API group; empty for the core.
    pub(crate) group: String,
    /// Version in the group.
    pub(crate) version: String,
    /// Plural, such as `jobs`.
    pub(crate) resource: String,
    /// Such as `status`; empty for the object itself.
    pub(crate) subresource: String,
    /// Namespace; empty for none.
    pub(crate) namespace: String,
    /// Name of the object; empty for lists.
    pub(crate) name: String,
    /// HTTP status.
    pub(crate) code: u16,
}

impl Request {
    /// Whether it changes something.
    pub(crate) fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether it was granted.
    pub(crate) fn is_ok(&self) -> bool {
        self.code < 400
    }

    /// `verb resource/subresource`.
    pub(crate) fn kind(&self) -> String {
        match self.subresource.as_str() {
            "" => format!("{} {}", self.verb, self.resource),
            subresource => format!("{} {}/{subresource}", self.verb, self.resource),
        }
    }
}

/// The audit log of the cluster.
#[derive(Clone, Debug)]
pub(crate) struct AuditLog(PathBuf);

impl AuditLog {
    /// The log at a path.
    pub(crate) fn new(path: impl AsRef<Path>) -> Self {
        Self(path.as_ref().to_owned())
    }

    /// Where it ends now.
    pub(crate) fn end(&self) -> Result<u64, Error> {
        std::fs::metadata(&self.0).map(|found| found.len()).map_err(Error::file("the audit log"))
    }

    /// What `user` has asked since the log ended at `begin`, without what keeps its lease.
    pub(crate) fn since(&self, begin: u64, user: &str) -> Result<Vec<Request>, Error> {
        let mut text = String::new();
        let mut read = || {
            let mut file = std::fs::File::open(&self.0)?;
            file.seek(SeekFrom::Start(begin))?;
            file.read_to_string(&mut text)
        };
        read().map_err(Error::file("the audit log"))?;
        Ok(requests(&text, user))
    }
}

/// How many requests there are of each kind.
pub(crate) fn tally<'a>(
    requests: impl IntoIterator<Item = &'a Request>,
) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for request in requests {
        *counts.entry(request.kind()).or_insert(0) += 1;
    }
    counts
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    verb: String,
    user: User,
    #[serde(default)]
    object_ref: Object,
    #[serde(default)]
    response_status: Status,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    api_group: String,
    api_version: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

/// The requests of `user` in the lines of a log, in their order.
fn requests(log: &str, user: &str) -> Vec<Request> {
    let lines = log.lines().filter(|line| line.contains(user));
    // The last line may be half written.
    let lines = lines.filter_map(|line| serde_json::from_str::<Line>(line).ok());
    lines
        .filter(|line| line.user.username == user && line.object_ref.resource != "leases")
        .map(|line| Request {
            verb: line.verb,
            group: line.object_ref.api_group,
            version: line.object_ref.api_version,
            resource: line.object_ref.resource,
            subresource: line.object_ref.subresource,
            namespace: line.object_ref.namespace,
            name: line.object_ref.name,
            code: line.response_status.code,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_user_are_counted_by_verb_and_resource() {
        let log = concat!(
            r#"{"verb":"patch","user":{"username":"me"},"objectRef":{"resource":"generationjobs","namespace":"b","name":"j","apiGroup":"textnlp.dev","apiVersion":"v1alpha1","subresource":"status"},"responseStatus":{"code":200}}"#,
            "\n",
            r#"{"verb":"create","user":{"username":"me"},"objectRef":{"resource":"jobs","namespace":"b","name":"p","apiGroup":"batch","apiVersion":"v1"},"responseStatus":{"code":409}}"#,
            "\n",
            r#"{"verb":"update","user":{"username":"me"},"objectRef":{"resource":"leases","name":"l"},"responseStatus":{"code":200}}"#,
            "\n",
            r#"{"verb":"create","user":{"username":"you"},"objectRef":{"resource":"jobs"},"responseStatus":{"code":201}}"#,
            "\n",
            r#"{"verb":"list","user":{"username":"me"},"objectRef":{"resource":"pods"},"responseStatus":{"code":200}}"#,
            "\n",
            r#"{"verb":"create","user":{"username":"me"},"obj"#,
        );
        let found = requests(log, "me");
        let kinds: Vec<(String, bool, bool)> = found
            .iter()
            .map(|request| (request.kind(), request.is_write(), request.is_ok()))
            .collect();
        assert_eq!(
            kinds,
            [
                ("patch generationjobs/status".into(), true, true),
                ("create jobs".into(), true, false),
                ("list pods".into(), false, true),
            ]
        );
        let writes = tally(found.iter().filter(|request| request.is_write()));
        assert_eq!(
            writes.into_iter().collect::<Vec<_>>(),
            [("create jobs".to_owned(), 1), ("patch generationjobs/status".to_owned(), 1)]
        );
    }
}
