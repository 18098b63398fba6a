//! The index by attributes: what an object is found by, and which lists a search reads.
//!
//! An entry is a key without a value: project, storage status, term, creation, identifier. A *term* is a hash of an attribute
//! and its value; so each term lists its objects in the order of creation, and lists are intersected as they are read
//! (`join`). Hashes may meet, which only gives a reader one record more to judge. Dates have entries of their own that are
//! ordered by the date. State is computed from dates by the clock: an object stands under every state that it can get into by
//! the passing of time since it was changed last. That holds as long as the clock does not go back behind that change.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use serde::Serialize;

use super::{backend::Key, index, record::Table};
use crate::{
    domain::{
        AttributeKind, AttributeValue, CryptographicAlgorithm, Lifecycle, ManagedObject, ObjectType, ProjectId, State,
        Timestamp,
    },
    engine::ports::{Dated, Search, Shown, storage_status},
};

/// A hash of what an object is found by.
pub(super) type Term = [u8; 8];
/// When an object was created and which one it is: how every list is ordered, and what every key ends with.
pub(super) type Position = [u8; 24];

/// What every object carries.
const EVERYTHING: Term = [0; 8];
/// Above every Cryptographic Algorithm that has a name here.
const ALGORITHMS_END: u32 = 0x200;
/// Stands where else the status is: entries by date.
const BY_DATE: u8 = 0xFF;
/// The storage statuses.
const STATUSES: [u8; 3] = [1, 2, 4];

type DateOf = fn(&Lifecycle) -> Option<Timestamp>;

/// The dates that have an index, by their number in keys. The Initial Date is the order of every list and needs none.
const DATES: [(AttributeKind, u8, DateOf); 10] = [
    (AttributeKind::ActivationDate, 1, |of| of.activation),
    (AttributeKind::ProcessStartDate, 2, |of| of.process_start),
    (AttributeKind::ProtectStopDate, 3, |of| of.protect_stop),
    (AttributeKind::DeactivationDate, 4, |of| of.deactivation),
    (AttributeKind::CompromiseDate, 5, |of| of.compromise),
    (AttributeKind::CompromiseOccurrenceDate, 6, |of| of.compromise_occurrence),
    (AttributeKind::DestroyDate, 7, |of| of.destroy),
    (AttributeKind::ArchiveDate, 8, |of| of.archive),
    (AttributeKind::LastChangeDate, 9, |of| Some(of.last_change)),
    (AttributeKind::OriginalCreationDate, 10, |of| of.original_creation),
];

/// The keys under which an object is found. What has been obliterated is not found.
pub(super) fn of_object(object: &ManagedObject) -> Vec<Key> {
    if object.object_type == ObjectType::Obliterated {
        return Vec::new();
    }
    let project = index::project(&object.project);
    let when = index::moment(object.lifecycle.initial, &object.identifier);
    let mut terms = BTreeSet::from([EVERYTHING]);
    terms.extend(states(&object.lifecycle).into_iter().filter_map(of_state));
    for attribute in object.all_attributes(object.lifecycle.last_change) {
        terms.extend(carried(&attribute.kind, &attribute.value));
    }
    if !object.object_type.is_of_accounts() && object.lifecycle.destroy.is_none() {
        terms.extend(shown(object));
    }
    let status = u8::try_from(storage_status(object)).unwrap_or(u8::MAX);
    let listed = terms.iter().map(|term| Table::ObjectsByTerm.key(&[&project, &[status], term, &when]));
    let dated = DATES.iter().filter_map(|(_, number, date)| {
        let at = index::moment_of(date(&object.lifecycle)?);
        Some(Table::ObjectsByTerm.key(&[&project, &[BY_DATE, *number], &at, &when]))
    });
    listed.chain(dated).collect()
}

