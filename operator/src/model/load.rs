//! What the servers' own metrics say about their load: rates between two looks at each pod. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use textnlp_crds::model_status::Load;

/// Seconds that requests were in flight, by `source`; the rate of this counter is their number.
pub const INFLIGHT_SECONDS: &str = "textnlp_request_inflight_seconds_total";
/// Requests being computed.
pub const RUNNING: &str = "vllm:num_requests_running";
/// Requests that wait.
pub const WAITING: &str = "vllm:num_requests_waiting";
/// Completion tokens.
pub const GENERATION_TOKENS: &str = "vllm:generation_tokens_total";
/// Seconds of the phases of loading the model; `phase="total"` is all of them.
pub const LOAD_SECONDS: &str = "textnlp_model_load_seconds";

/// What one server's metrics said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When they were read.
    pub at: Timestamp,
    /// Request seconds of others than jobs, so far.
    pub external_seconds: f64,
    /// Completion tokens so far.
    pub tokens: f64,
    /// Requests being computed.
    pub running: f64,
    /// Requests that wait.
    pub waiting: f64,
    /// Seconds that loading the model took.
    pub load_seconds: Option<f64>,
}

/// The last two samples of each ready server, by the pod's UID.
#[derive(Clone, Debug, Default)]
pub struct Track {
    pods: BTreeMap<String, Pair>,
}

#[derive(Clone, Debug, Default)]
struct Pair {
    before: Option<Sample>,
    last: Option<Sample>,
}

impl Track {
    /// Takes in a look at all ready servers: none where one did not answer. Servers that are no longer ready are forgotten.
    pub fn record(&mut self, answers: impl IntoIterator<Item = (String, Option<Sample>)>) {
        let mut past = std::mem::take(&mut self.pods);
        let pair = |(uid, last): (String, Option<Sample>)| {
            let before = past.remove(&uid).and_then(|pair| pair.last);
            (uid, Pair { before, last })
        };
        self.pods = answers.into_iter().map(pair).collect();
    }

    /// Requests of others than jobs in flight, on average between the last two looks. None when it is not known of every
    /// ready server, or when there is none.
    pub fn external(&self) -> Option<f64> {
        self.rate(|sample| sample.external_seconds)
    }

    /// What the servers do, of those that answered; none when none did.
    pub fn load(&self) -> Option<Load> {
        let last: Vec<&Sample> = self.pods.values().filter_map(|pair| pair.last.as_ref()).collect();
        if last.is_empty() {
            return None;
        }
        let sum = |figure: fn(&Sample) -> f64| last.iter().map(|s| figure(s)).sum::<f64>() as i64;
        // A server that was asked only once has shown no rate yet.
        let rates = self.pods.values().filter_map(|pair| pair.rate(|sample| sample.tokens));
        let tokens_per_second: f64 = rates.sum();
        Some(Load {
            running_requests: Some(sum(|sample| sample.running)),
            queued_requests: Some(sum(|sample| sample.waiting)),
            tokens_per_second: Some((tokens_per_second * 10.0).round() / 10.0),
        })
    }

    /// Whether a server worked when it was asked last.
    pub fn is_busy(&self) -> bool {
        let busy = |sample: &Sample| sample.running > 0.0 || sample.waiting > 0.0;
        let working = self.rate(|sample| sample.tokens).is_some_and(|rate| rate > 0.0);
        working || self.pods.values().filter_map(|pair| pair.last.as_ref()).any(busy)
    }

    /// Whether the servers that were asked last are exactly these.
    pub fn knows(&self, pods: impl Iterator<Item = String>) -> bool {
        let mut number = 0;
        let all = pods.inspect(|_| number += 1).all(|uid| self.pods.contains_key(&uid));
        all && number == self.pods.len()
    }

    /// Seconds that the server of pod `uid` took to load the model.
    pub fn load_seconds(&self, uid: &str) -> Option<f64> {
        self.pods.get(uid)?.last?.load_seconds
    }

    /// The sum of the rates of a counter.
    fn rate(&self, counter: fn(&Sample) -> f64) -> Option<f64> {
        if self.pods.is_empty() {
            return None;
        }
        self.pods.values().map(|pair| pair.rate(counter)).sum()
    }
}

