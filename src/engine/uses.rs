//! How often keys were used, for the counters of KMIP 3.0 (*Encrypt Counter* and its kin).
//!
//! A use is counted in memory, and the counts are added to the records every half minute and when the gateway stops: a
//! durable write for each use would cost more than the use. A crash loses what was counted since; usage limits, which
//! must not lose anything, are counted elsewhere.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{
    error::Error,
    ports::{Batch, StoreError, Write},
    tools::Ports,
};
use crate::domain::{Attribute, AttributeValue, ManagedObject, UniqueIdentifier, object::USE_COUNTERS};

/// What is counted, in the order of [`USE_COUNTERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Certify,
    Decrypt,
    Encrypt,
    Sign,
    SignatureVerify,
}

type Counts = [i64; USE_COUNTERS.len()];

/// Uses that no record tells of yet.
#[derive(Debug, Default)]
pub struct Uses(Mutex<HashMap<UniqueIdentifier, Counts>>);

impl Uses {
    fn lock(&self) -> MutexGuard<'_, HashMap<UniqueIdentifier, Counts>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one use.
    pub(super) fn count(&self, object: UniqueIdentifier, of: Use) {
        if let Some(count) = self.lock().entry(object).or_default().get_mut(of as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// The counters of a key: what its record says and what was counted since.
    pub(super) fn told(&self, object: &ManagedObject) -> Vec<Attribute> {
        let since = self.lock().get(&object.identifier).copied().unwrap_or_default();
        let told = USE_COUNTERS.into_iter().zip(since);
        told.map(|(kind, since)| {
            let value = AttributeValue::Long(object.uses(&kind).saturating_add(since));
            Attribute::new(kind, value)
        })
        .collect()
    }

    /// Adds the counts to the records. What cannot be written now is kept for the next time.
    ///
    /// # Errors
    ///
    /// The store's own.
    pub async fn settle(ports: &Ports) -> Result<(), Error> {
        let counted = std::mem::take(&mut *ports.uses.lock());
        let mut failure = None;
        for (id, counts) in counted {
            match record(ports, id, counts).await {
                Ok(()) => {}
                Err(error) => {
                    let mut again = ports.uses.lock();
                    let kept = again.entry(id).or_default();
                    kept.iter_mut().zip(counts).for_each(|(kept, count)| *kept = kept.saturating_add(count));
                    // The object went meanwhile, or is being changed all the time: that is no failure of the store.
                    if error != StoreError::Conflict {
                        failure = Some(error);
                    }
                }
            }
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Adds to the counters of one record, whoever changes it meanwhile.
async fn record(ports: &Ports, id: UniqueIdentifier, counts: Counts) -> Result<(), StoreError> {
    if ports.store.object(id).await?.is_none() {
        return Ok(());
    }
    let uses = USE_COUNTERS.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
    ports.store.commit(Batch(vec![Write::CountUses { object: id, uses }])).await
}
