//! A job's spec, compiled: templates parsed, columns ordered, attributes checked. Pure.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use textnlp_crds::job::{
    Attribute as AttributeSpec, Column as ColumnSpec, GenerationJobSpec, Mode,
};
use textnlp_crds::sampling::ResolvedSampling;
use textnlp_dataset::attributes::{Attribute, Distribution};
use textnlp_dataset::template::{Template, Templates};
use textnlp_dataset::{Record, RowId};

use crate::completer::Models;
use crate::error::Error;
use crate::graph;
use crate::scoring::Scoring;

/// A job that can run.
#[derive(Debug, Clone)]
pub struct Job {
    /// `metadata.name`.
    pub name: String,
    /// The spec as it was given, every default filled in.
    pub spec: GenerationJobSpec,
    /// Values that every template can use.
    pub constants: Record,
    /// Values drawn per row.
    pub attributes: Vec<Attribute>,
    /// Columns in the manifest's order.
    pub columns: Vec<Column>,
    /// Indices of `columns` in the order in which they are made.
    pub order: Vec<usize>,
    /// Samples of each record.
    pub samples: u32,
    /// Seed of attributes; columns may have their own.
    pub seed: u64,
    /// Metrics, filters and gates.
    pub scoring: Scoring,
}

/// A column of the dataset.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name in the row.
    pub name: String,
    /// How it is made.
    pub kind: Kind,
}

/// How a column is made.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A template over the row.
    Value(Template),
    /// A completion of a model.
    Generated(Box<Generated>),
}

/// A column that a model completes.
#[derive(Debug, Clone)]
pub struct Generated {
    /// Name of the ModelDeployment.
    pub model: String,
    /// What is sent.
    pub prompt: PromptTemplate,
    /// How tokens are drawn.
    pub sampling: ResolvedSampling,
}

/// Templates of a prompt.
#[derive(Debug, Clone)]
pub enum PromptTemplate {
    /// Plain text.
    Text(Template),
    /// Roles and templates of a conversation's turns.
    Chat(Vec<(&'static str, Template)>),
}

impl Generated {
    /// `Chat` or `Completion`: what `Auto` came to.
    pub fn mode(&self) -> &'static str {
        match self.prompt {
            PromptTemplate::Text(_) => "Completion",
            PromptTemplate::Chat(_) => "Chat",
        }
    }

    /// Names that its templates use.
    pub fn reads(&self) -> impl Iterator<Item = &str> {
        self.templates().into_iter().flat_map(|t| t.variables().iter().map(String::as_str))
    }

    fn templates(&self) -> Vec<&Template> {
        match &self.prompt {
            PromptTemplate::Text(template) => vec![template],
            PromptTemplate::Chat(turns) => turns.iter().map(|(_, template)| template).collect(),
        }
    }
}

impl Column {
    fn templates(&self) -> Vec<&Template> {
        match &self.kind {
            Kind::Value(template) => vec![template],
            Kind::Generated(generated) => generated.templates(),
        }
    }

    /// The generated column, if a model makes it.
    pub fn generated(&self) -> Option<&Generated> {
        match &self.kind {
            Kind::Value(_) => None,
            Kind::Generated(generated) => Some(generated),
        }
    }
}

impl Job {
    /// Compiles a spec that admission has accepted. `models` must know every model that it names.
    pub fn compile(name: &str, spec: &GenerationJobSpec, models: &Models) -> Result<Self, Error> {
        let attributes =
            spec.attributes.iter().enumerate().map(attribute).collect::<Result<_, _>>()?;
        let columns = spec
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| compile_column(index, column, spec, models))
            .collect::<Result<Vec<_>, _>>()?;
        let names: Vec<String> = columns.iter().map(|c: &Column| c.name.clone()).collect();
        let reads: Vec<Vec<String>> = columns
            .iter()
            .map(|c| c.templates().iter().flat_map(|t| t.variables().iter().cloned()).collect())
            .collect();
        let order = graph::order(&names, &reads)
            .map_err(|cycle| Error::spec("spec.columns", cycle.to_string()))?;
        let scoring = Scoring::compile(spec.validation.as_ref())?;
        let samples = u32::try_from(spec.samples_per_record)
            .map_err(|_| Error::spec("spec.samplesPerRecord", "must be 1 or more"))?;
        let seed = ResolvedSampling::default().seed;
        Ok(Self {
            name: name.to_owned(),
            spec: spec.clone(),
            constants: spec.constants.clone(),
            attributes,
            columns,
            order,
            samples,
            seed: spec.sampling.seed.unwrap_or(seed).unsigned_abs(),
            scoring,
        })
    }

