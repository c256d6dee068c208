//! An object store as target and as source, against a real S3 server.

mod s3;

use std::io::{Read, Write};

use s3::{S3, SECRET, secret};
use textnlp_dataset::net::Access;
use textnlp_dataset::source::{Objects, Options};
use textnlp_dataset::store::{Credentials, ObjectFailure, ObjectStore, Store, StoreError};

#[test]
fn it_does_what_a_directory_does() {
    let s3 = S3::start();
    let store = s3.store("jobs/one/");
    assert_eq!(store.place(), "s3://data/jobs/one");
    assert_eq!(store.list("").unwrap(), [""; 0]);
    let mut upload = store.create("chunks/rows/a.jsonl").unwrap();
    upload.write_all(b"half").unwrap();
    assert!(!store.exists("chunks/rows/a.jsonl").unwrap());
    upload.write_all(b" whole").unwrap();
    assert_eq!(upload.commit().unwrap(), 10);
    assert_eq!(store.get("chunks/rows/a.jsonl").unwrap(), b"half whole");
    store.put("chunks/rows/a.jsonl", b"new").unwrap();
    store.put("b", b"").unwrap();
    assert_eq!(store.size("chunks/rows/a.jsonl").unwrap(), Some(3));
    // Another job's prefix that begins with the same letters is another place.
    s3.store("jobs/one-more").put("x", b"1").unwrap();
    assert_eq!(store.list("").unwrap(), ["b", "chunks/rows/a.jsonl"]);
    assert_eq!(store.list("chunks").unwrap(), ["chunks/rows/a.jsonl"]);
    assert_eq!(store.list("nothing").unwrap(), [""; 0]);
    store.delete("b").unwrap();
    store.delete("b").unwrap();
    assert!(store.get("b").unwrap_err().is_not_found());
    assert_eq!(store.size("b").unwrap(), None);
    let message = store.put("../x", b"").unwrap_err().to_string();
    assert!(message.contains("it holds `.` or `..`"), "{message}");
    let mut dropped = store.create("c").unwrap();
    dropped.write_all(b"x").unwrap();
    drop(dropped);
    assert_eq!(store.list("").unwrap(), ["chunks/rows/a.jsonl"]);
}

#[test]
fn an_object_larger_than_a_part_appears_whole_when_it_is_committed() {
    let s3 = S3::start();
    let store = s3.store("big");
    let contents: Vec<u8> = (0..20_u32 << 20).map(|i| (i ^ (i >> 8)) as u8).collect();
    let mut upload = store.create("dataset.jsonl").unwrap();
    upload.write_all(&contents).unwrap();
    assert!(!store.exists("dataset.jsonl").unwrap());
    assert_eq!(upload.commit().unwrap(), contents.len() as u64);
    let mut read = Vec::new();
    store.open("dataset.jsonl").unwrap().read_to_end(&mut read).unwrap();
    assert!(read == contents);
    let mut dropped = store.create("other").unwrap();
    dropped.write_all(&contents).unwrap();
    drop(dropped);
    assert_eq!(store.list("").unwrap(), ["dataset.jsonl"]);
}

#[test]
fn of_many_claims_at_once_exactly_one_wins_and_the_place_keeps_its_owner() {
    let s3 = S3::start();
    let store = s3.store("claimed");
    let won: usize = std::thread::scope(|scope| {
        let claims: Vec<_> = (0..6)
            .map(|i| {
                let store = &store;
                scope.spawn(move || store.claim(&format!("job {i}")).is_ok())
            })
            .collect();
        claims.into_iter().map(|claim| usize::from(claim.join().unwrap())).sum()
    });
    assert_eq!(won, 1);
    let owner = store.owner().unwrap().unwrap();
    store.claim(&owner).unwrap();
    let error = store.claim("another").unwrap_err();
    assert!(error.is_final());
    assert_eq!(
        error.to_string(),
        format!(
            "`s3://data/claimed` belongs to {owner}; choose another output directory, or remove it if that dataset is not needed"
        )
    );
    // The owner's name is no file of the dataset.
    store.put("x", b"1").unwrap();
    assert_eq!(store.list("").unwrap(), ["x"]);
    store.clear(&store.lock().unwrap()).unwrap();
    assert_eq!((store.owner().unwrap(), store.list("").unwrap().len()), (None, 0));
}

