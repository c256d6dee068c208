//! The last step: rows are merged in order, filtered, scored and written, and the report and the manifest say how it went.
//!
//! It only reads chunks, so it can be run again, after a crash or when `validation` has changed, without a token.

mod judge;
mod losses;
mod mask;
mod output;

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::json;
use textnlp_crds::output::OutputFormat;
use textnlp_dataset::chunk::{self, Rows};
use textnlp_dataset::digest::{DatasetDigest, canonical, sha256};
use textnlp_dataset::format::{self, Format, Schema, Verdict};
use textnlp_dataset::manifest::{
    self, FileSummary, Manifest, ModelSummary, RowCounts, SourceSummary,
};
use textnlp_dataset::plan::RowRange;
use textnlp_dataset::store::Store;
use textnlp_dataset::{Outcome, Record, Row, card};

use self::judge::Judge;
pub use self::losses::LOST_STAGE;
use self::losses::WithLosses;
use self::output::{Sink, Table};

use crate::completer::Models;
use crate::error::Error;
use crate::job::Job;
use crate::prepare::Prepared;
use crate::report::{Failures, ModelReport, OutputReport, Rejection, Report, Usage, passes};
use crate::rows;
use crate::scoring::{Judgement, Scorer};

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
    let mut pass = Pass::new(job, prepared, store)?;
    let mut judge = Judge::new(job);
    for row in WithLosses::new(job, prepared, store)? {
        let (row, judgement) = judge.row(row?);
        pass.row(row, judgement)?;
    }
    let mut result = pass.finish()?;
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
    counts: RowCounts,
    rejections: Vec<Rejection>,
    failures: Vec<Failures>,
    samples: Vec<Record>,
    usage: Usage,
    digest: String,
    schema: Schema,
    files: Vec<FileSummary>,
    scores: Vec<crate::report::Score>,
    distributions: Vec<crate::report::NamedDistribution>,
}

/// The one pass over all rows, in row order and in bounded memory.
struct Pass<'a> {
    scorer: Scorer<'a>,
    digest: DatasetDigest,
    schema: Schema,
    tables: Vec<Table>,
    rejected: Sink,
    failed: Sink,
    counts: RowCounts,
    rejections: Vec<Rejection>,
    failures: Vec<Failures>,
    samples: Vec<Record>,
    usage: Usage,
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
            scorer: job.scoring.scorer(),
            digest: DatasetDigest::new(),
            schema: names,
            tables,
            rejected: Sink::create(store, REJECTED)?,
            failed: Sink::create(store, FAILED)?,
            counts: RowCounts { requested: prepared.rows(), ..RowCounts::default() },
            rejections: job
                .scoring
                .rejecters()
                .map(|f| Rejection { filter: f.to_owned(), rows: 0 })
                .collect(),
            failures: Vec::new(),
            samples: Vec::new(),
            usage: Usage::default(),
        })
    }

    fn row(&mut self, row: Row, judgement: Judgement) -> Result<(), Error> {
        for tokens in row.meta.tokens.values() {
            self.usage.prompt_tokens += tokens.prompt;
            self.usage.completion_tokens += tokens.completion;
            self.usage.requests += 1;
        }
        match judgement {
            Judgement::Accepted { scores } => self.accept(&row, scores),
            Judgement::Rejected { filter, scores } => {
                self.counts.rejected += 1;
                if let Some(rejection) = self.rejections.iter_mut().find(|r| r.filter == filter) {
                    rejection.rows += 1;
                }
                let verdict = Verdict { scores, rejected_by: Some(filter) };
                self.rejected.line(&format::flatten(&row, &verdict))
            }
            Judgement::Failed { stage, message } => {
                self.counts.failed += 1;
                match self.failures.iter_mut().find(|f| f.stage == stage) {
                    Some(failures) => failures.rows += 1,
                    None => self.failures.push(Failures {
                        stage: stage.clone(),
                        rows: 1,
                        first: format!("row {}: {message}", row.id),
                    }),
                }
                let row = Row { outcome: Outcome::Failed { stage, message }, ..row };
                self.failed.line(&format::flatten(&row, &Verdict::default()))
            }
        }
    }

    fn accept(&mut self, row: &Row, scores: Record) -> Result<(), Error> {
        self.counts.accepted += 1;
        self.scorer.add(row).map_err(|e| Error::Internal(format!("row {}: {e}", row.id)))?;
        self.digest.add(row);
        let flat = format::flatten(row, &Verdict { scores, rejected_by: None });
        self.schema.add(&flat);
        for table in &mut self.tables {
            table.write(&flat)?;
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
        let others = [self.rejected.finish()?, self.failed.finish()?];
        let (scores, distributions) = self.scorer.finish(&self.counts);
        files.extend(others);
        Ok(Passed {
            counts: self.counts,
            rejections: self.rejections,
            failures: self.failures,
            samples: self.samples,
            usage: self.usage,
            digest: format!("sha256:{}", self.digest.current()),
            schema: self.schema,
            files,
            scores,
            distributions,
        })
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
    Report {
        records: prepared.snapshot.records,
        rows: result.counts,
        rejections: result.rejections.clone(),
        failures: result.failures.clone(),
        scores: result.scores.clone(),
        distributions: result.distributions.clone(),
        samples: result.samples.clone(),
        passed: passes(&result.scores, &result.counts),
        digest: result.digest.clone(),
        model: job.models().iter().next().and_then(|name| models.facts(name)).map(|facts| {
            ModelReport {
                name: facts.name.clone(),
                digest: facts.digest.clone(),
                numerics: facts.numerics.clone(),
            }
        }),
        output: OutputReport {
            directory: closing.place.to_owned(),
            formats: job.spec.output.formats.iter().map(|f| format!("{f:?}")).collect(),
            rows: result.counts.accepted,
            bytes,
        },
        usage: result.usage,
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
        digest: result.digest.clone(),
        rows: result.counts,
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
