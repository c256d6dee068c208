//! What a run shows on stderr while it runs: a bar on a terminal, a line every few seconds elsewhere.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use textnlp_generation::Progress;
use tokio::task::JoinHandle;

/// How often a bar is redrawn.
const REDRAW: Duration = Duration::from_millis(100);
/// How often a line is written where there is no terminal.
const LINE: Duration = Duration::from_secs(5);

/// Shows progress until dropped.
pub(crate) struct Shown {
    task: JoinHandle<()>,
    bar: Option<ProgressBar>,
}

/// Begins to show the progress of a run.
pub(crate) fn show(progress: Arc<Progress>) -> Shown {
    if std::io::stderr().is_terminal() {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        // NO_COLOR needs no branch: the style has no colours.
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} rows  {msg}") {
            bar.set_style(style);
        }
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            let begun = Instant::now();
            loop {
                let state = State::of(&progress, begun.elapsed());
                bar.set_length(state.rows);
                bar.set_position(state.done);
                bar.set_message(state.message());
                tokio::time::sleep(REDRAW).await;
            }
        });
        return Shown { task, bar: Some(shown) };
    }
    let task = tokio::spawn(async move {
        let begun = Instant::now();
        loop {
            tokio::time::sleep(LINE).await;
            let state = State::of(&progress, begun.elapsed());
            if state.rows > 0 {
                crate::note(&format!("{}/{} rows  {}", state.done, state.rows, state.message()));
            }
        }
    });
    Shown { task, bar: None }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Figures at one moment.
struct State {
    rows: u64,
    done: u64,
    failed: u64,
    tokens_per_second: f64,
    left: Option<Duration>,
}

impl State {
    fn of(progress: &Progress, elapsed: Duration) -> Self {
        let rows = Progress::get(&progress.rows);
        let finished = Progress::get(&progress.finished);
        let done = finished + Progress::get(&progress.kept);
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let left = (finished > 0 && rows >= done)
            .then(|| Duration::from_secs_f64(seconds / finished as f64 * (rows - done) as f64));
        Self {
            rows,
            done,
            failed: Progress::get(&progress.failed),
            tokens_per_second: Progress::get(&progress.completion_tokens) as f64 / seconds,
            left,
        }
    }

    fn message(&self) -> String {
        let mut text = format!("{:.0} tokens/s", self.tokens_per_second);
        if let Some(left) = self.left {
            text.push_str(&format!("  {} left", duration(left)));
        }
        if self.failed > 0 {
            text.push_str(&format!("  {} failed", self.failed));
        }
        text
    }
}

/// A duration for people: `48 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let check =
            |seconds, expect: &str| assert_eq!(duration(Duration::from_secs(seconds)), expect);
        check(0, "0 s");
        check(200, "3 min 20 s");
        check(7500, "2 h 5 min");
    }
}
