//! What a plain scalar means. No I/O.
//!
//! kubectl reads YAML 1.1 by the rules of go-yaml v2 (`sigs.k8s.io/yaml/goyaml.v2/resolve.go`), then
//! sends JSON. A local run must see the same values, traps included: `no` is false, `0755` is 493,
//! `1_000` is 1000, `1.0` arrives as the integer 1, `12:30` and `2024-01-01` are texts.

use serde_json::{Number, Value};

/// A plain scalar that no JSON can express: an infinity or NaN.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotFinite;

/// The value of a plain scalar.
pub(super) fn plain(text: &str) -> Result<Value, NotFinite> {
    let value = match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Value::Bool(true)
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Value::Bool(false)
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF"
        | "-.inf" | "-.Inf" | "-.INF" => return Err(NotFinite),
        _ => number(text).unwrap_or_else(|| Value::String(text.to_owned())),
    };
    Ok(value)
}

fn number(text: &str) -> Option<Value> {
    match text.as_bytes().first()? {
        b'.' if separates_digits(text) => float(&text.replace('_', "")),
        b'+' | b'-' | b'0'..=b'9' => {
            let digits = text.replace('_', "");
            integer(&digits).or_else(|| float(&digits))
        }
        _ => None,
    }
}

/// Whether each underscore stands between two digits, as Go's `strconv.ParseFloat` wants it.
fn separates_digits(text: &str) -> bool {
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').all(|(at, _)| {
        digit(at.checked_sub(1).and_then(|before| bytes.get(before))) && digit(bytes.get(at + 1))
    })
}

/// Go's `strconv.ParseInt` and `ParseUint` with base 0. Integers beyond 63 bits become floating
/// point, as in an API server; beyond 64 bits they are none.
fn integer(text: &str) -> Option<Value> {
    let (negative, magnitude) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = magnitude.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -value } else { value };
    match (i64::try_from(value), u64::try_from(value)) {
        (Ok(value), _) => Some(Value::from(value)),
        (_, Ok(value)) if magnitude.len() == text.len() => finite(value as f64),
        _ => None,
    }
}

/// A decimal number with a point or an exponent. Go refuses one beyond the range of a double, and
/// the text stays a text.
fn float(text: &str) -> Option<Value> {
    let shape = text.trim_start_matches(['+', '-']);
    let signs = text.len() - shape.len();
    let mantissa_and_exponent = shape.split(['e', 'E']).collect::<Vec<_>>();
    let mantissa = mantissa_and_exponent.first()?;
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if signs > 1 || !all_digits(mantissa) || !mantissa.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    finite(text.parse().ok()?)
}

/// Go writes a whole double as its shortest digits, filled up with zeros and without a point; an API
/// server reads an integer if it fits in 64 bits.
fn finite(value: f64) -> Option<Value> {
    if value == 0.0 {
        return Some(Value::from(0));
    }
    if value.fract() == 0.0
        && let Ok(integer) = value.to_string().parse::<i64>()
    {
        return Some(Value::from(integer));
    }
    Number::from_f64(value).map(Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_mean_what_kubectl_takes_them_for() {
        let check = |text: &str, expect: Value| assert_eq!(plain(text), Ok(expect), "{text:?}");
        for text in ["y", "Yes", "ON", "true", "TRUE"] {
            check(text, json!(true));
        }
        for text in ["n", "No", "off", "False"] {
            check(text, json!(false));
        }
        for text in ["", "~", "null", "NULL"] {
            check(text, Value::Null);
        }
        for text in [
            "yEs",
            "nO",
            "tRue",
            "None",
            "1e999",
            "12:30",
            "2024-01-01",
            "1.2.3",
            "0x",
            "--1",
            "1e",
            ".",
            "+",
            "-",
            "0xfg",
            "1 2",
            "_1",
            "٣",
            "infinity",
            "nan",
        ] {
            check(text, json!(text));
        }
        check("0755", json!(493));
        check("0o755", json!(493));
        check("0x1F", json!(31));
        check("-0b101", json!(-5));
        check("+7", json!(7));
        check("1_000", json!(1000));
        check("08", json!(8));
        check("1.0", json!(1));
        check("1e3", json!(1000));
        check("-0.0", json!(0));
        check(".5", json!(0.5));
        check("1.", json!(1));
        check("0.8", json!(0.8));
        check("-1.5E-3", json!(-0.0015));
        check("9223372036854775807", json!(9223372036854775807_i64));
        check("9223372036854775808", json!(9223372036854775808.0));
        check("0xffffffffffffffff", json!(18446744073709551615.0));
        check("0x1ffffffffffffffff", json!("0x1ffffffffffffffff"));
        check("07777777777777777777777777", json!(7777777777777777777777777.0));
        for text in [".nan", ".inf", "-.Inf"] {
            assert_eq!(plain(text), Err(NotFinite));
        }
    }
}
