//! Output formats: exact texts, and that what is written is read back the same.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use textnlp_dataset::format::{
    ColumnType, Format, Options, Schema, Verdict, convert, flatten, writer,
};
use textnlp_dataset::source::{self, Limits, read_bytes};
use textnlp_dataset::{Outcome, Record, Row, RowMeta, Tokens};

fn record(value: Value) -> Record {
    serde_json::from_value(value).unwrap()
}

fn schema(rows: &[Record]) -> Schema {
    let mut schema = Schema::new();
    rows.iter().for_each(|row| schema.add(row));
    schema
}

fn write_with(format: Format, schema: &Schema, options: Options, rows: &[Record]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut table = writer(format, schema, options, Box::new(&mut bytes)).unwrap();
    for row in rows {
        table.write(row).unwrap();
    }
    table.finish().unwrap();
    bytes
}

fn write(format: Format, rows: &[Record]) -> Vec<u8> {
    write_with(format, &schema(rows), Options::default(), rows)
}

fn text(format: Format, rows: &[Record]) -> String {
    String::from_utf8(write(format, rows)).unwrap()
}

fn example() -> Row {
    Row {
        id: "17-1".parse().unwrap(),
        fields: record(json!({"product": "kettle", "size": {"cm": 20}})),
        attributes: record(json!({"tone": "angry"})),
        columns: record(json!({"ticket": "It \"broke\",\nagain | twice"})),
        outcome: Outcome::Generated,
        meta: RowMeta {
            prompts: record(json!({"ticket": "Write."})),
            finish_reasons: [("ticket".to_owned(), "stop".to_owned())].into(),
            tokens: [("ticket".to_owned(), Tokens { prompt: 12, completion: 5 })].into(),
        },
    }
}

#[test]
fn a_flat_row_has_the_fields_of_all_kinds_then_id_and_metadata() {
    let verdict =
        Verdict { scores: record(json!({"wordCount": 5})), rejected_by: Some("short".into()) };
    let flat = flatten(&example(), &verdict);
    assert_eq!(
        flat.keys().collect::<Vec<_>>(),
        ["product", "size", "tone", "ticket", "id", "_textnlp"]
    );
    let expect = json!({
        "prompts": {"ticket": "Write."}, "finishReason": {"ticket": "stop"},
        "tokens": {"ticket": {"prompt": 12, "completion": 5}}, "scores": {"wordCount": 5}, "rejectedBy": "short",
    });
    assert_eq!(flat["_textnlp"], expect);
    let failed = Outcome::Failed { stage: "prompt".into(), message: "too long".into() };
    let failed = Row { outcome: failed, meta: RowMeta::default(), ..example() };
    let flat = flatten(&failed, &Verdict::default());
    assert_eq!(flat["_textnlp"], json!({"error": {"stage": "prompt", "message": "too long"}}));
}

