//! What the metrics read of a text: white space, case, tokens and n-grams, as Python and the oracles define them.

mod categories;
pub(crate) mod deflate;
pub(crate) mod edits;
pub(crate) mod folding;
pub(crate) mod hashes;
pub(crate) mod minhash;
mod mteval;
pub(crate) mod ngrams;
mod permutations;
pub(crate) mod porter;
pub(crate) mod readability;
pub(crate) mod sampled;
pub(crate) mod schema_graph;
pub(crate) mod subsequence;
mod syllables;
pub(crate) mod tercom;
pub(crate) mod tokenize;
pub(crate) mod unicode;
pub(crate) mod whitespace;
