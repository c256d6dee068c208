//! Evaluates a checked expression over a row, each step and each byte it reads or makes paid from a budget.

use std::cmp::Ordering;
use std::collections::HashMap;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators,
};
use regex::Regex;

use super::functions::{PATTERN_COST, arithmetic, call, pattern};
use super::value::Value;
use crate::params::quote;

/// Steps and bytes for one row: well below a second, and megabytes.
const BUDGET: u64 = 5_000_000;

/// The expression's value where `variables` have these values; the error is a message.
pub(super) fn evaluate<'e>(
    expression: &'e IdedExpr,
    patterns: &'e HashMap<String, Regex>,
    variables: impl IntoIterator<Item = (&'e str, Value<'e>)>,
) -> Result<Value<'e>, String> {
    let scope = variables.into_iter().map(|(name, value)| (name, Ok(value))).collect();
    Evaluation { patterns, scope, budget: BUDGET }.value(expression)
}

struct Evaluation<'e> {
    patterns: &'e HashMap<String, Regex>,
    /// Variables, innermost last. A loop's result may be an error that a later element makes good.
    scope: Vec<(&'e str, Outcome<'e>)>,
    budget: u64,
}

type Outcome<'e> = Result<Value<'e>, String>;

impl<'e> Evaluation<'e> {
    fn spend(&mut self, cost: u64) -> Result<(), String> {
        let left = self.budget.checked_sub(cost);
        self.budget = left.unwrap_or(0);
        match left {
            Some(_) => Ok(()),
            None => {
                Err("it takes too many steps: shorten its loops, or the texts that it reads"
                    .to_owned())
            }
        }
    }

