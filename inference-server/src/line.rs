//! The line in front of the engine: who has a place, who is next, and how much of the line is whose.
//!
//! The engine runs what it is given in the order of its coming, so it is given only what it can run at once (a *turn*);
//! the rest waits here. A free turn goes to the caller with the fewest of them: one request does not wait behind three
//! hundred of somebody else's. A caller's own requests keep their order, and without names all are one caller's.
//!
//! Nobody can fill the line: a caller may wait in it only while as many places stay free as he would hold there. Alone he
//! gets half of it, and whoever comes then finds room.
//!
//! A turn that ends gives the next one at once, on the engine's own thread, before it makes its next step.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::access::Caller;
use crate::error::ApiError;

/// Callers by their names; those without are one.
type Name = Arc<str>;

/// Begins a completion. What it moves to the engine keeps the turn.
pub(crate) type Begin = Box<dyn FnOnce(Turn) + Send>;

/// Places and turns.
#[derive(Debug)]
pub(crate) struct Line {
    state: Mutex<State>,
    /// Completions that the engine has at once.
    turns: usize,
    /// Completions that have a place, with or without a turn.
    capacity: usize,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    running: usize,
    callers: HashMap<Name, Share>,
    /// Turns given so far.
    given: u64,
    next_id: u64,
    /// Somebody gives turns already; what comes free meanwhile is seen by him.
    giving: bool,
}

/// What a caller has.
#[derive(Debug, Default)]
struct Share {
    held: usize,
    running: usize,
    /// When the last turn was given, as a count of turns.
    last_turn: u64,
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    id: u64,
    begin: Begin,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("id", &self.id).finish_non_exhaustive()
    }
}

impl State {
    /// The next to begin, if there is a free turn.
    fn next(&mut self, turns: usize) -> Option<(Name, Begin)> {
        if self.running >= turns {
            return None;
        }
        let waiting = self.callers.iter_mut().filter(|(_, share)| !share.waiting.is_empty());
        let order = |share: &Share| {
            (share.running, share.last_turn, share.waiting.front().map(|waiting| waiting.id))
        };
        let (name, share) = waiting.min_by_key(|(_, share)| order(share))?;
        let Waiting { begin, .. } = share.waiting.pop_front()?;
        self.given += 1;
        self.running += 1;
        share.running += 1;
        share.last_turn = self.given;
        Some((Arc::clone(name), begin))
    }

    /// Takes something from a caller, and forgets who has nothing.
    fn change(&mut self, name: &Name, change: impl FnOnce(&mut Share)) {
        let Some(share) = self.callers.get_mut(name) else { return };
        change(share);
        if share.held == 0 && share.running == 0 && share.waiting.is_empty() {
            self.callers.remove(name);
        }
    }
}

impl Line {
    /// Of both at least one.
    pub(crate) fn new(capacity: usize, turns: usize) -> Self {
        let capacity = capacity.max(1);
        Self { state: Mutex::default(), turns: turns.clamp(1, capacity), capacity }
    }

    /// A panic while the lock is held leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Most places that one caller can get: with a name, half of those that wait stay for others.
    pub(crate) fn most(&self, caller: Option<&Caller>) -> usize {
        match caller {
            None => self.capacity,
            Some(_) => self.turns + (self.capacity - self.turns) / 2,
        }
    }

    /// Places for so many completions, or none.
    pub(crate) fn enter(
        self: &Arc<Self>,
        count: usize,
        caller: Option<&Caller>,
    ) -> Result<Vec<Place>, ApiError> {
        let most = self.most(caller);
        if count > most {
            let message = format!(
                "the request asks for {count} completions; this server takes {most} at most"
            );
            return Err(ApiError::invalid("n", message));
        }
        let name: Name = caller.map_or("", Caller::name).into();
        let mut state = self.lock();
        let free = self.capacity - state.held.min(self.capacity);
        let Some(left) = free.checked_sub(count) else {
            return Err(ApiError::QueueFull { capacity: self.capacity });
        };
        let share = state.callers.get(&name);
        let (held, running) = share.map_or((0, 0), |share| (share.held, share.running));
        // Turns that he has, or that nobody else could take before him.
        let turns = running.max(self.turns.saturating_sub(state.held - held));
        let waiting = (held + count).saturating_sub(turns);
        let first = held == 0 && count == 1;
        if caller.is_some() && waiting > left && !first {
            return Err(ApiError::ShareFull { held });
        }
        state.held += count;
        state.callers.entry(Arc::clone(&name)).or_default().held += count;
        drop(state);
        let place = || Place { line: Arc::clone(self), name: Arc::clone(&name) };
        Ok((0..count).map(|_| place()).collect())
    }

