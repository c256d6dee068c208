//! JSONL, CSV and Markdown.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::ser::{SerializeMap, Serializer};
use serde_json::Value;

use super::{FormatError, Options, Schema, Sink, TableWriter};
use crate::display;
use crate::record::Record;

fn names(schema: &Schema) -> Vec<String> {
    schema.columns().iter().map(|(name, _)| name.clone()).collect()
}

/// The value as the text of a cell: strings as they are, null as nothing, the rest as JSON.
fn cell(value: Option<&Value>) -> Cow<'_, str> {
    match value {
        None | Some(Value::Null) => "".into(),
        Some(Value::String(text)) => text.into(),
        Some(other) => other.to_string().into(),
    }
}

pub(super) struct JsonlWriter<'w> {
    names: Vec<String>,
    sink: Sink<'w>,
}

impl<'w> JsonlWriter<'w> {
    pub(super) fn new(schema: &Schema, sink: Sink<'w>) -> Self {
        Self { names: names(schema), sink }
    }
}

impl TableWriter for JsonlWriter<'_> {
    fn write(&mut self, row: &Record) -> Result<(), FormatError> {
        let mut line = serde_json::Serializer::new(Vec::new());
        let fields = self.names.iter().filter_map(|name| Some((name, row.get(name)?)));
        let mut map = line.serialize_map(None).map_err(io::Error::from)?;
        for (name, value) in fields {
            map.serialize_entry(name, value).map_err(io::Error::from)?;
        }
        map.end().map_err(io::Error::from)?;
        let mut line = line.into_inner();
        line.push(b'\n');
        Ok(self.sink.write_all(&line)?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), FormatError> {
        Ok(self.sink.flush()?)
    }
}

pub(super) struct CsvWriter<'w> {
    names: Vec<String>,
    options: Options,
    writer: csv::Writer<Sink<'w>>,
}

impl<'w> CsvWriter<'w> {
    pub(super) fn new(
        schema: &Schema,
        options: Options,
        sink: Sink<'w>,
    ) -> Result<Self, FormatError> {
        let mut csv =
            Self { names: names(schema), options, writer: csv::Writer::from_writer(sink) };
        let header: Vec<String> =
            csv.names.iter().map(|name| csv.escape(name.into()).into_owned()).collect();
        csv.record(header.iter().map(|name| name.as_str().into()))?;
        Ok(csv)
    }

    fn escape<'v>(&self, text: Cow<'v, str>) -> Cow<'v, str> {
        if self.options.escape_formulas && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
            format!("'{text}").into()
        } else {
            text
        }
    }

    fn record<'v>(&mut self, cells: impl Iterator<Item = Cow<'v, str>>) -> Result<(), FormatError> {
        // A table without columns has no header either.
        if self.names.is_empty() {
            return Ok(());
        }
        for cell in cells {
            self.writer.write_field(&*cell).map_err(io::Error::from)?;
        }
        Ok(self.writer.write_record(None::<&[u8]>).map_err(io::Error::from)?)
    }
}

impl TableWriter for CsvWriter<'_> {
    fn write(&mut self, row: &Record) -> Result<(), FormatError> {
        let cells: Vec<Cow<'_, str>> = self
            .names
            .iter()
            .map(|name| match row.get(name) {
                // A number may well begin with a minus.
                Some(Value::String(text)) => self.escape(text.into()),
                value => cell(value),
            })
            .collect();
        self.record(cells.into_iter())
    }

    fn finish(mut self: Box<Self>) -> Result<(), FormatError> {
        Ok(self.writer.flush()?)
    }
}

pub(super) struct MarkdownWriter<'w> {
    names: Vec<String>,
    sink: Sink<'w>,
}

impl<'w> MarkdownWriter<'w> {
    pub(super) fn new(schema: &Schema, sink: Sink<'w>) -> Result<Self, FormatError> {
        let mut table = Self { names: names(schema), sink };
        if !table.names.is_empty() {
            let header = table.names.iter().map(|name| display::markdown(name));
            let header = header.collect::<Vec<_>>().join(" | ");
            writeln!(table.sink, "| {header} |\n|{}", " --- |".repeat(table.names.len()))?;
        }
        Ok(table)
    }
}

impl TableWriter for MarkdownWriter<'_> {
    fn write(&mut self, row: &Record) -> Result<(), FormatError> {
        if self.names.is_empty() {
            return Ok(());
        }
        let cells = self.names.iter().map(|name| display::markdown(&cell(row.get(name))));
        Ok(writeln!(self.sink, "| {} |", cells.collect::<Vec<_>>().join(" | "))?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), FormatError> {
        Ok(self.sink.flush()?)
    }
}
