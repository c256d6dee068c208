//! How long a request may take, from its coming to its last token. Reads a header; the clock is a parameter.

use std::time::{Duration, Instant};

use http::HeaderMap;

use crate::error::ApiError;

/// How many seconds the sender waits.
const HEADER: &str = "x-request-timeout";

/// When a request's time is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Deadline {
    at: Instant,
    /// For the error.
    seconds: f64,
}

impl Deadline {
    /// The shorter of what the sender says and what the server allows; none: neither says anything.
    pub(crate) fn of(
        headers: &HeaderMap,
        limit: Option<Duration>,
        arrived: Instant,
    ) -> Result<Option<Self>, ApiError> {
        let time = match (wanted(headers)?, limit) {
            (Some(wanted), Some(limit)) => Some(wanted.min(limit)),
            (one, other) => one.or(other),
        };
        // Beyond what the clock can tell is never.
        Ok(time.and_then(|time| {
            let at = arrived.checked_add(time)?;
            Some(Self { at, seconds: time.as_secs_f64() })
        }))
    }

    /// When it is.
    pub(crate) fn at(self) -> tokio::time::Instant {
        self.at.into()
    }

    /// What the sender is told then.
    pub(crate) fn error(self) -> ApiError {
        ApiError::DeadlineExceeded { seconds: self.seconds }
    }
}

/// The result of work that is dropped at the deadline.
pub(crate) async fn within<T>(
    deadline: Option<Deadline>,
    work: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    match deadline {
        None => work.await,
        Some(deadline) => {
            let done = tokio::time::timeout_at(deadline.at(), work).await;
            done.unwrap_or_else(|_| Err(deadline.error()))
        }
    }
}

fn wanted(headers: &HeaderMap) -> Result<Option<Duration>, ApiError> {
    let Some(value) = headers.get(HEADER) else { return Ok(None) };
    let seconds = value.to_str().ok().and_then(|text| text.trim().parse::<f64>().ok());
    let seconds = seconds.filter(|seconds| *seconds > 0.0 && seconds.is_finite());
    let time = seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
    match time {
        Some(time) => Ok(Some(time)),
        None => {
            let message = format!("the header {HEADER} must be a number of seconds above 0");
            Err(ApiError::invalid(HEADER, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn seconds(value: Option<&'static str>, limit: Option<u64>) -> Result<Option<f64>, ApiError> {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(HEADER, HeaderValue::from_static(value));
        }
        let now = Instant::now();
        let deadline = Deadline::of(&headers, limit.map(Duration::from_secs), now)?;
        assert!(deadline.is_none_or(|deadline| deadline.at() > now.into()));
        Ok(deadline.map(|deadline| deadline.seconds))
    }

    #[test]
    fn the_shorter_time_counts() {
        assert_eq!(seconds(None, None), Ok(None));
        assert_eq!(seconds(None, Some(60)), Ok(Some(60.0)));
        assert_eq!(seconds(Some("2.5"), None), Ok(Some(2.5)));
        assert_eq!(seconds(Some("2.5"), Some(60)), Ok(Some(2.5)));
        assert_eq!(seconds(Some("600"), Some(60)), Ok(Some(60.0)));
        assert_eq!(seconds(Some("1e300"), None), Ok(None), "that is never");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for value in ["", "soon", "0", "-1", "inf", "NaN", "5s"] {
            let error = seconds(Some(value), None).expect_err(value);
            assert_eq!(error.status().as_u16(), 400, "{value}");
        }
    }
}