impl Pair {
    /// The rate of a counter; one that has become smaller began again at 0.
    fn rate(&self, counter: fn(&Sample) -> f64) -> Option<f64> {
        let (before, last) = (self.before.as_ref()?, self.last.as_ref()?);
        let seconds = last.at.duration_since(before.at).as_secs_f64();
        let (from, to) = (counter(before), counter(last));
        let grown = if to < from { to } else { to - from };
        (seconds > 0.0 && grown.is_finite()).then(|| grown.max(0.0) / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: i64, external_seconds: f64, tokens: f64) -> Option<Sample> {
        let at = Timestamp::from_second(second).expect("a time");
        Some(Sample {
            at,
            external_seconds,
            tokens,
            running: 2.0,
            waiting: 1.0,
            load_seconds: Some(0.5),
        })
    }

    /// Each look is a list of (pod, sample).
    fn check(looks: &[&[(&str, Option<Sample>)]], external: Option<f64>) {
        let mut track = Track::default();
        for look in looks {
            track.record(look.iter().map(|(uid, sample)| ((*uid).to_owned(), *sample)));
        }
        assert_eq!(track.external(), external, "{looks:?}");
    }

    #[test]
    fn concurrency_is_the_rate_of_request_seconds_over_all_ready_servers() {
        check(&[&[("a", sample(0, 0.0, 0.0))], &[("a", sample(5, 10.0, 0.0))]], Some(2.0));
        let both: [&[(&str, Option<Sample>)]; 2] = [
            &[("a", sample(0, 1.0, 0.0)), ("b", sample(0, 7.0, 0.0))],
            &[("a", sample(5, 1.0, 0.0)), ("b", sample(5, 9.5, 0.0))],
        ];
        check(&both, Some(0.5));
    }

    #[test]
    fn a_counter_that_began_again_counts_from_zero() {
        check(&[&[("a", sample(0, 100.0, 0.0))], &[("a", sample(5, 5.0, 0.0))]], Some(1.0));
    }

    #[test]
    fn it_is_unknown_until_every_ready_server_was_asked_twice() {
        check(&[], None);
        check(&[&[("a", sample(0, 0.0, 0.0))]], None);
        check(&[&[("a", sample(0, 0.0, 0.0))], &[("a", None)]], None);
        check(
            &[&[("a", sample(0, 0.0, 0.0))], &[("a", None)], &[("a", sample(9, 0.0, 0.0))]],
            None,
        );
        check(
            &[
                &[("a", sample(0, 0.0, 0.0))],
                &[("a", sample(5, 1.0, 0.0)), ("b", sample(5, 0.0, 0.0))],
            ],
            None,
        );
        check(&[&[("a", sample(5, 0.0, 0.0))], &[("a", sample(5, 1.0, 0.0))]], None);
        check(&[&[("a", sample(0, f64::NAN, 0.0))], &[("a", sample(5, 1.0, 0.0))]], None);
    }

    #[test]
    fn a_server_that_left_does_not_make_the_demand_unknown() {
        let looks: [&[(&str, Option<Sample>)]; 2] = [
            &[("a", sample(0, 0.0, 0.0)), ("b", sample(0, 0.0, 0.0))],
            &[("a", sample(5, 5.0, 0.0))],
        ];
        check(&looks, Some(1.0));
    }

    #[test]
    fn the_load_adds_up_what_the_servers_that_answered_said() {
        let mut track = Track::default();
        assert_eq!(track.load(), None);
        track.record([
            ("a".to_owned(), sample(0, 0.0, 0.0)),
            ("b".to_owned(), sample(0, 0.0, 10.0)),
        ]);
        track.record([
            ("a".to_owned(), sample(10, 0.0, 100.0)),
            ("b".to_owned(), sample(10, 0.0, 144.0)),
        ]);
        let load = Load {
            running_requests: Some(4),
            queued_requests: Some(2),
            tokens_per_second: Some(23.4),
        };
        assert_eq!(track.load(), Some(load));
        assert_eq!(track.load_seconds("b"), Some(0.5));
        track.record([("a".to_owned(), None)]);
        assert_eq!(track.load(), None);
    }
}
