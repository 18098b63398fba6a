//! The counts that stand beside the records: how many of each kind there are, and how many of each resource a project has.
//!
//! What a batch changes travels with it and is added up by the engine's only writer, in the same step. So a start reads a key
//! for each project instead of every index entry, after a crash too.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use super::{
    Writes,
    backend::{Direction, Key, KeyRange, Merge, Pair},
    index::{Counted, Of, ProjectKey, counted},
    record::{HEAD_KEY_BYTES, Record, Table},
    repository::Shared,
};
use crate::{
    domain::{ManagedObject, group::Group, job::Job, project::Resource},
    engine::ports::StoreError,
};

/// How many there are, or how many more, under the code of what is counted.
type Numbers = BTreeMap<Vec<u8>, i64>;

/// The codes of what is counted of a project; the rest of a code says which.
const OF_RESOURCE: u8 = 0;
const OF_STATUS: u8 = 1;

/// What is counted, or how it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Records by label.
    pub(super) labels: Numbers,
    /// By project.
    pub(super) of: HashMap<Of, i64>,
}

impl Counts {
    /// Counts a record that comes (1) or goes (-1).
    pub(super) fn label(&mut self, label: Vec<u8>, step: i64) {
        *self.labels.entry(label).or_default() += step;
    }

    /// Counts an index entry that comes (1) or goes (-1).
    pub(super) fn entry(&mut self, key: &[u8], step: i64) {
        if let Some(of) = counted(key) {
            *self.of.entry(of).or_default() += step;
        }
    }

    /// The keys and numbers of the store, those that are zero left out.
    fn by_key(&self) -> BTreeMap<Key, Numbers> {
        let mut keys = BTreeMap::<Key, Numbers>::new();
        let labels = self.labels.iter().map(|(label, number)| (Table::Counts.key(&[]), label.clone(), *number));
        let of = self.of.iter().map(|((what, project), number)| (Table::Counts.key(&[project]), code(*what), *number));
        for (key, code, number) in labels.chain(of).filter(|(_, _, number)| *number != 0) {
            keys.entry(key).or_default().insert(code, number);
        }
        keys
    }

    /// What the writer adds to the stored counts.
    pub(super) fn merges(&self) -> Result<Vec<Merge>, StoreError> {
        let merge = |(key, numbers): (Key, Numbers)| Ok(Merge { key, with: encoded(&numbers)?, by: add });
        self.by_key().into_iter().map(merge).collect()
    }

    /// The counts as they are stored.
    fn pairs(&self) -> Result<Vec<Pair>, StoreError> {
        self.by_key().into_iter().map(|(key, numbers)| Ok((key, encoded(&numbers)?))).collect()
    }

    /// Takes in a stored key.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let numbers = decoded(value)?;
        if key.len() == 1 {
            self.labels = numbers;
            return Ok(());
        }
        let project: ProjectKey = key.get(1..).and_then(|rest| rest.try_into().ok()).ok_or_else(damaged)?;
        for (code, number) in numbers {
            self.of.insert((what(&code).ok_or_else(damaged)?, project), number);
        }
        Ok(())
    }

    /// Where two sets of counts differ, in words.
    pub(super) fn differences(&self, stored: &Self) -> Vec<String> {
        let (should, are) = (self.by_key(), stored.by_key());
        let keys: std::collections::BTreeSet<&Key> = should.keys().chain(are.keys()).collect();
        let differ = keys.into_iter().filter(|key| should.get(*key) != are.get(*key));
        differ.map(|key| format!("the counts of {}", super::check::display(key))).collect()
    }
}

impl Shared {
    /// The counts that are stored.
    pub(super) fn stored_counts(&self) -> Result<Counts, StoreError> {
        let mut counts = Counts::default();
        let mut range = KeyRange::prefix(&Table::Counts.key(&[]));
        loop {
            let pairs = self.backend().scan(&range, Direction::Up, 1_000)?;
            let Some((last, _)) = pairs.last() else { return Ok(counts) };
            range.start = Bound::Excluded(last.clone());
            pairs.iter().try_for_each(|(key, value)| counts.take(key, value))?;
        }
    }

    /// The counts as the records give them. Reads every record.
    pub(super) fn counted_again(&self) -> Result<Counts, StoreError> {
        let mut counts = Counts::default();
        self.count_records::<ManagedObject>(&mut counts)?;
        self.count_records::<Group>(&mut counts)?;
        self.count_records::<Job>(&mut counts)?;
        Ok(counts)
    }

