//! `textnlp validate`: metrics over the texts of a file.

mod asked;
mod command;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use textnlp_dataset::SourceRecord;
use textnlp_dataset::source::{self, Options};
use textnlp_generation::evaluation::{Entry, Evaluated, Evaluation, Given};
use textnlp_generation::report::{NamedDistribution, Report, Score, number, passes};

use self::asked::Measured;
use self::command::Values;
use crate::args::ValidateArgs;
use crate::failure::Failure;
use crate::{print_json, print_text, table};

pub(crate) fn run(args: &ValidateArgs) -> Result<(), Failure> {
    let begun = Instant::now();
    if args.metrics.is_empty() && args.metric_command.is_empty() {
        return Err(Failure::usage("nothing to measure: name metrics with --metrics"));
    }
    if let Some(path) = args.report.iter().find(|path| report_format(path).is_none()) {
        return Err(Failure::usage(format!(
            "--report {}: the name decides the format, and ends in .html, .md or .json",
            path.display()
        )));
    }
    keep_inputs(args)?;
    let first = open(&args.file)?.next().transpose().map_err(Failure::usage)?;
    let column = column(args, first.as_ref())?;
    let measured = Measured::new(args, &column)?;
    let evaluated = evaluate(args, &column, &measured)?;
    let report = report(args, evaluated, begun);
    for path in &args.report {
        write_report(&report, path, &args.file)?;
    }
    if args.json {
        print_json(&report);
    } else {
        print_text(&summary(&report, &column));
    }
    match report.failures.first() {
        Some(failures) if report.rows.accepted == 0 => {
            Err(Failure::failed(format!("no row could be scored; {}", failures.first)))
        }
        _ if report.gate_failed() => Err(Failure::silent(3)),
        _ => Ok(()),
    }
}

/// What is written must not be what is read: the file would be empty before its first row was.
fn keep_inputs(args: &ValidateArgs) -> Result<(), Failure> {
    let same = |path: &Path| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    let inputs: Vec<_> = source::paths(Path::new(""), &args.file)
        .map_err(Failure::usage)?
        .iter()
        .map(|path| same(path))
        .collect();
    for (flag, path) in args
        .rows
        .iter()
        .map(|path| ("--rows", path))
        .chain(args.report.iter().map(|path| ("--report", path)))
    {
        let file = same(path);
        if file.is_some() && inputs.contains(&file) {
            let path = path.display();
            return Err(Failure::usage(format!(
                "{flag} {path}: this is the file to be scored; name another"
            )));
        }
    }
    Ok(())
}

fn open(file: &str) -> Result<source::Records<'static>, Failure> {
    // A dataset of ours is a fine source of scores, its `id` and `_textnlp` included.
    let options = Options { reserved_names: true, ..Options::default() };
    source::open(Path::new(""), file, &options).map_err(Failure::usage)
}

/// The field with the texts: what is named, or the only one with text. A field that the first record lacks is a slip of the pen; one
/// that a later record lacks makes that row fail.
fn column(args: &ValidateArgs, first: Option<&SourceRecord>) -> Result<String, Failure> {
    let fields = || first.iter().flat_map(|record| record.fields().iter());
    for (flag, name) in [("--column", &args.column), ("--reference", &args.reference)] {
        let Some(name) = name else { continue };
        if !fields().any(|(field, _)| field == name) {
            let there: Vec<&str> = fields().map(|(field, _)| field.as_str()).collect();
            return Err(Failure::usage(format!(
                "{flag} {name}: the first record of {} has no such field; it has {}",
                args.file,
                there.join(", ")
            )));
        }
    }
    if let Some(column) = &args.column {
        return Ok(column.clone());
    }
    let texts: Vec<String> = fields()
        .filter(|(name, value)| value.is_string() && !["id", "_textnlp"].contains(&name.as_str()))
        .map(|(name, _)| name.clone())
        .filter(|name| Some(name) != args.reference.as_ref())
        .collect();
    match texts.as_slice() {
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

fn evaluate(args: &ValidateArgs, column: &str, measured: &Measured) -> Result<Evaluated, Failure> {
    let patience = Duration::from_secs(args.command_timeout);
    let mut values = Vec::new();
    for command in &measured.commands {
        let target = (column, args.reference.as_deref());
        values.push(command::run(command, open(&args.file)?, target, patience)?);
    }
    let given: Vec<Given> = measured.commands.iter().map(|c| c.metric.clone()).collect();
    let evaluation = Evaluation {
        scoring: &measured.scoring,
        given: &given,
        column,
        threads: args.threads.map_or_else(processors, usize::from),
    };
    let entries = open(&args.file)?.map(|record| {
        let record = record?;
        let given = match values.is_empty() || command::is_asked(&record, column) {
            true => next_values(&mut values),
            false => Err(format!("there is no text in the field {column:?}")),
        };
        Ok(Entry { record, given })
    });
    let cannot = |path: &Path, e: std::io::Error| {
        Failure::failed(format!("cannot write {}: {e}", path.display()))
    };
    let mut out = match &args.rows {
        Some(path) => Some(BufWriter::new(File::create(path).map_err(|e| cannot(path, e))?)),
        None => None,
    };
    let rows = out.as_mut().map(|out| out as &mut (dyn Write + Send));
    evaluation.run(entries, rows).map_err(|error| match error {
        textnlp_generation::Error::Source(error) => Failure::usage(error),
        other => other.into(),
    })
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A row's value of each program; all are read, so that they stay in step.
fn next_values(values: &mut [Values]) -> Result<Vec<f64>, String> {
    let all: Vec<_> = values.iter_mut().map(Values::next).collect();
    all.into_iter().collect()
}

fn report(args: &ValidateArgs, found: Evaluated, begun: Instant) -> Report {
    Report {
        passed: passes(&found.scores, &found.rows),
        records: found.rows.requested,
        rows: found.rows,
        rejections: found.rejections,
        failures: found.failures,
        scores: found.scores,
        distributions: found.distributions,
        samples: if args.report.is_empty() { Vec::new() } else { found.samples },
        digest: String::new(),
        model: None,
        output: Default::default(),
        usage: Default::default(),
        seconds: begun.elapsed().as_secs_f64(),
    }
}

fn report_format(path: &Path) -> Option<&str> {
    path.extension()?.to_str().filter(|end| ["html", "md", "json"].contains(end))
}

fn write_report(report: &Report, path: &Path, name: &str) -> Result<(), Failure> {
    let text = match report_format(path) {
        Some("html") => report.to_html(name),
        Some("md") => report.to_markdown(name),
        _ => {
            let json = serde_json::to_string_pretty(report);
            json.map_err(|e| Failure::failed(format!("the report cannot be written: {e}")))? + "\n"
        }
    };
    std::fs::write(path, text)
        .map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))
}

fn summary(report: &Report, column: &str) -> String {
    let rows = &report.rows;
    let mut text = format!("{} rows, column {column}\n", rows.accepted);
    for failures in &report.failures {
        text.push_str(&format!(
            "{} more could not be scored; first {}\n",
            failures.rows, failures.first
        ));
    }
    text.push('\n');
    text.push_str(&score_table(&report.scores, &report.distributions));
    text
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
