//! End to end on a real Kubernetes: `make test` as root, or `make cluster` and then `make e2e`.

mod access;
mod admission;
mod cost;
mod external;
mod faults;
mod kstatus;
mod kueue;
mod lifecycle;
mod plugin;
mod rollout;
mod same_digest;
mod traces;
mod troubles;
