//! Threads that compute a step together. A step has some hundred phases of a few microseconds, so a thread that is done
//! with one spins a little for the next before it sleeps; and one that is late, because another process has its core,
//! is not waited for unless it holds a task.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, TryLockError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a thread without work spins before it sleeps.
const SPIN: Duration = Duration::from_micros(50);

/// Looks at the state between two looks at the clock.
const LOOKS: u32 = 64;

/// Whether the phase takes helpers, a bit of the state; the number of helpers lies below it, the phase's above.
const OPEN: u64 = 1 << 15;
const HELPERS: u64 = OPEN - 1;
const PHASE: u64 = OPEN << 1;

/// Some threads and the one that calls.
#[derive(Debug)]
pub(in crate::models::cpu) struct Pool {
    shared: Arc<Shared>,
    helpers: Vec<JoinHandle<()>>,
    /// Held by the call that hands out tasks.
    turn: Mutex<()>,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU64,
    /// Of each thread, the next task of its own share.
    next: Vec<Counter>,
    /// The phase's tasks: valid while it is open or has helpers.
    tasks: AtomicPtr<Tasks<'static>>,
    stop: AtomicBool,
    sleepers: AtomicUsize,
    bed: Mutex<()>,
    bell: Condvar,
}

/// A counter with a cache line of its own: threads count without disturbing each other.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Counter(AtomicUsize);

/// Tasks `0..count` of a phase, on the caller's stack.
struct Tasks<'a> {
    count: usize,
    run: &'a (dyn Fn(usize) + Sync),
    /// What the first task that panicked said.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Tasks<'_> {
    /// First task of a thread's share: neighbours, since they read neighbouring memory.
    fn first(&self, thread: usize, threads: usize) -> usize {
        self.count * thread / threads
    }

    /// Does the tasks of this thread's share, then what is left of the others'. A panic ends the phase for this thread.
    fn work(&self, thread: usize, next: &[Counter]) {
        let work = || {
            let threads = next.len();
            for share in (thread..threads).chain(0..thread) {
                let end = self.first(share + 1, threads);
                loop {
                    let task = next[share].0.fetch_add(1, Ordering::Relaxed);
                    if task >= end {
                        break;
                    }
                    (self.run)(task);
                }
            }
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
            self.panic.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(panic);
        }
    }
}

impl Pool {
    /// That many threads, the calling one included. `fit` says whether a thread may compute; `None` if one may not.
    pub(in crate::models::cpu) fn new(
        threads: usize,
        fit: fn() -> bool,
    ) -> std::io::Result<Option<Pool>> {
        let shared = Arc::new(Shared::new(threads.max(1)));
        let (report, reports) = mpsc::channel();
        let mut pool = Pool { shared, helpers: Vec::new(), turn: Mutex::new(()) };
        for number in 1..threads {
            let (shared, report) = (Arc::clone(&pool.shared), report.clone());
            let helper = thread::Builder::new().name(format!("cpu-{number}")).spawn(move || {
                // The receiver may be gone if another thread could not be started.
                let _ = report.send(fit());
                drop(report);
                shared.help(number);
            })?;
            pool.helpers.push(helper);
        }
        drop(report);
        Ok((fit() && reports.iter().all(|fit| fit)).then_some(pool))
    }

    /// Threads, the calling one included.
    pub(in crate::models::cpu) fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Does every task once, on whichever threads are free.
    ///
    /// # Panics
    /// If a task does, with what the first one said; some of the others may not have been done then.
    pub(in crate::models::cpu) fn for_each<T: Send>(&self, tasks: Vec<T>, run: impl Fn(T) + Sync) {
        let turn = match self.turn.try_lock() {
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Ok(turn) => Some(turn),
        };
        if tasks.len() < 2 || self.helpers.is_empty() || turn.is_none() {
            return tasks.into_iter().for_each(run);
        }
        let slots: Vec<Mutex<Option<T>>> =
            tasks.into_iter().map(|task| Mutex::new(Some(task))).collect();
        self.shared.phase(slots.len(), &|index| {
            let task = slots[index].lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(task) = task {
                run(task);
            }
        });
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.ring();
        for helper in self.helpers.drain(..) {
            // Tasks' panics are caught, and there is nothing else that could.
            let _ = helper.join();
        }
    }
}

impl Shared {
    fn new(threads: usize) -> Shared {
        Shared {
            state: AtomicU64::new(0),
            next: (0..threads).map(|_| Counter::default()).collect(),
            tasks: AtomicPtr::default(),
            stop: AtomicBool::new(false),
            sleepers: AtomicUsize::new(0),
            bed: Mutex::default(),
            bell: Condvar::new(),
        }
    }

