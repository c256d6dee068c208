//! Sources: the messages that bad input gets, and that the readers agree with others about good input.

use std::fs;
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;
use textnlp_dataset::source::{self, Format, Limits, Options, read_bytes};
use textnlp_dataset::{Record, SourceRecord};

fn read(format: Format, text: impl AsRef<[u8]>) -> Result<Vec<SourceRecord>, String> {
    read_bytes(format, text.as_ref(), Limits::default()).map_err(|error| error.to_string())
}

/// Values of the only field `a`, or the first error, whether it is the source's or a record's.
fn check(format: Format, text: impl AsRef<[u8]>, expect: Result<serde_json::Value, &str>) {
    let text = text.as_ref();
    let shown = String::from_utf8_lossy(text).chars().take(100).collect::<String>();
    let found = read(format, text).and_then(|records| {
        let records =
            records.into_iter().map(|record| record.record.map_err(|error| error.message));
        records
            .map(|record| record.map(serde_json::Value::Object))
            .collect::<Result<serde_json::Value, _>>()
    });
    match (found, expect) {
        (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{shown}"),
        (Err(found), Err(expect)) => assert_eq!(found, expect, "{shown}"),
        (found, expect) => panic!("{shown}\nfound: {found:?}\nexpect: {expect:?}"),
    }
}

#[test]
fn csv_is_read_as_rfc_4180_has_it() {
    let csv = |text: &str, expect| check(Format::Csv, text, Ok(expect));
    csv("a,b\n1,x\n2,\n", json!([{"a": "1", "b": "x"}, {"a": "2", "b": ""}]));
    csv("\u{feff}a,b\r\n1,x\r\n", json!([{"a": "1", "b": "x"}]));
    csv("\u{feff}\"a\"\n1", json!([{"a": "1"}]));
    csv("a\n\"x \"\"y\"\", z\n\"\n\n\nend", json!([{"a": "x \"y\", z\n"}, {"a": "end"}]));
    csv("a,b\r1,2\r3,4", json!([{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]));
    csv("a\n5\" pipe\n\"\"\n=1+1\n", json!([{"a": "5\" pipe"}, {"a": ""}, {"a": "=1+1"}]));
    csv("größe\n…\n", json!([{"größe": "…"}]));
}

#[test]
fn a_bad_csv_is_refused_with_its_line_and_column() {
    let csv = |text: &[u8], expect| check(Format::Csv, text, Err(expect));
    csv(b"a,b\n1,2\n1,2,3\n", "input:3:5: this row has 3 fields, the header has 2");
    csv(b"a,b\n1,2\n\"x\ny\"\n", "input:3:1: this row has 1 fields, the header has 2");
    csv(b"a,b\n1,2\n3,\"open\n4,5\n6,7\n", "input:3:3: a quote is opened here and never closed");
    csv(
        b"a\n\"x\" y\n",
        "input:2:4: text after a closing quote; double a quote that belongs to the text (\"\")",
    );
    csv(
        b"a,b\nx,caf\xe9\n",
        "input:2:6: byte 0xE9 is not UTF-8; if the file is Latin-1, convert it: iconv -f latin1 -t utf-8",
    );
    csv(
        b"a,b\nx,y\xe2\x82",
        "input:2:4: byte 0xE2 is not UTF-8; if the file is Latin-1, convert it: iconv -f latin1 -t utf-8",
    );
    csv(b"a,b,a\n", "input:1:5: columns 1 and 3 are both named `a`");
    csv(b"a,,c\n", "input:1:3: column 2 of the header has no name");
    csv(b"", "`input` has no records");
    csv(b"\n\n", "`input` has no records");
    csv(b"a,b\n", "`input` has no records");
    csv(b"a\nx\0y\n", "field `a` holds a NUL character (U+0000), which no prompt can; remove it");
}

#[test]
fn jsonl_is_read_with_its_types_and_order() {
    let jsonl = |text: &str, expect| check(Format::Jsonl, text, Ok(expect));
    jsonl(
        "{\"b\": 1, \"a\": [true, null, 1.5e3, -0.0]}\r\n\n{}",
        json!([{"b": 1, "a": [true, null, 1500.0, -0.0]}, {}]),
    );
    jsonl("\u{feff}{\"a\":\"\\u00e9\\ud83d\\ude00\\n\\/\"}", json!([{"a": "é😀\n/"}]));
    jsonl(
        r#"{"a": 9007199254740992, "b": -9007199254740992, "c": 1e300}"#,
        json!([{"a": 9007199254740992u64, "b": -9007199254740992i64, "c": 1e300}]),
    );
    let order: Vec<_> = read(Format::Jsonl, r#"{"z":1,"a":2,"m":3}"#).unwrap()[0]
        .fields()
        .keys()
        .cloned()
        .collect();
    assert_eq!(order, ["z", "a", "m"]);
}

#[test]
fn a_bad_jsonl_is_refused_with_its_line_and_column() {
    let jsonl = |text: &[u8], expect| check(Format::Jsonl, text, Err(expect));
    jsonl(b"{\"a\": 1}\n[1]\n", "input:2:1: expected an object, as in {\"name\": \"value\"}");
    jsonl(b"{\"a\": 1}\n{\"a\" 1}\n", "input:2:6: expected `:`, found `1`");
    jsonl("{\"é\": tru}".as_bytes(), "input:1:7: expected a value, found `t`");
    jsonl(
        b"{\"a\": \"x",
        "input:1:7: a string is left open: its closing `\"` is missing on this line",
    );
    jsonl(b"{\"a\": 1", "input:1:8: the line ends where `,` or `}` was expected");
    jsonl(b"{\"a\": 01}", "input:1:7: `01` is no JSON number");
    jsonl(b"{\"a\": NaN}", "input:1:7: expected a value, found `N`");
    jsonl(
        b"{\"a\": 1} {\"a\": 2}",
        "input:1:10: there is more text after the object; a line holds one record",
    );
    jsonl(b"{\"a\": 1, \"a\": 2}", "input:1:10: field `a` is there twice");
    jsonl(
        b"{\"a\": \"\xe9\"}",
        "input:1:8: byte 0xE9 is not UTF-8; if the file is Latin-1, convert it: iconv -f latin1 -t utf-8",
    );
    jsonl(
        b"{}\n{\"a\": {\"b\": [1, 9007199254740993]}}",
        "input:2:17: field `a.b[1]` is 9007199254740993, beyond 2^53 = 9007199254740992, where JSON readers round; write it as a string",
    );
    jsonl(
        b"{\"a\": 1e999}",
        "input:1:7: field `a` is 1e999, beyond 2^53 = 9007199254740992, where JSON readers round; write it as a string",
    );
    jsonl(b"", "`input` has no records");
    let deep = format!("{{\"a\": {}", "[".repeat(100_000));
    assert!(read(Format::Jsonl, deep).unwrap_err().contains("nested deeper than 100 levels"));
}

#[test]
fn a_lone_surrogate_or_nul_costs_its_record_and_no_other() {
    let records = read(Format::Jsonl, "{\"a\": \"x\"}\n{\"a\": [\"\\ud800y\"]}\n{\"a\": \"\\u0000\"}\n{\"a\": \"\\udc00\\ud800\\u0041\"}\n{\"a\": \"z\"}").unwrap();
    let messages: Vec<_> =
        records.iter().map(|r| r.record.as_ref().err().map(ToString::to_string)).collect();
    assert_eq!(
        messages[1].as_deref(),
        Some(
            "field `a[0]` holds \\ud800, half of a surrogate pair, which is no character; remove it"
        )
    );
    assert_eq!(
        messages[2].as_deref(),
        Some("field `a` holds a NUL character (U+0000), which no prompt can; remove it")
    );
    assert!(messages[0].is_none() && messages[3].is_some() && messages[4].is_none());
    assert_eq!(records[1].fields()["a"][0], "\u{fffd}y");
    assert_eq!(records[3].fields()["a"], "\u{fffd}\u{fffd}A");
    assert_eq!(records[4].index, 4);
}

#[test]
fn a_record_beyond_the_limits_is_refused_before_it_is_read_whole() {
    let limits = Limits { record_bytes: 100, fields: 3 };
    let error =
        |format, text: String| read_bytes(format, text.as_bytes(), limits).unwrap_err().to_string();
    let long = "x".repeat(1000);
    assert_eq!(
        error(Format::Csv, format!("a\n{long}\n")),
        "input:2:1: the row is longer than 100 bytes"
    );
    assert_eq!(
        error(Format::Csv, format!("a\n\"{long}\n")),
        "input:2:1: a quote is opened here and never closed"
    );
    assert_eq!(
        error(Format::Csv, "a,b,c,d,e\n".into()),
        "input:1:1: the row has more than 3 fields"
    );
    assert_eq!(
        error(Format::Jsonl, format!("{{\"a\": \"{long}\"}}")),
        "input:1:1: the line is longer than 100 bytes"
    );
    assert_eq!(
        error(Format::Jsonl, "{\"a\":1,\"b\":1,\"c\":1,\"d\":1}".into()),
        "input, record 0: it has 4 fields; 3 are allowed"
    );
}

#[test]
fn fields_that_rows_use_themselves_are_refused() {
    let open = |text: &str| {
        let records = source::read_str("data.jsonl", text, &Options::default()).unwrap();
        records.collect::<Result<Vec<_>, _>>().unwrap_err().to_string()
    };
    assert_eq!(
        open("{}\n{\"_textnlp\": 1}"),
        "data.jsonl, record 1: it has a field `_textnlp`, a name that rows of a dataset use themselves; rename it, as in `source_textnlp`"
    );
    assert!(open("{\"id\": 1}").ends_with("rename it, as in `source_id`"));
}

#[test]
fn inline_records_are_held_to_the_same_rules() {
    let inline = |value: serde_json::Value| {
        let records: Vec<Record> = serde_json::from_value(value).unwrap();
        source::inline("spec.source.inline.records", records, &Options::default())
            .collect::<Result<Vec<_>, _>>()
    };
    let error =
        inline(json!([{"a": 1}, {"a": {"b": 9007199254740993u64}}])).unwrap_err().to_string();
    assert!(
        error.starts_with(
            "spec.source.inline.records, record 1: field `a.b` is 9007199254740993, beyond 2^53"
        ),
        "{error}"
    );
    assert!(inline(json!([{"a": "x\0"}])).unwrap()[0].record.is_err());
    assert_eq!(
        inline(json!([])).unwrap_err().to_string(),
        "`spec.source.inline.records` has no records"
    );
}

#[test]
fn offset_and_limit_keep_the_index_in_the_source() {
    let text = "a\n0\n1\n2\n3\n";
    let indices = |offset, limit| {
        let options = Options { offset, limit, ..Options::default() };
        let records = source::read_str("t.csv", text, &options).unwrap();
        records
            .map(|record| record.map(|r| r.index))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| error.to_string())
    };
    assert_eq!(indices(1, Some(2)), Ok(vec![1, 2]));
    assert_eq!(indices(3, Some(9)), Ok(vec![3]));
    assert_eq!(indices(4, None), Err("offset 4 leaves nothing: `t.csv` has 4 records".into()));
}

fn compress(bytes: &[u8], ending: &str) -> Vec<u8> {
    match ending {
        ".gz" => {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        ".zst" => zstd::encode_all(bytes, 1).unwrap(),
        _ => bytes.to_vec(),
    }
}

fn open(base: &Path, pattern: &str) -> Result<Vec<SourceRecord>, String> {
    let records =
        source::open(base, pattern, &Options::default()).map_err(|error| error.to_string())?;
    records.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

#[test]
fn globs_join_files_sorted_by_name_whatever_they_are_packed_with() {
    let directory = tempfile::Builder::new().prefix("a[b]*").tempdir().unwrap();
    fs::create_dir_all(directory.path().join("in/deep")).unwrap();
    for (name, text, ending) in [
        ("in/b.jsonl.gz", "{\"a\":\"2\"}\n", ".gz"),
        ("in/a.csv", "a\n0\n1\n", ""),
        ("in/c.jsonl.zst", "{\"a\":\"3\"}\n", ".zst"),
        ("in/deep/d.ndjson", "{\"a\":\"4\"}\n", ""),
        ("in/empty.csv", "", ""),
        ("in/notes.txt", "not data", ""),
    ] {
        fs::write(directory.path().join(name), compress(text.as_bytes(), ending)).unwrap();
    }
    let values = |pattern: &str| {
        let records = open(directory.path(), pattern)?;
        Ok::<_, String>(
            records
                .iter()
                .map(|r| (r.index, r.fields()["a"].as_str().unwrap().to_owned()))
                .collect::<Vec<_>>(),
        )
    };
    let owned = |values: &[&str]| {
        values.iter().enumerate().map(|(i, v)| (i as u64, (*v).to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(values("in/*.{csv,jsonl.gz,jsonl.zst}"), Ok(owned(&["0", "1", "2", "3"])));
    assert_eq!(values("in/**/*json*"), Ok(owned(&["2", "3", "4"])));
    assert_eq!(values("./in/./*.cs?"), Ok(owned(&["0", "1"])));
    assert_eq!(values("in/deep/../[a]*"), Ok(owned(&["0", "1"])));
    assert!(values("in/*.csv.gz").unwrap_err().starts_with("no file matches `in/*.csv.gz` in "));
    assert!(values("in/x.csv").unwrap_err().contains("cannot read"));
    assert!(values("in").unwrap_err().contains("is a directory; name its files"));
    assert!(
        values("in/notes.txt").unwrap_err().contains("the format cannot be told from the name")
    );
    assert!(values("in/[").unwrap_err().contains("no glob"));
}

#[test]
fn an_archive_of_several_parts_is_read_to_its_end() {
    for ending in [".gz", ".zst"] {
        let parts = [compress(b"a\n1\n", ending), compress(b"2\n", ending)].concat();
        assert_eq!(read(Format::Csv, parts).unwrap().len(), 2);
    }
}

#[test]
fn a_glob_is_found_below_the_working_directory_and_by_its_whole_path() {
    // Tests run in the crate's folder.
    let absolute = format!("{}/tests/golden/m*.py", env!("CARGO_MANIFEST_DIR"));
    let options = Options { format: Some(Format::Jsonl), ..Options::default() };
    for (base, pattern) in
        [("", "tests/golden/m*.py"), (".", "tests/golden/m*.py"), ("elsewhere", &absolute)]
    {
        let error = source::open(Path::new(base), pattern, &options).unwrap();
        let error = error.collect::<Result<Vec<_>, _>>().unwrap_err().to_string();
        assert!(error.contains("tests/golden/make.py:1:1: expected an object"), "{error}");
    }
}

#[test]
fn a_damaged_archive_is_an_error_and_a_bomb_is_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    for ending in [".gz", ".zst"] {
        let name = format!("a.csv{ending}");
        let packed = compress("a\n1\n".repeat(1000).as_bytes(), ending);
        write(&name, &packed[..packed.len() - 3]);
        assert!(open(directory.path(), &name).unwrap_err().contains("cannot read"), "{name}");
        write(&name, b"a\n1\n");
        assert!(open(directory.path(), &name).unwrap_err().contains("although its name says so"));
        // 100 MiB of one line in some kilobytes.
        write(&name, &compress(&vec![b'x'; 100 << 20], ending));
        assert!(
            open(directory.path(), &name)
                .unwrap_err()
                .contains("the row is longer than 67108864 bytes")
        );
    }
    write("plain.csv", &compress(b"a\n1\n", ".gz"));
    assert_eq!(open(directory.path(), "plain.csv").unwrap().len(), 1);
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::Csv, Format::Jsonl, Format::Parquet] {
            let _ = read(format, &bytes);
        }
    }

    #[test]
    fn no_text_of_the_formats_own_characters_makes_a_reader_panic(text in "[a\",\r\n{}:\\[\\]\\\\u0d8e.\u{feff}é-]{0,60}") {
        let _ = read(Format::Csv, &text);
        // What is accepted is JSON, and what is JSON with neither duplicates nor other defects is accepted.
        for line in text.split('\n') {
            let ours = textnlp_dataset::json::parse_record(line);
            let theirs = serde_json::from_str::<Record>(line);
            if let Ok(Ok(ours)) = &ours {
                prop_assert_eq!(Some(ours), theirs.as_ref().ok());
            } else if let (Err(error), Ok(_)) = (&ours, &theirs) {
                prop_assert!(error.message.contains("twice") || error.message.contains("2^53"), "{}", error.message);
            }
        }
    }

    #[test]
    fn json_of_any_record_is_read_back(record in record_strategy()) {
        let text = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(textnlp_dataset::json::parse_record(&text), Ok(Ok(record)));
    }

    #[test]
    fn csv_that_the_csv_crate_writes_is_read_as_it_reads_it(
        rows in (1usize..4).prop_flat_map(|width| proptest::collection::vec(
            proptest::collection::vec("[a-c \",\r\n'é]{0,6}", width), 1..6)),
    ) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header: Vec<String> = (0..rows[0].len()).map(|i| format!("f{i}")).collect();
        writer.write_record(&header).unwrap();
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let found: Vec<Vec<String>> = read(Format::Csv, text).unwrap().iter()
            .map(|r| r.fields().values().map(|v| v.as_str().unwrap().to_owned()).collect()).collect();
        prop_assert_eq!(found, rows);
    }

    #[test]
    fn what_our_csv_reader_accepts_the_csv_crate_reads_alike(text in "[ab,\"\n\r]{0,40}") {
        let Ok(ours) = read(Format::Csv, &text) else { return Ok(()) };
        let mut theirs = csv::Reader::from_reader(text.as_bytes());
        let theirs: Vec<Vec<String>> = theirs.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
        let ours: Vec<Vec<String>> = ours.iter()
            .map(|r| r.fields().values().map(|v| v.as_str().unwrap().to_owned()).collect()).collect();
        prop_assert_eq!(ours, theirs);
    }
}

fn record_strategy() -> impl Strategy<Value = Record> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        (-(1i64 << 53)..=(1i64 << 53)).prop_map(Into::into),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Into::into),
        "[^\0]{0,8}".prop_map(Into::into),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::vec(("[a-z]{1,3}", inner), 0..4)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    });
    proptest::collection::vec(("[^\0]{0,4}", value), 0..5)
        .prop_map(|fields| fields.into_iter().collect())
}

#[cfg(unix)]
#[test]
fn in_a_volume_that_is_not_trusted_links_that_lead_out_are_refused() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let volume = directory.path().join("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(directory.path().join("secret.csv"), "x\n1\n").unwrap();
    std::fs::write(volume.join("a.csv"), "x\n2\n").unwrap();
    // Kubernetes itself mounts files behind links that stay inside.
    symlink("a.csv", volume.join("b.csv")).unwrap();
    let confined = Options { confined: true, ..Options::default() };
    assert_eq!(source::open(&volume, "*.csv", &confined).unwrap().count(), 2);
    symlink("../secret.csv", volume.join("c.csv")).unwrap();
    for pattern in ["c.csv", "*.csv", "../secret.csv"] {
        let message = source::open(&volume, pattern, &confined).err().unwrap().to_string();
        assert!(message.contains("leads out of"), "{message}");
    }
    let trusted = Options::default();
    assert_eq!(source::open(&volume, "*.csv", &trusted).unwrap().count(), 3);
}