    /// Checks what depends on the source: each name stands for one value, and templates and metrics find what they name.
    pub fn check_fields(&self, fields: &[String]) -> Result<(), Error> {
        let mut names: Vec<(&str, String)> =
            fields.iter().map(|f| (f.as_str(), "a field of the source".to_owned())).collect();
        let own = (self.constants.keys().map(|k| (k.as_str(), format!("spec.constants.{k}"))))
            .chain(
                self.attributes
                    .iter()
                    .enumerate()
                    .map(|(i, a)| (a.name(), format!("spec.attributes[{i}].name"))),
            )
            .chain(
                self.columns
                    .iter()
                    .enumerate()
                    .map(|(i, c)| (c.name.as_str(), format!("spec.columns[{i}].name"))),
            );
        for (name, path) in own {
            if let Some((_, other)) = names.iter().find(|(n, _)| *n == name) {
                return Err(Error::spec(
                    path,
                    format!(
                        "{name:?} is the name of {other} too: each name stands for one value; rename one"
                    ),
                ));
            }
            names.push((name, path));
        }
        for (index, column) in self.columns.iter().enumerate() {
            for template in column.templates() {
                template
                    .check(names.iter().map(|(n, _)| *n))
                    .map_err(|e| Error::spec(format!("spec.columns[{index}]"), e.to_string()))?;
            }
        }
        let in_rows: BTreeSet<&str> =
            (names.iter().map(|(n, _)| *n)).filter(|n| !self.constants.contains_key(*n)).collect();
        let generated: BTreeSet<&str> = (self.columns.iter())
            .filter(|c| c.generated().is_some())
            .map(|c| c.name.as_str())
            .collect();
        self.scoring.check_fields(&in_rows, &generated)?;
        self.check_output_fields(&in_rows)
    }

    fn check_output_fields(&self, in_rows: &BTreeSet<&str>) -> Result<(), Error> {
        let output = &self.spec.output;
        let masked = output.mask_pii.as_ref().and_then(|mask| mask.fields.as_ref());
        let none: &[&str] = &[];
        for (path, fields, others) in [
            ("spec.output.fields", output.fields.as_ref(), ["id", "_textnlp"].as_slice()),
            ("spec.output.maskPii.fields", masked, none),
        ] {
            for (index, field) in fields.into_iter().flatten().enumerate() {
                if !in_rows.contains(field.as_str()) && !others.contains(&field.as_str()) {
                    return Err(Error::spec(
                        format!("{path}[{index}]"),
                        format!("no row has a field {field:?}; there are {}", list(in_rows)),
                    ));
                }
            }
        }
        Ok(())
    }

    /// The attributes of a row.
    pub fn draw(&self, id: RowId) -> Record {
        self.attributes.iter().map(|a| (a.name().to_owned(), a.draw(self.seed, id))).collect()
    }

    /// Names of the models that columns use, each once.
    pub fn models(&self) -> BTreeSet<&str> {
        self.columns.iter().filter_map(Column::generated).map(|g| g.model.as_str()).collect()
    }

    /// Everything that decides a row's text beside its record: what may not change when a dataset is continued.
    pub fn recipe(&self, models: &Models) -> Value {
        let columns: Vec<Value> = self
            .columns
            .iter()
            .zip(&self.spec.columns)
            .map(|(c, spec)| column_recipe(c, spec, models))
            .collect();
        json!({
            "version": 1,
            "offset": self.spec.source.offset,
            "constants": self.constants,
            "attributes": self.spec.attributes,
            "seed": self.seed,
            "columns": columns,
        })
    }
}

/// A list of names for a message.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a &'a str>) -> String {
    names.into_iter().copied().collect::<Vec<_>>().join(", ")
}

