//! Where the server is between its start and its end, as probes and clients see it. No I/O.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use crate::error::ApiError;
use crate::loading::LoadPhase;
use crate::served::Served;

/// A phase of the server's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The model is being loaded.
    Loading(LoadPhase),
    /// Requests are answered.
    Ready,
    /// The engine has ended by itself; nothing can be answered any more.
    Failed,
    /// The server will leave: no new client should come, but those that do are served.
    Leaving,
    /// Running requests finish, new ones are refused.
    Draining,
}

impl Phase {
    /// As probes show it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Phase::Loading(phase) => phase.as_str(),
            Phase::Ready => "ready",
            Phase::Failed => "failed",
            Phase::Leaving => "leaving",
            Phase::Draining => "draining",
        }
    }
}

/// The server's phase; it only ever moves on.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    load: AtomicU8,
    exit: AtomicU8,
    served: OnceLock<Arc<Served>>,
}

/// Values of `exit`.
const LEAVING: u8 = 1;
const DRAINING: u8 = 2;

impl Readiness {
    /// A part of loading begins.
    pub(crate) fn loading(&self, phase: LoadPhase) {
        self.load.store(phase as u8, Ordering::Release);
    }

    /// The model is loaded.
    pub(crate) fn ready(&self, served: Arc<Served>) {
        // Once: there is one model in the life of a server.
        let _ = self.served.set(served);
    }

    /// The server will leave.
    pub(crate) fn leave(&self) {
        self.exit.fetch_max(LEAVING, Ordering::AcqRel);
    }

    /// New requests are refused from now on.
    pub(crate) fn drain(&self) {
        self.exit.fetch_max(DRAINING, Ordering::AcqRel);
    }

    /// Whether the server is on its way out.
    pub(crate) fn is_leaving(&self) -> bool {
        self.exit.load(Ordering::Acquire) >= LEAVING
    }

    /// The phase of this moment.
    pub(crate) fn phase(&self) -> Phase {
        match (self.exit.load(Ordering::Acquire), self.served.get()) {
            (DRAINING.., _) => Phase::Draining,
            (LEAVING, _) => Phase::Leaving,
            (_, Some(served)) if served.model.engine().stopped().is_some() => Phase::Failed,
            (_, Some(_)) => Phase::Ready,
            (_, None) => Phase::Loading(LoadPhase::of(self.load.load(Ordering::Acquire))),
        }
    }

    /// The model, once it is loaded.
    pub(crate) fn served(&self) -> Option<&Arc<Served>> {
        self.served.get()
    }

    /// The model for a new request.
    pub(crate) fn accept(&self) -> Result<&Arc<Served>, ApiError> {
        match self.phase() {
            Phase::Draining => Err(ApiError::Draining),
            phase => self.served.get().ok_or(ApiError::Loading(phase)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phase_only_moves_on() {
        let readiness = Readiness::default();
        assert_eq!(readiness.phase(), Phase::Loading(LoadPhase::Open));
        readiness.loading(LoadPhase::Warmup);
        assert_eq!(readiness.phase(), Phase::Loading(LoadPhase::Warmup));
        let error = readiness.accept().expect_err("nothing is loaded");
        assert_eq!(error, ApiError::Loading(Phase::Loading(LoadPhase::Warmup)));
        readiness.drain();
        readiness.leave();
        assert_eq!(readiness.phase(), Phase::Draining);
        assert_eq!(readiness.accept().expect_err("too late"), ApiError::Draining);
    }
}
