//! Other certificates for enrolled clients: what Re-Provision asks of the files that `portcullis client` writes.
//!
//! The old key stays in the file, revoked, so that nobody enrols it again. The file is written first: if that fails, nothing
//! has changed, and a gateway that is started again knows the same clients.

use std::sync::Arc;

use super::{
    enrol::change,
    enrolled::{Enrolled, Entry, Register, file_of},
    problem::Problem,
    system::SystemClock,
};
use crate::{
    config::Config,
    crypto::{Certificate, hash::to_hex, issue},
    domain::Principal,
    engine::{Error, ErrorKind, ports::Clock as _},
    kmip::Provision,
    tls,
};

/// Days that a certificate is valid which the gateway issues to a client.
const DAYS: u32 = 365;
/// A key that somebody has or had: not to be enrolled.
const TAKEN: &str = "PC-CLIENT-EXISTS";

/// Issues and enrols.
pub(super) struct Reissue {
    enrolled: Arc<Enrolled>,
    config: Arc<Config>,
}

fn refused(text: &'static str) -> Error {
    Error::new(ErrorKind::InvalidField, text)
}

impl Reissue {
    pub(super) fn new(enrolled: Arc<Enrolled>, config: Arc<Config>) -> Self {
        Self { enrolled, config }
    }

    /// Whether the listener would let the certificate in: signed by one of its CAs, and valid now.
    fn is_let_in(&self, certificate: &Certificate) -> Result<(), Error> {
        if !is_current(certificate) {
            return Err(refused("the certificate is not valid now"));
        }
        // No listener takes the certificate of a CA for that of a client.
        if issue::is_authority(certificate) != Ok(false) {
            return Err(refused("the certificate is that of a CA"));
        }
        let authorities = tls::certificates(&self.config.kmip.client_ca).map_err(|error| {
            Error::new(ErrorKind::Unavailable, "the CAs of the clients cannot be read").because(error)
        })?;
        let signs = |der: &[u8]| {
            Certificate::from_der(der).is_ok_and(|it| issue::is_signed_by(certificate, &it.spki) == Ok(true))
        };
        match authorities.iter().any(|der| signs(der)) {
            true => Ok(()),
            false => Err(refused("the certificate is not of a CA of the clients")),
        }
    }
}

fn is_current(certificate: &Certificate) -> bool {
    let now = SystemClock.now().seconds();
    (certificate.not_before.seconds()..=certificate.not_after.seconds()).contains(&now)
}

impl Provision for Reissue {
    fn issue(&self, client: &Principal, spki: &[u8]) -> Result<Vec<u8>, Error> {
        let kmip = &self.config.kmip;
        let key = kmip.client_ca_key.as_ref().ok_or_else(|| {
            Error::new(
                ErrorKind::UnsupportedFeature,
                "the gateway issues no certificates: kmip.client_ca_key is not set",
            )
        })?;
        let name = client.name.as_deref().unwrap_or_default();
        tls::certify_client(&kmip.client_ca, key, spki, name, DAYS, SystemClock.now().seconds())
            .map_err(|error| Error::new(ErrorKind::Cryptographic, "no certificate for this key").because(error))
    }

    fn replace(&self, client: &Principal, certificate: &[u8]) -> Result<(), Error> {
        let certificate = Certificate::from_der(certificate)
            .map_err(|error| refused("the certificate cannot be read").because(error))?;
        self.is_let_in(&certificate)?;
        let connected = self.enrolled.certificates(client);
        if !connected.iter().any(|der| Certificate::from_der(der).is_ok_and(|it| is_current(&it))) {
            return Err(Error::new(ErrorKind::Denied, "the client's own certificate has expired"));
        }
        let name = client.name.as_deref().unwrap_or_default();
        let key = to_hex(&certificate.spki_sha256());
        let config = &self.config;
        let clients = change(config, |register| {
            traded(register, config, name, &key)?;
            register.with(config)
        });
        let clients = clients.map_err(|problem| match problem.code {
            TAKEN => refused("the key of the certificate is, or was, a client's already").because(problem),
            _ => Error::new(ErrorKind::Unavailable, "the clients cannot be written").because(problem),
        })?;
        self.enrolled.retire(clients);
        tracing::info!(client = name, spki_sha256 = key, "a client has another certificate");
        Ok(())
    }
}

/// Puts the new key in the place of the client's own.
fn traded(register: &mut Register, config: &Config, name: &str, key: &str) -> Result<(), Problem> {
    let configured = config.kmip.clients.iter().map(|client| to_hex(&client.spki_sha256.0));
    let known = register.clients.iter().map(|entry| entry.spki_sha256.clone()).chain(configured);
    if known.into_iter().any(|other| other.eq_ignore_ascii_case(key)) {
        return Err(Problem::new(TAKEN, "the key is a client's", "bring another"));
    }
    let revoked: Vec<String> =
        register.clients.iter().filter(|it| it.revoked).map(|it| it.spki_sha256.to_ascii_lowercase()).collect();
    let enrolled = register.clients.iter().position(|entry| entry.name == name && !entry.revoked);
    let own = match enrolled.and_then(|at| register.clients.get_mut(at)) {
        Some(entry) => {
            let own = entry.clone();
            entry.revoked = true;
            own
        }
        None => {
            let mut configured = config.kmip.clients.iter();
            let client = configured
                .find(|it| it.name == name && !revoked.contains(&to_hex(&it.spki_sha256.0)))
                .ok_or_else(|| {
                    let file = file_of(config);
                    Problem::new("PC-CLIENT-UNKNOWN", format!("no client is called {name}"), file.display().to_string())
                })?;
            let own = Entry {
                name: client.name.clone(),
                spki_sha256: to_hex(&client.spki_sha256.0),
                project: client.project.clone(),
                roles: client.roles.clone(),
                revoked: false,
            };
            register.clients.push(Entry { revoked: true, ..own.clone() });
            own
        }
    };
    register.clients.push(Entry { spki_sha256: key.to_owned(), ..own });
    Ok(())
}
