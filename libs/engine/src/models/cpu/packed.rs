//! The head of a file of packed weights: what it holds and of which model, as plain numbers. No file is read here.
//!
//! All numbers are little-endian. The file is this head and then the sections' bytes, one after the other:
//!
//! | bytes | |
//! |---|---|
//! | 8 | `TNLPpack` |
//! | 4 | [`LAYOUT`] |
//! | 4 | number of sections |
//! | 32 | key: SHA-256 over model and precision |
//! | 8 | checksum of the sections: xxh3 over the xxh3 of each of their pieces of [`PIECE_BYTES`], in order |
//! | 16 each | sections: kind and number of bytes |
//! | 8 | xxh3 of all that stands before |

use twox_hash::XxHash3_64;

/// Version of the file and of all that it holds. **It must change** whenever anything does that decides the bytes: the order
/// of the sections, the form of a panel or group (`panels`, `groups`, `lines`), how weights are rounded (`pack`, `integers`)
/// or which kind a matrix gets. Files of other versions are not read.
pub(crate) const LAYOUT: u32 = 1;

/// Bytes that are read and checked at a time, by one thread.
pub(super) const PIECE_BYTES: usize = 1 << 20;

const MAGIC: [u8; 8] = *b"TNLPpack";
const FIXED_BYTES: usize = 56;
const SECTION_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 8;

/// More than the matrices and vectors of any model.
const MAX_SECTIONS: usize = 1 << 16;

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    /// Nothing: the model has no such vector or matrix.
    Absent = 0,
    /// Vectors or rows in f32, padded to whole lines.
    Lines = 1,
    F32 = 2,
    Bf16 = 3,
    Int4 = 4,
    WideInt4 = 5,
    Int8 = 6,
    WideInt8 = 7,
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::Absent,
        Kind::Lines,
        Kind::F32,
        Kind::Bf16,
        Kind::Int4,
        Kind::WideInt4,
        Kind::Int8,
        Kind::WideInt8,
    ];
}

/// One matrix or vector of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) kind: Kind,
    pub(super) bytes: usize,
}

/// What a file of packed weights says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedHead {
    /// Stands for the model and how it is computed.
    pub(super) key: [u8; 32],
    /// Over the sections' bytes.
    pub(super) checksum: u64,
    /// In the order that `Weights` has them.
    pub(super) sections: Vec<Section>,
}

impl PackedHead {
    /// Bytes of a head with that many sections.
    fn size(sections: usize) -> usize {
        FIXED_BYTES + sections * SECTION_BYTES + CHECKSUM_BYTES
    }

    /// Bytes of the whole head, told by the first 16 bytes.
    ///
    /// # Errors
    /// It is no file of packed weights, one of another version, or damaged.
    pub(super) fn announced(start: &[u8; 16]) -> Result<usize, String> {
        let (magic, rest) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err("it is no file of packed weights".to_owned());
        }
        let [version, count] = [0, 4].map(|at| u32_at(rest, at).unwrap_or_default());
        if version != LAYOUT {
            return Err(format!("its layout is version {version}, not {LAYOUT}"));
        }
        match usize::try_from(count) {
            Ok(count) if count <= MAX_SECTIONS => Ok(PackedHead::size(count)),
            _ => Err(format!("it claims {count} sections")),
        }
    }

    /// Reads a head from the bytes that [`PackedHead::to_bytes`] made, or any others: they are not trusted.
    ///
    /// # Errors
    /// What is wrong with them, as the end of a sentence about the file.
    pub fn parse(bytes: &[u8]) -> Result<PackedHead, String> {
        let short = || "its head is cut off".to_owned();
        let size = PackedHead::announced(bytes.first_chunk().ok_or_else(short)?)?;
        let bytes = bytes.get(..size).ok_or_else(short)?;
        let (said, checksum) = bytes.split_last_chunk().ok_or_else(short)?;
        if XxHash3_64::oneshot(said) != u64::from_le_bytes(*checksum) {
            return Err("its head is damaged".to_owned());
        }
        let key = said.get(16..).and_then(|rest| rest.first_chunk()).ok_or_else(short)?;
        let sections = said.get(FIXED_BYTES..).ok_or_else(short)?;
        let sections = sections.chunks_exact(SECTION_BYTES).map(section);
        Ok(PackedHead {
            key: *key,
            checksum: u64_at(said, 48).ok_or_else(short)?,
            sections: sections.collect::<Option<_>>().ok_or("it has a section of no known kind")?,
        })
    }

    /// The head as it is written.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PackedHead::size(self.sections.len()));
        bytes.extend(MAGIC);
        bytes.extend(LAYOUT.to_le_bytes());
        bytes.extend((self.sections.len() as u32).to_le_bytes());
        bytes.extend(self.key);
        bytes.extend(self.checksum.to_le_bytes());
        for section in &self.sections {
            bytes.extend(u64::from(section.kind as u32).to_le_bytes());
            bytes.extend((section.bytes as u64).to_le_bytes());
        }
        bytes.extend(XxHash3_64::oneshot(&bytes).to_le_bytes());
        bytes
    }

    /// Bytes of the whole file; `None` if there are too many for any file.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        let mut sizes = self.sections.iter().map(|section| section.bytes as u64);
        sizes.try_fold(PackedHead::size(self.sections.len()) as u64, u64::checked_add)
    }
}

