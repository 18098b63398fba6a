//! How many requests a second a client and a project may make, over both protocols together.
//!
//! A token bucket each: it holds one second's worth and fills evenly. What it refuses has cost no
//! lookup, no HSM call and no audit record: a flood must not become a flood of synced writes. It is counted like every refusal.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::error::{Error, ErrorKind};
use crate::domain::{Principal, access::Realm};

/// Buckets kept; full ones are forgotten first, because a new bucket is full, too.
const BUCKETS_MAX: usize = 65_536;

/// Requests a second; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// For one client: a certificate's or token's user in its project.
    pub client: Option<u32>,
    /// For all clients of a project together.
    pub project: Option<u32>,
}

/// What was spent lately.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Requests it still lets through.
    left: f64,
    /// When that was so.
    at: Instant,
}

impl Bucket {
    fn filled(self, rate: f64, now: Instant) -> Self {
        let left = (self.left + now.saturating_duration_since(self.at).as_secs_f64() * rate).min(rate.max(1.0));
        Self { left, at: now }
    }
}

/// The buckets of all clients and projects.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    rates: Rates,
    buckets: Mutex<HashMap<u64, Bucket>>,
}

/// A kind of bucket: no client has a project's number.
#[derive(Hash)]
enum Owner<'a> {
    Client(Realm, Option<&'a str>, &'a str),
    Project(&'a str),
}

impl Limiter {
    /// With these rates.
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates, buckets: Mutex::default() }
    }

    /// Lets a request through, or says when it is worth another try.
    ///
    /// # Errors
    ///
    /// `Busy`, with that time.
    pub(super) fn admit(&self, principal: &Principal) -> Result<(), Error> {
        self.admit_at(principal, Instant::now())
    }

    fn admit_at(&self, principal: &Principal, now: Instant) -> Result<(), Error> {
        let Rates { client, project } = self.rates;
        if client.is_none() && project.is_none() || principal.realm == Realm::System {
            return Ok(());
        }
        let limits = [
            (
                client,
                Owner::Client(principal.realm, principal.name.as_deref(), &principal.project.0),
                "too many requests of this client",
            ),
            (project, Owner::Project(&principal.project.0), "too many requests of this project"),
        ];
        let mut buckets = self.buckets.lock();
        let mut spent = Vec::with_capacity(limits.len());
        for (rate, owner, what) in limits {
            let Some(rate) = rate.map(f64::from) else { continue };
            let number = number(&owner);
            let new = Bucket { left: rate.max(1.0), at: now };
            let bucket = buckets.get(&number).copied().unwrap_or(new).filled(rate, now);
            if bucket.left < 1.0 {
                let again = Duration::from_secs_f64((1.0 - bucket.left) / rate);
                return Err(Error::new(ErrorKind::Busy, format!("{what}; try again later")).again_in(again));
            }
            spent.push((number, Bucket { left: bucket.left - 1.0, at: now }));
        }
        if buckets.len() >= BUCKETS_MAX {
            let slowest = f64::from(client.unwrap_or(u32::MAX).min(project.unwrap_or(u32::MAX)));
            // After a second every bucket is full again.
            let full = |bucket: &Bucket| bucket.filled(slowest, now).left >= slowest.max(1.0);
            buckets.retain(|_, bucket| !full(bucket));
        }
        if buckets.len() < BUCKETS_MAX || spent.iter().all(|(number, _)| buckets.contains_key(number)) {
            buckets.extend(spent);
        }
        Ok(())
    }
}

fn number(owner: &Owner<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    owner.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ProjectId;

    fn principal(name: &str, project: &str, realm: Realm) -> Principal {
        Principal {
            name: Some(name.to_owned()),
            project: ProjectId(project.to_owned()),
            roles: Vec::new(),
            realm,
            user_name: None,
        }
    }

    fn admitted(limiter: &Limiter, principal: &Principal, at: Instant, tries: usize) -> usize {
        (0..tries).filter(|_| limiter.admit_at(principal, at).is_ok()).count()
    }

    #[test]
    fn a_client_has_its_rate_and_others_have_theirs() {
        let limiter = Limiter::new(Rates { client: Some(10), project: None });
        let (one, two) = (principal("one", "p", Realm::Certificate), principal("two", "p", Realm::Certificate));
        let start = Instant::now();
        assert_eq!(admitted(&limiter, &one, start, 100), 10);
        assert_eq!(admitted(&limiter, &two, start, 5), 5);
        let again = limiter.admit_at(&one, start).unwrap_err();
        assert_eq!((again.kind, again.again), (ErrorKind::Busy, Some(Duration::from_millis(100))));
        assert_eq!(admitted(&limiter, &one, start + Duration::from_millis(500), 100), 5);
        assert_eq!(admitted(&limiter, &one, start + Duration::from_secs(60), 100), 10);
    }

    #[test]
    fn what_the_project_refuses_costs_the_client_nothing() {
        let limiter = Limiter::new(Rates { client: Some(10), project: Some(4) });
        let (one, two) = (principal("one", "p", Realm::Keystone), principal("two", "p", Realm::Keystone));
        let start = Instant::now();
        assert_eq!(admitted(&limiter, &one, start, 100), 4);
        assert_eq!(admitted(&limiter, &two, start, 100), 0);
        assert_eq!(admitted(&limiter, &principal("one", "q", Realm::Keystone), start, 100), 4);
        assert_eq!(admitted(&limiter, &two, start + Duration::from_secs(1), 100), 4);
    }

    #[test]
    fn the_gateway_itself_and_a_gateway_without_rates_are_not_limited() {
        let start = Instant::now();
        let limiter = Limiter::new(Rates { client: Some(1), project: Some(1) });
        assert_eq!(admitted(&limiter, &principal("jobs", "p", Realm::System), start, 50), 50);
        assert_eq!(admitted(&Limiter::default(), &principal("one", "p", Realm::Bearer), start, 50), 50);
    }

    #[test]
    fn many_clients_do_not_fill_the_memory() {
        let limiter = Limiter::new(Rates { client: Some(1), project: None });
        let start = Instant::now();
        for nth in 0..BUCKETS_MAX + 10 {
            let at = start + Duration::from_millis(u64::try_from(nth).unwrap());
            limiter.admit_at(&principal(&nth.to_string(), "p", Realm::Keystone), at).unwrap();
        }
        assert!(limiter.buckets.lock().len() < 2_000, "{}", limiter.buckets.lock().len());
    }
}
