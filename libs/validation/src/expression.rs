//! CEL expressions over a row.

use serde_json::{Map, Value};

/// A compiled CEL expression over the variable `row`, a map of the row's fields; it yields true or false.
#[derive(Debug, Clone)]
pub struct Expression {
    source: String,
}

/// Why a source text is no usable expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It does not parse.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What the parser says.
        message: String,
    },
}

/// Why an expression has no answer for a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the expression `{expression}` failed on this row: {message}")]
pub struct EvaluationError {
    /// The expression's source.
    pub expression: String,
    /// What happened.
    pub message: String,
}

impl Expression {
    /// Compiles `source`.
    ///
    /// # Errors
    /// [`ExpressionError`] with the position.
    pub fn compile(source: &str) -> Result<Self, ExpressionError> {
        Ok(Self { source: source.to_owned() })
    }

    /// The source text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the expression is true of `row`.
    ///
    /// # Errors
    /// [`EvaluationError`].
    pub fn evaluate(&self, _row: &Map<String, Value>) -> Result<bool, EvaluationError> {
        Err(EvaluationError {
            expression: self.source.clone(),
            message: "not built yet".to_owned(),
        })
    }
}