    fn value(&mut self, expression: &'e IdedExpr) -> Outcome<'e> {
        self.spend(1)?;
        match &expression.expr {
            Expr::Literal(literal) => literal_value(literal),
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => {
                let operand = self.value(&select.operand)?;
                self.select(&operand, &select.field, select.test)
            }
            Expr::Call(call) => self.call(call),
            Expr::List(list) => {
                let elements: Vec<_> = list
                    .elements
                    .iter()
                    .map(|element| self.value(element))
                    .collect::<Result<_, _>>()?;
                Ok(Value::List(elements.into()))
            }
            Expr::Map(map) => {
                let mut entries = Vec::new();
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        entries.push((self.value(&entry.key)?, self.value(&entry.value)?));
                    }
                }
                self.map(entries)
            }
            Expr::Comprehension(loops) => self.comprehension(loops),
            Expr::Struct(_) | Expr::Unspecified => Err("not available".to_owned()),
        }
    }

    fn variable(&mut self, name: &str) -> Outcome<'e> {
        match self.scope.iter().rev().find(|(known, _)| *known == name) {
            Some((_, outcome)) => outcome.clone(),
            None => Err(format!("no variable {}", quote(name))),
        }
    }

    fn map(&mut self, entries: Vec<(Value<'e>, Value<'e>)>) -> Outcome<'e> {
        for (at, (key, _)) in entries.iter().enumerate() {
            self.spend(at as u64)?;
            if !matches!(key, Value::Bool(_) | Value::Int(_) | Value::UInt(_) | Value::String(_)) {
                return Err(format!("{} cannot be the key of a map", key.kind()));
            }
            if entries.iter().take(at).any(|(known, _)| known.equals(key)) {
                return Err("a map has the same key twice".to_owned());
            }
        }
        Ok(Value::Map(entries.into()))
    }

    /// `operand.field`, or `has(operand.field)`.
    fn select(&mut self, operand: &Value<'e>, field: &'e str, test: bool) -> Outcome<'e> {
        self.spend(lookup_cost(operand))?;
        match operand.entry(&Value::text(field)) {
            None => Err(format!("{} has no field {}", operand.kind(), quote(field))),
            Some(found) if test => Ok(Value::Bool(found.is_some())),
            Some(Some(value)) => Ok(value),
            Some(None) => Err(no_key(operand, &quote(field))),
        }
    }

    fn call(&mut self, expression: &'e CallExpr) -> Outcome<'e> {
        let name = expression.func_name.as_str();
        match (name, expression.args.as_slice()) {
            (operators::CONDITIONAL, [condition, yes, no]) => match self.value(condition)? {
                Value::Bool(true) => self.value(yes),
                Value::Bool(false) => self.value(no),
                other => {
                    Err(format!("the condition before `?` is of type {}, not bool", other.kind()))
                }
            },
            (operators::LOGICAL_OR, [a, b]) => self.logic(a, b, true),
            (operators::LOGICAL_AND, [a, b]) => self.logic(a, b, false),
            (operators::NOT_STRICTLY_FALSE, [a]) => {
                let value = self.value(a);
                Ok(Value::Bool(!matches!(value, Ok(Value::Bool(false)))))
            }
            _ => {
                let target = expression.target.iter().map(Box::as_ref);
                let arguments: Vec<_> = target
                    .chain(&expression.args)
                    .map(|argument| self.value(argument))
                    .collect::<Result<_, _>>()?;
                self.apply(name, &arguments)
            }
        }
    }

    /// `||` (`decisive` true) and `&&` (false): one side that decides is enough, even if the other fails.
    fn logic(&mut self, a: &'e IdedExpr, b: &'e IdedExpr, decisive: bool) -> Outcome<'e> {
        let truth = |value: Value<'e>| match value {
            Value::Bool(flag) => Ok(flag),
            other => Err(format!("`||` and `&&` join bools, not {}", other.kind())),
        };
        let left = self.value(a).and_then(truth);
        if left == Ok(decisive) {
            return Ok(Value::Bool(decisive));
        }
        match (left, self.value(b).and_then(truth)) {
            (_, Ok(right)) if right == decisive => Ok(Value::Bool(decisive)),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(_), Ok(_)) => Ok(Value::Bool(!decisive)),
        }
    }

    fn apply(&mut self, name: &str, arguments: &[Value<'e>]) -> Outcome<'e> {
        let order = |accept: fn(Ordering) -> bool, a: &Value<'e>, b: &Value<'e>| match a.compare(b)
        {
            Some(order) => Ok(Value::Bool(order.is_some_and(accept))),
            None => Err(format!("{} and {} have no order", a.kind(), b.kind())),
        };
        self.spend(cost(name, arguments))?;
        match (name, arguments) {
            (operators::EQUALS, [a, b]) => Ok(Value::Bool(a.equals(b))),
            (operators::NOT_EQUALS, [a, b]) => Ok(Value::Bool(!a.equals(b))),
            (operators::LESS, [a, b]) => order(Ordering::is_lt, a, b),
            (operators::LESS_EQUALS, [a, b]) => order(Ordering::is_le, a, b),
            (operators::GREATER, [a, b]) => order(Ordering::is_gt, a, b),
            (operators::GREATER_EQUALS, [a, b]) => order(Ordering::is_ge, a, b),
            (operators::IN, [element, container]) => {
                match (container.elements(), container.entry(element)) {
                    (Some(elements), _) => {
                        self.spend(element.weight().saturating_mul(elements.len() as u64))?;
                        Ok(Value::Bool(elements.iter().any(|known| known.equals(element))))
                    }
                    (None, Some(found)) => Ok(Value::Bool(found.is_some())),
                    _ => Err(format!("`in` needs a list or a map, not {}", container.kind())),
                }
            }
            (operators::INDEX, [container, key]) => self.index(container, key),
            (operators::LOGICAL_NOT, [Value::Bool(flag)]) => Ok(Value::Bool(!flag)),
            ("matches", [Value::String(text), Value::String(regex)]) => self.matches(text, regex),
            _ if name.contains('_') => arithmetic(name, arguments),
            _ => call(name, arguments),
        }
    }

    fn matches(&mut self, text: &str, regex: &str) -> Outcome<'e> {
        // The search takes at most the product of both.
        self.spend((text.len() as u64).saturating_mul(regex.len() as u64))?;
        let found = match self.patterns.get(regex) {
            Some(compiled) => compiled.is_match(text),
            None => {
                self.spend(PATTERN_COST)?;
                pattern(regex)?.is_match(text)
            }
        };
        Ok(Value::Bool(found))
    }

    fn index(&mut self, container: &Value<'e>, key: &Value<'e>) -> Outcome<'e> {
        if let Some(found) = container.entry(key) {
            return found.ok_or_else(|| match key {
                Value::String(key) => no_key(container, &quote(key)),
                other => format!("the map has no such key of type {}", other.kind()),
            });
        }
        let Some(elements) = container.elements() else {
            return Err(format!("{} has no elements", container.kind()));
        };
        let at = match key {
            Value::Int(at) => usize::try_from(*at).ok(),
            Value::UInt(at) => usize::try_from(*at).ok(),
            other => return Err(format!("a list is indexed by int, not {}", other.kind())),
        };
        let element = at.and_then(|at| elements.get(at)).cloned();
        element
            .ok_or_else(|| format!("the index is outside the list of {} elements", elements.len()))
    }

    /// The loop that a macro stands for. Iterates over elements, or the keys of a map.
    fn comprehension(&mut self, loops: &'e ComprehensionExpr) -> Outcome<'e> {
        let range = self.value(&loops.iter_range)?;
        let Some(items) = range.elements().or_else(|| range.keys()) else {
            return Err(format!("a loop needs a list or a map, not {}", range.kind()));
        };
        self.spend(items.len() as u64)?;
        let outer = self.scope.len();
        let start = self.value(&loops.accu_init);
        self.scope.push((&loops.accu_var, start));
        for item in items.iter() {
            if !matches!(self.value(&loops.loop_cond)?, Value::Bool(true)) {
                break;
            }
            self.scope.truncate(outer + 1);
            self.scope.push((&loops.iter_var, Ok(item.clone())));
            let next = self.value(&loops.loop_step);
            self.scope.truncate(outer);
            self.scope.push((&loops.accu_var, next));
        }
        self.scope.truncate(outer + 1);
        let result = self.value(&loops.result);
        self.scope.truncate(outer);
        result
    }
}

