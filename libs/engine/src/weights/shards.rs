//! The index of weights that are split over several safetensors files, `model.safetensors.index.json` as transformers
//! writes it: `{"weight_map": {"tensor": "model-00001-of-00002.safetensors", …}}`. Untrusted, as all of a model.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};

use super::WeightsError;
use super::safetensors::SafeTensors;
use super::source::{ReadAt, read_small};

/// The largest index that is read; ten thousand tensors take about one MB.
const MAX_INDEX_BYTES: u64 = 32 << 20;

/// The largest number of files; they are all held open. The largest models have about two hundred.
const MAX_FILES: usize = 1000;

/// Which tensor is in which file, checked in itself.
#[derive(Debug, Clone)]
pub struct ShardIndex {
    name: String,
    /// Tensors by file.
    files: BTreeMap<String, Vec<String>>,
}

impl ShardIndex {
    /// Parses an index; `name` is what messages call it.
    ///
    /// # Errors
    /// [`WeightsError::Config`] if it is no JSON, if it names a tensor twice, no files, too many, or one that is not
    /// beside it.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<ShardIndex, WeightsError> {
        let invalid = |key: &str, reason: String| WeightsError::config(name, key, reason);
        let index: Index = serde_json::from_slice(bytes)
            .map_err(|error| invalid("document", format!("is no index of weights: {error}")))?;
        let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (tensor, file) in index.weight_map.0 {
            if !is_plain(&file) {
                let reason = format!(
                    "tensor {tensor:?} is in {file:?}, but only a .safetensors file in the index's own directory is read, its name of plain ASCII"
                );
                return Err(invalid("weight_map", reason));
            }
            files.entry(file).or_default().push(tensor);
        }
        if files.is_empty() || files.len() > MAX_FILES {
            let reason = format!("names {} files; from 1 to {MAX_FILES} are read", files.len());
            return Err(invalid("weight_map", reason));
        }
        Ok(ShardIndex { name: name.to_owned(), files })
    }

    /// Reads and parses an index file.
    pub(super) fn read(path: &Path) -> Result<ShardIndex, WeightsError> {
        let name = path.display().to_string();
        let bytes = read_small(path, MAX_INDEX_BYTES)?.ok_or_else(|| WeightsError::Io {
            path: name.clone(),
            source: std::io::ErrorKind::NotFound.into(),
        })?;
        ShardIndex::parse(&name, &bytes)
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the files, sorted.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The error for a file that is not there.
    pub(super) fn missing(&self, path: &str) -> WeightsError {
        let reason = format!(
            "it is one of the {} files that {} names, and it is missing; download it too",
            self.files.len(),
            self.name
        );
        WeightsError::NotAModel { path: path.to_owned(), reason }
    }

    /// Reads the files' headers and checks that each has the tensors that it should have and no other file's.
    pub(super) fn shards(
        &self,
        sources: Vec<Arc<dyn ReadAt>>,
    ) -> Result<Vec<SafeTensors>, WeightsError> {
        if sources.len() != self.files.len() {
            let reason = format!("names {} files, not {}", self.files.len(), sources.len());
            return Err(WeightsError::config(&self.name, "weight_map", reason));
        }
        let shards: Vec<SafeTensors> =
            sources.into_iter().map(SafeTensors::parse).collect::<Result<_, _>>()?;
        self.check_listed(&shards)?;
        check_once(&shards)?;
        Ok(shards)
    }

    fn check_listed(&self, shards: &[SafeTensors]) -> Result<(), WeightsError> {
        for (shard, tensors) in shards.iter().zip(self.files.values()) {
            if let Some(missing) = tensors.iter().find(|name| shard.tensors().get(name).is_none()) {
                let reason = format!("missing, though {} says that it is here", self.name);
                return Err(WeightsError::tensor(shard.source().name(), missing, reason));
            }
        }
        Ok(())
    }
}

fn check_once(shards: &[SafeTensors]) -> Result<(), WeightsError> {
    let mut seen: HashMap<&str, &SafeTensors> = HashMap::new();
    for shard in shards {
        for tensor in shard.tensors().iter() {
            if let Some(other) = seen.insert(&tensor.name, shard) {
                let reason = format!("{} has it too", other.source().name());
                return Err(WeightsError::tensor(shard.source().name(), &tensor.name, reason));
            }
        }
    }
    Ok(())
}

/// Whether a name is that of a weights file beside the index, and leads nowhere else.
fn is_plain(name: &str) -> bool {
    name.ends_with(".safetensors")
        && name.len() <= 255
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'\\')
}

#[derive(Deserialize)]
struct Index {
    weight_map: WeightMap,
}

/// Tensors and files as written, duplicates refused (a map would keep the last one and hide the other).
struct WeightMap(BTreeMap<String, String>);

impl<'de> Deserialize<'de> for WeightMap {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<WeightMap, D::Error> {
        deserializer.deserialize_map(WeightMapVisitor)
    }
}

struct WeightMapVisitor;

impl<'de> Visitor<'de> for WeightMapVisitor {
    type Value = WeightMap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors' names to files' names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WeightMap, A::Error> {
        let mut tensors = BTreeMap::new();
        while let Some((tensor, file)) = map.next_entry::<String, String>()? {
            if let Some(other) = tensors.insert(tensor.clone(), file) {
                let message = format!("tensor {tensor:?} appears twice, once in {other:?}");
                return Err(A::Error::custom(message));
            }
        }
        Ok(WeightMap(tensors))
    }
}
