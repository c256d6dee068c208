//! The chat template of a model directory.

use serde_json::Value;

use super::WeightsError;
use super::config::Json;

/// `chat_template.jinja` (path and bytes) if it is there, else `chat_template` of `tokenizer_config.json`: one text, or
/// a list of named ones of which `default` is taken.
pub(super) fn from_directory(
    file: Option<(&str, &[u8])>,
    tokenizer_config: Option<&Json>,
) -> Result<Option<String>, WeightsError> {
    if let Some((path, bytes)) = file {
        return match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(error) => {
                Err(WeightsError::damaged(path, error.valid_up_to() as u64, "it is not UTF-8"))
            }
        };
    }
    let Some(config) = tokenizer_config else {
        return Ok(None);
    };
    let key = "chat_template";
    match config.value(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Array(named)) => match named.iter().find_map(default_template) {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(WeightsError::config(
                config.file(),
                key,
                "is a list without a template named default",
            )),
        },
        Some(_) => Err(WeightsError::config(
            config.file(),
            key,
            "is neither a string nor a list of named templates",
        )),
    }
}

fn default_template(entry: &Value) -> Option<&str> {
    (entry.get("name")?.as_str()? == "default").then(|| entry.get("template")?.as_str())?
}
