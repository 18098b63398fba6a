//! Finds objects by their attributes, in the metadata only (KMIP 2.1 §6.1.32; contract §6, Locate).
//!
//! All conditions must hold. A date given once must be equal, given twice it is a closed range; the largest date means
//! that the attribute is absent. A mask matches when all asked bits are set; text is compared exactly; of a structure only
//! the given fields compare. The newest object comes first.
//!
//! The store's indexes narrow the walk ([`Search`]); every record is judged here. Records are held a page at a time, and of what
//! was found only the identifiers. When as many were found as were asked for, the rest is counted as far as the settings
//! allow; beyond that nobody knows how many there are, and the answer says so by not saying it (KMIP 2.1 §6.1.32).

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex, PoisonError},
};

use crate::{
    authz::Permitted,
    domain::{
        Attribute, AttributeKind, AttributeValue, ManagedObject, ObjectType, OperationKind, ProjectId, State,
        Timestamp, UniqueIdentifier,
    },
    engine::{
        Error, Operation, Target, Targets, Tools,
        ports::{Dated, Order, Scope, Search, Slice, Window, storage_status},
    },
};

/// The largest Date-Time: "undefined" in a condition.
const UNDEFINED: i64 = i64::MAX;
/// Records fetched at a time.
const PAGE: usize = 256;

/// Finds objects of the caller's project.
#[derive(Debug, Default)]
pub struct Locate {
    /// What must hold.
    pub conditions: Vec<Attribute>,
    /// Storage Status Mask: 1 on-line, 2 archival, 4 destroyed; on-line when absent.
    pub storage_status: Option<u32>,
    /// Object Group Member: 1 asks for fresh members, 2 for the one whose turn it is.
    pub group_member: Option<u32>,
    /// At most this many identifiers.
    pub maximum_items: Option<usize>,
    /// Leave out this many first.
    pub offset_items: usize,
    /// Whether nobody asks how many match in all.
    pub uncounted: bool,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Located {
    /// The objects, newest first, after offset and limit.
    pub identifiers: Vec<UniqueIdentifier>,
    /// The record of the first one.
    pub first: Option<Box<ManagedObject>>,
    /// How many match in all; unknown when it was not asked, or when there are too many to look at.
    pub total: Option<usize>,
}

impl Operation for Locate {
    const KIND: OperationKind = OperationKind::Locate;
    type Output = Located;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _on: Permitted<Targets>, tools: &Tools) -> Result<Located, Error> {
        let project = tools.principal().project.clone();
        let now = tools.now();
        let search = self.search(project.clone());
        // Members of a group are given out in the order in which they came.
        let order = if self.group_member.is_some() { Order::OldestFirst } else { Order::NewestFirst };
        let in_turn = self.group_member == Some(GROUP_MEMBER_DEFAULT);
        let limit = self.maximum_items.unwrap_or(usize::MAX);
        // Everything with one status: the index by itself says how much that is.
        let is_plain = self.conditions.is_empty() && self.group_member.is_none() && search.statuses.is_power_of_two();
        let plain = is_plain.then(|| Scope::Having(Box::new(search.clone())));
        if let (Some(scope), Some(limit)) = (&plain, self.maximum_items.filter(|limit| *limit <= PAGE)) {
            let window = Window { order, offset: self.offset_items, limit };
            let Slice { records, total } = tools.store().live(scope.clone(), window, now).await?;
            let identifiers = records.iter().map(|object| object.identifier).collect();
            return Ok(Located { identifiers, first: records.into_iter().next().map(Box::new), total: Some(total) });
        }
        let name = self.conditions.iter().find_map(|condition| match (&condition.kind, &condition.value) {
            (AttributeKind::Name, AttributeValue::Name { value, .. }) if search.statuses & 4 == 0 => {
                Some(value.clone())
            }
            _ => None,
        });
        let scope = name.map_or_else(|| Scope::Having(Box::new(search)), |name| Scope::Name(project.clone(), name));
        let kept = if in_turn { TURN_MAX } else { limit };
        let offset = if in_turn { 0 } else { self.offset_items };
        let mut located = Located::default();
        let (mut after, mut seen, mut total) = (None, 0_usize, 0_usize);
        let is_counted = loop {
            let page = tools.store().objects(scope.clone(), order, after, PAGE).await?;
            seen = seen.saturating_add(page.records.len());
            for object in page.records.into_iter().map(|found| found.record) {
                if object.is_expired(now) || !self.matches(&object, now) {
                    continue;
                }
                total += 1;
                if total > offset && located.identifiers.len() < kept {
                    located.identifiers.push(object.identifier);
                    located.first.get_or_insert_with(|| Box::new(object));
                }
            }
            after = page.next;
            let is_full = self.maximum_items.is_some() && located.identifiers.len() >= kept;
            if after.is_none() || (is_full && (self.uncounted || seen >= tools.settings().walk_max)) {
                break after.is_none();
            }
        };
        located.total = match plain {
            _ if is_counted => Some(total),
            Some(scope) if !self.uncounted => {
                Some(tools.store().live(scope, Window { order, offset: 0, limit: 0 }, now).await?.total)
            }
            _ => None,
        };
        if in_turn {
            self.take_turns(&project, &mut located, limit);
        }
        Ok(located)
    }
}

