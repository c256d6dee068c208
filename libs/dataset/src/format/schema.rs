//! The columns of a table and their types, learnt from its rows.

use std::collections::HashMap;

use serde_json::Value;

use super::FormatError;
use crate::record::Record;

/// Type of a column in Parquet; the other formats only need the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// Only nulls so far; written as text.
    Null,
    /// true and false.
    Boolean,
    /// Integers.
    Int64,
    /// Numbers.
    Double,
    /// Text.
    String,
    /// Anything else, or a mixture: JSON text.
    Json,
}

impl ColumnType {
    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_i64() => Self::Int64,
            Value::Number(_) => Self::Double,
            Value::String(_) => Self::String,
            Value::Array(_) | Value::Object(_) => Self::Json,
        }
    }

    /// The narrowest type that holds both.
    fn widen(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, any) | (any, Self::Null) => any,
            (a, b) if a == b => a,
            // Integers of a record lie within 2^53: a double holds them.
            (Self::Int64, Self::Double) | (Self::Double, Self::Int64) => Self::Double,
            _ => Self::Json,
        }
    }
}

/// The columns of a table, in order; learnt from the rows, since CSV, Markdown and Parquet need it
/// before the first one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    columns: Vec<(String, ColumnType)>,
    positions: HashMap<String, usize>,
}

impl Schema {
    /// Of no rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Widens the schema so that it holds this row. A new column comes right after the one that
    /// precedes it in the row.
    pub fn add(&mut self, row: &Record) {
        let mut next = 0;
        for (name, value) in row {
            let found = ColumnType::of(value);
            let position = match self.positions.get(name) {
                Some(&position) => position,
                None => {
                    self.columns.insert(next, (name.clone(), ColumnType::Null));
                    self.index();
                    next
                }
            };
            let known = &mut self.columns[position].1;
            *known = known.widen(found);
            next = position + 1;
        }
    }

    fn index(&mut self) {
        let names =
            self.columns.iter().enumerate().map(|(position, (name, _))| (name.clone(), position));
        self.positions = names.collect();
    }

    /// Names and types of the columns.
    pub fn columns(&self) -> &[(String, ColumnType)] {
        &self.columns
    }

    /// The schema with exactly these columns in this order: `output.fields`.
    pub fn select(&self, fields: &[String]) -> Result<Self, FormatError> {
        let mut selected = Self::new();
        for field in fields {
            let Some(&position) = self.positions.get(field) else {
                let available = self.columns.iter().map(|(name, _)| name.clone()).collect();
                return Err(FormatError::UnknownField { field: field.clone(), available });
            };
            if selected.positions.insert(field.clone(), selected.columns.len()).is_some() {
                return Err(FormatError::RepeatedField { field: field.clone() });
            }
            selected.columns.push(self.columns[position].clone());
        }
        Ok(selected)
    }

    /// The schema without one column.
    pub(super) fn without(&self, name: &str) -> Self {
        let mut rest = self.clone();
        rest.columns.retain(|(column, _)| column != name);
        rest.index();
        rest
    }
}
