//! `README.md` of a dataset: the card that hubs read, with the YAML header that they index.

use std::fmt::Write;

use crate::display;
use crate::format::Format;
use crate::manifest::Manifest;

/// A line of the card's table of scores.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Metric, such as `rougeL`.
    pub metric: String,
    /// The column that was scored.
    pub column: Option<String>,
    /// The value.
    pub value: f64,
    /// Whether it passed its gate, if it has one.
    pub passed: Option<bool>,
}

/// The card's text.
///
/// `title` is the job's name; `manifest` gives counts, digests and models; the first of `formats`
/// that hubs load becomes the `data_files`. The licence is left to the user: nobody else knows it.
pub fn render(title: &str, manifest: &Manifest, formats: &[Format], scores: &[Score]) -> String {
    let mut card = String::new();
    // Writing to a String cannot fail.
    let _ = header(&mut card, title, manifest, formats);
    let _ = body(&mut card, title, manifest);
    let _ = score_table(&mut card, scores);
    let _ = reproduce(&mut card, manifest);
    card
}

fn header(
    card: &mut String,
    title: &str,
    manifest: &Manifest,
    formats: &[Format],
) -> std::fmt::Result {
    writeln!(card, "---")?;
    writeln!(card, "pretty_name: {}", quote(title))?;
    writeln!(card, "tags:\n- synthetic\n- textnlp")?;
    writeln!(card, "task_categories:\n- text-generation")?;
    writeln!(card, "size_categories:\n- {}", size_category(manifest.rows.accepted))?;
    let loaded = [Format::Parquet, Format::Jsonl, Format::Csv]
        .into_iter()
        .find(|format| formats.contains(format));
    if let Some(format) = loaded {
        writeln!(
            card,
            "configs:\n- config_name: default\n  data_files: dataset.{}",
            format.extension()
        )?;
    }
    writeln!(card, "---\n")
}

fn body(card: &mut String, title: &str, manifest: &Manifest) -> std::fmt::Result {
    let rows = &manifest.rows;
    writeln!(card, "# {}\n", display::markdown(title))?;
    writeln!(card, "Synthetic text, made by a language model with TextNLP.\n")?;
    writeln!(card, "| rows | |\n| --- | ---: |")?;
    for (name, count) in [
        ("requested", rows.requested),
        ("accepted, in this dataset", rows.accepted),
        ("rejected by a filter", rows.rejected),
        ("failed", rows.failed),
    ] {
        writeln!(card, "| {name} | {count} |")?;
    }
    writeln!(card, "\nMade from {} source records.\n", manifest.source.records)?;
    writeln!(card, "| columns | model | numerics | model digest |\n| --- | --- | --- | --- |")?;
    for (column, model) in &manifest.models {
        let [column, name, numerics, digest] =
            [column, &model.name, &model.numerics, &model.digest]
                .map(|text| display::markdown(text));
        writeln!(card, "| {column} | {name} | {numerics} | {digest} |")?;
    }
    Ok(())
}

fn score_table(card: &mut String, scores: &[Score]) -> std::fmt::Result {
    if scores.is_empty() {
        return Ok(());
    }
    writeln!(
        card,
        "\n## Scores\n\n| metric | column | value | gate |\n| --- | --- | ---: | --- |"
    )?;
    for score in scores {
        let column = score.column.as_deref().map(display::markdown).unwrap_or_default();
        let gate = match score.passed {
            Some(true) => "passed",
            Some(false) => "**failed**",
            None => "",
        };
        writeln!(
            card,
            "| {} | {column} | {:.4} | {gate} |",
            display::markdown(&score.metric),
            score.value
        )?;
    }
    Ok(())
}

fn reproduce(card: &mut String, manifest: &Manifest) -> std::fmt::Result {
    writeln!(card, "\n## How to make it again\n")?;
    writeln!(
        card,
        "`manifest.json` holds the whole job. The same job, source and model give the same dataset digest:\n"
    )?;
    let version = manifest.versions.get("textnlp").map_or("", String::as_str);
    for (name, value) in [
        ("dataset digest", manifest.digest.as_str()),
        ("source digest", &manifest.source.digest),
        ("generation hash", &manifest.generation_hash),
        ("textnlp", version),
    ] {
        if !value.is_empty() {
            writeln!(card, "- {name}: {}", display::markdown(value))?;
        }
    }
    writeln!(card, "- seed: {}", manifest.seed)
}

/// A double-quoted YAML scalar: JSON's escapes are YAML's too.
fn quote(text: &str) -> String {
    let escaped: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    serde_json::Value::String(escaped).to_string()
}

/// The classes of size that Hugging Face's hub knows.
fn size_category(rows: u64) -> &'static str {
    match rows {
        0..1_000 => "n<1K",
        1_000..10_000 => "1K<n<10K",
        10_000..100_000 => "10K<n<100K",
        100_000..1_000_000 => "100K<n<1M",
        1_000_000..10_000_000 => "1M<n<10M",
        10_000_000..100_000_000 => "10M<n<100M",
        100_000_000..1_000_000_000 => "100M<n<1B",
        _ => "n>1B",
    }
}
