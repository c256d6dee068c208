//! The server over real sockets, with a model that needs no weights.

mod access;
mod chat;
mod completions;
mod deadlines;
mod errors;
mod fairness;
mod hostile;
mod lifecycle;
mod limits;
mod malformed;
mod many;
mod model;
mod platform;
mod server;
mod streaming;
