//! Intersects lists of index entries while it reads them, in the order of creation.
//!
//! Every list is asked for its first position at or after the furthest that any list has named, until all name the same one.
//! So the shortest list sets the pace, whichever it is, and no counts are kept. Of each list some keys are held at a time; a
//! list that is ordered by a date is read whole when it is short, and left out when it is not.

use std::collections::VecDeque;

use super::{
    backend::{Backend, Direction, Key, KeyRange},
    terms::{Listing, Plan, Position, position_of},
};
use crate::engine::ports::StoreError;

/// Keys read from a list at first, and at most.
const READ_MIN: usize = 8;
const READ_MAX: usize = 512;
/// Objects of a list by date that are put in the order of creation.
const SORTED_MAX: usize = 4096;

/// Positions that are in every list.
pub(super) struct Join<'a> {
    backend: &'a dyn Backend,
    direction: Direction,
    lists: Vec<List>,
    /// The last position in the direction of reading.
    end: Position,
    /// Where to go on; `None` when there is nothing left.
    from: Option<Position>,
}

/// What a step found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A position that is in every list.
    Found(Position),
    /// Nothing yet: so many looks were taken, and nothing before this position is in every list.
    Paused(Position),
    /// There is nothing more.
    End,
}

enum List {
    Runs(Vec<Run>),
    Sorted(VecDeque<Position>),
}

/// One range of keys in the order of creation.
struct Run {
    prefix: Key,
    buffer: VecDeque<Position>,
    read: usize,
    /// How often the buffer had the answer since it was filled.
    served: usize,
    ended: bool,
}

impl<'a> Join<'a> {
    /// Begins after a position, or at the first one.
    pub(super) fn begin(
        backend: &'a dyn Backend,
        direction: Direction,
        plan: Plan,
        after: Option<Position>,
    ) -> Result<Self, StoreError> {
        let (first, end) = match direction {
            Direction::Up => (plan.lowest, plan.highest),
            Direction::Down => (plan.highest, plan.lowest),
        };
        let from = match after {
            Some(after) if !comes_before(direction, &after, &first) => next(direction, after),
            _ => Some(first),
        };
        let mut lists = Vec::with_capacity(plan.lists.len());
        for listing in plan.lists {
            match listing {
                Listing::Runs(prefixes) => lists.push(List::Runs(prefixes.into_iter().map(Run::new).collect())),
                Listing::Range(low, high) => lists.extend(sorted(backend, direction, low, high)?),
            }
        }
        Ok(Self { backend, direction, lists, end, from })
    }

    /// The next position that is in every list, or that none was found within `looks` looks.
    pub(super) fn step(&mut self, looks: &mut usize) -> Result<Step, StoreError> {
        let Some(mut target) = self.from else { return Ok(Step::End) };
        let mut agreed = 0;
        for at in (0..self.lists.len()).cycle() {
            if *looks == 0 {
                self.from = Some(target);
                return Ok(Step::Paused(target));
            }
            *looks -= 1;
            let Some(list) = self.lists.get_mut(at) else { break };
            match list.seek(self.backend, self.direction, target, self.end)? {
                None => {
                    self.from = None;
                    return Ok(Step::End);
                }
                Some(found) if found == target => agreed += 1,
                Some(found) => (target, agreed) = (found, 1),
            }
            if agreed == self.lists.len() {
                self.from = next(self.direction, target);
                return Ok(Step::Found(target));
            }
        }
        Ok(Step::End)
    }
}

impl List {
    fn seek(
        &mut self,
        backend: &dyn Backend,
        direction: Direction,
        target: Position,
        end: Position,
    ) -> Result<Option<Position>, StoreError> {
        match self {
            Self::Sorted(positions) => {
                drop_before(direction, positions, &target);
                Ok(positions.front().copied().filter(|it| !comes_before(direction, &end, it)))
            }
            Self::Runs(runs) => {
                let mut first: Option<Position> = None;
                for run in runs {
                    let found = run.seek(backend, direction, target, end)?;
                    first = match (first, found) {
                        (Some(one), Some(other)) if comes_before(direction, &other, &one) => Some(other),
                        (one, other) => one.or(other),
                    };
                }
                Ok(first)
            }
        }
    }
}

impl Run {
    const fn new(prefix: Key) -> Self {
        Self { prefix, buffer: VecDeque::new(), read: READ_MIN, served: 0, ended: false }
    }

    fn seek(
        &mut self,
        backend: &dyn Backend,
        direction: Direction,
        target: Position,
        end: Position,
    ) -> Result<Option<Position>, StoreError> {
        drop_before(direction, &mut self.buffer, &target);
        if self.buffer.is_empty() && !self.ended {
            // More at a time where they are taken one by one, fewer where most are passed over.
            let wanted = if self.served * 2 >= self.read { self.read * 2 } else { self.read / 2 };
            (self.read, self.served) = (wanted.clamp(READ_MIN, READ_MAX), 0);
            let key = |at: &Position| [self.prefix.as_slice(), at].concat();
            let (low, high) = match direction {
                Direction::Up => (&target, &end),
                Direction::Down => (&end, &target),
            };
            let pairs = backend.scan(&KeyRange::between(key(low), key(high)), direction, self.read)?;
            self.ended = pairs.len() < self.read;
            self.buffer.extend(pairs.iter().filter_map(|(key, _)| position_of(key)));
        }
        self.served += 1;
        Ok(self.buffer.front().copied())
    }
}

/// A list by date in the order of creation; `None` when it is long.
fn sorted(backend: &dyn Backend, direction: Direction, low: Key, high: Key) -> Result<Option<List>, StoreError> {
    let pairs = backend.scan(&KeyRange::between(low, high), Direction::Up, SORTED_MAX + 1)?;
    if pairs.len() > SORTED_MAX {
        return Ok(None);
    }
    let mut positions: Vec<Position> = pairs.iter().filter_map(|(key, _)| position_of(key)).collect();
    positions.sort_unstable();
    if direction == Direction::Down {
        positions.reverse();
    }
    Ok(Some(List::Sorted(positions.into())))
}

fn drop_before(direction: Direction, positions: &mut VecDeque<Position>, target: &Position) {
    while positions.front().is_some_and(|it| comes_before(direction, it, target)) {
        positions.pop_front();
    }
}

fn comes_before(direction: Direction, one: &Position, other: &Position) -> bool {
    match direction {
        Direction::Up => one < other,
        Direction::Down => one > other,
    }
}

/// The position beside one, in a direction.
fn next(direction: Direction, mut position: Position) -> Option<Position> {
    for byte in position.iter_mut().rev() {
        let (moved, carries) = match direction {
            Direction::Up => byte.overflowing_add(1),
            Direction::Down => byte.overflowing_sub(1),
        };
        *byte = moved;
        if !carries {
            return Some(position);
        }
    }
    None
}

/// The position before one, from where a walk that was paused goes on.
pub(super) fn before(direction: Direction, position: Position) -> Option<Position> {
    match direction {
        Direction::Up => next(Direction::Down, position),
        Direction::Down => next(Direction::Up, position),
    }
}
