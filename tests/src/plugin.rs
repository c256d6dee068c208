//! `kubectl textnlp`, as a user calls it.

use crate::command::{Answer, kubectl};
use crate::space::Space;

/// Runs the plugin in the namespace of a test.
#[track_caller]
pub fn plugin(space: &Space, arguments: &[&str]) -> Answer {
    let mut all = vec!["textnlp"];
    all.extend(arguments);
    all.extend(["--namespace", space.name()]);
    kubectl(&all)
}
