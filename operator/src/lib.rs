//! The controllers of GenerationJob and ModelDeployment.
//!
//! Each controller has the shape `observe → validate → plan → apply → status`; only observe, apply and the status patch take a
//! client. What both share lies here: the client and its gate, the loop, names, metadata, calls, conditions, events, pods.

pub mod access;
pub mod apply;
pub mod budget;
pub mod client;
pub mod conditions;
pub mod config;
pub mod context;
pub mod controller;
mod egress;
pub mod error;
pub mod events;
pub mod filling;
#[cfg(test)]
mod fixture;
pub mod http;
pub mod index;
pub mod job;
pub mod lease;
pub mod meta;
pub mod metrics;
pub mod model;
pub mod names;
pub mod pod_template;
pub mod pods;
pub mod resource_metrics;
pub mod run;
pub mod scrape;
pub mod traces;
pub mod watch;
