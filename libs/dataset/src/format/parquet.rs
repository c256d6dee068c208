//! Parquet, through the column writers of the `parquet` crate: nullable columns, zstd, a row group
//! at a time.

use std::io::Write as _;
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as PhysicalType, ZstdLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

use super::{ColumnType, FormatError, Schema, Sink, TableWriter};
use crate::record::Record;

/// Rows of a row group, which are held in memory; a group also ends at `GROUP_BYTES`.
const GROUP_ROWS: usize = 10_000;
const GROUP_BYTES: usize = 64 << 20;

pub(super) struct ParquetWriter<'w> {
    columns: Vec<(String, ColumnType)>,
    writer: SerializedFileWriter<Sink<'w>>,
    /// The rows of the group, one list a column.
    group: Vec<Vec<Value>>,
    rows: usize,
    bytes: usize,
}

impl<'w> ParquetWriter<'w> {
    pub(super) fn new(schema: &Schema, sink: Sink<'w>) -> Result<Self, FormatError> {
        let columns = schema.columns().to_vec();
        let fields =
            columns.iter().map(|(name, kind)| field(name, *kind)).collect::<Result<_, _>>()?;
        let root = Type::group_type_builder("dataset").with_fields(fields).build()?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by("textnlp".into())
            .build();
        let writer = SerializedFileWriter::new(sink, Arc::new(root), Arc::new(properties))?;
        let group = vec![Vec::new(); columns.len()];
        Ok(Self { columns, writer, group, rows: 0, bytes: 0 })
    }

    fn end_group(&mut self) -> Result<(), FormatError> {
        if self.rows == 0 {
            return Ok(());
        }
        let mut group = self.writer.next_row_group()?;
        for ((_, kind), values) in self.columns.iter().zip(&mut self.group) {
            if let Some(mut column) = group.next_column()? {
                write_column(&mut column, *kind, values)?;
                column.close()?;
            }
            values.clear();
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl TableWriter for ParquetWriter<'_> {
    fn write(&mut self, row: &Record) -> Result<(), FormatError> {
        for ((name, _), values) in self.columns.iter().zip(&mut self.group) {
            let value = row.get(name).cloned().unwrap_or(Value::Null);
            self.bytes += size(&value);
            values.push(value);
        }
        self.rows += 1;
        if self.rows >= GROUP_ROWS || self.bytes >= GROUP_BYTES { self.end_group() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<(), FormatError> {
        self.end_group()?;
        let mut sink = self.writer.into_inner()?;
        Ok(sink.flush()?)
    }
}

fn field(name: &str, kind: ColumnType) -> Result<TypePtr, FormatError> {
    let (physical, logical) = match kind {
        ColumnType::Boolean => (PhysicalType::BOOLEAN, None),
        ColumnType::Int64 => (PhysicalType::INT64, None),
        ColumnType::Double => (PhysicalType::DOUBLE, None),
        ColumnType::Null | ColumnType::String => {
            (PhysicalType::BYTE_ARRAY, Some(LogicalType::String))
        }
        // Not the logical type JSON: readers of tables then show text.
        ColumnType::Json => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
    };
    let field = Type::primitive_type_builder(name, physical)
        .with_repetition(Repetition::OPTIONAL)
        .with_logical_type(logical)
        .build()?;
    Ok(Arc::new(field))
}

fn write_column(
    column: &mut SerializedColumnWriter<'_>,
    kind: ColumnType,
    values: &[Value],
) -> Result<(), FormatError> {
    match kind {
        ColumnType::Boolean => write_values::<BoolType>(column, values, Value::as_bool),
        ColumnType::Int64 => write_values::<Int64Type>(column, values, Value::as_i64),
        ColumnType::Double => write_values::<DoubleType>(column, values, Value::as_f64),
        ColumnType::Null | ColumnType::String => {
            write_values::<ByteArrayType>(column, values, |value| {
                value.as_str().map(ByteArray::from)
            })
        }
        ColumnType::Json => write_values::<ByteArrayType>(column, values, |value| {
            (!value.is_null()).then(|| ByteArray::from(value.to_string().into_bytes()))
        }),
    }
}

/// Writes the values that there are, and a definition level for each row: 1 for a value, 0 for
/// null.
fn write_values<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    values: &[Value],
    convert: impl Fn(&Value) -> Option<T::T>,
) -> Result<(), FormatError> {
    let converted: Vec<Option<T::T>> = values.iter().map(convert).collect();
    let levels: Vec<i16> = converted.iter().map(|value| i16::from(value.is_some())).collect();
    let present: Vec<T::T> = converted.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&present, Some(&levels), None)?;
    Ok(())
}

/// About how much memory a value takes.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| name.len() + size(value)).sum(),
        _ => 0,
    }
    .saturating_add(size_of::<Value>())
}
