//! Tickets of Login and Delegated Login (KMIP 2.0 §6.1.28 and its neighbours): what a message may do that carries one.
//!
//! A ticket is a random value, known to this process only: after a restart clients log in anew. Its value is compared as a
//! key of a map of random keys, so that looking it up tells nothing. A request that carries a ticket uses it once, whatever
//! becomes of the request; so does a right or a ticket with a usage limit of its own, which counts operations or the bytes that
//! they process (KMIP 2.1 §7.34).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use kmip_codec::{
    attribute::UsageLimits,
    spec::enums::{Operation, ResultReason, UsageLimitsUnit},
};
use parking_lot::Mutex;

use super::error::Refusal;
use crate::{
    domain::{AttributeKind, AttributeValue, ManagedObject, Principal, Timestamp, UniqueIdentifier},
    engine::{Bounds, Error, ErrorKind},
};

/// Open tickets of one account.
const PER_ACCOUNT: usize = 1024;
/// Random bytes of a ticket.
pub(super) const TICKET_BYTES: usize = 24;

/// What may still be done with a ticket or by a right: so many operations, or so many bytes that they process.
#[derive(Debug)]
pub(super) struct Budget {
    of_bytes: bool,
    left: AtomicU64,
}

impl Budget {
    /// What usage limits allow.
    ///
    /// # Errors
    ///
    /// *Invalid Field* for a limit that is no number of anything.
    pub(super) fn new(limits: &UsageLimits) -> Result<Self, Refusal> {
        let invalid = || Refusal::new(ResultReason::INVALID_FIELD, "the usage limit is out of range");
        let left = u64::try_from(limits.count.unwrap_or(limits.total)).map_err(|_negative| invalid())?;
        let of_bytes = match limits.unit {
            UsageLimitsUnit::BYTE => true,
            UsageLimitsUnit::OBJECT => false,
            _ => return Err(invalid()),
        };
        Ok(Self { of_bytes, left: AtomicU64::new(left) })
    }

    /// Takes one operation that processes so many bytes, if that much is left.
    pub(super) fn take(&self, bytes: u64) -> bool {
        let wanted = if self.of_bytes { bytes } else { 1 };
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(wanted)).is_ok()
    }
}

/// Something that a delegated ticket allows.
#[derive(Debug, Default)]
pub(super) struct Right {
    /// These operations; all when it does not say.
    pub operations: Option<Vec<Operation>>,
    /// On these objects; on all when it does not say.
    pub objects: Option<Vec<UniqueIdentifier>>,
    /// On the objects of these groups; on all when it does not say.
    pub groups: Option<Vec<String>>,
    /// So often, or for so many bytes; without an end when it does not say.
    pub budget: Option<Budget>,
}

/// What a delegated ticket allows; nothing else is.
#[derive(Debug)]
pub(super) struct Rights(pub Vec<Right>);

/// Operations that name no object of their own: a right that is limited to objects does not reach them.
const WITHOUT_OBJECT: &[Operation] = &[
    Operation::CREATE,
    Operation::CREATE_KEY_PAIR,
    Operation::REGISTER,
    Operation::IMPORT,
    Operation::DERIVE_KEY,
    Operation::CREATE_SPLIT_KEY,
    Operation::JOIN_SPLIT_KEY,
    Operation::LOCATE,
    Operation::QUERY,
    Operation::DISCOVER_VERSIONS,
    Operation::POLL,
    Operation::CANCEL,
    Operation::HASH,
    Operation::RNG_RETRIEVE,
    Operation::RNG_SEED,
    Operation::LOG,
    Operation::LOGIN,
    Operation::LOGOUT,
    Operation::DELEGATED_LOGIN,
    Operation::INTEROP,
    Operation::PING,
    Operation::PROCESS,
    Operation::QUERY_ASYNCHRONOUS_REQUESTS,
    Operation::SET_DEFAULTS,
    Operation::SET_CONSTRAINTS,
    Operation::GET_CONSTRAINTS,
    Operation::SET_ENDPOINT_ROLE,
    Operation::PKCS_11,
    Operation::RE_PROVISION,
];

