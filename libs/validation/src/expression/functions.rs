//! The functions and the arithmetic of expressions.

use cel::common::ast::operators;
use regex::{Regex, RegexBuilder};

use super::value::Value;

/// Name, number of arguments with the target, and how it is written.
pub(super) const FUNCTIONS: [(&str, usize, &str); 12] = [
    ("size", 1, "size(x) or x.size()"),
    ("contains", 2, "text.contains(part)"),
    ("startsWith", 2, "text.startsWith(part)"),
    ("endsWith", 2, "text.endsWith(part)"),
    ("matches", 2, "text.matches(pattern)"),
    ("lowerAscii", 1, "text.lowerAscii()"),
    ("upperAscii", 1, "text.upperAscii()"),
    ("trim", 1, "text.trim()"),
    ("string", 1, "string(x)"),
    ("int", 1, "int(x)"),
    ("uint", 1, "uint(x)"),
    ("double", 1, "double(x)"),
];

/// What a pattern that comes from a row costs beside its length.
pub(super) const PATTERN_COST: u64 = 100_000;

/// Compiles a pattern of `matches`, in at most 256 KiB.
pub(super) fn pattern(text: &str) -> Result<Regex, String> {
    const LIMIT: usize = 256 << 10;
    let regex =
        RegexBuilder::new(text).size_limit(LIMIT).dfa_size_limit(LIMIT).nest_limit(64).build();
    regex.map_err(|error| {
        let error = error.to_string();
        format!("no regular expression: {}", error.lines().last().unwrap_or_default().trim())
    })
}

/// Calls a function other than `matches` with `arguments`, of which the target is the first.
pub(super) fn call<'r>(name: &str, arguments: &[Value<'r>]) -> Result<Value<'r>, String> {
    let wrong = || does_not_take(name, arguments);
    Ok(match (name, arguments) {
        ("size", [value]) => match value.size() {
            Some(size) => Value::Int(size as i64),
            None => return wrong(),
        },
        ("contains", [Value::String(text), Value::String(part)]) => {
            Value::Bool(text.contains(&**part))
        }
        ("startsWith", [Value::String(text), Value::String(part)]) => {
            Value::Bool(text.starts_with(&**part))
        }
        ("endsWith", [Value::String(text), Value::String(part)]) => {
            Value::Bool(text.ends_with(&**part))
        }
        ("lowerAscii", [Value::String(text)]) => Value::made(text.to_ascii_lowercase()),
        ("upperAscii", [Value::String(text)]) => Value::made(text.to_ascii_uppercase()),
        ("trim", [Value::String(text)]) => Value::made(text.trim()),
        ("string", [value]) => match value {
            Value::String(_) => value.clone(),
            Value::Bool(flag) => text(flag),
            Value::Int(int) => text(int),
            Value::UInt(uint) => text(uint),
            Value::Double(double) => text(double),
            _ => return wrong(),
        },
        ("int", [value]) => match whole(value) {
            Some(number) => {
                Value::Int(number.try_into().map_err(|_| format!("{number} is no int"))?)
            }
            None => return wrong_number(name, value),
        },
        ("uint", [value]) => match whole(value) {
            Some(number) => {
                Value::UInt(number.try_into().map_err(|_| format!("{number} is no uint"))?)
            }
            None => return wrong_number(name, value),
        },
        ("double", [value]) => match value {
            Value::Double(double) => Value::Double(*double),
            Value::Int(int) => Value::Double(*int as f64),
            Value::UInt(uint) => Value::Double(*uint as f64),
            Value::String(text) => match text.parse() {
                Ok(double) => Value::Double(double),
                Err(_) => return wrong_number(name, value),
            },
            _ => return wrong(),
        },
        _ => return wrong(),
    })
}

fn text<'r>(value: &impl ToString) -> Value<'r> {
    Value::made(value.to_string())
}

