//! Strict JSON for records.
