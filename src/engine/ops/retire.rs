//! Barbican's DELETE: destroys a secret whatever its state, with one audit record.
//!
//! The value is destroyed before the record says so, because the reverse order could lose the last reference to a live
//! key. From then on there is no way back: when the record changed meanwhile it is read again, and what still cannot be
//! written is finished by the reconciler, from the intent.

use crate::{
    authz::Permitted,
    domain::{AttributeKind, AttributeValue, ManagedObject, OperationKind, Timestamp, UniqueIdentifier, group::Group},
    engine::{
        error::{Error, ErrorKind},
        operation::{Operation, Target, Targets},
        ports::{Guard, HsmRequest, IntentKind, MetadataStore, Placement, Versioned, Write},
        tools::Tools,
    },
};

/// How often the record is read again when others change it meanwhile.
const ATTEMPTS: u32 = 16;

/// Deletes a secret.
#[derive(Clone, Copy, Debug)]
pub struct Retire {
    /// Which secret.
    pub secret: UniqueIdentifier,
    /// Whether consumers stand in the way (Barbican microversion 1.2).
    pub respect_consumers: bool,
}

impl Operation for Retire {
    const KIND: OperationKind = OperationKind::Retire;
    type Output = ();

    fn target(&self) -> Target {
        Target::Object(self.secret)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let on = on.into_object()?;
        if self.respect_consumers && !on.record.secret.consumers.is_empty() {
            return Err(Error::new(ErrorKind::InUse, "Secret cannot be deleted as it has consumers."));
        }
        retire(tools, on, Vec::new()).await
    }
}

/// Destroys the value, writes the tombstone and takes the object out of every group. `also` is committed first, together
/// with the intent: from then on all of it happens. `Conflict` when one of its guards does not hold; then nothing has.
pub(super) async fn retire(tools: &Tools, on: Versioned<ManagedObject>, also: Vec<Write>) -> Result<(), Error> {
    let id = on.record.identifier;
    let Some(value) = &on.record.value else { return bury(tools, on, &also).await };
    let at = Placement { token: value.token.clone(), cka_id: value.cka_id };
    let announced = tools.announce_with(IntentKind::Destroy { object: id }, vec![at.clone()], also).await?;
    // The value may be gone or not when this fails; the intent stays, and the reconciler finishes what was begun.
    tools.hsm(HsmRequest::Destroy { at }).await?;
    let mut on = on;
    for _ in 0..ATTEMPTS {
        match tools.settle(&announced, burial(tools.store(), tools.now(), &on).await?).await {
            Err(error) if error.kind == ErrorKind::Conflict => match again(tools, id).await? {
                Some(next) => on = next,
                // Somebody else has ended it, and was told so.
                None => {
                    tools.settle(&announced, Vec::new()).await?;
                    return Err(Error::not_found());
                }
            },
            settled => return settled,
        }
    }
    Err(busy())
}

/// Ends a secret that has no value.
async fn bury(tools: &Tools, mut on: Versioned<ManagedObject>, also: &[Write]) -> Result<(), Error> {
    for _ in 0..ATTEMPTS {
        let mut writes = burial(tools.store(), tools.now(), &on).await?;
        writes.extend_from_slice(also);
        match tools.commit(writes).await {
            Err(error) if error.kind == ErrorKind::Conflict => {
                on = again(tools, on.record.identifier).await?.ok_or_else(Error::not_found)?;
                if on.record.value.is_some() {
                    return Err(Error::new(ErrorKind::Conflict, "the secret got a value meanwhile; try again"));
                }
            }
            done => return done,
        }
    }
    Err(busy())
}

fn busy() -> Error {
    Error::new(ErrorKind::Busy, "the secret is being changed by others; try again later")
}

/// The record at its newest revision, unless somebody else has ended it.
async fn again(tools: &Tools, id: UniqueIdentifier) -> Result<Option<Versioned<ManagedObject>>, Error> {
    let found = tools.store().object(id).await?;
    Ok(found.filter(|it| !it.record.state(tools.now()).is_destroyed()))
}

/// The tombstone, and every group without its member.
pub(in crate::engine) async fn burial(
    store: &dyn MetadataStore,
    now: Timestamp,
    on: &Versioned<ManagedObject>,
) -> Result<Vec<Write>, Error> {
    let mut writes = vec![Write::PutObject(Box::new(tombstone(on.record.clone(), now)), Guard::At(on.revision))];
    for Versioned { record, revision } in store.groups_with(on.record.identifier).await? {
        writes.push(Write::PutGroup(Box::new(without(record, on.record.identifier, now)), Guard::At(revision)));
    }
    Ok(writes)
}

/// What stays of a destroyed object: its attributes and dates, for KMIP clients; of the Barbican side only labels.
fn tombstone(mut object: ManagedObject, now: Timestamp) -> ManagedObject {
    object.value = None;
    object.attributes.set(AttributeKind::KeyValuePresent, AttributeValue::Boolean(false));
    object.lifecycle.end(now);
    object.secret.grants = None;
    object.secret.consumers.clear();
    object.secret.metadata.clear();
    object
}

fn without(mut group: Group, member: UniqueIdentifier, now: Timestamp) -> Group {
    group.members.retain(|it| it.object != member);
    group.updated = now;
    group
}
