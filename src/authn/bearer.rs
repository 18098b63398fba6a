//! Static bearer tokens, for sites without Keystone: the configuration names each by its SHA-256 and says who it is.
//!
//! Tokens are long random texts (`portcullis token` makes them), so a plain hash is enough: there is nothing to guess. A lookup
//! by hash takes the same time whichever token is asked for, and the tokens themselves are kept nowhere.

use std::collections::HashMap;

use super::{Refusal, RestClaim, principal};
use crate::{
    crypto::hash,
    domain::{Principal, Realm},
};

/// A token that the configuration names.
#[derive(Clone, Debug)]
pub struct BearerToken {
    /// Who it is: creator of what it makes, initiator in audit records.
    pub name: String,
    /// SHA-256 of its text.
    pub sha256: [u8; 32],
    /// For which project.
    pub project: String,
    /// With which roles.
    pub roles: Vec<String>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct BearerTokens(HashMap<[u8; 32], BearerToken>);

/// Longer ones are none of ours.
const TOKEN_BYTES_MAX: usize = 1024;

impl BearerTokens {
    /// These tokens; of two with one hash the later counts.
    #[must_use]
    pub fn new(tokens: impl IntoIterator<Item = BearerToken>) -> Self {
        Self(tokens.into_iter().map(|token| (token.sha256, token)).collect())
    }

    /// The principal behind a request: by `X-Auth-Token`, or by `Authorization: Bearer`.
    ///
    /// # Errors
    ///
    /// `Unauthenticated` for no token, and for one that is not known.
    pub fn authenticate(&self, claim: &RestClaim<'_>) -> Result<Principal, Refusal> {
        let given = claim.token.or(claim.bearer).filter(|token| token.len() <= TOKEN_BYTES_MAX);
        let found = given.and_then(|token| self.0.get(&hash::sha256_of(&[token.as_bytes()])));
        let found = found.ok_or(Refusal::Unauthenticated)?;
        Ok(principal(Some(&found.name), &found.project, found.roles.iter().map(String::as_str), Realm::Bearer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> BearerTokens {
        BearerTokens::new([BearerToken {
            name: "backup".into(),
            sha256: hash::sha256_of(&[b"pct_secret"]),
            project: "p1".into(),
            roles: vec!["Member".into()],
        }])
    }

    #[test]
    fn a_known_token_is_its_principal_by_either_header() {
        for claim in [
            RestClaim { token: Some("pct_secret"), ..RestClaim::default() },
            RestClaim { bearer: Some("pct_secret"), ..RestClaim::default() },
        ] {
            let made = tokens().authenticate(&claim).unwrap();
            assert_eq!((made.name.as_deref(), made.project.0.as_str()), (Some("backup"), "p1"));
            assert_eq!(
                (made.roles.as_slice(), made.realm),
                (&["member".to_owned(), "reader".to_owned()][..], Realm::Bearer)
            );
        }
    }

    #[test]
    fn anything_else_is_nobody() {
        let long = "x".repeat(TOKEN_BYTES_MAX + 1);
        for token in [None, Some(""), Some("pct_secre"), Some("PCT_SECRET"), Some(long.as_str())] {
            let claim = RestClaim { token, project: Some("p1"), roles: Some("admin"), ..RestClaim::default() };
            assert_eq!(tokens().authenticate(&claim), Err(Refusal::Unauthenticated), "{token:?}");
        }
    }
}
