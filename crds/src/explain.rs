//! The schema in words, as `kubectl explain` prints it. No I/O.

use serde_json::{Map, Value, json};

use crate::admission::{closest, object_meta};
use crate::kind::{GROUP, Kind, VERSION};

/// The width of a line, indentation included.
const WIDTH: usize = 80;

/// A path that leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The first word is neither a kind nor a field of a job.
    #[error(
        "there is no kind or field {word:?}{}; begin with generationjob (gj), modeldeployment (mdl), or a field of a job such as spec.sampling",
        meant(hint)
    )]
    Resource {
        /// The word.
        word: String,
        /// What was probably meant.
        hint: Option<String>,
    },
    /// A field that does not exist.
    #[error("{parent} has no field {field:?}{}{}", meant(hint), listed(known))]
    Field {
        /// The field's parent.
        parent: String,
        /// The field.
        field: String,
        /// What was probably meant.
        hint: Option<String>,
        /// The fields that there are.
        known: Vec<String>,
    },
}

fn meant(hint: &Option<String>) -> String {
    hint.as_ref().map(|hint| format!("; did you mean {hint:?}?")).unwrap_or_default()
}

fn listed(known: &[String]) -> String {
    match known {
        [] => "; it has no fields".into(),
        known => format!("; it has {}", known.join(", ")),
    }
}

/// What the schema says about a field, such as `gj.spec.sampling`, `modeldeployment.spec`, or
/// `spec.columns` (of a job). An empty path explains the job itself. Indices (`columns[0]`) are
/// allowed and mean nothing.
///
/// # Errors
/// If there is no such kind or field, with the closest name.
pub fn explain(path: &str) -> Result<String, ExplainError> {
    let mut words = path.split('.').map(without_index).filter(|word| !word.is_empty()).peekable();
    let kind = match words.peek().copied() {
        None => Kind::GenerationJob,
        Some(word) => match Kind::from_resource(word) {
            Some(kind) => {
                words.next();
                kind
            }
            None if ROOT_FIELDS.contains(&word) => Kind::GenerationJob,
            None => return Err(unknown_resource(word)),
        },
    };
    let root = with_root_fields(kind);
    let mut node = &root;
    let mut parent = kind.name().to_owned();
    let mut last = None;
    for word in words {
        node = field(node, word).ok_or_else(|| unknown_field(&parent, word, node))?;
        parent = word.to_owned();
        last = Some(word);
    }
    Ok(page(kind, last, node))
}

const ROOT_FIELDS: [&str; 5] = ["apiVersion", "kind", "metadata", "spec", "status"];

fn without_index(word: &str) -> &str {
    word.split('[').next().unwrap_or_default().trim()
}

fn unknown_resource(word: &str) -> ExplainError {
    let known = ["generationjob", "modeldeployment"].into_iter().chain(ROOT_FIELDS);
    let hint = closest(word, known).map(str::to_owned);
    ExplainError::Resource { word: word.to_owned(), hint }
}

fn unknown_field(parent: &str, word: &str, node: &Value) -> ExplainError {
    let known: Vec<String> =
        fields(node).into_iter().flatten().map(|(name, _)| name.clone()).collect();
    let hint = closest(word, known.iter().map(String::as_str)).map(str::to_owned);
    ExplainError::Field { parent: parent.to_owned(), field: word.to_owned(), hint, known }
}

/// The schema with the fields that every object has.
fn with_root_fields(kind: Kind) -> Value {
    let mut schema = kind.schema().clone();
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        let version = "The group and version of the object: textnlp.dev/v1alpha1.";
        fields.insert("apiVersion".into(), json!({"type": "string", "description": version}));
        let name = format!("The kind of the object: {}.", kind.name());
        fields.insert("kind".into(), json!({"type": "string", "description": name}));
        fields.insert("metadata".into(), object_meta());
    }
    schema
}

/// The schema of `name` in a node, or in the entries of a list or map.
fn field<'s>(node: &'s Value, name: &str) -> Option<&'s Value> {
    fields(node)?.get(name)
}

fn fields(node: &Value) -> Option<&Map<String, Value>> {
    let node = innermost(node);
    node.get("properties").and_then(Value::as_object)
}

/// The entries of lists and maps, down to a node that is neither.
fn innermost(mut node: &Value) -> &Value {
    while let Some(inner) = node.get("items").or_else(|| node.get("additionalProperties")) {
        node = inner;
    }
    node
}

fn page(kind: Kind, name: Option<&str>, node: &Value) -> String {
    let mut text =
        format!("GROUP:      {GROUP}\nKIND:       {}\nVERSION:    {VERSION}\n\n", kind.name());
    if let Some(name) = name {
        text.push_str(&format!("FIELD: {name} <{}>\n", type_name(node)));
        facts(node, "", &mut text);
        text.push('\n');
    }
    text.push_str("DESCRIPTION:\n");
    description(node, &mut text);
    let Some(fields) = fields(node) else {
        return text;
    };
    text.push_str("\nFIELDS:\n");
    let required = required(innermost(node));
    let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
    sorted.sort_by_key(|(name, _)| name.as_str());
    for (name, field) in sorted {
        text.push_str(&format!("  {name}\t<{}>", type_name(field)));
        if required.contains(&name.as_str()) {
            text.push_str(" -required-");
        }
        text.push('\n');
        facts(field, "  ", &mut text);
        description(field, &mut text);
        text.push('\n');
    }
    text
}

