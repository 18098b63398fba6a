//! What the journal has and the tree has not yet: the newest value of each key, laid over the tree for whoever reads.
//!
//! A key that is written again, or removed, before the tree takes it in never gets there: an intent lives for milliseconds, and the keys
//! with counts change with every group. Only the writer changes it; a key leaves when the tree has it.

use std::{cmp::Ordering, sync::Arc};

use parking_lot::{RwLock, RwLockReadGuard};
use sled::{Db, IVec};

use super::{
    backend::{Direction, Key, KeyRange, Pair},
    journal::Changes,
};

/// Changes that readers see over the tree.
#[derive(Clone, Default)]
pub(super) struct Pending(Arc<RwLock<Changes>>);

impl Pending {
    pub(super) fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    /// What stands here under a key: a value, or that there is none.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Vec<u8>>> {
        self.0.read().get(key).cloned()
    }

    /// Adds what was made durable.
    pub(super) fn add(&self, group: Changes) {
        self.0.write().extend(group);
    }

    /// All of it. Nothing can be added while the answer is held.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Changes> {
        self.0.read()
    }

    /// The tree has taken it in.
    pub(super) fn clear(&self) {
        self.0.write().clear();
    }
}

/// At most `limit` pairs of a range that is not empty, of the tree and what is laid over it.
pub(super) fn scan(
    pending: &Changes,
    db: &Db,
    range: &KeyRange,
    direction: Direction,
    limit: usize,
) -> sled::Result<Vec<Pair>> {
    let over = pending.range((range.start.clone(), range.end.clone()));
    let below = db.range::<Key, _>((range.start.clone(), range.end.clone()));
    match direction {
        Direction::Up => merged(over, below, limit, Ord::cmp),
        Direction::Down => merged(over.rev(), below.rev(), limit, |one, other| other.cmp(one)),
    }
}

/// The first pairs of two sequences that are in the same order; of a key in both the first one tells.
fn merged<'a>(
    over: impl Iterator<Item = (&'a Key, &'a Option<Vec<u8>>)>,
    below: impl Iterator<Item = sled::Result<(IVec, IVec)>>,
    limit: usize,
    order: impl Fn(&[u8], &[u8]) -> Ordering,
) -> sled::Result<Vec<Pair>> {
    let (mut over, mut below) = (over.peekable(), below.peekable());
    let mut found = Vec::new();
    while found.len() < limit {
        let first = match (over.peek(), below.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (Some((one, _)), Some(Ok((other, _)))) => order(one, other),
            (_, Some(_)) => Ordering::Greater,
        };
        if first != Ordering::Less
            && let Some(pair) = below.next()
        {
            let (key, value) = pair?;
            if first == Ordering::Greater {
                found.push((key.to_vec(), value.to_vec()));
            }
        }
        if first != Ordering::Greater
            && let Some((key, Some(value))) = over.next()
        {
            found.push((key.clone(), value.clone()));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Every range and limit in both directions, over a tree and changes that meet in all ways.
    #[test]
    fn a_scan_finds_what_the_tree_would_have() {
        let folder = tempfile::tempdir().unwrap();
        let db = sled::Config::new().path(folder.path()).open().unwrap();
        let (pending, mut whole) = (Pending::default(), BTreeMap::new());
        for key in 0..24_u8 {
            if key % 2 == 0 {
                db.insert([key], vec![key]).unwrap();
                whole.insert(vec![key], vec![key]);
            }
        }
        let change = |key: u8| match key % 3 {
            0 => Some((vec![key], Some(vec![key, 1]))),
            1 => Some((vec![key], None)),
            _ => None,
        };
        let changes: Changes = (0..24_u8).filter_map(change).collect();
        for (key, value) in &changes {
            assert_eq!(pending.get(key), None);
            match value {
                Some(value) => drop(whole.insert(key.clone(), value.clone())),
                None => drop(whole.remove(key)),
            }
        }
        pending.add(changes);
        assert_eq!(pending.get(&[1]), Some(None));
        assert_eq!(pending.get(&[3]), Some(Some(vec![3, 1])));
        for low in 0..24_u8 {
            for high in low..24 {
                for limit in [0, 1, 2, 5, usize::MAX] {
                    let range = KeyRange::between(vec![low], vec![high]);
                    let there = || {
                        let pairs = whole.range(vec![low]..=vec![high]);
                        pairs.map(|(key, value)| (key.clone(), value.clone()))
                    };
                    let up = scan(&pending.read(), &db, &range, Direction::Up, limit).unwrap();
                    assert_eq!(up, there().take(limit).collect::<Vec<_>>());
                    let down = scan(&pending.read(), &db, &range, Direction::Down, limit).unwrap();
                    assert_eq!(down, there().rev().take(limit).collect::<Vec<_>>());
                }
            }
        }
        pending.clear();
        assert!(pending.is_empty());
        assert_eq!(scan(&pending.read(), &db, &KeyRange::prefix(&[]), Direction::Up, 100).unwrap().len(), 12);
    }
}