    fn count_records<R: Record>(&self, counts: &mut Counts) -> Result<(), StoreError> {
        self.steps(&R::TABLE.key(&[]), |pairs| {
            for (key, bytes) in pairs.iter().filter(|(key, _)| key.len() == HEAD_KEY_BYTES) {
                let record = self.read_at::<R>(key, bytes)?.versioned.record;
                counts.label(record.label(), 1);
                record.entries().iter().for_each(|(key, _)| counts.entry(key, 1));
            }
            Ok(())
        })
    }

    /// The stored form of counts, and the removal of those that are stored and do not belong to it.
    pub(super) fn counts_written(&self, counts: &Counts) -> Result<Writes, StoreError> {
        let stale = self.stored_counts()?.by_key().into_keys().map(|key| (key, None));
        let mut writes: BTreeMap<Key, Option<Vec<u8>>> = stale.collect();
        writes.extend(counts.pairs()?.into_iter().map(|(key, value)| (key, Some(value))));
        Ok(writes.into_iter().collect())
    }
}

/// Adds up two sets of numbers; what comes to nothing is left out.
fn add(old: Option<&[u8]>, with: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    let mut numbers = old.map(decoded).transpose()?.unwrap_or_default();
    for (code, step) in decoded(with)? {
        *numbers.entry(code).or_default() += step;
    }
    numbers.retain(|_, number| *number != 0);
    if numbers.is_empty() { Ok(None) } else { encoded(&numbers).map(Some) }
}

fn encoded(numbers: &Numbers) -> Result<Vec<u8>, StoreError> {
    postcard::to_stdvec(numbers).map_err(|error| StoreError::Corrupt(format!("counts that cannot be written: {error}")))
}

fn decoded(value: &[u8]) -> Result<Numbers, StoreError> {
    postcard::from_bytes(value).map_err(|_unreadable| damaged())
}

fn damaged() -> StoreError {
    StoreError::Corrupt("the counts of the store cannot be read".to_owned())
}

fn code(what: Counted) -> Vec<u8> {
    match what {
        Counted::Resource(resource) => {
            let at = Resource::ALL.iter().position(|it| *it == resource).and_then(|at| u8::try_from(at).ok());
            vec![OF_RESOURCE, at.unwrap_or(u8::MAX)]
        }
        Counted::Status(status) => vec![OF_STATUS, status],
    }
}

fn what(code: &[u8]) -> Option<Counted> {
    match *code {
        [OF_RESOURCE, at] => Resource::ALL.get(usize::from(at)).copied().map(Counted::Resource),
        [OF_STATUS, status] => Some(Counted::Status(status)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::index::PROJECT_BYTES, *};

    fn numbers(of: &[(u8, i64)]) -> Vec<u8> {
        encoded(&of.iter().map(|(code, number)| (vec![*code], *number)).collect()).unwrap()
    }

    #[test]
    fn numbers_add_up_and_nothing_stays_of_what_is_zero() {
        let sum = add(Some(&numbers(&[(1, 2), (2, 5)])), &numbers(&[(1, -2), (3, 1)])).unwrap();
        assert_eq!(sum, Some(numbers(&[(2, 5), (3, 1)])));
        assert_eq!(add(Some(&numbers(&[(1, 2)])), &numbers(&[(1, -2)])).unwrap(), None);
        assert_eq!(add(None, &numbers(&[(1, 2)])).unwrap(), Some(numbers(&[(1, 2)])));
        assert!(matches!(add(Some(&[0xFF]), &numbers(&[])), Err(StoreError::Corrupt(_))));
    }

    #[test]
    fn everything_that_is_counted_has_a_code_of_its_own() {
        let all = Resource::ALL.map(Counted::Resource).into_iter().chain([1, 2, 4].map(Counted::Status));
        for counted in all {
            assert_eq!(what(&code(counted)), Some(counted));
        }
        assert_eq!(what(&[OF_RESOURCE, 200]), None);
    }

    #[test]
    fn stored_counts_are_read_as_they_were() {
        let mut counts = Counts::default();
        counts.label(vec![2, 0], 7);
        counts.of.insert((Counted::Resource(Resource::Orders), [3; PROJECT_BYTES]), 2);
        counts.of.insert((Counted::Status(1), [3; PROJECT_BYTES]), 0);
        let mut read = Counts::default();
        counts.pairs().unwrap().iter().for_each(|(key, value)| read.take(key, value).unwrap());
        assert_eq!(counts.differences(&read), Vec::<String>::new());
        read.label(vec![2, 0], 1);
        assert_eq!(counts.differences(&read).len(), 1);
    }
}
