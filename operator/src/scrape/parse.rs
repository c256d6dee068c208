//! The text format of Prometheus and OpenMetrics, as far as counters and gauges need it. Lines that are none are passed over. No I/O.

use std::collections::BTreeSet;

/// One line of metrics.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels, in the order of the line.
    pub labels: Vec<(String, String)>,
    /// Its value.
    pub value: f64,
}

/// What a pod answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples(pub Vec<Sample>);

impl Samples {
    /// The sum of a metric over all its labels; none if the pod does not have it.
    pub fn sum(&self, name: &str) -> Option<f64> {
        self.sum_where(name, |_| true)
    }

    /// The sum of a metric over the lines whose labels pass.
    pub fn sum_where(&self, name: &str, passes: impl Fn(&Sample) -> bool) -> Option<f64> {
        let mut samples =
            self.0.iter().filter(|sample| sample.name == name && passes(sample)).peekable();
        samples.peek()?;
        Some(samples.map(|sample| sample.value).sum())
    }

    /// The values that a label has.
    pub fn values_of(&self, label: &str) -> BTreeSet<&str> {
        self.0.iter().filter_map(|sample| sample.label(label)).collect()
    }
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Reads an answer.
pub fn parse(text: &str) -> Samples {
    Samples(text.lines().filter_map(sample).collect())
}

fn sample(line: &str) -> Option<Sample> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    // A timestamp or an exemplar may follow.
    let value: f64 = rest.split_whitespace().next()?.parse().ok()?;
    value.is_finite().then(|| Sample { name: name.into(), labels, value })
}

/// Labels after the opening brace, and what follows the closing one.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, value) = rest.split_once('=')?;
        let (value, after) = quoted(value.trim_start().strip_prefix('"')?)?;
        labels.push((name.trim().to_owned(), value));
        rest = after;
    }
}

/// A label's value after the opening quote, and what follows the closing one.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[index + 1..])),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_their_labels() {
        let samples = parse(concat!(
            "# HELP a help\n# TYPE a counter\n",
            "a_total{x=\"1\",y=\"a \\\"b\\\" }\\n\"} 2 1700000000\n",
            "a_total{x=\"2\"} 3.5 # {trace=\"t\"} 1\n",
            "g 7\n\nbad line\n{} 1\nopen{x=\"1 5\nn NaN\n",
        ));
        assert_eq!(samples.sum("a_total"), Some(5.5));
        assert_eq!(
            samples.sum_where("a_total", |sample| sample.label("x") == Some("2")),
            Some(3.5)
        );
        assert_eq!(samples.sum("g"), Some(7.0));
        assert_eq!(samples.sum("n"), None);
        assert_eq!(samples.sum("missing"), None);
        assert_eq!(samples.0[0].label("y"), Some("a \"b\" }\n"));
        assert_eq!(samples.values_of("x").into_iter().collect::<Vec<_>>(), ["1", "2"]);
    }
}
