//! Index keys, kept in the same batch as the record they follow.
//!
//! Texts of any length (projects, users, names) stand in keys as the first bytes of their SHA-256, so keys have fixed
//! lengths. Names are folded to lower case where a list looks for them without regard to case. A reader checks the record it arrives at, so that a stale or forged entry shows nothing that it should not.
//! Creation times are big-endian with the sign bit turned, so that the order of bytes is the order of time.

use aws_lc_rs::digest::{Context, SHA256};

use super::{backend::Key, record::Table, terms};
use crate::{
    domain::{
        ManagedObject, ProjectId, Timestamp, UniqueIdentifier,
        access::Consumer,
        group::Group,
        job::Job,
        job::JobState,
        project::{Project, Resource},
    },
    engine::ports::Scope,
};

/// A key and its small value.
pub(super) type Entry = (Key, Vec<u8>);

pub(super) const PROJECT_BYTES: usize = 16;

/// A project in a key.
pub(super) type ProjectKey = [u8; PROJECT_BYTES];
/// Wide enough that nobody finds two names that meet: uniqueness hangs on it.
const NAME_BYTES: usize = 24;

/// What kind of object it is, for counting: its type, and whether it is destroyed (1), compromised (2) and archived (4).
pub(super) fn label(object: &ManagedObject) -> [u8; 2] {
    let lifecycle = &object.lifecycle;
    let flags = [lifecycle.destroy.is_some(), lifecycle.compromise.is_some(), lifecycle.archive.is_some()];
    let flags = flags.iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(*flag));
    [u8::try_from(object.object_type.number()).unwrap_or(u8::MAX), flags]
}

/// The entries of an object.
pub(super) fn of_object(object: &ManagedObject) -> Vec<Entry> {
    let when = moment(object.lifecycle.initial, &object.identifier);
    let mut entries = vec![
        (Table::ObjectsByCreation.key(&[&when]), Vec::new()),
        (Table::ObjectsByProject.key(&[&project(&object.project), &when]), Vec::new()),
    ];
    match object.lifecycle.destroy {
        // Users and their like are no secrets.
        None if object.object_type.is_of_accounts() => {}
        None => {
            entries.push((Table::LiveByProject.key(&[&project(&object.project), &when]), Vec::new()));
            if let Some(name) = object.shown_name() {
                entries.push((Table::LiveByName.key(&[&project(&object.project), &folded(name), &when]), Vec::new()));
            }
            if let Some(expiration) = object.secret.expiration {
                let key = Table::Expiring.key(&[&moment(expiration, &object.identifier)]);
                entries.push((key, project(&object.project).to_vec()));
            }
        }
        Some(destroyed) => {
            entries.push((Table::Destroyed.key(&[&moment(destroyed, &object.identifier)]), Vec::new()));
        }
    }
    entries.extend(of_consumers(&object.identifier, &object.secret.consumers));
    for user in object.secret.grants.iter().flat_map(|grants| &grants.users) {
        entries.push((Table::ObjectsByGrant.key(&[&short(&[user.as_bytes()]), &when]), Vec::new()));
    }
    entries.extend(terms::of_object(object).into_iter().map(|key| (key, Vec::new())));
    entries
}

/// The names an object holds: none once it is destroyed.
pub(super) fn names(object: &ManagedObject) -> Vec<Key> {
    match object.lifecycle.destroy {
        Some(_) => Vec::new(),
        None => object.names().map(|text| name(&object.project, text)).collect(),
    }
}

/// The entries of a group.
pub(super) fn of_group(group: &Group) -> Vec<Entry> {
    let when = moment(group.created, &group.identifier);
    let mut entries = vec![(Table::GroupsByProject.key(&[&project(&group.project), &when]), Vec::new())];
    entries.extend(of_consumers(&group.identifier, &group.consumers));
    for member in &group.members {
        entries.push((Table::GroupsByMember.key(&[&member.object.bytes(), &group.identifier.bytes()]), Vec::new()));
    }
    entries
}

/// The entries of a job.
pub(super) fn of_job(job: &Job) -> Vec<Entry> {
    let when = moment(job.created, &job.identifier);
    let mut entries = vec![(Table::JobsByProject.key(&[&project(&job.project), &when]), Vec::new())];
    if job.state == JobState::Pending {
        entries.push((Table::PendingJobs.key(&[&when]), Vec::new()));
    }
    entries
}

/// One entry a consumer, so that those of a project can be counted.
fn of_consumers(entity: &UniqueIdentifier, consumers: &[Consumer]) -> impl Iterator<Item = Entry> {
    consumers.iter().map(|consumer| {
        let words = [&consumer.service, &consumer.resource_type, &consumer.resource_id];
        let parts: Vec<Vec<u8>> =
            words.iter().map(|word| [&(word.len() as u64).to_be_bytes(), word.as_bytes()].concat()).collect();
        let words = short(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>());
        (Table::ConsumersByProject.key(&[&project(&consumer.project), &entity.bytes(), &words]), Vec::new())
    })
}