    /// Lets completions wait for their turns. The numbers are for [`Line::leave`].
    pub(crate) fn join(
        self: &Arc<Self>,
        caller: Option<&Caller>,
        begins: Vec<Begin>,
    ) -> Range<u64> {
        let name: Name = caller.map_or("", Caller::name).into();
        let mut state = self.lock();
        let first = state.next_id;
        state.next_id += begins.len() as u64;
        let ids = first..state.next_id;
        let waiting = ids.clone().zip(begins).map(|(id, begin)| Waiting { id, begin });
        state.callers.entry(name).or_default().waiting.extend(waiting);
        drop(state);
        self.give();
        ids
    }

    /// Takes out those that still wait; what they hold is dropped.
    pub(crate) fn leave(&self, caller: Option<&Caller>, ids: &Range<u64>) {
        let name: Name = caller.map_or("", Caller::name).into();
        let mut gone = Vec::new();
        self.lock().change(&name, |share| {
            // Their numbers rise.
            let before = |id| share.waiting.partition_point(|waiting| waiting.id < id);
            let left = before(ids.start)..before(ids.end);
            gone.extend(share.waiting.drain(left));
        });
        // Without the lock: their places need it.
        drop(gone);
    }

    /// Completions that wait for a turn.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().callers.values().map(|share| share.waiting.len()).sum()
    }

    /// Gives the free turns to those who wait. One at a time does so: the beginning of a completion that fails ends its
    /// turn again, and so on.
    fn give(self: &Arc<Self>) {
        let mut state = self.lock();
        if std::mem::replace(&mut state.giving, true) {
            return;
        }
        while let Some((name, begin)) = state.next(self.turns) {
            drop(state);
            let turn = Turn { line: Arc::clone(self), name };
            if catch_unwind(AssertUnwindSafe(|| begin(turn))).is_err() {
                tracing::error!("a completion could not begin");
            }
            state = self.lock();
        }
        state.giving = false;
    }
}

/// A place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    line: Arc<Line>,
    name: Name,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.line.lock();
        state.held -= 1;
        state.change(&self.name, |share| share.held -= 1);
    }
}

/// The engine has it; when it is dropped, the next one's begins.
#[derive(Debug)]
pub(crate) struct Turn {
    line: Arc<Line>,
    name: Name,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.line.lock();
        state.running -= 1;
        state.change(&self.name, |share| share.running -= 1);
        drop(state);
        self.line.give();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Caller {
        Caller::named(name)
    }

    /// Lets so many completions of a caller wait; each writes down the name and keeps its turn there when it begins.
    fn join(line: &Arc<Line>, began: &Arc<Mutex<Vec<(String, Turn)>>>, name: &str, count: usize) {
        let begin = |place: Place| -> Begin {
            let (began, name) = (Arc::clone(began), name.to_owned());
            Box::new(move |turn| {
                drop(place);
                began.lock().expect("no panic").push((name, turn));
            })
        };
        let places = line.enter(count, Some(&caller(name))).expect("there is room");
        line.join(Some(&caller(name)), places.into_iter().map(begin).collect());
    }

