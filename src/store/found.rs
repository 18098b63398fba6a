//! Searches by attributes: pages of what the index by attributes narrows them to.

use super::{
    backend::Direction,
    index::{self, Counted},
    join::{self, Join, Step},
    repository::Shared,
    terms::{self, Position},
};
use crate::{
    domain::{AttributeKind, AttributeValue, ManagedObject, UniqueIdentifier},
    engine::ports::{Cursor, Order, Page, Search, StoreError, Versioned},
};

/// Looks into lists for one page: then others have their turn on the reading threads.
const LOOKS_MAX: usize = 20_000;

impl Shared {
    /// A page of the objects that may match a search.
    pub(super) fn found(
        &self,
        search: &Search,
        order: Order,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<Page<ManagedObject>, StoreError> {
        if let Some(identifier) = identifier(search) {
            return self.identified(search, identifier, after);
        }
        let direction = Direction::from(order);
        // A cursor is a position; one from elsewhere begins at an end or finds nothing, but never another list.
        let after = after.and_then(|Cursor(at)| terms::position_of(&at));
        let mut join = Join::begin(self.backend(), direction, terms::plan(search), after)?;
        let (mut looks, mut records, mut last) = (LOOKS_MAX, Vec::new(), None::<Position>);
        let next = loop {
            match join.step(&mut looks)? {
                Step::End => break None,
                Step::Paused(at) => break join::before(direction, at),
                // One beyond the page says that it is not the last.
                Step::Found(_) if records.len() >= limit => break last,
                Step::Found(at) => {
                    last = Some(at);
                    let Some(id) = index::identifier(&at) else { continue };
                    if let Some(stored) = self.load::<ManagedObject>(id.bytes())?
                        && search.admits(&stored.versioned.record)
                    {
                        records.push(stored.versioned.clone());
                    }
                }
            }
        };
        Ok(Page { records, next: next.map(|at| Cursor(at.to_vec())) })
    }

    /// The object that a search asks for by its identifier.
    fn identified(
        &self,
        search: &Search,
        identifier: Option<UniqueIdentifier>,
        after: Option<Cursor>,
    ) -> Result<Page<ManagedObject>, StoreError> {
        let stored = match identifier.filter(|_| after.is_none()) {
            Some(id) => self.load::<ManagedObject>(id.bytes())?,
            None => None,
        };
        let found = stored.filter(|stored| search.admits(&stored.versioned.record));
        let records: Vec<Versioned<ManagedObject>> = found.iter().map(|stored| stored.versioned.clone()).collect();
        Ok(Page { records, next: None })
    }

    /// How many objects of a project have one of some statuses, expired ones included.
    pub(super) fn of_statuses(&self, search: &Search) -> u64 {
        let project = index::project(&search.project);
        terms::statuses(search).map(|status| self.known.tallies.of((Counted::Status(status), project))).sum()
    }
}

/// The identifier that a search asks for, or `Some(None)` when it asks for what is none.
#[expect(clippy::option_option, reason = "not asked, asked for nothing that can be there, asked for one")]
fn identifier(search: &Search) -> Option<Option<UniqueIdentifier>> {
    search.carries.iter().find_map(|it| match (&it.kind, &it.value) {
        (AttributeKind::UniqueIdentifier, AttributeValue::Text(text)) => Some(text.parse().ok()),
        _ => None,
    })
}