/// The checksum over the pieces' own.
pub(super) fn checksum(pieces: &[u64]) -> u64 {
    let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_le_bytes()).collect();
    XxHash3_64::oneshot(&bytes)
}

/// The checksum of a piece.
pub(super) fn piece_checksum(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

fn section(bytes: &[u8]) -> Option<Section> {
    let (kind, bytes) = (u64_at(bytes, 0)?, u64_at(bytes, 8)?);
    let kind = Kind::ALL.into_iter().find(|known| u64::from(*known as u32) == kind)?;
    Some(Section { kind, bytes: usize::try_from(bytes).ok()? })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> PackedHead {
        let section = |kind, bytes| Section { kind, bytes };
        let sections =
            vec![section(Kind::Int8, 544), section(Kind::Absent, 0), section(Kind::Lines, 64)];
        PackedHead { key: [7; 32], checksum: 1 << 60, sections }
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let bytes = head().to_bytes();
        assert_eq!(PackedHead::parse(&bytes), Ok(head()));
        let followed = [bytes.clone(), vec![0; 9]].concat();
        assert_eq!(PackedHead::parse(&followed), Ok(head()), "the sections follow");
        assert_eq!(head().file_bytes(), Some(bytes.len() as u64 + 544 + 64));
    }

    #[test]
    fn a_head_that_was_changed_or_cut_anywhere_is_refused() {
        let bytes = head().to_bytes();
        for place in 0..bytes.len() {
            assert!(PackedHead::parse(&bytes[..place]).is_err(), "cut at {place}");
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                assert!(PackedHead::parse(&changed).is_err(), "bit {bit} of byte {place}");
            }
        }
    }

    #[test]
    fn a_valid_checksum_does_not_make_nonsense_valid() {
        let sealed = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = head().to_bytes();
            bytes.truncate(bytes.len() - CHECKSUM_BYTES);
            change(&mut bytes);
            bytes.extend(XxHash3_64::oneshot(&bytes).to_le_bytes());
            PackedHead::parse(&bytes)
        };
        assert_eq!(sealed(&|_| {}), Ok(head()));
        assert!(sealed(&|bytes| bytes[FIXED_BYTES] = 8).unwrap_err().contains("no known kind"));
        assert!(sealed(&|bytes| bytes[8] = 99).unwrap_err().contains("version 99, not 1"));
        assert!(sealed(&|bytes| bytes[12] = 4).unwrap_err().contains("cut off"));
        assert!(sealed(&|bytes| bytes[15] = 255).unwrap_err().contains("sections"));
        let many = sealed(&|bytes| {
            bytes[FIXED_BYTES + 8..FIXED_BYTES + 16].fill(255);
            bytes[FIXED_BYTES + 40..FIXED_BYTES + 48].fill(255);
        });
        assert_eq!(many.map(|head| head.file_bytes()), Ok(None), "more bytes than can be counted");
    }
}
