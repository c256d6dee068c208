//! What a pod tells its operator when it ends: the termination message, which Kubernetes reads from a file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use textnlp_crds::task::Termination;

/// Writes a message where Kubernetes reads it. Outside of a pod there is no such file, and none is made.
pub(crate) fn write(path: &Path, message: &Termination) {
    let file = OpenOptions::new().write(true).truncate(true).open(path);
    match file.and_then(|mut file| file.write_all(message.write().as_bytes())) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let place = path.display();
            tracing::warn!("the termination message cannot be written to {place}: {error}");
        }
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use textnlp_crds::task::TaskFailure;

    use super::*;

    #[test]
    fn the_message_is_written_only_where_there_is_a_file_for_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("termination-log");
        let failure = TaskFailure { reason: "ModelChanged".into(), message: "m".into() };
        write(&file, &Termination::Failed(failure.clone()));
        assert!(!file.exists());
        std::fs::write(&file, "what was there before, which is longer").expect("a file");
        write(&file, &Termination::Failed(failure.clone()));
        let text = std::fs::read_to_string(&file).expect("a file");
        assert_eq!(Termination::read(&text), Some(Termination::Failed(failure)));
    }
}
