//! Enrolled KMIP clients, recognised by the public key of their certificate.
//!
//! TLS has verified the chain before; here the key decides who it is. A renewed certificate keeps its key and so its client, and
//! two issuers cannot give out the same name (design decision 13).

use std::collections::HashMap;

use serde::Deserialize;

use super::{NAME_BYTES_MAX, Refusal, principal};
use crate::{
    crypto::{Certificate, hash},
    domain::{Principal, Realm},
};

/// One enrolled client, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolledClient {
    /// Its name: the creator of its objects, the initiator in audit records.
    pub name: String,
    /// SHA-256 of its SubjectPublicKeyInfo, 64 hexadecimal digits.
    pub spki_sha256: String,
    /// The project that it acts in.
    pub project: String,
    /// Its roles: `member` (make, use, destroy), `reader` (see attributes), `admin`; or Barbican's older names for them.
    #[serde(default = "member")]
    pub roles: Vec<String>,
}

fn member() -> Vec<String> {
    vec!["member".to_owned()]
}

/// All enrolled clients.
#[derive(Debug, Default)]
pub struct Clients {
    by_key: HashMap<[u8; 32], Principal>,
}

impl Clients {
    /// Takes the list of the configuration.
    ///
    /// # Errors
    ///
    /// Every mistake, one line each: names or keys that stand twice, empty or over-long names, hashes that are none.
    pub fn new(clients: &[EnrolledClient]) -> Result<Self, Vec<String>> {
        let (mut by_key, mut mistakes) = (HashMap::new(), Vec::new());
        for (index, client) in clients.iter().enumerate() {
            let mut refuse = |what: &str| mistakes.push(format!("client {} `{}`: {what}", index + 1, client.name));
            for (what, text) in [("name", &client.name), ("project", &client.project)] {
                if text.trim().is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
                    refuse(&format!("the {what} must have 1 to {NAME_BYTES_MAX} printable characters"));
                }
            }
            if clients.iter().take(index).any(|earlier| earlier.name == client.name) {
                refuse("another client has this name");
            }
            let key = hash::from_hex(&client.spki_sha256).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            let Some(key) = key else {
                refuse("spki_sha256 must have 64 hexadecimal digits");
                continue;
            };
            let roles = client.roles.iter().map(String::as_str);
            let made = principal(Some(&client.name), &client.project, roles, Realm::Certificate);
            if by_key.insert(key, made).is_some() {
                refuse("another client has this key");
            }
        }
        if mistakes.is_empty() { Ok(Self { by_key }) } else { Err(mistakes) }
    }

    /// The enrolled client of that name.
    #[must_use]
    pub fn called(&self, name: &str) -> Option<&Principal> {
        self.by_key.values().find(|client| client.name.as_deref() == Some(name))
    }

    /// The principal behind a verified client certificate, in DER.
    ///
    /// # Errors
    ///
    /// `NotEnrolled` for every other certificate, also for one that cannot be read.
    pub fn authenticate(&self, certificate: &[u8]) -> Result<Principal, Refusal> {
        let certificate = Certificate::from_der(certificate).ok().ok_or(Refusal::NotEnrolled)?;
        self.by_key.get(&certificate.spki_sha256()).cloned().ok_or(Refusal::NotEnrolled)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether nobody is enrolled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P384: &[u8] = include_bytes!("../../tests/vectors/keys/p384.certificate.pem");
    const ED25519: &[u8] = include_bytes!("../../tests/vectors/keys/ed25519.certificate.pem");

    fn client(name: &str, spki_sha256: &str) -> EnrolledClient {
        EnrolledClient {
            name: name.to_owned(),
            spki_sha256: spki_sha256.to_owned(),
            project: "p1".to_owned(),
            roles: vec!["Admin".to_owned()],
        }
    }

    #[test]
    fn an_enrolled_key_is_its_client_and_no_other_is() {
        let certificate = Certificate::parse(P384).unwrap();
        let hash = hash::to_hex(&certificate.spki_sha256());
        let clients = Clients::new(&[client("db", &hash.to_uppercase())]).unwrap();
        let made = clients.authenticate(&certificate.der).unwrap();
        assert_eq!((made.name.as_deref(), made.project.0.as_str(), made.realm), (Some("db"), "p1", Realm::Certificate));
        assert_eq!(made.roles, ["admin", "member", "reader"]);
        let other = Certificate::parse(ED25519).unwrap();
        for unknown in [other.der.as_slice(), P384, &certificate.der[1..], &[]] {
            assert_eq!(clients.authenticate(unknown), Err(Refusal::NotEnrolled));
        }
        assert_eq!(Clients::default().authenticate(&certificate.der), Err(Refusal::NotEnrolled));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let key = "ab".repeat(32);
        let list = [
            client("a", &key),
            client("a", &"cd".repeat(32)),
            client("b", &key),
            client("c", "abc"),
            client(" ", &"ef".repeat(32)),
        ];
        assert_eq!(
            Clients::new(&list).unwrap_err(),
            [
                "client 2 `a`: another client has this name",
                "client 3 `b`: another client has this key",
                "client 4 `c`: spki_sha256 must have 64 hexadecimal digits",
                "client 5 ` `: the name must have 1 to 255 printable characters",
            ]
        );
    }

    #[test]
    fn a_section_without_roles_is_a_member() {
        let text = format!("name = \"a\"\nspki_sha256 = \"{}\"\nproject = \"p\"\n", "00".repeat(32));
        assert_eq!(toml::from_str::<EnrolledClient>(&text).unwrap().roles, ["member"]);
        assert!(toml::from_str::<EnrolledClient>(&format!("{text}colour = 1\n")).is_err());
    }
}