fn does_not_take<T>(name: &str, arguments: &[Value<'_>]) -> Result<T, String> {
    let kinds = arguments.iter().map(Value::kind).collect::<Vec<_>>().join(" and ");
    // The parser writes `+` as `_+_`.
    Err(format!("`{}` does not take {kinds}", name.trim_matches('_')))
}

/// `+ - * / %`, and `-` before a number. Like CEL's, they do not mix int, uint and double, and do not wrap.
pub(super) fn arithmetic<'r>(name: &str, arguments: &[Value<'r>]) -> Result<Value<'r>, String> {
    use operators::{ADD, DIVIDE, MODULO, MULTIPLY, NEGATE, SUBSTRACT};
    let whole = match (name, arguments) {
        (ADD, [Value::String(a), Value::String(b)]) => {
            return Ok(Value::made([&**a, &**b].concat()));
        }
        (ADD, [Value::Double(a), Value::Double(b)]) => return Ok(Value::Double(a + b)),
        (SUBSTRACT, [Value::Double(a), Value::Double(b)]) => return Ok(Value::Double(a - b)),
        (MULTIPLY, [Value::Double(a), Value::Double(b)]) => return Ok(Value::Double(a * b)),
        (DIVIDE, [Value::Double(a), Value::Double(b)]) => return Ok(Value::Double(a / b)),
        (NEGATE, [Value::Double(a)]) => return Ok(Value::Double(-a)),
        (DIVIDE | MODULO, [_, Value::Int(0) | Value::UInt(0)]) => {
            return Err("division by zero".to_owned());
        }
        (ADD, [Value::Int(a), Value::Int(b)]) => a.checked_add(*b).map(Value::Int),
        (SUBSTRACT, [Value::Int(a), Value::Int(b)]) => a.checked_sub(*b).map(Value::Int),
        (MULTIPLY, [Value::Int(a), Value::Int(b)]) => a.checked_mul(*b).map(Value::Int),
        (DIVIDE, [Value::Int(a), Value::Int(b)]) => a.checked_div(*b).map(Value::Int),
        (MODULO, [Value::Int(a), Value::Int(b)]) => a.checked_rem(*b).map(Value::Int),
        (NEGATE, [Value::Int(a)]) => a.checked_neg().map(Value::Int),
        (ADD, [Value::UInt(a), Value::UInt(b)]) => a.checked_add(*b).map(Value::UInt),
        (SUBSTRACT, [Value::UInt(a), Value::UInt(b)]) => a.checked_sub(*b).map(Value::UInt),
        (MULTIPLY, [Value::UInt(a), Value::UInt(b)]) => a.checked_mul(*b).map(Value::UInt),
        (DIVIDE, [Value::UInt(a), Value::UInt(b)]) => a.checked_div(*b).map(Value::UInt),
        (MODULO, [Value::UInt(a), Value::UInt(b)]) => a.checked_rem(*b).map(Value::UInt),
        (ADD, [a, b]) => match (a.elements(), b.elements()) {
            (Some(a), Some(b)) => Some(Value::List(a.iter().chain(b.iter()).cloned().collect())),
            _ => return does_not_take(name, arguments),
        },
        _ => return does_not_take(name, arguments),
    };
    whole.ok_or_else(|| format!("`{}` leaves the range of 64-bit integers", name.trim_matches('_')))
}

/// A number without its fraction, or the whole number that a text is.
fn whole(value: &Value<'_>) -> Option<i128> {
    match value {
        Value::Int(int) => Some(i128::from(*int)),
        Value::UInt(uint) => Some(i128::from(*uint)),
        Value::Double(double) if double.abs() < 1e20 => Some(double.trunc() as i128),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn wrong_number<T>(name: &str, value: &Value<'_>) -> Result<T, String> {
    Err(match value {
        Value::String(text) => format!("{name}: {} is no number", crate::params::quote(text)),
        Value::Double(double) => format!("{name}: {double} is out of range"),
        other => format!("{name} does not take {}", other.kind()),
    })
}
