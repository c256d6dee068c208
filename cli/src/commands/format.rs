//! `textnlp format`: a dataset in another format.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use textnlp_dataset::format::{ConvertError, Format, Options, convert};
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
    let options = Options { escape_formulas: args.escape_formulas };
    let Some(path) = &args.output else {
        if format == Format::Parquet {
            return Err(Failure::usage("Parquet is a binary format: name a file with --output"));
        }
        return write(args, format, options, Box::new(BufWriter::new(io::stdout())));
    };
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("out");
    let temporary = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    let result = File::create(&temporary)
        .map_err(|e| io_failure(path, &e))
        .and_then(|file| write(args, format, options, Box::new(BufWriter::new(file))))
        .and_then(|()| std::fs::rename(&temporary, path).map_err(|e| io_failure(path, &e)));
    if result.is_err() {
        let _ = std::fs::remove_file(&temporary); // the first error is the one to tell
    }
    result
}

fn write(
    args: &FormatArgs,
    format: Format,
    options: Options,
    sink: Box<dyn Write + Send>,
) -> Result<(), Failure> {
    convert(Path::new(""), &args.file, &source::Options::default(), format, options, sink)
        .map(drop)
        .map_err(|error| match error {
            ConvertError::Source(_) | ConvertError::Record { .. } => Failure::usage(error),
            ConvertError::Format(_) => Failure::failed(error),
        })
}

fn io_failure(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()))
}