/// The entries of a project: it is listed by the quotas that were set for it.
pub(super) fn of_project(kept: &Project) -> Vec<Entry> {
    let listed = kept.quotas.as_ref().map(|own| {
        let key = Table::ProjectsByQuota.key(&[&moment_of(own.created), &project(&kept.id)]);
        (key, Vec::new())
    });
    listed.into_iter().collect()
}

/// What is counted of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Counted {
    /// What quotas limit.
    Resource(Resource),
    /// Objects of a storage status.
    Status(u8),
}

/// Something that is counted, and of which project.
pub(super) type Of = (Counted, ProjectKey);

/// What an entry counts for.
pub(super) fn counted(key: &[u8]) -> Option<Of> {
    let (table, rest) = key.split_first()?;
    if *table == Table::ObjectsByTerm as u8 {
        return terms::counted(key).map(|(status, project)| (Counted::Status(status), project));
    }
    let resource = [
        (Table::LiveByProject, Resource::Secrets),
        (Table::GroupsByProject, Resource::Containers),
        (Table::JobsByProject, Resource::Orders),
        (Table::ConsumersByProject, Resource::Consumers),
    ]
    .into_iter()
    .find(|(listing, _)| *listing as u8 == *table)?;
    Some((Counted::Resource(resource.1), *rest.first_chunk()?))
}

/// Where the objects of a scope are listed; a name has its single key instead.
pub(super) fn listing(scope: &Scope) -> Key {
    match scope {
        Scope::Project(id) => in_project(Table::ObjectsByProject, id),
        Scope::Live(id) => in_project(Table::LiveByProject, id),
        Scope::Called(id, text) => Table::LiveByName.key(&[&project(id), &folded(text)]),
        Scope::Name(id, text) => name(id, text),
        Scope::GrantedTo(user) => Table::ObjectsByGrant.key(&[&short(&[user.as_bytes()])]),
        // A search that is no plain one reads more than one list.
        Scope::Having(search) => terms::everything(&search.project, u8::try_from(search.statuses).unwrap_or(u8::MAX)),
        Scope::Everything => Table::ObjectsByCreation.key(&[]),
    }
}

/// The prefix under which a table lists a project.
pub(super) fn in_project(table: Table, id: &ProjectId) -> Key {
    table.key(&[&project(id)])
}

/// The identifier an index key ends with.
pub(super) fn identifier(key: &[u8]) -> Option<UniqueIdentifier> {
    key.last_chunk::<16>().map(|id| UniqueIdentifier::from_bytes(*id))
}

/// The key of a fact of the `Memory` port.
pub(super) fn fact(text: &str) -> Key {
    Table::Fact.key(&[&short(&[text.as_bytes()])])
}

fn name(project: &ProjectId, text: &str) -> Key {
    let digest = hash(&[&(project.0.len() as u64).to_be_bytes(), project.0.as_bytes(), text.as_bytes()]);
    Table::Names.key(&[digest.as_ref().split_at(NAME_BYTES).0])
}

fn folded(text: &str) -> [u8; PROJECT_BYTES] {
    short(&[text.to_lowercase().as_bytes()])
}

/// A project in a key.
pub(super) fn project(id: &ProjectId) -> ProjectKey {
    short(&[id.0.as_bytes()])
}

fn short(parts: &[&[u8]]) -> [u8; PROJECT_BYTES] {
    let digest = hash(parts);
    *digest.as_ref().first_chunk().expect("a SHA-256 digest has 32 bytes")
}

fn hash(parts: &[&[u8]]) -> aws_lc_rs::digest::Digest {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish()
}

/// When an object was created and which one it is.
pub(super) fn moment(time: Timestamp, id: &UniqueIdentifier) -> Vec<u8> {
    [moment_of(time).as_slice(), &id.bytes()].concat()
}

/// A time in a key, in the order of time.
pub(super) fn moment_of(time: Timestamp) -> [u8; 8] {
    (time.micros().cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_sort_as_time_does() {
        let id = UniqueIdentifier::from_bytes([9; 16]);
        let keys: Vec<_> = [i64::MIN, -1, 0, 1, i64::MAX].map(|at| moment(Timestamp::from_micros(at), &id)).into();
        assert!(keys.is_sorted());
    }

    #[test]
    fn project_and_name_cannot_be_shifted_against_each_other() {
        assert_ne!(name(&ProjectId("ab".into()), "c"), name(&ProjectId("a".into()), "bc"));
    }
}
