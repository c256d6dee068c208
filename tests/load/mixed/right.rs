//! Requests that are right, and what must come of them. I/O.

use std::time::Duration;

use serde_json::{Value, json};

use super::answers::{self, Asked};
use super::ground::{CHAT, COMPLETIONS, Ground, Known};
use super::tally::Outcome;
use super::words::words;
use crate::dice::Dice;
use crate::error::chain;

/// What became of a request; an error is a violation.
type Found = Result<Outcome, String>;

/// Most prompts of a request, and choices of a prompt.
const MOST: (usize, usize) = (32, 8);
/// Choices of each request of a storm.
const STORM_CHOICES: usize = 4;

/// One of them, and its name.
pub(crate) async fn any(ground: &Ground, dice: &mut Dice) -> (&'static str, Found) {
    match dice.throw(100) {
        0..25 => ("chat, streamed", chat(ground, dice, 1, true).await),
        25..37 => ("chat", chat(ground, dice, 1, false).await),
        37..42 => {
            let (choices, streamed) = (2 + dice.throw(MOST.1 - 1), dice.throw(2) == 0);
            ("chat with several choices", chat(ground, dice, choices, streamed).await)
        }
        42..48 => ("completion of a long prompt", long(ground, dice).await),
        48..53 => ("completions of several prompts", several(ground, dice).await),
        53..57 => ("completion of token ids, with logprobs", tokens(ground, dice).await),
        57..80 => ("known answer", known(ground, dice).await),
        80..83 => ("chat, read slowly", read_slowly(ground, dice).await),
        83..88 => ("/generate", generate(ground, dice).await),
        88..94 => ("/validate", validate(ground, dice).await),
        _ => ("/format", format(ground, dice).await),
    }
}

/// An answer's texts; none if the server is full.
async fn ask(
    ground: &Ground,
    path: &str,
    mut body: Value,
    asked: Asked,
    streamed: Option<Duration>,
) -> Result<Option<Vec<String>>, String> {
    body["model"] = ground.model.as_str().into();
    body["max_tokens"] = asked.max_tokens.into();
    if streamed.is_some() {
        body["stream"] = true.into();
        body["stream_options"] = json!({"include_usage": true});
    }
    let Some(response) = ground.accepted(path, &body).await? else { return Ok(None) };
    let texts = match streamed {
        Some(pause) => answers::stream(response, asked, pause).await,
        None => answers::whole(response, asked).await,
    };
    texts.map(Some)
}

/// Anything said once it is answered.
fn said<T>(answer: Option<T>) -> Outcome {
    match answer {
        Some(_) => Outcome::Answered,
        None => Outcome::Full,
    }
}

fn streamed(dice: &mut Dice) -> Option<Duration> {
    (dice.throw(2) == 0).then_some(Duration::ZERO)
}

async fn chat(ground: &Ground, dice: &mut Dice, choices: usize, streamed: bool) -> Found {
    let count = 3 + dice.throw(60);
    let content = words(dice, count);
    let body = json!({
        "messages": [{"role": "user", "content": content}], "n": choices,
        "temperature": 1.0, "top_p": 0.9,
    });
    let asked = Asked { choices, max_tokens: 1 + dice.throw(64) as u64 };
    let answer = ask(ground, CHAT, body, asked, streamed.then_some(Duration::ZERO)).await?;
    Ok(said(answer))
}

async fn long(ground: &Ground, dice: &mut Dice) -> Found {
    let count = 200 + dice.throw(1800);
    let body = json!({"prompt": words(dice, count)});
    let asked = Asked { choices: 1, max_tokens: 1 + dice.throw(16) as u64 };
    Ok(said(ask(ground, COMPLETIONS, body, asked, streamed(dice)).await?))
}

async fn several(ground: &Ground, dice: &mut Dice) -> Found {
    let (prompts, choices) = (1 + dice.throw(6), 1 + dice.throw(2));
    let prompts: Vec<String> = (0..prompts).map(|_| words(dice, 20)).collect();
    let asked = Asked { choices: choices * prompts.len(), max_tokens: 1 + dice.throw(24) as u64 };
    let body = json!({"prompt": prompts, "n": choices, "stop": ["zebra"]});
    Ok(said(ask(ground, COMPLETIONS, body, asked, streamed(dice)).await?))
}

async fn tokens(ground: &Ground, dice: &mut Dice) -> Found {
    let prompt: Vec<usize> = (0..50).map(|_| 100 + dice.throw(1000)).collect();
    let body = json!({"prompt": prompt, "logprobs": 1 + dice.throw(5), "min_p": 0.05});
    let asked = Asked { choices: 1, max_tokens: 1 + dice.throw(24) as u64 };
    Ok(said(ask(ground, COMPLETIONS, body, asked, streamed(dice)).await?))
}

/// A request whose answer does not depend on what else is computed, on `n`, or on how it is sent.
async fn known(ground: &Ground, dice: &mut Dice) -> Found {
    let Known { body, max_tokens, text } = dice.pick(&ground.known);
    let mut body = body.clone();
    let asked = Asked { choices: 1 + dice.throw(3), max_tokens: *max_tokens };
    body["n"] = asked.choices.into();
    let Some(texts) = ask(ground, CHAT, body, asked, streamed(dice)).await? else {
        return Ok(Outcome::Full);
    };
    match texts.first() == Some(text) {
        true => Ok(Outcome::Answered),
        false => Err(format!("{:?}, where {text:?} was expected", texts.first())),
    }
}

