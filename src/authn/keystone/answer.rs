//! What Keystone says of a token: the few fields that count, out of a document with many.

use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{super::NAME_BYTES_MAX, access_rules::AccessRule};
use crate::domain::Timestamp;

/// A token that Keystone vouches for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) user: String,
    /// What people call the user.
    pub(super) user_name: Option<String>,
    /// Absent for unscoped, domain and system tokens.
    pub(super) project: Option<String>,
    /// In lower case.
    pub(super) roles: Vec<String>,
    /// The limits of an application credential.
    pub(super) access_rules: Option<Vec<AccessRule>>,
    pub(super) expires: Timestamp,
}

#[derive(Deserialize)]
pub(super) struct Answer {
    token: Body,
}

#[derive(Deserialize)]
struct Body {
    expires_at: String,
    user: Named,
    #[serde(default)]
    project: Option<Named>,
    #[serde(default)]
    roles: Vec<Role>,
    #[serde(default)]
    application_credential: Option<ApplicationCredential>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

#[derive(Deserialize)]
struct ApplicationCredential {
    #[serde(default)]
    access_rules: Option<Vec<AccessRule>>,
}

#[derive(Deserialize)]
struct Expiring {
    token: Expiry,
}

#[derive(Deserialize)]
struct Expiry {
    expires_at: String,
}

impl Answer {
    /// Reads the answer to a validation. The text of an error names no content.
    pub(super) fn parse(body: &[u8]) -> Result<Token, &'static str> {
        let Body { expires_at, user, project, roles, application_credential } = read::<Self>(body)?.token;
        let is_name =
            |name: &str| !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control);
        if !is_name(&user.id) || project.as_ref().is_some_and(|project| !is_name(&project.id)) {
            return Err("an identifier that cannot be one");
        }
        Ok(Token {
            user_name: user.name.filter(|name| is_name(name)),
            user: user.id,
            project: project.map(|project| project.id),
            roles: roles.into_iter().map(|role| role.name.to_lowercase()).collect(),
            access_rules: application_credential.and_then(|credential| credential.access_rules),
            expires: time(&expires_at)?,
        })
    }

    /// Reads when our own token ends.
    pub(super) fn expiry(body: &[u8]) -> Result<Timestamp, &'static str> {
        time(&read::<Expiring>(body)?.token.expires_at)
    }
}

/// Whether the body is an error as the Identity API words it.
pub(super) fn is_error(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Failed {
        error: Code,
    }
    #[derive(Deserialize)]
    struct Code {
        code: u16,
    }
    serde_json::from_slice::<Failed>(body).is_ok_and(|failed| failed.error.code >= 400)
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, &'static str> {
    serde_json::from_slice(body).ok().ok_or("not a token of the Identity API v3")
}

fn time(text: &str) -> Result<Timestamp, &'static str> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok().ok_or("a date that is none")?;
    Ok(Timestamp::from_seconds(time.unix_timestamp()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_that_count_are_read() {
        let body = br#"{"token": {"methods": ["token"], "expires_at": "2026-11-22T10:00:00.500000Z", "issued_at": "x",
            "user": {"id": "u1", "name": "alice", "domain": {"id": "default"}}, "audit_ids": [],
            "project": {"id": "p1", "name": "demo"}, "roles": [{"id": "1", "name": "Admin"}, {"id": "2", "name": "reader"}],
            "application_credential": {"id": "a", "access_rules": [{"id": "r", "service": "key-manager", "method": "GET", "path": "/v1/**"}]}}}"#;
        let token = Answer::parse(body).unwrap();
        assert_eq!((token.user.as_str(), token.project.as_deref()), ("u1", Some("p1")));
        assert_eq!(token.user_name.as_deref(), Some("alice"));
        assert_eq!(token.roles, ["admin", "reader"]);
        assert_eq!(token.access_rules.unwrap().len(), 1);
        assert_eq!(token.expires.seconds(), 1_795_341_600);
        assert_eq!(Answer::expiry(body).unwrap().seconds(), 1_795_341_600);
    }

    #[test]
    fn an_unscoped_token_has_no_project() {
        let token =
            Answer::parse(br#"{"token": {"expires_at": "2026-11-22T10:00:00Z", "user": {"id": "u"}}}"#).unwrap();
        assert_eq!((token.project, token.roles, token.access_rules), (None, Vec::new(), None));
    }

    #[test]
    fn anything_else_is_refused() {
        for body in [
            "",
            "{}",
            "[]",
            r#"{"token": {}}"#,
            r#"{"token": {"expires_at": "tomorrow", "user": {"id": "u"}}}"#,
            r#"{"token": {"expires_at": "2026-11-22T10:00:00Z", "user": {"id": ""}}}"#,
            r#"{"token": {"expires_at": "2026-11-22T10:00:00Z", "user": {"id": "a\u0000b"}}}"#,
            r#"{"token": {"expires_at": "2026-11-22T10:00:00Z", "user": {"id": "u"}, "project": {"id": ""}}}"#,
        ] {
            assert!(Answer::parse(body.as_bytes()).is_err(), "{body}");
        }
        assert!(is_error(br#"{"error": {"code": 404, "title": "Not Found"}}"#));
        assert!(!is_error(b"<html>not found</html>"));
    }
}
