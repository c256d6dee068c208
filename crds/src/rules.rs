//! The CEL rules and schema transformations that several types share. No I/O.
//!
//! Every rule carries its own message, because that message is all that a user of `kubectl apply`
//! sees. Lists and strings that a rule walks are bounded in the schema, so that the API server's
//! cost estimate of each rule stays far below its limit.

use kube::core::Rule;
use schemars::Schema;

/// What a template calls a value: usable as a Jinja2 name and as a CEL field.
pub(crate) const IDENTIFIER: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// A path below a volume or below the output directory: relative, without a way out.
pub(crate) fn path_inside(volume: &str) -> Rule {
    Rule::new("!self.startsWith('/') && !self.split('/').exists(part, part == '..') && !self.contains('\\u0000')").message(format!(
        "must be a path inside {volume}: relative, without `..` and without a NUL character"
    ).as_str())
}

/// A path on the disk of the person who runs the job: anything but a NUL character.
pub(crate) fn path_on_disk() -> Rule {
    Rule::new("!self.contains('\\u0000')").message("must not contain a NUL character")
}

/// A name of a column, an attribute or a reference that a row can carry.
pub(crate) fn not_reserved() -> Rule {
    Rule::new("!(self in ['id', '_textnlp'])")
        .message("`id` and `_textnlp` are reserved: every row of a dataset carries them")
}

/// At most one of `fields` may be set.
pub(crate) fn at_most_one(fields: &[&str], what: &str) -> Rule {
    Rule::new(format!("[{}].filter(set, set).size() <= 1", presence(fields)))
        .message(format!("at most one {what} may be set: {}", fields.join(", ")).as_str())
}

/// Exactly one of `fields` must be set.
pub(crate) fn exactly_one(fields: &[&str], what: &str) -> Rule {
    Rule::new(format!("[{}].filter(set, set).size() == 1", presence(fields)))
        .message(format!("exactly one {what} must be set: {}", fields.join(", ")).as_str())
}

/// `min` must not lie above `max` where both are set.
pub(crate) fn min_below_max() -> Rule {
    Rule::new("!has(self.min) || !has(self.max) || self.min <= self.max")
        .message("min must not be greater than max")
}

/// A transformation of an enum's schema: the field that has the type says what it is for, and the
/// type's own description would hide that.
pub(crate) fn described_by_its_field(schema: &mut Schema) {
    schema.remove("description");
}

fn presence(fields: &[&str]) -> String {
    fields.iter().map(|field| format!("has(self.{field})")).collect::<Vec<_>>().join(", ")
}
