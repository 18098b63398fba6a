//! What a worker is given to do, and what the pool must know of it beside doing it.

use std::time::Duration;

use super::{
    pool::Class,
    system::{CERTIFIER, system_name},
    template::class_of,
};
use crate::{domain::reference::CkaId, engine::ports::HsmRequest};

/// What a worker is given to do.
pub(super) enum Work {
    /// The engine's request.
    Engine(Box<HsmRequest>),
    /// Destroys what stands at these places.
    Clear(Vec<(CkaId, Class)>),
    /// HMAC-SHA-256 of the purpose under this gateway's own key for it.
    SystemSecret(&'static str),
    /// The public half of this gateway's own signing key for a purpose.
    SystemSigner(&'static str),
    /// A signature by it.
    SystemSign(&'static str, Vec<u8>),
}

impl Work {
    /// Whether it changes what stands on the token, and so must be done even if nobody waits for the answer.
    pub(super) const fn mutates(&self) -> bool {
        match self {
            Self::Engine(request) => matches!(
                **request,
                HsmRequest::GenerateKey { .. }
                    | HsmRequest::GenerateKeyPair { .. }
                    | HsmRequest::ImportKey { .. }
                    | HsmRequest::HoldBytes { .. }
                    | HsmRequest::MakeTwin { .. }
                    | HsmRequest::Destroy { .. }
            ),
            Self::Clear(_) => true,
            Self::SystemSecret(_) | Self::SystemSigner(_) | Self::SystemSign(..) => false,
        }
    }

    /// Whether it makes objects, so that a second try must clear away what the first may have made.
    pub(super) const fn creates(&self) -> bool {
        match self {
            Self::Engine(request) => self.mutates() && !matches!(**request, HsmRequest::Destroy { .. }),
            Self::Clear(_) | Self::SystemSecret(_) | Self::SystemSigner(_) | Self::SystemSign(..) => false,
        }
    }

    /// How long it may run before its worker counts as stuck: making keys takes ten times as long as using them.
    pub(super) const fn call_limit(&self, limit: Duration) -> Duration {
        match self {
            Self::Engine(request) => match **request {
                HsmRequest::GenerateKeyPair { .. } | HsmRequest::GenerateKey { .. } | HsmRequest::CertifierKey => {
                    limit.saturating_mul(10)
                }
                _ => limit,
            },
            Self::SystemSigner(_) => limit.saturating_mul(10),
            Self::Clear(_) | Self::SystemSecret(_) | Self::SystemSign(..) => limit,
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
                HsmRequest::Destroy { at } | HsmRequest::Find { at } => vec![at.cka_id],
                HsmRequest::CertifierKey | HsmRequest::CertifierSign { .. } => vec![system_name(CERTIFIER).id],
                _ => self.places().into_iter().map(|(id, _)| id).collect(),
            },
            Self::Clear(places) => places.iter().map(|(id, _)| *id).collect(),
            Self::SystemSecret(purpose) | Self::SystemSigner(purpose) | Self::SystemSign(purpose, _) => {
                vec![system_name(purpose).id]
            }
        }
    }
}
