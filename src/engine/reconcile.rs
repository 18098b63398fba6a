//! Repairs what a crash left between HSM and store: settles intents and writes owed audit records.
//!
//! It runs before the listeners open, and again at intervals for intents that a failing HSM left behind. It looks only at
//! places that an intent names; a token object that no intent and no record names is reported by `hsm fsck`, never removed.

use std::{sync::Arc, time::Duration};

use super::{
    error::Error,
    ports::{AuditSink, Batch, Durability, Guard, HsmAnswer, HsmRequest, Intent, IntentKind, Placement, Write},
    tools::Ports,
};
use crate::domain::{
    AttributeKind, AttributeValue, ManagedObject, UniqueIdentifier,
    audit::{AuditEvent, Outcome, Protocol},
    lifecycle::Trigger,
};

/// What a run repaired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Creations that had not been recorded: their token objects are gone again.
    pub undone: usize,
    /// Creations that had been recorded, and destructions that were completed.
    pub finished: usize,
    /// Audit records that were owed and are written now.
    pub recorded: usize,
    /// Intents that could not be settled now, because their token is away.
    pub left: usize,
}

/// Settles every intent older than `grace` and writes every owed audit record.
///
/// `grace` keeps requests that are running out of it: zero at start, a multiple of the request limit later.
///
/// # Errors
///
/// The store's or the audit trail's own. An HSM that is away is no error: its intents are counted as left.
pub async fn reconcile(ports: &Arc<Ports>, audit: &dyn AuditSink, grace: Duration) -> Result<Repaired, Error> {
    let mut repaired = Repaired::default();
    let seconds = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
    let before = ports.clock.now().plus_seconds(-seconds);
    for event in ports.store.owed().await? {
        if event.time > before {
            continue;
        }
        let id = event.id;
        if !audit.holds(id) {
            audit.record(AuditEvent { recovered: true, ..event }, Durability::Synced).await?;
            repaired.recorded += 1;
        }
        ports.store.forget_owed(id);
    }
    for intent in ports.store.intents().await? {
        if intent.event.time > before {
            continue;
        }
        match settle(ports, audit, &intent).await {
            Ok(Settled::Undone) => repaired.undone += 1,
            Ok(Settled::Finished) => repaired.finished += 1,
            Err(error) => {
                tracing::warn!(%error, "an intent cannot be settled now; it is tried again later");
                repaired.left += 1;
            }
        }
    }
    Ok(repaired)
}

enum Settled {
    Undone,
    Finished,
}

async fn settle(ports: &Arc<Ports>, audit: &dyn AuditSink, intent: &Intent) -> Result<Settled, Error> {
    match &intent.kind {
        IntentKind::Make => {
            for at in &intent.places {
                let id = UniqueIdentifier::from_bytes(at.cka_id.0);
                if !is_recorded(ports, id, at).await? {
                    destroy(ports, at).await?;
                }
            }
            ports.store.commit(Batch(vec![Write::RemoveIntent(intent.id)])).await?;
            record(audit, intent, Outcome::Failure("interrupted".to_owned())).await?;
            Ok(Settled::Undone)
        }
        IntentKind::Destroy { object } => {
            for at in &intent.places {
                destroy(ports, at).await?;
            }
            let mut writes = vec![Write::RemoveIntent(intent.id)];
            if let Some(found) = ports.store.object(*object).await?
                && found.record.value.is_some()
            {
                let destroyed = as_destroyed(found.record, intent);
                writes.push(Write::PutObject(Box::new(destroyed), Guard::At(found.revision)));
            }
            ports.store.commit(Batch(writes)).await?;
            record(audit, intent, Outcome::Success).await?;
            Ok(Settled::Finished)
        }
    }
}

/// The object as it would have been recorded: what the destruction began cannot be taken back.
fn as_destroyed(mut object: ManagedObject, intent: &Intent) -> ManagedObject {
    object.value = None;
    object.attributes.set(AttributeKind::KeyValuePresent, AttributeValue::Boolean(false));
    if object.lifecycle.apply(Trigger::Destroy, intent.event.time).is_err() {
        // An active secret of the Barbican API is retired: deactivated and destroyed in one step.
        object.lifecycle.deactivation = object.lifecycle.deactivation.or(Some(intent.event.time));
        object.lifecycle.destroy = Some(intent.event.time);
        object.lifecycle.last_change = intent.event.time;
    }
    object
}

async fn is_recorded(ports: &Arc<Ports>, id: UniqueIdentifier, at: &Placement) -> Result<bool, Error> {
    let found = ports.store.object(id).await?;
    Ok(found.is_some_and(|found| {
        found.record.value.is_some_and(|value| value.token == at.token && value.cka_id == at.cka_id)
    }))
}

async fn destroy(ports: &Arc<Ports>, at: &Placement) -> Result<(), Error> {
    match ports.hsm.call(HsmRequest::Destroy { at: at.clone() }, ports.settings.hsm_limit).await? {
        HsmAnswer::Done => Ok(()),
        other => Err(super::tools::unexpected(&other)),
    }
}

async fn record(audit: &dyn AuditSink, intent: &Intent, outcome: Outcome) -> Result<(), Error> {
    let event = AuditEvent { outcome, recovered: true, protocol: Protocol::Internal, ..intent.event.clone() };
    if !audit.holds(event.id) {
        audit.record(event, Durability::Synced).await?;
    }
    Ok(())
}
