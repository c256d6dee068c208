//! Whether the time of a refusal tells anything of a key.

use std::time::Instant;

use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::{Access, Caller, Keys, Scope};
use crate::error::ApiError;

const TRIES: usize = 20_000;

fn headers(key: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {key}")).expect("a header");
    HeaderMap::from_iter([(HeaderName::from_static("authorization"), value)])
}

/// The verdict on a key; nobody else is asked.
fn check(access: &Access, headers: &HeaderMap) -> Result<Option<Caller>, ApiError> {
    access.check(headers, Scope::Inference).now_or_never().expect("it waits for nothing")
}

/// Mean and variance, of its mean, of what is not far off: a thread that lost its processor says nothing.
fn mean(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    times.truncate(times.len() * 9 / 10);
    let count = times.len() as f64;
    let mean = times.iter().sum::<f64>() / count;
    let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, variance / count)
}

/// Welch's t of the times of two refusals, taken in turns.
fn t(access: &Access, near: &HeaderMap, far: &HeaderMap) -> f64 {
    let time = |headers: &HeaderMap| {
        let begun = Instant::now();
        let refused = check(access, std::hint::black_box(headers));
        let took = begun.elapsed();
        assert_eq!(std::hint::black_box(refused), Err(ApiError::Unauthorized));
        took.as_nanos() as f64
    };
    let (mut nears, mut fars) = (Vec::new(), Vec::new());
    for round in 0..TRIES {
        // Neither is always the first.
        if round % 2 == 0 {
            nears.push(time(near));
            fars.push(time(far));
        } else {
            fars.push(time(far));
            nears.push(time(near));
        }
    }
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
    let near = headers(&format!("{}x", &key[..499]));
    let far = headers(&"x".repeat(500));
    // Only what shows every time is more than chance.
    let found: Vec<f64> = (0..3).map(|_| t(&access, &near, &far)).collect();
    assert!(found.iter().any(|t| t.abs() < 10.0), "t is {found:?}");
}
