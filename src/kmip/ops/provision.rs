//! Re-Provision: a client trades the certificate that it connects with for another (KMIP 2.1 §6.1.48).
//!
//! The new one is certified from a request, given whole, or made here with a key pair inside the HSM, which the client then
//! reads in the same message. It becomes a managed object of the client, and from the answer on the old one lets nobody in.
//! Only the client itself may do so, not a user or ticket behind it. Certificates and the enrolment belong to the
//! application, which the front end asks through [`Provision`].

use std::sync::Arc;

use kmip_codec::{
    payload::{ReProvisionRequest, ReProvisionResponse},
    spec::enums::{CertificateRequestType, CertificateType, Operation, ResultReason},
};

use super::wire;
use crate::{
    crypto::{Certificate, issue},
    domain::{
        Attribute, AttributeKind as K, AttributeValue as V, CryptographicAlgorithm, ObjectType, OperationKind, Origin,
        Principal, SecretValue, UniqueIdentifier, UsageMask, algorithm::RecommendedCurve, attributes::link,
    },
    engine::{
        self, Error, ErrorKind, Permitted, Target, Targets, Tools,
        ops::{
            attributes::{AttributeChange, ChangeAttribute},
            create_key_pair::CreateKeyPair,
            lifecycle::Destroy,
            register::{NewValue, Register},
            reveal::{Prefer, Reveal},
        },
    },
    kmip::{batch::Exchange, certificates, error::Refusal, tickets::same_account},
};

/// Who issues certificates to clients and knows which are enrolled. Both methods may read and write files.
pub trait Provision: Send + Sync {
    /// A certificate of the clients' CA for this public key, in DER.
    ///
    /// # Errors
    ///
    /// `UnsupportedFeature` where the key of the CA is not here, `Cryptographic` for a public key that it does not certify.
    fn issue(&self, client: &Principal, spki: &[u8]) -> Result<Vec<u8>, Error>;

    /// Enrols the certificate's key in the place of the client's, whose connections end with the message that they are at.
    ///
    /// # Errors
    ///
    /// `InvalidField` for a certificate that the listener would not let in or a key that somebody has, `Denied` for a client
    /// whose own certificate has expired, `Unavailable` when it cannot be written.
    fn replace(&self, client: &Principal, certificate: &[u8]) -> Result<(), Error>;
}

/// Enrols a certificate that is a managed object by now.
struct Replace {
    object: UniqueIdentifier,
    provision: Arc<dyn Provision>,
    certificate: Vec<u8>,
}

impl engine::Operation for Replace {
    const KIND: OperationKind = OperationKind::ReProvision;
    type Output = ();

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, _on: Permitted<Targets>, tools: &Tools) -> Result<(), Error> {
        let client = tools.principal().clone();
        apart(move || self.provision.replace(&client, &self.certificate)).await
    }
}

/// Runs what reads and writes files on a thread of its own.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::new(ErrorKind::Internal, "the enrolment").because(error)))
}

/// What a new credential is made of.
struct Made {
    certificate: Vec<u8>,
    /// Links of the certificate to the pair that was made for it.
    links: Vec<Attribute>,
    /// The private and the public key that were made for it.
    pair: Option<[UniqueIdentifier; 2]>,
}

pub(in crate::kmip) async fn re_provision(
    on: &mut Exchange<'_>,
    request: ReProvisionRequest,
) -> Result<ReProvisionResponse, Refusal> {
    let Some(provision) = on.service.provision.clone() else {
        return Err(Refusal::new(ResultReason::OPERATION_NOT_SUPPORTED, "the operation is not offered"));
    };
    if !same_account(on.principal(), on.client()) || on.has_rights() {
        let text = "a client gets a new certificate for itself only";
        return Err(Refusal::new(ResultReason::PERMISSION_DENIED, text));
    }
    let made = match (request.certificate_request, request.certificate) {
        (Some(_), Some(_)) => {
            let text = "a certificate and a request for one exclude each other";
            return Err(Refusal::new(ResultReason::INVALID_FIELD, text));
        }
        (Some(request), None) => {
            let known = [CertificateRequestType::PKCS_10, CertificateRequestType::PEM];
            if !known.contains(&request.certificate_request_type) {
                let text = "certificate requests are PKCS#10, in DER or PEM";
                return Err(Refusal::new(ResultReason::FEATURE_NOT_SUPPORTED, text));
            }
            let parsed = issue::Request::parse(&request.certificate_request_value).map_err(|error| {
                let refused = Error::new(ErrorKind::Cryptographic, "the certificate request is not accepted");
                on.refusal(&refused.because(error))
            })?;
            let certificate = issued(on, &provision, parsed.spki).await?;
            Made { certificate, links: Vec::new(), pair: None }
        }
        (None, Some(given)) => {
            if given.certificate_type != CertificateType::X_509 {
                return Err(Refusal::new(ResultReason::INVALID_FIELD, "clients have X.509 certificates"));
            }
            Made { certificate: given.certificate_value, links: Vec::new(), pair: None }
        }
        (None, None) => with_pair(on, &provision).await?,
    };
    let pair = made.pair;
    match enrolled(on, provision, made).await {
        Ok(certificate) => {
            let answer = pair.map_or(certificate, |[private, _]| private);
            // Later items of the message reach the certificate of a new pair, too: it is the second result.
            let second = (answer != certificate).then_some(certificate);
            let results: Vec<UniqueIdentifier> = std::iter::once(answer).chain(second).collect();
            on.made(Operation::RE_PROVISION, &results);
            Ok(ReProvisionResponse { unique_identifier: Some(wire(answer)) })
        }
        Err(refusal) => {
            discard(on, pair.as_ref().map_or(&[], <[_; 2]>::as_slice)).await;
            Err(refusal)
        }
    }
}

