//! A model in the layout of the Hugging Face hub: safetensors files, `config.json`, and optional companions.

use std::path::Path;

use super::checkpoint::Checkpoint;
use super::config::{self, Json};
use super::model_files::{Format, ModelFiles, Parts};
use super::names::Naming;
use super::safetensors::SafeTensors;
use super::source::read_small;
use super::tokenizer_json::TokenizerFacts;
use super::{Architecture, TokenizerSource, WeightsError, chat_template, digest, special_tokens};

const MAX_CONFIG_BYTES: u64 = 4 << 20;
/// `tokenizer_config.json` repeats every added token.
const MAX_TOKENIZER_CONFIG_BYTES: u64 = 32 << 20;
const MAX_TEMPLATE_BYTES: u64 = 1 << 20;
const MAX_TOKENIZER_BYTES: u64 = 256 << 20;

/// Contents of the files beside the weights.
#[derive(Debug, Clone, Default)]
pub struct Companions {
    /// Their directory, for messages.
    pub directory: String,
    /// `config.json`
    pub config: Option<Vec<u8>>,
    /// `generation_config.json`
    pub generation_config: Option<Vec<u8>>,
    /// `tokenizer.json`
    pub tokenizer: Option<Vec<u8>>,
    /// `tokenizer_config.json`
    pub tokenizer_config: Option<Vec<u8>>,
    /// `chat_template.jinja`
    pub chat_template: Option<Vec<u8>>,
}

impl Companions {
    /// Reads what is there, no file beyond its limit.
    ///
    /// # Errors
    /// [`WeightsError::TooLarge`], [`WeightsError::Io`].
    pub fn read(directory: &Path) -> Result<Companions, WeightsError> {
        let read = |name: &str, limit| read_small(&directory.join(name), limit);
        Ok(Companions {
            directory: directory.display().to_string(),
            config: read("config.json", MAX_CONFIG_BYTES)?,
            generation_config: read("generation_config.json", MAX_CONFIG_BYTES)?,
            tokenizer: read("tokenizer.json", MAX_TOKENIZER_BYTES)?,
            tokenizer_config: read("tokenizer_config.json", MAX_TOKENIZER_CONFIG_BYTES)?,
            chat_template: read("chat_template.jinja", MAX_TEMPLATE_BYTES)?,
        })
    }

    fn path(&self, name: &str) -> String {
        Path::new(&self.directory).join(name).display().to_string()
    }

    fn json(&self, name: &str, bytes: Option<&Vec<u8>>) -> Result<Option<Json>, WeightsError> {
        bytes.map(|bytes| Json::parse(&self.path(name), bytes)).transpose()
    }
}

/// Reads and checks everything but the tensors' data. The name is what messages call the weights.
pub(super) fn open(
    name: String,
    weights: Vec<SafeTensors>,
    companions: Companions,
) -> Result<ModelFiles, WeightsError> {
    let config_json =
        companions.json("config.json", companions.config.as_ref())?.ok_or_else(|| {
            let reason = "config.json is missing beside it".to_owned();
            WeightsError::NotAModel { path: name.clone(), reason }
        })?;
    let (config, tied) = config::from_config_json(&config_json)?;
    let generation_config =
        companions.json("generation_config.json", companions.generation_config.as_ref())?;
    let tokenizer_config =
        companions.json("tokenizer_config.json", companions.tokenizer_config.as_ref())?;
    let facts = tokenizer_facts(&companions, config.vocab_size)?;
    let special_tokens = special_tokens::from_json(
        &[generation_config.as_ref(), Some(&config_json)],
        tokenizer_config.as_ref(),
        facts.as_ref(),
        config.vocab_size,
    )?;
    let template_path = companions.path("chat_template.jinja");
    let template_file =
        companions.chat_template.as_deref().map(|bytes| (template_path.as_str(), bytes));
    let chat_template = chat_template::from_directory(template_file, tokenizer_config.as_ref())?;
    let digest = digest_parts(&companions, chat_template.as_deref());
    let naming = naming(config.architecture, &weights);
    let files = weights.into_iter().map(SafeTensors::into_file).collect();
    let checkpoint = Checkpoint { name, files, naming, tied };
    let tokenizer = companions.tokenizer.map_or(TokenizerSource::Missing, TokenizerSource::Json);
    let tokenizer_summary = facts.map(|facts| (facts.kind().to_owned(), facts.vocab_size()));
    ModelFiles::checked(Parts {
        format: Format::SafeTensors,
        checkpoint,
        config,
        tokenizer,
        tokenizer_summary,
        special_tokens,
        chat_template,
        digest,
    })
}

/// The first GPT-2 checkpoints were saved from the base model, without the prefix.
fn naming(architecture: Architecture, weights: &[SafeTensors]) -> Naming {
    let has = |name| weights.iter().any(|file| file.tensors().get(name).is_some());
    match architecture {
        Architecture::Llama => Naming::HfLlama,
        Architecture::Gpt2 if has("wte.weight") => Naming::HfGpt2 { prefix: "" },
        Architecture::Gpt2 => Naming::HfGpt2 { prefix: "transformer." },
    }
}

/// The tokenizer's facts; its vocabulary must fit into the embedding.
fn tokenizer_facts(
    companions: &Companions,
    vocab_size: usize,
) -> Result<Option<TokenizerFacts>, WeightsError> {
    let Some(bytes) = &companions.tokenizer else {
        return Ok(None);
    };
    let file = companions.path("tokenizer.json");
    let facts = TokenizerFacts::parse(&file, bytes)?;
    if facts.vocab_size() > vocab_size as u64 {
        let reason = format!(
            "has ids up to {}, but the token embedding only {vocab_size} rows",
            facts.vocab_size() - 1
        );
        return Err(WeightsError::config(&file, "vocab", reason));
    }
    Ok(Some(facts))
}

fn digest_parts(companions: &Companions, chat_template: Option<&str>) -> Vec<(String, String)> {
    let parts = [
        ("config", companions.config.as_deref()),
        ("tokenizer", companions.tokenizer.as_deref()),
        ("chatTemplate", chat_template.map(str::as_bytes)),
    ];
    let present = parts.into_iter().filter_map(|(role, bytes)| Some((role, bytes?)));
    present.map(|(role, bytes)| (role.to_owned(), digest::sha256(bytes))).collect()
}
