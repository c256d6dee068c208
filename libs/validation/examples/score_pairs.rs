//! Scores pairs for `tests/goldens/compare.py`, which compares them with the oracles: the first line of standard input has the metric
//! and a list of parameters, each other line a text and its references; out goes a list of values for each.

use std::io::{BufRead, Write};

use serde_json::{Value, json};
use textnlp_validation::{Metric, Sample, TextMetric, registry};

fn main() -> Result<(), Box<dyn std::error::Error>> {
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
        let text = line["text"].as_str().ok_or("no text")?;
        let references: Vec<&str> =
            line["references"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let sample = Sample { id: "0", text, references: &references, ..Sample::default() };
        let mut values = Vec::new();
        for (metric, seconds) in metrics.iter().zip(&mut seconds) {
            let start = std::time::Instant::now();
            let value = metric.row(&sample)?;
            *seconds += start.elapsed().as_secs_f64();
            values.push(value);
        }
        writeln!(out, "{}", json!(values))?;
    }
    // The last line: the seconds that each took.
    writeln!(out, "{}", json!(seconds))?;
    Ok(())
}
