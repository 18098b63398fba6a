//! Filters and orders of `GET /v1/secrets` (contract §2.1.2).

use std::cmp::Ordering;

use super::{
    Request, dates,
    error::Refusal,
    model::Secret,
    page::integer,
    query::{Query, decode, invalid},
};
use crate::{
    domain::{ManagedObject, Timestamp, access::Grants, group::Group, secret::SecretType},
    engine::{
        ops::list_secrets::{Filter, Narrow, Sort},
        ports::{Order, Shown},
    },
};

/// What the parameters keep.
#[derive(Default)]
pub(super) struct Wanted {
    /// A whole name, without regard to case: an index leads to it.
    pub(super) name: Option<String>,
    /// What indexes know of the rest.
    pub(super) narrow: Narrow,
    /// Everything else; `None` when it keeps everything.
    pub(super) filter: Option<Filter<ManagedObject>>,
}

/// Reads the parameters.
pub(super) fn filter(query: &Query) -> Result<Wanted, Refusal> {
    let mut tests: Vec<Filter<ManagedObject>> = Vec::new();
    let pattern = |name| query.filter(name).map(|value| value.map(decode));
    let mut wanted = Wanted::default();
    if let Some(pattern) = pattern("name")? {
        if is_whole(&pattern) {
            wanted.name = Some(pattern);
        } else {
            tests.push(Box::new(move |object| Secret(object).name().is_some_and(|name| like(&pattern, name))));
        }
    }
    if let Some(pattern) = pattern("alg")? {
        wanted.narrow.shown.extend(is_whole(&pattern).then(|| Shown::Algorithm(pattern.clone())));
        tests.push(Box::new(move |object| Secret(object).algorithm().is_some_and(|text| like(&pattern, &text))));
    }
    if let Some(pattern) = pattern("mode")? {
        wanted.narrow.shown.extend(is_whole(&pattern).then(|| Shown::Mode(pattern.clone())));
        tests.push(Box::new(move |object| Secret(object).mode().is_some_and(|mode| like(&pattern, mode))));
    }
    if let Some(bits) = query.filter("bits")?.and_then(integer).filter(|bits| *bits > 0) {
        wanted.narrow.shown.extend(u32::try_from(bits).ok().map(Shown::BitLength));
        tests.push(Box::new(move |object| Secret(object).bit_length().is_some_and(|have| i64::from(have) == bits)));
    }
    if let Some(word) = query.filter("secret_type")?.map(str::to_owned) {
        wanted.narrow.shown.extend(SecretType::from_name(&word).map(Shown::Type));
        tests.push(Box::new(move |object| Secret(object).secret_type().name() == word));
    }
    let dates: [(&str, DateOf); 3] = [
        ("created", |secret| Some(secret.created())),
        ("updated", |secret| Some(secret.updated())),
        ("expiration", |secret| secret.0.secret.expiration),
    ];
    for (name, date) in dates {
        if let Some(value) = query.filter(name)? {
            let bounds = Bounds::parse(value).ok_or_else(invalid)?;
            if name == "created" {
                wanted.narrow.created = Some(bounds.range());
            }
            tests.push(Box::new(move |object| date(Secret(object)).is_some_and(|at| bounds.hold(at))));
        }
    }
    if !tests.is_empty() {
        wanted.filter = Some(Box::new(move |object| tests.iter().all(|test| test(object))));
    }
    Ok(wanted)
}

/// Whether a pattern stands for itself alone.
fn is_whole(pattern: &str) -> bool {
    !pattern.contains(['%', '_'])
}

/// Where private things are hidden from lists: what the list of this caller may show.
fn is_shown(request: &Request) -> Option<impl Fn(Option<&Grants>, Option<&str>) -> bool + Send + Sync + use<>> {
    let principal = &request.caller.principal;
    let (user, is_admin) = (principal.name.clone(), principal.has_role("admin"));
    let hides = request.settings().hide_private && !is_admin;
    hides.then_some(move |grants: Option<&Grants>, creator: Option<&str>| {
        let Some(grants) = grants.filter(|grants| !grants.project_access) else { return true };
        user.as_ref().is_some_and(|user| creator == Some(user) || grants.users.contains(user))
    })
}

