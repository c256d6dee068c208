//! The last step: rows are merged in order, filtered, scored and written, and the report and the manifest say how it went.
//!
//! It only reads chunks, so it can be run again, after a crash or when `validation` has changed, without a token.

mod judge;
mod losses;
mod mask;
mod output;
mod tally;

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;
use textnlp_crds::output::OutputFormat;
use textnlp_dataset::chunk::{self, Rows};
use textnlp_dataset::digest::{canonical, sha256};
use textnlp_dataset::format::{self, Format, Schema, Verdict};
use textnlp_dataset::manifest::{self, FileSummary, Manifest, ModelSummary, SourceSummary};
use textnlp_dataset::plan::RowRange;
use textnlp_dataset::store::Store;
use textnlp_dataset::{Record, Row, card};
use textnlp_telemetry::trace::TraceContext;

pub(crate) use self::judge::Judge;
pub use self::losses::LOST_STAGE;
use self::losses::WithLosses;
use self::output::{Sink, Table};
use self::tally::Tallied;
pub(crate) use self::tally::{Counted, Tally};

use crate::completer::Models;
use crate::error::Error;
use crate::job::Job;
use crate::prepare::Prepared;
use crate::report::{ModelReport, OutputReport, Report, UsageReport, passes};
use crate::rows;
use crate::scoring::Judgement;

/// Accepted rows that a report shows.
const SAMPLES: usize = 3;

/// Where the rows go that are not in the dataset.
const REJECTED: &str = "rejected.jsonl";
const FAILED: &str = "failed.jsonl";
pub(crate) const REPORT: &str = "report.json";

/// Hash of everything that decides what finalizing makes of finished rows.
pub fn validation_hash(job: &Job) -> String {
    let mut decides = json!({
        "version": 1,
        "validation": job.spec.validation,
        "fields": job.spec.output.fields,
        "formats": job.spec.output.formats,
    });
    // Only where they are set: what was finished before they were there stays finished.
    if let Some(mask) = &job.spec.output.mask_pii {
        decides["maskPii"] = json!(mask);
    }
    if job.spec.output.escape_formulas == Some(true) {
        decides["escapeFormulas"] = json!(true);
    }
    format!("sha256:{}", sha256(&canonical(&decides)))
}

/// The report of an output that is finished under exactly these hashes.
pub fn finished(
    job: &Job,
    prepared: &Prepared,
    store: &dyn Store,
) -> Result<Option<Report>, Error> {
    let Some(manifest) = Manifest::load(store)? else { return Ok(None) };
    let same = manifest.generation_hash == prepared.generation_hash
        && manifest.validation_hash == validation_hash(job)
        // Rows of lost shards were made since.
        && manifest.chunks == chunk_paths(store)?;
    if !same || !rows::missing(prepared, store)?.is_empty() {
        return Ok(None);
    }
    for file in &manifest.files {
        if store.size(&file.path)? != Some(file.bytes) {
            return Ok(None);
        }
    }
    match store.get(REPORT) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What happens to rows that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// They must be generated first.
    Refuse,
    /// They count as failed: their shards are lost.
    Fail,
}

/// How a dataset is closed.
#[derive(Debug, Clone, Copy)]
pub struct Closing<'a> {
    /// What happens to rows that are missing.
    pub missing: Missing,
    /// How the report calls the output: a directory or a URI.
    pub place: &'a str,
    /// When the run began.
    pub begun: Instant,
    /// What it is part of.
    pub trace: &'a TraceContext,
}

/// Merges, filters, scores and writes.
pub fn finalize(
    job: &Job,
    models: &Models,
    prepared: &Prepared,
    store: &dyn Store,
    closing: Closing<'_>,
) -> Result<Report, Error> {
    let lacking: u64 = rows::missing(prepared, store)?.iter().map(RowRange::rows).sum();
    if lacking > 0 && closing.missing == Missing::Refuse {
        return Err(Error::RowsMissing(format!(
            "{lacking} of {} rows are missing: they must be generated first",
            prepared.rows()
        )));
    }
    // From here on the files change one by one: without a manifest, nobody takes them for a finished dataset.
    store.delete(manifest::PATH)?;
    let merging = closing.trace.child("merge and judge");
    let mut pass = Pass::new(job, prepared, store)?;
    let mut judge = Judge::new(job);
    for row in WithLosses::new(job, prepared, store)? {
        let (row, judgement) = judge.row(row?);
        pass.row(row, judgement)?;
    }
    drop(merging);
    let scoring = closing.trace.child("score");
    let mut result = pass.finish()?;
    drop(scoring);
    let _writing = closing.trace.child("write");
    if job.spec.output.formats.contains(&OutputFormat::Parquet) {
        result.files.push(write_parquet(job, prepared, store, &result.schema)?);
    }
    let report = report(job, models, prepared, &result, closing);
    let manifest = describe(job, models, prepared, store, &result)?;
    conclude(job, store, &report, &manifest)?;
    Ok(report)
}