async fn issued(on: &Exchange<'_>, provision: &Arc<dyn Provision>, spki: Vec<u8>) -> Result<Vec<u8>, Refusal> {
    let (provision, client) = (Arc::clone(provision), on.client().clone());
    apart(move || provision.issue(&client, &spki)).await.map_err(|error| on.refusal(&error))
}

/// A pair inside the HSM, and a certificate for it.
async fn with_pair(on: &Exchange<'_>, provision: &Arc<dyn Provision>) -> Result<Made, Refusal> {
    let usage = |mask: UsageMask| vec![Attribute::new(K::CryptographicUsageMask, V::Integer(mask.0.cast_signed()))];
    let pair = on
        .run(CreateKeyPair {
            identifiers: None,
            origin: Origin::Kmip,
            algorithm: CryptographicAlgorithm::EC,
            length_bits: None,
            curve: Some(RecommendedCurve::P_256),
            private_attributes: usage(UsageMask::SIGN),
            public_attributes: usage(UsageMask::VERIFY),
            secrets: (on.facet(), on.facet()),
        })
        .await?;
    let ids = [pair.private.identifier, pair.public.identifier];
    match certificate_of(on, provision, pair.public.identifier).await {
        Ok(certificate) => {
            let links = [(link::PRIVATE_KEY, ids[0]), (link::PUBLIC_KEY, ids[1])].map(to);
            Ok(Made { certificate, links: links.into(), pair: Some(ids) })
        }
        Err(refusal) => {
            discard(on, &ids).await;
            Err(refusal)
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a public key is no secret")]
async fn certificate_of(
    on: &Exchange<'_>,
    provision: &Arc<dyn Provision>,
    public: UniqueIdentifier,
) -> Result<Vec<u8>, Refusal> {
    let spki = on.run(Reveal { object: public, prefer: Prefer::Canonical }).await?.value;
    issued(on, provision, spki.expose_secret().to_vec()).await
}

fn to((kind, target): (u32, UniqueIdentifier)) -> Attribute {
    Attribute::new(K::Link, V::Link { kind, target: target.to_string() })
}

/// Keeps the certificate as an object and enrols it.
async fn enrolled(on: &Exchange<'_>, provision: Arc<dyn Provision>, made: Made) -> Result<UniqueIdentifier, Refusal> {
    let unreadable = |error: crate::crypto::Error| {
        on.refusal(&Error::new(ErrorKind::InvalidField, "the certificate cannot be read").because(error))
    };
    let certificate = Certificate::from_der(&made.certificate).map_err(unreadable)?.der;
    let object = on
        .run(Register {
            identifier: None,
            object_type: ObjectType::Certificate,
            subtype: Some(crate::crypto::certificate::TYPE_X_509),
            origin: Origin::Kmip,
            format: None,
            value: Some(NewValue { key: None, bytes: Some(SecretValue::new(certificate.clone())) }),
            derived: certificates::certificate_attributes(&certificate),
            attributes: made.links,
            secret: on.facet(),
        })
        .await?
        .identifier;
    let rest = async {
        for key in made.pair.iter().flatten() {
            let change = AttributeChange::Add(to((link::CERTIFICATE, object)));
            on.run(ChangeAttribute { object: *key, change }).await?;
        }
        on.run(Replace { object, provision, certificate }).await
    };
    match rest.await {
        Ok(()) => Ok(object),
        Err(refusal) => {
            discard(on, &[object]).await;
            Err(refusal)
        }
    }
}

/// Destroys what was made for a credential that did not come about.
async fn discard(on: &Exchange<'_>, objects: &[UniqueIdentifier]) {
    for object in objects {
        if let Err(error) = on.execute(Destroy { object: *object }).await {
            tracing::warn!(%object, %error, "an object of a credential that was refused is left behind");
        }
    }
}
