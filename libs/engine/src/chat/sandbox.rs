//! Where templates run: the language as transformers sets Jinja up, without files, clocks or unbounded work.
//!
//! minijinja's fuel pays for instructions and bytes, but some work is done before it is charged: a value is turned into
//! text whole, and nested values recurse. Values are therefore measured before they are printed, and rendering has a
//! thread of its own, with a large stack and a time limit.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Output, State, Value};
use minijinja_contrib::pycompat;

use super::ChatError;

/// Instructions, and 64-byte units of data, that one rendering may use: thousands of messages.
const FUEL: u64 = 400_000;

/// Stack of the thread that compiles and renders. Fuel bounds how deeply a template can nest values (about 40,000
/// levels), and minijinja recurses along them.
const STACK_BYTES: usize = 64 << 20;

/// Longest that one rendering may take. Rendering takes about a millisecond and fuel stops it after some hundred; this
/// is for work that fuel does not see.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Most values inside one that is printed or handed to a method, counted as often as they would be printed.
const MAX_VALUES: usize = 100_000;

/// What `strftime_now` formats, midnight of Friday, 26 July 2024, so that equal inputs give equal prompts.
/// (Llama 3's template falls back to this day as well.)
pub const TEMPLATE_DATE: (u32, u32, u32) = (2024, 7, 26);

/// The message of `raise_exception`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Raised(pub(super) String);

/// The environment of every template.
pub(super) fn environment() -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_fuel(Some(FUEL));
    environment.set_debug(false);
    environment.set_formatter(print);
    environment.set_unknown_method_callback(call_method);
    environment.add_function("raise_exception", raise_exception);
    environment.add_function("strftime_now", |format: &str| strftime(format));
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", |value: &Value| {
        measured(value).map(|()| Value::from(value.to_string()))
    });
    environment.add_filter("join", join);
    // Widths in a format are unbounded; the others print values or are of no use here.
    for name in ["format", "pprint", "batch", "slice", "urlencode"] {
        environment.remove_filter(name);
    }
    environment.remove_global("debug");
    Ok(environment)
}

/// Runs the template engine where its recursion has room. `None`: it is not back in time, and its thread is lost.
///
/// # Errors
/// The thread cannot be started, or fails.
pub(super) fn on_own_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, ChatError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("chat-template".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || sender.send(work()))
        .map_err(|error| ChatError::Thread(format!("no thread to render it on: {error}")))?;
    match receiver.recv_timeout(TIME_LIMIT) {
        Ok(result) => Ok(Some(result)),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => {
            Err(ChatError::Thread("the template engine failed".to_owned()))
        }
    }
}

/// Prints as Jinja does without autoescape.
fn print(output: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    measured(value)?;
    minijinja::escape_formatter(output, state, value)
}

/// Python's methods of strings, lists and dictionaries.
fn call_method(
    state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    if method == "format" {
        return Err(Error::from(ErrorKind::UnknownMethod));
    }
    arguments.iter().chain([value]).try_for_each(measured)?;
    pycompat::unknown_method_callback(state, value, method, arguments)
}

fn raise_exception(message: &str) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, "raise_exception")
        .with_source(Raised(message.to_owned())))
}

fn join(state: &State<'_, '_>, value: &Value, separator: Option<&str>) -> Result<String, Error> {
    measured(value)?;
    let mut joined = String::new();
    for (index, item) in value.try_iter()?.enumerate() {
        let before = joined.len();
        if index > 0 {
            joined.push_str(separator.unwrap_or_default());
        }
        joined.push_str(&item.to_string());
        state.consume_fuel(1 + (joined.len() - before) as u64 / 64)?;
    }
    Ok(joined)
}

