//! Values of an expression: JSON of the row, read in place, and what is computed from it.

use std::cmp::Ordering;
use std::ops::Deref;
use std::rc::Rc;

use serde_json::Value as Json;

/// A text of the row or the expression, or one that was made.
#[derive(Debug, Clone)]
pub(super) enum Text<'r> {
    Borrowed(&'r str),
    Shared(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// A CEL value. Texts, lists and maps are shared, so that a copy is cheap.
#[derive(Debug, Clone)]
pub(super) enum Value<'r> {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Double(f64),
    String(Text<'r>),
    List(Rc<[Value<'r>]>),
    /// A list or object of the row.
    Json(&'r Json),
    Fields(&'r serde_json::Map<String, Json>),
    Map(Rc<[(Value<'r>, Value<'r>)]>),
}

impl<'r> Value<'r> {
    pub(super) fn of(json: &'r Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(flag) => Self::Bool(*flag),
            Json::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(int), _) => Self::Int(int),
                (None, Some(uint)) => Self::UInt(uint),
                (None, None) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::text(text),
            Json::Array(_) => Self::Json(json),
            Json::Object(fields) => Self::Fields(fields),
        }
    }

    pub(super) fn text(text: &'r str) -> Self {
        Self::String(Text::Borrowed(text))
    }

    pub(super) fn made(text: impl Into<Rc<str>>) -> Self {
        Self::String(Text::Shared(text.into()))
    }

    /// The type's name in CEL.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::UInt(_) => "uint",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::List(_) | Self::Json(_) => "list",
            Self::Fields(_) | Self::Map(_) => "map",
        }
    }

    /// The elements, if it is a list.
    pub(super) fn elements(&self) -> Option<Rc<[Value<'r>]>> {
        match self {
            Self::List(elements) => Some(elements.clone()),
            Self::Json(Json::Array(elements)) => Some(elements.iter().map(Value::of).collect()),
            _ => None,
        }
    }

    /// The keys, if it is a map, in the row's or the literal's order.
    pub(super) fn keys(&self) -> Option<Rc<[Value<'r>]>> {
        match self {
            Self::Fields(fields) => Some(fields.keys().map(|key| Self::text(key)).collect()),
            Self::Map(entries) => Some(entries.iter().map(|(key, _)| key.clone()).collect()),
            _ => None,
        }
    }

    /// What stands under `key`, if this is a map; the inner `None` if it has no such key.
    pub(super) fn entry(&self, key: &Value<'_>) -> Option<Option<Value<'r>>> {
        match (self, key) {
            (Self::Fields(fields), Value::String(key)) => Some(fields.get(&**key).map(Value::of)),
            (Self::Fields(_), _) => Some(None),
            (Self::Map(entries), key) => Some(
                entries.iter().find(|(known, _)| known.equals(key)).map(|(_, value)| value.clone()),
            ),
            _ => None,
        }
    }

    /// Characters, elements or entries.
    pub(super) fn size(&self) -> Option<usize> {
        match self {
            Self::String(text) => Some(text.chars().count()),
            Self::List(elements) => Some(elements.len()),
            Self::Json(json) => json.as_array().map(Vec::len),
            Self::Fields(fields) => Some(fields.len()),
            Self::Map(entries) => Some(entries.len()),
            _ => None,
        }
    }

    /// How much there is to read in it: bytes of texts, and one for everything else. A map that the expression made is searched
    /// entry by entry, so it counts by the square.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::String(text) => 1 + text.len() as u64,
            Self::List(elements) => 1 + elements.iter().map(Value::weight).sum::<u64>(),
            Self::Json(json) => weight_of(json),
            Self::Fields(fields) => {
                1 + fields.iter().map(|(key, json)| key.len() as u64 + weight_of(json)).sum::<u64>()
            }
            Self::Map(entries) => {
                let square = (entries.len() as u64).pow(2);
                1 + square
                    + entries.iter().map(|(key, value)| key.weight() + value.weight()).sum::<u64>()
            }
            _ => 1,
        }
    }

    /// CEL's `==`: numbers of all types compare, values of different types are not equal.
    pub(super) fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::String(a), Value::String(b)) => **a == **b,
            _ if self.is_number() && other.is_number() => {
                self.compare(other) == Some(Some(Ordering::Equal))
            }
            _ => match (self.elements(), other.elements()) {
                (Some(a), Some(b)) => {
                    a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(b))
                }
                (None, None) => self.equal_maps(other),
                _ => false,
            },
        }
    }

    fn equal_maps(&self, other: &Value<'_>) -> bool {
        let (Some(keys), true) = (self.keys(), self.size() == other.size()) else { return false };
        keys.iter().all(|key| match (self.entry(key), other.entry(key)) {
            (Some(Some(a)), Some(Some(b))) => a.equals(&b),
            _ => false,
        })
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int(_) | Self::UInt(_) | Self::Double(_))
    }

    /// CEL's order: `None` for values that have none, `Some(None)` where a number is NaN.
    pub(super) fn compare(&self, other: &Value<'_>) -> Option<Option<Ordering>> {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => Some(Some(a.cmp(b))),
            (Value::String(a), Value::String(b)) => Some(Some((**a).cmp(b))),
            (Value::Double(a), Value::Double(b)) => Some(a.partial_cmp(b)),
            (Value::Double(a), b) => Some(compare_double(*a, b.integer()?)),
            (a, Value::Double(b)) => Some(compare_double(*b, a.integer()?).map(Ordering::reverse)),
            (a, b) => Some(Some(a.integer()?.cmp(&b.integer()?))),
        }
    }

    /// An int or uint, where both fit.
    fn integer(&self) -> Option<i128> {
        match self {
            Self::Int(int) => Some(i128::from(*int)),
            Self::UInt(uint) => Some(i128::from(*uint)),
            _ => None,
        }
    }
}

/// Exact, also beyond 2⁵³.
fn compare_double(double: f64, integer: i128) -> Option<Ordering> {
    match double {
        _ if double.is_nan() => None,
        _ if double.abs() >= 1e20 => {
            Some(if double > 0.0 { Ordering::Greater } else { Ordering::Less })
        }
        _ => {
            let whole = double.floor();
            let order = (whole as i128).cmp(&integer);
            Some(if order == Ordering::Equal && double > whole { Ordering::Greater } else { order })
        }
    }
}

fn weight_of(json: &Json) -> u64 {
    match json {
        Json::String(text) => 1 + text.len() as u64,
        Json::Array(elements) => 1 + elements.iter().map(weight_of).sum::<u64>(),
        Json::Object(fields) => {
            1 + fields.iter().map(|(key, json)| key.len() as u64 + weight_of(json)).sum::<u64>()
        }
        _ => 1,
    }
}
