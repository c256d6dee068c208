//! `textnlp validate`: metrics over the texts of a file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Map, Value, json};
use textnlp_dataset::source::{self, Options};
use textnlp_dataset::{Record, SourceRecord};
use textnlp_generation::report::{GateReport, NamedDistribution, Score, number};
use textnlp_validation::{Accumulator, Gate, Metric, Range, Sample, TextMetric, registry};

use crate::args::ValidateArgs;
use crate::failure::Failure;
use crate::{print_json, print_text, table};

/// A metric that was asked for, with its gate and its sum so far.
struct Measured {
    name: String,
    metric: TextMetric,
    gate: Option<(Gate, Range)>,
    accumulator: Accumulator,
}

pub(crate) fn run(args: &ValidateArgs) -> Result<(), Failure> {
    let mut measured = metrics(args)?;
    let column = match &args.column {
        Some(column) => column.clone(),
        None => only_text_field(args)?,
    };
    if measured.iter().any(|m| m.metric.info().needs_reference) && args.reference.is_none() {
        return Err(Failure::usage(
            "a metric compares with references: name their field with --reference",
        ));
    }
    let mut out = match &args.rows {
        Some(path) => Some(BufWriter::new(
            File::create(path)
                .map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))?,
        )),
        None => None,
    };
    let mut records = 0u64;
    for record in open(&args.file)? {
        let record = record.map_err(Failure::usage)?;
        let scores = score_record(&record, &column, args.reference.as_deref(), &mut measured)?;
        if let Some(out) = &mut out {
            let line = json!({"id": row_id(&record), "scores": scores});
            writeln!(out, "{line}")
                .map_err(|e| Failure::failed(format!("cannot write the rows: {e}")))?;
        }
        records += 1;
    }
    if let Some(mut out) = out {
        out.flush().map_err(|e| Failure::failed(format!("cannot write the rows: {e}")))?;
    }
    conclude(args, &column, records, &measured)
}

fn open(file: &str) -> Result<source::Records<'static>, Failure> {
    // A dataset of ours is a fine source of scores, its `id` and `_textnlp` included.
    let options = Options { reserved_names: true, ..Options::default() };
    source::open(Path::new(""), file, &options).map_err(Failure::usage)
}

/// Builds the metrics with their parameters and gates; a gate or parameter of a metric that was not asked for is an error.
fn metrics(args: &ValidateArgs) -> Result<Vec<Measured>, Failure> {
    let params = args.param.iter().map(|p| parse_param(p)).collect::<Result<Vec<_>, _>>()?;
    let gates = args.gate.iter().map(|g| parse_gate(g)).collect::<Result<Vec<_>, _>>()?;
    let named = params.iter().map(|(m, ..)| m).chain(gates.iter().map(|(m, _)| m));
    if let Some(stranger) = named.into_iter().find(|name| !args.metrics.contains(name)) {
        return Err(Failure::usage(format!(
            "{stranger:?} is not among --metrics {}",
            args.metrics.join(",")
        )));
    }
    args.metrics
        .iter()
        .map(|name| {
            let given: Map<String, Value> = (params.iter().filter(|(m, ..)| m == name))
                .map(|(_, param, value)| (param.clone(), value.clone()))
                .collect();
            let metric = registry::build(name, &Value::Object(given))
                .map_err(|e| Failure::usage(format!("{name}: {e}")))?;
            let Metric::Text(metric) = metric else {
                return Err(Failure::usage(format!(
                    "{name} counts the rows of a job; a file has no such counts"
                )));
            };
            let gate = match gates.iter().find(|(m, _)| m == name) {
                Some((_, range)) => {
                    let gate = Gate::new(metric.info(), *range, None);
                    Some((gate.map_err(|e| Failure::usage(format!("{name}: {e}")))?, *range))
                }
                None => None,
            };
            Ok(Measured { name: name.clone(), accumulator: metric.accumulator(), metric, gate })
        })
        .collect()
}

fn parse_param(text: &str) -> Result<(String, String, Value), Failure> {
    let wrong = || {
        Failure::usage(format!(
            "--param {text:?}: expected METRIC.NAME=VALUE, as in rougeL.stemmer=true"
        ))
    };
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let (metric, param) = name.split_once('.').ok_or_else(wrong)?;
    let value = serde_saphyr::from_str(value)
        .map_err(|e| Failure::usage(format!("--param {text:?}: {e}")))?;
    Ok((metric.to_owned(), param.to_owned(), value))
}

fn parse_gate(text: &str) -> Result<(String, Range), Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!(
            "--gate {text:?}: {why}; expected METRIC=min:X, METRIC=max:X or METRIC=min:X,max:Y"
        ))
    };
    let (metric, bounds) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
    let (mut min, mut max) = (None, None);
    for bound in bounds.split(',') {
        let (side, value) = bound.split_once(':').ok_or_else(|| wrong("a bound has no `:`"))?;
        let value: f64 = value.trim().parse().map_err(|_| wrong("a bound is no number"))?;
        match side.trim() {
            "min" => min = Some(value),
            "max" => max = Some(value),
            _ => return Err(wrong("a bound is neither min nor max")),
        }
    }
    let range = Range::new(min, max).map_err(|e| wrong(&e.to_string()))?;
    Ok((metric.to_owned(), range))
}

