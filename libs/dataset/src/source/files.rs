//! From a path or glob to readers: which files, which format, and what they are compressed with.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Component, Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use globset::GlobBuilder;

use super::{Format, SourceError};

/// Most files that a glob looks at.
const MAX_ENTRIES: usize = 100_000;

/// Deepest folder that `**` goes into.
const MAX_FOLDERS: usize = 32;

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";
const BOM: &[u8] = b"\xef\xbb\xbf";

/// The files that a path or glob means, sorted by path.
pub(super) fn resolve(base: &Path, pattern: &str) -> Result<Vec<PathBuf>, SourceError> {
    let literal = base.join(pattern);
    match fs::metadata(&literal) {
        Ok(metadata) if metadata.is_dir() => {
            return Err(SourceError::Directory { path: literal.display().to_string() });
        }
        Ok(_) => return Ok(vec![literal]),
        Err(error) if !is_glob(pattern) => return Err(read_error(&literal, error)),
        Err(_) => {}
    }
    // Only the pattern is a glob: the base may well have brackets in its name.
    let parts = Path::new(pattern).components().filter(|part| *part != Component::CurDir);
    let relative: PathBuf = parts.clone().filter(|part| *part != Component::RootDir).collect();
    let root = match (parts.clone().next(), base.as_os_str().is_empty()) {
        (Some(Component::RootDir), _) => Path::new("/"),
        (_, true) => Path::new("."),
        (_, false) => base,
    };
    let matcher = matcher(&relative.to_string_lossy())?;
    // The part before the first wildcard is where the search begins.
    let is_plain = |part: &Component<'_>| !is_glob(&part.as_os_str().to_string_lossy());
    let plain: PathBuf = relative.components().take_while(is_plain).collect();
    let depth = if pattern.contains("**") {
        MAX_FOLDERS
    } else {
        relative.components().count() - plain.components().count()
    };
    let mut search = Search { root, matcher, seen: 0, found: Vec::new() };
    search.folder(&root.join(plain), depth, pattern)?;
    if search.found.is_empty() {
        return Err(SourceError::NoMatch {
            pattern: pattern.into(),
            base: base.display().to_string(),
        });
    }
    search.found.sort();
    Ok(search.found)
}

/// What a glob matches: `*` stays in a folder, `**` does not.
pub(super) fn matcher(pattern: &str) -> Result<globset::GlobMatcher, SourceError> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    let glob = glob.map_err(|error| pattern_error(pattern, error.kind().to_string()))?;
    Ok(glob.compile_matcher())
}

struct Search<'a> {
    /// What the pattern is relative to.
    root: &'a Path,
    matcher: globset::GlobMatcher,
    seen: usize,
    found: Vec<PathBuf>,
}

impl Search<'_> {
    fn folder(&mut self, folder: &Path, depth: usize, pattern: &str) -> Result<(), SourceError> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.map_err(|error| read_error(folder, error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| read_error(folder, error))?;
            self.seen += 1;
            if self.seen > MAX_ENTRIES {
                let why = format!(
                    "it looks at more than {MAX_ENTRIES} files; name the folder more closely"
                );
                return Err(pattern_error(pattern, why));
            }
            let path = entry.path();
            let kind = entry.file_type().map_err(|error| read_error(&path, error))?;
            // Folders behind links are not entered: they may lead in circles.
            if kind.is_dir() && depth > 1 {
                self.folder(&path, depth - 1, pattern)?;
            } else if !kind.is_dir() && self.is_match(&path) && path.is_file() {
                self.found.push(path);
            }
        }
        Ok(())
    }

    fn is_match(&self, path: &Path) -> bool {
        path.strip_prefix(self.root).is_ok_and(|relative| self.matcher.is_match(relative))
    }
}

pub(super) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

pub(super) fn pattern_error(pattern: &str, why: String) -> SourceError {
    SourceError::Pattern { pattern: pattern.into(), why }
}

pub(super) fn read_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Read { path: path.display().to_string(), source }
}

/// What a file's name says about its contents.
pub(super) struct Ending {
    pub(super) format: Option<Format>,
    pub(super) compression: Option<&'static str>,
}

/// Reads the format and compression off a file name, whatever its case.
pub(super) fn ending(name: &str) -> Ending {
    let name = name.to_ascii_lowercase();
    let (stem, compression) = if let Some(stem) = name.strip_suffix(".gz") {
        (stem, Some("gzip"))
    } else if let Some(stem) = name.strip_suffix(".zst") {
        (stem, Some("zstd"))
    } else {
        (&*name, None)
    };
    let format = match stem.rsplit_once('.').map(|(_, extension)| extension) {
        Some("csv") => Some(Format::Csv),
        Some("jsonl" | "ndjson") => Some(Format::Jsonl),
        Some("parquet") => Some(Format::Parquet),
        _ => None,
    };
    Ending { format, compression }
}

/// Opens a text file: unpacked, without byte order mark.
pub(super) fn open_text(path: &Path, name: &str) -> Result<Box<dyn BufRead + Send>, SourceError> {
    let file = File::open(path).map_err(|error| read_error(path, error))?;
    decode(Box::new(BufReader::new(file)), name, ending(name).compression)
}

/// Whether a file is where it seems to be: an error if links lead out of the base.
pub(super) fn check_inside(base: &Path, path: &Path) -> Result<(), SourceError> {
    let real = |path: &Path| path.canonicalize().map_err(|error| read_error(path, error));
    if real(path)?.starts_with(real(base)?) {
        return Ok(());
    }
    Err(SourceError::Outside { path: path.display().to_string(), base: base.display().to_string() })
}

/// Unpacks gzip and zstd, known by their first bytes, as a stream, and skips a byte order mark.
///
/// What a name promises (`.gz`, `.zst`) must be so.
pub(super) fn decode<'a>(
    input: Box<dyn BufRead + Send + 'a>,
    name: &str,
    expected: Option<&'static str>,
) -> Result<Box<dyn BufRead + Send + 'a>, SourceError> {
    let error = |source| SourceError::Read { path: name.into(), source };
    let (start, input) = peek::<4>(input).map_err(error)?;
    let (found, unpacked): (_, Box<dyn BufRead + Send>) = if start.starts_with(GZIP) {
        ("gzip", Box::new(BufReader::new(MultiGzDecoder::new(input))))
    } else if start.starts_with(ZSTD) {
        (
            "zstd",
            Box::new(BufReader::new(
                zstd::stream::read::Decoder::with_buffer(input).map_err(error)?,
            )),
        )
    } else {
        ("plain", input)
    };
    if let Some(expected) = expected.filter(|expected| *expected != found && !start.is_empty()) {
        return Err(SourceError::NotCompressed { name: name.into(), expected });
    }
    let (start, mut input) = peek::<3>(unpacked).map_err(error)?;
    if start == BOM {
        input.read_exact(&mut [0; 3]).map_err(error)?;
    }
    Ok(input)
}

/// The first `N` bytes (fewer at the end), and a reader that still begins with them.
#[allow(clippy::type_complexity)]
fn peek<'a, const N: usize>(
    mut input: Box<dyn BufRead + Send + 'a>,
) -> io::Result<(Vec<u8>, Box<dyn BufRead + Send + 'a>)> {
    let mut start = Vec::new();
    input.by_ref().take(N as u64).read_to_end(&mut start)?;
    Ok((start.clone(), Box::new(Cursor::new(start).chain(input))))
}
