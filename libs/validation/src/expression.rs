//! CEL expressions over a row, from users who are not trusted: bounded before they are parsed, checked before they run, and run with a
//! budget.
//!
//! The grammar is the `cel` crate's, which the API server's rules are checked with too. Its interpreter is not used, because it has
//! no budget, panics on some expressions (`bytes.contains(b'')`, messages), and walks maps in random order; [`evaluate`] follows the
//! language definition over JSON values: <https://github.com/google/cel-spec/blob/master/doc/langdef.md>.

mod check;
mod evaluate;
mod functions;
mod scan;
mod value;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use cel::common::ast::IdedExpr;
use regex::Regex;
use serde_json::{Map, Value as Json};

use self::value::Value;
use crate::metric::Sample;
use crate::params::quote;

/// A compiled CEL expression: a condition on the variable `row`, a map of the row's fields, or a measure of a text. Cheap to clone.
///
/// It has CEL's operators, macros (`has`, `all`, `exists`, `exists_one`, `map`, `filter`) and the functions `size`, `contains`, `startsWith`,
/// `endsWith`, `matches`, `lowerAscii`, `upperAscii`, `trim`, `string`, `int`, `uint`, `double`. Whole numbers of a row are int, others double.
/// Left out, as rows have no use for them: bytes, timestamps, durations, messages, `dyn` and `type`.
#[derive(Clone)]
pub struct Expression {
    source: Arc<str>,
    parsed: Arc<IdedExpr>,
    /// The patterns of `matches` that are literals.
    patterns: Arc<HashMap<String, Regex>>,
}

/// Why a source text is no usable expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ExpressionError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What was found, and what is allowed.
    pub message: String,
}

/// Why an expression has no answer for a row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the expression {} failed on this row: {message}", quote(.expression))]
pub struct EvaluationError {
    /// The expression's source.
    pub expression: String,
    /// What happened.
    pub message: String,
}

impl Expression {
    /// Compiles a condition: at most 4,096 bytes, 500 tokens and 24 open brackets. The row's fields are not known yet, but all
    /// that does not depend on a row is checked.
    ///
    /// # Errors
    /// [`ExpressionError`] with the position.
    pub fn compile(source: &str) -> Result<Self, ExpressionError> {
        Self::compile_over(source, &["row"])
    }

    /// The same of an expression over the variables that [`Expression::measure`] sets.
    pub(crate) fn compile_measure(source: &str) -> Result<Self, ExpressionError> {
        Self::compile_over(source, &["text", "references", "tokens", "finishReason"])
    }

    fn compile_over(source: &str, variables: &[&str]) -> Result<Self, ExpressionError> {
        scan::bound(source)?;
        let parsed = parse(source)?;
        let patterns = check::check(source, &parsed, variables)?;
        Ok(Self { source: source.into(), parsed: Arc::new(parsed), patterns: Arc::new(patterns) })
    }

    /// The source text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the expression is true of `row`. Time and memory are bounded by a budget of steps, not by the row's size.
    ///
    /// # Errors
    /// [`EvaluationError`] if a field is missing, types do not fit, the budget is spent, or the result is neither true nor false.
    pub fn evaluate(&self, row: &Map<String, Json>) -> Result<bool, EvaluationError> {
        let value = evaluate::evaluate(&self.parsed, &self.patterns, [("row", Value::Fields(row))]);
        match value.map_err(|message| self.error(message))? {
            Value::Bool(answer) => Ok(answer),
            other => Err(self.error(format!("the result is of type {}, not bool", other.kind()))),
        }
    }

    /// The number that the expression is for a text; true is 1 and false 0. Bounded as [`Expression::evaluate`].
    ///
    /// # Errors
    /// [`EvaluationError`] as there, or if the result is no finite number.
    pub(crate) fn measure(&self, sample: &Sample<'_>) -> Result<f64, EvaluationError> {
        let references: Rc<[Value<'_>]> =
            sample.references.iter().map(|text| Value::text(text)).collect();
        let tokens =
            sample.tokens.map(|tokens| Value::Int(i64::try_from(tokens).unwrap_or(i64::MAX)));
        let variables = [
            ("text", Value::text(sample.text)),
            ("references", Value::List(references)),
            ("tokens", tokens.unwrap_or(Value::Null)),
            ("finishReason", sample.finish_reason.map_or(Value::Null, Value::text)),
        ];
        let value = evaluate::evaluate(&self.parsed, &self.patterns, variables)
            .map_err(|message| self.error(message))?;
        let number = match value {
            Value::Bool(flag) => f64::from(u8::from(flag)),
            Value::Int(int) => int as f64,
            Value::UInt(uint) => uint as f64,
            // The sum of a hundred million of them is finite.
            Value::Double(double) if double.abs() <= 1e300 => double,
            Value::Double(double) => {
                return Err(self.error(format!(
                    "the result is {double}, which is no number from -1e300 to 1e300"
                )));
            }
            other => {
                let kind = other.kind();
                return Err(
                    self.error(format!("the result is of type {kind}, not a number or bool"))
                );
            }
        };
        Ok(number)
    }

    fn error(&self, message: String) -> EvaluationError {
        EvaluationError { expression: self.source.to_string(), message }
    }
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Expression").field(&self.source).finish()
    }
}

/// Parses a text that [`scan::bound`] let through.
fn parse(source: &str) -> Result<IdedExpr, ExpressionError> {
    // The parser counts its depth down below zero in some error paths, which panics where overflow is checked.
    let parsed = catch_unwind(AssertUnwindSafe(|| cel::parser::Parser::new().parse(source)));
    let errors = match parsed {
        Ok(Ok(parsed)) => return Ok(parsed),
        Ok(Err(errors)) => errors.errors,
        Err(_) => Vec::new(),
    };
    let Some(first) = errors.first() else {
        return Err(ExpressionError {
            line: 1,
            column: 1,
            message: "not a CEL expression".to_owned(),
        });
    };
    let message = first.msg.trim_start_matches("Syntax error: ");
    // The list of all tokens that might stand here helps nobody.
    let message = message.split(" expecting {").next().unwrap_or(message).to_owned();
    let at = |position: isize| usize::try_from(position).unwrap_or(1).max(1);
    Err(ExpressionError { line: at(first.pos.0), column: at(first.pos.1), message })
}

impl ExpressionError {
    /// An error at the byte `offset` of `source`.
    fn at(source: &str, offset: usize, message: impl Into<String>) -> Self {
        let before = source.get(..offset).unwrap_or(source);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Self { line, column, message: message.into() }
    }
}
