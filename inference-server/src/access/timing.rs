//! Whether the time of a refusal tells anything of a key.

use std::time::Instant;

use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::{Access, Caller, Keys, Scope};
use crate::error::ApiError;

/// Keys of each kind. Where a key happens to lie in memory makes a difference of a nanosecond that shows every time, so that one key of each
/// kind would tell nothing.
const KEYS: usize = 8;
/// Times that each of them is refused.
const TRIES: usize = 3_000;

fn headers(key: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {key}")).expect("a header");
    HeaderMap::from_iter([(HeaderName::from_static("authorization"), value)])
}

/// The verdict on a key; nobody else is asked.
fn check(access: &Access, headers: &HeaderMap) -> Result<Option<Caller>, ApiError> {
    access.check(headers, Scope::Inference).now_or_never().expect("it waits for nothing")
}

/// Mean of what is not far off: a thread that lost its processor says nothing.
fn trimmed_mean(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.truncate(times.len() * 9 / 10);
    times.iter().sum::<f64>() / times.len() as f64
}

/// Mean, and variance of the mean.
fn mean(samples: &[f64]) -> (f64, f64) {
    let count = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / count;
    let variance = samples.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance / count)
}

/// Nanoseconds that each key's refusal takes, all of them taken in turns.
fn times(access: &Access, keys: &[HeaderMap]) -> Vec<f64> {
    let mut times = vec![Vec::with_capacity(TRIES); keys.len()];
    for round in 0..TRIES {
        // None is always the first.
        for place in 0..keys.len() {
            let index = (place * 5 + round) % keys.len();
            let begun = Instant::now();
            let refused = check(access, std::hint::black_box(&keys[index]));
            let took = begun.elapsed();
            assert_eq!(std::hint::black_box(refused), Err(ApiError::Unauthorized));
            times[index].push(took.as_nanos() as f64);
        }
    }
    times.into_iter().map(trimmed_mean).collect()
}

/// Welch's t of the times of the first half of the keys and of the second.
fn t(times: &[f64]) -> f64 {
    let (nears, fars) = times.split_at(times.len() / 2);
    let ((near, near_variance), (far, far_variance)) = (mean(nears), mean(fars));
    (near - far) / (near_variance + far_variance).sqrt().max(f64::MIN_POSITIVE)
}

#[test]
fn a_key_that_is_nearly_right_is_refused_as_fast_as_one_that_is_not() {
    let key = "k".repeat(500);
    let hash: String = Sha256::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!("keys:\n- {{name: team, sha256: {hash}}}\n");
    let access = Access::new(Some(Keys::parse(&text).expect("keys")), None, None);
    assert!(check(&access, &headers(&key)).is_ok());
    let letters = || ('a'..='z').filter(|letter| *letter != 'k').take(KEYS);
    let nears = letters().map(|last| headers(&format!("{}{last}", &key[..499])));
    let fars = letters().map(|letter| headers(&String::from(letter).repeat(500)));
    let keys: Vec<HeaderMap> = nears.chain(fars).collect();
    // Only what shows every time is more than chance.
    let found: Vec<f64> = (0..3).map(|_| t(&times(&access, &keys))).collect();
    assert!(found.iter().any(|t| t.abs() < 10.0), "t is {found:?}");
}

#[test]
fn what_takes_longer_would_be_found() {
    let (fast, slow) = ([100.0, 101.0, 99.5, 100.5], [115.0, 116.0, 114.5, 115.5]);
    assert!(t(&[slow, fast].concat()).abs() > 10.0);
    assert!(t(&[fast, fast].concat()).abs() < 10.0);
}
