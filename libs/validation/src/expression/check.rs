//! What can be checked before a row is there: names, numbers of arguments, patterns, and that nothing is used which rows do not have.

use std::collections::HashMap;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use regex::Regex;

use super::ExpressionError;
use super::functions::{FUNCTIONS, pattern};

/// Checks the expression; yields the compiled patterns of `matches` that are literals.
pub(super) fn check<'e>(
    source: &'e str,
    expression: &'e IdedExpr,
    variables: &[&'e str],
) -> Result<HashMap<String, Regex>, ExpressionError> {
    let mut check = Check {
        source,
        globals: variables.len(),
        variables: variables.to_vec(),
        patterns: HashMap::new(),
    };
    check.visit(expression)?;
    Ok(check.patterns)
}

struct Check<'e> {
    source: &'e str,
    /// In scope, innermost last.
    variables: Vec<&'e str>,
    /// How many of them are given from outside.
    globals: usize,
    patterns: HashMap<String, Regex>,
}

impl<'e> Check<'e> {
    fn visit(&mut self, expression: &'e IdedExpr) -> Result<(), ExpressionError> {
        match &expression.expr {
            Expr::Literal(LiteralValue::Bytes(_)) => {
                self.refuse("b", "bytes: rows have texts, write the string without `b`")
            }
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) if self.variables.contains(&name.as_str()) => Ok(()),
            Expr::Ident(name) => {
                let hint = match self.variables.get(..self.globals) {
                    Some(["row"]) => format!("the row's fields are written row.{name}"),
                    known => format!("there are {}", known.unwrap_or_default().join(", ")),
                };
                self.refuse(name, format!("unknown name `{name}`; {hint}"))
            }
            Expr::Select(select) => self.visit(&select.operand),
            Expr::Call(call) => self.visit_call(call),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.visit(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key)?;
                    self.visit(&entry.value)
                }
                EntryExpr::StructField(_) => self.refuse_message(),
            }),
            Expr::Comprehension(loops) => {
                self.visit(&loops.iter_range)?;
                self.visit(&loops.accu_init)?;
                let outer = self.variables.len();
                self.variables.extend([loops.iter_var.as_str(), loops.accu_var.as_str()]);
                self.visit(&loops.loop_cond)?;
                self.visit(&loops.loop_step)?;
                self.visit(&loops.result)?;
                self.variables.truncate(outer);
                Ok(())
            }
            Expr::Struct(_) => self.refuse_message(),
            Expr::Unspecified => self.refuse("", "an expression is missing"),
        }
    }

    fn visit_call(&mut self, call: &'e CallExpr) -> Result<(), ExpressionError> {
        let arguments = call.args.len() + usize::from(call.target.is_some());
        if !is_operator(&call.func_name) {
            let name = call.func_name.as_str();
            let Some((_, expected, form)) = FUNCTIONS.iter().find(|(known, ..)| *known == name)
            else {
                let known = FUNCTIONS.map(|(known, ..)| known).join(", ");
                return self.refuse(name, format!("unknown function `{name}`; there are {known}"));
            };
            if arguments != *expected {
                return self.refuse(name, format!("`{name}` is written {form}"));
            }
        }
        for part in call.target.iter().map(Box::as_ref).chain(&call.args) {
            self.visit(part)?;
        }
        if let ("matches", Some(Expr::Literal(LiteralValue::String(text)))) =
            (call.func_name.as_str(), call.args.last().map(|argument| &argument.expr))
        {
            match pattern(text.inner()) {
                Ok(regex) => _ = self.patterns.insert(text.inner().to_owned(), regex),
                Err(message) => return self.refuse("matches", message),
            }
        }
        Ok(())
    }

    fn refuse_message<T>(&self) -> Result<T, ExpressionError> {
        self.refuse("{", "messages are not available; a map is written {'key': value}")
    }

    /// The parser keeps no positions: the first place of the word in the source is given.
    fn refuse<T>(&self, word: &str, message: impl Into<String>) -> Result<T, ExpressionError> {
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let whole = |(offset, _): &(usize, &str)| {
            let (before, after) = self.source.split_at(*offset);
            let after = after.get(word.len()..).unwrap_or_default();
            !word.starts_with(letter) || !(before.ends_with(letter) || after.starts_with(letter))
        };
        let offset = self.source.match_indices(word).find(whole).map_or(0, |(offset, _)| offset);
        Err(ExpressionError::at(self.source, offset, message))
    }
}

/// Whether the parser writes this name for a sign or inside a macro. The optional syntax is switched off.
fn is_operator(name: &str) -> bool {
    use operators::*;
    [
        CONDITIONAL,
        LOGICAL_AND,
        LOGICAL_OR,
        LOGICAL_NOT,
        SUBSTRACT,
        ADD,
        MULTIPLY,
        DIVIDE,
        MODULO,
        EQUALS,
        NOT_EQUALS,
        GREATER_EQUALS,
        LESS_EQUALS,
        GREATER,
        LESS,
        NEGATE,
        INDEX,
        IN,
        NOT_STRICTLY_FALSE,
    ]
    .contains(&name)
}