/// The field that is meant when none is named: there must be only one with text.
fn only_text_field(args: &ValidateArgs) -> Result<String, Failure> {
    let first = open(&args.file)?.next().transpose().map_err(Failure::usage)?;
    let fields: Vec<String> = (first.iter().flat_map(|record| record.fields().iter()))
        .filter(|(name, value)| value.is_string() && !["id", "_textnlp"].contains(&name.as_str()))
        .map(|(name, _)| name.clone())
        .filter(|name| Some(name) != args.reference.as_ref())
        .collect();
    match fields.as_slice() {
        [only] => Ok(only.clone()),
        [] => {
            Err(Failure::usage(format!("{}: the first record has no field with text", args.file)))
        }
        several => Err(Failure::usage(format!(
            "which field is to be scored? Name it with --column: {}",
            several.join(", ")
        ))),
    }
}

fn row_id(record: &SourceRecord) -> String {
    match record.fields().get("id") {
        Some(Value::String(id)) => id.clone(),
        Some(id) if id.is_number() => id.to_string(),
        _ => record.index.to_string(),
    }
}

fn texts<'r>(fields: &'r Record, name: &str) -> Vec<&'r str> {
    match fields.get(name) {
        Some(Value::String(text)) => vec![text],
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn score_record(
    record: &SourceRecord,
    column: &str,
    reference: Option<&str>,
    measured: &mut [Measured],
) -> Result<Map<String, Value>, Failure> {
    let fields = record.fields();
    let id = row_id(record);
    let no_text = |name: &str| {
        let there: Vec<&str> = fields.keys().map(String::as_str).collect();
        Failure::usage(format!(
            "row {id}: there is no text in field {name:?}; its fields are {}",
            there.join(", ")
        ))
    };
    let Some(Value::String(text)) = fields.get(column) else { return Err(no_text(column)) };
    let references = reference.map(|name| texts(fields, name)).unwrap_or_default();
    let provenance = fields.get("_textnlp");
    let sample = Sample {
        id: &id,
        text,
        references: &references,
        tokens: provenance.and_then(|p| p.get("tokens")?.get(column)?.get("completion")?.as_u64()),
        finish_reason: provenance.and_then(|p| p.get("finishReasons")?.get(column)?.as_str()),
    };
    let mut scores = Map::new();
    for one in measured {
        let located = |e: textnlp_validation::RowError| Failure::usage(format!("row {id}: {e}"));
        one.accumulator.add(&sample).map_err(located)?;
        if let Some(value) = one.metric.row(&sample).map_err(located)? {
            scores.insert(one.name.clone(), json!(value));
        }
    }
    Ok(scores)
}

fn conclude(
    args: &ValidateArgs,
    column: &str,
    records: u64,
    measured: &[Measured],
) -> Result<(), Failure> {
    let mut scores = Vec::new();
    let mut distributions = Vec::new();
    for one in measured {
        let found = one.accumulator.score();
        scores.push(Score {
            metric: one.name.clone(),
            column: Some(column.to_owned()),
            value: found.as_ref().map(|f| f.value),
            gate: one.gate.map(|(gate, range)| GateReport {
                stat: None,
                min: range.min(),
                max: range.max(),
                passed: found.as_ref().is_some_and(|f| gate.passes(f)),
            }),
            signature: found
                .as_ref()
                .map_or_else(|| one.metric.signature(), |f| f.signature.clone()),
        });
        if let Some(distribution) = found.and_then(|f| f.distribution) {
            let (metric, column) = (one.name.clone(), Some(column.to_owned()));
            distributions.push(NamedDistribution { metric, column, distribution });
        }
    }
    let passed = scores.iter().all(|s| s.gate.as_ref().is_none_or(|g| g.passed));
    if args.json {
        print_json(&json!({
            "records": records,
            "scores": scores,
            "distributions": distributions,
            "passed": passed,
        }));
    } else {
        print_text(&format!(
            "{records} rows, column {column}\n\n{}",
            score_table(&scores, &distributions)
        ));
    }
    if passed { Ok(()) } else { Err(Failure::silent(3)) }
}

/// Scores, and beside them the spread where a metric has row values.
pub(crate) fn score_table(scores: &[Score], distributions: &[NamedDistribution]) -> String {
    let rows: Vec<Vec<String>> = scores
        .iter()
        .map(|score| {
            let (gate, passed) = score.gate_cells();
            let same =
                |d: &&NamedDistribution| d.metric == score.metric && d.column == score.column;
            let spread = distributions.iter().find(same).map_or_else(String::new, |d| {
                let d = &d.distribution;
                format!("{} … {} … {}", number(d.min), number(d.p50), number(d.max))
            });
            let column = score.column.clone().unwrap_or_default();
            vec![score.metric.clone(), column, score.value_cell(), spread, gate, passed.to_owned()]
        })
        .collect();
    table::render(&["metric", "column", "value", "min … median … max", "gate", ""], &[2], &rows)
}
