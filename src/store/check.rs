//! Compares records with index entries, both ways.
//!
//! Every entry that a record has must be stored, and every stored entry must belong to a record that has it. What differs is
//! looked at again a moment later, because others may write meanwhile.

use std::{ops::Bound, thread, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    backend::{Direction, Key, KeyRange, Pair},
    index,
    record::{HEAD_KEY_BYTES, Head, Record, Table, piece_key},
    repository::{Cached, Shared},
};
use crate::{
    domain::{
        ManagedObject,
        audit::AuditEvent,
        group::Group,
        job::Job,
        project::{Project, TransportKey},
    },
    engine::ports::{Intent, StoreError},
};

/// What a check of the indexes has found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexCheck {
    /// Records that were looked at.
    pub records: u64,
    /// Index entries that were looked at.
    pub entries: u64,
    /// Records that cannot be read, at most a hundred of them.
    pub damaged: Vec<String>,
    /// Entries that records should have and that are not there, at most a hundred of them.
    pub missing: Vec<String>,
    /// Entries and pieces that no record has, at most a hundred of them.
    pub stray: Vec<String>,
    /// Counts that are not those of the records.
    pub miscounted: Vec<String>,
}

impl IndexCheck {
    /// Whether records, entries and counts agree.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let Self { damaged, missing, stray, miscounted, .. } = self;
        damaged.is_empty() && missing.is_empty() && stray.is_empty() && miscounted.is_empty()
    }
}

/// Keys read at a time.
const STEP: usize = 1_000;
/// Differences that are told of each kind.
const TOLD_MAX: usize = 100;
/// How often a difference is looked at, and how long apart.
const LOOKS: usize = 5;
const PAUSE: Duration = Duration::from_millis(20);

fn tell(list: &mut Vec<String>, what: String) {
    if list.len() < TOLD_MAX {
        list.push(what);
    }
}

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
    /// Reads every record and every entry; `step` is told how many keys were looked at.
    pub(super) fn check(&self, step: &dyn Fn(u64)) -> Result<IndexCheck, StoreError> {
        let mut check = IndexCheck::default();
        self.check_records::<ManagedObject>(&mut check, step)?;
        self.check_records::<Group>(&mut check, step)?;
        self.check_records::<Job>(&mut check, step)?;
        self.check_records::<Project>(&mut check, step)?;
        self.check_records::<TransportKey>(&mut check, step)?;
        self.check_records::<Intent>(&mut check, step)?;
        self.check_records::<AuditEvent>(&mut check, step)?;
        if check.damaged.is_empty() {
            check.miscounted = self.miscounted()?;
        }
        for (table, owner, named) in TABLES {
            self.steps(&table.key(&[]), |pairs| {
                for pair in pairs {
                    check.entries += 1;
                    if check.stray.len() < TOLD_MAX
                        && !settled(|| Ok(self.is_owned(pair, owner, named)? || self.is_gone(pair)?))?
                    {
                        tell(&mut check.stray, display(&pair.0));
                    }
                }
                step(check.records + check.entries);
                Ok(())
            })?;
        }
        Ok(check)
    }

    /// Counts that are not those of the records, as far as that can be told while others write.
    fn miscounted(&self) -> Result<Vec<String>, StoreError> {
        let mut told = Vec::new();
        for _ in 0..LOOKS {
            let before = self.stored_counts()?;
            let counted = match self.counted_again() {
                Ok(counted) => counted,
                // A record that changed while it was read.
                Err(StoreError::Corrupt(_)) => continue,
                Err(error) => return Err(error),
            };
            if self.stored_counts()? != before {
                continue;
            }
            let differences = counted.differences(&before);
            if differences.is_empty() || differences == told {
                return Ok(differences);
            }
            told = differences;
        }
        Ok(Vec::new())
    }

    fn check_records<R: Record>(&self, check: &mut IndexCheck, step: &dyn Fn(u64)) -> Result<(), StoreError> {
        let mut after_head: Option<(Key, u16)> = None;
        self.steps(&R::TABLE.key(&[]), |pairs| {
            for pair in pairs {
                let (key, bytes) = pair;
                if key.len() != HEAD_KEY_BYTES {
                    let is_piece = |(head, pieces): &(Key, u16)| (0..*pieces).any(|at| piece_key(head, at) == *key);
                    // Of a record that has changed since, the head is another one by now.
                    if check.stray.len() < TOLD_MAX
                        && !after_head.as_ref().is_some_and(is_piece)
                        && !settled(|| self.is_piece(pair))?
                    {
                        tell(&mut check.stray, display(key));
                    }
                    continue;
                }
                after_head = Head::parse(bytes).ok().map(|head| (key.clone(), head.pieces));
                check.records += 1;
                if check.damaged.len().max(check.missing.len()) < TOLD_MAX {
                    self.check_record::<R>(key, check)?;
                }
            }
            step(check.records + check.entries);
            Ok(())
        })
    }

    fn check_record<R: Record>(&self, key: &[u8], check: &mut IndexCheck) -> Result<(), StoreError> {
        let mut lacking = Vec::new();
        let mut why = None;
        let is_sound = settled(|| {
            (lacking, why) = (Vec::new(), None);
            let Some(bytes) = self.backend().get(key)? else { return Ok(true) };
            let record = match self.read_at::<R>(key, &bytes) {
                Ok(stored) => stored.versioned.record,
                Err(StoreError::Corrupt(what)) => {
                    why = Some(what);
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            let claims = record.claims().into_iter().map(|key| (key, record.id().to_vec()));
            for (key, value) in record.entries().into_iter().chain(claims) {
                if self.backend().get(&key)?.as_ref() != Some(&value) {
                    lacking.push(key);
                }
            }
            Ok(lacking.is_empty())
        })?;
        if !is_sound {
            why.into_iter().for_each(|what| tell(&mut check.damaged, what));
            lacking.iter().for_each(|key| tell(&mut check.missing, display(key)));
        }
        Ok(())
    }

    /// Whether an entry is not stored any more.
    fn is_gone(&self, (key, value): &Pair) -> Result<bool, StoreError> {
        Ok(self.backend().get(key)?.as_ref() != Some(value))
    }

    /// Whether a piece belongs to the record whose head is stored, or is not stored any more.
    fn is_piece(&self, pair: &Pair) -> Result<bool, StoreError> {
        let (key, _) = pair;
        let Some((head, [high, low])) = key.split_last_chunk::<2>() else { return Ok(false) };
        let stored = self.backend().get(head)?;
        let pieces = stored.and_then(|head| Head::parse(&head).ok()).map_or(0, |head| head.pieces);
        Ok(u16::from_be_bytes([*high, *low]) < pieces || self.is_gone(pair)?)
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
        let stored = match self.load::<R>(id) {
            Ok(Some(stored)) => stored,
            // It is told as damaged by itself.
            Ok(None) | Err(StoreError::Corrupt(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
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

/// Whether something holds at one of several looks.
pub(super) fn settled(mut holds: impl FnMut() -> Result<bool, StoreError>) -> Result<bool, StoreError> {
    for look in 1..=LOOKS {
        if holds()? {
            return Ok(true);
        }
        if look < LOOKS {
            thread::sleep(PAUSE);
        }
    }
    Ok(false)
}

/// An index key for people: its table and the rest, in hexadecimal digits.
pub(super) fn display(key: &Key) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}
