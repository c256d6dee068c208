//! Conditions: set by type, with a transition time that changes only with the status. No I/O.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use textnlp_crds::conditions::Condition;

/// Bytes of a condition's message at most (the API server's limit is 32,768); longer ones are cut.
pub const MESSAGE_LIMIT: usize = 4096;

/// The status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Nobody knows yet.
    Unknown,
}

impl State {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for State {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// The conditions of a status that is being written, beside those that were observed.
#[derive(Clone, Debug)]
pub struct Conditions {
    before: Vec<Condition>,
    after: Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
}

impl Conditions {
    /// Starts from the observed conditions, for a spec of this generation.
    pub fn new(observed: &[Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self { before: observed.to_vec(), after: Vec::new(), generation, now }
    }

    /// Sets a condition. Its transition time stays where its status stays.
    pub fn set(&mut self, type_: &str, state: State, reason: &str, message: impl Into<String>) {
        let before = find(&self.before, type_).filter(|before| before.status == state.as_str());
        let last_transition_time =
            before.map_or(Time(self.now), |before| before.last_transition_time.clone());
        self.after.retain(|condition| condition.type_ != type_);
        self.after.push(Condition {
            type_: type_.into(),
            status: state.as_str().into(),
            reason: reason.into(),
            message: cut(message.into()),
            observed_generation: self.generation,
            last_transition_time,
        });
    }

    /// Keeps a condition as it was observed, if there was one.
    pub fn keep(&mut self, type_: &str) {
        if let Some(before) = find(&self.before, type_) {
            self.after.retain(|condition| condition.type_ != type_);
            self.after.push(before.clone());
        }
    }

    /// The conditions, in the order in which they were set.
    pub fn finish(self) -> Vec<Condition> {
        self.after
    }
}

/// The condition of a type.
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Whether the condition of a type is `True`.
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// Whether the condition of a type is `False`.
pub fn is_false(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|condition| condition.status == "False")
}

fn cut(mut message: String) -> String {
    if message.len() > MESSAGE_LIMIT {
        let mut end = MESSAGE_LIMIT - '…'.len_utf8();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a valid time")
    }

    #[test]
    fn the_transition_time_changes_only_with_the_status() {
        let mut conditions = Conditions::new(&[], Some(1), at(1));
        conditions.set("Ready", State::False, "Starting", "");
        let first = conditions.finish();

        let mut conditions = Conditions::new(&first, Some(2), at(2));
        conditions.set("Ready", State::False, "Loading", "still");
        let second = conditions.finish();
        assert_eq!(second[0].last_transition_time, Time(at(1)));
        assert_eq!(
            (second[0].reason.as_str(), second[0].observed_generation),
            ("Loading", Some(2))
        );

        let mut conditions = Conditions::new(&second, Some(2), at(3));
        conditions.set("Ready", State::True, "Ready", "");
        assert_eq!(conditions.finish()[0].last_transition_time, Time(at(3)));
    }

    #[test]
    fn a_message_is_cut_at_a_character() {
        let mut conditions = Conditions::new(&[], None, at(0));
        conditions.set("Ready", State::False, "Long", "ä".repeat(MESSAGE_LIMIT));
        let message = &conditions.finish()[0].message;
        assert!(message.len() <= MESSAGE_LIMIT && message.ends_with("ä…"));
    }
}
