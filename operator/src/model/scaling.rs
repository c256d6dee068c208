//! How many servers a model gets: one formula over what jobs and requests ask for, and over what they asked for lately. Pure:
//! the time is a parameter.
//!
//! `needed = ceil((external concurrency + requests of the jobs that hold the model) / target)`, between the bounds. More
//! servers come at once; fewer only when the demand stayed lower for `stabilizationSeconds`. Without any demand one server
//! stays for `idleSeconds`, then the bounds alone decide. A demand that is not known keeps what there is: it is never idle.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use textnlp_crds::scaling::Scaling;

/// What is asked of the model now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Demand {
    /// Whether a job holds the model: it is then never at zero.
    pub held: bool,
    /// Requests that the holding jobs want to have in flight.
    pub jobs: i64,
    /// Requests of others in flight, on average since the last look. None: not known (no server was asked yet, or one did
    /// not answer).
    pub external: Option<f64>,
}

/// What the model's demand was until now: lives in the operator's memory, and is learnt again after a restart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Servers that were needed, oldest first; only values above all later ones are kept, since only the highest counts.
    needed: VecDeque<(Timestamp, i32)>,
    /// When there last was a request, a hold, or a demand that nobody knew.
    active: Option<Timestamp>,
}

/// How many servers there shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Servers.
    pub replicas: i32,
    /// Why so many.
    pub why: Why,
}

/// Why there are so many servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// `spec.replicas` says so: there is no `scaling`.
    Fixed,
    /// The model has just been created.
    Initial,
    /// The demand asks for them.
    Demand,
    /// A job holds the model, though it asks for less.
    Held,
    /// The demand fell, but not for long enough.
    Stabilizing,
    /// There is no demand, but not for long enough.
    IdleSoon,
    /// There has been no demand for `idleSeconds`.
    Idle,
    /// Nobody knows the demand.
    Unknown,
}

impl History {
    /// Remembers what was needed at `now`. `observed` is the number of servers that there are; none before the first.
    pub fn record(
        &mut self,
        policy: &Scaling,
        demand: &Demand,
        observed: Option<i32>,
        now: Timestamp,
    ) {
        let there = observed.unwrap_or_else(|| initial(policy));
        let mut needed = needed(policy, demand);
        // After a restart, and after every gap, the window begins with what there is.
        let unknown = demand.external.is_none() && there > 0;
        if unknown || self.active.is_none() {
            needed = needed.max(there);
        }
        if demand.held
            || demand.external.is_some_and(|e| e > 0.0)
            || unknown
            || self.active.is_none()
        {
            self.active = Some(now);
        }
        while self.needed.back().is_some_and(|(_, earlier)| *earlier <= needed) {
            self.needed.pop_back();
        }
        self.needed.push_back((now, needed));
        let window = SignedDuration::from_secs(policy.stabilization_seconds.into());
        while self.needed.front().is_some_and(|(at, _)| now.duration_since(*at) > window) {
            self.needed.pop_front();
        }
    }

    /// The most servers that were needed within the window before `now`.
    fn peak(&self, policy: &Scaling, now: Timestamp) -> i32 {
        let window = SignedDuration::from_secs(policy.stabilization_seconds.into());
        let recent = self.needed.iter().filter(|(at, _)| now.duration_since(*at) < window);
        recent.map(|(_, needed)| *needed).max().unwrap_or(0)
    }

    /// Whether there has been no demand for `idleSeconds`.
    fn idle(&self, policy: &Scaling, now: Timestamp) -> bool {
        let patience = SignedDuration::from_secs(policy.idle_seconds.into());
        self.active.is_none_or(|active| now.duration_since(active) >= patience)
    }
}

/// How many servers there shall be at `now`, when there are `observed` (none: the model has no Deployment yet) and the
/// history includes this demand.
pub fn decide(
    policy: &Scaling,
    demand: &Demand,
    history: &History,
    observed: Option<i32>,
    now: Timestamp,
) -> Decision {
    let needed = needed(policy, demand);
    let why = |replicas: i32, otherwise: Why| match replicas > needed {
        true => Decision { replicas, why: otherwise },
        false if demand.held && demand.jobs <= 0 => Decision { replicas, why: Why::Held },
        false => Decision { replicas, why: Why::Demand },
    };
    let Some(observed) = observed else {
        return why(needed.max(initial(policy)), Why::Initial);
    };
    let kept = observed.clamp(policy.min_replicas, policy.max_replicas.max(policy.min_replicas));
    if demand.external.is_none() && observed > 0 {
        return why(needed.max(kept), Why::Unknown);
    }
    let quiet = !demand.held && demand.external.is_none_or(|external| external <= 0.0);
    if quiet && (observed == 0 || history.idle(policy, now)) {
        return Decision { replicas: policy.min_replicas, why: Why::Idle };
    }
    let stable = needed.max(kept.min(history.peak(policy, now)));
    match quiet && stable == 0 {
        true => Decision { replicas: 1, why: Why::IdleSoon },
        false => why(stable, Why::Stabilizing),
    }
}

