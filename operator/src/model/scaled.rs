//! The condition `Scaled`: who decides on the number of servers. Pure.

use super::scale::Scaled;
use super::scaling::{Decision, Why};
use super::validate::Validated;
use crate::conditions::State;

/// Its status, reason and message. The message has no figure that changes by itself: each change is a write.
pub fn scaled(
    model: &Validated,
    decision: Decision,
    outcome: Option<&Scaled>,
    blind: bool,
) -> (State, &'static str, String) {
    let Decision { replicas, why } = decision;
    let spec = model.spec.replicas;
    if let Some(Scaled::OwnedBy(owner)) = outcome {
        let message = format!(
            "{replicas} servers are wanted, but spec.replicas of the Deployment {} belongs to {owner}: take it away there, then delete the Deployment with --cascade=orphan, and it is made again around its pods",
            model.child_name()
        );
        return (State::False, "ReplicasOwnedByOther", message);
    }
    let ignored = match spec {
        1 => String::new(),
        spec => format!("; spec.replicas ({spec}) is ignored beside spec.scaling"),
    };
    match why {
        Why::Fixed => (State::True, "FixedReplicas", format!("spec.replicas asks for {spec}")),
        _ if blind => (
            State::Unknown,
            "DemandUnknown",
            format!(
                "the servers' metrics cannot be read: {replicas} servers are kept until they can{ignored}"
            ),
        ),
        Why::Idle => (State::True, "Idle", format!("nobody asks for the model{ignored}")),
        Why::Initial
        | Why::Demand
        | Why::Held
        | Why::Stabilizing
        | Why::IdleSoon
        | Why::Unknown => (
            State::True,
            "FollowsDemand",
            format!("the number of servers follows jobs and requests{ignored}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::model;
    use super::*;
    use serde_json::json;

    #[test]
    fn the_condition_says_who_decides() {
        let model = model(json!({
            "source": {"huggingFace": {"repo": "a/b"}}, "replicas": 4, "scaling": {"maxReplicas": 8},
        }));
        let check = |why: Why, outcome: Scaled, blind: bool, expect: (&str, &str)| {
            let decision = Decision { replicas: 2, why };
            let (state, reason, message) = scaled(&model, decision, Some(&outcome), blind);
            assert_eq!((state.as_str(), reason), expect);
            message
        };
        check(Why::Demand, Scaled::Done, false, ("True", "FollowsDemand"));
        check(Why::Unknown, Scaled::Done, false, ("True", "FollowsDemand"));
        check(Why::Unknown, Scaled::Done, true, ("Unknown", "DemandUnknown"));
        check(Why::Fixed, Scaled::Done, false, ("True", "FixedReplicas"));
        let idle = check(Why::Idle, Scaled::Done, false, ("True", "Idle"));
        assert!(idle.contains("spec.replicas (4) is ignored"), "{idle}");
        let owned = Scaled::OwnedBy("kubectl".into());
        let other = check(Why::Demand, owned, false, ("False", "ReplicasOwnedByOther"));
        assert!(other.contains("belongs to kubectl"), "{other}");
    }
}
