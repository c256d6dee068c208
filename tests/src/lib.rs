//! What the end-to-end tests stand on: a cluster, a namespace of their own for each, and `kubectl` as a user calls it.
//!
//! The tests talk to the cluster that `KUBECONFIG` names; `tests/cluster/` starts one, and `make test` does so.

mod command;
mod job;
mod local;
mod plugin;
mod server;
mod space;
mod wait;

pub mod disturb;
pub mod http;
pub mod kueue;
pub mod metrics;
pub mod process;
pub mod proxy;

pub use command::{Answer, kubectl, run, run_with_input};
pub use job::{Job, Model};
pub use local::{binary, local_report, model_file, traces_file};
pub use plugin::plugin;
pub use server::Server;
pub use space::{AUDIENCE, Space, condition};
pub use wait::{eventually, eventually_or};
