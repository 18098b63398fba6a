//! Compares records with index entries, both ways.
//!
//! Every entry that a record has must be stored, and every stored entry must belong to a record that has it. To be run while
//! nobody writes: a change that comes in between shows as a difference.

use std::ops::Bound;

use super::{
    backend::{Direction, Key, KeyRange, Pair},
    index,
    record::{HEAD_KEY_BYTES, Record, Table},
    repository::{Cached, Shared},
};
use crate::{
    domain::{ManagedObject, group::Group, job::Job, project::Project},
    engine::ports::StoreError,
};

/// What a check of the indexes has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexCheck {
    /// Records that were looked at.
    pub records: u64,
    /// Index entries that were looked at.
    pub entries: u64,
    /// Entries that records should have and that are not there, as far as they are told.
    pub missing: Vec<String>,
    /// Entries that no record has, as far as they are told.
    pub stray: Vec<String>,
    /// Counts that are not those of the records.
    pub miscounted: Vec<String>,
}

impl IndexCheck {
    /// Whether records, entries and counts agree.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.missing.is_empty() && self.stray.is_empty() && self.miscounted.is_empty()
    }
}

/// Keys read at a time.
const STEP: usize = 1_000;
/// Differences that are told of each kind.
const TOLD_MAX: usize = 100;

/// Whose entries a table has, and where in a key or value the record is named.
const TABLES: [(Table, Owner, Named); 15] = [
    (Table::ObjectsByCreation, Owner::Object, Named::AtTheEnd),
    (Table::ObjectsByProject, Owner::Object, Named::AtTheEnd),
    (Table::Names, Owner::Object, Named::InTheValue),
    (Table::ObjectsByGrant, Owner::Object, Named::AtTheEnd),
    (Table::GroupsByProject, Owner::Group, Named::AtTheEnd),
    (Table::GroupsByMember, Owner::Group, Named::AtTheEnd),
    (Table::JobsByProject, Owner::Job, Named::AtTheEnd),
    (Table::PendingJobs, Owner::Job, Named::AtTheEnd),
    (Table::LiveByProject, Owner::Object, Named::AtTheEnd),
    (Table::LiveByName, Owner::Object, Named::AtTheEnd),
    (Table::Expiring, Owner::Object, Named::AtTheEnd),
    (Table::Destroyed, Owner::Object, Named::AtTheEnd),
    (Table::ConsumersByProject, Owner::ObjectOrGroup, Named::AfterTheProject),
    (Table::ProjectsByQuota, Owner::Project, Named::AtTheEnd),
    (Table::ObjectsByTerm, Owner::Object, Named::AtTheEnd),
];

#[derive(Clone, Copy)]
enum Owner {
    Object,
    Group,
    ObjectOrGroup,
    Job,
    Project,
}

#[derive(Clone, Copy)]
enum Named {
    AtTheEnd,
    AfterTheProject,
    InTheValue,
}

impl Shared {
    pub(super) fn check(&self) -> Result<IndexCheck, StoreError> {
        let mut check = IndexCheck::default();
        self.check_records::<ManagedObject>(&mut check)?;
        self.check_records::<Group>(&mut check)?;
        self.check_records::<Job>(&mut check)?;
        self.check_records::<Project>(&mut check)?;
        check.miscounted = self.counted_again()?.differences(&self.stored_counts()?);
        for (table, owner, named) in TABLES {
            self.steps(&table.key(&[]), |pairs| {
                for pair in pairs {
                    check.entries += 1;
                    if !self.is_owned(pair, owner, named)? && check.stray.len() < TOLD_MAX {
                        check.stray.push(display(&pair.0));
                    }
                }
                Ok(())
            })?;
        }
        Ok(check)
    }

    fn check_records<R: Record>(&self, check: &mut IndexCheck) -> Result<(), StoreError> {
        self.steps(&R::TABLE.key(&[]), |pairs| {
            for (key, bytes) in pairs.iter().filter(|(key, _)| key.len() == HEAD_KEY_BYTES) {
                let record = self.read_at::<R>(key, bytes)?.versioned.record;
                check.records += 1;
                let claims = record.claims().into_iter().map(|key| (key, record.id().to_vec()));
                for (key, value) in record.entries().into_iter().chain(claims) {
                    if self.backend().get(&key)?.as_ref() != Some(&value) && check.missing.len() < TOLD_MAX {
                        check.missing.push(display(&key));
                    }
                }
            }
            Ok(())
        })
    }

    /// Whether the record that an entry names has it.
    fn is_owned(&self, pair: &Pair, owner: Owner, named: Named) -> Result<bool, StoreError> {
        let (key, value) = pair;
        let id = match named {
            Named::AtTheEnd => key.last_chunk::<16>(),
            Named::AfterTheProject => key.get(1 + index::PROJECT_BYTES..).and_then(<[u8]>::first_chunk),
            Named::InTheValue => value.first_chunk(),
        };
        let Some(id) = id.copied() else { return Ok(false) };
        match owner {
            Owner::Object => self.has::<ManagedObject>(id, pair),
            Owner::Group => self.has::<Group>(id, pair),
            Owner::ObjectOrGroup => Ok(self.has::<ManagedObject>(id, pair)? || self.has::<Group>(id, pair)?),
            Owner::Job => self.has::<Job>(id, pair),
            Owner::Project => self.has::<Project>(id, pair),
        }
    }

    fn has<R: Cached>(&self, id: [u8; 16], pair: &Pair) -> Result<bool, StoreError> {
        let Some(stored) = self.load::<R>(id)? else { return Ok(false) };
        let record = &stored.versioned.record;
        let claims = record.claims().into_iter().map(|key| (key, id.to_vec()));
        Ok(record.entries().into_iter().chain(claims).any(|entry| entry == *pair))
    }

    /// Every pair under a prefix, some at a time.
    pub(super) fn steps(
        &self,
        prefix: &[u8],
        mut see: impl FnMut(&[Pair]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut range = KeyRange::prefix(prefix);
        loop {
            let pairs = self.backend().scan(&range, Direction::Up, STEP)?;
            let Some((last, _)) = pairs.last() else { return Ok(()) };
            range.start = Bound::Excluded(last.clone());
            see(&pairs)?;
        }
    }
}

/// An index key for people: its table and the rest, in hexadecimal digits.
pub(super) fn display(key: &Key) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
