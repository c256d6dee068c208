//! Scores pairs for `tests/goldens/compare.py`, which compares them with the oracles: the first line of standard input has the metric
//! and a list of parameters, each other line a text and its references, or the rows of a dataset; out goes a list of values for each.

use std::error::Error;
use std::io::{BufRead, Write};

use serde_json::{Value, json};
use textnlp_validation::{Metric, Sample, TextMetric, registry};

fn main() -> Result<(), Box<dyn Error>> {
    let mut lines = std::io::stdin().lock().lines();
    let head: Value = serde_json::from_str(&lines.next().ok_or("no first line")??)?;
    let name = head["metric"].as_str().ok_or("no metric")?;
    let mut metrics: Vec<TextMetric> = Vec::new();
    for params in head["params"].as_array().ok_or("no params")? {
        match registry::build(name, params)? {
            Metric::Text(metric) => metrics.push(metric),
            Metric::Count(_) => return Err("a metric of counts reads no texts".into()),
        }
    }
    let mut seconds = vec![0.0; metrics.len()];
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in lines {
        let line: Value = serde_json::from_str(&line?)?;
        let mut values = Vec::new();
        for (metric, seconds) in metrics.iter().zip(&mut seconds) {
            let start = std::time::Instant::now();
            values.push(match line["rows"].as_array() {
                Some(rows) => of_dataset(metric, rows)?,
                None => with_sample("0", &line, |sample| Ok(metric.row(sample)?))?,
            });
            *seconds += start.elapsed().as_secs_f64();
        }
        writeln!(out, "{}", json!(values))?;
    }
    // The last line: the seconds that each took.
    writeln!(out, "{}", json!(seconds))?;
    Ok(())
}

/// The dataset's value of rows with the ids `0-0`, `1-0`, …
fn of_dataset(metric: &TextMetric, rows: &[Value]) -> Result<Option<f64>, Box<dyn Error>> {
    let mut dataset = metric.accumulator();
    for (at, row) in rows.iter().enumerate() {
        with_sample(&format!("{at}-0"), row, |sample| Ok(dataset.add(sample)?))?;
    }
    Ok(dataset.score().map(|score| score.value))
}

fn with_sample<T>(
    id: &str,
    row: &Value,
    read: impl FnOnce(&Sample<'_>) -> Result<T, Box<dyn Error>>,
) -> Result<T, Box<dyn Error>> {
    let text = row["text"].as_str().ok_or("no text")?;
    let references: Vec<&str> =
        row["references"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    read(&Sample { id, text, references: &references, ..Sample::default() })
}
