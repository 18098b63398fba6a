//! Repairs what a crash left between HSM and store: settles intents and writes owed audit records.
//!
//! It runs before the listeners open, and again at intervals for intents that a failing HSM left behind. It looks only at
//! places that an intent names; a token object that no intent and no record names is reported by `hsm fsck`, never removed.

use std::{sync::Arc, time::Duration};

use super::{
    error::Error,
    ops::{lifecycle::without_value, retire::burial},
    ports::{
        AuditSink, Batch, Durability, Guard, HsmAnswer, HsmRequest, Intent, IntentKind, Placement, Terms, Versioned,
        Write,
    },
    tools::Ports,
};
use crate::domain::{
    ManagedObject, OperationKind, UniqueIdentifier,
    audit::{AuditEvent, Outcome, Protocol},
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
            let moves = intent.event.operation == OperationKind::Migrate;
            for at in &intent.places {
                let id = UniqueIdentifier::from_bytes(at.cka_id.0);
                if moves {
                    // The copy goes; the object lives on where its record says.
                    if !is_where(ports, &intent.event.targets, at).await? {
                        call(ports, HsmRequest::Clear { at: at.clone() }).await?;
                    }
                } else if !is_recorded(ports, id, at).await? {
                    destroy(ports, at).await?;
                }
            }
            // A request that failed while the gateway was up has told so itself.
            let untold = (!audit.holds(intent.event.id)).then(|| Outcome::Failure("interrupted".to_owned()));
            conclude(ports, audit, intent, Vec::new(), untold).await?;
            Ok(Settled::Undone)
        }
        IntentKind::Destroy { object } => {
            for at in &intent.places {
                destroy(ports, at).await?;
            }
            let found = ports.store.object(*object).await?.filter(|found| found.record.value.is_some());
            // A move may have taken the value elsewhere while the destruction was announced.
            if let Some(at) = found.as_ref().and_then(|found| place(&found.record))
                && !intent.places.contains(&at)
            {
                destroy(ports, &at).await?;
            }
            let (writes, outcome) = match found {
                // The trail may hold that the request failed; what it began has come to pass now.
                Some(found) => (as_destroyed(ports, intent, found).await?, Some(intent.event.outcome.clone())),
                // Another request has destroyed the object and told so.
                None => (Vec::new(), None),
            };
            conclude(ports, audit, intent, writes, outcome).await?;
            Ok(Settled::Finished)
        }
        IntentKind::Clear { .. } => {
            clear(ports, intent).await?;
            // The move itself was told with the batch that made it true.
            conclude(ports, audit, intent, Vec::new(), None).await?;
            Ok(Settled::Finished)
        }
    }
}

/// Settles what moves have left, whatever its age: to be called while none runs. How many could not be settled now.
///
/// # Errors
///
/// As [`reconcile`].
pub async fn reconcile_moves(ports: &Arc<Ports>, audit: &dyn AuditSink) -> Result<usize, Error> {
    let mut left = 0;
    let intents = ports.store.intents().await?;
    for intent in intents.iter().filter(|intent| intent.event.operation == OperationKind::Migrate) {
        if let Err(error) = settle(ports, audit, intent).await {
            tracing::debug!(%error, "what a move has left cannot be settled now");
            left += 1;
        }
    }
    Ok(left)
}

/// Destroys what a moved value left behind. A destruction of the object that ran beside the move may have passed its copy by:
/// that goes, too, when the record does not name it any more or is about not to.
pub(super) async fn clear(ports: &Ports, intent: &Intent) -> Result<(), Error> {
    let IntentKind::Clear { object, kept } = &intent.kind else { return Ok(()) };
    // Intents first: what is concluded between the two looks is in the record.
    let intents = ports.store.intents().await?;
    let found = ports.store.object(*object).await?.and_then(|found| place(&found.record));
    for at in intent.places.iter().filter(|at| found.as_ref() != Some(*at)) {
        call(ports, HsmRequest::Clear { at: at.clone() }).await?;
    }
    let doomed = |intent: &Intent| intent.kind == IntentKind::Destroy { object: *object };
    if found.as_ref() != Some(kept) || intents.iter().any(doomed) {
        call(ports, HsmRequest::Clear { at: kept.clone() }).await?;
    }
    Ok(())
}

/// Whether the value of one of these stands there by its record.
async fn is_where(ports: &Ports, objects: &[UniqueIdentifier], at: &Placement) -> Result<bool, Error> {
    for object in objects {
        let found = ports.store.object(*object).await?;
        if found.and_then(|found| place(&found.record)).as_ref() == Some(at) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Where an object's value stands by its record.
fn place(object: &ManagedObject) -> Option<Placement> {
    object.value.as_ref().map(|value| Placement { token: value.token.clone(), cka_id: value.cka_id })
}

/// The records as they would have been written: what the destruction began cannot be taken back.
async fn as_destroyed(
    ports: &Arc<Ports>,
    intent: &Intent,
    found: Versioned<ManagedObject>,
) -> Result<Vec<Write>, Error> {
    let at = intent.event.time;
    if intent.event.operation != OperationKind::Destroy {
        return burial(&*ports.store, at, &found).await;
    }
    let destroyed = without_value(found.record, at);
    Ok(vec![Write::PutObject(Box::new(destroyed), Guard::At(found.revision))])
}

/// Removes the intent, and tells what became of it: owed in the same batch, so that a crash in the repair loses nothing.
async fn conclude(
    ports: &Arc<Ports>,
    audit: &dyn AuditSink,
    intent: &Intent,
    mut writes: Vec<Write>,
    outcome: Option<Outcome>,
) -> Result<(), Error> {
    writes.push(Write::RemoveIntent(intent.id));
    // The record has the intent's identifier: the request's own may stand on the trail with another outcome.
    let event = outcome.map(|outcome| AuditEvent {
        id: intent.id,
        outcome,
        recovered: true,
        protocol: Protocol::Internal,
        ..intent.event.clone()
    });
    writes.extend(event.clone().map(|event| Write::PutOwed(Box::new(event))));
    ports.store.commit(Batch(writes)).await?;
    if let Some(event) = event {
        audit.record(event, Durability::Synced).await?;
        ports.store.forget_owed(intent.id);
    }
    Ok(())
}

async fn is_recorded(ports: &Arc<Ports>, id: UniqueIdentifier, at: &Placement) -> Result<bool, Error> {
    let found = ports.store.object(id).await?;
    Ok(found.is_some_and(|found| {
        found.record.value.is_some_and(|value| value.token == at.token && value.cka_id == at.cka_id)
    }))
}

async fn destroy(ports: &Arc<Ports>, at: &Placement) -> Result<(), Error> {
    call(ports, HsmRequest::Destroy { at: at.clone() }).await
}

async fn call(ports: &Ports, request: HsmRequest) -> Result<(), Error> {
    let terms = Terms::of_gateway(ports.settings.hsm_limit);
    match ports.hsm.call(request, terms).await? {
        HsmAnswer::Done => Ok(()),
        other => Err(super::tools::unexpected(&other)),
    }
}