fn chunk_paths(store: &dyn Store) -> Result<Vec<String>, Error> {
    Ok(chunk::list(store)?.iter().map(chunk::path).collect())
}

fn stored<'a>(prepared: &Prepared, store: &'a dyn Store) -> Result<Rows<'a>, Error> {
    Ok(Rows::new(store, &prepared.recipe_hash, chunk::list(store)?)?)
}

/// What the pass over all rows found.
struct Passed {
    rows: Tallied,
    samples: Vec<Record>,
    schema: Schema,
    files: Vec<FileSummary>,
}

/// The one pass over all rows, in row order and in bounded memory.
struct Pass<'a> {
    tally: Tally<'a>,
    schema: Schema,
    tables: Vec<Table>,
    rejected: Sink,
    failed: Sink,
    samples: Vec<Record>,
}

impl<'a> Pass<'a> {
    fn new(job: &'a Job, prepared: &Prepared, store: &dyn Store) -> Result<Self, Error> {
        let names = names(job, prepared)?;
        let mut tables = Vec::new();
        for format in &job.spec.output.formats {
            let format = table_format(*format);
            // Parquet needs the types of all rows before the first: it is written from a second pass.
            if format != Format::Parquet {
                let sink = Sink::create(store, &file_name(format))?;
                tables.push(Table::new(format, &names, options(job), sink)?);
            }
        }
        Ok(Self {
            tally: Tally::new(job, prepared.rows()),
            schema: names,
            tables,
            rejected: Sink::create(store, REJECTED)?,
            failed: Sink::create(store, FAILED)?,
            samples: Vec::new(),
        })
    }

    fn row(&mut self, row: Row, judgement: Judgement) -> Result<(), Error> {
        match self.tally.add(row, judgement)? {
            Counted::Accepted(flat, row) => self.accept(&flat, &row),
            Counted::Rejected(flat) => self.rejected.line(&flat),
            Counted::Failed(flat) => self.failed.line(&flat),
        }
    }

    fn accept(&mut self, flat: &Record, row: &Row) -> Result<(), Error> {
        self.schema.add(flat);
        for table in &mut self.tables {
            table.write(flat)?;
        }
        if self.samples.len() < SAMPLES {
            let shown =
                row.attributes.iter().chain(&row.columns).map(|(k, v)| (k.clone(), v.clone()));
            let id = std::iter::once(("id".to_owned(), json!(row.id)));
            self.samples.push(id.chain(shown).collect());
        }
        Ok(())
    }

    fn finish(self) -> Result<Passed, Error> {
        let mut files = Vec::new();
        for table in self.tables {
            files.push(table.finish()?);
        }
        // Only the dataset counts as output; where the other rows went is listed as well.
        files.extend([self.rejected.finish()?, self.failed.finish()?]);
        let (rows, samples, schema) = (self.tally.finish(), self.samples, self.schema);
        Ok(Passed { rows, samples, schema, files })
    }
}

/// The fields of every row, in order, as far as they are known before the rows.
fn names(job: &Job, prepared: &Prepared) -> Result<Schema, Error> {
    let names = (prepared.snapshot.fields.iter().map(String::as_str))
        .chain(job.attributes.iter().map(|a| a.name()))
        .chain(job.columns.iter().map(|c| c.name.as_str()))
        .chain(["id", "_textnlp"]);
    let mut schema = Schema::new();
    schema.add(&names.map(|name| (name.to_owned(), serde_json::Value::Null)).collect());
    match &job.spec.output.fields {
        Some(fields) => Ok(schema.select(fields)?),
        None => Ok(schema),
    }
}

fn write_parquet(
    job: &Job,
    prepared: &Prepared,
    store: &dyn Store,
    schema: &Schema,
) -> Result<FileSummary, Error> {
    let sink = Sink::create(store, &file_name(Format::Parquet))?;
    let mut table = Table::new(Format::Parquet, schema, options(job), sink)?;
    let mut judge = Judge::new(job);
    for row in stored(prepared, store)? {
        let (row, judgement) = judge.row(row?);
        if let Judgement::Accepted { scores } = judgement {
            table.write(&format::flatten(&row, &Verdict { scores, rejected_by: None }))?;
        }
    }
    table.finish()
}

