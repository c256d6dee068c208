//! `textnlp model inspect`: what a model file is, without loading its weights.

use std::path::Path;

use serde_json::json;
use textnlp_engine::weights::ModelFiles;

use crate::failure::Failure;
use crate::{print_json, print_text};

pub(crate) fn run(path: &Path, as_json: bool) -> Result<(), Failure> {
    let files = ModelFiles::open(path).map_err(Failure::usage)?;
    let digest = files.digest().map_err(Failure::failed)?;
    let summary = serde_json::to_value(files.summary()).map_err(Failure::failed)?;
    if as_json {
        let mut document = json!({"path": path.display().to_string(), "digest": digest});
        if let (Some(document), Some(summary)) = (document.as_object_mut(), summary.as_object()) {
            document.extend(summary.iter().map(|(k, v)| (k.clone(), v.clone())));
        }
        print_json(&document);
        return Ok(());
    }
    let mut text = format!("{:<16}{}\n", "digest", digest);
    for (name, value) in summary.as_object().into_iter().flatten() {
        let shown = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Object(fields) => fields
                .iter()
                .map(|(k, v)| {
                    format!("{k} {}", v.as_str().map_or_else(|| v.to_string(), str::to_owned))
                })
                .collect::<Vec<_>>()
                .join(", "),
            other => other.to_string(),
        };
        text.push_str(&format!("{name:<16}{shown}\n"));
    }
    print_text(&text);
    Ok(())
}
