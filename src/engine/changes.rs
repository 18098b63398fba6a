//! What changed, for those who are told of it as it happens: KMIP's Notify and Put (KMIP 2.1 §6.2.2, §6.2.3).
//!
//! A change is told after it was committed and recorded, once for each object, with the object as it was and as it is.
//! Nothing is gathered while nobody listens. Who listens too slowly misses the oldest changes and learns how many.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::domain::{ManagedObject, UniqueIdentifier};

/// Changes that wait for a listener.
const WAITING_MAX: usize = 4096;

/// One object that changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which.
    pub object: UniqueIdentifier,
    /// As it was; `None` for a new one.
    pub before: Option<ManagedObject>,
    /// As it is.
    pub after: ManagedObject,
}

/// A listener's end: changes in their order.
pub type Listening = broadcast::Receiver<Arc<Change>>;

/// Where changes are told.
#[derive(Debug)]
pub(super) struct Changes(broadcast::Sender<Arc<Change>>);

impl Default for Changes {
    fn default() -> Self {
        Self(broadcast::Sender::new(WAITING_MAX))
    }
}

impl Changes {
    /// Hears every change from now on.
    pub(super) fn listen(&self) -> Listening {
        self.0.subscribe()
    }

    /// Whether anybody listens.
    pub(super) fn is_heard(&self) -> bool {
        self.0.receiver_count() > 0
    }

    /// Tells changes; that nobody listens any more is no failure.
    pub(super) fn tell(&self, changes: Vec<Change>) {
        for change in changes {
            drop(self.0.send(Arc::new(change)));
        }
    }
}
