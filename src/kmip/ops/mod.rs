//! The adapters: a payload becomes a use case, its result a payload.

pub(super) mod accounts;
pub(super) mod asynchronous;
pub(super) mod attributes;
pub(super) mod certify;
pub(super) mod create;
pub(super) mod crypt;
pub(super) mod derive;
pub(super) mod get;
pub(super) mod lease;
pub(super) mod lifecycle;
pub(super) mod locate;
pub(super) mod pkcs11;
pub(super) mod pkcs12;
pub(super) mod provision;
pub(super) mod query;
pub(super) mod register;
pub(super) mod rekey;
pub(super) mod session;
pub(super) mod split;
pub(super) mod standing;
pub(super) mod transfer;
pub(super) mod wrap;

use kmip_codec::UniqueIdentifier as WireId;

use crate::domain::UniqueIdentifier;

pub(super) fn wire(id: UniqueIdentifier) -> WireId {
    WireId::Text(id.to_string())
}
