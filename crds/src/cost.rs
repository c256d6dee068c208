//! What tokens cost. Prices and amounts are decimal numbers, computed in whole numbers and never in floating point. No I/O.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The code of a currency.
const CURRENCY: &str = "^[A-Z]{3}$";
/// A price: at most nine digits before the point, and six behind it.
const PRICE: &str = r"^[0-9]{1,9}(\.[0-9]{1,6})?$";

/// Digits before the point of a price, and of an amount. The greatest amount (all tokens that 64 bits can count, at the highest price)
/// has 23.
const PRICE_DIGITS: usize = 9;
const AMOUNT_DIGITS: usize = 24;
/// Digits behind the point.
const DECIMALS: usize = 6;
/// Millionths of a unit; and as many tokens have a price.
const MILLION: i128 = 1_000_000;

/// What the tokens of a model cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Price {
    /// The currency's code of three capital letters (ISO 4217), such as `EUR`.
    #[schemars(regex(pattern = CURRENCY))]
    pub currency: String,
    /// The price of a million tokens of prompts: a decimal number in quotes, such as `"0.15"`, with
    /// at most six digits behind the point.
    #[schemars(regex(pattern = PRICE))]
    pub prompt_tokens: String,
    /// The price of a million tokens of completions, written likewise.
    #[schemars(regex(pattern = PRICE))]
    pub completion_tokens: String,
}

/// An amount of money.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// The currency's code.
    pub currency: String,
    /// The amount in the currency's units, with six digits behind the point, such as `"0.012345"`.
    pub amount: String,
}

impl Price {
    /// What so many tokens cost, rounded to the nearest millionth of a unit (halves up); none if the price is not written as the
    /// schema demands.
    pub fn of(&self, prompt_tokens: i64, completion_tokens: i64) -> Option<Cost> {
        // Below 2^63 tokens at less than 10^15 millionths each: both parts together stay below 2^115.
        let part = |tokens: i64, price: &str| {
            Some(i128::from(tokens.max(0)) * millionths(price, PRICE_DIGITS)?)
        };
        let exact = part(prompt_tokens, &self.prompt_tokens)?
            + part(completion_tokens, &self.completion_tokens)?;
        Some(Cost::new(&self.currency, (exact + MILLION / 2) / MILLION))
    }

    /// The price of one token of a prompt and of one of a completion, for metrics.
    pub fn of_one_token(&self) -> Option<(f64, f64)> {
        // Both numbers are exact, so that the quotient is the nearest double.
        let one = |price: &str| Some(millionths(price, PRICE_DIGITS)? as f64 / 1e12);
        Some((one(&self.prompt_tokens)?, one(&self.completion_tokens)?))
    }
}

impl Cost {
    fn new(currency: &str, millionths: i128) -> Self {
        let (whole, part) = (millionths / MILLION, millionths % MILLION);
        Self { currency: currency.to_owned(), amount: format!("{whole}.{part:06}") }
    }

    /// The amount, for metrics; none if it is no amount.
    pub fn number(&self) -> Option<f64> {
        millionths(&self.amount, AMOUNT_DIGITS)?;
        self.amount.parse().ok()
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency)
    }
}

/// The sums of amounts, one for each currency, in the order of their codes.
pub fn sums<'a>(costs: impl IntoIterator<Item = &'a Cost>) -> Vec<Cost> {
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    for cost in costs {
        if let Some(amount) = millionths(&cost.amount, AMOUNT_DIGITS) {
            let sum = sums.entry(&cost.currency).or_default();
            *sum = sum.saturating_add(amount);
        }
    }
    sums.into_iter().map(|(currency, sum)| Cost::new(currency, sum)).collect()
}

/// Amounts in one line; none where there are none.
pub fn line(costs: &[Cost]) -> Option<String> {
    let amounts: Vec<String> = costs.iter().map(Cost::to_string).collect();
    (!amounts.is_empty()).then(|| amounts.join(" + "))
}

/// A decimal number in millionths; none if it is not written with so many digits before the point and at most six behind it.
fn millionths(text: &str, digits: usize) -> Option<i128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |part: &str, most: usize| {
        (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_number(whole, digits) || !is_number(part, DECIMALS) {
        return None;
    }
    let part: i128 = format!("{part:0<DECIMALS$}").parse().ok()?;
    Some(whole.parse::<i128>().ok()? * MILLION + part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(prompt: &str, completion: &str) -> Price {
        Price {
            currency: "EUR".into(),
            prompt_tokens: prompt.into(),
            completion_tokens: completion.into(),
        }
    }

    fn cost(amount: &str, currency: &str) -> Cost {
        Cost { currency: currency.into(), amount: amount.into() }
    }

    #[test]
    fn a_cost_is_tokens_times_price_to_the_millionth() {
        let check = |price: Price, prompt, completion, expect: &str| {
            let found = price.of(prompt, completion).expect("a price");
            assert_eq!(found, cost(expect, "EUR"), "{price:?}");
        };
        check(price("0.15", "0.60"), 1_000_000, 1_000_000, "0.750000");
        check(price("0.15", "0.6"), 12_345, 6_789, "0.005925"); // 0.00185175 + 0.0040734
        check(price("3", "15"), 1, 0, "0.000003");
        check(price("0", "0"), 1_000, 1_000, "0.000000");
        check(price("12.5", "0"), 40_000_000_000, 7, "500000.000000");
        // Halves go up, less goes down.
        check(price("0.5", "0"), 1, 0, "0.000001");
        check(price("0.499999", "0"), 1, 0, "0.000000");
        check(price("0.000001", "0"), 1_500_000, 0, "0.000002");
        check(price("0.000001", "0"), 1_499_999, 0, "0.000001");
        // Both parts are added before they are rounded.
        check(price("0.3", "0.3"), 1, 1, "0.000001");
        check(price("1", "1"), -5, 0, "0.000000");
    }

    #[test]
    fn the_greatest_numbers_do_not_overflow() {
        let highest = "999999999.999999";
        let most = price(highest, highest).of(i64::MAX, i64::MAX).expect("a price");
        assert_eq!(most.amount, "18446744073709533167255.926290");
        assert_eq!(sums([&most, &most]), [cost("36893488147419066334511.852580", "EUR")]);
    }

    #[test]
    fn what_the_schema_refuses_is_no_price() {
        for bad in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "1.1234567",
            "1234567890",
            "0x1",
            " 1",
            "1 ",
            "١",
        ] {
            assert_eq!(price(bad, "1").of(1, 1), None, "{bad:?}");
            assert_eq!(price("1", bad).of_one_token(), None, "{bad:?}");
        }
    }

    #[test]
    fn amounts_are_added_by_currency() {
        let costs = [cost("0.100000", "USD"), cost("0.200000", "EUR"), cost("1.900001", "USD")];
        let found = sums(&costs);
        assert_eq!(found, [cost("0.200000", "EUR"), cost("2.000001", "USD")]);
        assert_eq!(line(&found).as_deref(), Some("0.200000 EUR + 2.000001 USD"));
        assert!(sums(&[cost("much", "EUR")]).is_empty());
        assert_eq!(line(&[]), None);
    }

    #[test]
    fn metrics_get_the_nearest_double() {
        assert_eq!(price("0.15", "0.6").of_one_token(), Some((1.5e-7, 6e-7)));
        assert_eq!(cost("0.012345", "EUR").number(), Some(0.012345));
        assert_eq!(cost("much", "EUR").number(), None);
        assert_eq!(cost("inf", "EUR").number(), None);
    }
}