async fn read_slowly(ground: &Ground, dice: &mut Dice) -> Found {
    let body = json!({"messages": [{"role": "user", "content": words(dice, 12)}]});
    let asked = Asked { choices: 1, max_tokens: 60 };
    let pause = Duration::from_millis(50 + dice.throw(150) as u64);
    Ok(said(ask(ground, CHAT, body, asked, Some(pause)).await?))
}

fn rows(dice: &mut Dice) -> Vec<Value> {
    let count = 1 + dice.throw(150);
    (0..count).map(|id| json!({"id": id, "text": words(dice, 25)})).collect()
}

/// Rows, whole or as lines; now and then the client goes after the first of them.
async fn generate(ground: &Ground, dice: &mut Dice) -> Found {
    let (records, samples, streamed) = (1 + dice.throw(12), 1 + dice.throw(3), dice.throw(2) == 0);
    let records: Vec<Value> = (0..records).map(|_| json!({"topic": words(dice, 6)})).collect();
    let rows = records.len() * samples;
    let body = json!({
        "records": records, "samples_per_record": samples, "stream": streamed,
        "sampling": {"maxTokens": 1 + dice.throw(24), "seed": 3},
        "columns": [{"name": "text", "prompt": "On {{ topic }}:"}, {"name": "label", "value": "{{ text }}"}],
    });
    let Some(mut response) = ground.accepted("/generate", &body).await? else {
        return Ok(Outcome::Full);
    };
    if streamed && dice.throw(3) == 0 {
        response.chunk().await.map_err(|error| chain(&error))?;
        return Ok(Outcome::Left);
    }
    let text = response.text().await.map_err(|error| chain(&error))?;
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
    let (found, summary) = if streamed {
        let lines: Vec<Value> = text.lines().map(parse).collect::<Result<_, _>>()?;
        let found = lines.iter().filter(|line| line["row"].is_object()).count();
        (found, lines.last().map(|line| line["summary"].clone()).unwrap_or_default())
    } else {
        let answer = parse(&text)?;
        (answer["rows"].as_array().map_or(0, Vec::len), answer["summary"].clone())
    };
    match found == rows && summary["rows"]["accepted"] == rows {
        true => Ok(Outcome::Answered),
        false => Err(format!("{found} of {rows} rows, and {summary}")),
    }
}

async fn validate(ground: &Ground, dice: &mut Dice) -> Found {
    let rows = rows(dice);
    let metrics = ["distinct", "selfBleu", "wordCount", "pii", "compressionRatio"]
        .map(|name| json!({"metric": name, "column": "text"}));
    let body = json!({
        "rows": rows, "include_rows": dice.throw(2) == 0,
        "validation": {
            "metrics": metrics,
            "filters": [{"name": "long", "metric": "wordCount", "column": "text", "min": 2}],
            "gates": [{"metric": "acceptedRows", "min": 1}],
        },
    });
    let Some(response) = ground.accepted("/validate", &body).await? else {
        return Ok(Outcome::Full);
    };
    let report: Value = response.json().await.map_err(|error| chain(&error))?;
    let accepted = &report["rows"]["accepted"];
    match *accepted == rows.len() && report["passed"] == true {
        true => Ok(Outcome::Answered),
        false => Err(format!("{} rows, and {report}", rows.len())),
    }
}

async fn format(ground: &Ground, dice: &mut Dice) -> Found {
    let rows = rows(dice);
    let (format, begin) = *dice.pick(&[
        ("JSONL", "{\"id\":0,"),
        ("CSV", "id,text"),
        ("Markdown", "| id |"),
        ("Parquet", "PAR1"),
    ]);
    let body = json!({"rows": rows, "format": format});
    let Some(response) = ground.accepted("/format", &body).await? else { return Ok(Outcome::Full) };
    let table = response.bytes().await.map_err(|error| chain(&error))?;
    let lines = table.iter().filter(|byte| **byte == b'\n').count();
    match table.starts_with(begin.as_bytes()) && (format == "Parquet" || lines >= rows.len()) {
        true => Ok(Outcome::Answered),
        false => Err(format!("{format}: {}", String::from_utf8_lossy(&table))),
    }
}

/// How many requests ask for half as many completions again as the server takes.
pub(crate) fn storm_requests(ground: &Ground) -> usize {
    (ground.capacity * 3 / 2).div_ceil(STORM_CHOICES)
}

/// One request of a storm.
pub(crate) async fn storm(ground: &Ground, dice: &mut Dice) -> Found {
    let streamed = dice.throw(2) == 0;
    chat(ground, dice, STORM_CHOICES, streamed).await
}

/// Asks for as many completions at once as the server takes: if one place was lost, it refuses them.
pub(crate) async fn all_places(ground: &Ground) -> Found {
    let fits = |choices: &usize| {
        ground.capacity.is_multiple_of(*choices) && ground.capacity / choices <= MOST.0
    };
    let Some(choices) = (1..=MOST.1).find(fits) else { return Ok(Outcome::Answered) };
    let prompts = vec!["Once upon a time"; ground.capacity / choices];
    let asked = Asked { choices: ground.capacity, max_tokens: 2 };
    let body = json!({"prompt": prompts, "n": choices});
    match ask(ground, COMPLETIONS, body, asked, None).await? {
        Some(_) => Ok(Outcome::Answered),
        None => Err(format!("a quiet server does not take {} completions", ground.capacity)),
    }
}