/// KMIP *Object Group Member* (KMIP 2.1 §11.34).
const GROUP_MEMBER_FRESH: u32 = 1;
const GROUP_MEMBER_DEFAULT: u32 = 2;
/// Members of a group among which turns are taken.
const TURN_MAX: usize = 4096;
/// Groups whose turn is remembered.
const GROUPS_MAX: usize = 4096;

/// Which member of a group had its turn last, by project and group. The default member is a matter of the server's
/// policy (KMIP 2.1 §4.34): the next one in turn, beginning anew when the gateway starts.
static TURNS: LazyLock<Mutex<HashMap<(ProjectId, String), UniqueIdentifier>>> = LazyLock::new(Mutex::default);

impl Locate {
    /// Puts the members in the order of their turns, begins after the one that was asked for last, and remembers this one.
    fn take_turns(&self, project: &ProjectId, located: &mut Located, limit: usize) {
        let group = self.conditions.iter().find_map(|condition| match (&condition.kind, &condition.value) {
            (AttributeKind::ObjectGroup, AttributeValue::Text(group)) => Some(group.clone()),
            _ => None,
        });
        let key = (project.clone(), group.unwrap_or_default());
        let mut turns = TURNS.lock().unwrap_or_else(PoisonError::into_inner);
        let last = turns.get(&key);
        let members = &mut located.identifiers;
        let next = last.and_then(|last| members.iter().position(|it| it == last)).map_or(0, |at| at + 1);
        let count = members.len().max(1);
        members.rotate_left(next % count);
        if let Some(first) = members.first() {
            if turns.len() >= GROUPS_MAX {
                turns.clear();
            }
            turns.insert(key, *first);
        }
        let chosen = std::mem::take(members);
        *members = chosen.into_iter().skip(self.offset_items).take(limit).collect();
        // It was the record of another member.
        located.first = None;
    }

    /// What the store's indexes are asked.
    #[must_use]
    pub fn search(&self, project: ProjectId) -> Search {
        let mut search = Search::all(project, self.storage_status.unwrap_or(1) & 7);
        for condition in &self.conditions {
            match (&condition.kind, &condition.value) {
                (AttributeKind::State, AttributeValue::Enumeration(number)) => {
                    search.states.extend(State::from_number(*number));
                }
                (_, AttributeValue::Date(_)) if search.dates.iter().any(|known| known.kind == condition.kind) => {}
                (kind, AttributeValue::Date(_)) => {
                    let asked = || self.dates(kind).map(|at| at.seconds());
                    let is_undefined = self.dates(kind).any(is_undefined);
                    if let (Some(from), Some(to), false) = (asked().min(), asked().max(), is_undefined) {
                        let (from, to) = (Timestamp::from_seconds(from), Timestamp::from_seconds(to));
                        // A client has seen whole seconds.
                        let to = Timestamp::from_micros(to.micros().saturating_add(999_999));
                        search.dates.push(Dated { kind: kind.clone(), from, to });
                    }
                }
                _ => search.carries.push(condition.clone()),
            }
        }
        search
    }

