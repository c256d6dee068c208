//! Waiting for what a cluster does in its own time.

use std::time::{Duration, Instant};

/// Seconds after which a test gives up on something that should happen; slow machines are no failure.
const PATIENCE: Duration = Duration::from_secs(240);

/// How often it asks. A question costs a process of kubectl, on the processors that the cluster computes on.
const PAUSE: Duration = Duration::from_millis(700);

/// Asks again and again until there is an answer. The question returns `Err(what is there instead)`.
#[track_caller]
pub fn eventually<T>(what: &str, mut question: impl FnMut() -> Result<T, String>) -> T {
    let mut instead = String::new();
    let ask = || question().map_err(|found| instead = found).ok();
    match ask_until(ask) {
        Some(answer) => answer,
        None => late(what, &instead),
    }
}

/// As [`eventually`], for a picture that is dear: it is taken once, at the end of the patience.
#[track_caller]
pub fn eventually_or<T>(
    what: &str,
    question: impl FnMut() -> Option<T>,
    picture: impl FnOnce() -> String,
) -> T {
    match ask_until(question) {
        Some(answer) => answer,
        None => late(what, &picture()),
    }
}

fn ask_until<T>(mut question: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        if let Some(answer) = question() {
            return Some(answer);
        }
        if begun.elapsed() > PATIENCE {
            return None;
        }
        std::thread::sleep(PAUSE);
    }
}

#[track_caller]
fn late(what: &str, instead: &str) -> ! {
    panic!("{what}: not within {} s; instead:\n{instead}", PATIENCE.as_secs())
}
