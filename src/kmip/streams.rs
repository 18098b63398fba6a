//! Operations in parts: what has begun, under the correlation values that its clients bring back (KMIP 1.3 §6.16).
//!
//! A stream belongs to the account that began it and ends after five idle minutes. A part takes it out of the table, so two
//! parts at once cannot mix, and a part that fails ends it.

use std::collections::HashMap;

use kmip_codec::{ProtocolVersion, spec::enums::ResultReason, version::V2_0};
use parking_lot::Mutex;

use super::{error::Refusal, tickets::same_account};
use crate::{
    crypto::hash::Hasher,
    domain::{Principal, Timestamp, UniqueIdentifier},
    engine::ops::stream::{CipherStream, DigestStream, MacStream},
};

/// Streams that one account may have open.
const PER_ACCOUNT: usize = 32;
/// Seconds without a part after which a stream ends.
const IDLE_SECONDS: i64 = 300;
/// Random bytes of a correlation value.
pub(super) const VALUE_BYTES: usize = 16;

/// What has begun.
pub(super) enum Held {
    Encrypt(CipherStream),
    Decrypt(CipherStream),
    Sign(DigestStream),
    Verify(DigestStream, Option<Vec<u8>>),
    Mac(MacStream),
    MacVerify(MacStream, Option<Vec<u8>>),
    Hash(Hasher),
    Pkcs11,
}

struct Open {
    account: Principal,
    object: Option<UniqueIdentifier>,
    held: Held,
    used: Timestamp,
}

/// Every open stream.
#[derive(Default)]
pub(super) struct Streams {
    open: Mutex<HashMap<Vec<u8>, Open>>,
}

impl Streams {
    /// Takes a stream out of the table.
    ///
    /// # Errors
    ///
    /// *Invalid Correlation Value* (1.x: *Invalid Field*) for one that is unknown, ended, or somebody else's.
    pub(super) fn take(
        &self,
        value: &[u8],
        who: &Principal,
        now: Timestamp,
        version: ProtocolVersion,
    ) -> Result<(Option<UniqueIdentifier>, Held), Refusal> {
        let mut open = self.open.lock();
        let own = open.get(value).is_some_and(|stream| {
            same_account(&stream.account, who) && now.seconds() - stream.used.seconds() < IDLE_SECONDS
        });
        match open.remove(value).filter(|_| own) {
            Some(stream) => Ok((stream.object, stream.held)),
            None => Err(unknown(version)),
        }
    }

    /// Puts a stream into the table until its next part.
    ///
    /// # Errors
    ///
    /// *Server Limit Exceeded* (1.x: *General Failure*) when the account has too many.
    pub(super) fn keep(
        &self,
        value: Vec<u8>,
        who: &Principal,
        object: Option<UniqueIdentifier>,
        held: Held,
        now: Timestamp,
        version: ProtocolVersion,
    ) -> Result<(), Refusal> {
        let mut open = self.open.lock();
        open.retain(|_, stream| now.seconds() - stream.used.seconds() < IDLE_SECONDS);
        if open.values().filter(|stream| same_account(&stream.account, who)).count() >= PER_ACCOUNT {
            let reason =
                if version >= V2_0 { ResultReason::SERVER_LIMIT_EXCEEDED } else { ResultReason::GENERAL_FAILURE };
            return Err(Refusal::new(reason, "too many operations in parts are open"));
        }
        open.insert(value, Open { account: who.clone(), object, held, used: now });
        Ok(())
    }
}

/// The refusal of a correlation value that leads nowhere.
pub(super) fn unknown(version: ProtocolVersion) -> Refusal {
    let reason = if version >= V2_0 { ResultReason::INVALID_CORRELATION_VALUE } else { ResultReason::INVALID_FIELD };
    Refusal::new(reason, "no operation in parts is open under this correlation value")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProjectId, Realm, algorithm::HashingAlgorithm};

    fn principal(name: &str) -> Principal {
        Principal {
            name: Some(name.into()),
            project: ProjectId("p".into()),
            roles: Vec::new(),
            realm: Realm::Certificate,
            user_name: None,
        }
    }

    fn held() -> Held {
        Held::Hash(Hasher::new(HashingAlgorithm::SHA_256).unwrap())
    }

    #[test]
    fn a_stream_is_its_accounts_own_and_ends_when_it_is_idle() {
        let (streams, owner, version) = (Streams::default(), principal("a"), V2_0);
        let at = Timestamp::from_seconds;
        for value in [b"1", b"2", b"3"] {
            streams.keep(value.to_vec(), &owner, None, held(), at(0), version).unwrap();
        }
        assert!(streams.take(b"1", &owner, at(299), version).is_ok());
        assert!(streams.take(b"1", &owner, at(299), version).is_err(), "taken out");
        assert!(streams.take(b"2", &principal("b"), at(1), version).is_err());
        assert!(streams.take(b"3", &owner, at(300), version).is_err());
        assert_eq!(unknown(version).reason, ResultReason::INVALID_CORRELATION_VALUE);
        assert_eq!(unknown(kmip_codec::version::V1_3).reason, ResultReason::INVALID_FIELD);
    }

    #[test]
    fn an_account_has_a_limit() {
        let (streams, owner) = (Streams::default(), principal("a"));
        for value in 0..PER_ACCOUNT {
            let value = value.to_be_bytes().to_vec();
            streams.keep(value, &owner, None, held(), Timestamp::from_seconds(0), V2_0).unwrap();
        }
        let refused = streams.keep(b"x".to_vec(), &owner, None, held(), Timestamp::from_seconds(1), V2_0).unwrap_err();
        assert_eq!(refused.reason, ResultReason::SERVER_LIMIT_EXCEEDED);
        streams.keep(b"x".to_vec(), &owner, None, held(), Timestamp::from_seconds(400), V2_0).unwrap();
    }
}
