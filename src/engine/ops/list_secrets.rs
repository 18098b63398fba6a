//! Reads a secret's record, and lists the secrets of a project.
//!
//! What a filter or an order means is the front end's business. A page of a whole project, or of one name, is read by its
//! position and costs the same in a large project as in a small one. Other filters walk the records, those of an index where
//! it knows something of the filter: the page is always complete, only the counting of matches behind it ends at the limit of the settings.

use std::cmp::Ordering;

use crate::{
    authz::Permitted,
    domain::{AttributeKind, ManagedObject, OperationKind, Timestamp, UniqueIdentifier},
    engine::{
        error::Error,
        operation::{Operation, Target, Targets},
        ports::{Dated, Order, Scope, Search, Shown, Slice, Window},
        tools::Tools,
    },
};

/// Records fetched at a time.
pub(super) const STEP: usize = 256;

/// On-line or archived, of KMIP's Storage Status Mask.
const NOT_DESTROYED: u32 = 3;

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

/// What a filter is known to keep, as far as indexes go.
#[derive(Debug, Default)]
pub struct Narrow {
    /// What every record that is kept shows.
    pub shown: Vec<Shown>,
    /// The first and the last time of creation.
    pub created: Option<(Timestamp, Timestamp)>,
}

/// The order of a list.
pub enum Sort {
    /// By creation.
    Creation(Order),
    /// By something else.
    By(Compare),
}

/// Lists secrets.
pub struct ListSecrets {
    /// Instead of the project's secrets, those whose access list names the caller.
    pub granted: bool,
    /// Those that are shown under this name, whatever the case of its letters.
    pub name: Option<String>,
    /// What an index may know of those that `filter` keeps: it narrows the walk and decides nothing.
    pub narrow: Narrow,
    /// Which ones; all when absent.
    pub filter: Option<Filter<ManagedObject>>,
    /// In which order.
    pub sort: Sort,
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
        let (now, project) = (tools.now(), tools.principal().project.clone());
        let scope = match (self.granted, &tools.principal().name, &self.name) {
            (false, _, None) if self.narrow.shown.is_empty() && self.narrow.created.is_none() => Scope::Live(project),
            (false, _, None) => {
                let created =
                    self.narrow.created.map(|(from, to)| Dated { kind: AttributeKind::InitialDate, from, to });
                let (dates, shown) = (created.into_iter().collect(), self.narrow.shown.clone());
                Scope::Having(Box::new(Search { dates, shown, ..Search::all(project, NOT_DESTROYED) }))
            }
            (false, _, Some(name)) => Scope::Called(project, name.clone()),
            (true, Some(user), _) => Scope::GrantedTo(user.clone()),
            (true, None, _) => return Ok(Listed { records: Vec::new(), total: 0 }),
        };
        let order = match &self.sort {
            Sort::Creation(order) => *order,
            Sort::By(_) => Order::OldestFirst,
        };
        if let (false, None, Sort::Creation(order)) = (self.granted, &self.filter, &self.sort) {
            let window = Window { order: *order, offset: self.offset, limit: self.limit };
            let Slice { records, total } = tools.store().live(scope, window, now).await?;
            return Ok(Listed { records, total });
        }
        let called = |object: &ManagedObject| match (&self.name, object.shown_name()) {
            (None, _) => true,
            (Some(wanted), Some(name)) => wanted.to_lowercase() == name.to_lowercase(),
            (Some(_), None) => false,
        };
        let wanted = |object: &ManagedObject| {
            !object.state(now).is_destroyed()
                && !object.object_type.is_of_accounts()
                && !object.is_expired(now)
                && called(object)
                && self.filter.as_ref().is_none_or(|keep| keep(object))
        };
        let mut page = Page::new(self.offset, self.limit);
        let mut best = Best::new(self.offset.saturating_add(self.limit));
        let (mut after, mut seen) = (None, 0_usize);
        loop {
            let step = tools.store().objects(scope.clone(), order, after, STEP).await?;
            seen = seen.saturating_add(step.records.len());
            for object in step.records.into_iter().map(|it| it.record).filter(wanted) {
                match &self.sort {
                    Sort::By(compare) => best.add(object, compare),
                    Sort::Creation(_) => page.add(object),
                }
            }
            after = step.next;
            // What sorts first may be the last one that is looked at.
            let enough = matches!(self.sort, Sort::Creation(_)) && page.is_full();
            if after.is_none() || (enough && seen >= tools.settings().walk_max) {
                break;
            }
        }
        match &self.sort {
            Sort::By(compare) => Ok(best.listed(compare, self.offset)),
            Sort::Creation(_) => Ok(page.into()),
        }
    }
}

/// The records that sort first, as many as a page needs: a large project is sorted without holding all of it.
struct Best {
    wanted: usize,
    records: Vec<ManagedObject>,
    total: usize,
}

impl Best {
    const fn new(wanted: usize) -> Self {
        Self { wanted, records: Vec::new(), total: 0 }
    }

    fn add(&mut self, object: ManagedObject, compare: &Compare) {
        self.total = self.total.saturating_add(1);
        self.records.push(object);
        if self.records.len() > self.wanted.saturating_mul(2).saturating_add(STEP) {
            self.cut(compare);
        }
    }

    fn cut(&mut self, compare: &Compare) {
        self.records.sort_by(|one, other| compare(one, other));
        self.records.truncate(self.wanted);
    }

    fn listed(mut self, compare: &Compare, offset: usize) -> Listed<ManagedObject> {
        self.cut(compare);
        Listed { records: self.records.into_iter().skip(offset).collect(), total: self.total }
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

    /// Whether nothing more fits in; what is added is counted.
    pub(super) const fn is_full(&self) -> bool {
        self.records.len() >= self.limit
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
