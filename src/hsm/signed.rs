//! Signatures that are looked at before they are given out.
//!
//! A token that computes wrongly says so nowhere. A signature can be checked by the public half of its key, which the token
//! tells of the private one; in a replicated group the next token is asked for one that holds.

use std::sync::{Arc, atomic::Ordering};

use cryptoki_sys::CKA_PUBLIC_KEY_INFO;

use super::{error::refused, raw::Handle, request::Turn, transfer};
use crate::{
    crypto::{
        PublicKey,
        signature::{self, Signed},
    },
    domain::reference::{CkaId, KeyKind},
    engine::ports::{HsmError, HsmErrorKind},
};

impl Turn<'_> {
    /// Looks at a signature before it is given out: of RSA everywhere, because a faulty one may give the key away and the look
    /// costs little beside the signing; of the others where another token can be asked instead.
    pub(super) fn checked(
        &mut self,
        (id, kind, handle): (CkaId, KeyKind, Handle),
        signed: Signed<'_>,
        signature: Vec<u8>,
    ) -> Result<Vec<u8>, HsmError> {
        if kind != KeyKind::RsaPrivate && !self.shared.replicated.load(Ordering::Relaxed) {
            return Ok(signature);
        }
        // What was remembered of the key may be of one that stood here before.
        for again in [false, true] {
            let public = self.public_half(id, kind, handle, again)?;
            match public.and_then(|public| signature::holds(&public, signed, &signature)) {
                None | Some(true) => return Ok(signature),
                Some(false) => {}
            }
        }
        tracing::error!(token = %self.shared.id, "the token made a signature that does not hold; it is not given out");
        Err(refused(HsmErrorKind::Internal, "a signature that does not hold"))
    }

    /// The public half of a private key, as far as the token tells it.
    fn public_half(
        &mut self,
        id: CkaId,
        kind: KeyKind,
        handle: Handle,
        again: bool,
    ) -> Result<Option<Arc<PublicKey>>, HsmError> {
        if let Some(known) = self.shared.public_halves.get(&id).filter(|_| !again) {
            return Ok(known);
        }
        let told = |answer: Result<Vec<u8>, HsmError>| match answer {
            Ok(spki) => Ok(PublicKey::from_spki(&spki).ok()),
            // Tokens of PKCS#11 2.40 do not know the attribute, and some show no point of a private key.
            Err(error) if matches!(error.kind, HsmErrorKind::NotExtractable | HsmErrorKind::BadData) => Ok(None),
            Err(error) if error.rv == 0 => Ok(None),
            Err(error) => Err(error),
        };
        let mut public = None;
        if kind != KeyKind::RsaPrivate {
            let info = self.seat.session.attribute(handle, CKA_PUBLIC_KEY_INFO, 256);
            public = told(info.map(|mut info| std::mem::take(&mut *info)).map_err(HsmError::from))?;
        }
        if public.is_none() {
            public = told(transfer::reveal_public(self.seat, handle, kind))?;
        }
        let public = public.map(Arc::new);
        self.shared.public_halves.insert(id, public.clone());
        Ok(public)
    }
}
