//! `textnlp format`: a dataset in another format.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use textnlp_dataset::format::{self, Format, Options, Schema, TableWriter};
use textnlp_dataset::source;

use crate::args::{FormatArgs, ToFormat};
use crate::failure::Failure;

pub(crate) fn run(args: &FormatArgs) -> Result<(), Failure> {
    let format = match args.to {
        ToFormat::Jsonl => Format::Jsonl,
        ToFormat::Csv => Format::Csv,
        ToFormat::Markdown => Format::Markdown,
        ToFormat::Parquet => Format::Parquet,
    };
    // Tables name their columns before the first row, so the file is read twice rather than held in memory.
    let mut schema = Schema::new();
    for record in open(&args.file)? {
        schema.add(record.map_err(Failure::usage)?.fields());
    }
    let options = Options { escape_formulas: args.escape_formulas };
    match &args.output {
        None if format == Format::Parquet => {
            Err(Failure::usage("Parquet is a binary format: name a file with --output"))
        }
        None => {
            let sink = Box::new(BufWriter::new(io::stdout()));
            let mut writer = format::writer(format, &schema, options, sink).map_err(Failure::usage)?;
            copy(args, writer.as_mut())?;
            finish(writer, Path::new("standard output"))
        }
        Some(path) => {
            let temporary = path.with_file_name(format!(
                ".{}.{}.part",
                path.file_name().and_then(|n| n.to_str()).unwrap_or("out"),
                std::process::id()
            ));
            let result = write_file(args, format, &schema, options, &temporary)
                .and_then(|()| std::fs::rename(&temporary, path).map_err(|e| io_failure(path, &e)));
            if result.is_err() {
                let _ = std::fs::remove_file(&temporary); // the first error is the one to tell
            }
            result
        }
    }
}

fn open(file: &str) -> Result<source::Records<'static>, Failure> {
    source::open(Path::new(""), file, &source::Options::default()).map_err(Failure::usage)
}

fn write_file(
    args: &FormatArgs,
    format: Format,
    schema: &Schema,
    options: Options,
    path: &Path,
) -> Result<(), Failure> {
    let file = File::create(path).map_err(|e| io_failure(path, &e))?;
    let sink: Box<dyn Write + Send> = Box::new(BufWriter::new(file));
    let mut writer = format::writer(format, schema, options, sink).map_err(Failure::usage)?;
    copy(args, writer.as_mut())?;
    finish(writer, path)
}

fn copy(args: &FormatArgs, writer: &mut dyn TableWriter) -> Result<(), Failure> {
    for record in open(&args.file)? {
        writer.write(record.map_err(Failure::usage)?.fields()).map_err(Failure::failed)?;
    }
    Ok(())
}

fn finish(writer: Box<dyn TableWriter + '_>, path: &Path) -> Result<(), Failure> {
    writer.finish().map_err(|e| Failure::failed(format!("cannot write {}: {e}", path.display())))
}

fn io_failure(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()))
}