/// Adds to a filter of secrets what the caller may see in lists.
pub(super) fn shown_to(request: &Request, filter: Option<Filter<ManagedObject>>) -> Option<Filter<ManagedObject>> {
    let Some(is_shown) = is_shown(request) else { return filter };
    Some(Box::new(move |object| {
        is_shown(object.secret.grants.as_ref(), object.creator.as_deref())
            && filter.as_ref().is_none_or(|keep| keep(object))
    }))
}

/// As [`shown_to`], for containers.
pub(super) fn groups_shown_to(request: &Request, filter: Option<Filter<Group>>) -> Option<Filter<Group>> {
    let Some(is_shown) = is_shown(request) else { return filter };
    Some(Box::new(move |group| {
        is_shown(group.grants.as_ref(), group.creator.as_deref()) && filter.as_ref().is_none_or(|keep| keep(group))
    }))
}

type DateOf = fn(Secret<'_>) -> Option<Timestamp>;

/// SQL's `LIKE`, without regard to case: `%` any run of letters, `_` one.
pub(super) fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.to_lowercase().chars().collect();
    let text: Vec<char> = text.to_lowercase().chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where to go on when a run of `%` must take one letter more.
    let mut back: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (Some('%'), _) => {
                back = Some((p, t));
                p += 1;
            }
            (Some(wanted), Some(have)) if *wanted == '_' || wanted == have => (p, t) = (p + 1, t + 1),
            (None, None) => return true,
            _ => match back {
                Some((run, from)) if from < text.len() => {
                    back = Some((run, from + 1));
                    (p, t) = (run + 1, from + 1);
                }
                _ => return false,
            },
        }
    }
}

/// The conditions on a date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bounds {
    lower: Option<(Timestamp, bool)>,
    upper: Option<(Timestamp, bool)>,
    equal: Option<Timestamp>,
}

impl Bounds {
    /// `gt:T,lte:T` and so on; at most one lower and one upper bound, and equality with strict bounds only.
    fn parse(text: &str) -> Option<Self> {
        let mut bounds = Self::default();
        for condition in text.split(',') {
            // A date has colons of its own: only a word of letters before the first one is a prefix.
            let (prefix, date) = match condition.split_once(':') {
                Some((prefix, date)) if prefix.chars().all(|c| c.is_ascii_alphabetic()) => (prefix, date),
                _ => ("", condition),
            };
            let at = dates::parse(date)?;
            let slot = match prefix {
                "gt" | "gte" => &mut bounds.lower,
                "lt" | "lte" => &mut bounds.upper,
                "" if bounds.equal.is_none() => {
                    bounds.equal = Some(at);
                    continue;
                }
                _ => return None,
            };
            if slot.replace((at, prefix.ends_with('e'))).is_some() {
                return None;
            }
        }
        let loose = [bounds.lower, bounds.upper].into_iter().flatten().any(|(_, inclusive)| inclusive);
        if bounds.equal.is_some() && loose { None } else { Some(bounds) }
    }

    /// The first and the last time that may hold.
    fn range(&self) -> (Timestamp, Timestamp) {
        let ends = |bound: Option<(Timestamp, bool)>| self.equal.or_else(|| bound.map(|(at, _)| at));
        let (first, last) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
        (ends(self.lower).unwrap_or(first), ends(self.upper).unwrap_or(last))
    }

    fn hold(&self, at: Timestamp) -> bool {
        self.lower.is_none_or(|(bound, inclusive)| at > bound || (inclusive && at == bound))
            && self.upper.is_none_or(|(bound, inclusive)| at < bound || (inclusive && at == bound))
            && self.equal.is_none_or(|bound| at == bound)
    }
}

type Key = fn(Secret<'_>, Secret<'_>, Timestamp) -> Ordering;

