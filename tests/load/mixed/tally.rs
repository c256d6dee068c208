//! What became of requests, and what should not have. No I/O but what is told at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Violations that are told in full; more of them say nothing new.
const TOLD: u64 = 30;

/// What became of a request that was treated as it should be.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Outcome {
    /// Answered in full.
    Answered,
    /// Refused with 429, because the server takes no more.
    Full,
    /// Refused for what is wrong with it.
    Refused,
    /// Its client went.
    Left,
}

impl Outcome {
    const ALL: [Self; 4] = [Self::Answered, Self::Full, Self::Refused, Self::Left];

    fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Full => "full",
            Self::Refused => "refused",
            Self::Left => "left",
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    outcomes: BTreeMap<&'static str, BTreeMap<Outcome, u64>>,
    violations: u64,
}

/// Counts of everything.
#[derive(Debug)]
pub(crate) struct Tally {
    begun: Instant,
    counts: Mutex<Counts>,
}

impl Tally {
    /// Nothing has happened.
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), counts: Mutex::default() }
    }

    /// Counts are whole whatever panicked beside them.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what became of a request; an error is a violation.
    pub(crate) fn check(&self, name: &'static str, found: Result<Outcome, String>) {
        match found {
            Ok(outcome) => {
                let mut counts = self.counts();
                *counts.outcomes.entry(name).or_default().entry(outcome).or_default() += 1;
            }
            Err(error) => self.violation(name, &error),
        }
    }

    /// Counts and tells what must not be.
    pub(crate) fn violation(&self, name: &str, error: &str) {
        let mut counts = self.counts();
        counts.violations += 1;
        if counts.violations <= TOLD {
            let error: String = error.chars().take(600).collect();
            eprintln!("VIOLATION after {:.1} s, {name}: {error}", self.seconds());
        }
    }

    /// Seconds since the beginning.
    pub(crate) fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    /// How many violations there are.
    pub(crate) fn violations(&self) -> u64 {
        self.counts().violations
    }

    /// Everything in a few words.
    pub(crate) fn line(&self) -> String {
        let counts = self.counts();
        let sum = |outcome| -> u64 {
            counts.outcomes.values().filter_map(|found| found.get(&outcome)).sum()
        };
        let words = Outcome::ALL.map(|outcome| format!("{} {}", sum(outcome), outcome.as_str()));
        format!("{}, {} violations", words.join(", "), counts.violations)
    }

    /// Everything by what was asked.
    pub(crate) fn table(&self) -> String {
        let counts = self.counts();
        let mut text = format!("{:<44}", "");
        for outcome in Outcome::ALL {
            let _ = write!(text, "{:>10}", outcome.as_str());
        }
        for (name, found) in &counts.outcomes {
            let _ = write!(text, "\n{name:<44}");
            for outcome in Outcome::ALL {
                let _ = write!(text, "{:>10}", found.get(&outcome).unwrap_or(&0));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_are_counted_by_name_and_errors_are_violations() {
        let tally = Tally::new();
        tally.check("a", Ok(Outcome::Answered));
        tally.check("a", Ok(Outcome::Full));
        tally.check("b", Ok(Outcome::Answered));
        tally.check("b", Err("500".to_owned()));
        assert_eq!(tally.line(), "2 answered, 1 full, 0 refused, 0 left, 1 violations");
        assert_eq!(tally.violations(), 1);
        assert_eq!(tally.table().lines().count(), 3);
    }
}
