//! What the metrics read of a text: white space, case, tokens and n-grams, as Python and the oracles define them.

mod categories;
pub(crate) mod folding;
pub(crate) mod hashes;
pub(crate) mod ngrams;
pub(crate) mod porter;
pub(crate) mod tokenize;
pub(crate) mod unicode;
pub(crate) mod whitespace;
