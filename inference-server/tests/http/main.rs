//! The server over real sockets, with a model that needs no weights.

mod access;
mod certificates;
mod chat;
mod completions;
mod description;
mod errors;
mod generate;
mod issuer;
mod kubernetes;
mod lifecycle;
mod limits;
mod model;
mod oidc;
mod platform;
mod server;
mod streaming;
mod tls;
