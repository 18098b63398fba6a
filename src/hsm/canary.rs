//! What a token of a replicated group is asked now and then because the answer is known: a block encrypted under a key of the
//! gateway's own, and that key wrapped under the group's.
//!
//! The answers were remembered when the group was founded. ECB of one block and RFC 5649 give one answer each, whatever the
//! token; a third one, a MAC, is older and stands in `system`. A token that has no such mechanism is not asked for that part.

use cryptoki_sys::*;

use super::{
    layout::{Attribute, Mechanism},
    pool::Class,
    raw::Handle,
    request::Turn,
    system::{CIPHER_CANARY, GROUP_KEY, system_name},
    template::{self, Life},
    transfer,
    work::Making,
};
use crate::{
    crypto::hash,
    domain::UsageMask,
    engine::ports::{HsmAnswer, HsmError, HsmErrorKind},
};

/// One block.
const TEXT: &[u8; 16] = b"portcullis sings";
/// Longer than a wrapped AES key.
const BLOB_GUESS: usize = 64;

type Digest = [u8; 32];

/// The digest of an answer that is wrong by itself: of nothing else.
const WRONG: Digest = [0; 32];

/// The digests of a token's answers; `None` where it has no such mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Song {
    cipher: Option<Digest>,
    wrapping: Option<Digest>,
}

impl Song {
    const PART: usize = 1 + size_of::<Digest>();

    /// As it is remembered.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let part = |digest: Option<Digest>| [&[u8::from(digest.is_some())][..], &digest.unwrap_or_default()].concat();
        [part(self.cipher), part(self.wrapping)].concat()
    }

    /// The inverse.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let part = |part: &[u8; Self::PART]| {
            let (is_there, digest) = part.split_first()?;
            let digest = Digest::try_from(digest).ok()?;
            Some((*is_there == 1).then_some(digest))
        };
        match bytes.as_chunks().0 {
            [cipher, wrapping] => Some(Self { cipher: part(cipher)?, wrapping: part(wrapping)? }),
            _ => None,
        }
    }

    /// Whether nothing differs that both have.
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let agree = |one: Option<Digest>, other: Option<Digest>| one.is_none() || other.is_none() || one == other;
        agree(self.cipher, other.cipher) && agree(self.wrapping, other.wrapping)
    }

    /// Whether no part of it is wrong by itself.
    pub(super) fn is_sound(&self) -> bool {
        [self.cipher, self.wrapping].into_iter().flatten().all(|digest| digest != WRONG)
    }
}

impl Turn<'_> {
    /// Sings: [`Song`] as bytes. `thorough`: what was encrypted is decrypted, too, and what was wrapped is unwrapped and used.
    pub(super) fn sing(&mut self, making: Making, thorough: bool) -> Result<HsmAnswer, HsmError> {
        let key = self.cipher_canary(making)?;
        let group_key = self.lookup(&system_name(GROUP_KEY), Class::Secret)?;
        let cipher = told(self.encrypts(key, thorough))?;
        let wrapping = told(self.wraps(key, group_key, cipher.filter(|_| thorough)))?;
        Ok(HsmAnswer::Bytes(Song { cipher, wrapping }.to_bytes()))
    }

    fn cipher_canary(&mut self, making: Making) -> Result<Handle, HsmError> {
        let name = system_name(CIPHER_CANARY);
        let _alone = self.shared.making_system_keys.lock();
        match self.lookup(&name, Class::Secret) {
            Err(HsmError { kind: HsmErrorKind::ObjectMissing, .. }) if making != Making::Never => {}
            known => return known,
        }
        let extractable = making == Making::ForGroup;
        let usage = UsageMask::ENCRYPT.with(UsageMask::DECRYPT);
        let mut common = template::key(Class::Secret, Life::Token, usage, extractable);
        common.extend([Attribute::number(CKA_KEY_TYPE, CKK_AES), Attribute::number(CKA_VALUE_LEN, 32)]);
        let handle = self.with_recipes(template::named(common, &name), |seat, template| {
            seat.session.generate(&Mechanism::plain(CKM_AES_KEY_GEN), template)
        })?;
        self.or_destroy(&[handle], |turn| turn.check_strength(handle, extractable))?;
        tracing::info!(token = %self.shared.id, label = name.label, "a system key was made");
        self.lookup(&name, Class::Secret)
    }

    fn encrypts(&mut self, key: Handle, thorough: bool) -> Result<Digest, HsmError> {
        let mechanism = Mechanism::plain(CKM_AES_ECB);
        let text = self.seat.session.encrypt(&mechanism, key, TEXT)?;
        let is_right = !thorough || self.seat.session.decrypt(&mechanism, key, &text)?.as_slice() == TEXT;
        Ok(if is_right { hash::sha256(&text) } else { WRONG })
    }

    /// `cipher`: what the unwrapped key must encrypt to.
    fn wraps(&mut self, key: Handle, group_key: Handle, cipher: Option<Digest>) -> Result<Digest, HsmError> {
        let mechanism = Mechanism::plain(transfer::kwp(self.link, self.seat)?.mechanism);
        let blob = self.seat.session.wrap(&mechanism, group_key, key, BLOB_GUESS)?;
        let Some(cipher) = cipher else { return Ok(hash::sha256(&blob)) };
        let mut common = template::key(Class::Secret, Life::Session, UsageMask::ENCRYPT, true);
        common.push(Attribute::number(CKA_KEY_TYPE, CKK_AES));
        let copy =
            self.with_recipes(common, |seat, template| seat.session.unwrap(&mechanism, group_key, &blob, template))?;
        let text = self.seat.session.encrypt(&Mechanism::plain(CKM_AES_ECB), copy, TEXT);
        self.seat.session.destroy(copy)?;
        Ok(if hash::sha256(&text?) == cipher { hash::sha256(&blob) } else { WRONG })
    }
}

/// A part of the song: none where the token has no such mechanism, a wrong one where it does not open what it has closed.
fn told(digest: Result<Digest, HsmError>) -> Result<Option<Digest>, HsmError> {
    match digest {
        Ok(digest) => Ok(Some(digest)),
        Err(error) if error.kind == HsmErrorKind::Unsupported => Ok(None),
        Err(error) if error.kind == HsmErrorKind::DecryptionFailed => Ok(Some(WRONG)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_song_is_remembered_part_by_part() {
        let all = Song { cipher: Some([1; 32]), wrapping: Some([2; 32]) };
        let half = Song { cipher: Some([1; 32]), wrapping: None };
        let other = Song { cipher: Some([3; 32]), wrapping: None };
        for song in [all, half, other] {
            assert_eq!(Song::from_bytes(&song.to_bytes()), Some(song));
        }
        assert!(all.agrees(&half) && half.agrees(&all) && !all.agrees(&other) && !other.agrees(&half));
        assert!(all.is_sound() && !Song { cipher: Some(WRONG), ..all }.is_sound());
        assert!(!all.agrees(&Song { wrapping: Some(WRONG), ..all }));
        assert_eq!((Song::from_bytes(&[]), Song::from_bytes(&all.to_bytes()[1..])), (None, None));
    }
}