fn required(node: &Value) -> Vec<&str> {
    let list = node.get("required").and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

/// Enum, default and range, each on a line of its own.
fn facts(node: &Value, indent: &str, text: &mut String) {
    let values = innermost(node).get("enum").and_then(Value::as_array);
    if let Some(values) = values {
        let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        text.push_str(&format!("{indent}enum: {}\n", values.join(", ")));
    }
    if let Some(default) = node.get("default") {
        text.push_str(&format!("{indent}default: {default}\n"));
    }
    for bound in ["minimum", "maximum", "maxLength", "maxItems"] {
        if let Some(value) = node.get(bound).and_then(Value::as_f64) {
            let exclusive = node.get("exclusiveMinimum") == Some(&Value::Bool(true));
            let note = if bound == "minimum" && exclusive { " (exclusive)" } else { "" };
            text.push_str(&format!("{indent}{bound}: {value}{note}\n"));
        }
    }
}

/// The type as kubectl names it.
fn type_name(node: &Value) -> String {
    if node.get("x-kubernetes-int-or-string").is_some() {
        return "IntOrString".into();
    }
    match node.get("type").and_then(Value::as_str) {
        Some("array") => format!("[]{}", node.get("items").map_or("Object".into(), type_name)),
        Some("object") => match node.get("additionalProperties") {
            Some(values) => format!("map[string]{}", type_name(values)),
            None => "Object".into(),
        },
        Some(scalar) => scalar.into(),
        None => "Object".into(),
    }
}

fn description(node: &Value, text: &mut String) {
    let words = node.get("description").and_then(Value::as_str).unwrap_or("<empty>");
    for paragraph in words.lines() {
        let mut line = String::from("   ");
        for word in paragraph.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH && !line.trim().is_empty() {
                text.push_str(&line);
                text.push('\n');
                line = String::from("   ");
            }
            line.push(' ');
            line.push_str(word);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_explained_as_kubectl_does() {
        let page = explain("gj.spec.sampling").expect("a page");
        let start = "\
GROUP:      textnlp.dev
KIND:       GenerationJob
VERSION:    v1alpha1

FIELD: sampling <Object>
default: {}

DESCRIPTION:
    How tokens are drawn, for all columns.

FIELDS:
  maxTokens\t<integer>
  default: 256
  minimum: 1
  maximum: 1048576
    The most tokens that a completion may have. It is cut (finish reason
    `length`) at this many, or where the model's context ends. Default 256.

  minP\t<number>
";
        assert!(page.starts_with(start), "{page}");
    }

    #[test]
    fn a_leaf_shows_its_enum_and_lists_are_looked_through() {
        let expect = "\
GROUP:      textnlp.dev
KIND:       GenerationJob
VERSION:    v1alpha1

FIELD: mode <string>
enum: Auto, Chat, Completion
default: \"Auto\"

DESCRIPTION:
    How the model is called. `Auto`: as a chat if the model has a chat template,
    else as a completion; the report records which.
";
        for path in
            ["spec.columns.mode", "generationjob.spec.columns[0].mode", "gj.spec.columns[].mode"]
        {
            assert_eq!(explain(path).as_deref(), Ok(expect), "{path}");
        }
    }

    #[test]
    fn required_fields_and_types_are_marked() {
        let page = explain("spec").expect("a page");
        assert!(page.contains("  columns\t<[]Object> -required-\n"), "{page}");
        assert!(page.contains("  modelRef\t<Object>\n"), "{page}");
        let page = explain("mdl.spec.resources").expect("a page");
        assert!(page.contains("  limits\t<map[string]IntOrString>\n"), "{page}");
        let page = explain("").expect("a page");
        assert!(page.contains("  metadata\t<Object>\n"), "{page}");
        assert!(explain("modeldeployment.metadata.labels").is_ok());
    }

    #[test]
    fn a_path_that_leads_nowhere_names_the_closest_field() {
        let check = |path: &str, expect: &str| {
            assert_eq!(explain(path).expect_err(path).to_string(), expect);
        };
        check(
            "spec.sampling.tempreature",
            "sampling has no field \"tempreature\"; did you mean \"temperature\"?; it has maxTokens, minP, repetitionPenalty, seed, stop, temperature, topK, topP",
        );
        check("spec.samplesPerRecord.x", "samplesPerRecord has no field \"x\"; it has no fields");
        check(
            "generationjbo.spec",
            "there is no kind or field \"generationjbo\"; did you mean \"generationjob\"?; begin with generationjob (gj), modeldeployment (mdl), or a field of a job such as spec.sampling",
        );
    }
}