impl Rights {
    /// Whether the operation may begin at all; its objects are asked for one by one.
    pub(super) fn allow(&self, operation: Operation) -> bool {
        let bound = WITHOUT_OBJECT.contains(&operation);
        self.0.iter().any(|right| right.names(operation) && (right.is_for_all() || !bound))
    }

    /// Whether the operation may be done to this object, as far as its identifier tells.
    pub(super) fn allow_object(&self, operation: Operation, object: UniqueIdentifier) -> bool {
        self.0.iter().any(|right| {
            right.names(operation) && right.objects.as_ref().is_none_or(|objects| objects.contains(&object))
        })
    }
}

impl Right {
    /// Whether it is limited to no objects.
    const fn is_for_all(&self) -> bool {
        self.objects.is_none() && self.groups.is_none()
    }

    fn covers(&self, object: &ManagedObject) -> bool {
        let is_in = |groups: &Vec<String>| {
            let mut own = object.attributes.of(&AttributeKind::ObjectGroup);
            own.any(|group| matches!(&group.value, AttributeValue::Text(name) if groups.contains(name)))
        };
        self.objects.as_ref().is_none_or(|objects| objects.contains(&object.identifier))
            && self.groups.as_ref().is_none_or(is_in)
    }

    fn names(&self, operation: Operation) -> bool {
        self.operations.as_ref().is_none_or(|operations| operations.contains(&operation))
    }
}

/// One item of a message under the rights of its ticket. Each right that fits allows it; one of them pays for it, once.
#[derive(Debug)]
pub(super) struct Errand {
    rights: Arc<Rights>,
    operation: Operation,
    bytes: u64,
    paid: AtomicBool,
}

impl Errand {
    /// An operation that processes so many bytes. One without objects is paid at once.
    ///
    /// # Errors
    ///
    /// `AllocationRefused` when what the rights allow is used up.
    pub(super) fn begin(rights: &Arc<Rights>, operation: Operation, bytes: u64) -> Result<Self, Error> {
        let errand = Self { rights: Arc::clone(rights), operation, bytes, paid: AtomicBool::new(false) };
        if WITHOUT_OBJECT.contains(&operation) {
            errand.pay(Right::is_for_all)?;
        }
        Ok(errand)
    }

    fn pay(&self, fits: impl Fn(&Right) -> bool) -> Result<(), Error> {
        let fitting: Vec<&Right> =
            self.rights.0.iter().filter(|right| right.names(self.operation) && fits(right)).collect();
        if fitting.is_empty() {
            return Err(Error::new(ErrorKind::NotAuthorised, "the ticket gives no right to this"));
        }
        if self.paid.swap(true, Ordering::Relaxed) || fitting.iter().any(|right| right.budget.is_none()) {
            return Ok(());
        }
        if fitting.iter().any(|right| right.budget.as_ref().is_some_and(|budget| budget.take(self.bytes))) {
            return Ok(());
        }
        Err(Error::new(ErrorKind::AllocationRefused, "what the ticket gives a right to is used up"))
    }
}

impl Bounds for Errand {
    fn admit(&self, object: &ManagedObject) -> Result<(), Error> {
        // A use case without objects of its own may still read some, as Derive Key does: those are its parameters.
        if WITHOUT_OBJECT.contains(&self.operation) { Ok(()) } else { self.pay(|right| right.covers(object)) }
    }
}

/// One open ticket.
struct Ticket {
    principal: Principal,
    /// The client, by its certificate, that it is or is behind.
    client: Principal,
    /// When it ends by itself.
    ends: Option<Timestamp>,
    /// Requests left; `None` is any number.
    left: Option<u32>,
    /// Bytes left; `None` is any number.
    budget: Option<Arc<Budget>>,
    rights: Option<Arc<Rights>>,
}

/// How long a ticket lasts, and how much may be done with it; `None` is any number.
#[derive(Debug, Default)]
pub(super) struct Term {
    /// When it ends by itself.
    pub ends: Option<Timestamp>,
    /// Requests.
    pub requests: Option<u32>,
    /// Operations or bytes.
    pub budget: Option<Budget>,
}

