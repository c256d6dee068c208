//! What handles and the engine's thread share: requests that wait, whether it goes on, and figures.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{EngineStats, Request, Sink, SubmitError};

/// A request on its way to the engine's thread.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) sink: Sink,
    pub(super) cancelled: Arc<AtomicBool>,
}

impl Job {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// The engine's end: its cause, if it was not asked to.
pub(super) type End = Option<String>;

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    end: Option<End>,
    stats: EngineStats,
}

/// A bounded queue with the engine's state.
pub(super) struct Queue {
    state: Mutex<State>,
    capacity: usize,
    /// There is a request, or an end.
    work: Condvar,
    /// There is space, or an end.
    space: Condvar,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Queue {
        let state = Mutex::default();
        Queue { state, capacity: capacity.max(1), work: Condvar::new(), space: Condvar::new() }
    }

    /// A panic while the lock is held leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request; without space it waits for some or fails.
    pub(super) fn push(&self, job: Job, wait: bool) -> Result<(), SubmitError> {
        let mut state = self.lock();
        loop {
            if let Some(end) = &state.end {
                return Err(SubmitError::Stopped(end.clone()));
            }
            if state.jobs.len() < self.capacity {
                break;
            }
            if !wait {
                return Err(SubmitError::Full { capacity: self.capacity });
            }
            state = self.space.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.jobs.push_back(job);
        self.work.notify_one();
        Ok(())
    }

    /// Takes up to `count` requests that are not cancelled; with `wait`, waits for one. The end, if it has come.
    pub(super) fn take(&self, count: usize, wait: bool) -> Result<Vec<Job>, End> {
        let mut state = self.lock();
        loop {
            if let Some(end) = &state.end {
                return Err(end.clone());
            }
            if state.jobs.iter().any(Job::is_cancelled) {
                let jobs = std::mem::take(&mut state.jobs).into_iter();
                let (cancelled, kept) = jobs.partition::<VecDeque<_>, _>(Job::is_cancelled);
                state.jobs = kept;
                self.space.notify_all();
                drop(state);
                // A sink that is dropped may hand over another request, which needs the lock.
                drop(cancelled);
                state = self.lock();
                continue;
            }
            if !wait || !state.jobs.is_empty() {
                break;
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = count.min(state.jobs.len());
        let jobs = state.jobs.drain(..count).collect();
        self.space.notify_all();
        Ok(jobs)
    }

    /// Ends it, unless it has ended. Returns the requests that nobody will take.
    pub(super) fn end(&self, end: End) -> Vec<Job> {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        self.work.notify_all();
        self.space.notify_all();
        state.jobs.drain(..).collect()
    }

    /// Whether it has ended, and why.
    pub(super) fn ended(&self) -> Option<End> {
        self.lock().end.clone()
    }

    pub(super) fn set_stats(&self, stats: EngineStats) {
        self.lock().stats = stats;
    }

    /// The last figures of the engine's thread; requests of the queue count as waiting.
    pub(super) fn stats(&self) -> EngineStats {
        let state = self.lock();
        let waiting = state.stats.waiting + state.jobs.len();
        EngineStats { waiting, ..state.stats }
    }
}
