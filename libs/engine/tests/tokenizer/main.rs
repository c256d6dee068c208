//! Tokenizers and chat templates, from outside: against their oracles, and on broken, hostile and random input.

mod chats;
mod goldens;
mod inputs;
mod properties;
mod support;