/// What a list may be sorted by. Nothing sorts before something.
const KEYS: &[(&str, Key)] = &[
    ("algorithm", |a, b, _| a.algorithm().cmp(&b.algorithm())),
    ("bit_length", |a, b, _| a.bit_length().cmp(&b.bit_length())),
    ("created", |a, b, _| a.created().cmp(&b.created())),
    ("expiration", |a, b, _| a.0.secret.expiration.cmp(&b.0.secret.expiration)),
    ("mode", |a, b, _| a.mode().cmp(&b.mode())),
    ("name", |a, b, _| a.name().cmp(&b.name())),
    ("secret_type", |a, b, _| a.secret_type().name().cmp(b.secret_type().name())),
    ("status", |a, b, now| a.status(now).cmp(b.status(now))),
    ("updated", |a, b, _| a.updated().cmp(&b.updated())),
];

/// The order that `sort` asks for.
pub(super) fn sort(query: &Query, now: Timestamp) -> Result<Sort, Refusal> {
    let Some(text) = query.filter("sort")? else { return Ok(Sort::Creation(Order::OldestFirst)) };
    let mut keys: Vec<(&str, Key, bool)> = Vec::new();
    for element in text.split(',') {
        let (name, descending) = match element.split_once(':') {
            None => (element, false),
            Some((name, "asc")) => (name, false),
            Some((name, "desc")) => (name, true),
            Some(_) => return Err(invalid()),
        };
        let (name, key) = KEYS.iter().find(|(known, _)| *known == name).ok_or_else(invalid)?;
        if keys.iter().any(|(known, ..)| known == name) {
            return Err(invalid());
        }
        keys.push((name, *key, descending));
    }
    match keys.as_slice() {
        [("created", _, false)] => return Ok(Sort::Creation(Order::OldestFirst)),
        [("created", _, true)] => return Ok(Sort::Creation(Order::NewestFirst)),
        _ => {}
    }
    let keys: Vec<(Key, bool)> = keys.into_iter().map(|(_, key, descending)| (key, descending)).collect();
    Ok(Sort::By(Box::new(move |one, other| {
        let by = |(key, descending): &(Key, bool)| {
            let order = key(Secret(one), Secret(other), now);
            if *descending { order.reverse() } else { order }
        };
        let first = keys.iter().map(by).find(|order| *order != Ordering::Equal);
        first.unwrap_or_else(|| one.identifier.cmp(&other.identifier))
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_sql_likes_them() {
        for (pattern, text, expected) in [
            ("abc", "abc", true),
            ("ABC", "abc", true),
            ("abc", "abcd", false),
            ("a%", "abcd", true),
            ("%d", "abcd", true),
            ("%b%d", "abcd", true),
            ("a_c", "abc", true),
            ("a_c", "ac", false),
            ("%", "", true),
            ("_", "", false),
            ("a%b%c", "axxbyyc", true),
            ("a%b%c", "axxbyy", false),
            ("%ä", "xÄ", true),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        let text = "a".repeat(255);
        assert!(!like(&format!("{}b", "%a".repeat(100)), &text));
    }

    #[test]
    fn date_conditions_are_read_or_refused() {
        for (text, valid) in [
            ("2020-01-01", true),
            ("gt:2020-01-01T00:00:00Z", true),
            ("gte:2020-01-01,lt:2021-01-01", true),
            ("2020-01-01,gt:2019-01-01", true),
            ("2020-01-01,gte:2019-01-01", false),
            ("2020-01-01,2020-01-02", false),
            ("gt:2020-01-01,gte:2020-01-01", false),
            ("eq:2020-01-01", false),
            ("bogus", false),
            ("gt:", false),
        ] {
            assert_eq!(Bounds::parse(text).is_some(), valid, "{text}");
        }
    }

    #[test]
    fn sort_keys_are_known_and_stand_once() {
        let now = Timestamp::from_seconds(0);
        for (text, valid) in [
            ("sort=name", true),
            ("sort=name:desc,created:asc", true),
            ("sort=", true),
            ("sort=size", false),
            ("sort=name,name", false),
            ("sort=name:up", false),
            ("sort=name:asc:desc", false),
        ] {
            assert_eq!(sort(&Query::parse(text), now).is_ok(), valid, "{text}");
        }
    }
}
