//! Certify, Re-certify, Validate (KMIP 2.1 §6.1.6, .45, .57).
//!
//! The issuer is a key pair of the gateway's own inside the HSM, made when it is wanted for the first time; its name is the
//! operator's. The gateway builds what is signed, the HSM signs it.

use super::{
    register::{NewValue, keep},
    succession::{self, Names},
    template,
};
use crate::{
    authz::Permitted,
    crypto::{Certificate, issue},
    domain::{
        Attribute, Lifecycle, ManagedObject, ObjectType, OperationKind, Origin, SecretValue, State, Timestamp,
        UniqueIdentifier, UsageMask, attributes::link, secret::SecretFacet,
    },
    engine::{
        Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{Guard, HsmRequest, Versioned, Write},
        uses::Use,
    },
};

/// What a certificate says of itself, as attributes: the front end's encoding of names.
pub type Describe = fn(&[u8]) -> Vec<Attribute>;

/// Makes a certificate for a public key, or for what a stored request asks for.
#[derive(Debug)]
pub struct Certify {
    /// The public key, or a certificate request.
    pub object: UniqueIdentifier,
    /// A PKCS#10 request, DER or PEM.
    pub request: Option<Vec<u8>>,
    /// The subject where no request names it.
    pub subject: Option<String>,
    /// Attributes of the certificate.
    pub attributes: Vec<Attribute>,
    /// What only Barbican's side keeps; whose it is.
    pub secret: SecretFacet,
    /// How the certificate describes itself.
    pub describe: Describe,
}

impl Operation for Certify {
    const KIND: OperationKind = OperationKind::Certify;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        let Versioned { record: mut on, revision } = on.into_object()?;
        let certified = on.identifier;
        let value = public_value(tools, &on).await?;
        let request = match (on.object_type, self.request) {
            (ObjectType::CertificateRequest, None) => Some(parsed(&value)?),
            (ObjectType::PublicKey, request) => request.as_deref().map(parsed).transpose()?,
            _ => return Err(Error::new(ErrorKind::WrongObjectType, "public keys and stored requests are certified")),
        };
        let spki = match &request {
            Some(request) => request.spki.clone(),
            None => spki_of(&value)?,
        };
        if on.object_type == ObjectType::PublicKey && request.is_some() && spki_of(&value)? != spki {
            return Err(Error::new(ErrorKind::InvalidField, "the request is for another public key"));
        }
        let subject = match (&request, self.subject) {
            (Some(request), _) => request.subject.clone(),
            (None, Some(text)) => issue::name(&text)
                .map_err(|error| Error::new(ErrorKind::InvalidField, "the subject is no name").because(error))?,
            (None, None) => issue::name(&format!("CN={}", on.identifier))
                .map_err(|error| Error::new(ErrorKind::Internal, "a name from an identifier").because(error))?,
        };
        let now = tools.now();
        let mut object = ManagedObject {
            identifier: tools.identifier(),
            object_type: ObjectType::Certificate,
            project: tools.principal().project.clone(),
            creator: tools.principal().name.clone(),
            origin: Origin::Kmip,
            value: None,
            format: None,
            subtype: Some(crate::crypto::certificate::TYPE_X_509),
            lifecycle: Lifecycle::new(now),
            attributes: Default::default(),
            secret: self.secret,
        };
        template::apply(&mut object, self.attributes)?;
        let wanted = Wanted { subject, spki, alternative_names: request.and_then(|request| request.alternative_names) };
        let der = signed(tools, &object, wanted).await?;
        finish(tools, &mut object, &der, self.describe);
        let mut also = Vec::new();
        if on.object_type == ObjectType::PublicKey {
            object.link(link::PUBLIC_KEY, on.identifier)?;
            on.link_once(link::CERTIFICATE, object.identifier)?;
            on.lifecycle.last_change = now;
            also.push(Write::PutObject(Box::new(on), Guard::At(revision)));
        }
        let made = keep(tools, object, Some(held(der)), also).await?;
        tools.used(certified, Use::Certify);
        Ok(made)
    }
}

/// Renews a certificate for the same public key.
#[derive(Debug)]
pub struct Recertify {
    /// Which certificate.
    pub object: UniqueIdentifier,
    /// A PKCS#10 request, DER or PEM.
    pub request: Option<Vec<u8>>,
    /// Seconds from now to the new certificate's activation.
    pub offset: Option<u32>,
    /// Attributes of the new certificate beside those of the old one.
    pub attributes: Vec<Attribute>,
    /// How the certificate describes itself.
    pub describe: Describe,
}

