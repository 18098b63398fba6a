//! Changing a stored record that others may be changing, too.
//!
//! A commit is guarded by the revision that was permitted. When somebody else was faster the record is read again, and the
//! change is made on the new revision as long as everything the rules looked at is as it was; else the request is refused.

use crate::{
    domain::{ManagedObject, access::Grants, group::Group},
    engine::{
        error::{Error, ErrorKind},
        ports::{Guard, Versioned, Write},
        tools::Tools,
    },
};

/// How often a record is read again before the request gives up.
pub(super) const ATTEMPTS: u32 = 256;

/// Makes `change` on an object and commits it; answers the object as it was stored.
///
/// `change` may run several times, on newer revisions.
pub(super) async fn change_object(
    tools: &Tools,
    on: Versioned<ManagedObject>,
    change: impl FnMut(&mut ManagedObject) -> Result<(), Error> + Send,
) -> Result<ManagedObject, Error> {
    change_object_with(tools, on, &[], change).await
}

/// As [`change_object`], with more writes in the same batch.
pub(super) async fn change_object_with(
    tools: &Tools,
    on: Versioned<ManagedObject>,
    also: &[Write],
    mut change: impl FnMut(&mut ManagedObject) -> Result<(), Error> + Send,
) -> Result<ManagedObject, Error> {
    let mut at = on;
    for _ in 0..ATTEMPTS {
        let mut object = at.record.clone();
        change(&mut object)?;
        let mut writes = also.to_vec();
        writes.push(Write::PutObject(Box::new(object.clone()), Guard::At(at.revision)));
        match tools.commit(writes).await {
            Ok(()) => return Ok(object),
            Err(error) if error.kind != ErrorKind::Conflict => return Err(error),
            Err(_) => at = object_again(tools, &at.record).await?,
        }
    }
    Err(conflict())
}

/// Makes `change` on a group and commits it; answers the group as it was stored.
///
/// `change` may run several times, on newer revisions.
pub(super) async fn change_group(
    tools: &Tools,
    on: Versioned<Group>,
    change: impl FnMut(&mut Group) -> Result<(), Error> + Send,
) -> Result<Group, Error> {
    change_group_with(tools, on, &[], change).await
}

/// As [`change_group`], with more writes in the same batch.
pub(super) async fn change_group_with(
    tools: &Tools,
    on: Versioned<Group>,
    also: &[Write],
    mut change: impl FnMut(&mut Group) -> Result<(), Error> + Send,
) -> Result<Group, Error> {
    let mut at = on;
    for _ in 0..ATTEMPTS {
        let mut group = at.record.clone();
        change(&mut group)?;
        let mut writes = also.to_vec();
        writes.push(Write::PutGroup(Box::new(group.clone()), Guard::At(at.revision)));
        match tools.commit(writes).await {
            Ok(()) => return Ok(group),
            Err(error) if error.kind != ErrorKind::Conflict => return Err(error),
            Err(_) => at = group_again(tools, &at.record).await?,
        }
    }
    Err(conflict())
}

/// The object at its newest revision, if it is still there and the permit still holds for it.
pub(super) async fn object_again(tools: &Tools, seen: &ManagedObject) -> Result<Versioned<ManagedObject>, Error> {
    let next = tools.store().object(seen.identifier).await?.ok_or_else(Error::not_found)?;
    if next.record.state(tools.now()).is_destroyed() {
        return Err(Error::not_found());
    }
    let same = next.record.creator == seen.creator
        && next.record.project == seen.project
        && same_rules(next.record.secret.grants.as_ref(), seen.secret.grants.as_ref());
    if same { Ok(next) } else { Err(conflict()) }
}

/// The group at its newest revision, if it is still there and the permit still holds for it.
pub(super) async fn group_again(tools: &Tools, seen: &Group) -> Result<Versioned<Group>, Error> {
    let next = tools.store().group(seen.identifier).await?.ok_or_else(Error::not_found)?;
    let same = next.record.creator == seen.creator && same_rules(next.record.grants.as_ref(), seen.grants.as_ref());
    if same { Ok(next) } else { Err(conflict()) }
}

fn same_rules(one: Option<&Grants>, other: Option<&Grants>) -> bool {
    let looked_at = |grants: &Grants| (grants.project_access, grants.users.clone());
    one.map(looked_at) == other.map(looked_at)
}

fn conflict() -> Error {
    Error::new(ErrorKind::Conflict, "the object changed meanwhile; try again")
}