    /// Whether an object is found: what it carries at `now` is all that was asked for.
    #[must_use]
    pub fn matches(&self, object: &ManagedObject, now: Timestamp) -> bool {
        if object.object_type == ObjectType::Obliterated {
            return false;
        }
        if self.storage_status.unwrap_or(1) & storage_status(object) == 0 {
            return false;
        }
        if self.group_member == Some(GROUP_MEMBER_FRESH) && !object.flag(&AttributeKind::Fresh, false) {
            return false;
        }
        let have = object.all_attributes(now);
        self.conditions.iter().all(|condition| {
            let instances = have.iter().filter(|attribute| attribute.kind == condition.kind);
            match &condition.value {
                AttributeValue::Date(at) if is_undefined(*at) => instances.count() == 0,
                AttributeValue::Date(_) => {
                    let asked: Vec<Timestamp> = self.dates(&condition.kind).collect();
                    instances.map(|attribute| &attribute.value).any(|value| date_fits(value, &asked))
                }
                wanted => instances.map(|attribute| &attribute.value).any(|value| fits(&condition.kind, value, wanted)),
            }
        })
    }

    fn dates<'a>(&'a self, kind: &'a AttributeKind) -> impl Iterator<Item = Timestamp> + 'a {
        self.conditions.iter().filter(move |condition| condition.kind == *kind).filter_map(|condition| match condition
            .value
        {
            AttributeValue::Date(at) => Some(at),
            _ => None,
        })
    }
}

/// Whether a date in a condition means that there is none.
const fn is_undefined(at: Timestamp) -> bool {
    at.seconds() == UNDEFINED / 1_000_000 || at.micros() == UNDEFINED
}

fn date_fits(have: &AttributeValue, asked: &[Timestamp]) -> bool {
    let AttributeValue::Date(have) = have else { return false };
    let seconds = have.seconds();
    match asked {
        [one] => seconds == one.seconds(),
        many => {
            let bounds = many.iter().map(|at| at.seconds());
            bounds.clone().min().is_some_and(|low| low <= seconds) && bounds.max().is_some_and(|high| seconds <= high)
        }
    }
}

fn fits(kind: &AttributeKind, have: &AttributeValue, wanted: &AttributeValue) -> bool {
    use AttributeValue as V;
    match (have, wanted) {
        (V::Integer(have), V::Integer(wanted))
            if matches!(kind, AttributeKind::CryptographicUsageMask | AttributeKind::ProtectionStorageMask) =>
        {
            have & wanted == *wanted
        }
        (V::Application { namespace: a, data: b }, V::Application { namespace, data }) => {
            (namespace.is_empty() || a == namespace) && (data.is_none() || b == data)
        }
        (V::UsageLimits { total, count, unit }, V::UsageLimits { total: t, count: c, unit: u }) => {
            total >= t && c.is_none_or(|c| count.is_some_and(|count| count >= c)) && unit == u
        }
        (
            V::DomainParameters { q_length: a, recommended_curve: b },
            V::DomainParameters { q_length, recommended_curve },
        ) => (q_length.is_none() || a == q_length) && (recommended_curve.is_none() || b == recommended_curve),
        (V::CryptographicParameters(have), V::CryptographicParameters(wanted)) => {
            let eq = |pairs: &[bool]| pairs.iter().all(|ok| *ok);
            eq(&[
                wanted.block_cipher_mode.is_none() || have.block_cipher_mode == wanted.block_cipher_mode,
                wanted.padding_method.is_none() || have.padding_method == wanted.padding_method,
                wanted.hashing_algorithm.is_none() || have.hashing_algorithm == wanted.hashing_algorithm,
                wanted.key_role_type.is_none() || have.key_role_type == wanted.key_role_type,
                wanted.cryptographic_algorithm.is_none()
                    || have.cryptographic_algorithm == wanted.cryptographic_algorithm,
                wanted.digital_signature_algorithm.is_none()
                    || have.digital_signature_algorithm == wanted.digital_signature_algorithm,
            ])
        }
        (V::Digest { hashing_algorithm: a, value: v, .. }, V::Digest { hashing_algorithm, value, .. }) => {
            a == hashing_algorithm && (value.is_empty() || v == value)
        }
        (have, wanted) => have == wanted,
    }
}
