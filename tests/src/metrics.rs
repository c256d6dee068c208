//! Figures out of a `/metrics`. No I/O.

/// One sample of a metric.
#[derive(Clone, Debug, PartialEq)]
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

fn samples(text: &str) -> impl Iterator<Item = Sample<'_>> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        Some(Sample { name, labels: labels.trim_end_matches('}'), value: value.parse().ok()? })
    })
}

/// A label's value; our label values hold no quotes.
fn label<'a>(labels: &'a str, key: &str) -> Option<&'a str> {
    let prefix = format!("{key}=\"");
    labels.split(',').find_map(|pair| pair.strip_prefix(prefix.as_str())?.strip_suffix('"'))
}

/// The sum of a metric over all its series; none if there is no such metric.
pub fn total(text: &str, name: &str) -> Option<f64> {
    samples(text)
        .filter(|sample| sample.name == name)
        .map(|sample| sample.value)
        .reduce(|a, b| a + b)
}

/// The sum of a metric over the series that have a label value.
pub fn sum(text: &str, name: &str, key: &str, value: &str) -> f64 {
    let ours =
        |sample: &Sample<'_>| sample.name == name && label(sample.labels, key) == Some(value);
    samples(text).filter(ours).map(|sample| sample.value).sum()
}

/// A histogram: how many observations are at most as large as each bound, in the order of the bounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram(Vec<(f64, f64)>);

impl Histogram {
    /// The histogram `name` of the series that have a label value.
    pub fn read(text: &str, name: &str, key: &str, value: &str) -> Self {
        let bucket = format!("{name}_bucket");
        let mut buckets: Vec<(f64, f64)> = samples(text)
            .filter(|sample| sample.name == bucket && label(sample.labels, key) == Some(value))
            .filter_map(|sample| {
                let bound = match label(sample.labels, "le")? {
                    "+Inf" => f64::INFINITY,
                    bound => bound.parse().ok()?,
                };
                Some((bound, sample.value))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Self(buckets)
    }

    /// What was observed since an earlier reading.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bound: f64| {
            earlier.0.iter().find(|(other, _)| *other == bound).map_or(0.0, |found| found.1)
        };
        Self(self.0.iter().map(|&(bound, count)| (bound, count - before(bound))).collect())
    }

    /// A quantile as Prometheus computes it: by linear interpolation in its bucket; none without observations.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let total = self.0.last()?.1;
        if total <= 0.0 {
            return None;
        }
        let rank = q * total;
        let (mut lower, mut below) = (0.0, 0.0);
        for &(bound, count) in &self.0 {
            if count >= rank {
                // Nothing is known of what lies above the last bound.
                let known = bound.is_finite() && count > below;
                return Some(if known {
                    lower + (bound - lower) * (rank - below) / (count - below)
                } else {
                    lower
                });
            }
            (lower, below) = (bound, count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP x_reconciles Reconciliations.\n\
        x_reconciles_total{controller=\"a\"} 10\n\
        x_reconciles_total{controller=\"b\"} 3\n\
        x_seconds_bucket{le=\"0.1\",controller=\"a\"} 50\n\
        x_seconds_bucket{le=\"0.2\",controller=\"a\"} 90\n\
        x_seconds_bucket{le=\"+Inf\",controller=\"a\"} 100\n\
        x_seconds_bucket{le=\"+Inf\",controller=\"b\"} 7\n\
        # EOF\n";

    #[test]
    fn one_controller_is_told_from_another() {
        assert_eq!(sum(TEXT, "x_reconciles_total", "controller", "a"), 10.0);
        assert_eq!(sum(TEXT, "x_reconciles_total", "controller", "c"), 0.0);
        assert_eq!(total(TEXT, "x_reconciles_total"), Some(13.0));
        assert_eq!(total(TEXT, "y_total"), None);
    }

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let found = Histogram::read(TEXT, "x_seconds", "controller", "a");
        assert_eq!(found.quantile(0.25), Some(0.05));
        assert_eq!(found.quantile(0.5), Some(0.1));
        assert!((found.quantile(0.7).expect("observations") - 0.15).abs() < 1e-12);
        assert_eq!(found.quantile(0.99), Some(0.2));
        assert_eq!(found.since(&found).quantile(0.5), None);
        assert_eq!(Histogram::default().quantile(0.5), None);
    }
}
