//! A user's own metric: a program that reads rows as JSON lines and answers each with its value.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command as Process, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use serde_json::{Value, json};
use textnlp_dataset::SourceRecord;
use textnlp_dataset::source::SourceError;
use textnlp_generation::scoring::Scored;

use super::asked::Command;
use crate::failure::Failure;

/// Bytes of an answer.
const MAX_LINE: u64 = 1 << 20;

/// One line of the program's output.
#[derive(Deserialize)]
struct Answer {
    value: Option<f64>,
    error: Option<String>,
}

/// The values of all rows, in their order, in a file that has no name.
pub(super) struct Values(BufReader<File>);

impl Values {
    /// The next row's value, or why it has none.
    pub(super) fn next(&mut self) -> Result<f64, String> {
        let lost = |_| "the program's value was lost".to_owned();
        let mut bytes = [0; 8];
        self.0.read_exact(&mut bytes).map_err(lost)?;
        let value = f64::from_le_bytes(bytes);
        if !value.is_nan() {
            return Ok(value);
        }
        let mut length = [0; 8];
        self.0.read_exact(&mut length).map_err(lost)?;
        let mut message = Vec::new();
        let mut message_bytes = Read::by_ref(&mut self.0).take(u64::from_le_bytes(length));
        message_bytes.read_to_end(&mut message).map_err(lost)?;
        Err(String::from_utf8_lossy(&message).into_owned())
    }
}

/// Runs the program over all records that have a text. It reads `{"id", "text", "references"}` a line, and answers each in order with a line `{"value":
/// NUMBER}` or `{"error": "why"}`; it may read ahead and answer late. One that neither reads nor answers for `patience` is ended.
pub(super) fn run(
    command: &Command,
    records: impl Iterator<Item = Result<SourceRecord, SourceError>>,
    (column, reference): (&str, Option<&str>),
    patience: Duration,
) -> Result<Values, Failure> {
    let name = &command.metric.name;
    let failed =
        |why: String| Failure::failed(format!("the metric {name} (`{}`): {why}", command.line));
    let mut child = Process::new("/bin/sh")
        .args(["-c", &command.line])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // A group of its own: what the shell starts is ended with it.
        .process_group(0)
        .spawn()
        .map_err(|e| failed(format!("cannot be started: {e}")))?;
    let (stdin, stdout) = match (child.stdin.take(), child.stdout.take()) {
        (Some(stdin), Some(stdout)) => (stdin, stdout),
        _ => return Err(failed("has no pipes".to_owned())),
    };
    let moves = AtomicU64::new(0);
    let (ended, end) = channel::<()>();
    let (sent, answers, status) = thread::scope(|scope| {
        let answers = scope.spawn(|| {
            let answers = collect(BufReader::new(stdout), &moves);
            // An answer that is none ends the program at once; its last one leaves it time to end.
            match answers.is_ok() {
                true => drop(ended),
                false => _ = ended.send(()),
            }
            answers
        });
        let (child, moved) = (&mut child, &moves);
        let watch = scope.spawn(move || watch(child, &end, moved, patience));
        let sent = send(records, stdin, (column, reference), &moves);
        (sent, answers.join(), watch.join())
    });
    let status = status.map_err(|_| failed("was lost".to_owned()))?;
    let sent = sent.map_err(Failure::usage)?;
    let answers = answers.map_err(|_| failed("its answers were lost".to_owned()))?;
    let (file, answered) = answers.map_err(&failed)?;
    let Some(status) = status else {
        let seconds = patience.as_secs();
        return Err(failed(format!("neither read nor answered for {seconds} s, and was ended")));
    };
    if !status.success() {
        return Err(failed(format!("ended with {status} after {answered} of {sent} answers")));
    }
    if answered != sent {
        return Err(failed(format!(
            "gave {answered} answers to {sent} rows: one line for each is needed"
        )));
    }
    Ok(Values(BufReader::new(file)))
}

