//! How many completions the server takes: no request is read into tokens that the engine would not soon begin.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// A bound on completions that are computed or wait.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    capacity: usize,
}

/// A place; free again when it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

impl Admission {
    pub(crate) fn new(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(capacity)), capacity }
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