#[test]
fn the_text_formats_write_exactly_this() {
    let rows = [
        flatten(&example(), &Verdict::default()),
        record(json!({"product": null, "extra": 1.5, "ticket": ""})),
    ];
    assert_eq!(
        text(Format::Csv, &rows),
        "product,extra,size,tone,ticket,id\nkettle,,\"{\"\"cm\"\":20}\",angry,\"It \"\"broke\"\",\nagain | twice\",17-1\n,1.5,,,,\n"
    );
    assert_eq!(
        text(Format::Markdown, &rows),
        "| product | extra | size | tone | ticket | id |\n| --- | --- | --- | --- | --- | --- |\n\
         | kettle |  | {\"cm\":20} | angry | It \"broke\",<br>again \\| twice | 17-1 |\n|  | 1.5 |  |  |  |  |\n"
    );
    let jsonl = text(Format::Jsonl, &rows);
    assert_eq!(jsonl.lines().nth(1), Some(r#"{"product":null,"extra":1.5,"ticket":""}"#));
    assert_eq!(serde_json::from_str::<Record>(jsonl.lines().next().unwrap()).unwrap(), rows[0]);
}

#[test]
fn a_table_without_rows_or_columns_is_written_without_complaint() {
    for format in [Format::Jsonl, Format::Csv, Format::Markdown] {
        assert_eq!(text(format, &[]), "");
        assert!(!text(format, &[record(json!({"a": null}))]).is_empty());
    }
    assert_eq!(text(Format::Csv, &[record(json!({"a": ""}))]), "a\n\"\"\n");
    assert!(write(Format::Parquet, &[]).starts_with(b"PAR1"));
}

#[test]
fn formulas_are_data_unless_they_are_to_be_escaped() {
    let rows = [record(json!({"=x": "=1+1", "b": "@cmd", "c": -5, "d": "-5", "e": "a=b"}))];
    assert_eq!(text(Format::Csv, &rows), "=x,b,c,d,e\n=1+1,@cmd,-5,-5,a=b\n");
    let escaped = write_with(Format::Csv, &schema(&rows), Options { escape_formulas: true }, &rows);
    assert_eq!(String::from_utf8(escaped).unwrap(), "'=x,b,c,d,e\n'=1+1,'@cmd,-5,'-5,a=b\n");
}

#[test]
fn control_characters_and_reordering_are_shown_in_markdown() {
    let rows = [record(json!({"a": "\u{1b}[31mred\u{202e}<script>*x*\t`"}))];
    assert_eq!(
        text(Format::Markdown, &rows).lines().last(),
        Some(r"| \u{1b}\[31mred\u{202e}&lt;script&gt;\*x\*\t\` |")
    );
}

#[test]
fn output_fields_select_and_order() {
    let rows = [flatten(&example(), &Verdict::default())];
    let select = |fields: &[&str]| {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        schema(&rows).select(&fields)
    };
    let selected = select(&["ticket", "product"]).unwrap();
    let written = write_with(Format::Jsonl, &selected, Options::default(), &rows);
    assert_eq!(
        written,
        b"{\"ticket\":\"It \\\"broke\\\",\\nagain | twice\",\"product\":\"kettle\"}\n"
    );
    assert_eq!(
        select(&["tone", "tome"]).unwrap_err().to_string(),
        "`output.fields` names `tome`, which no row has; there are product, size, tone, ticket, id, _textnlp"
    );
    assert_eq!(
        select(&["tone", "tone"]).unwrap_err().to_string(),
        "`output.fields` names `tone` twice"
    );
}

#[test]
fn a_new_column_comes_after_the_one_before_it_in_its_row() {
    let rows = [
        record(json!({"a": 1, "id": "0-0", "_textnlp": {}})),
        record(json!({"z": 1, "a": 1, "b": 1, "id": "1-0"})),
    ];
    let schema = schema(&rows);
    assert_eq!(
        schema.columns().iter().map(|c| &*c.0).collect::<Vec<_>>(),
        ["z", "a", "b", "id", "_textnlp"]
    );
}

#[test]
fn column_types_widen_to_what_holds_all_values() {
    let kind = |values: &[Value]| {
        let rows: Vec<Record> = values.iter().map(|value| record(json!({"a": value}))).collect();
        schema(&rows).columns()[0].1
    };
    assert_eq!(kind(&[json!(null)]), ColumnType::Null);
    assert_eq!(kind(&[json!(null), json!(1), json!(2.5)]), ColumnType::Double);
    assert_eq!(kind(&[json!(1), json!(null)]), ColumnType::Int64);
    assert_eq!(kind(&[json!(true), json!(1)]), ColumnType::Json);
    assert_eq!(kind(&[json!("x"), json!(["x"])]), ColumnType::Json);
}

/// What Parquet keeps of a value: a mixed column becomes JSON text, an integer beside a double a double.
fn as_parquet(value: Option<&Value>, kind: ColumnType) -> Value {
    match (value, kind) {
        (None | Some(Value::Null), _) => Value::Null,
        (Some(value), ColumnType::Json) => value.to_string().into(),
        (Some(value), ColumnType::Double) => value.as_f64().into(),
        (Some(value), _) => value.clone(),
    }
}

fn check_parquet(rows: &[Record]) {
    let schema = schema(rows);
    let read =
        read_bytes(source::Format::Parquet, &write(Format::Parquet, rows), Limits::default())
            .unwrap();
    let read: Vec<Record> = read.into_iter().map(|row| row.record.unwrap()).collect();
    let expect: Vec<Record> = rows
        .iter()
        .map(|row| {
            schema
                .columns()
                .iter()
                .map(|(name, kind)| (name.clone(), as_parquet(row.get(name), *kind)))
                .collect()
        })
        .collect();
    assert_eq!(read, expect);
}

#[test]
fn more_rows_than_a_row_group_are_read_back_from_parquet() {
    let row = |i: u64| {
        record(
            json!({"i": i, "text": format!("row {i}"), "flag": i.is_multiple_of(2), "x": i as f64 / 7.0}),
        )
    };
    check_parquet(&(0..10_001).map(row).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn rows_are_read_back_from_jsonl_and_parquet(rows in proptest::collection::vec(row_strategy(), 1..8)) {
        prop_assume!(rows.iter().any(|row| !row.is_empty()));
        let read = read_bytes(source::Format::Jsonl, &write(Format::Jsonl, &rows), Limits::default()).unwrap();
        let fields: Vec<_> = read.iter().map(|row| row.fields().clone()).collect();
        prop_assert_eq!(&fields, &rows);
        check_parquet(&rows);
    }

    #[test]
    fn texts_are_read_back_from_csv(texts in proptest::collection::vec(proptest::collection::vec("[^\0]{0,6}", 3), 1..6)) {
        let rows: Vec<Record> = texts.iter()
            .map(|texts| record(json!({"a": texts[0], "b": texts[1], "c": texts[2]}))).collect();
        let read = read_bytes(source::Format::Csv, &write(Format::Csv, &rows), Limits::default()).unwrap();
        prop_assert_eq!(read.into_iter().map(|row| row.record.unwrap()).collect::<Vec<_>>(), rows);
    }
}

fn row_strategy() -> impl Strategy<Value = Record> {
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Into::into),
        (-(1i64 << 53)..=(1i64 << 53)).prop_map(Into::into),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Into::into),
        "[^\0]{0,5}".prop_map(Into::into),
        proptest::collection::vec("[a-z]{1,2}", 0..3).prop_map(Into::into),
    ];
    proptest::collection::btree_map("[a-c]", value, 0..4)
        .prop_map(|fields| fields.into_iter().collect())
}

