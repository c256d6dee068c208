//! One file a verb.

pub(crate) mod bench;
pub(crate) mod explain;
pub(crate) mod fetch;
pub(crate) mod format;
pub(crate) mod generate;
pub(crate) mod health;
pub(crate) mod inspect;
pub(crate) mod interactive;
pub(crate) mod key;
pub(crate) mod pods;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod validate;
