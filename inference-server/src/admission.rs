//! How many completions the server takes, and how many prompts become tokens at once: no request costs work that the
//! engine would not soon begin, and their preparation leaves processors to the engine.

use std::sync::Arc;
use std::thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Bounds on the work that is taken.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Completions that are computed or wait.
    places: Arc<Semaphore>,
    capacity: usize,
    /// Prompts that are being rendered and tokenized.
    encoders: Arc<Semaphore>,
    /// Calls without a model, whose work may be long: those that wait or run, and those that run.
    calls: Arc<Semaphore>,
    workers: Arc<Semaphore>,
}

/// Calls without a model that wait or run at once.
const CALLS: usize = 64;

/// A place; free again when it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

impl Admission {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        let encoders = thread::available_parallelism().map_or(1, usize::from);
        Self {
            places: Arc::new(Semaphore::new(capacity)),
            capacity,
            encoders: Arc::new(Semaphore::new(encoders)),
            calls: Arc::new(Semaphore::new(CALLS)),
            // Half of the processors stay for the model.
            workers: Arc::new(Semaphore::new((encoders / 2).max(1))),
        }
    }

    /// Places for all choices of a request, or none.
    pub(crate) fn enter(&self, choices: usize) -> Result<Vec<Place>, ApiError> {
        if choices > self.capacity {
            let message = format!(
                "the request asks for {choices} completions; this server takes {} at most",
                self.capacity
            );
            return Err(ApiError::invalid("n", message));
        }
        let full = || ApiError::QueueFull { capacity: self.capacity };
        let count = u32::try_from(choices).map_err(|_| full())?;
        let places = Arc::clone(&self.places).try_acquire_many_owned(count);
        let mut places = places.map_err(|_| full())?;
        Ok((0..choices).filter_map(|_| places.split(1)).collect())
    }

    /// Prepares prompts, away from the threads that serve connections: a template or a long text may take its time.
    pub(crate) async fn encode<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = Arc::clone(&self.encoders).acquire_owned().await;
        blocking(permit.map_err(|_| ApiError::Internal)?, work).await
    }

    /// A place among the calls that need no model; taken before their body is read.
    pub(crate) fn queue(&self) -> Result<Place, ApiError> {
        let place = Arc::clone(&self.calls).try_acquire_owned();
        place.map_err(|_| ApiError::QueueFull { capacity: CALLS })
    }

    /// Does the work of such a call when its turn comes.
    pub(crate) async fn compute<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = Arc::clone(&self.workers).acquire_owned().await;
        blocking((place, permit.map_err(|_| ApiError::Internal)?), work).await
    }
}

/// Work away from the threads that serve connections. It goes on when the client goes, and so keeps its permits.
async fn blocking<T: Send + 'static>(
    permits: impl Send + 'static,
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let work = move || {
        let done = work();
        drop(permits);
        done
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!("work on a request failed: {error}");
        Err(ApiError::Internal)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_while_a_prompt_is_prepared_fails_that_request_alone() {
        let admission = Admission::new(1);
        let failed = admission.encode(|| -> Result<(), ApiError> { panic!("a template") }).await;
        assert_eq!(failed, Err(ApiError::Internal));
        assert_eq!(admission.encode(|| Ok(7)).await, Ok(7));
    }

    #[test]
    fn a_request_gets_all_its_places_or_none() {
        let admission = Admission::new(3);
        let first = admission.enter(2).expect("there is room");
        assert_eq!(first.len(), 2);
        let refused = admission.enter(2).expect_err("one place is left");
        assert_eq!(refused, ApiError::QueueFull { capacity: 3 });
        let second = admission.enter(1).expect("the last place");
        drop(first);
        assert_eq!(admission.enter(2).expect("free again").len(), 2);
        drop(second);
        assert_eq!(admission.enter(4).expect_err("never").status().as_u16(), 400);
    }
}
