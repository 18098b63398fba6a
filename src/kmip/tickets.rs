//! Tickets of Login and Delegated Login (KMIP 2.0 §6.1.28 and its neighbours): what a message may do that carries one.
//!
//! A ticket is a random value, known to this process only: after a restart clients log in anew. Its value is compared as a
//! key of a map of random keys, so that looking it up tells nothing. A request that carries a ticket uses it once, whatever
//! becomes of the request.

use std::{collections::HashMap, sync::Arc};

use kmip_codec::spec::enums::{Operation, ResultReason};
use parking_lot::Mutex;

use super::error::Refusal;
use crate::domain::{Principal, Timestamp, UniqueIdentifier};

/// Open tickets of one account.
const PER_ACCOUNT: usize = 1024;
/// Random bytes of a ticket.
pub(super) const TICKET_BYTES: usize = 24;

/// Something that a delegated ticket allows.
#[derive(Clone, Debug)]
pub(super) struct Right {
    /// These operations; all when it does not say.
    pub operations: Option<Vec<Operation>>,
    /// On these objects; on all when it does not say.
    pub objects: Option<Vec<UniqueIdentifier>>,
}

/// What a delegated ticket allows; nothing else is.
#[derive(Clone, Debug)]
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
        self.0.iter().any(|right| right.names(operation) && (right.objects.is_none() || !bound))
    }

    /// Whether the operation may be done to this object.
    pub(super) fn allow_object(&self, operation: Operation, object: UniqueIdentifier) -> bool {
        self.0.iter().any(|right| {
            right.names(operation) && right.objects.as_ref().is_none_or(|objects| objects.contains(&object))
        })
    }
}

impl Right {
    fn names(&self, operation: Operation) -> bool {
        self.operations.as_ref().is_none_or(|operations| operations.contains(&operation))
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
    rights: Option<Arc<Rights>>,
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
        ends: Option<Timestamp>,
        left: Option<u32>,
        rights: Option<Rights>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let mut open = self.open.lock();
        open.retain(|_, ticket| ticket.ends.is_none_or(|ends| now < ends));
        let own = open.values().filter(|ticket| same_account(&ticket.principal, principal));
        if own.count() >= PER_ACCOUNT {
            return Err(Refusal::new(ResultReason::SERVER_LIMIT_EXCEEDED, "too many tickets are open; log out"));
        }
        let ticket =
            Ticket { principal: principal.clone(), client: client.clone(), ends, left, rights: rights.map(Arc::new) };
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

    #[test]
    fn a_ticket_is_used_up_ends_and_is_closed() {
        let (tickets, owner) = (Tickets::default(), principal("a", "p"));
        tickets.issue(b"two".to_vec(), (&owner, &owner), None, Some(2), None, NOW).unwrap();
        assert!(tickets.admit(b"two", &owner, NOW).is_ok() && tickets.admit(b"two", &owner, NOW).is_ok());
        let refused = tickets.admit(b"two", &owner, NOW).unwrap_err();
        assert_eq!((refused.refusal.reason, refused.by_item), (ResultReason::USAGE_LIMIT_EXCEEDED, false));

        tickets
            .issue(b"short".to_vec(), (&owner, &owner), Some(Timestamp::from_seconds(1_010)), None, None, NOW)
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
        tickets.issue(b"own".to_vec(), (&owner, &owner), None, None, None, NOW).unwrap();
        let rights = Rights(vec![Right { operations: Some(vec![Operation::QUERY]), objects: None }]);
        tickets.issue(b"lent".to_vec(), (&owner, &owner), None, None, Some(rights), NOW).unwrap();
        for (value, who, admitted) in [
            (b"own".as_slice(), principal("b", "p"), false),
            (b"lent", principal("b", "p"), true),
            (b"lent", principal("a", "q"), false),
        ] {
            assert_eq!(tickets.admit(value, &who, NOW).is_ok(), admitted, "{value:?} {who:?}");
        }
    }

    #[test]
    fn a_right_to_objects_is_no_right_to_others() {
        let (one, two) = (UniqueIdentifier::from_random([1; 16]), UniqueIdentifier::from_random([2; 16]));
        let rights = Rights(vec![
            Right { operations: Some(vec![Operation::QUERY]), objects: None },
            Right { operations: None, objects: Some(vec![one]) },
        ]);
        assert!(rights.allow(Operation::QUERY) && rights.allow(Operation::GET) && !rights.allow(Operation::CREATE));
        assert!(rights.allow_object(Operation::GET, one) && !rights.allow_object(Operation::GET, two));
    }
}