/// What a valid ticket proves.
#[derive(Debug)]
pub(super) struct Admission {
    /// Who logged in.
    pub principal: Principal,
    /// The client that it is or is behind.
    pub client: Principal,
    /// What may be done; `None` is everything that the account may do.
    pub rights: Option<Arc<Rights>>,
    /// How much of it; `None` is any number.
    pub budget: Option<Arc<Budget>>,
}

/// Why a ticket admits nobody: the refusal, and whether it is told for each item rather than for the message.
pub(super) struct Refused {
    pub refusal: Refusal,
    pub by_item: bool,
}

/// Every open ticket.
#[derive(Default)]
pub(super) struct Tickets {
    open: Mutex<HashMap<Vec<u8>, Ticket>>,
}

impl Tickets {
    /// Opens a ticket under a value that nobody can guess, for a principal and the client that it is or is behind.
    ///
    /// # Errors
    ///
    /// *Server Limit Exceeded* when the account has too many.
    pub(super) fn issue(
        &self,
        value: Vec<u8>,
        (principal, client): (&Principal, &Principal),
        Term { ends, requests: left, budget }: Term,
        rights: Option<Rights>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut open = self.open.lock();
        open.retain(|_, ticket| ticket.ends.is_none_or(|ends| now < ends));
        let own = open.values().filter(|ticket| same_account(&ticket.principal, principal));
        if own.count() >= PER_ACCOUNT {
            return Err(Refusal::new(ResultReason::SERVER_LIMIT_EXCEEDED, "too many tickets are open; log out"));
        }
        let (budget, rights) = (budget.map(Arc::new), rights.map(Arc::new));
        let ticket = Ticket { principal: principal.clone(), client: client.clone(), ends, left, budget, rights };
        open.insert(value, ticket);
        Ok(())
    }

