//! What was asked of models, and what it cost. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use textnlp_crds::cost::{self, Cost};
use textnlp_crds::job_status::ModelUsage;
use textnlp_dataset::Tokens;

use crate::completer::Models;

/// What was asked of models.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "RowsUsage")]
pub struct Usage {
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens written.
    pub completion_tokens: u64,
    /// Completions.
    pub requests: u64,
}

/// The same, with each model's part and what it cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageReport {
    /// Of all models.
    #[serde(flatten)]
    pub total: Usage,
    /// By model, in the order of their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ModelUsage>,
    /// What the tokens cost, by currency: the sums of what those models cost that have a price.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub costs: Vec<Cost>,
}

impl Usage {
    /// Counts a completion.
    pub(crate) fn add(&mut self, tokens: &Tokens) {
        self.prompt_tokens += tokens.prompt;
        self.completion_tokens += tokens.completion;
        self.requests += 1;
    }
}

impl UsageReport {
    /// The total, and its parts by the name of their models, at the prices that these have.
    pub(crate) fn new(total: Usage, parts: &BTreeMap<String, Usage>, models: &Models) -> Self {
        let parts = parts.iter().map(|(name, used)| {
            let (prompt, completion) = (whole(used.prompt_tokens), whole(used.completion_tokens));
            ModelUsage {
                name: name.clone(),
                prompt_tokens: prompt,
                completion_tokens: completion,
                requests: whole(used.requests),
                cost: models.price(name).and_then(|price| price.of(prompt, completion)),
            }
        });
        let models: Vec<ModelUsage> = parts.collect();
        let costs = cost::sums(models.iter().filter_map(|model| model.cost.as_ref()));
        Self { total, models, costs }
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The costs in one line, if there are any.
    pub fn cost_line(&self) -> Option<String> {
        cost::line(&self.costs)
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use textnlp_crds::cost::Price;

    use super::*;

    fn used(prompt: u64, completion: u64) -> Usage {
        Usage { prompt_tokens: prompt, completion_tokens: completion, requests: 1 }
    }

    #[test]
    fn each_model_has_its_part_and_those_with_a_price_their_cost() {
        let mut models = Models::default();
        let price = |currency: &str| Price {
            currency: currency.into(),
            prompt_tokens: "10".into(),
            completion_tokens: "20".into(),
        };
        models.set_price("judge", price("USD"));
        models.set_price("writer", price("EUR"));
        let parts = BTreeMap::from([
            ("free".to_owned(), used(5, 5)),
            ("judge".to_owned(), used(100, 1)),
            ("writer".to_owned(), used(7, 50)),
        ]);
        let report = UsageReport::new(used(112, 56), &parts, &models);
        let expect = json!({
            "promptTokens": 112, "completionTokens": 56, "requests": 1,
            "models": [
                {"name": "free", "promptTokens": 5, "completionTokens": 5, "requests": 1},
                {"name": "judge", "promptTokens": 100, "completionTokens": 1, "requests": 1,
                 "cost": {"currency": "USD", "amount": "0.001020"}},
                {"name": "writer", "promptTokens": 7, "completionTokens": 50, "requests": 1,
                 "cost": {"currency": "EUR", "amount": "0.001070"}},
            ],
            "costs": [{"currency": "EUR", "amount": "0.001070"}, {"currency": "USD", "amount": "0.001020"}],
        });
        assert_eq!(json!(report), expect);
        assert_eq!(serde_json::from_value::<UsageReport>(expect).unwrap(), report);
        assert_eq!(report.cost_line().as_deref(), Some("0.001070 EUR + 0.001020 USD"));
    }

    #[test]
    fn reports_of_before_and_of_jobs_without_a_model_are_read() {
        let before = json!({"promptTokens": 1, "completionTokens": 2, "requests": 3});
        let read: UsageReport = serde_json::from_value(before.clone()).unwrap();
        assert_eq!((read.total.requests, read.models.len(), read.is_none()), (3, 0, false));
        assert_eq!(json!(read), before);
        assert!(UsageReport::new(Usage::default(), &BTreeMap::new(), &Models::default()).is_none());
    }
}
