//! Files that are written as a whole or not at all, whatever happens meanwhile.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// How the names of the temporary files begin that are not finished yet.
pub(crate) const UNFINISHED: &str = ".new-";

/// Writes a file beside its place and moves it there; makes its folder if there is none. Not synchronised: whoever reads it
/// after a crash has to check what it holds.
///
/// # Errors
/// Those of `write` and of the file system; the file is then as it was.
pub(crate) fn write(
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder)?;
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix(UNFINISHED).permissions(Permissions::from_mode(0o644));
    let mut file = builder.tempfile_in(folder)?;
    write(file.as_file_mut())?;
    file.persist(path)?;
    Ok(())
}