/// The storage status and project that an entry counts for: one entry of each object does.
pub(super) fn counted(key: &[u8]) -> Option<(u8, index::ProjectKey)> {
    let (project, rest) = key.strip_prefix(&[Table::ObjectsByTerm as u8])?.split_first_chunk()?;
    let (status, rest) = rest.split_first()?;
    (rest.starts_with(&EVERYTHING) && *status != BY_DATE).then_some((*status, *project))
}

/// The storage statuses that a search asks for.
pub(super) fn statuses(search: &Search) -> impl Iterator<Item = u8> {
    let asked = search.statuses;
    STATUSES.into_iter().filter(move |status| asked & u32::from(*status) != 0)
}

/// A list that a search reads.
pub(super) enum Listing {
    /// Terms: the objects that stand under one of these prefixes, each in the order of creation.
    Runs(Vec<Key>),
    /// Dates: the objects between these keys, in the order of the date.
    Range(Key, Key),
}

/// The lists that hold every object which a search may find, and between which positions.
pub(super) struct Plan {
    pub(super) lists: Vec<Listing>,
    pub(super) lowest: Position,
    pub(super) highest: Position,
}

/// Which lists a search reads: all must hold an object.
pub(super) fn plan(search: &Search) -> Plan {
    let project = index::project(&search.project);
    let runs = |terms: &[Term]| {
        let key = |status: u8, term: &Term| Table::ObjectsByTerm.key(&[&project, &[status], term]);
        Listing::Runs(statuses(search).flat_map(|status| terms.iter().map(move |term| key(status, term))).collect())
    };
    let mut terms: BTreeSet<Term> = search.carries.iter().filter_map(|it| asked(&it.kind, &it.value)).collect();
    terms.extend(search.states.iter().filter_map(|state| of_state(*state)));
    let mut plan = Plan { lists: Vec::new(), lowest: [0; 24], highest: [u8::MAX; 24] };
    for Dated { kind, from, to } in &search.dates {
        let (from, to) = (index::moment_of(*from), index::moment_of(*to));
        if *kind == AttributeKind::InitialDate {
            plan.lowest = plan.lowest.max(position(from, 0));
            plan.highest = plan.highest.min(position(to, u8::MAX));
        } else if let Some((_, number, _)) = DATES.iter().find(|(known, ..)| known == kind) {
            let key = |at, rest: u8| Table::ObjectsByTerm.key(&[&project, &[BY_DATE, *number], at, &[rest; 24]]);
            plan.lists.push(Listing::Range(key(&from, 0), key(&to, u8::MAX)));
        }
    }
    plan.lists.extend(search.shown.iter().map(|it| runs(&asked_shown(it))));
    if terms.is_empty() && search.shown.is_empty() {
        // Dates say nothing of the status.
        terms.insert(EVERYTHING);
    }
    plan.lists.extend(terms.into_iter().map(|term| runs(&[term])));
    plan
}

/// The list of every object of a project with one status.
pub(super) fn everything(project: &ProjectId, status: u8) -> Key {
    Table::ObjectsByTerm.key(&[&index::project(project), &[status], &EVERYTHING])
}

fn position(at: [u8; 8], rest: u8) -> Position {
    let mut position = [rest; 24];
    for (to, from) in position.iter_mut().zip(at) {
        *to = from;
    }
    position
}

/// The position that an index key ends with.
pub(super) fn position_of(key: &[u8]) -> Option<Position> {
    key.last_chunk().copied()
}

/// Every state that the object is in at some time from its last change on, as long as nobody changes it.
fn states(lifecycle: &Lifecycle) -> BTreeSet<State> {
    let since = lifecycle.last_change;
    let later = [lifecycle.activation, lifecycle.deactivation].into_iter().flatten().filter(|date| *date > since);
    [since].into_iter().chain(later).map(|at| lifecycle.state(at)).collect()
}

