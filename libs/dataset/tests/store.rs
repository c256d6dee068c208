//! The local store: atomic, inside its root, one writer at a time.

use std::fs;
use std::io::Write;

use textnlp_dataset::store::{LocalStore, Store};

fn store() -> (tempfile::TempDir, LocalStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path().join("out")).unwrap();
    (directory, store)
}

#[test]
fn a_file_appears_whole_when_it_is_committed_and_not_before() {
    let (_directory, store) = store();
    let mut upload = store.create("chunks/rows/a.jsonl").unwrap();
    upload.write_all(b"half").unwrap();
    upload.flush().unwrap();
    assert!(!store.exists("chunks/rows/a.jsonl").unwrap());
    assert_eq!(store.list("").unwrap(), [""; 0]);
    upload.write_all(b" whole").unwrap();
    assert_eq!(upload.commit().unwrap(), 10);
    assert_eq!(store.get("chunks/rows/a.jsonl").unwrap(), b"half whole");
    store.put("chunks/rows/a.jsonl", b"new").unwrap();
    store.put("b", b"").unwrap();
    assert_eq!(store.size("chunks/rows/a.jsonl").unwrap(), Some(3));
    assert_eq!(store.list("").unwrap(), ["b", "chunks/rows/a.jsonl"]);
    assert_eq!(store.list("chunks").unwrap(), ["chunks/rows/a.jsonl"]);
    store.delete("b").unwrap();
    store.delete("b").unwrap();
    assert!(store.get("b").unwrap_err().is_not_found());
    assert_eq!(store.list("nothing").unwrap(), [""; 0]);
}

#[test]
fn an_upload_that_is_dropped_leaves_nothing() {
    let (directory, store) = store();
    let mut upload = store.create("a").unwrap();
    upload.write_all(b"x").unwrap();
    drop(upload);
    assert_eq!(fs::read_dir(directory.path().join("out")).unwrap().count(), 0);
}

#[test]
fn paths_that_lead_out_are_refused() {
    let (_directory, store) = store();
    for (path, why) in [
        ("../x", "it holds `.` or `..`"),
        ("a/../../x", "it holds `.` or `..`"),
        ("./x", "it holds `.` or `..`"),
        ("/etc/passwd", "it is absolute"),
        ("a\0b", "it holds a NUL character"),
        ("a\\b", "it holds a backslash"),
        ("", "it is empty"),
    ] {
        let message = store.put(path, b"").unwrap_err().to_string();
        assert!(message.contains(why), "{path:?}: {message}");
        assert!(
            store.get(path).is_err() && store.delete(path).is_err() && store.size(path).is_err(),
            "{path:?}"
        );
    }
    let message = store.put(&"x".repeat(5000), b"").unwrap_err().to_string();
    assert!(message.contains("longer than 1,024 bytes") && message.len() < 400, "{message}");
}

#[cfg(unix)]
#[test]
fn symbolic_links_out_of_the_root_are_neither_read_nor_written_through() {
    use std::os::unix::fs::symlink;
    let (directory, store) = store();
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "s").unwrap();
    symlink(&outside, store.root().join("link")).unwrap();
    symlink(outside.join("secret"), store.root().join("file")).unwrap();
    symlink(outside.join("new"), store.root().join("dangling")).unwrap();
    for path in ["link/x", "link/secret", "link/new/x", "file", "dangling"] {
        let message = store.put(path, b"evil").unwrap_err().to_string();
        assert!(message.contains("leads out of"), "{path}: {message}");
        assert!(store.get(path).is_err(), "{path}");
    }
    // Links are listed by their own names, and never followed.
    assert_eq!(store.list("").unwrap(), ["dangling", "file", "link"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"s");
}

#[cfg(unix)]
#[test]
fn a_folder_of_a_volume_is_a_store_of_its_own_and_no_link_leads_out() {
    use std::os::unix::fs::symlink;
    let (directory, volume) = store();
    let folder = volume.folder("data/one").unwrap();
    folder.put("x", b"1").unwrap();
    assert_eq!(volume.list("").unwrap(), ["data/one/x"]);
    folder.claim("job a").unwrap();
    assert_eq!(volume.folder("data/two").unwrap().owner().unwrap(), None);
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, volume.root().join("link")).unwrap();
    for path in ["link", "link/new", "../outside", "/etc"] {
        assert!(volume.folder(path).is_err(), "{path}");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

#[cfg(unix)]
#[test]
fn what_a_file_system_keeps_for_itself_is_left_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, store) = store();
    let own = store.root().join("lost+found");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("#1"), "x").unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(store.list("").unwrap(), [""; 0]);
    let lock = store.lock().unwrap();
    store.clear(&lock).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(own.join("#1").exists());
}

#[test]
fn two_runs_do_not_write_one_directory() {
    let (_directory, store) = store();
    let lock = store.lock().unwrap();
    let message = LocalStore::open(store.root()).unwrap().lock().unwrap_err().to_string();
    assert!(message.starts_with("another run is writing to `"), "{message}");
    drop(lock);
    store.lock().unwrap();
}

#[test]
fn a_directory_keeps_its_owner_until_it_is_cleared() {
    let (_directory, store) = store();
    store.claim("job a").unwrap();
    store.claim("job a").unwrap();
    let message = store.claim("job b").unwrap_err().to_string();
    assert!(message.contains("belongs to job a; choose another output directory"), "{message}");
    store.put("chunks/x", b"1").unwrap();
    let lock = store.lock().unwrap();
    store.clear(&lock).unwrap();
    assert_eq!(store.list("").unwrap(), [""; 0]);
    store.claim("job b").unwrap();
}

#[test]
fn of_many_claims_at_once_exactly_one_wins() {
    let (_directory, store) = store();
    let won = std::thread::scope(|scope| {
        let claims: Vec<_> = (0..8)
            .map(|i| {
                let store = &store;
                scope.spawn(move || store.claim(&format!("job {i}")).is_ok())
            })
            .collect();
        claims
            .into_iter()
            .filter(|_| true)
            .map(|claim| claim.join().unwrap())
            .filter(|won| *won)
            .count()
    });
    assert_eq!(won, 1);
}

#[test]
fn what_a_killed_run_left_half_written_is_removed_with_the_lock() {
    let (_directory, store) = store();
    fs::create_dir_all(store.root().join("chunks/rows")).unwrap();
    let leftover = store.root().join("chunks/rows/.textnlp-tmp-99-0");
    fs::write(&leftover, "half").unwrap();
    assert_eq!(store.list("").unwrap(), [""; 0]);
    let _lock = store.lock().unwrap();
    assert!(!leftover.exists());
}

#[test]
fn a_place_that_cannot_be_written_is_named_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let message = LocalStore::open(file.join("out")).unwrap_err().to_string();
    assert!(
        message.contains("file/out`: a part of the path is a file, not a directory"),
        "{message}"
    );
    // Writing to a folder's name fails at the end, and leaves nothing behind.
    let store = LocalStore::open(directory.path().join("out")).unwrap();
    store.put("a/b", b"").unwrap();
    let message = store.put("a", b"x").unwrap_err().to_string();
    assert!(message.starts_with("cannot write `"), "{message}");
    assert_eq!(store.list("").unwrap(), ["a/b"]);
}