/// What decides a column's text: its templates as written, and for a generated one the sampling and the model's identity.
fn column_recipe(column: &Column, spec: &ColumnSpec, models: &Models) -> Value {
    match &column.kind {
        Kind::Value(_) => json!({"name": column.name, "value": spec.value}),
        Kind::Generated(generated) => {
            let facts = models.facts(&generated.model);
            json!({
                "name": column.name,
                "system": spec.system,
                "prompt": spec.prompt,
                "messages": spec.messages,
                "mode": generated.mode(),
                "sampling": generated.sampling,
                "modelDigest": facts.map(|f| &f.digest),
                "numerics": facts.map(|f| &f.numerics),
            })
        }
    }
}

fn attribute((index, spec): (usize, &AttributeSpec)) -> Result<Attribute, Error> {
    let distribution = match (&spec.choice, &spec.uniform) {
        (Some(choice), _) => Distribution::Choice {
            values: choice.values.iter().map(|v| json!(v)).collect(),
            weights: choice.weights.clone(),
        },
        (None, Some(uniform)) => Distribution::Uniform { min: uniform.min, max: uniform.max },
        (None, None) => {
            return Err(Error::spec(
                format!("spec.attributes[{index}]"),
                "needs choice or uniform",
            ));
        }
    };
    Attribute::new(&spec.name, distribution)
        .map_err(|e| Error::spec(format!("spec.attributes[{index}]"), e.to_string()))
}

fn compile_column(
    index: usize,
    column: &ColumnSpec,
    spec: &GenerationJobSpec,
    models: &Models,
) -> Result<Column, Error> {
    let path = format!("spec.columns[{index}]");
    let template = |field: &str, source: &str| {
        Templates::default()
            .compile(&format!("{path}.{field}"), source)
            .map_err(|e| Error::spec(format!("{path}.{field}"), e.to_string()))
    };
    let kind = if let Some(value) = &column.value {
        Kind::Value(template("value", value)?)
    } else {
        let model = spec.model_of(column).map(|m| m.name.clone()).ok_or_else(|| {
            Error::spec(format!("{path}.modelRef"), "no model is named, here or in spec.modelRef")
        })?;
        let facts = models.facts(&model).ok_or_else(|| {
            Error::spec(
                format!("{path}.modelRef"),
                format!("there is no ModelDeployment {model:?}"),
            )
        })?;
        let chat = uses_chat(&path, column, facts.chat)?;
        let prompt = match (&column.messages, &column.prompt) {
            (Some(messages), _) => PromptTemplate::Chat(
                messages
                    .iter()
                    .enumerate()
                    .map(|(i, m)| {
                        Ok((
                            m.role.as_str(),
                            template(&format!("messages[{i}].content"), &m.content)?,
                        ))
                    })
                    .collect::<Result<_, Error>>()?,
            ),
            (None, Some(prompt)) if chat => {
                let system = column
                    .system
                    .as_ref()
                    .map(|s| Ok::<_, Error>(("system", template("system", s)?)));
                let turns = system.into_iter().chain([Ok(("user", template("prompt", prompt)?))]);
                PromptTemplate::Chat(turns.collect::<Result<_, _>>()?)
            }
            (None, Some(prompt)) => PromptTemplate::Text(template("prompt", prompt)?),
            (None, None) => return Err(Error::spec(path, "needs prompt, messages or value")),
        };
        Kind::Generated(Box::new(Generated { model, prompt, sampling: spec.sampling_of(column) }))
    };
    Ok(Column { name: column.name.clone(), kind })
}

/// Whether the column's prompt goes through the model's chat template.
fn uses_chat(path: &str, column: &ColumnSpec, model_has_template: bool) -> Result<bool, Error> {
    let needs_chat = column.messages.is_some() || column.system.is_some();
    match column.mode {
        Mode::Completion if needs_chat => {
            Err(Error::spec(format!("{path}.mode"), "system and messages need mode Chat or Auto"))
        }
        Mode::Completion => Ok(false),
        Mode::Auto if model_has_template => Ok(true),
        Mode::Auto if !needs_chat => Ok(false),
        Mode::Chat if model_has_template => Ok(true),
        Mode::Auto | Mode::Chat => Err(Error::spec(
            format!("{path}.mode"),
            "the model has no chat template: use `prompt` alone, with mode Completion or Auto, or another model",
        )),
    }
}
