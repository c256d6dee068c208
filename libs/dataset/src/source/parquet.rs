//! Parquet: rows of any nesting as records, row group by row group.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit};
use parquet::file::reader::{ChunkReader, FileReader, SerializedFileReader};
use parquet::record::{Field, Row, reader::RowIter};
use parquet::schema::types::{Type, TypePtr};
use serde_json::{Map, Number, Value};

use super::{Item, Items, SourceError, files};
use crate::json::{self, MAX_DEPTH};
use crate::record::Record;
use crate::timestamp;

/// Opens a Parquet file.
pub(super) fn open(path: &Path, name: String) -> Result<Items<'static>, SourceError> {
    let file = File::open(path).map_err(|error| files::read_error(path, error))?;
    if files::ending(&name).compression.is_some() {
        let message = "a compressed Parquet file cannot be read as a stream; unpack it \
                       (Parquet compresses its pages itself)";
        return Err(SourceError::Parquet { name, message: message.into() });
    }
    read(&name, file)
}

/// Reads a Parquet file's rows.
pub(super) fn read<R: ChunkReader + 'static>(
    name: &str,
    input: R,
) -> Result<Items<'static>, SourceError> {
    let reader = guarded(|| {
        let reader = SerializedFileReader::new(input).map_err(|error| error.to_string())?;
        check_schema(reader.metadata().file_metadata().schema(), 0)?;
        check_sizes(&reader)?;
        Ok(reader)
    });
    let reader = reader.map_err(|message| SourceError::Parquet { name: name.into(), message })?;
    let schema = reader.metadata().file_metadata().schema_descr().root_schema_ptr();
    let rows = RowIter::from_file_into(Box::new(reader));
    Ok(Box::new(ParquetReader { name: name.into(), schema, rows, index: 0 }))
}

struct ParquetReader {
    name: String,
    schema: TypePtr,
    rows: RowIter<'static>,
    index: u64,
}

impl Iterator for ParquetReader {
    type Item = Result<Item, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = guarded(|| self.rows.next().transpose().map_err(|error| error.to_string()));
        let row = match row {
            Ok(row) => row?,
            Err(message) => {
                return Some(Err(SourceError::Parquet { name: self.name.clone(), message }));
            }
        };
        let item = record(row, &self.schema).and_then(json::check_record);
        let (name, index) = (self.name.clone(), self.index);
        self.index += 1;
        Some(item.map_err(|message| SourceError::Record { name, index, message }))
    }
}

/// Runs the `parquet` crate on untrusted bytes: it asserts what a damaged file breaks, and that is
/// an error here.
fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err("its pages contradict its schema".into()))
        .map_err(|message| format!("damaged, or no Parquet: {message}"))
}

/// Refuses the shapes that the reader of rows does not know, rather than letting it fail half way.
fn check_schema(field: &Type, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("its schema is nested deeper than {MAX_DEPTH} levels"));
    }
    if field.is_group() {
        if field.get_fields().is_empty() {
            return Err(format!("group `{}` of its schema has no fields", field.name()));
        }
        for (index, child) in field.get_fields().iter().enumerate() {
            if field.get_fields()[..index].iter().any(|other| other.name() == child.name()) {
                return Err(format!("two columns are both named `{}`", child.name()));
            }
            check_schema(child, depth + 1)?;
        }
    } else if field.get_basic_info().converted_type() == ConvertedType::INTERVAL {
        return Err(format!(
            "column `{}` holds intervals, which have no JSON form; drop it",
            field.name()
        ));
    }
    Ok(())
}

/// Refuses sizes that the file is too short for, before anything is allocated by them.
fn check_sizes<R: ChunkReader + 'static>(reader: &SerializedFileReader<R>) -> Result<(), String> {
    for group in reader.metadata().row_groups() {
        for column in group.columns() {
            let flat = column.column_descr().max_rep_level() == 0;
            if column.num_values() < 0 || (flat && column.num_values() != group.num_rows()) {
                return Err(format!(
                    "column `{}` claims {} values in {} rows",
                    column.column_path().string(),
                    column.num_values(),
                    group.num_rows()
                ));
            }
        }
    }
    Ok(())
}

fn record(row: Row, schema: &Type) -> Result<Record, String> {
    let types = schema.get_fields();
    let mut record = Map::new();
    for (index, (name, field)) in row.into_columns().into_iter().enumerate() {
        let value = value(&field, types.get(index).map(|t| &**t));
        record.insert(name.clone(), value.map_err(|why| format!("field `{name}` {why}"))?);
    }
    Ok(record)
}