impl Operation for Recertify {
    const KIND: OperationKind = OperationKind::Certify;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Linked(self.object, &[link::PUBLIC_KEY])
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        let mut objects = on.into_inner().objects.into_iter();
        let Some(Versioned { record: mut old, revision }) = objects.next() else { return Err(Error::not_found()) };
        let key = objects.next();
        succession::replaceable(tools, &old)?;
        if old.object_type != ObjectType::Certificate {
            return Err(Error::new(ErrorKind::WrongObjectType, "only certificates are renewed"));
        }
        let value = public_value(tools, &old).await?;
        let known = Certificate::parse(&value)
            .map_err(|error| Error::new(ErrorKind::InvalidField, "the certificate cannot be read").because(error))?;
        let request = self.request.as_deref().map(parsed).transpose()?;
        if request.as_ref().is_some_and(|request| request.spki != known.spki) {
            return Err(Error::new(ErrorKind::InvalidField, "the request is for another public key"));
        }
        let id = tools.identifier();
        let mut new = succession::successor(tools, &old, id, self.attributes, self.offset, Names::GivenFirst)?;
        let (subject, alternative_names) = match request {
            Some(request) => (request.subject, request.alternative_names),
            None => (known.subject.der, None),
        };
        let der = signed(tools, &new, Wanted { subject, spki: known.spki, alternative_names }).await?;
        finish(tools, &mut new, &der, self.describe);
        let now = tools.now();
        let mut also = Vec::with_capacity(2);
        if let Some(Versioned { record: mut key, revision }) = key {
            new.link(link::PUBLIC_KEY, key.identifier)?;
            key.link_once(link::CERTIFICATE, id)?;
            key.lifecycle.last_change = now;
            also.push(Write::PutObject(Box::new(key), Guard::At(revision)));
        }
        new.link(link::REPLACED, old.identifier)?;
        succession::replaced(&mut old, id, now)?;
        also.push(Write::PutObject(Box::new(old), Guard::At(revision)));
        keep(tools, new, Some(held(der)), also).await
    }
}

/// Whose certificate, and for which key.
struct Wanted {
    subject: Vec<u8>,
    spki: Vec<u8>,
    alternative_names: Option<Vec<u8>>,
}

/// The certificate, valid as long as its record is active, or as the operator says.
async fn signed(tools: &Tools, object: &ManagedObject, wanted: Wanted) -> Result<Vec<u8>, Error> {
    let settings = tools.settings();
    let internal = |error: crate::crypto::Error| Error::new(ErrorKind::Internal, "a certificate").because(error);
    let issuer = issue::name(&settings.certificate_issuer).map_err(internal)?;
    let issuer_spki = tools.hsm_bytes(HsmRequest::CertifierKey).await?;
    let not_before = object.lifecycle.activation.unwrap_or_else(|| tools.now()).to_seconds();
    let not_after = object.lifecycle.deactivation;
    let not_after = not_after.unwrap_or_else(|| not_before.plus_seconds(i64::from(settings.certificate_days) * 86_400));
    let mut serial = [0; 16];
    serial.copy_from_slice(&tools.identifier().bytes());
    let content = issue::Content {
        serial,
        issuer,
        issuer_spki,
        not_before,
        not_after,
        subject: wanted.subject,
        spki: wanted.spki,
        alternative_names: wanted.alternative_names,
        encrypts: object.usage().intersects(UsageMask::ENCRYPT.with(UsageMask::WRAP)),
    };
    let body = content
        .body()
        .map_err(|error| Error::new(ErrorKind::InvalidField, "the dates do not fit a certificate").because(error))?;
    let signature = tools.hsm_bytes(HsmRequest::CertifierSign { data: body.clone() }).await?;
    Ok(issue::certificate(&body, &signature))
}

/// What the certificate says of itself, and what the server says of every object.
fn finish(tools: &Tools, object: &mut ManagedObject, der: &[u8], describe: Describe) {
    for attribute in describe(der) {
        let known = object.attributes.of(&attribute.kind).any(|known| known.index == attribute.index);
        if !known && object.attributes.add(attribute.kind, attribute.value).is_err() {
            tracing::warn!("a certificate has more name fields than a record takes");
        }
    }
    template::server_attributes(object, tools.settings(), true);
}

fn held(der: Vec<u8>) -> NewValue {
    NewValue { key: None, bytes: Some(SecretValue::new(der)) }
}

fn parsed(request: &[u8]) -> Result<issue::Request, Error> {
    issue::Request::parse(request).map_err(|error| {
        let kind = match error {
            crate::crypto::Error::Inconsistent(_) => ErrorKind::Cryptographic,
            _ => ErrorKind::InvalidField,
        };
        Error::new(kind, "the certificate request is not accepted").because(error)
    })
}