/// Waits for the program's end; ends it if nothing moves, or if it is told that an answer was wrong. `None` if it did.
fn watch(
    child: &mut Child,
    end: &Receiver<()>,
    moves: &AtomicU64,
    patience: Duration,
) -> Option<ExitStatus> {
    let mut before = moves.load(Ordering::Relaxed);
    loop {
        match end.recv_timeout(patience) {
            Ok(()) => break,
            Err(RecvTimeoutError::Disconnected) => {
                // It answers no more: now it may end by itself.
                let until = Instant::now() + patience;
                while Instant::now() < until {
                    if let Ok(Some(status)) = child.try_wait() {
                        return Some(status);
                    }
                    thread::sleep(Duration::from_millis(10));
                }
                break;
            }
            Err(RecvTimeoutError::Timeout) => {
                let now = moves.load(Ordering::Relaxed);
                if now == before {
                    break;
                }
                before = now;
            }
        }
    }
    let _ = kill_process_group(Pid::from_child(child), Signal::KILL);
    let _ = child.wait();
    None
}

/// Whether the program is asked about a row: one without the text fails anyway.
pub(super) fn is_asked(record: &SourceRecord, column: &str) -> bool {
    record.record.is_ok() && record.field(column).is_some_and(|value| !value.is_null())
}

/// Sends the records that have a text; the number that was sent. A program that stopped reading is no error here: its status and answers say why.
fn send(
    records: impl Iterator<Item = Result<SourceRecord, SourceError>>,
    stdin: ChildStdin,
    (column, reference): (&str, Option<&str>),
    moves: &AtomicU64,
) -> Result<u64, SourceError> {
    let mut stdin = BufWriter::new(stdin);
    let (mut sent, mut open) = (0, true);
    for record in records {
        let record = record?;
        if !is_asked(&record, column) {
            continue;
        }
        sent += 1;
        if open {
            let text = record.field(column).cloned().unwrap_or(Value::Null);
            let references = match reference.and_then(|name| record.field(name)) {
                Some(Value::Array(all)) => all.clone(),
                Some(Value::Null) | None => Vec::new(),
                Some(one) => vec![one.clone()],
            };
            let line = json!({"id": record.id(), "text": text, "references": references});
            open = writeln!(stdin, "{line}").is_ok();
            moves.fetch_add(1, Ordering::Relaxed);
        }
    }
    let _ = stdin.flush();
    Ok(sent)
}

/// Keeps the answers in a file; how many there were.
fn collect(mut answers: impl BufRead, moves: &AtomicU64) -> Result<(File, u64), String> {
    let no_file = |e: std::io::Error| format!("its values cannot be kept: {e}");
    let mut file = BufWriter::new(tempfile::tempfile().map_err(no_file)?);
    let (mut line, mut count) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        let read = Read::by_ref(&mut answers).take(MAX_LINE).read_until(b'\n', &mut line);
        if read.map_err(|e| format!("its answers cannot be read: {e}"))? == 0 {
            break;
        }
        count += 1;
        moves.fetch_add(1, Ordering::Relaxed);
        match answer(&line, count)? {
            Ok(value) => file.write_all(&value.to_le_bytes()).map_err(no_file)?,
            Err(message) => {
                file.write_all(&f64::NAN.to_le_bytes()).map_err(no_file)?;
                file.write_all(&(message.len() as u64).to_le_bytes()).map_err(no_file)?;
                file.write_all(message.as_bytes()).map_err(no_file)?;
            }
        }
    }
    let mut file = file.into_inner().map_err(|e| no_file(e.into_error()))?;
    file.rewind().map_err(no_file)?;
    Ok((file, count))
}

/// The value of a line, or the row's error; the outer error ends the run.
fn answer(line: &[u8], number: u64) -> Result<Result<f64, String>, String> {
    let shown = || {
        String::from_utf8_lossy(line.get(..line.len().min(80)).unwrap_or_default())
            .trim()
            .to_owned()
    };
    let expected = r#"expected {"value": NUMBER} or {"error": "why"}"#;
    match serde_json::from_slice(line) {
        Ok(Answer { value: Some(value), error: None }) if value.is_finite() => Ok(Ok(value)),
        Ok(Answer { value: None, error: Some(error) }) => Ok(Err(error)),
        Ok(_) => Err(format!("answer {number} is {:?}; {expected}", shown())),
        Err(error) => Err(format!("answer {number} is {:?} ({error}); {expected}", shown())),
    }
}
