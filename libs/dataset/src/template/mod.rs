//! Jinja2 templates in a sandbox: no files and no includes; time, memory, depth and output are
//! bounded.
//!
//! What a record holds is only ever a value here: template syntax in it is plain text, and nothing
//! is escaped.

mod tags;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

use crate::record::Record;

/// Most `elif` of a template: the compiler nests each in the one before.
const MAX_ELIF: usize = 500;

/// Bounds on what a template may use.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of template text.
    pub source_bytes: usize,
    /// Operators (brackets, dots, filters, `and`, `not`, …) in one `{{ … }}` or `{% … %}`. The
    /// compiler descends by recursion into what they nest or chain, so that this bounds its stack:
    /// 1 MiB is enough.
    pub tag_operators: usize,
    /// Instructions and data of one rendering, in minijinja's unit: an instruction, or 64 bytes of
    /// data.
    pub fuel: u64,
    /// Bytes of rendered text.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { source_bytes: 256 << 10, tag_operators: 1000, fuel: 500_000, output_bytes: 1 << 20 }
    }
}

/// Why a template cannot be compiled or rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)]
pub enum TemplateError {
    #[error("{template}:{line}:{column}: {message}")]
    Syntax { template: String, line: usize, column: usize, message: String },
    #[error("{template}:{line}:{column}: there is no `{name}`; there are {}", list(available))]
    UnknownName {
        template: String,
        line: usize,
        column: usize,
        name: String,
        available: Vec<String>,
    },
    #[error("{template}: {message}")]
    Render { template: String, message: String },
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "no names at all: the job has neither source, constants, attributes nor other columns"
            .into()
    } else {
        names.join(", ")
    }
}

/// Compiles templates.
#[derive(Debug, Clone, Copy, Default)]
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
        let syntax = |offset: usize, message: String| {
            let (line, column) = place(source, offset);
            TemplateError::Syntax { template: name.into(), line, column, message }
        };
        let limit = self.limits.source_bytes;
        if source.len() > limit {
            return Err(syntax(
                0,
                format!("the template has {} bytes; {limit} are allowed", source.len()),
            ));
        }
        let tags = tags::scan(source);
        if let Some(tag) = tags.iter().filter(|tag| tag.word() == "elif").nth(MAX_ELIF) {
            return Err(syntax(
                tag.offset,
                format!("more than {MAX_ELIF} `elif`; look the value up in a map"),
            ));
        }
        for tag in &tags {
            let (operators, limit) = (tag.operators(), self.limits.tag_operators);
            if operators > limit {
                let message = format!(
                    "this tag has {operators} operators; {limit} are allowed: split it with `set`"
                );
                return Err(syntax(tag.offset, message));
            }
            if let word @ ("include" | "import" | "from" | "extends") = tag.word() {
                return Err(syntax(
                    tag.offset,
                    format!("`{word}` is not available: a template stands alone"),
                ));
            }
        }
        let mut environment = sandbox(&self.limits);
        for (used, offset) in tags.iter().flat_map(|tag| tag.uses()) {
            if let Some(message) = unknown(&environment, &used) {
                return Err(syntax(offset, message));
            }
        }
        environment.add_template_owned(name.to_owned(), source.to_owned()).map_err(|error| {
            let offset = error.range().map_or(0, |range| range.start);
            let known = error.range().is_some();
            match syntax(offset, message(&error)) {
                TemplateError::Syntax { template, column, message, .. } if !known => {
                    TemplateError::Syntax {
                        template,
                        line: error.line().unwrap_or(1),
                        column,
                        message,
                    }
                }
                error => error,
            }
        })?;
        let variables = environment
            .get_template(name)
            .map(|template| template.undeclared_variables(false).into_iter().collect())
            .map_err(|error| syntax(0, message(&error)))?;
        let functions = environment.globals().map(|(name, _)| name.to_owned()).collect();
        Ok(Template(Arc::new(Compiled {
            name: name.into(),
            source: source.into(),
            output_bytes: self.limits.output_bytes,
            variables,
            assigned: tags.iter().flat_map(|tag| tag.assigned()).collect(),
            functions,
            environment,
        })))
    }
}

