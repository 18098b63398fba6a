//! The development context: `X-Project-Id`, `X-User-Id` and `X-Roles` are taken as given (Barbican contract §4.2).
//!
//! Whether it may be used at all, on which address and beside what, is decided at start by the configuration.

use super::{NAME_BYTES_MAX, Refusal, RestClaim, principal};
use crate::domain::{Principal, Realm};

/// The role of a request that names none.
pub const DEFAULT_ROLE: &str = "admin";

pub(super) fn authenticate(claim: &RestClaim<'_>) -> Result<Principal, Refusal> {
    let project = name("X-Project-Id", claim.project)?.ok_or(Refusal::Missing("X-Project-Id"))?;
    let user = name("X-User-Id", claim.user)?;
    let roles = claim.roles.unwrap_or(DEFAULT_ROLE);
    Ok(principal(user, project, roles.split(','), Realm::Unauthenticated))
}

fn name<'a>(header: &'static str, value: Option<&'a str>) -> Result<Option<&'a str>, Refusal> {
    let Some(value) = value.map(str::trim).filter(|value| !value.is_empty()) else { return Ok(None) };
    if value.len() > NAME_BYTES_MAX || value.chars().any(char::is_control) {
        return Err(Refusal::Malformed(header));
    }
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim<'a>(project: Option<&'a str>, user: Option<&'a str>, roles: Option<&'a str>) -> RestClaim<'a> {
        RestClaim { project, user, roles, ..RestClaim::default() }
    }

    #[test]
    fn headers_are_taken_as_given() {
        let made = authenticate(&claim(Some("p1"), Some("alice"), Some("Creator, observer"))).unwrap();
        assert_eq!(
            (made.project.0.as_str(), made.name.as_deref(), made.realm),
            ("p1", Some("alice"), Realm::Unauthenticated)
        );
        assert_eq!(made.roles, ["creator", "observer"]);
    }

    #[test]
    fn a_request_without_roles_is_an_admins() {
        let made = authenticate(&claim(Some("p1"), None, None)).unwrap();
        assert_eq!((made.name, made.roles), (None, vec!["admin".to_owned(), "member".to_owned(), "reader".to_owned()]));
        assert!(authenticate(&claim(Some("p1"), None, Some(""))).unwrap().roles.is_empty());
    }

    #[test]
    fn a_request_without_a_project_is_refused() {
        for project in [None, Some(""), Some("  ")] {
            assert_eq!(authenticate(&claim(project, Some("alice"), None)), Err(Refusal::Missing("X-Project-Id")));
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused() {
        let (longest, longer) = ("p".repeat(255), "p".repeat(256));
        assert!(authenticate(&claim(Some(&longest), None, None)).is_ok());
        assert_eq!(authenticate(&claim(Some(&longer), None, None)), Err(Refusal::Malformed("X-Project-Id")));
        assert_eq!(authenticate(&claim(Some("p1"), Some("a\tb"), None)), Err(Refusal::Malformed("X-User-Id")));
    }
}
