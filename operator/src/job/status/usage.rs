//! What a job used of models, and what that cost. No I/O.
//!
//! While rows are generated it is what the workers say, at the prices of now, and never less than before: what a worker used that
//! was not asked in time is not known until the end. At the end it is what the rows record, at the prices of then.

use textnlp_crds::job_status::{ModelUsage, Usage};

use super::Writer;
use crate::job::spec;

impl Writer<'_> {
    /// What was used until now, as far as the workers say.
    pub(super) fn usage_so_far(&self, told: &Usage) -> Usage {
        let nothing = Usage::default();
        let known = self.before.usage.as_ref().unwrap_or(&nothing);
        self.priced(self.by_model(most(known, told), &[]))
    }

    /// What was used in all, as the rows record it.
    pub(super) fn usage_at_the_end(&self, recorded: &Usage) -> Usage {
        let known = self.before.usage.as_ref().map_or(&[][..], |usage| usage.models.as_slice());
        self.priced(self.by_model(recorded.clone(), known))
    }

    /// Pods of an older version do not tell models apart, and the parts of very many models do not fit into a pod's message. The
    /// only model of a job has used all of it, whoever tells; of several, what was `known` of them last is the best that there is.
    fn by_model(&self, mut usage: Usage, known: &[ModelUsage]) -> Usage {
        let models = spec::models(&self.observed.job.spec);
        // A pod with an image of the user's may say anything, and anything twice.
        for part in std::mem::take(&mut usage.models) {
            if models.contains(&part.name) {
                let model = usage.of_model(&part.name);
                model.prompt_tokens = model.prompt_tokens.saturating_add(part.prompt_tokens);
                model.completion_tokens =
                    model.completion_tokens.saturating_add(part.completion_tokens);
                model.requests = model.requests.saturating_add(part.requests);
            }
        }
        if usage == Usage::default() {
            return usage;
        }
        let alone = |name: &str| models.len() == 1 && usage.models.iter().all(|m| m.name == name);
        match models.first().filter(|name| alone(name)) {
            Some(only) => {
                let Usage { prompt_tokens, completion_tokens, requests, .. } = usage;
                *usage.of_model(only) = ModelUsage {
                    name: only.clone(),
                    prompt_tokens,
                    completion_tokens,
                    requests,
                    cost: None,
                };
            }
            None if usage.models.is_empty() => usage.models = known.to_vec(),
            None => {}
        }
        usage
    }

    /// With what the tokens cost, where their models have a price.
    fn priced(&self, mut usage: Usage) -> Usage {
        for part in &mut usage.models {
            part.cost = match self.observed.models.get(&part.name) {
                Some(Some(model)) => {
                    let price = model.spec.price.as_ref();
                    price.and_then(|price| price.of(part.prompt_tokens, part.completion_tokens))
                }
                // It was deleted, and its price with it: the job keeps the cost that was known last.
                _ => self.known_part(&part.name).and_then(|known| known.cost.clone()),
            };
        }
        usage.add_up_costs();
        usage
    }

    fn known_part(&self, model: &str) -> Option<&ModelUsage> {
        self.before.usage.as_ref()?.models.iter().find(|part| part.name == model)
    }
}