/// What the demand alone asks for, within the bounds.
fn needed(policy: &Scaling, demand: &Demand) -> i32 {
    let requests = demand.jobs.max(0) as f64 + demand.external.unwrap_or(0.0).max(0.0);
    let servers = (requests / f64::from(policy.target.concurrent_requests.max(1))).ceil();
    // The cast saturates, and makes 0 of what is no number.
    let servers = (servers as i32).max(i32::from(demand.held));
    servers.clamp(policy.min_replicas, policy.max_replicas.max(policy.min_replicas))
}

/// Servers of a model that has just been created.
fn initial(policy: &Scaling) -> i32 {
    let most = policy.max_replicas.max(policy.min_replicas);
    policy.initial_replicas.unwrap_or(policy.min_replicas).clamp(policy.min_replicas, most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn policy(min: i32, max: i32) -> Scaling {
        Scaling {
            min_replicas: min,
            max_replicas: max,
            initial_replicas: None,
            target: Default::default(),
            idle_seconds: 300,
            stabilization_seconds: 120,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).expect("a time")
    }

    fn jobs(requests: i64) -> Demand {
        Demand { held: true, jobs: requests, external: Some(0.0) }
    }

    fn external(requests: f64) -> Demand {
        Demand { held: false, jobs: 0, external: Some(requests) }
    }

    const QUIET: Demand = Demand { held: false, jobs: 0, external: Some(0.0) };
    const UNKNOWN: Demand = Demand { held: false, jobs: 0, external: None };

    /// Plays a story of (second, demand) and returns the servers after each step, each with its reason.
    fn play(policy: &Scaling, observed: Option<i32>, story: &[(i64, Demand)]) -> Vec<(i32, Why)> {
        let (mut history, mut there) = (History::default(), observed);
        let step = |(second, demand): &(i64, Demand)| {
            history.record(policy, demand, there, at(*second));
            let decision = decide(policy, demand, &history, there, at(*second));
            there = Some(decision.replicas);
            (decision.replicas, decision.why)
        };
        story.iter().map(step).collect()
    }

    #[test]
    fn the_demand_divided_by_the_target_is_rounded_up_and_bounded() {
        let check = |demand: Demand, expect: i32| {
            assert_eq!(needed(&policy(0, 8), &demand), expect, "{demand:?}");
        };
        check(QUIET, 0);
        check(jobs(0), 1);
        check(jobs(1), 1);
        check(jobs(16), 1);
        check(jobs(17), 2);
        check(jobs(i64::MAX), 8);
        check(jobs(-3), 1);
        check(external(0.01), 1);
        check(external(15.5), 1);
        check(external(f64::INFINITY), 8);
        check(external(f64::NAN), 0);
        check(Demand { held: true, jobs: 16, external: Some(0.5) }, 2);
    }

    #[test]
    fn a_job_wakes_a_model_from_zero_and_holds_it() {
        let story = [(0, QUIET), (5, jobs(64)), (500, jobs(3)), (10_000, jobs(0)), (10_001, QUIET)];
        let expect = [
            (0, Why::Idle),
            (4, Why::Demand),
            (1, Why::Demand),
            (1, Why::Held),
            (1, Why::Stabilizing),
        ];
        assert_eq!(play(&policy(0, 8), Some(0), &story), expect);
    }

    #[test]
    fn servers_come_at_once_and_go_after_the_window() {
        let story = [
            (0, external(40.0)),
            (60, external(20.0)),
            (119, external(1.0)),
            (120, external(1.0)),
            (180, external(1.0)),
        ];
        let expect = [
            (3, Why::Demand),
            (3, Why::Stabilizing),
            (3, Why::Stabilizing),
            (2, Why::Stabilizing),
            (1, Why::Demand),
        ];
        assert_eq!(play(&policy(0, 8), Some(1), &story), expect);
    }

    #[test]
    fn the_idle_timer_starts_at_the_later_of_the_last_hold_and_the_last_request() {
        let story = [(0, jobs(16)), (10, external(1.0)), (309, QUIET), (310, QUIET)];
        assert_eq!(play(&policy(0, 8), Some(1), &story)[2..], [(1, Why::IdleSoon), (0, Why::Idle)]);
        let story = [(0, external(1.0)), (10, jobs(16)), (309, QUIET), (310, QUIET)];
        assert_eq!(play(&policy(0, 8), Some(1), &story)[2..], [(1, Why::IdleSoon), (0, Why::Idle)]);
    }

    #[test]
    fn an_unknown_demand_keeps_what_there_is_and_is_never_idle() {
        let story = [
            (0, UNKNOWN),
            (100_000, UNKNOWN),
            (100_005, QUIET),
            (100_299, QUIET),
            (100_300, QUIET),
        ];
        let expect = [
            (3, Why::Unknown),
            (3, Why::Unknown),
            (3, Why::Stabilizing),
            (1, Why::IdleSoon),
            (0, Why::Idle),
        ];
        assert_eq!(play(&policy(0, 8), Some(3), &story), expect);
        // A job may still ask for more, and the bounds hold.
        let held = Demand { held: true, jobs: 100, external: None };
        assert_eq!(play(&policy(0, 8), Some(3), &[(0, held)]), [(7, Why::Demand)]);
        assert_eq!(play(&policy(0, 2), Some(3), &[(0, UNKNOWN)]), [(2, Why::Unknown)]);
    }

    #[test]
    fn a_new_model_begins_with_its_initial_replicas() {
        let story = [(0, UNKNOWN), (100, QUIET), (200, QUIET), (400, QUIET)];
        let new = Scaling { initial_replicas: Some(2), ..policy(0, 8) };
        let expect = [(2, Why::Initial), (2, Why::Stabilizing), (1, Why::IdleSoon), (0, Why::Idle)];
        assert_eq!(play(&new, None, &story), expect);
        assert_eq!(play(&policy(0, 8), None, &[(0, UNKNOWN)]), [(0, Why::Demand)]);
        assert_eq!(play(&policy(0, 8), None, &[(0, jobs(20))]), [(2, Why::Demand)]);
    }

    #[test]
    fn idle_seconds_below_the_window_count_alone() {
        let quick = Scaling { idle_seconds: 20, ..policy(0, 8) };
        let story = [(0, external(64.0)), (10, QUIET), (20, QUIET)];
        let expect = [(4, Why::Demand), (4, Why::Stabilizing), (0, Why::Idle)];
        assert_eq!(play(&quick, Some(1), &story), expect);
    }

    fn any_policy() -> impl Strategy<Value = Scaling> {
        (0..4_i32, 1..9_i32, proptest::option::of(0..9_i32), 1..32_i32, 0..600_i32, 0..300_i32)
            .prop_map(
                |(
                    min,
                    max,
                    initial_replicas,
                    concurrent_requests,
                    idle_seconds,
                    stabilization_seconds,
                )| Scaling {
                    min_replicas: min.min(max),
                    max_replicas: max,
                    initial_replicas: initial_replicas.map(|n| n.min(max)),
                    target: textnlp_crds::scaling::ScalingTarget { concurrent_requests },
                    idle_seconds,
                    stabilization_seconds,
                },
            )
    }

    fn any_demand() -> impl Strategy<Value = Demand> {
        let external = prop_oneof![Just(None), Just(Some(0.0)), (0.0..200.0).prop_map(Some)];
        (any::<bool>(), 0..500_i64, external).prop_map(|(held, jobs, external)| Demand {
            held,
            jobs: if held { jobs } else { 0 },
            external,
        })
    }

    fn any_story() -> impl Strategy<Value = Vec<(i64, Demand)>> {
        proptest::collection::vec((1..200_i64, any_demand()), 1..30).prop_map(|steps| {
            let mut second = 0;
            let later = |(pause, demand)| {
                second += pause;
                (second, demand)
            };
            steps.into_iter().map(later).collect()
        })
    }

    proptest! {
        #[test]
        fn bounds_and_holds_are_always_kept(policy in any_policy(), observed in proptest::option::of(0..12_i32), story in any_story()) {
            let mut before = observed;
            for ((replicas, _), (_, demand)) in play(&policy, observed, &story).into_iter().zip(&story) {
                prop_assert!(policy.min_replicas <= replicas && replicas <= policy.max_replicas);
                prop_assert!(!demand.held || replicas >= 1);
                prop_assert!(replicas >= needed(&policy, demand));
                if let (None, Some(there)) = (demand.external, before) {
                    prop_assert!(replicas >= there.min(policy.max_replicas));
                }
                before = Some(replicas);
            }
        }

        #[test]
        fn within_the_window_no_server_goes_that_was_needed(policy in any_policy(), story in any_story()) {
            let played = play(&policy, Some(0), &story);
            for (index, (second, _)) in story.iter().enumerate() {
                let window = i64::from(policy.stabilization_seconds).min(policy.idle_seconds.into());
                let recent = story[..=index].iter().filter(|(earlier, _)| second - earlier < window);
                let peak = recent.map(|(_, demand)| needed(&policy, demand)).max().unwrap_or(0);
                prop_assert!(played[index].0 >= peak, "{:?} at {second}", played[index]);
            }
        }

        #[test]
        fn a_decision_that_was_carried_out_stays(policy in any_policy(), demand in any_demand(), story in any_story()) {
            let end = story.last().map_or(0, |(second, _)| *second) + 1;
            let story: Vec<_> = story.into_iter().chain([(end, demand), (end, demand)]).collect();
            let played = play(&policy, Some(1), &story);
            prop_assert_eq!(played[played.len() - 1].0, played[played.len() - 2].0);
        }

        #[test]
        fn a_model_without_demand_comes_to_its_minimum(policy in any_policy(), story in any_story()) {
            let end = story.last().map_or(0, |(second, _)| *second);
            let patience = i64::from(policy.idle_seconds);
            let story: Vec<_> = story.into_iter().chain([(end + 1, QUIET), (end + 2 + patience, QUIET)]).collect();
            prop_assert_eq!(play(&policy, Some(1), &story).last().map(|step| step.0), Some(policy.min_replicas));
        }
    }
}
