//! The server over real sockets, with a model that needs no weights.

mod access;
mod chat;
mod completions;
mod description;
mod errors;
mod generate;
mod lifecycle;
mod limits;
mod model;
mod platform;
mod server;
mod streaming;
