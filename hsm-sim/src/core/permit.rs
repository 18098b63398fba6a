//! Starting operations: the mechanism, the key and what the key may do.

use std::{borrow::Cow, sync::Arc};

use cryptoki_sys::*;

use super::{
    clock,
    object::Object,
    operation::{Recovery, Start, Verification},
    recent::{Held, Recent},
    rv::{Result, Rv},
    session::Session,
};
use crate::{
    crypto::{self, Key, MechanismInfo, Params},
    profile,
};

/// A mechanism's row, if the mechanism is for this use.
pub(super) fn mechanism(number: CK_MECHANISM_TYPE, flag: CK_FLAGS) -> Result<&'static MechanismInfo> {
    crypto::mechanism(number).filter(|info| info.allows(flag)).ok_or(Rv(CKR_MECHANISM_INVALID))
}

/// Whether a mechanism takes a key's type.
pub(super) fn takes(info: &MechanismInfo, object: &Object) -> bool {
    object.key_type.is_some_and(|key_type| info.key_types.contains(&key_type))
}

/// The key of an operation, if it may be used so.
pub(super) fn permitted(
    session: &Session,
    recent: &mut Recent,
    number: CK_MECHANISM_TYPE,
    key: CK_OBJECT_HANDLE,
    (flag, usage): (CK_FLAGS, CK_ATTRIBUTE_TYPE),
) -> Result<(Arc<Held>, Start)> {
    let info = mechanism(number, flag)?;
    let wanted = (number, flag, usage);
    let (object, start) = recent.object(session.token(), key, wanted).map_err(|_invalid| Rv(CKR_KEY_HANDLE_INVALID))?;
    if let Some(start) = start {
        return Ok((object, start));
    }
    if !takes(info, &object) {
        return Err(Rv(CKR_KEY_TYPE_INCONSISTENT));
    }
    check_usage(session, &object, usage)?;
    object.check_mechanism(number)?;
    let start = Start {
        mechanism: number,
        key,
        data_bytes_max: session.token().config.data_bytes_max(number),
        is_multi_part: info.is_multi_part,
        is_private: object.is_private,
        wants_login: object.flag(CKA_ALWAYS_AUTHENTICATE),
    };
    // Dates can make tomorrow what was right today.
    if !session.token().config.enforce_dates {
        recent.permit(key, wanted, start);
    }
    Ok((object, start))
}

/// Whether a key may be used so: by its usage attribute and, where the options say so, today.
pub(super) fn check_usage(session: &Session, object: &Object, usage: CK_ATTRIBUTE_TYPE) -> Result<()> {
    if !object.flag(usage) || (session.token().config.enforce_dates && !is_in_time(object, usage)) {
        return Err(Rv(CKR_KEY_FUNCTION_NOT_PERMITTED));
    }
    Ok(())
}

/// Whether today is between a key's dates, both included. What was made before the end may be opened and verified after it.
fn is_in_time(object: &Object, usage: CK_ATTRIBUTE_TYPE) -> bool {
    let now = clock::utc(0);
    let today = now.split_at(DATE_BYTES).0;
    let date = |attribute| object.attributes.get(attribute).filter(|date| date.len() == DATE_BYTES);
    let opens = matches!(usage, CKA_DECRYPT | CKA_VERIFY | CKA_VERIFY_RECOVER);
    date(CKA_START_DATE).is_none_or(|start| start <= today)
        && (opens || date(CKA_END_DATE).is_none_or(|end| today <= end))
}

/// Year, month and day in digits, which compare as the dates do.
const DATE_BYTES: usize = 8;

/// Refuses the wrong half of a key pair before anything is computed.
fn check_class(object: &Object, class: CK_OBJECT_CLASS) -> Result<()> {
    object.key()?;
    if object.class == class { Ok(()) } else { Err(Rv(CKR_KEY_TYPE_INCONSISTENT)) }
}

