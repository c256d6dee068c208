//! Clients that a library would not be: they go in the middle, send half of what they announce, or nothing. I/O.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::ground::{CHAT, Ground};
use super::tally::Outcome;
use super::words::words;
use crate::dice::Dice;
use crate::error::chain;
use crate::events::Events;

/// What became of a request; an error is a violation.
type Found = Result<Outcome, String>;

/// The server's patience is 30 s for a head and for a body.
const CUT_WITHIN: Duration = Duration::from_secs(60);
/// How often a slow client sends a byte.
const BETWEEN_BYTES: Duration = Duration::from_secs(2);

/// A client that goes before it is answered.
pub(crate) async fn leave(ground: &Ground, dice: &mut Dice) -> (&'static str, Found) {
    match dice.throw(4) {
        0 | 1 => ("client goes during a stream", leave_stream(ground, dice).await),
        2 => ("client goes before its answer", leave_whole(ground, dice).await),
        _ => ("client cuts its connection", cut(ground, dice).await),
    }
}

/// A client that holds its connection until it is cut off.
pub(crate) async fn slow(ground: &Ground, dice: &mut Dice) -> (&'static str, Found) {
    let head = format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\n");
    match dice.throw(5) {
        0 => ("client says nothing", held(ground, "", false).await),
        1 => (
            "client sends a head slowly",
            held(ground, "GET /healthz HTTP/1.1\r\nx-slow: ", true).await,
        ),
        2 => ("client sends no HTTP", held(ground, "\u{16}\u{3}\u{1}\u{2}\r\n\r\n", false).await),
        3 => {
            let huge = format!("{head}x-long: {}\r\n\r\n", "x".repeat(40_000));
            (
                "client sends a head too large",
                expect(held_answer(ground, &huge, false).await, "431"),
            )
        }
        _ => {
            let body = format!("{head}content-length: 1000\r\n\r\n{{");
            ("client sends a body slowly", expect(held_answer(ground, &body, true).await, "408"))
        }
    }
}

fn request(ground: &Ground, dice: &mut Dice, streamed: bool) -> Value {
    json!({
        "model": ground.model, "messages": [{"role": "user", "content": words(dice, 30)}],
        "max_tokens": 400, "n": 1 + dice.throw(3), "stream": streamed,
    })
}

/// Reads some events of a long answer.
async fn leave_stream(ground: &Ground, dice: &mut Dice) -> Found {
    let body = request(ground, dice, true);
    let Some(response) = ground.accepted(CHAT, &body).await? else { return Ok(Outcome::Full) };
    let mut events = Events::new(response);
    for _ in 0..dice.throw(60) {
        match events.next().await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Outcome::Answered),
            Err(error) => return Err(chain(&error)),
        }
    }
    Ok(Outcome::Left)
}

/// Waits a while for a long answer that comes at once.
async fn leave_whole(ground: &Ground, dice: &mut Dice) -> Found {
    let body = request(ground, dice, false);
    let patience = Duration::from_millis(dice.throw(1500) as u64);
    match timeout(patience, ground.accepted(CHAT, &body)).await {
        Err(_) => Ok(Outcome::Left),
        Ok(response) => Ok(response?.map_or(Outcome::Full, |_| Outcome::Answered)),
    }
}

/// Sends a request, or a part of it, and closes the connection soon after.
async fn cut(ground: &Ground, dice: &mut Dice) -> Found {
    let streamed = dice.throw(2) == 0;
    let body = request(ground, dice, streamed).to_string();
    let text = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let sent = match dice.throw(2) {
        0 => text.len(),
        _ => dice.throw(text.len()),
    };
    let mut stream = connect(ground).await?;
    stream.write_all(&text.as_bytes()[..sent]).await.map_err(|error| error.to_string())?;
    tokio::time::sleep(Duration::from_millis(dice.throw(300) as u64)).await;
    Ok(Outcome::Left)
}

async fn connect(ground: &Ground) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(&ground.address).await;
    stream.map_err(|error| format!("cannot connect: {error}"))
}

/// A connection that the server must close, whatever it says.
async fn held(ground: &Ground, text: &str, goes_on: bool) -> Found {
    held_answer(ground, text, goes_on).await.map(|_| Outcome::Refused)
}

fn expect(answer: Result<String, String>, status: &str) -> Found {
    let answer = answer?;
    match answer.strip_prefix("HTTP/1.1 ").is_some_and(|rest| rest.starts_with(status)) {
        true => Ok(Outcome::Refused),
        false => Err(format!("{answer:?}, where {status} was expected")),
    }
}

/// What the server says before it closes the connection. With `goes_on` a byte is sent now and then.
async fn held_answer(ground: &Ground, text: &str, goes_on: bool) -> Result<String, String> {
    let mut stream = connect(ground).await?;
    stream.write_all(text.as_bytes()).await.map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    while begun.elapsed() < CUT_WITHIN {
        match timeout(BETWEEN_BYTES, stream.read(&mut part)).await {
            // A server that closes before it has read all resets the connection: that is an end too.
            Ok(Ok(0) | Err(_)) => return Ok(String::from_utf8_lossy(&answer).into_owned()),
            Ok(Ok(read)) => answer.extend_from_slice(&part[..read]),
            Err(_) if goes_on => {
                // If it is closed already, the next reading says so.
                let _ = stream.write_all(b"x").await;
            }
            Err(_) => {}
        }
    }
    let seconds = CUT_WITHIN.as_secs();
    let answer = String::from_utf8_lossy(&answer);
    Err(format!("the connection is open after {seconds} s; the server said {answer:?}"))
}