    #[test]
    fn a_request_gets_all_its_places_or_none() {
        let line = Arc::new(Line::new(3, 3));
        let first = line.enter(2, None).expect("there is room");
        assert_eq!(first.len(), 2);
        let refused = line.enter(2, None).expect_err("one place is left");
        assert_eq!(refused, ApiError::QueueFull { capacity: 3 });
        let second = line.enter(1, None).expect("the last place");
        drop(first);
        assert_eq!(line.enter(2, None).expect("free again").len(), 2);
        drop(second);
        assert_eq!(line.enter(4, None).expect_err("never").status().as_u16(), 400);
    }

    #[test]
    fn a_free_turn_is_for_the_caller_with_the_fewest_and_his_requests_keep_their_order() {
        let line = Arc::new(Line::new(100, 2));
        let began = Arc::default();
        join(&line, &began, "greedy", 20);
        join(&line, &began, "modest", 2);
        join(&line, &began, "late", 1);
        let mut order = Vec::new();
        for _ in 0..8 {
            let (name, turn) = began.lock().expect("no panic").remove(0);
            order.push(name);
            drop(turn);
        }
        // The first two turns were given before the others came.
        let expect = ["greedy", "greedy", "modest", "late", "greedy", "modest", "greedy", "greedy"];
        assert_eq!(order, expect);
        assert_eq!(line.waiting(), 23 - 10);
    }

    #[test]
    fn nobody_can_fill_the_line_and_those_who_come_later_find_room() {
        let line = Arc::new(Line::new(4 + 16, 4));
        let fill = |name: &str| -> Vec<Place> {
            let caller = caller(name);
            std::iter::from_fn(|| line.enter(1, Some(&caller)).ok()).flatten().take(1000).collect()
        };
        let greedy = fill("greedy");
        assert_eq!(greedy.len(), 4 + 8, "all turns, and half of those who wait");
        let refused = line.enter(1, Some(&caller("greedy"))).expect_err("his share is taken");
        assert_eq!(refused, ApiError::ShareFull { held: 12 });
        let (second, third) = (fill("second"), fill("third"));
        assert_eq!((second.len(), third.len()), (4, 2));
        assert_eq!(
            (fill("fourth").len(), fill("fifth").len()),
            (1, 1),
            "the last places are for those who have none"
        );
        drop(greedy);
        assert_eq!(fill("fifth").len(), 7, "room that comes free is shared again");
        let most = line.enter(13, Some(&caller("fifth"))).expect_err("never");
        assert_eq!(most.status().as_u16(), 400);
        drop((second, third));
        assert!(line.lock().callers.is_empty(), "nothing is kept of those who went");
    }

    #[test]
    fn who_leaves_frees_his_places_at_once() {
        let line = Arc::new(Line::new(2, 1));
        let running = line.enter(1, None).expect("there is room");
        let kept = Arc::new(Mutex::new(None));
        let (keep, mut places) = (Arc::clone(&kept), running);
        let place = places.pop();
        let begin: Begin = Box::new(move |turn| {
            *keep.lock().expect("no panic") = Some((place, turn));
        });
        line.join(None, vec![begin]);
        let waiting = line.enter(1, None).expect("there is room");
        let ids = line.join(None, vec![Box::new(move |_turn| drop(waiting))]);
        assert!(line.enter(1, None).is_err());
        assert_eq!(line.waiting(), 1);
        line.leave(None, &ids);
        assert_eq!(line.waiting(), 0);
        assert_eq!(line.enter(1, None).expect("free again").len(), 1);
        kept.lock().expect("no panic").take();
        assert_eq!(line.enter(2, None).expect("free again").len(), 2);
    }

    #[test]
    fn thousands_that_cannot_begin_do_not_exhaust_the_stack_and_a_panic_is_one_requests_own() {
        let line = Arc::new(Line::new(50_000, 1));
        let began = Arc::new(Mutex::new(0));
        let begin = |index: usize| -> Begin {
            let began = Arc::clone(&began);
            Box::new(move |turn| {
                *began.lock().expect("no panic") += 1;
                drop(turn);
                assert_ne!(index, 7, "a fault of ours");
            })
        };
        line.join(None, (0..50_000).map(begin).collect());
        assert_eq!(*began.lock().expect("no panic"), 50_000);
        assert_eq!(line.waiting(), 0);
    }
}