#[test]
fn a_failure_names_the_object_and_shows_no_secret() {
    let s3 = S3::start();
    let access = Access { loopback: true };
    let wrong = secret("wrong-secret");
    let credentials = Credentials::Secret(wrong.path().to_owned());
    let store = ObjectStore::open(&s3.location("x"), &credentials, access).unwrap();
    let error = store.put("a", b"1").unwrap_err();
    assert!(matches!(error, StoreError::Object { kind: ObjectFailure::Denied, .. }), "{error:?}");
    let message = error.to_string();
    assert!(message.starts_with("cannot write `s3://data/x/a`: "), "{message}");
    assert!(message.ends_with("check the credentials, and what they allow"), "{message}");
    assert!(!message.contains("wrong-secret") && !message.contains(SECRET), "{message}");
    assert!(!error.is_final());

    let mut location = s3.location("x");
    location.uri = "s3://no-such-bucket/x".into();
    let store = ObjectStore::open(&location, &s3.credentials(), access).unwrap();
    let message = store.put("a", b"1").unwrap_err().to_string();
    assert!(
        message.contains("s3://no-such-bucket/x/a") && message.contains("NoSuchBucket"),
        "{message}"
    );

    let error = ObjectStore::open(&s3.location("x"), &s3.credentials(), Access::default());
    let message = error.unwrap_err().to_string();
    assert!(message.contains("endpoint: `127.0.0.1` is an address of this machine"), "{message}");
}

#[test]
fn it_can_be_called_from_async_code() {
    let s3 = S3::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = s3.store("async");
        store.put("a", b"1").unwrap();
        assert_eq!(store.get("a").unwrap(), b"1");
        // Dropped in here as well, with its threads.
        drop(store);
    });
}

fn records(s3: &S3, uri: &str) -> Result<Vec<String>, String> {
    let mut location = s3.location("");
    location.uri = uri.to_owned();
    let store = ObjectStore::open(&location, &s3.credentials(), Access { loopback: true });
    let objects = Objects::list(store.unwrap()).map_err(|error| error.to_string())?;
    let records = objects.records(&Options::default()).map_err(|error| error.to_string())?;
    records
        .map(|record| match record {
            Ok(record) => Ok(format!("{}:{}", record.index, record.fields()["x"])),
            Err(error) => Err(error.to_string()),
        })
        .collect()
}

#[test]
fn objects_are_read_in_the_order_of_their_keys_as_one_source() {
    let s3 = S3::start();
    let store = s3.store("in");
    store.put("b.csv", b"x\n3\n4\n").unwrap();
    store.put("a.jsonl", b"{\"x\": 1}\n{\"x\": 2}\n").unwrap();
    store.put("deep/c.csv", b"x\n5\n").unwrap();
    store.put("notes.txt", b"no records").unwrap();
    let texts = |list: &[&str]| Ok(list.iter().map(|s| (*s).to_owned()).collect());
    assert_eq!(records(&s3, "s3://data/in/*.csv"), texts(&["0:\"3\"", "1:\"4\""]));
    assert_eq!(records(&s3, "s3://data/in/[ab].*"), texts(&["0:1", "1:2", "2:\"3\"", "3:\"4\""]));
    assert_eq!(records(&s3, "s3://data/in/**/*.csv"), texts(&["0:\"3\"", "1:\"4\"", "2:\"5\""]));
    assert_eq!(records(&s3, "s3://data/in/a.jsonl"), texts(&["0:1", "1:2"]));
    let check = |uri: &str, expect: &str| {
        let message = records(&s3, uri).unwrap_err();
        assert!(message.contains(expect), "{message}");
    };
    check("s3://data/in/none.csv", "no file matches `s3://data/in/none.csv`");
    check("s3://data/in/*.parquet", "no file matches");
    check("s3://data/in/notes.txt", "the format cannot be told from the name");
    store.put("broken.csv", b"x\n\"1\n").unwrap();
    check("s3://data/in/broken.csv", "s3://data/in/broken.csv:2:");
}

#[test]
fn an_object_that_changes_while_it_is_read_is_noticed() {
    let s3 = S3::start();
    let store = s3.store("in");
    store.put("a.csv", b"x\n1\n").unwrap();
    let objects = Objects::list(s3.store("in/a.csv")).unwrap();
    assert_eq!(objects.records(&Options::default()).unwrap().count(), 1);
    store.put("a.csv", b"x\n1\n2\n").unwrap();
    let error = objects.records(&Options::default()).unwrap().next().unwrap().unwrap_err();
    assert!(error.to_string().starts_with("cannot read `s3://data/in/a.csv`"), "{error}");
}
