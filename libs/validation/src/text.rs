//! What the metrics read of a text: white space, case, tokens and n-grams, as Python and the oracles define them.

pub(crate) mod whitespace;
