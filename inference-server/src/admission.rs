//! How many completions the server takes, and how many prompts become tokens at once: no request costs work that the
//! engine would not soon begin, and their preparation leaves processors to the engine.

use std::sync::Arc;
use std::thread;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::access::Caller;
use crate::error::ApiError;
use crate::line::{Line, Place};

/// Bounds on the work that is taken.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Completions that are computed or wait.
    line: Arc<Line>,
    /// Bytes of requests whose prompts are not tokens yet.
    bytes: Arc<Semaphore>,
    /// Prompts that are being rendered and tokenized.
    encoders: Arc<Semaphore>,
    /// Calls whose work may be long beside the model: those that wait or run, and those without a model that run.
    calls: Arc<Line>,
    workers: Arc<Semaphore>,
}

/// Calls of `/generate`, `/validate` and `/format` that wait or run at once.
const CALLS: usize = 64;

/// Bytes of bodies that are read, or wait to become tokens: what all clients together can make the server remember.
const BYTES: usize = 256 << 20;

/// Bytes that a request has taken; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Bytes {
    all: Arc<Semaphore>,
    taken: Option<OwnedSemaphorePermit>,
}

impl Bytes {
    /// Takes more.
    pub(crate) fn take(&mut self, count: usize) -> Result<(), ApiError> {
        let full = || ApiError::BodiesFull;
        let count = u32::try_from(count).map_err(|_| full())?;
        let more = Arc::clone(&self.all).try_acquire_many_owned(count).map_err(|_| full())?;
        match &mut self.taken {
            Some(taken) => taken.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

impl Admission {
    /// `capacity` completions, of which the engine has `turns` at once.
    pub(crate) fn new(capacity: usize, turns: usize) -> Self {
        let encoders = thread::available_parallelism().map_or(1, usize::from);
        Self {
            line: Arc::new(Line::new(capacity, turns)),
            bytes: Arc::new(Semaphore::new(BYTES)),
            encoders: Arc::new(Semaphore::new(encoders)),
            // Nobody can fill them: half of those beyond the first half stay for others.
            calls: Arc::new(Line::new(CALLS, CALLS / 2)),
            // Half of the processors stay for the model.
            workers: Arc::new(Semaphore::new((encoders / 2).max(1))),
        }
    }

    /// Where completions wait for the engine.
    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// The bytes of a request, none yet.
    pub(crate) fn bytes(&self) -> Bytes {
        Bytes { all: Arc::clone(&self.bytes), taken: None }
    }

    /// Prepares prompts, away from the threads that serve connections: a template or a long text may take its time.
    pub(crate) async fn encode<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = Arc::clone(&self.encoders).acquire_owned().await;
        blocking(permit.map_err(|_| ApiError::Internal)?, work).await
    }

    /// A place among the calls that may be long; taken when their body is there.
    pub(crate) fn queue(&self, caller: Option<&Caller>) -> Result<Place, ApiError> {
        self.calls.enter(1, caller)?.pop().ok_or(ApiError::Internal)
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
        let admission = Admission::new(1, 1);
        let failed = admission.encode(|| -> Result<(), ApiError> { panic!("a template") }).await;
        assert_eq!(failed, Err(ApiError::Internal));
        assert_eq!(admission.encode(|| Ok(7)).await, Ok(7));
    }

    #[test]
    fn bytes_are_free_again_with_their_request() {
        let admission = Admission::new(1, 1);
        let (mut first, mut second) = (admission.bytes(), admission.bytes());
        assert_eq!((first.take(BYTES - 10), first.take(5)), (Ok(()), Ok(())));
        assert_eq!((second.take(6), second.take(5)), (Err(ApiError::BodiesFull), Ok(())));
        drop(first);
        assert_eq!(second.take(BYTES - 5), Ok(()));
    }
}
