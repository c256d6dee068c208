//! Jinja2 templates in a sandbox: no files, no includes, bounded time, memory, depth and output.

use std::collections::BTreeSet;

use crate::record::Record;

/// Bounds on what a template may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of template text.
    pub source_bytes: usize,
    /// Instructions and data of one rendering, in minijinja's unit: an instruction, or 64 bytes of data.
    pub fuel: u64,
    /// Bytes of rendered text.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { source_bytes: 256 << 10, fuel: 500_000, output_bytes: 1 << 20 }
    }
}

/// Why a template cannot be compiled or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum TemplateError {
    #[error("{template}:{line}:{column}: {message}")]
    Syntax { template: String, line: usize, column: usize, message: String },
    #[error("{template}: there is no column `{name}`; there are {}", available.join(", "))]
    UnknownName { template: String, name: String, available: Vec<String> },
    #[error("{template}: {message}")]
    Render { template: String, message: String },
}

/// Compiles templates.
#[derive(Debug, Default)]
pub struct Templates {
    limits: Limits,
}

impl Templates {
    /// With these bounds.
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// Compiles one; `name` is how errors call it, such as `spec.columns[0].prompt`.
    pub fn compile(&self, name: &str, source: &str) -> Result<Template, TemplateError> {
        unimplemented!()
    }
}

/// A compiled template; cheap to clone, can be shared by threads.
#[derive(Debug, Clone)]
pub struct Template {}

impl Template {
    /// How errors call it.
    pub fn name(&self) -> &str {
        unimplemented!()
    }

    /// Names that it uses and does not define itself.
    pub fn variables(&self) -> &BTreeSet<String> {
        unimplemented!()
    }

    /// Checks that every name it uses is one of `available`.
    pub fn check<'n>(
        &self,
        available: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), TemplateError> {
        unimplemented!()
    }

    /// Renders it over the names and values of a row; where names are twice in `scopes`, the later one counts.
    pub fn render(&self, scopes: &[&Record]) -> Result<String, TemplateError> {
        unimplemented!()
    }
}
