//! `report.html`: one file with its style and plots in it, that needs no network and no script.

use std::fmt::Write;

use textnlp_dataset::display::html as escape;

use super::{NamedDistribution, Report, Score, number, plot};

const STYLE: &str = include_str!("report.css");

impl Report {
    /// The report as a page.
    pub fn to_html(&self, name: &str) -> String {
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
             <title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n",
            escape(name)
        );
        let parts = [
            self.html_head(name),
            self.html_rows(),
            self.html_scores(),
            self.html_distributions(),
            self.html_samples(),
            self.html_signatures(),
        ];
        parts.iter().for_each(|part| page.push_str(part));
        page.push_str("</main>\n</body>\n</html>\n");
        page
    }

    fn html_head(&self, name: &str) -> String {
        let (class, verdict) = if self.passed { ("", "Passed") } else { (" bad", "Not passed") };
        let mut facts = Vec::new();
        if let Some(model) = &self.model {
            facts.push(format!(
                "Model {} in <code>{}</code>, digest <code>{}</code>",
                escape(&model.name),
                escape(&model.numerics),
                escape(&model.digest)
            ));
        }
        if !self.digest.is_empty() {
            facts.push(format!("Dataset digest <code>{}</code>", escape(&self.digest)));
        }
        if self.output != super::OutputReport::default() {
            let formats = self.output.formats.join(", ");
            facts.push(format!(
                "In <code>{}</code> as {}",
                escape(&self.output.directory),
                escape(&formats)
            ));
        }
        format!(
            "<header><h1>{}</h1><span class=\"verdict{class}\">{verdict}</span></header>\n<p class=\"facts\">{}</p>\n",
            escape(name),
            facts.join("<br>")
        )
    }

    fn html_rows(&self) -> String {
        let rows = &self.rows;
        let tile = |what: &str, count: u64| {
            format!("<div class=\"card\"><b>{}</b><span>{what}</span></div>", grouped(count))
        };
        let mut html = format!(
            "<section class=\"tiles\">{}{}{}{}</section>\n",
            tile("rows requested", rows.requested),
            tile("accepted", rows.accepted),
            tile("rejected", rows.rejected),
            tile("failed", rows.failed)
        );
        let mut parts = vec![("accepted", "accepted".to_owned(), rows.accepted)];
        let rejected = |r: &super::Rejection| format!("rejected by {}", escape(&r.filter));
        parts.extend(self.rejections.iter().map(|r| ("rejected", rejected(r), r.rows)));
        let failed = |f: &super::Failures| format!("failed at {}", escape(&f.stage));
        parts.extend(self.failures.iter().map(|f| ("failed-rows", failed(f), f.rows)));
        let _ = writeln!(html, "<div class=\"bar-of-rows\">{}</div>", plot::parts(&parts));
        let lost = self.rejections.iter().any(|r| r.rows > 0) || !self.failures.is_empty();
        if lost {
            html.push_str("<h2>Rows that are not in the dataset</h2>\n<div class=\"card scroll\"><table><tr><th>why</th><th>rows</th><th>first</th></tr>\n");
            for rejection in self.rejections.iter().filter(|r| r.rows > 0) {
                let _ = writeln!(
                    html,
                    "<tr><td>{}</td><td class=\"number\">{}</td><td></td></tr>",
                    rejected(rejection),
                    grouped(rejection.rows)
                );
            }
            for failures in &self.failures {
                let _ = writeln!(
                    html,
                    "<tr><td>{}</td><td class=\"number\">{}</td><td>{}</td></tr>",
                    failed(failures),
                    grouped(failures.rows),
                    escape(&failures.first)
                );
            }
            html.push_str("</table></div>\n");
        }
        html
    }

    fn html_scores(&self) -> String {
        if self.scores.is_empty() {
            return String::new();
        }
        let mut html = "<h2>Scores</h2>\n<div class=\"card scroll\"><table><tr><th>metric</th><th>column</th><th>value</th><th></th><th>gate</th><th></th></tr>\n".to_owned();
        for score in &self.scores {
            let Score { metric, column, .. } = score;
            let (gate, passed) = score.gate_cells();
            let _ = writeln!(
                html,
                "<tr><td>{}</td><td>{}</td><td class=\"number\">{}</td><td>{}</td><td>{}</td><td class=\"{passed}\">{passed}</td></tr>",
                escape(metric),
                escape(column.as_deref().unwrap_or("")),
                escape(&score.value_cell()),
                plot::score(score),
                escape(&gate),
            );
        }
        html.push_str("</table></div>\n");
        html
    }

    fn html_distributions(&self) -> String {
        if self.distributions.is_empty() {
            return String::new();
        }
        let mut html =
            "<h2>Distributions of the row values</h2>\n<div class=\"plots\">\n".to_owned();
        for NamedDistribution { metric, column, distribution: d } in &self.distributions {
            let figures = [
                ("mean", d.mean),
                ("min", d.min),
                ("p05", d.p05),
                ("p50", d.p50),
                ("p95", d.p95),
                ("max", d.max),
            ]
            .map(|(name, value)| format!("{name} {}", number(value)));
            let _ = writeln!(
                html,
                "<div class=\"card\"><h3>{} <span>{}</span></h3>{}<p>{}</p></div>",
                escape(metric),
                escape(column.as_deref().unwrap_or("")),
                plot::histogram(d),
                figures.join(" · ")
            );
        }
        html.push_str("</div>\n");
        html
    }

    fn html_samples(&self) -> String {
        if self.samples.is_empty() {
            return String::new();
        }
        let mut html = "<h2>The first rows</h2>\n<div class=\"samples\">\n".to_owned();
        for sample in &self.samples {
            html.push_str("<dl class=\"card\">");
            for (field, value) in sample {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let _ = write!(html, "<dt>{}</dt><dd>{}</dd>", escape(field), escape(&text));
            }
            html.push_str("</dl>\n");
        }
        html.push_str("</div>\n");
        html
    }

    fn html_signatures(&self) -> String {
        let mut html = String::new();
        if !self.scores.is_empty() {
            html.push_str("<h2>What was measured exactly</h2>\n<ul class=\"card\" style=\"padding-left: 34px\">\n");
            for score in &self.scores {
                let _ = writeln!(html, "<li><code>{}</code></li>", escape(&score.signature));
            }
            html.push_str("</ul>\n");
        }
        let mut foot = vec![format!("{} records", grouped(self.records))];
        let usage = &self.usage.total;
        if *usage != super::Usage::default() {
            foot.push(format!("{} prompt tokens", grouped(usage.prompt_tokens)));
            foot.push(format!("{} completion tokens", grouped(usage.completion_tokens)));
            foot.push(format!("{} requests", grouped(usage.requests)));
        }
        foot.extend(self.usage.cost_line().map(|cost| escape(&cost)));
        foot.push(format!("{} s", number(self.seconds)));
        let _ = writeln!(html, "<footer>{}</footer>", foot.join(" · "));
        html
    }
}

/// A count with its digits in groups of three.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push('\u{2009}'); // a thin space
        }
        grouped.push(digit);
    }
    grouped
}