    /// Uses a ticket once, for the client behind `connection`.
    ///
    /// # Errors
    ///
    /// *Invalid Ticket* for one that is unknown, ended, or of another account; *Usage Limit Exceeded* for one that is used up.
    pub(super) fn admit(
        &self,
        value: &[u8],
        connection: &Principal,
        now: Timestamp,
    ) -> Result<Admission, Box<Refused>> {
        let invalid = || {
            let refusal = Refusal::new(ResultReason::INVALID_TICKET, "the ticket is not valid");
            Box::new(Refused { refusal, by_item: false })
        };
        let mut open = self.open.lock();
        let ticket = open.get_mut(value).ok_or_else(invalid)?;
        // What was delegated may be used by another client of the same project; a log-in is the client's own.
        let fits = match ticket.rights {
            Some(_) => ticket.principal.project == connection.project,
            None => same_account(&ticket.client, connection),
        };
        if !fits || ticket.ends.is_some_and(|ends| ends <= now) {
            return Err(invalid());
        }
        match &mut ticket.left {
            Some(0) => {
                let refusal = Refusal::new(ResultReason::USAGE_LIMIT_EXCEEDED, "the ticket is used up");
                return Err(Box::new(Refused { refusal, by_item: ticket.rights.is_some() }));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(Admission {
            principal: ticket.principal.clone(),
            client: ticket.client.clone(),
            rights: ticket.rights.clone(),
            budget: ticket.budget.clone(),
        })
    }

    /// Closes a ticket.
    ///
    /// # Errors
    ///
    /// *Invalid Ticket* when the account has no such ticket.
    pub(super) fn close(&self, value: &[u8], principal: &Principal) -> Result<(), Refusal> {
        let mut open = self.open.lock();
        match open.get(value) {
            Some(ticket) if same_account(&ticket.principal, principal) => {
                open.remove(value);
                Ok(())
            }
            _ => Err(Refusal::new(ResultReason::INVALID_TICKET, "the ticket is not valid")),
        }
    }
}

/// Whether two principals are one account.
pub(super) fn same_account(one: &Principal, other: &Principal) -> bool {
    one.name == other.name && one.project == other.project
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProjectId, Realm};

    fn principal(name: &str, project: &str) -> Principal {
        Principal {
            name: Some(name.into()),
            project: ProjectId(project.into()),
            roles: vec!["member".into()],
            realm: Realm::Certificate,
            user_name: None,
        }
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn times(requests: u32) -> Term {
        Term { requests: Some(requests), ..Term::default() }
    }

    #[test]
    fn a_ticket_is_used_up_ends_and_is_closed() {
        let (tickets, owner) = (Tickets::default(), principal("a", "p"));
        tickets.issue(b"two".to_vec(), (&owner, &owner), times(2), None, NOW).unwrap();
        assert!(tickets.admit(b"two", &owner, NOW).is_ok() && tickets.admit(b"two", &owner, NOW).is_ok());
        let refused = tickets.admit(b"two", &owner, NOW).unwrap_err();
        assert_eq!((refused.refusal.reason, refused.by_item), (ResultReason::USAGE_LIMIT_EXCEEDED, false));

        tickets
            .issue(
                b"short".to_vec(),
                (&owner, &owner),
                Term { ends: Some(Timestamp::from_seconds(1_010)), ..Term::default() },
                None,
                NOW,
            )
            .unwrap();
        assert!(tickets.admit(b"short", &owner, Timestamp::from_seconds(1_009)).is_ok());
        let late = tickets.admit(b"short", &owner, Timestamp::from_seconds(1_010)).unwrap_err();
        assert_eq!(late.refusal.reason, ResultReason::INVALID_TICKET);

        assert!(tickets.close(b"two", &principal("b", "p")).is_err());
        tickets.close(b"two", &owner).unwrap();
        assert_eq!(tickets.admit(b"two", &owner, NOW).unwrap_err().refusal.reason, ResultReason::INVALID_TICKET);
    }

    #[test]
    fn a_log_in_is_the_accounts_own_and_a_delegation_stays_in_the_project() {
        let (tickets, owner) = (Tickets::default(), principal("a", "p"));
        tickets.issue(b"own".to_vec(), (&owner, &owner), Term::default(), None, NOW).unwrap();
        let rights = Rights(vec![Right { operations: Some(vec![Operation::QUERY]), ..Right::default() }]);
        tickets.issue(b"lent".to_vec(), (&owner, &owner), Term::default(), Some(rights), NOW).unwrap();
        for (value, who, admitted) in [
            (b"own".as_slice(), principal("b", "p"), false),
            (b"lent", principal("b", "p"), true),
            (b"lent", principal("a", "q"), false),
        ] {
            assert_eq!(tickets.admit(value, &who, NOW).is_ok(), admitted, "{value:?} {who:?}");
        }
    }

    #[test]
    fn the_right_that_has_something_left_pays_once() {
        let limit = |unit, count| {
            let limits = UsageLimits { total: 9, count: Some(count), unit };
            Some(Budget::new(&limits).unwrap())
        };
        let right = |budget| Right { operations: Some(vec![Operation::HASH]), budget, ..Right::default() };
        let rights =
            Arc::new(Rights(vec![right(limit(UsageLimitsUnit::BYTE, 10)), right(limit(UsageLimitsUnit::OBJECT, 1))]));
        let outcome = |bytes| Errand::begin(&rights, Operation::HASH, bytes).map(drop).map_err(|error| error.kind);
        // Six bytes of the first; six more are not left, so the second pays; then only what fits the four that remain.
        let expected = [(6, Ok(())), (6, Ok(())), (6, Err(ErrorKind::AllocationRefused)), (4, Ok(()))];
        for (bytes, told) in expected {
            assert_eq!(outcome(bytes), told, "{bytes}");
        }
    }

    #[test]
    fn a_right_to_objects_is_no_right_to_others() {
        let (one, two) = (UniqueIdentifier::from_random([1; 16]), UniqueIdentifier::from_random([2; 16]));
        let rights = Rights(vec![
            Right { operations: Some(vec![Operation::QUERY]), ..Right::default() },
            Right { objects: Some(vec![one]), ..Right::default() },
        ]);
        assert!(rights.allow(Operation::QUERY) && rights.allow(Operation::GET) && !rights.allow(Operation::CREATE));
        assert!(rights.allow_object(Operation::GET, one) && !rights.allow_object(Operation::GET, two));
    }
}