fn options(job: &Job) -> format::Options {
    format::Options { escape_formulas: job.spec.output.escape_formulas == Some(true) }
}

fn table_format(format: OutputFormat) -> Format {
    match format {
        OutputFormat::JSONL => Format::Jsonl,
        OutputFormat::CSV => Format::Csv,
        OutputFormat::Markdown => Format::Markdown,
        OutputFormat::Parquet => Format::Parquet,
    }
}

fn file_name(format: Format) -> String {
    format!("dataset.{}", format.extension())
}

fn report(
    job: &Job,
    models: &Models,
    prepared: &Prepared,
    result: &Passed,
    closing: Closing<'_>,
) -> Report {
    let bytes =
        result.files.iter().filter(|f| f.path.starts_with("dataset.")).map(|f| f.bytes).sum();
    let rows = &result.rows;
    Report {
        records: prepared.snapshot.records,
        rows: rows.counts,
        rejections: rows.rejections.clone(),
        failures: rows.failures.clone(),
        scores: rows.scores.clone(),
        distributions: rows.distributions.clone(),
        samples: result.samples.clone(),
        passed: passes(&rows.scores, &rows.counts),
        digest: rows.digest.clone(),
        model: ModelReport::of(job, models),
        output: OutputReport {
            directory: closing.place.to_owned(),
            formats: job.spec.output.formats.iter().map(|f| format!("{f:?}")).collect(),
            rows: rows.counts.accepted,
            bytes,
        },
        usage: UsageReport::new(rows.usage, &rows.by_model, models),
        seconds: closing.begun.elapsed().as_secs_f64(),
    }
}

fn describe(
    job: &Job,
    models: &Models,
    prepared: &Prepared,
    store: &dyn Store,
    result: &Passed,
) -> Result<Manifest, Error> {
    let spec = serde_json::to_value(&job.spec).map_err(|e| Error::Internal(e.to_string()))?;
    let mut by_column = BTreeMap::new();
    for column in &job.columns {
        let Some(generated) = column.generated() else { continue };
        let Some(facts) = models.facts(&generated.model) else { continue };
        by_column.insert(
            column.name.clone(),
            ModelSummary {
                name: facts.name.clone(),
                digest: facts.digest.clone(),
                numerics: facts.numerics.clone(),
                tokenizer_digest: facts.tokenizer_digest.clone(),
                mode: Some(generated.mode().to_owned()),
            },
        );
    }
    Ok(Manifest {
        job: json!({"name": job.name, "spec": spec}),
        generation_hash: prepared.generation_hash.clone(),
        validation_hash: validation_hash(job),
        source: SourceSummary {
            digest: prepared.snapshot.digest.clone(),
            records: prepared.snapshot.records,
            offset: prepared.snapshot.offset,
        },
        models: by_column,
        digest: result.rows.digest.clone(),
        rows: result.rows.counts,
        seed: job.seed,
        versions: BTreeMap::from([("textnlp".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
        chunks: chunk_paths(store)?,
        files: result.files.clone(),
    })
}

/// Writes what describes the dataset; the manifest last, since it says that all else is there.
fn conclude(
    job: &Job,
    store: &dyn Store,
    report: &Report,
    manifest: &Manifest,
) -> Result<(), Error> {
    let mut text = serde_json::to_vec_pretty(report).map_err(|e| Error::Internal(e.to_string()))?;
    text.push(b'\n');
    store.put(REPORT, &text)?;
    store.put("report.md", report.to_markdown(&job.name).as_bytes())?;
    store.put("report.html", report.to_html(&job.name).as_bytes())?;
    let scores: Vec<card::Score> = report
        .scores
        .iter()
        .filter_map(|score| {
            Some(card::Score {
                metric: score.metric.clone(),
                column: score.column.clone(),
                value: score.value?,
                passed: score.gate.as_ref().map(|gate| gate.passed),
            })
        })
        .collect();
    let formats: Vec<Format> = job.spec.output.formats.iter().map(|f| table_format(*f)).collect();
    store.put("README.md", card::render(&job.name, manifest, &formats, &scores).as_bytes())?;
    manifest.save(store)?;
    Ok(())
}
