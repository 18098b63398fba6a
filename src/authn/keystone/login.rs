//! The body of our own log-in: "Password authentication with scoped authorization" of the Identity API v3.

use serde::Serialize;
use zeroize::Zeroizing;

use super::{KeystoneError, KeystoneSettings};
use crate::domain::SecretValue;

#[derive(Serialize)]
struct Login<'a> {
    auth: Auth<'a>,
}

#[derive(Serialize)]
struct Auth<'a> {
    identity: Identity<'a>,
    scope: Scope<'a>,
}

#[derive(Serialize)]
struct Identity<'a> {
    methods: [&'static str; 1],
    password: Password<'a>,
}

#[derive(Serialize)]
struct Password<'a> {
    user: User<'a>,
}

#[derive(Serialize)]
struct User<'a> {
    name: &'a str,
    domain: Domain<'a>,
    password: &'a str,
}

#[derive(Serialize)]
struct Scope<'a> {
    project: Project<'a>,
}

#[derive(Serialize)]
struct Project<'a> {
    name: &'a str,
    domain: Domain<'a>,
}

#[derive(Serialize)]
struct Domain<'a> {
    name: &'a str,
}

/// Written into one buffer that is large enough from the start, so that no growing leaves a copy of the password behind.
#[expect(clippy::disallowed_methods, reason = "the password goes to Keystone in the body of our log-in")]
pub(super) fn body(settings: &KeystoneSettings, password: &SecretValue) -> Result<Zeroizing<Vec<u8>>, KeystoneError> {
    let password = std::str::from_utf8(password.expose_secret()).ok().ok_or(KeystoneError::Password)?;
    let KeystoneSettings { username, user_domain, project, project_domain, .. } = settings;
    let user = User { name: username, domain: Domain { name: user_domain }, password };
    let login = Login {
        auth: Auth {
            identity: Identity { methods: ["password"], password: Password { user } },
            scope: Scope { project: Project { name: project, domain: Domain { name: project_domain } } },
        },
    };
    // An escaped character takes six bytes at most.
    let texts =
        [username, user_domain, project, project_domain].map(|text| text.len()).iter().sum::<usize>() + password.len();
    let mut body = Zeroizing::new(Vec::with_capacity(512 + 6 * texts));
    serde_json::to_writer(&mut *body, &login).ok().ok_or(KeystoneError::Password)?;
    Ok(body)
}
