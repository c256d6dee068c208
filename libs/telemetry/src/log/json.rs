//! A line of the log as one flat JSON object.

use std::fmt;
use std::fmt::Write as _;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// What every line begins with. A field of these names keeps its value under the name with `_` behind it.
const FIRST: [&str; 4] = ["timestamp", "level", "target", "message"];

/// `timestamp` (RFC 3339, UTC, microseconds), `level`, `target`, `message`; then the fields of the spans around the event, from the
/// outermost on (`trace_id` and `span_id` among them where the work is part of a trace), then the event's own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Json;

impl<S> FormatEvent<S, JsonFields> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let written = extensions.get::<FormattedFields<JsonFields>>();
            // What the library has written is an object.
            let Some(Ok(Value::Object(more))) =
                written.map(|written| serde_json::from_str(&written.fields))
            else {
                continue;
            };
            more.into_iter().for_each(|(name, value)| fields.set(&name, value));
        }
        event.record(&mut fields);
        let now = jiff::Timestamp::now();
        let first = [
            Value::from(format!("{now:.6}")),
            metadata.level().as_str().to_ascii_lowercase().into(),
            metadata.target().into(),
            fields.message.into(),
        ];
        let line: Map<String, Value> =
            FIRST.map(str::to_owned).into_iter().zip(first).chain(fields.others).collect();
        let line = serde_json::to_string(&line).map_err(|_| fmt::Error)?;
        writeln!(writer, "{line}")
    }
}

/// An event's message and fields.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn set(&mut self, name: &str, value: Value) {
        let mut name = name.strip_prefix("r#").unwrap_or(name).to_owned();
        if FIRST.contains(&name.as_str()) {
            name.push('_');
        }
        self.others.insert(name, value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // A value that cannot be written costs its own field, not the line.
        let _ = write!(text, "{value:?}");
        match field.name() {
            "message" => self.message = text,
            name => self.set(name, text.into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name => self.set(name, value.into()),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no test panics with it").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `told` logs.
    fn lines(told: impl FnOnce()) -> Vec<Map<String, Value>> {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .fmt_fields(JsonFields::new())
            .event_format(Json)
            .finish();
        tracing::subscriber::with_default(log, told);
        let bytes = lines.0.lock().expect("no test panics with it").clone();
        let text = String::from_utf8(bytes).expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    #[test]
    fn a_line_is_one_flat_object_that_begins_with_time_level_target_and_message() {
        let lines = lines(|| {
            tracing::info!(target: "audit", key = "team-a", status = 200, ratio = 0.5, ok = true, "call of {}", "x");
        });
        let names: Vec<&str> = lines[0].keys().map(String::as_str).collect();
        assert_eq!(names[..4], FIRST);
        let line = Value::Object(lines[0].clone());
        assert_eq!(line["level"], "info");
        assert_eq!(line["target"], "audit");
        assert_eq!(line["message"], "call of x");
        assert_eq!((&line["key"], &line["status"]), (&"team-a".into(), &200.into()));
        assert_eq!((&line["ratio"], &line["ok"]), (&0.5.into(), &true.into()));
        let time = line["timestamp"].as_str().expect("a text");
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.ends_with('Z'), "{time}");
        assert_eq!(time.len(), "2026-01-02T03:04:05.678901Z".len(), "{time}");
    }

    #[test]
    fn the_fields_of_spans_are_the_lines_too_and_the_innermost_wins() {
        let lines = lines(|| {
            let outer = tracing::info_span!("call", trace_id = "t1", span_id = "s1");
            let _outer = outer.enter();
            tracing::warn!("outer");
            let inner = tracing::info_span!("row", span_id = "s2", row = 7);
            let _inner = inner.enter();
            tracing::warn!(row = 8, "inner");
        });
        assert_eq!((&lines[0]["trace_id"], &lines[0]["span_id"]), (&"t1".into(), &"s1".into()));
        assert_eq!((&lines[1]["trace_id"], &lines[1]["span_id"]), (&"t1".into(), &"s2".into()));
        assert_eq!(lines[1]["row"], 8);
    }

    #[test]
    fn a_field_cannot_pass_for_what_a_line_begins_with() {
        let lines = lines(|| tracing::info!(level = "fatal", target = "audit", "a\nb\"c"));
        assert_eq!((&lines[0]["level"], &lines[0]["level_"]), (&"info".into(), &"fatal".into()));
        assert_eq!(lines[0]["target_"], "audit");
        assert_eq!(lines[0]["message"], "a\nb\"c");
    }
}