fn spki_of(value: &[u8]) -> Result<Vec<u8>, Error> {
    crate::crypto::PublicKey::parse(value)
        .and_then(|key| key.to_spki())
        .map_err(|error| Error::new(ErrorKind::Cryptographic, "the public key cannot be certified").because(error))
}

/// The bytes of an object that is no secret.
#[expect(clippy::disallowed_methods, reason = "public keys, requests and certificates are no secrets")]
async fn public_value(tools: &Tools, object: &ManagedObject) -> Result<Vec<u8>, Error> {
    let reference = tools.reference(object)?.clone();
    let request = match reference.key {
        Some(_) => HsmRequest::RevealKey { reference },
        None => HsmRequest::RevealBytes { reference },
    };
    Ok(tools.hsm_value(request).await?.expose_secret().to_vec())
}

/// Whether a chain of certificates holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// Every link holds up to a certificate that signs itself, or to this gateway's own issuer.
    Valid,
    /// A signature or date does not hold, or a certificate has been revoked.
    Invalid,
    /// The chain ends at an issuer that is not here.
    Unknown,
}

/// Checks a chain of certificates, given or stored.
#[derive(Debug)]
pub struct Validate {
    /// Stored certificates.
    pub objects: Vec<UniqueIdentifier>,
    /// Certificates of the request, DER.
    pub certificates: Vec<Vec<u8>>,
    /// At which time; now when absent.
    pub at: Option<Timestamp>,
}

/// Longest chain.
const CHAIN_MAX: usize = 32;

impl Operation for Validate {
    const KIND: OperationKind = OperationKind::Validate;
    type Output = Validity;

    fn target(&self) -> Target {
        Target::Objects(self.objects.clone())
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Validity, Error> {
        let unreadable = |error: crate::crypto::Error| {
            Error::new(ErrorKind::InvalidField, "a certificate cannot be read").because(error)
        };
        let mut chain = Vec::new();
        let mut revoked = false;
        for found in on.into_inner().objects {
            if found.record.object_type != ObjectType::Certificate {
                return Err(Error::new(ErrorKind::WrongObjectType, "certificates are validated"));
            }
            let value = public_value(tools, &found.record).await?;
            let state = found.record.state(tools.now());
            revoked |= matches!(state, State::Deactivated | State::Compromised);
            chain.push(Certificate::parse(&value).map_err(unreadable)?);
        }
        for der in &self.certificates {
            chain.push(Certificate::parse(der).map_err(unreadable)?);
        }
        if chain.is_empty() || chain.len() > CHAIN_MAX {
            return Err(Error::new(ErrorKind::InvalidField, "a chain has one to 32 certificates"));
        }
        if revoked {
            return Ok(Validity::Invalid);
        }
        let at = self.at.unwrap_or_else(|| tools.now());
        let own = Own {
            name: issue::name(&tools.settings().certificate_issuer).map_err(unreadable)?,
            spki: tools.hsm_bytes(HsmRequest::CertifierKey).await?,
        };
        Ok(validate(chain, &own, at))
    }
}

/// This gateway's issuer.
struct Own {
    name: Vec<u8>,
    spki: Vec<u8>,
}

/// Walks from the leaf, which signs no other, to the root; every certificate of the list must be on the way.
fn validate(mut rest: Vec<Certificate>, own: &Own, at: Timestamp) -> Validity {
    let signs_itself = |it: &Certificate| it.subject.der == it.issuer.der;
    let leaf =
        rest.iter().position(|it| !rest.iter().any(|other| other.der != it.der && other.issuer.der == it.subject.der));
    let Some(leaf) = leaf else { return Validity::Invalid };
    let mut current = rest.swap_remove(leaf);
    loop {
        if at.seconds() < current.not_before.seconds() || current.not_after.seconds() < at.seconds() {
            return Validity::Invalid;
        }
        if signs_itself(&current) {
            let holds = issue::is_signed_by(&current, &current.spki) == Ok(true);
            return if holds && rest.is_empty() { Validity::Valid } else { Validity::Invalid };
        }
        if let Some(next) = rest.iter().position(|it| it.subject.der == current.issuer.der) {
            let issuer = rest.swap_remove(next);
            let holds = issue::is_signed_by(&current, &issuer.spki) == Ok(true);
            if !holds || issue::is_authority(&issuer) != Ok(true) {
                return Validity::Invalid;
            }
            current = issuer;
            continue;
        }
        if !rest.is_empty() {
            return Validity::Invalid;
        }
        return match current.issuer.der == own.name {
            true if issue::is_signed_by(&current, &own.spki) == Ok(true) => Validity::Valid,
            true => Validity::Invalid,
            false => Validity::Unknown,
        };
    }
}