/// The greater of what was known and what the workers say, without costs: an operator that was started anew has not seen the
/// workers that are gone.
fn most(known: &Usage, told: &Usage) -> Usage {
    let mut most = Usage {
        prompt_tokens: known.prompt_tokens.max(told.prompt_tokens),
        completion_tokens: known.completion_tokens.max(told.completion_tokens),
        requests: known.requests.max(told.requests),
        ..Usage::default()
    };
    for part in known.models.iter().chain(&told.models) {
        let model = most.of_model(&part.name);
        model.prompt_tokens = model.prompt_tokens.max(part.prompt_tokens);
        model.completion_tokens = model.completion_tokens.max(part.completion_tokens);
        model.requests = model.requests.max(part.requests);
    }
    most
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use textnlp_crds::task::{Finalized, Verdict};
    use textnlp_crds::{GenerationJobStatus, ModelDeployment};

    use super::super::status;
    use super::*;
    use crate::job::apply::Applied;
    use crate::job::fixture::*;
    use crate::job::observe::Observed;
    use crate::job::plan::Stand;
    use crate::job::progress::Rates;

    /// A job whose columns call these models, while rows are generated.
    fn running(models: &[(&str, Value)]) -> Observed {
        let columns: Vec<Value> = models
            .iter()
            .enumerate()
            .map(|(index, (name, _))| {
                json!({"name": format!("c{index}"), "prompt": "x", "modelRef": {"name": name}})
            })
            .collect();
        let job = with_status(job(json!({"columns": columns})), begun(json!({})));
        let child = generate(&job, json!({"status": {"active": 1}}));
        let mut observed = observed(job.clone(), vec![prepare_done(&job), child]);
        observed.models = models
            .iter()
            .map(|(name, price)| ((*name).to_owned(), Some(Arc::new(priced(name, price)))))
            .collect();
        observed
    }

    fn priced(name: &str, price: &Value) -> ModelDeployment {
        let mut model = model();
        model.metadata.name = Some(name.to_owned());
        model.spec.price = serde_json::from_value(price.clone()).expect("a price, or none");
        model
    }

    fn euros(prompt: &str, completion: &str) -> Value {
        json!({"currency": "EUR", "promptTokens": prompt, "completionTokens": completion})
    }

    fn usage(value: Value) -> Usage {
        serde_json::from_value(value).expect("a usage")
    }

    /// What the status says when the workers say this.
    fn told(observed: &mut Observed, value: Value) -> Value {
        observed.rates = Some(Rates { usage: usage(value), ..Rates::default() });
        write(observed, Stand::Generating(answered(), None))
    }

    /// What the status says when finalize answers this.
    fn recorded(observed: &mut Observed, value: Value) -> Value {
        let done =
            Finalized { verdict: Verdict::Succeeded, usage: usage(value), ..Finalized::default() };
        write(observed, Stand::Done(done.into(), None))
    }

    /// Writes the status into the job, and returns its usage.
    fn write(observed: &mut Observed, stand: Stand) -> Value {
        let applied = Applied { attempt: observed.attempt, stand };
        let status: GenerationJobStatus = status(observed, &applied, at(100));
        let found = json!(status.usage);
        observed.job = Arc::new(with_status(
            (*observed.job).clone(),
            serde_json::to_value(status).expect("JSON"),
        ));
        found
    }

    fn part(name: &str, prompt: i64, completion: i64) -> Value {
        json!({"name": name, "promptTokens": prompt, "completionTokens": completion, "requests": 1})
    }

    fn part_for(name: &str, prompt: i64, completion: i64, amount: &str) -> Value {
        let mut part = part(name, prompt, completion);
        part["cost"] = json!({"currency": "EUR", "amount": amount});
        part
    }

    fn total(prompt: i64, completion: i64, models: Value) -> Value {
        json!({"promptTokens": prompt, "completionTokens": completion, "requests": 1, "models": models})
    }

    #[test]
    fn each_model_costs_its_own_price_and_currencies_are_not_mixed() {
        let dollars = json!({"currency": "USD", "promptTokens": "1000", "completionTokens": "0"});
        let mut observed =
            running(&[("free", Value::Null), ("judge", dollars), ("writer", euros("100", "200"))]);
        let parts = json!([part("free", 9, 9), part("judge", 30, 1), part("writer", 10, 20)]);
        let mut expect = total(49, 30, parts.clone());
        expect["models"][1]["cost"] = json!({"currency": "USD", "amount": "0.030000"});
        expect["models"][2]["cost"] = json!({"currency": "EUR", "amount": "0.005000"});
        expect["costs"] = json!([
            {"currency": "EUR", "amount": "0.005000"},
            {"currency": "USD", "amount": "0.030000"},
        ]);
        expect["costSummary"] = json!("0.005000 EUR + 0.030000 USD");
        assert_eq!(told(&mut observed, total(49, 30, parts.clone())), expect);
        assert_eq!(recorded(&mut observed, total(49, 30, parts)), expect);
    }

    #[test]
    fn a_model_without_a_price_costs_nobody_knows_what() {
        let mut observed = running(&[("smollm2", Value::Null)]);
        let expect = total(3, 4, json!([part("smollm2", 3, 4)]));
        assert_eq!(told(&mut observed, expect.clone()), expect);
    }

    #[test]
    fn what_workers_used_never_shrinks_until_the_rows_tell_the_truth() {
        let mut observed = running(&[("smollm2", euros("1000000", "0"))]);
        let at = |tokens: i64, amount: &str| {
            let mut expect = total(tokens, 0, json!([part_for("smollm2", tokens, 0, amount)]));
            expect["costs"] = json!([{"currency": "EUR", "amount": amount}]);
            expect["costSummary"] = json!(format!("{amount} EUR"));
            expect
        };
        let say = |tokens: i64| total(tokens, 0, json!([part("smollm2", tokens, 0)]));
        assert_eq!(told(&mut observed, say(50)), at(50, "50.000000"));
        // An operator that was started anew.
        assert_eq!(told(&mut observed, say(20)), at(50, "50.000000"));
        assert_eq!(recorded(&mut observed, say(45)), at(45, "45.000000"));
    }

    #[test]
    fn a_new_price_counts_until_the_job_ends_and_not_after() {
        let mut observed = running(&[("smollm2", euros("1000000", "0"))]);
        let say = total(5, 0, json!([part("smollm2", 5, 0)]));
        assert_eq!(told(&mut observed, say.clone())["costSummary"], "5.000000 EUR");
        let model = |prompt: &str| Some(Arc::new(priced("smollm2", &euros(prompt, "0"))));
        observed.models.insert("smollm2".into(), model("2000000"));
        assert_eq!(recorded(&mut observed, say)["costSummary"], "10.000000 EUR");
        observed.models.insert("smollm2".into(), model("3000000"));
        assert_eq!(write(&mut observed, Stand::Ended)["costSummary"], "10.000000 EUR");
    }

    #[test]
    fn the_cost_of_a_model_that_was_deleted_is_what_was_known_last() {
        let mut observed = running(&[("smollm2", euros("1000000", "0"))]);
        let say = total(5, 0, json!([part("smollm2", 5, 0)]));
        told(&mut observed, say.clone());
        observed.models.insert("smollm2".into(), None);
        assert_eq!(recorded(&mut observed, say)["costSummary"], "5.000000 EUR");
    }

    #[test]
    fn pods_that_do_not_tell_models_apart_mean_the_only_one() {
        let bare = json!({"promptTokens": 7, "completionTokens": 8, "requests": 1});
        let mut one = running(&[("smollm2", euros("1000000", "1000000"))]);
        let expect = json!([part_for("smollm2", 7, 8, "15.000000")]);
        assert_eq!(told(&mut one, bare.clone())["models"], expect);
        // What they say later is its part, too; and so is what newer pods add that do tell.
        let more = json!({"promptTokens": 9, "completionTokens": 8, "requests": 1});
        let expect_more = json!([part_for("smollm2", 9, 8, "17.000000")]);
        assert_eq!(told(&mut one, more)["models"], expect_more);
        let mixed = total(20, 8, json!([part("smollm2", 11, 0)]));
        let expect_mixed = json!([part_for("smollm2", 20, 8, "28.000000")]);
        assert_eq!(told(&mut one, mixed)["models"], expect_mixed);
        assert_eq!(recorded(&mut one, bare.clone())["models"], expect);

        // Of several, what was known last.
        let mut two = running(&[("a", euros("1000000", "0")), ("b", euros("2000000", "0"))]);
        assert_eq!(told(&mut two, bare.clone()).get("models"), None);
        told(&mut two, total(7, 0, json!([part("a", 3, 0), part("b", 4, 0)])));
        let end = recorded(&mut two, bare);
        assert_eq!((&end["promptTokens"], &end["completionTokens"]), (&json!(7), &json!(8)));
        let expect = json!([part_for("a", 3, 0, "3.000000"), part_for("b", 4, 0, "8.000000")]);
        assert_eq!(end["models"], expect);
    }

    #[test]
    fn a_pod_cannot_make_up_models() {
        let mut observed = running(&[("a", Value::Null), ("b", Value::Null)]);
        let say = total(9, 0, json!([part("a", 3, 0), part("b", 4, 0), part("c", 2, 0)]));
        let expect = total(9, 0, json!([part("a", 3, 0), part("b", 4, 0)]));
        assert_eq!(told(&mut observed, say), expect);
    }
}
