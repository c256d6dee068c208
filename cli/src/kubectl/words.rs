//! Figures, times and aligned fields for people. No I/O.

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use textnlp_dataset::display;

/// Lines of a name and a value, the values below each other.
#[derive(Default)]
pub(crate) struct Fields(Vec<(&'static str, String)>);

impl Fields {
    /// Adds a line. Nothing in the value acts on the terminal, or begins another line.
    pub(crate) fn add(&mut self, name: &'static str, value: impl AsRef<str>) {
        self.0.push((name, display::line(value.as_ref())));
    }

    /// Adds a line if there is a value.
    pub(crate) fn add_some(&mut self, name: &'static str, value: Option<impl AsRef<str>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// The lines, indented.
    pub(crate) fn text(&self) -> String {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        self.0.iter().map(|(name, value)| format!("  {name:<width$}  {value}\n")).collect()
    }
}

/// Time since an event, in kubectl's short form: `48s`, `5m`, `3h`, `2d`.
pub(crate) fn age(since: Option<&Time>, now: Timestamp) -> String {
    let Some(since) = since else { return "?".into() };
    let seconds = elapsed(since.0, now).as_secs();
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Time between two moments; none is negative.
pub(crate) fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(to.duration_since(from).as_secs()).unwrap_or(0))
}

/// A moment, to the second, in UTC.
pub(crate) fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// Bytes: `912 B`, `1.2 MiB`.
pub(crate) fn bytes(count: i64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A large number: `135M`, `7.2B`.
pub(crate) fn count(number: i64) -> String {
    match number {
        ..1_000 => number.to_string(),
        1_000..1_000_000 => format!("{:.1}K", number as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0}M", number as f64 / 1e6),
        _ => format!("{:.1}B", number as f64 / 1e9),
    }
}

/// A bar of this many characters.
pub(crate) fn bar(percent: i32, width: usize) -> String {
    let percent = usize::try_from(percent.clamp(0, 100)).unwrap_or(0);
    let full = percent * width / 100;
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let age_of = |seconds| age(Some(&Time(at(0))), at(seconds));
        assert_eq!([0, 119, 120, 7_200, 172_800].map(age_of), ["0s", "119s", "2m", "2h", "2d"]);
        assert_eq!(age(Some(&Time(at(100))), at(0)), "0s", "clocks differ");
        assert_eq!([0, 1023, 1024, 1_258_291].map(bytes), ["0 B", "1023 B", "1.0 KiB", "1.2 MiB"]);
        assert_eq!(bytes(i64::MAX), "8192.0 PiB");
        assert_eq!([999, 134_515_008, 7_200_000_000].map(count), ["999", "135M", "7.2B"]);
        assert_eq!(
            [-5, 0, 50, 250].map(|percent| bar(percent, 4)),
            ["░░░░", "░░░░", "██░░", "████"]
        );
    }

    #[test]
    fn a_value_stays_on_its_line() {
        let mut fields = Fields::default();
        fields.add("model", "a\nb\u{1b}[2J");
        fields.add("url", "http://x");
        assert_eq!(fields.text(), "  model  a\\nb\\u{1b}[2J\n  url    http://x\n");
    }
}