impl Session {
    /// The parameters of a private operation. Programs that expect the usage of their keys without asking also expect bad
    /// padding under PKCS#1 v1.5 to be an error; for all others it must look like any message.
    pub(super) fn rejecting<'p>(&self, number: CK_MECHANISM_TYPE, params: &'p Params) -> Cow<'p, Params> {
        let is_permissive = self.token().config.is_permissive();
        if number == CKM_RSA_PKCS && is_permissive && *params == Params::None {
            return Cow::Owned(Params::ExplicitRejection);
        }
        Cow::Borrowed(params)
    }

    /// `C_EncryptInit`
    pub(crate) fn encrypt_init(&self, number: CK_MECHANISM_TYPE, params: &Params, key: CK_OBJECT_HANDLE) -> Result<()> {
        let mut operations = self.operations();
        operations.encrypt.check_free()?;
        let (object, start) = permitted(self, &mut operations.recent, number, key, (CKF_ENCRYPT, CKA_ENCRYPT))?;
        operations.encrypt.start(profile::encryptor(&self.token().config, number, params, object.key()?)?, start);
        Ok(())
    }

    /// `C_DecryptInit`
    pub(crate) fn decrypt_init(&self, number: CK_MECHANISM_TYPE, params: &Params, key: CK_OBJECT_HANDLE) -> Result<()> {
        let mut operations = self.operations();
        operations.decrypt.check_free()?;
        let (object, start) = permitted(self, &mut operations.recent, number, key, (CKF_DECRYPT, CKA_DECRYPT))?;
        let params = self.rejecting(number, params);
        operations.decrypt.start(profile::decryptor(&self.token().config, number, &params, object.key()?)?, start);
        Ok(())
    }

    /// `C_SignInit`
    pub(crate) fn sign_init(&self, number: CK_MECHANISM_TYPE, params: &Params, key: CK_OBJECT_HANDLE) -> Result<()> {
        let mut operations = self.operations();
        operations.sign.check_free()?;
        let (object, start) = permitted(self, &mut operations.recent, number, key, (CKF_SIGN, CKA_SIGN))?;
        operations.sign.start(crypto::signer(number, params, object.key()?)?, start);
        Ok(())
    }

    /// `C_VerifyInit`
    pub(crate) fn verify_init(&self, number: CK_MECHANISM_TYPE, params: &Params, key: CK_OBJECT_HANDLE) -> Result<()> {
        let mut operations = self.operations();
        operations.verify.check_free()?;
        let (object, start) = permitted(self, &mut operations.recent, number, key, (CKF_VERIFY, CKA_VERIFY))?;
        let operation = crypto::verifier(number, params, object.key()?)?;
        operations.verify.start(Verification { operation, signature: None }, start);
        Ok(())
    }

    /// `C_VerifySignatureInit`
    pub(crate) fn verify_signature_init(
        &self,
        number: CK_MECHANISM_TYPE,
        params: &Params,
        key: CK_OBJECT_HANDLE,
        signature: &[u8],
    ) -> Result<()> {
        let mut operations = self.operations();
        operations.verify_signature.check_free()?;
        let (object, start) = permitted(self, &mut operations.recent, number, key, (CKF_VERIFY, CKA_VERIFY))?;
        let operation = crypto::verifier(number, params, object.key()?)?;
        operations.verify_signature.start(Verification { operation, signature: Some(signature.to_vec()) }, start);
        Ok(())
    }

    /// `C_SignRecoverInit`
    pub(crate) fn sign_recover_init(&self, number: CK_MECHANISM_TYPE, key: CK_OBJECT_HANDLE) -> Result<()> {
        let mut operations = self.operations();
        operations.sign_recover.check_free()?;
        let (object, start) =
            permitted(self, &mut operations.recent, number, key, (CKF_SIGN_RECOVER, CKA_SIGN_RECOVER))?;
        check_class(&object, CKO_PRIVATE_KEY)?;
        operations.sign_recover.start(Recovery(Arc::clone(object.object())), start);
        Ok(())
    }

    /// `C_VerifyRecoverInit`
    pub(crate) fn verify_recover_init(&self, number: CK_MECHANISM_TYPE, key: CK_OBJECT_HANDLE) -> Result<()> {
        let mut operations = self.operations();
        operations.verify_recover.check_free()?;
        let (object, start) =
            permitted(self, &mut operations.recent, number, key, (CKF_VERIFY_RECOVER, CKA_VERIFY_RECOVER))?;
        check_class(&object, CKO_PUBLIC_KEY)?;
        operations.verify_recover.start(Recovery(Arc::clone(object.object())), start);
        Ok(())
    }

    /// `C_DigestInit`
    pub(crate) fn digest_init(&self, number: CK_MECHANISM_TYPE) -> Result<()> {
        let mut operations = self.operations();
        operations.digest.check_free()?;
        mechanism(number, CKF_DIGEST)?;
        let start = Start {
            mechanism: number,
            key: 0,
            data_bytes_max: None,
            is_multi_part: true,
            is_private: false,
            wants_login: false,
        };
        operations.digest.start(crypto::digester(number)?, start);
        Ok(())
    }

    /// `C_DigestKey`: only of secrets that could be read anyway.
    pub(crate) fn digest_key(&self, key: CK_OBJECT_HANDLE) -> Result<()> {
        let mut operations = self.operations();
        if operations.digest.mechanism().is_none() {
            return Err(Rv(CKR_OPERATION_NOT_INITIALIZED));
        }
        let object = self.token().object(key).map_err(|_invalid| Rv(CKR_KEY_HANDLE_INVALID));
        let outcome = object.and_then(|object| match object.key()? {
            Key::Secret(secret) if object.flag(CKA_EXTRACTABLE) && !object.flag(CKA_SENSITIVE) => {
                operations.digest.update(secret.value())
            }
            _ => Err(Rv(CKR_KEY_INDIGESTIBLE)),
        });
        if outcome.is_err() {
            operations.digest.end();
        }
        outcome
    }
}
