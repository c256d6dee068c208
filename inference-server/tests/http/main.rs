//! The server over real sockets, with a model that needs no weights.

mod access;
mod certificates;
mod chat;
mod completions;
mod deadlines;
mod description;
mod errors;
mod fairness;
mod generate;
mod hostile;
mod issuer;
mod kubernetes;
mod lifecycle;
mod limits;
mod malformed;
mod many;
mod model;
mod oidc;
mod platform;
mod server;
mod streaming;
mod tls;