/// The JSON form of a value. `schema` is its type where it is known: it tells times apart from
/// numbers.
fn value(field: &Field, schema: Option<&Type>) -> Result<Value, String> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::Bool(*value),
        Field::Byte(value) => Value::from(*value),
        Field::Short(value) => Value::from(*value),
        Field::Int(value) => return integer(i64::from(*value), schema),
        Field::Long(value) => return integer(*value, schema),
        Field::UByte(value) => Value::from(*value),
        Field::UShort(value) => Value::from(*value),
        Field::UInt(value) => Value::from(*value),
        Field::ULong(value) => Value::from(*value),
        Field::Float16(value) => return float(f64::from(f32::from(*value))),
        // The shortest decimal of the 32-bit value: 0.1, not 0.10000000149011612.
        Field::Float(value) => {
            return float(value.to_string().parse().unwrap_or(f64::from(*value)));
        }
        Field::Double(value) => return float(*value),
        Field::Str(text) => Value::String(text.clone()),
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::String(text.to_owned()),
            Err(_) => {
                return Err(
                    "holds bytes that are no UTF-8 text; drop the column or encode it".into()
                );
            }
        },
        Field::Decimal(_) => {
            // Without digits after the point the crate still writes the point.
            let text = guarded(|| Ok(field.to_string()))?;
            Value::String(text.strip_suffix('.').unwrap_or(&text).to_owned())
        }
        Field::Date(days) => Value::String(timestamp::date(i64::from(*days))),
        Field::TimeMillis(time) => Value::String(timestamp::time(i64::from(*time), 1_000)),
        Field::TimeMicros(time) => Value::String(timestamp::time(*time, 1_000_000)),
        Field::TimestampMillis(time) => {
            Value::String(timestamp::date_time(*time, 1_000, is_utc(schema)))
        }
        Field::TimestampMicros(time) => {
            Value::String(timestamp::date_time(*time, 1_000_000, is_utc(schema)))
        }
        Field::Group(row) => return group(row, schema),
        Field::ListInternal(list) => {
            let element = schema.and_then(element_type);
            let items = list.elements().iter().map(|item| value(item, element));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Field::MapInternal(map) => {
            let types =
                schema.and_then(|map| map.get_fields_checked(0)).map(|pair| pair.get_fields());
            let of = |index: usize| types.and_then(|types| types.get(index)).map(|t| &**t);
            let mut object = Map::new();
            for (key, item) in map.entries() {
                let key = match value(key, of(0))? {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                object.insert(key, value(item, of(1))?);
            }
            Value::Object(object)
        }
    })
}

fn group(row: &Row, schema: Option<&Type>) -> Result<Value, String> {
    let mut object = Map::new();
    for (index, (name, field)) in row.get_column_iter().enumerate() {
        let inner = schema.and_then(|group| group.get_fields_checked(index));
        object.insert(name.clone(), value(field, inner)?);
    }
    Ok(Value::Object(object))
}

/// The type of a list's elements: `list.element` of the standard three-level form, or the older
/// two-level one.
fn element_type(list: &Type) -> Option<&Type> {
    if list.is_primitive() || list.get_basic_info().repetition() == Repetition::REPEATED {
        return Some(list);
    }
    let repeated = list.get_fields_checked(0)?;
    repeated.get_fields_checked(0).filter(|_| repeated.is_group()).or(Some(repeated))
}

trait Fields {
    /// A field of a group; nothing of a primitive type, for which `get_fields` panics.
    fn get_fields_checked(&self, index: usize) -> Option<&Type>;
}

impl Fields for Type {
    fn get_fields_checked(&self, index: usize) -> Option<&Type> {
        if self.is_group() { self.get_fields().get(index).map(|t| &**t) } else { None }
    }
}

fn logical(schema: Option<&Type>) -> Option<&LogicalType> {
    schema?.get_basic_info().logical_type_ref()
}

fn is_utc(schema: Option<&Type>) -> bool {
    !matches!(logical(schema), Some(LogicalType::Timestamp(time)) if !time.is_adjusted_to_u_t_c)
}

/// An integer, which a logical type without a converted one can make a time.
fn integer(value: i64, schema: Option<&Type>) -> Result<Value, String> {
    let per_second = |unit| match unit {
        TimeUnit::MILLIS => 1_000,
        TimeUnit::MICROS => 1_000_000,
        TimeUnit::NANOS => 1_000_000_000,
    };
    Ok(match logical(schema) {
        Some(LogicalType::Timestamp(time)) => Value::String(timestamp::date_time(
            value,
            per_second(time.unit),
            time.is_adjusted_to_u_t_c,
        )),
        Some(LogicalType::Time(time)) => {
            Value::String(timestamp::time(value, per_second(time.unit)))
        }
        _ => Value::from(value),
    })
}

/// NaN stands for a missing number in tables; JSON has no infinity, and none is made up for it.
fn float(value: f64) -> Result<Value, String> {
    if value.is_infinite() {
        return Err(format!("is {value}, which JSON does not have; replace it"));
    }
    Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
}
