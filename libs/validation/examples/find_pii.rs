//! Finds personal data for `tests/goldens/compare_pii.py`: each line of standard input is a text as a JSON string; out goes a list of
//! [kind, start, end] for each, in characters.

use std::io::{BufRead, Write};

use serde_json::json;
use textnlp_validation::pii::{Kind, find};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kinds = Kind::ALL.map(|(_, kind)| kind);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        let characters =
            |bytes: usize| text.get(..bytes).map_or(0, |before| before.chars().count());
        let found: Vec<_> = find(&text, &kinds)
            .into_iter()
            .map(|entity| {
                json!([
                    entity.kind.name(),
                    characters(entity.range.start),
                    characters(entity.range.end)
                ])
            })
            .collect();
        writeln!(out, "{}", json!(found))?;
    }
    Ok(())
}
