//! What a worker is given to do, and what the pool must know of it beside doing it.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;

use super::{
    adopt::{By, Foreign, KeyClass},
    copy::{Copied, Print},
    crew::Kind,
    pool::Class,
    probe::Report,
    system::{CERTIFIER, CIPHER_CANARY, GROUP_KEY, system_name},
    template::class_of,
};
use crate::{
    domain::{
        TokenReference,
        reference::{CkaId, KeyKind},
    },
    engine::ports::{HsmRequest, PairKind},
};

/// Whether one of the gateway's own keys may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Making {
    /// When it is wanted for the first time; it can never leave the token.
    IfMissing,
    /// When it is wanted for the first time; it can be copied to the other tokens of the group.
    ForGroup,
    /// No: it is there, or it is missing.
    Never,
}

/// A step in bringing the group's key to a token. No step shows the key to the gateway.
pub(super) enum GroupKey {
    /// Is it there?
    Find,
    /// Makes it, on the first token of the group.
    Make,
    /// Makes a key pair to receive it with. Answer: the public half as SubjectPublicKeyInfo.
    Ask,
    /// Wraps it under that public half, on a token that has it, by a hash of that number or a later one. Answer: the number of
    /// the hash and the wrapped key.
    Give(Vec<u8>, usize),
    /// Takes it in and destroys the pair.
    Take(Vec<u8>),
}

/// The purpose of a key under which values cross: the group's, or one of a move.
pub(super) type Kek = Arc<str>;

/// How copies are taken of an object.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    /// Under which key.
    pub(super) kek: Kek,
    /// What crosses as a value under the session's transport key instead.
    pub(super) open: Open,
}

/// What is not wrapped by the token that has it for the one that gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// Only what the former cannot wrap.
    Least,
    /// Generic secrets, too: the latter would not know their length otherwise.
    Generic,
    /// Everything, because the latter does not unwrap it.
    All,
}

/// Where copies, or names, are laid down for whoever asked.
pub(super) type Tray<T> = Arc<Mutex<Vec<T>>>;

