//! Plots of a report, as SVG that takes its colours from the page.

use std::fmt::Write;

use textnlp_validation::Distribution;

use super::{GateReport, Score, number};

/// Width and height of a histogram, in its own units.
const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 110.0;

/// Space below the bars for the numbers.
const AXIS: f64 = 16.0;

/// The row values of a metric in bins, with their median and the range from the 5th to the 95th percentile.
pub(super) fn histogram(distribution: &Distribution) -> String {
    let Distribution { p05, p50, p95, histogram, .. } = distribution;
    let most = histogram.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
    let bins = histogram.counts.len().max(1);
    let (from, to) = (histogram.edge(0), histogram.edge(bins));
    let bottom = HEIGHT - AXIS;
    let mut svg = open(WIDTH, HEIGHT, "Histogram of the row values");
    // A bin alone would fill the plot.
    let width = WIDTH / bins.max(8) as f64;
    let indent = (WIDTH - width * bins as f64) / 2.0;
    // A bin for each whole number: the number stands in the middle of its bar.
    let shift = if histogram.step == 1.0 { 0.5 } else { 0.0 };
    let place = |value: f64| {
        let share = if to > from { (value + shift - from) / (to - from) } else { 0.5 };
        indent + share.clamp(0.0, 1.0) * (WIDTH - 2.0 * indent)
    };
    let (low, high) = (place(*p05), place(*p95));
    let wide = (high - low).max(1.0);
    let _ = write!(
        svg,
        r#"<rect class="range" x="{low:.1}" y="0" width="{wide:.1}" height="{bottom}"><title>5th to 95th percentile: {} to {}</title></rect>"#,
        number(*p05),
        number(*p95)
    );
    for (index, count) in histogram.counts.iter().enumerate() {
        if *count == 0 {
            continue;
        }
        // A row that is alone must be seen.
        let height = (*count as f64 / most * (bottom - 4.0)).max(1.0);
        let (start, end) = (number(histogram.edge(index)), number(histogram.edge(index + 1)));
        let alone = histogram.step == 0.0 || histogram.step == 1.0;
        let label = if alone { start } else { format!("{start} to {end}") };
        let _ = write!(
            svg,
            r#"<rect class="bar" x="{:.1}" y="{:.1}" width="{:.1}" height="{height:.1}"><title>{label}: {count} rows</title></rect>"#,
            indent + index as f64 * width + 0.5,
            bottom - height,
            (width - 1.0).max(0.5),
        );
    }
    let median = place(*p50);
    let _ = write!(
        svg,
        r#"<line class="median" x1="{median:.1}" x2="{median:.1}" y1="0" y2="{bottom}"><title>median: {}</title></line>"#,
        number(*p50)
    );
    let _ = write!(svg, r#"<line class="axis" x1="0" x2="{WIDTH}" y1="{bottom}" y2="{bottom}"/>"#);
    let below = HEIGHT - 3.0;
    let (first, last) = (number(from), number(if shift > 0.0 { to - 1.0 } else { to }));
    if histogram.step == 0.0 {
        let _ = write!(
            svg,
            r#"<text x="{}" y="{below}" text-anchor="middle">{first}</text>"#,
            WIDTH / 2.0
        );
    } else {
        let _ = write!(
            svg,
            r#"<text x="{indent:.1}" y="{below}">{first}</text><text x="{:.1}" y="{below}" text-anchor="end">{last}</text>"#,
            WIDTH - indent
        );
    }
    svg.push_str("</svg>");
    svg
}

/// A score beside its gate's range, and its confidence interval; nothing where there is neither.
pub(super) fn score(score: &Score) -> String {
    const WIDTH: f64 = 180.0;
    const MIDDLE: f64 = 9.0;
    let Some(value) = score.value else { return String::new() };
    let gate = score.gate.as_ref();
    let (min, max) = (gate.and_then(|gate| gate.min), gate.and_then(|gate| gate.max));
    let ends = [Some(value), min, max, score.ci.map(|ci| ci.low), score.ci.map(|ci| ci.high)];
    let known = || ends.iter().copied().flatten();
    let (least, most) =
        (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    if most <= least {
        return String::new();
    }
    // The farthest of what is shown stands a tenth from the edge.
    let margin = (most - least) * 0.125;
    let (from, to) = (least - margin, most + margin);
    let place = |at: f64| (at - from) / (to - from) * WIDTH;
    let mut svg = open(WIDTH, 2.0 * MIDDLE, "The score, its gate and its interval");
    if let Some(GateReport { passed, .. }) = gate {
        let (start, end) = (min.map_or(0.0, place), max.map_or(WIDTH, place));
        let class = if *passed { "allowed" } else { "allowed failed" };
        let _ = write!(
            svg,
            r#"<rect class="{class}" x="{start:.1}" y="2" width="{:.1}" height="14" rx="3"/>"#,
            (end - start).max(1.0)
        );
    }
    let _ = write!(svg, r#"<line class="axis" x1="0" x2="{WIDTH}" y1="{MIDDLE}" y2="{MIDDLE}"/>"#);
    if let Some(ci) = score.ci {
        let (low, high) = (place(ci.low), place(ci.high));
        let _ = write!(
            svg,
            r#"<line class="interval" x1="{low:.1}" x2="{high:.1}" y1="{MIDDLE}" y2="{MIDDLE}"/>"#
        );
    }
    let _ = write!(
        svg,
        r#"<circle class="value" cx="{:.1}" cy="{MIDDLE}" r="4"/></svg>"#,
        place(value)
    );
    svg
}

/// Parts of a whole as one bar: class, name and size of each.
pub(super) fn parts(parts: &[(&str, String, u64)]) -> String {
    const WIDTH: f64 = 1000.0;
    let all = parts.iter().fold(0_u64, |sum, (_, _, rows)| sum.saturating_add(*rows));
    let mut svg = open(WIDTH, 24.0, "What became of the rows");
    svg = svg.replace("<svg ", r#"<svg preserveAspectRatio="none" "#);
    let mut at = 0.0;
    for (class, name, rows) in parts.iter().filter(|(_, _, rows)| *rows > 0) {
        let width = *rows as f64 / all.max(1) as f64 * WIDTH;
        let _ = write!(
            svg,
            r#"<rect class="{class}" x="{at:.1}" y="0" width="{width:.1}" height="24"><title>{name}: {rows} rows</title></rect>"#
        );
        at += width;
    }
    svg.push_str("</svg>");
    svg
}

fn open(width: f64, height: f64, label: &str) -> String {
    format!(r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">"#)
}