/// A compiled template; cheap to clone, can be shared by threads.
#[derive(Debug, Clone)]
pub struct Template(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    name: String,
    source: String,
    output_bytes: usize,
    variables: BTreeSet<String>,
    /// Names that `set` and `with` define, with the place of each.
    assigned: BTreeMap<String, usize>,
    /// Names that the sandbox defines, such as `range`.
    functions: BTreeSet<String>,
    environment: Environment<'static>,
}

impl Template {
    /// How errors call it.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Names that it uses and does not define itself; functions such as `range` are among them.
    pub fn variables(&self) -> &BTreeSet<String> {
        &self.0.variables
    }

    /// Checks that every name it uses is one of `available`, and that it hides none of them.
    pub fn check<'n>(
        &self,
        available: impl IntoIterator<Item = &'n str>,
    ) -> Result<(), TemplateError> {
        let available: Vec<String> = available.into_iter().map(str::to_owned).collect();
        let is_available = |name: &String| available.contains(name);
        let template = || self.0.name.clone();
        if let Some((name, offset)) = self.0.assigned.iter().find(|(name, _)| is_available(name)) {
            let (line, column) = place(&self.0.source, *offset);
            let message = format!(
                "the template defines `{name}`, which hides the `{name}` of the row; call it otherwise"
            );
            return Err(TemplateError::Syntax { template: template(), line, column, message });
        }
        let is_known = |name: &&String| is_available(name) || self.0.functions.contains(*name);
        match self.0.variables.iter().find(|name| !is_known(name)) {
            None => Ok(()),
            Some(name) => {
                let (line, column) =
                    place(&self.0.source, tags::find(&self.0.source, name).unwrap_or(0));
                Err(TemplateError::UnknownName {
                    template: template(),
                    line,
                    column,
                    name: name.clone(),
                    available,
                })
            }
        }
    }

    /// Renders it over the names and values of a row; where a name is in several scopes, the last
    /// one counts.
    pub fn render(&self, scopes: &[&Record]) -> Result<String, TemplateError> {
        let fields = scopes.iter().flat_map(|scope| scope.iter());
        let values = Value::from_pairs(
            fields.map(|(name, value)| (name.as_str(), Value::from(Serde(value)))),
        );
        let failed =
            |message: String| TemplateError::Render { template: self.0.name.clone(), message };
        let rendered = self.0.environment.get_template(&self.0.name).and_then(|t| t.render(values));
        let text = rendered.map_err(|error| failed(runtime_message(&error)))?;
        let limit = self.0.output_bytes;
        if text.len() > limit {
            return Err(failed(format!(
                "it rendered to {} bytes; {limit} are allowed",
                text.len()
            )));
        }
        Ok(text)
    }
}

fn sandbox(limits: &Limits) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(limits.fuel));
    environment.set_recursion_limit(100);
    // Errors then know where in the template they are.
    environment.set_debug(true);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_filter("truncate", minijinja_contrib::filters::truncate);
    environment.remove_global("debug");
    environment
}

/// What is wrong with a filter or test that the sandbox does not have. It is asked by calling it without anything, which
/// the ones that exist refuse for another reason.
fn unknown(environment: &Environment<'_>, used: &tags::Use<'_>) -> Option<String> {
    let mut state = environment.empty_state();
    let (kind, name, error) = match *used {
        tags::Use::Filter(name) => ("filter", name, state.apply_filter(name, &[]).err()?.kind()),
        tags::Use::Test(name) => ("test", name, state.perform_test(name, &[]).err()?.kind()),
    };
    matches!(error, ErrorKind::UnknownFilter | ErrorKind::UnknownTest)
        .then(|| format!("there is no {kind} `{name}`"))
}

fn message(error: &Error) -> String {
    match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    }
}

fn runtime_message(error: &Error) -> String {
    let line = error.line().map_or_else(String::new, |line| format!("line {line}: "));
    match error.detail() {
        Some(detail) => format!("{line}{}: {detail}", error.kind()),
        None => format!("{line}{}", error.kind()),
    }
}

/// Line and column of an offset, both from 1, the column in characters.
fn place(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
