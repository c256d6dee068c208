//! Which files of a repository make a model. Pure.

use super::error::FetchError;

/// Files beside safetensors that decide what a model does.
const COMPANIONS: [&str; 10] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
];

/// Names the files of weights that are split, `model-00001-of-00002.safetensors` and so on.
const INDEX: &str = "model.safetensors.index.json";

/// Ends of the names of files that run code when they are read.
const PICKLES: [&str; 6] = [".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"];

/// Whether a name is one of a file in the folder itself.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && !name.starts_with('.')
        && !name.contains(['/', '\\', '\0'])
}

/// The files to fetch of those that a repository has: safetensors with what belongs to them, or one GGUF.
pub(super) fn select<'a>(place: &str, names: &[&'a str]) -> Result<Vec<&'a str>, FetchError> {
    let names: Vec<&str> = names.iter().copied().filter(|name| is_plain(name)).collect();
    let ending = |end: &str| -> Vec<&'a str> {
        names.iter().copied().filter(|name| name.ends_with(end)).collect()
    };
    let has = |name: &str| names.contains(&name);
    let (safetensors, ggufs) = (ending(".safetensors"), ending(".gguf"));
    if !safetensors.is_empty() && has("config.json") {
        let mut chosen = if has("model.safetensors") {
            vec!["model.safetensors"]
        } else if has(INDEX) {
            [shards(&safetensors), vec![INDEX]].concat()
        } else {
            [safetensors, ending(".safetensors.index.json")].concat()
        };
        chosen.extend(names.iter().filter(|name| COMPANIONS.contains(name)));
        return Ok(chosen.into_iter().map(|name| find(&names, name)).collect());
    }
    match ggufs.as_slice() {
        [only] => Ok(vec![*only]),
        [] if names.iter().any(|name| PICKLES.iter().any(|end| name.ends_with(end))) => {
            Err(FetchError::Invalid(format!(
                "{place} has its weights as Python pickles only, which run code when they are read and are refused; \
                 use a repository with safetensors or a GGUF"
            )))
        }
        [] if !safetensors.is_empty() => Err(FetchError::Invalid(format!(
            "{place} has safetensors but no config.json, so that nobody knows what they are"
        ))),
        [] => Err(FetchError::Invalid(format!(
            "{place} has no model: safetensors with config.json, or a GGUF, are needed"
        ))),
        several => {
            let shown = several.iter().take(5).copied().collect::<Vec<_>>().join(", ");
            let more = if several.len() > 5 { " …" } else { "" };
            Err(FetchError::Invalid(format!(
                "{place} has several GGUF files: {shown}{more}; name one of them with spec.source.url"
            )))
        }
    }
}

/// Those that transformers' index names, and not another copy of the same weights beside them; all if none is named so.
fn shards<'a>(safetensors: &[&'a str]) -> Vec<&'a str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_shard = |name: &&str| {
        let middle = name.strip_prefix("model-").and_then(|name| name.strip_suffix(".safetensors"));
        middle
            .and_then(|middle| middle.split_once("-of-"))
            .is_some_and(|(number, of)| digits(number) && digits(of))
    };
    let shards: Vec<&str> = safetensors.iter().copied().filter(is_shard).collect();
    if shards.is_empty() { safetensors.to_vec() } else { shards }
}

/// The name as the list has it, which lives as long as the list.
fn find<'a>(names: &[&'a str], name: &str) -> &'a str {
    names.iter().copied().find(|found| *found == name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_a_model_are_chosen_and_what_is_none_is_refused() {
        let check =
            |names: &[&str], expect: Result<&[&str], &str>| match (select("a/b", names), expect) {
                (Ok(found), Ok(expect)) => assert_eq!(found, expect),
                (Err(error), Err(expect)) => {
                    assert!(error.to_string().contains(expect), "{error}");
                    assert_eq!(error.exit_code(), 2);
                }
                (found, _) => panic!("{names:?}: {found:?}"),
            };
        check(
            &[
                ".gitattributes",
                "README.md",
                "config.json",
                "model.safetensors",
                "onnx/model.onnx",
                "pytorch_model.bin",
                "tokenizer.json",
                "training.safetensors",
            ],
            Ok(&["model.safetensors", "config.json", "tokenizer.json"]),
        );
        check(
            &[
                "config.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
            ],
            Ok(&[
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
                "config.json",
            ]),
        );
        check(
            &[
                "config.json",
                "consolidated.safetensors",
                "model-00001-of-00001.safetensors",
                "model.safetensors.index.json",
            ],
            Ok(&[
                "model-00001-of-00001.safetensors",
                "model.safetensors.index.json",
                "config.json",
            ]),
        );
        check(
            &["a.safetensors", "b.safetensors", "config.json", "model.safetensors.index.json"],
            Ok(&["a.safetensors", "b.safetensors", "model.safetensors.index.json", "config.json"]),
        );
        check(&["README.md", "m.Q4_1.gguf"], Ok(&["m.Q4_1.gguf"]));
        check(&["a.gguf", "b.gguf"], Err("several GGUF files: a.gguf, b.gguf; name one"));
        check(&["config.json", "pytorch_model.bin"], Err("Python pickles only"));
        check(&["model.safetensors"], Err("no config.json"));
        check(&["../evil.gguf", "deep/x.gguf", ".x.gguf"], Err("has no model"));
    }
}