/// `tojson` of transformers: `json.dumps(value, ensure_ascii=False)`, unlike Jinja's own without escapes for HTML.
fn to_json(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<Value, Error> {
    measured(value)?;
    let indent = indent.or(options.get("indent")?);
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        let problem = "tojson writes other characters than ASCII as they are";
        return Err(Error::new(ErrorKind::InvalidOperation, problem));
    }
    options.assert_all_used()?;
    let indent = indent.map(|indent| Value::from(indent.min(16)));
    let none = Kwargs::from_iter(std::iter::empty::<(&str, Value)>());
    let escaped = minijinja::filters::tojson(value, indent, none)?;
    Ok(Value::from(unescape_html(escaped.as_str().unwrap_or_default())))
}

/// Undoes the four escapes that make JSON safe inside HTML.
fn unescape_html(json: &str) -> String {
    let mut result = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(position) = rest.find('\\') {
        let (before, escape) = rest.split_at(position);
        result.push_str(before);
        let known = [("\\u003c", "<"), ("\\u003e", ">"), ("\\u0026", "&"), ("\\u0027", "'")];
        let (length, text) = match known.iter().find(|(code, _)| escape.starts_with(code)) {
            Some((code, character)) => (code.len(), *character),
            // The character after a backslash belongs to it: `\\u003c` is a backslash and "u003c".
            None => (2, &escape[..2.min(escape.len())]),
        };
        result.push_str(text);
        rest = escape.get(length..).unwrap_or_default();
    }
    result + rest
}

/// Refuses a value that holds too many others; shared ones count each time, a cycle never ends.
fn measured(value: &Value) -> Result<(), Error> {
    let mut open = vec![value.clone()];
    let mut seen = 0;
    while let Some(next) = open.pop() {
        seen += 1;
        match next.kind() {
            ValueKind::Seq | ValueKind::Iterable => open.extend(next.try_iter()?.take(MAX_VALUES)),
            ValueKind::Map | ValueKind::Plain => {
                let object = next.as_object();
                let pairs = object.and_then(|object| object.try_iter_pairs());
                open.extend(
                    pairs
                        .into_iter()
                        .flatten()
                        .take(MAX_VALUES)
                        .flat_map(|(key, item)| [key, item]),
                );
            }
            _ => {}
        }
        if seen + open.len() > MAX_VALUES {
            return Err(Error::from(ErrorKind::OutOfFuel));
        }
    }
    Ok(())
}

/// `strftime` of [`TEMPLATE_DATE`].
fn strftime(format: &str) -> Result<String, Error> {
    let (year, month, day) = TEMPLATE_DATE;
    let mut result = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            result.push(character);
            continue;
        }
        result.push_str(&match characters.next() {
            Some('Y') => year.to_string(),
            Some('y') => format!("{:02}", year % 100),
            Some('m') => format!("{month:02}"),
            Some('d') => format!("{day:02}"),
            Some('B') => "July".to_owned(),
            Some('b' | 'h') => "Jul".to_owned(),
            Some('A') => "Friday".to_owned(),
            Some('a') => "Fri".to_owned(),
            Some('j') => "208".to_owned(),
            Some('H' | 'M' | 'S') => "00".to_owned(),
            Some('I') => "12".to_owned(),
            Some('p') => "AM".to_owned(),
            Some('%') => "%".to_owned(),
            other => {
                let directive = other.map(String::from).unwrap_or_default();
                let problem = format!("strftime_now does not know %{directive}");
                return Err(Error::new(ErrorKind::InvalidOperation, problem));
            }
        });
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_unescaped_once() {
        assert_eq!(
            unescape_html(r#""\u003cb\u003e \\u003c \u0026\u0027 \n \"""#),
            r#""<b> \\u003c &' \n \"""#
        );
        assert_eq!(unescape_html("\\"), "\\");
    }

    #[test]
    fn the_date_is_fixed() {
        assert_eq!(strftime("%d %b %Y, %A %H:%M 100%%").unwrap(), "26 Jul 2024, Friday 00:00 100%");
        assert!(strftime("%Q").is_err());
        assert!(strftime("%").is_err());
    }
}
