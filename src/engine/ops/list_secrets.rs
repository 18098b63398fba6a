//! Reads a secret's record, and lists the secrets of a project.
//!
//! What a filter or an order means is the front end's business; here the records are walked, those that are gone are left
//! out, and one page is kept. Unfiltered totals are exact; a filtered walk ends at the limit of the settings.

use std::cmp::Ordering;

use crate::{
    authz::Permitted,
    domain::{ManagedObject, OperationKind, UniqueIdentifier},
    engine::{
        error::Error,
        operation::{Operation, Target, Targets},
        ports::{Order, Scope},
        tools::Tools,
    },
};

/// Records fetched at a time.
pub(super) const STEP: usize = 256;

/// Reads a secret's record.
#[derive(Debug)]
pub struct ReadSecret {
    /// Which secret.
    pub secret: UniqueIdentifier,
}

impl Operation for ReadSecret {
    const KIND: OperationKind = OperationKind::ReadAttributes;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Object(self.secret)
    }

    async fn run(self, on: Permitted<Targets>, _: &Tools) -> Result<Self::Output, Error> {
        Ok(on.into_object()?.record)
    }
}

/// Keeps a record or leaves it out.
pub type Filter<T> = Box<dyn Fn(&T) -> bool + Send + Sync>;
/// Puts records in an order.
pub type Compare = Box<dyn Fn(&ManagedObject, &ManagedObject) -> Ordering + Send + Sync>;

/// Lists secrets.
pub struct ListSecrets {
    /// Instead of the project's secrets, those whose access list names the caller.
    pub granted: bool,
    /// Which ones; all when absent.
    pub filter: Option<Filter<ManagedObject>>,
    /// In which order; oldest first when absent.
    pub sort: Option<Compare>,
    /// How many matches to pass over.
    pub offset: usize,
    /// How many to answer.
    pub limit: usize,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    /// The page.
    pub records: Vec<T>,
    /// How many match in all.
    pub total: usize,
}

impl Operation for ListSecrets {
    const KIND: OperationKind = OperationKind::ListSecrets;
    type Output = Listed<ManagedObject>;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let mut page = Page::new(self.offset, self.limit);
        let scope = match (self.granted, &tools.principal().name) {
            (false, _) => Scope::Project(tools.principal().project.clone()),
            (true, Some(user)) => Scope::GrantedTo(user.clone()),
            (true, None) => return Ok(page.into()),
        };
        let now = tools.now();
        let limited = self.filter.is_some() || self.sort.is_some();
        let (mut all, mut after, mut seen) = (Vec::new(), None, 0_usize);
        loop {
            let step = tools.store().objects(scope.clone(), Order::OldestFirst, after, STEP).await?;
            seen = seen.saturating_add(step.records.len());
            for object in step.records.into_iter().map(|it| it.record) {
                let gone =
                    object.state(now).is_destroyed() || object.is_expired(now) || object.object_type.is_of_accounts();
                if gone || self.filter.as_ref().is_some_and(|keep| !keep(&object)) {
                    continue;
                }
                if self.sort.is_some() {
                    all.push(object);
                } else {
                    page.add(object);
                }
            }
            after = step.next;
            if after.is_none() || (limited && seen >= tools.settings().walk_max) {
                break;
            }
        }
        if let Some(compare) = &self.sort {
            all.sort_by(|one, other| compare(one, other));
            all.into_iter().for_each(|object| page.add(object));
        }
        Ok(page.into())
    }
}

/// Counts matches and keeps those of the page.
pub(super) struct Page<T> {
    offset: usize,
    limit: usize,
    total: usize,
    records: Vec<T>,
}

impl<T> Page<T> {
    pub(super) const fn new(offset: usize, limit: usize) -> Self {
        Self { offset, limit, total: 0, records: Vec::new() }
    }

    pub(super) fn add(&mut self, record: T) {
        if self.total >= self.offset && self.records.len() < self.limit {
            self.records.push(record);
        }
        self.total = self.total.saturating_add(1);
    }
}

impl<T> From<Page<T>> for Listed<T> {
    fn from(page: Page<T>) -> Self {
        Self { records: page.records, total: page.total }
    }
}
