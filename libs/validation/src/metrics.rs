//! One file per metric (or family): its [`crate::Info`] and its definition.

pub(crate) mod char_count;
pub(crate) mod word_count;