    /// Hands out tasks, helps, and returns when the last one is done. Only one thread at a time calls it.
    fn phase(&self, count: usize, run: &(dyn Fn(usize) + Sync)) {
        let tasks = Tasks { count, run, panic: Mutex::new(None) };
        for (thread, next) in self.next.iter().enumerate() {
            next.0.store(tasks.first(thread, self.next.len()), Ordering::Relaxed);
        }
        self.tasks.store(ptr::from_ref(&tasks).cast_mut().cast(), Ordering::Relaxed);
        let last = self.state.load(Ordering::Relaxed);
        self.state.store((last & !(PHASE - 1)) + PHASE + OPEN, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            self.ring();
        }
        tasks.work(0, &self.next);
        // From here on no helper comes in; `tasks` must live until those inside have left.
        self.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut looks = 0;
        while self.state.load(Ordering::Acquire) & HELPERS > 0 {
            looks += 1;
            if looks < 16 * LOOKS { std::hint::spin_loop() } else { thread::yield_now() }
        }
        if let Some(panic) = tasks.panic.into_inner().unwrap_or_else(PoisonError::into_inner) {
            resume_unwind(panic);
        }
    }

    fn ring(&self) {
        let _bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.bell.notify_all();
    }

    /// A helper's life.
    fn help(&self, thread: usize) {
        let mut done = 0;
        while let Some(phase) = self.next_phase(done) {
            done = phase;
            if self.enter(phase) {
                let tasks = self.tasks.load(Ordering::Relaxed);
                // SAFETY: the phase was open when this thread was counted in, so `tasks` points to what its caller keeps
                // alive until the number of helpers is zero again; entering acquired what the caller had written.
                unsafe { (*tasks).work(thread, &self.next) };
                self.state.fetch_sub(1, Ordering::Release);
            }
        }
    }

    /// Counts a helper in, unless the phase is over.
    fn enter(&self, phase: u64) -> bool {
        let count_in = |state: u64| {
            let open = state & OPEN != 0 && state / PHASE == phase;
            open.then_some(state + 1)
        };
        self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, count_in).is_ok()
    }

    /// The number of the next open phase after `done`; `None` when the pool ends.
    fn next_phase(&self, done: u64) -> Option<u64> {
        let open = || {
            let state = self.state.load(Ordering::SeqCst);
            (state & OPEN != 0 && state / PHASE != done).then_some(state / PHASE)
        };
        let stopped = || self.stop.load(Ordering::SeqCst);
        let start = Instant::now();
        while start.elapsed() < SPIN {
            for _ in 0..LOOKS {
                if let Some(phase) = open() {
                    return Some(phase);
                }
                std::hint::spin_loop();
            }
        }
        let mut bed = self.bed.lock().unwrap_or_else(PoisonError::into_inner);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        let phase = loop {
            match open() {
                _ if stopped() => break None,
                Some(phase) => break Some(phase),
                None => bed = self.bell.wait(bed).unwrap_or_else(PoisonError::into_inner),
            }
        };
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
        phase
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn pool(threads: usize) -> Pool {
        Pool::new(threads, || true).expect("threads").expect("all are fit")
    }

    #[test]
    fn every_task_is_done_once_in_many_short_phases() {
        for threads in 1..4 {
            let pool = pool(threads);
            let mut counts = vec![0_u32; 9];
            for phase in 0..2000 {
                pool.for_each(counts.iter_mut().collect(), |count| *count += 1);
                if phase % 500 == 0 {
                    thread::sleep(2 * SPIN); // the helpers fall asleep
                }
            }
            assert_eq!(counts, [2000; 9], "{threads} threads");
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let pool = pool(3);
        let run = || pool.for_each((0..50).collect(), |task| assert!(task != 20, "expected"));
        for _ in 0..20 {
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        }
        let sum = AtomicUsize::new(0);
        pool.for_each((0..50).collect(), |task| _ = sum.fetch_add(task, Ordering::Relaxed));
        assert_eq!(sum.into_inner(), 1225);
    }

    #[test]
    fn a_task_may_panic_on_the_calling_thread_and_on_another() {
        let pool = pool(2);
        for round in 0..200 {
            let both = Barrier::new(2);
            // Neither thread can do both tasks, so each has one.
            let run = |()| {
                both.wait();
                let helper = thread::current().name() == Some("cpu-1");
                assert!(helper != (round % 2 == 0), "round {round}");
            };
            let panic = catch_unwind(AssertUnwindSafe(|| pool.for_each(vec![(); 2], run)));
            let panic = panic.expect_err("one of the threads panics");
            assert_eq!(panic.downcast_ref(), Some(&format!("round {round}")));
            let sum = AtomicUsize::new(0);
            pool.for_each((0..9).collect(), |task| _ = sum.fetch_add(task, Ordering::Relaxed));
            assert_eq!(sum.into_inner(), 36);
        }
    }

    #[test]
    fn a_phase_inside_a_task_runs_on_its_own_thread() {
        let pool = pool(2);
        let count = AtomicUsize::new(0);
        pool.for_each(vec![(); 4], |()| {
            pool.for_each(vec![(); 3], |()| _ = count.fetch_add(1, Ordering::Relaxed));
        });
        assert_eq!(count.into_inner(), 12);
    }

    #[test]
    fn a_thousand_pools_start_and_end() {
        for _ in 0..1000 {
            drop(pool(2));
        }
        assert!(Pool::new(2, || false).expect("threads").is_none());
    }
}