fn literal_value(literal: &LiteralValue) -> Outcome<'_> {
    match literal {
        LiteralValue::Null => Ok(Value::Null),
        LiteralValue::Boolean(flag) => Ok(Value::Bool(*flag.inner())),
        LiteralValue::Int(int) => Ok(Value::Int(*int.inner())),
        LiteralValue::UInt(uint) => Ok(Value::UInt(*uint.inner())),
        LiteralValue::Double(double) => Ok(Value::Double(*double.inner())),
        LiteralValue::String(text) => Ok(Value::text(text.inner())),
        LiteralValue::Bytes(_) => Err("bytes are not available".to_owned()),
    }
}

/// What an operation reads of its arguments. Elements and fields are shared, not read.
fn cost(name: &str, arguments: &[Value<'_>]) -> u64 {
    let lists = arguments.iter().all(|argument| argument.kind() == "list");
    match (name, arguments) {
        (operators::INDEX, [container, _]) => match container {
            Value::Json(_) => container.size().unwrap_or_default() as u64,
            other => lookup_cost(other),
        },
        (operators::ADD, [a, b]) if lists => {
            [a, b].into_iter().map(|list| list.size().unwrap_or_default() as u64).sum()
        }
        _ => arguments.iter().map(Value::weight).sum(),
    }
}

fn lookup_cost(container: &Value<'_>) -> u64 {
    match container {
        Value::Map(entries) => entries.len() as u64,
        _ => 1,
    }
}

/// The message for a missing key, naming those there are.
fn no_key(map: &Value<'_>, key: &str) -> String {
    const SHOWN: usize = 12;
    let keys = map.keys().unwrap_or_else(|| [].into());
    let mut names: Vec<String> = keys
        .iter()
        .take(SHOWN)
        .map(|key| match key {
            Value::String(key) => quote(key),
            other => other.kind().to_owned(),
        })
        .collect();
    if keys.len() > SHOWN {
        names.push("…".to_owned());
    }
    match names.is_empty() {
        true => format!("there is no field {key}; the map is empty"),
        false => format!("there is no field {key}; there are {}", names.join(", ")),
    }
}