/// What is hashed. The order of the variants is on disk.
#[derive(Serialize)]
enum Words<'a> {
    Value(&'a AttributeKind, &'a AttributeValue),
    Namespace(&'a AttributeKind, &'a str),
    Application(&'a AttributeKind, &'a str, &'a str),
    Digest(&'a AttributeKind, u32, &'a [u8]),
    State(u32),
    Algorithm(&'a str),
    Mode(&'a str),
    BitLength(u32),
    Type(&'a str),
}

fn term(words: &Words<'_>) -> Option<Term> {
    // What cannot be encoded is neither entered nor asked for.
    let encoded = postcard::to_stdvec(words).ok()?;
    digest(&SHA256, &encoded).as_ref().first_chunk().copied()
}

fn of_state(state: State) -> Option<Term> {
    term(&Words::State(state.number()))
}

/// The terms of what the Barbican API's lists show. What was made through KMIP shows its attributes, which have terms.
fn shown(object: &ManagedObject) -> Vec<Term> {
    let secret = &object.secret;
    let (algorithm, mode) =
        (secret.algorithm.as_deref().map(str::to_lowercase), secret.mode.as_deref().map(str::to_lowercase));
    let words = [
        algorithm.as_deref().map(Words::Algorithm),
        mode.as_deref().map(Words::Mode),
        secret.bit_length.map(Words::BitLength),
        secret.secret_type.map(|it| Words::Type(it.name())),
    ];
    words.iter().flatten().filter_map(term).collect()
}

/// The terms of which every object has one that shows what is asked.
fn asked_shown(asked: &Shown) -> Vec<Term> {
    let value = |kind: AttributeKind, value: AttributeValue| term(&Words::Value(&kind, &value));
    let number = |kind: AttributeKind, number: u32| value(kind, AttributeValue::Enumeration(number));
    let terms: Vec<Option<Term>> = match asked {
        Shown::Algorithm(text) => {
            let text = text.to_lowercase();
            let known =
                (0..ALGORITHMS_END).filter(|it| CryptographicAlgorithm(*it).word().is_some_and(|it| it == text));
            let known = known.map(|it| number(AttributeKind::CryptographicAlgorithm, it));
            known.chain([term(&Words::Algorithm(&text))]).collect()
        }
        Shown::Mode(text) => vec![term(&Words::Mode(&text.to_lowercase()))],
        Shown::BitLength(bits) => {
            let length = i32::try_from(*bits).ok().map(AttributeValue::Integer);
            let length = length.and_then(|length| value(AttributeKind::CryptographicLength, length));
            vec![term(&Words::BitLength(*bits)), length]
        }
        Shown::Type(kind) => {
            let types = ObjectType::ALL.into_iter().filter(|it| it.shown_type() == *kind);
            let types = types.map(|it| number(AttributeKind::ObjectType, it.number()));
            types.chain([term(&Words::Type(kind.name()))]).collect()
        }
    };
    terms.into_iter().flatten().collect()
}

/// The terms of an attribute that an object has.
fn carried(kind: &AttributeKind, value: &AttributeValue) -> Vec<Term> {
    match value {
        AttributeValue::Application { namespace, data } => {
            let with_data = data.as_ref().and_then(|data| term(&Words::Application(kind, namespace, data)));
            term(&Words::Namespace(kind, namespace)).into_iter().chain(with_data).collect()
        }
        AttributeValue::Digest { hashing_algorithm, value, .. } => {
            term(&Words::Digest(kind, *hashing_algorithm, value)).into_iter().collect()
        }
        value if is_indexed(kind, value) => term(&Words::Value(kind, value)).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The term that every object has which fits an asked value; none where no index helps.
fn asked(kind: &AttributeKind, value: &AttributeValue) -> Option<Term> {
    match value {
        AttributeValue::Application { namespace, .. } if namespace.is_empty() => None,
        AttributeValue::Application { namespace, data: None } => term(&Words::Namespace(kind, namespace)),
        AttributeValue::Application { namespace, data: Some(data) } => term(&Words::Application(kind, namespace, data)),
        AttributeValue::Digest { value, .. } if value.is_empty() => None,
        AttributeValue::Digest { hashing_algorithm, value, .. } => {
            term(&Words::Digest(kind, *hashing_algorithm, value))
        }
        value if is_indexed(kind, value) => term(&Words::Value(kind, value)),
        _ => None,
    }
}

/// Whether a whole value is a term: what is compared by equality and tells objects apart.
const fn is_indexed(kind: &AttributeKind, value: &AttributeValue) -> bool {
    use AttributeKind as K;
    use AttributeValue as V;
    match (kind, value) {
        // Found by the record itself, by dates, or the same for nearly every object.
        (K::UniqueIdentifier | K::State | K::ObjectClass | K::KeyFormatType, _) => false,
        (
            K::Vendor { .. },
            V::Integer(_)
            | V::Long(_)
            | V::BigInteger(_)
            | V::Enumeration(_)
            | V::Boolean(_)
            | V::Text(_)
            | V::Bytes(_)
            | V::Interval(_)
            | V::Structure(_),
        ) => true,
        (K::Vendor { .. }, _) => false,
        (K::CryptographicLength | K::CertificateLength, V::Integer(_)) => true,
        (
            K::ObjectType
            | K::CryptographicAlgorithm
            | K::CertificateType
            | K::OpaqueDataType
            | K::CredentialType
            | K::DigitalSignatureAlgorithm,
            V::Enumeration(_),
        ) => true,
        (
            _,
            V::Text(_)
            | V::Bytes(_)
            | V::BigInteger(_)
            | V::Name { .. }
            | V::AlternativeName { .. }
            | V::Link { .. }
            | V::KeyValueLocation { .. },
        ) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle(change: i64, activation: Option<i64>, deactivation: Option<i64>) -> Lifecycle {
        let mut lifecycle = Lifecycle::new(Timestamp::from_seconds(change));
        lifecycle.activation = activation.map(Timestamp::from_seconds);
        lifecycle.deactivation = deactivation.map(Timestamp::from_seconds);
        lifecycle
    }

    #[test]
    fn an_object_stands_under_the_states_that_time_brings() {
        use State::{Active, Deactivated, PreActive};
        for (change, activation, deactivation, expected) in [
            (10, None, None, &[PreActive][..]),
            (10, Some(10), None, &[Active]),
            (10, Some(11), None, &[PreActive, Active]),
            (10, Some(5), Some(20), &[Active, Deactivated]),
            (10, Some(15), Some(20), &[PreActive, Active, Deactivated]),
            (10, Some(15), Some(15), &[PreActive, Deactivated]),
            (30, Some(15), Some(20), &[Deactivated]),
        ] {
            let states: Vec<State> = states(&lifecycle(change, activation, deactivation)).into_iter().collect();
            assert_eq!(states, expected, "{change} {activation:?} {deactivation:?}");
        }
        let mut compromised = lifecycle(10, Some(15), Some(20));
        compromised.compromise = Some(Timestamp::from_seconds(1));
        assert_eq!(states(&compromised).into_iter().collect::<Vec<_>>(), [State::Compromised]);
    }

    /// Terms are on disk: the same words must always give the same term.
    #[test]
    fn terms_are_what_they_were() {
        let text = |kind: AttributeKind, text: &str| carried(&kind, &AttributeValue::Text(text.to_owned()));
        let group = text(AttributeKind::ObjectGroup, "g");
        let custom = AttributeKind::Vendor { vendor: "x".to_owned(), name: "site".to_owned() };
        assert_eq!(group, [asked(&AttributeKind::ObjectGroup, &AttributeValue::Text("g".to_owned())).unwrap()]);
        assert_ne!(group, text(AttributeKind::Comment, "g"));
        assert_ne!(group, text(custom, "g"));
        let hex: String = group.iter().flatten().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "84589a7b4763a9cd");
    }
}
