//! `GenerationJob`: one dataset to generate, validate and keep. No I/O.

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::execution::Execution;
use crate::frozen;
use crate::job_status::GenerationJobStatus;
use crate::output::Output;
use crate::rules;
use crate::sampling::{ResolvedSampling, Sampling};
use crate::source::Source;
use crate::validation::Validation;

/// What to generate, how to judge it, and where to put it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "textnlp.dev",
    version = "v1alpha1",
    kind = "GenerationJob",
    plural = "generationjobs",
    shortname = "gj",
    category = "textnlp",
    namespaced,
    status = "GenerationJobStatus",
    derive = "PartialEq",
    doc = "A dataset of synthetic text: records in, generated columns, scores and gates, files out.",
    validation = frozen::unchanged("modelRef"),
    validation = frozen::unchanged("source.inline"),
    validation = frozen::unchanged("source.configMap"),
    validation = frozen::unchanged("source.objectStore"),
    validation = frozen::unchanged("source.persistentVolumeClaim"),
    validation = frozen::unchanged("source.file"),
    validation = frozen::unchanged("source.format"),
    validation = frozen::unchanged("source.offset"),
    validation = frozen::limit_only_grows(),
    validation = frozen::samples_only_grow(),
    validation = frozen::unchanged("constants"),
    validation = frozen::unchanged("attributes"),
    validation = frozen::unchanged("sampling"),
    validation = frozen::unchanged("columns"),
    printcolumn(name = "Model", type_ = "string", json_path = ".spec.modelRef.name", description = "The model that generates"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "Where the job stands"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.progress.summary", description = "Finished rows of all rows"),
    printcolumn(name = "Valid", type_ = "string", json_path = ".status.conditions[?(@.type==\"Validated\")].status", description = "Whether the dataset passed its gates"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since the job was created"),
    printcolumn(name = "Tok/s", type_ = "number", json_path = ".status.progress.tokensPerSecond", priority = 1, description = "Completion tokens per second"),
    printcolumn(name = "Cost", type_ = "string", json_path = ".status.usage.costSummary", priority = 1, description = "What the tokens cost, where their models have a price"),
    printcolumn(name = "Output", type_ = "string", json_path = ".status.output.uri", priority = 1, description = "Where the dataset is"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Succeeded\")].reason", priority = 1, description = "Why the job ended as it did")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.modelRef) || self.columns.all(column, has(column.value) || has(column.modelRef))")
        .message("a column calls a model, but neither the column nor the job names one in modelRef")
        .field_path(".modelRef"),
    validation = Rule::new("!has(self.attributes) || self.attributes.all(attribute, self.columns.all(column, column.name != attribute.name))")
        .message("an attribute and a column have the same name: each name of a row stands for one value")
        .field_path(".attributes"),
)]
pub struct GenerationJobSpec {
    /// The model that generates, unless a column names another. A column that calls a model needs
    /// one of the two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_ref: Option<ModelRef>,
    /// The records that the job starts from.
    #[serde(default)]
    #[schemars(extend("default" = json!({})))]
    pub source: Source,
    /// The number of rows that are generated from each record. Raising it after a run extends the
    /// dataset.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub samples_per_record: i32,
    /// Values that every template can use by name: any JSON.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "any_object")]
    pub constants: Map<String, Value>,
    /// Values that are drawn at random for each row, by the generator that draws tokens too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub attributes: Vec<Attribute>,
    /// How tokens are drawn, for all columns.
    #[serde(default)]
    #[schemars(schema_with = "job_sampling")]
    pub sampling: Sampling,
    /// What is generated, in the order of the names that the templates use.
    #[schemars(
        length(min = 1, max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub columns: Vec<Column>,
    /// How the rows are judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
    /// What the dataset looks like and where it goes.
    #[serde(default)]
    #[schemars(extend("default" = json!({})))]
    pub output: Output,
    /// How a cluster runs the job. A local run has one process and leaves it aside.
    #[serde(default)]
    #[schemars(extend("default" = json!({})))]
    pub execution: Execution,
}

fn one() -> i32 {
    1
}

/// The name of a ModelDeployment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ModelRef {
    /// Name of the ModelDeployment, in the job's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// A value drawn for each row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::exactly_one(&["choice", "uniform"], "kind of draw"))]
pub struct Attribute {
    /// The name that templates use.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::IDENTIFIER))]
    #[x_kube(validation = rules::not_reserved())]
    pub name: String,
    /// One of a list of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<Choice>,
    /// An integer of a range, each equally likely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uniform: Option<Uniform>,
}

/// One of a list of texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("!has(self.weights) || self.weights.size() == self.values.size()")
        .message("weights must have one number for each of values").field_path(".weights"),
    validation = Rule::new("!has(self.weights) || self.weights.exists(weight, weight > 0.0)")
        .message("at least one weight must be greater than 0").field_path(".weights"),
)]
pub struct Choice {
    /// The texts.
    #[schemars(length(min = 1, max = 1000), inner(length(max = 4096)))]
    pub values: Vec<String>,
    /// How likely each text is, relative to the others. Default: all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1000), inner(range(min = 0.0, max = 1e9)))]
    pub weights: Option<Vec<f64>>,
}

