//! Reader of safetensors headers (<https://github.com/huggingface/safetensors#format>): eight bytes of length, a JSON
//! header, the tensors' bytes without gaps. The crate `safetensors` checks shapes, offsets and overlaps; here the length is
//! bounded before it is believed, duplicates are refused, and the data must reach exactly to the file's end.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo as StoredInfo};
use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};

use super::WeightsError;
use super::checkpoint::WeightsFile;
use super::encoding::Encoding;
use super::magic;
use super::source::{ReadAt, read_exact};
use super::table::{ElementType, TensorInfo, TensorTable};

/// Longest header that is read; ten thousand tensors take about one MB.
const MAX_HEADER_BYTES: u64 = 32 << 20;

const LENGTH_BYTES: u64 = 8;

/// A safetensors file whose header has been read and checked; the tensors' bytes stay in the source.
#[derive(Clone)]
pub struct SafeTensors {
    source: Arc<dyn ReadAt>,
    tensors: TensorTable,
}

impl SafeTensors {
    /// Reads and checks the header.
    ///
    /// # Errors
    /// [`WeightsError::NotAModel`] for another format, [`WeightsError::Damaged`] for one that breaks the format.
    pub fn parse(source: Arc<dyn ReadAt>) -> Result<SafeTensors, WeightsError> {
        let header = read_header(source.as_ref())?;
        let data_start = LENGTH_BYTES + header.len() as u64;
        let entries = parse_header(source.name(), &header)?;
        let mut tensors = TensorTable::default();
        let mut end = 0;
        for (name, info) in &entries {
            let elements = info.shape.iter().map(|&dimension| dimension as u64).product(); // checked by the crate
            let (first, last) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
            end = end.max(last);
            tensors.insert(TensorInfo {
                name: name.clone(),
                element: element_type(info.dtype),
                shape: info.shape.iter().map(|&dimension| dimension as u64).collect(),
                elements,
                offset: data_start.saturating_add(first),
                bytes: last - first,
            });
        }
        check_end(source.as_ref(), data_start, end)?;
        Ok(SafeTensors { source, tensors })
    }

    /// The tensors.
    pub fn tensors(&self) -> &TensorTable {
        &self.tensors
    }

    /// Where the bytes are.
    pub fn source(&self) -> &Arc<dyn ReadAt> {
        &self.source
    }

    /// As a file of a checkpoint.
    pub(super) fn into_file(self) -> WeightsFile {
        WeightsFile { source: self.source, tensors: self.tensors }
    }
}

/// Whether the first bytes can be a safetensors file's: a length below the limit, then a JSON object.
pub(super) fn is_safetensors(start: &[u8]) -> bool {
    let Some((length, rest)) = start.split_first_chunk() else {
        return false;
    };
    u64::from_le_bytes(*length) <= MAX_HEADER_BYTES && rest.first() == Some(&b'{')
}

fn read_header(source: &dyn ReadAt) -> Result<Vec<u8>, WeightsError> {
    let mut start = vec![0; magic::SHOWN_BYTES.min(source.size()) as usize];
    read_exact(source, 0, &mut start)?;
    let length = match start.first_chunk() {
        Some(length) if is_safetensors(&start) => u64::from_le_bytes(*length),
        _ => {
            let reason = format!("it should be safetensors, but {}", magic::describe(&start));
            return Err(WeightsError::NotAModel { path: source.name().to_owned(), reason });
        }
    };
    if length > source.size() - LENGTH_BYTES {
        let remain = source.size() - LENGTH_BYTES;
        let reason =
            format!("the header needs {length} bytes, but {remain} remain before the file ends");
        return Err(WeightsError::damaged(source.name(), LENGTH_BYTES, reason));
    }
    let mut header = vec![0; length as usize];
    read_exact(source, LENGTH_BYTES, &mut header)?;
    Ok(header)
}

/// The entries in the order of their offsets, checked to cover the data without gap or overlap.
fn parse_header(file: &str, bytes: &[u8]) -> Result<Vec<(String, StoredInfo)>, WeightsError> {
    let damaged = |reason: String| WeightsError::damaged(file, LENGTH_BYTES, reason);
    let header: Header =
        serde_json::from_slice(bytes).map_err(|error| damaged(format!("the header: {error}")))?;
    let mut entries = header.tensors;
    entries.sort_by_key(|(_, info)| info.data_offsets);
    Metadata::new(None, entries.clone())
        .map_err(|error| damaged(format!("the header: {error}")))?;
    Ok(entries)
}

fn check_end(source: &dyn ReadAt, data_start: u64, data_bytes: u64) -> Result<(), WeightsError> {
    let expected = data_start.saturating_add(data_bytes);
    let size = source.size();
    if expected == size {
        return Ok(());
    }
    let reason = if expected > size {
        format!("the tensors end at byte {expected}: {} bytes are missing", expected - size)
    } else {
        format!("{} bytes follow the last tensor", size - expected)
    };
    Err(WeightsError::damaged(source.name(), size, reason))
}

fn element_type(dtype: Dtype) -> ElementType {
    match dtype {
        Dtype::F32 => ElementType::Known(Encoding::F32),
        Dtype::F16 => ElementType::Known(Encoding::F16),
        Dtype::BF16 => ElementType::Known(Encoding::BF16),
        Dtype::F64 => ElementType::Other("F64"),
        Dtype::BOOL => ElementType::Other("BOOL"),
        Dtype::I8 => ElementType::Other("I8"),
        Dtype::U8 => ElementType::Other("U8"),
        Dtype::I16 => ElementType::Other("I16"),
        Dtype::U16 => ElementType::Other("U16"),
        Dtype::I32 => ElementType::Other("I32"),
        Dtype::U32 => ElementType::Other("U32"),
        Dtype::I64 => ElementType::Other("I64"),
        Dtype::U64 => ElementType::Other("U64"),
        _ => ElementType::Other("of 8 bits or fewer, or complex,"),
    }
}

/// The header as written, duplicates refused (a map would keep the last one and hide the other).
struct Header {
    tensors: Vec<(String, StoredInfo)>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut tensors: Vec<(String, StoredInfo)> = Vec::new();
        let mut names = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<HashMap<String, String>>()?;
                continue;
            }
            let info = map.next_value()?;
            if !names.insert(name.clone()) {
                return Err(A::Error::custom(format!("tensor {name:?} appears twice")));
            }
            tensors.push((name, info));
        }
        Ok(Header { tensors })
    }
}
