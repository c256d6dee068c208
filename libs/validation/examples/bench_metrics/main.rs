//! How fast the metrics are: `tests/bench/main.py` runs this beside the reference implementations.
//!
//!     bench_metrics texts ROWS     JSON lines: the id, the text and the reference of each row
//!     bench_metrics speed          reads {"metric", "params", "dataset"} and such lines; the seconds of one pass, and the value
//!     bench_metrics long METRIC MIB PIECE  one text of so many MiB, `PIECE` over and over or, without it, of such rows
//!     bench_metrics growth ROWS    every metric on so many rows that it makes itself: seconds of each, and the greatest memory

mod texts;

use std::error::Error;
use std::io::{BufRead, Write};
use std::time::Instant;

use serde_json::{Value, json};
use textnlp_validation::{Metric, Sample, TextMetric, registry};

const SEED: u64 = 20_260;

type Outcome<T> = Result<T, Box<dyn Error>>;

struct Row {
    id: String,
    text: String,
    reference: String,
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = match words.as_slice() {
        ["texts", rows] => return print_texts(rows.parse()?),
        ["speed"] => speed()?,
        ["growth", rows] => growth(rows.parse()?)?,
        ["long", metric, mib, piece @ ..] => long(metric, mib.parse()?, piece)?,
        _ => return Err("texts ROWS, speed, growth ROWS or long METRIC MIB PIECE".into()),
    };
    writeln!(std::io::stdout().lock(), "{answer}")?;
    Ok(())
}

fn row(number: u64) -> Row {
    let (text, reference) = texts::row(SEED, number);
    Row { id: format!("{number}-0"), text, reference }
}

fn print_texts(rows: u64) -> Outcome<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for row in (0..rows).map(row) {
        let line = json!({"id": row.id, "text": row.text, "references": [row.reference]});
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn build(name: &str, params: &Value) -> Outcome<TextMetric> {
    match registry::build(name, params)? {
        Metric::Text(metric) => Ok(metric),
        Metric::Count(_) => Err(format!("{name} reads no texts").into()),
    }
}

fn sample<'a>(row: &'a Row, references: &'a [&'a str]) -> Sample<'a> {
    Sample {
        id: &row.id,
        text: &row.text,
        references,
        tokens: Some(row.text.len() as u64 / 4),
        finish_reason: Some("stop"),
    }
}

/// The best of as many passes as fit into a second, at least three.
fn speed() -> Outcome<Value> {
    let mut lines = std::io::stdin().lock().lines();
    let head: Value = serde_json::from_str(&lines.next().ok_or("no first line")??)?;
    let metric = build(head["metric"].as_str().unwrap_or_default(), &head["params"])?;
    let mut rows = Vec::new();
    for line in lines {
        let line: Value = serde_json::from_str(&line?)?;
        let field = |value: &Value| value.as_str().map(str::to_owned).ok_or("no text");
        let [id, text, reference] =
            [field(&line["id"])?, field(&line["text"])?, field(&line["references"][0])?];
        rows.push(Row { id, text, reference });
    }
    let (mut best, mut value, mut passes, begin) = (f64::INFINITY, 0.0, 0, Instant::now());
    while passes < 3 || begin.elapsed().as_secs_f64() < 1.0 {
        let start = Instant::now();
        value = if head["dataset"] == true {
            let mut dataset = metric.accumulator();
            for row in &rows {
                dataset.add(&sample(row, &[&row.reference]))?;
            }
            dataset.score().map_or(0.0, |score| score.value)
        } else {
            let mut sum = 0.0;
            for row in &rows {
                sum += metric.row(&sample(row, &[&row.reference]))?.unwrap_or_default();
            }
            sum / rows.len() as f64
        };
        best = best.min(start.elapsed().as_secs_f64());
        passes += 1;
    }
    Ok(json!({"seconds": best, "value": value, "rows": rows.len()}))
}

fn default_params(metric: &str) -> Value {
    match metric {
        "regex" => json!({"pattern": "refund|voucher"}),
        "language" => json!({"is": "eng"}),
        "jsonSchema" => json!({"schema": {"type": "object"}}),
        "expression" => json!({"expression": "true"}),
        _ => Value::Null,
    }
}

/// One row with a very long text and reference.
fn long(metric: &str, mib: usize, piece: &[&str]) -> Outcome<Value> {
    let mut long = Row { id: "0-0".to_owned(), text: String::new(), reference: String::new() };
    let mut number = 0;
    while long.text.len() < mib << 20 {
        let next = match piece {
            [piece] => {
                Row { id: String::new(), text: (*piece).to_owned(), reference: (*piece).to_owned() }
            }
            _ => row(number),
        };
        long.text.push_str(&next.text);
        long.reference.push_str(&next.reference);
        if piece.is_empty() {
            let end = if number % 4 == 0 { "\n" } else { " " };
            long.text.push_str(end);
            long.reference.push_str(end);
        }
        number += 1;
    }
    let metric = build(metric, &default_params(metric))?;
    let before = peak_kib();
    let start = Instant::now();
    let mut dataset = metric.accumulator();
    dataset.add(&sample(&long, &[&long.reference]))?;
    let value = dataset.score().map(|score| score.value);
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({"seconds": seconds, "value": value, "texts_kib": before, "peak_kib": peak_kib()}))
}

fn growth(count: u64) -> Outcome<Value> {
    let (mut metrics, mut left_out) = (Vec::new(), Vec::new());
    for info in registry::all().filter(|info| info.needs_text) {
        match build(info.name, &default_params(info.name)) {
            Ok(metric) => metrics.push((metric.accumulator(), 0.0)),
            Err(error) => left_out.push(format!("{}: {error}", info.name)),
        }
    }
    let mut made = 0;
    while made < count {
        let end = (made + 1_000).min(count);
        let rows: Vec<Row> = (made..end).map(row).collect();
        for (dataset, seconds) in &mut metrics {
            let start = Instant::now();
            for row in &rows {
                dataset.add(&sample(row, &[&row.reference]))?;
            }
            *seconds += start.elapsed().as_secs_f64();
        }
        made = end;
    }
    let mut answer = serde_json::Map::new();
    for (dataset, seconds) in &metrics {
        let start = Instant::now();
        let value = dataset.score().map(|score| score.value);
        let score = start.elapsed().as_secs_f64();
        let found = json!({"add": seconds, "score": score, "value": value});
        answer.insert(dataset.metric().info().name.to_owned(), found);
    }
    Ok(json!({"rows": count, "metrics": answer, "left_out": left_out, "peak_kib": peak_kib()}))
}

/// The greatest resident memory so far.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