/// A range of integers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = rules::min_below_max())]
pub struct Uniform {
    /// The smallest integer.
    #[schemars(range(min = -9_007_199_254_740_991_i64, max = 9_007_199_254_740_991_i64))]
    pub min: i64,
    /// The greatest integer: it can be drawn.
    #[schemars(range(min = -9_007_199_254_740_991_i64, max = 9_007_199_254_740_991_i64))]
    pub max: i64,
}

/// One generated field of each row: a completion of the model, or a template's text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = rules::exactly_one(&["prompt", "messages", "value"], "kind of column"),
    validation = Rule::new("!has(self.system) || has(self.prompt)")
        .message("system stands beside a prompt; among messages, write one with the role `system`").field_path(".system"),
    validation = Rule::new("self.mode != 'Completion' || (!has(self.system) && !has(self.messages))")
        .message("system and messages need a chat: mode must be Auto or Chat").field_path(".mode"),
    validation = Rule::new("!has(self.value) || (!has(self.sampling) && !has(self.modelRef) && self.mode == 'Auto')")
        .message("a value column calls no model: it takes no sampling, modelRef or mode"),
)]
pub struct Column {
    /// The field's name in the dataset, and the name that other templates use.
    #[schemars(length(min = 1, max = 63), regex(pattern = rules::IDENTIFIER))]
    #[x_kube(validation = rules::not_reserved())]
    pub name: String,
    /// A Jinja2 template of the prompt, over the record's fields, constants, attributes and other
    /// columns. The column is the model's completion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 131_072))]
    pub prompt: Option<String>,
    /// A Jinja2 template of the system message before the prompt. Only in a chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 131_072))]
    pub system: Option<String>,
    /// The messages of a chat, each a Jinja2 template. The column is the model's answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub messages: Option<Vec<ChatMessage>>,
    /// A Jinja2 template whose text is the column: no model is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 131_072))]
    pub value: Option<String>,
    /// How the model is called. `Auto`: as a chat if the model has a chat template, else as a
    /// completion; the report records which.
    #[serde(default)]
    pub mode: Mode,
    /// How this column's tokens are drawn: fields given here go before the job's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<Sampling>,
    /// The model of this column. Default: the job's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_ref: Option<ModelRef>,
}

/// One message of a chat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// A Jinja2 template of what is said.
    #[schemars(length(max = 131_072))]
    pub content: String,
}

/// Who speaks in a chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(transform = rules::described_by_its_field)]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

impl Role {
    /// The name as chat templates know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// How a column calls the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(transform = rules::described_by_its_field)]
pub enum Mode {
    /// A chat if the model has a chat template, else a completion.
    #[default]
    Auto,
    /// A chat.
    Chat,
    /// A completion.
    Completion,
}

impl GenerationJobSpec {
    /// What `column` samples with.
    pub fn sampling_of(&self, column: &Column) -> ResolvedSampling {
        Sampling::resolved(&self.sampling, column.sampling.as_ref())
    }

    /// The model that `column` calls: its own, else the job's. None for a value column, and where
    /// neither names one.
    pub fn model_of<'a>(&'a self, column: &'a Column) -> Option<&'a ModelRef> {
        if column.value.is_some() {
            return None;
        }
        column.model_ref.as_ref().or(self.model_ref.as_ref())
    }
}

/// An object of any shape.
fn any_object(_: &mut schemars::SchemaGenerator) -> Schema {
    schemars::json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// The schema of [`Sampling`] with the defaults filled in, for the job itself: they then stand in
/// the stored object, and a later version of the schema cannot change a dataset.
fn job_sampling(generator: &mut schemars::SchemaGenerator) -> Schema {
    let mut schema = Sampling::json_schema(generator);
    let defaults = serde_json::to_value(ResolvedSampling::default()).unwrap_or_default();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        if let (Some(property), Some(default)) = (property.as_object_mut(), defaults.get(name)) {
            property.insert("default".into(), default.clone());
        }
    }
    schema.insert("default".into(), json!({}));
    schema
}
