//! Who is asking: a claim comes in, a [`Principal`] goes out, and no other module makes one.
//!
//! A KMIP connection claims by its client certificate, a REST request by the headers it carries: a Keystone token, or in
//! development the bare words. Roles are expanded here, so that every rule sees the same: admin brings member, member
//! brings reader. Nothing of this module is ever logged but identifiers and reasons; tokens are neither kept nor printed.

mod bearer;
mod certificate;
mod credential;
mod keystone;
mod unauthenticated;

pub use bearer::{BearerToken, BearerTokens};
pub use certificate::{Clients, EnrolledClient};
pub use credential::{
    CredentialClaim, CredentialRefusal, Credentials, Device, DeviceClaim, OneTimeBy, Proof, Remembered, User,
};
pub use keystone::{
    Keystone, KeystoneError, KeystoneSettings,
    notice::{NoticeError, deleted_project},
};
pub use unauthenticated::DEFAULT_ROLE;

use std::sync::Arc;

use thiserror::Error;

use crate::domain::{Principal, ProjectId, Realm, access::expand_roles};

/// Longest name of a user, project or client; Keystone's own identifiers have 32 or 64 characters.
pub const NAME_BYTES_MAX: usize = 255;

/// Why a claim makes no principal. The front ends have a status for each; none says more to a client than its text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The certificate is valid, but its key is not enrolled.
    #[error("the client is not enrolled")]
    NotEnrolled,
    /// No token, or one that Keystone does not vouch for.
    #[error("the request requires authentication")]
    Unauthenticated,
    /// A good token that is not for a project.
    #[error("the token is not scoped to a project")]
    Unscoped,
    /// The development context needs this header.
    #[error("Missing {0}")]
    Missing(&'static str),
    /// A header that cannot be a name.
    #[error("Malformed {0}")]
    Malformed(&'static str),
    /// Keystone cannot be asked just now.
    #[error("the identity service is temporarily unavailable")]
    Unavailable,
}

/// What a REST request says of itself. Everything else that looks like an identity header is not read.
#[derive(Clone, Copy, Default)]
pub struct RestClaim<'a> {
    /// The user's token.
    pub token: Option<&'a str>,
    /// The token in `Authorization: Bearer`; counts for static tokens only.
    pub bearer: Option<&'a str>,
    /// The token of a service that acts for the user.
    pub service_token: Option<&'a str>,
    /// Development only: the project.
    pub project: Option<&'a str>,
    /// Development only: the user.
    pub user: Option<&'a str>,
    /// Development only: comma-separated roles.
    pub roles: Option<&'a str>,
    /// The request's method, for application credentials that are limited to some requests.
    pub method: &'a str,
    /// The request's path, for the same.
    pub path: &'a str,
}

impl<'a> RestClaim<'a> {
    /// Picks the headers that count out of a request's.
    pub fn read(method: &'a str, path: &'a str, header: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        Self {
            token: header("x-auth-token").or_else(|| header("x-storage-token")),
            bearer: header("authorization").and_then(|value| value.strip_prefix("Bearer ")).map(str::trim),
            service_token: header("x-service-token"),
            project: header("x-project-id"),
            user: header("x-user-id"),
            roles: header("x-roles"),
            method,
            path,
        }
    }
}

impl std::fmt::Debug for RestClaim<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RestClaim").field("method", &self.method).field("path", &self.path).finish_non_exhaustive()
    }
}

/// How REST requests are authenticated. The development context stands alone; the other two may stand beside each other.
#[derive(Clone, Debug)]
pub enum RestAuthenticator {
    /// Headers are taken as given: development on loopback.
    Unauthenticated,
    /// Keystone vouches for tokens.
    Keystone(Arc<Keystone>),
    /// The configuration knows tokens.
    Bearer(Arc<BearerTokens>),
    /// The configuration knows some, and Keystone vouches for all others.
    Both(Arc<BearerTokens>, Arc<Keystone>),
}

impl RestAuthenticator {
    /// The principal behind a request.
    ///
    /// # Errors
    ///
    /// A [`Refusal`]; `Missing` and `Malformed` come from the development context only, `Unavailable` from Keystone only.
    pub async fn authenticate(&self, claim: &RestClaim<'_>) -> Result<Principal, Refusal> {
        match self {
            Self::Unauthenticated => unauthenticated::authenticate(claim),
            Self::Keystone(keystone) => Box::pin(keystone.authenticate(claim)).await,
            Self::Bearer(tokens) => tokens.authenticate(claim),
            Self::Both(tokens, keystone) => match tokens.authenticate(claim) {
                Err(_unknown) => Box::pin(keystone.authenticate(claim)).await,
                known => known,
            },
        }
    }

    /// The header `WWW-Authenticate` of a 401, where there is one.
    #[must_use]
    pub fn www_authenticate(&self) -> Option<String> {
        match self {
            Self::Unauthenticated => None,
            Self::Keystone(keystone) | Self::Both(_, keystone) => Some(keystone.www_authenticate()),
            Self::Bearer(_) => Some("Bearer realm=\"portcullis\"".to_owned()),
        }
    }
}

/// The gateway itself, for jobs and repair, acting for a project.
#[must_use]
pub const fn system(project: ProjectId) -> Principal {
    Principal { name: None, project, roles: Vec::new(), realm: Realm::System, user_name: None }
}

fn principal<'r>(
    name: Option<&str>,
    project: &str,
    roles: impl IntoIterator<Item = &'r str>,
    realm: Realm,
) -> Principal {
    Principal {
        name: name.map(str::to_owned),
        project: ProjectId(project.to_owned()),
        roles: expand_roles(roles),
        realm,
        user_name: None,
    }
}