#[test]
fn any_format_that_is_read_is_converted_to_any_that_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let rows = [
        flatten(&example(), &Verdict::default()),
        flatten(&Row { id: "18-0".parse().unwrap(), ..example() }, &Verdict::default()),
    ];
    for from in [Format::Jsonl, Format::Csv, Format::Parquet] {
        let name = format!("dataset.{}", from.extension());
        std::fs::write(directory.path().join(&name), write(from, &rows)).unwrap();
        for to in [Format::Jsonl, Format::Csv, Format::Markdown, Format::Parquet] {
            let mut sink = Vec::new();
            let options = source::Options::default();
            let count = convert(
                directory.path(),
                &name,
                &options,
                to,
                Options::default(),
                Box::new(&mut sink),
            )
            .unwrap();
            assert_eq!(count, 2);
            // CSV and Markdown of a row are the same wherever the row comes from.
            if matches!(to, Format::Csv | Format::Markdown) {
                assert_eq!(sink, write(to, &rows), "{name} to {to:?}");
            }
        }
    }
    let missing = convert(
        Path::new("."),
        "nowhere.csv",
        &source::Options::default(),
        Format::Csv,
        Options::default(),
        Box::new(Vec::new()),
    );
    assert!(missing.unwrap_err().to_string().starts_with("cannot read `./nowhere.csv`"));
}