/// What a worker is given to do.
pub(super) enum Work {
    /// The engine's request.
    Engine(Arc<HsmRequest>),
    /// Destroys what stands at these places.
    Clear(Vec<(CkaId, Class)>),
    /// HMAC-SHA-256 of the purpose under this gateway's own key for it.
    SystemSecret(&'static str, Making),
    /// The canary's cipher text and wrapped form; thoroughly, and back again.
    Sing(Making, bool),
    /// The public half of this gateway's own signing key for a purpose.
    SystemSigner(&'static str, Making),
    /// A signature by it.
    SystemSign(&'static str, Vec<u8>),
    /// The public half of the issuer of certificates.
    Certifier(Making),
    /// A step in bringing a key under which values cross to this token.
    GroupKey(Kek, GroupKey),
    /// Lays copies of every object of this identifier down, wrapped.
    CopyOut(CkaId, Manner, Tray<Copied>),
    /// Puts copies in the place of whatever stands here under this identifier.
    CopyIn(CkaId, Kek, Arc<Vec<Copied>>),
    /// Opens copies and keeps nothing: whether they are what the key made.
    Opens(Kek, Arc<Vec<Copied>>),
    /// Lays down what can be compared of every object of this identifier, whatever the token.
    Prints(CkaId, Tray<Print>),
    /// Lays down whether the token fills values with zeros before it wraps them.
    Fills(Tray<bool>),
    /// Lays the names of all objects of this gateway down, and whether each is one of its own keys.
    Inventory(Tray<(CkaId, bool)>),
    /// Lays the description of every key of a name down.
    Describe(By, Option<KeyClass>, Tray<Foreign>),
    /// Gives a key another name.
    Rename(Box<Foreign>, CkaId),
    /// Gives it its old name back.
    GiveBack(Box<Foreign>, CkaId),
    /// Tries out what the token can do, and lays the report down.
    Probe(Tray<Report>),
    /// Lays the gateway's own notes of that name down: more than one where a change was cut short.
    Notes(String, Tray<Vec<u8>>),
    /// Puts a note in the place of those of that name.
    Note(String, Vec<u8>),
}

impl Work {
    /// Whether it changes what stands on the token, and so must be done even if nobody waits for the answer.
    pub(super) fn mutates(&self) -> bool {
        match self {
            Self::Engine(request) => matches!(
                **request,
                HsmRequest::GenerateKey { .. }
                    | HsmRequest::GenerateKeyPair { .. }
                    | HsmRequest::ImportKey { .. }
                    | HsmRequest::HoldBytes { .. }
                    | HsmRequest::MakeTwin { .. }
                    | HsmRequest::Destroy { .. }
                    | HsmRequest::Clear { .. }
            ),
            Self::Clear(_)
            | Self::CopyIn(..)
            | Self::GroupKey(..)
            | Self::Rename(..)
            | Self::GiveBack(..)
            | Self::Note(..) => true,
            Self::SystemSecret(..)
            | Self::Sing(..)
            | Self::SystemSigner(..)
            | Self::SystemSign(..)
            | Self::Certifier(_)
            | Self::CopyOut(..)
            | Self::Opens(..)
            | Self::Notes(..)
            | Self::Prints(..)
            | Self::Fills(_)
            | Self::Inventory(_)
            | Self::Describe(..)
            | Self::Probe(_) => false,
        }
    }

    /// Whether it makes objects, so that a second try must clear away what the first may have made.
    pub(super) fn creates(&self) -> bool {
        match self {
            Self::Engine(request) => {
                self.mutates() && !matches!(**request, HsmRequest::Destroy { .. } | HsmRequest::Clear { .. })
            }
            // Copies clear their place themselves, each time they begin.
            _ => false,
        }
    }

    /// How much of a session's time it takes, measured by the use of a key: at least 1.
    pub(super) fn cost(&self) -> u32 {
        match self {
            Self::Engine(request) => match &**request {
                HsmRequest::GenerateKeyPair { kind: PairKind::Rsa { bits }, .. } if *bits > 3072 => 64,
                HsmRequest::GenerateKeyPair { kind: PairKind::Rsa { .. }, .. } => 16,
                HsmRequest::GenerateKeyPair { .. }
                | HsmRequest::GenerateKey { .. }
                | HsmRequest::ImportKey { .. }
                | HsmRequest::HoldBytes { .. }
                | HsmRequest::MakeTwin { .. }
                | HsmRequest::Clear { .. }
                | HsmRequest::Destroy { .. } => 2,
                _ => 1,
            },
            Self::CopyIn(..)
            | Self::Clear(_)
            | Self::Rename(..)
            | Self::GiveBack(..)
            | Self::Prints(..)
            | Self::Note(..) => 2,
            Self::Inventory(_) | Self::Probe(_) => 64,
            _ => 1,
        }
    }

    /// What is asked of the session, as far as it says how long that takes.
    pub(super) fn kind(&self) -> Kind {
        let with = |key: &TokenReference| match key.key {
            Some(kind) if kind.is_public() => Kind::Public,
            Some(KeyKind::RsaPrivate) => Kind::Rsa,
            Some(KeyKind::EcPrivate(_) | KeyKind::Ed25519Private) => Kind::Curve,
            Some(_) => Kind::Cipher,
            None => Kind::Other,
        };
        let Self::Engine(request) = self else { return Kind::Other };
        match &**request {
            HsmRequest::Encrypt { key, .. }
            | HsmRequest::Decrypt { key, .. }
            | HsmRequest::Sign { key, .. }
            | HsmRequest::Verify { key, .. }
            | HsmRequest::Mac { key, .. } => with(key),
            HsmRequest::RevealKey { .. } | HsmRequest::RevealBytes { .. } => Kind::Reveal,
            _ => Kind::Other,
        }
    }

    /// How long it may run before its worker counts as stuck: making keys takes ten times as long as using them.
    pub(super) fn call_limit(&self, limit: Duration) -> Duration {
        match self {
            Self::Engine(request) => match **request {
                HsmRequest::GenerateKeyPair { .. } | HsmRequest::GenerateKey { .. } | HsmRequest::CertifierKey => {
                    limit.saturating_mul(10)
                }
                _ => limit,
            },
            Self::SystemSigner(..) | Self::Certifier(_) | Self::GroupKey(..) | Self::Inventory(_) | Self::Probe(_) => {
                limit.saturating_mul(10)
            }
            Self::Describe(..)
            | Self::Rename(..)
            | Self::GiveBack(..)
            | Self::Clear(_)
            | Self::SystemSecret(..)
            | Self::Sing(..)
            | Self::SystemSign(..)
            | Self::CopyOut(..)
            | Self::CopyIn(..)
            | Self::Opens(..)
            | Self::Prints(..)
            | Self::Fills(_)
            | Self::Notes(..)
            | Self::Note(..) => limit,
        }
    }

    /// The places that a creation may have filled.
    pub(super) fn places(&self) -> Vec<(CkaId, Class)> {
        let Self::Engine(request) = self else { return Vec::new() };
        match &**request {
            HsmRequest::GenerateKey { at, kind, .. } | HsmRequest::ImportKey { at, kind, .. } => {
                vec![(at.cka_id, class_of(*kind))]
            }
            HsmRequest::GenerateKeyPair { private, public, .. } => {
                vec![(private.cka_id, Class::Private), (public.cka_id, Class::Public)]
            }
            HsmRequest::MakeTwin { of, .. } => vec![(of.cka_id, Class::Twin)],
            HsmRequest::HoldBytes { at, beside_key: true, .. } => vec![(at.cka_id, Class::Data)],
            HsmRequest::HoldBytes { at, beside_key: false, .. } => {
                vec![(at.cka_id, Class::Secret), (at.cka_id, Class::Data)]
            }
            _ => Vec::new(),
        }
    }

    /// The objects it uses, whose handles are forgotten when one of them is void.
    pub(super) fn ids(&self) -> Vec<CkaId> {
        match self {
            Self::Engine(request) => match &**request {
                HsmRequest::RevealKey { reference }
                | HsmRequest::RevealBytes { reference }
                | HsmRequest::Digest { reference, .. } => vec![reference.cka_id],
                HsmRequest::WrapKey { wrapping, target, .. } => vec![wrapping.cka_id, target.cka_id],
                HsmRequest::WrapBytes { wrapping: key, .. }
                | HsmRequest::UnwrapBytes { wrapping: key, .. }
                | HsmRequest::Encrypt { key, .. }
                | HsmRequest::Decrypt { key, .. }
                | HsmRequest::Sign { key, .. }
                | HsmRequest::Verify { key, .. }
                | HsmRequest::Mac { key, .. }
                | HsmRequest::Derive { key, .. } => vec![key.cka_id],
                HsmRequest::Destroy { at } | HsmRequest::Clear { at } | HsmRequest::Find { at } => vec![at.cka_id],
                HsmRequest::CertifierKey | HsmRequest::CertifierSign { .. } => vec![system_name(CERTIFIER).id],
                _ => self.places().into_iter().map(|(id, _)| id).collect(),
            },
            Self::Clear(places) => places.iter().map(|(id, _)| *id).collect(),
            Self::SystemSecret(purpose, _) | Self::SystemSigner(purpose, _) | Self::SystemSign(purpose, _) => {
                vec![system_name(purpose).id]
            }
            Self::Sing(..) => vec![system_name(CIPHER_CANARY).id, system_name(GROUP_KEY).id],
            Self::Certifier(_) => vec![system_name(CERTIFIER).id],
            Self::CopyOut(id, Manner { kek, .. }, _) | Self::CopyIn(id, kek, _) => vec![*id, system_name(kek).id],
            Self::GroupKey(kek, _) | Self::Opens(kek, _) => vec![system_name(kek).id],
            Self::Prints(id, _) | Self::Rename(_, id) | Self::GiveBack(_, id) => vec![*id],
            Self::Fills(_)
            | Self::Inventory(_)
            | Self::Describe(..)
            | Self::Probe(_)
            | Self::Notes(..)
            | Self::Note(..) => Vec::new(),
        }
    }
}
