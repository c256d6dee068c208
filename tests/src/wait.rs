//! Waiting for what a cluster does in its own time.

use std::time::{Duration, Instant};

/// Seconds after which a test gives up on something that should happen; slow machines are no failure.
const PATIENCE: Duration = Duration::from_secs(240);

/// Asks again and again until there is an answer. The question returns `Err(what is there instead)`.
#[track_caller]
pub fn eventually<T>(what: &str, question: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE, what, question)
}

/// As [`eventually`], with a patience of its own.
#[track_caller]
pub fn eventually_within<T>(
    patience: Duration,
    what: &str,
    mut question: impl FnMut() -> Result<T, String>,
) -> T {
    let begun = Instant::now();
    loop {
        match question() {
            Ok(answer) => return answer,
            Err(found) if begun.elapsed() > patience => {
                panic!("{what}: not within {} s; instead:\n{found}", patience.as_secs())
            }
            Err(_) => std::thread::sleep(Duration::from_millis(400)),
        }
    }
}
