//! Saved operations (PKCS#11 3.1 §5.6.9): digests only.
//!
//! A saved digest is the library's own state of it, so what comes back must be what went out: it is sealed with a MAC under
//! a key that lives as long as the process does.

use std::sync::LazyLock;

use cryptoki_sys::*;

use super::{
    operation::{Operations, Start},
    permit,
    rv::{Result, Rv},
    session::Session,
};
use crate::crypto::{self, Digester, seal};

const FORMAT: &[u8; 4] = b"HSD1";
const MAC_BYTES: usize = 32;

static KEY: LazyLock<crypto::Result<[u8; 32]>> = LazyLock::new(|| {
    let mut key = [0; 32];
    crypto::random(&mut key)?;
    Ok(key)
});

fn mac(body: &[u8]) -> Result<[u8; MAC_BYTES]> {
    let key = KEY.as_ref().map_err(|error| Rv::from(*error))?;
    Ok(seal::hmac_sha256(key, &[b"saved operation", body])?)
}

impl Operations {
    /// `C_GetOperationState`
    pub(crate) fn save(&self) -> Result<Vec<u8>> {
        if self.is_busy_beside_digest() {
            return Err(Rv(CKR_STATE_UNSAVEABLE));
        }
        let (mechanism, has_parts, digester) = self.digest.running().ok_or(Rv(CKR_OPERATION_NOT_INITIALIZED))?;
        let mut body = FORMAT.to_vec();
        body.extend_from_slice(&mechanism.to_le_bytes());
        body.push(u8::from(has_parts));
        body.extend_from_slice(&digester.save().ok_or(Rv(CKR_STATE_UNSAVEABLE))?);
        let mac = mac(&body)?;
        body.extend_from_slice(&mac);
        Ok(body)
    }
}

impl Session {
    /// `C_SetOperationState`: the keys must be absent, because a digest has none.
    pub(crate) fn restore(&self, saved: &[u8], keys: [CK_OBJECT_HANDLE; 2]) -> Result<()> {
        let invalid = Rv(CKR_SAVED_STATE_INVALID);
        let (body, given) = saved.split_last_chunk::<MAC_BYTES>().ok_or(invalid)?;
        if !seal::constant_time_eq(&mac(body)?, given) {
            return Err(invalid);
        }
        let body = body.strip_prefix(FORMAT.as_slice()).ok_or(invalid)?;
        let (mechanism, rest) = body.split_first_chunk::<8>().ok_or(invalid)?;
        let (has_parts, state) = rest.split_first().ok_or(invalid)?;
        if keys.iter().any(|key| *key != CK_INVALID_HANDLE) {
            return Err(Rv(CKR_KEY_NOT_NEEDED));
        }
        let mechanism = CK_MECHANISM_TYPE::from_le_bytes(*mechanism);
        permit::mechanism(mechanism, CKF_DIGEST)?;
        let digester = Digester::restore(mechanism, state).ok_or(invalid)?;
        let start = Start {
            mechanism,
            key: CK_INVALID_HANDLE,
            data_bytes_max: None,
            is_multi_part: true,
            is_private: false,
            wants_login: false,
        };
        let mut operations = self.operations();
        *operations = Operations::default();
        operations.digest.resume(digester, start, *has_parts != 0);
        Ok(())
    }
}
