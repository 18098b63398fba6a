//! Keys in PKCS#12 containers: Register takes a key out of one with its certificates, Get puts one in (KMIP 1.4 §4.11, 2.1
//! §6.1.19).
//!
//! The password is a Secret Data object that the key links to. Certificates become objects of their own, each linked to the one
//! above it; the container itself is not kept, because one with the same content can be made at any time.

use kmip_codec::{
    object::{Certificate, KeyBlock, KeyValue, ManagedObject as WireObject, PrivateKey},
    payload::GetResponse,
    secret::SecretBytes,
    spec::enums::{self, ResultReason},
    version::V2_0,
};

use super::wire;
use crate::{
    crypto::{self, pkcs12},
    domain::{
        Attribute, AttributeKind as K, AttributeValue as V, ManagedObject, ObjectType, Origin, SecretValue, State,
        UniqueIdentifier, attributes::link,
    },
    engine::{
        Error, ErrorKind,
        ops::{
            attributes::ReadAttributes,
            lifecycle::Destroy,
            register::{NewValue, Register},
            reveal::{Prefer, Reveal},
        },
    },
    kmip::{batch::Exchange, certificates, error::Refusal, values},
};

/// Secret Data Type *Password*.
const PASSWORD: u32 = 1;
/// Certificate Type *X.509*.
const X_509: u32 = 1;
/// The name of a key that has none (KMIP 1.4 §3.45).
const ALIAS: &str = "alias";
/// Certificates in a chain.
const CHAIN_MAX: usize = 16;

/// Whether the object is a private key in a container.
pub(super) fn is_container(object: &WireObject) -> bool {
    matches!(object, WireObject::PrivateKey(PrivateKey { key_block })
        if key_block.key_format_type == enums::KeyFormatType::PKCS_12 && key_block.key_wrapping_data.is_none())
}

/// What a container held, as objects.
pub(super) struct Opened {
    /// The key in PKCS#8.
    pub object: WireObject,
    /// The certificates that were registered beside it, the key's own first.
    pub certificates: Vec<UniqueIdentifier>,
}

/// Takes the key out of a container and registers its certificates. The attributes of the key get their link to the first one,
/// and the name that the container has for it.
pub(super) async fn open(
    on: &Exchange<'_>,
    object: WireObject,
    attributes: &mut Vec<Attribute>,
) -> Result<Opened, Refusal> {
    let WireObject::PrivateKey(PrivateKey { key_block }) = object else {
        return Err(Refusal::new(ResultReason::INVALID_FIELD, "a container holds a private key"));
    };
    let bytes = match key_block.key_value {
        // 1.4 has the container in the place of the key value, later versions in that of its material.
        Some(KeyValue::Wrapped(bytes)) => values::secret(bytes),
        Some(KeyValue::Plain { material: kmip_codec::object::KeyMaterial::Bytes(bytes), .. }) => values::secret(bytes),
        _ => return Err(Refusal::new(ResultReason::INVALID_FIELD, "the container is missing")),
    };
    let links = attributes.iter().filter_map(|attribute| match &attribute.value {
        V::Link { kind: link::PKCS12_PASSWORD, target } => Some(target.parse().ok()),
        _ => None,
    });
    let password = password(on, links.collect()).await?;
    let name = friendly_name(attributes.iter());
    let asked = name.clone();
    let opened = apart(on, move || pkcs12::open(&bytes, &password, asked.as_deref())).await?;
    if let (None, Some(found)) = (name, opened.friendly_name) {
        attributes.push(Attribute::new(K::Pkcs12FriendlyName, V::Text(found)));
    }
    let name = friendly_name(attributes.iter());
    let failed = |error: crypto::Error| on.refusal(&unreadable(error));
    let material = opened.key.to_pkcs8().map_err(failed)?;
    let key_block = KeyBlock {
        key_format_type: enums::KeyFormatType::PKCS_8,
        key_compression_type: None,
        key_value: Some(KeyValue::bytes(values::answered(&material))),
        key_wrapping_data: None,
        ..key_block
    };
    let mut certificates: Vec<UniqueIdentifier> = Vec::new();
    for (index, der) in opened.chain.into_iter().enumerate().rev() {
        let mut own = Vec::new();
        if let Some(above) = certificates.last() {
            own.push(to_certificate(*above));
        }
        if let (0, Some(name)) = (index, &name) {
            own.push(Attribute::new(K::Pkcs12FriendlyName, V::Text(name.clone())));
        }
        match register_certificate(on, der, own).await {
            Ok(made) => certificates.push(made),
            Err(refusal) => {
                discard(on, &certificates).await;
                return Err(refusal);
            }
        }
    }
    certificates.reverse();
    if let Some(first) = certificates.first() {
        attributes.push(to_certificate(*first));
    }
    Ok(Opened { object: WireObject::PrivateKey(PrivateKey { key_block }), certificates })
}

/// Takes registered certificates back when the key that they came with is refused.
pub(super) async fn discard(on: &Exchange<'_>, certificates: &[UniqueIdentifier]) {
    for object in certificates {
        if let Err(error) = on.execute(Destroy { object: *object }).await {
            tracing::warn!(%object, %error, "a certificate of a container whose key was refused is left behind");
        }
    }
}

/// Puts a private key, or a certificate, into a container with its chain.
pub(super) async fn get(on: &Exchange<'_>, object: UniqueIdentifier) -> Result<GetResponse, Refusal> {
    let record = on.run(ReadAttributes { object, digest: false }).await?.object;
    if !matches!(record.object_type, ObjectType::PrivateKey | ObjectType::Certificate) {
        let error = Error::new(ErrorKind::FormatUnsupported, "containers hold a private key or a certificate");
        return Err(on.refusal(&error));
    }
    let password = password(on, record.links(link::PKCS12_PASSWORD).map(Some).collect()).await?;
    let chain = chain(on, &record).await?;
    let name = match record.attributes.value(&K::Pkcs12FriendlyName) {
        Some(V::Text(name)) => name.clone(),
        _ => ALIAS.to_owned(),
    };
    let revealed = on.run(Reveal { object, prefer: Prefer::Canonical }).await?;
    let key = match record.object_type {
        ObjectType::PrivateKey => {
            let key = crypto::PrivateKey::from_pkcs8(&revealed.value).map_err(|error| {
                on.refusal(&Error::new(ErrorKind::FormatUnsupported, "the key is no PKCS#8 key").because(error))
            })?;
            Some(key)
        }
        _ => None,
    };
    let random = on.random(pkcs12::RANDOM_BYTES);
    let container = apart(on, move || {
        let random = random.as_slice().try_into().map_err(|_cannot| crypto::Error::Failed("random bytes"))?;
        pkcs12::build(key.as_ref(), &chain, &name, &password, crypto::keys::pbes2::ROUNDS, random)
    })
    .await?;
    let bytes: SecretBytes = values::answered(&container);
    let value = match record.object_type {
        ObjectType::Certificate => WireObject::Certificate(Certificate {
            certificate_type: enums::CertificateType::X_509,
            certificate_value: bytes.expose_secret().to_vec(),
        }),
        _ => WireObject::PrivateKey(PrivateKey {
            key_block: KeyBlock {
                key_format_type: enums::KeyFormatType::PKCS_12,
                key_compression_type: None,
                key_value: Some(if on.version < V2_0 { KeyValue::Wrapped(bytes) } else { KeyValue::bytes(bytes) }),
                cryptographic_algorithm: None,
                cryptographic_length: None,
                key_wrapping_data: None,
            },
        }),
    };
    Ok(GetResponse {
        object_type: enums::ObjectType::from_number(record.object_type.number()),
        unique_identifier: wire(object),
        object: value,
    })
}

/// The password: of one object, which is an active password.
async fn password(on: &Exchange<'_>, links: Vec<Option<UniqueIdentifier>>) -> Result<SecretValue, Refusal> {
    let bad = |text| {
        let reason = if on.version < V2_0 { ResultReason::INVALID_FIELD } else { ResultReason::BAD_PASSWORD };
        Refusal::new(reason, text)
    };
    let [Some(object)] = links.as_slice() else {
        return Err(bad("a container needs one PKCS#12 Password Link"));
    };
    let no_object = |_refused| bad("the PKCS#12 Password Link names no password");
    let record = on.run(ReadAttributes { object: *object, digest: false }).await.map_err(no_object)?.object;
    if record.object_type != ObjectType::SecretData || record.subtype != Some(PASSWORD) {
        return Err(bad("the PKCS#12 Password Link names no password"));
    }
    if record.state(on.now()) != State::Active {
        // The published case of 1.4; 2.0 names states here, although it does not elsewhere (contract §9).
        let reason = match on.version < V2_0 {
            true => ResultReason::PERMISSION_DENIED,
            false => ResultReason::WRONG_KEY_LIFECYCLE_STATE,
        };
        return Err(Refusal::new(reason, "the password is not active"));
    }
    Ok(on.run(Reveal { object: *object, prefer: Prefer::AsGiven }).await?.value)
}

/// The certificates above a key, or a certificate and those above it.
async fn chain(on: &Exchange<'_>, of: &ManagedObject) -> Result<Vec<Vec<u8>>, Refusal> {
    let mut next = match of.object_type {
        ObjectType::Certificate => Some(of.identifier),
        _ => match above(of)? {
            Some(certificate) => Some(certificate),
            None => match of.links(link::PUBLIC_KEY).next() {
                Some(object) => above(&on.run(ReadAttributes { object, digest: false }).await?.object)?,
                None => None,
            },
        },
    };
    let (mut seen, mut chain) = (Vec::new(), Vec::new());
    while let Some(object) = next {
        if seen.contains(&object) || seen.len() >= CHAIN_MAX {
            return Err(Refusal::new(ResultReason::INVALID_FIELD, "the chain of certificates has no end"));
        }
        let revealed = on.run(Reveal { object, prefer: Prefer::AsGiven }).await?;
        let certificate = crypto::Certificate::parse_secret(&revealed.value);
        let certificate = certificate.map_err(|error| on.refusal(&unreadable(error)))?;
        seen.push(object);
        chain.push(certificate.der);
        next = above(&revealed.object)?.filter(|above| *above != object);
    }
    Ok(chain)
}

/// The next certificate. More than one would be more than one chain, which is an error.
fn above(of: &ManagedObject) -> Result<Option<UniqueIdentifier>, Refusal> {
    for kind in [link::PKCS12_CERTIFICATE, link::CERTIFICATE] {
        let mut links = of.links(kind);
        match (links.next(), links.next()) {
            (None, _) => {}
            (found, None) => return Ok(found),
            _ => return Err(Refusal::new(ResultReason::INVALID_FIELD, "there is more than one chain of certificates")),
        }
    }
    Ok(None)
}

async fn register_certificate(
    on: &Exchange<'_>,
    der: Vec<u8>,
    attributes: Vec<Attribute>,
) -> Result<UniqueIdentifier, Refusal> {
    let derived = certificates::certificate_attributes(&der);
    let value = NewValue { key: None, bytes: Some(SecretValue::new(der)) };
    let made = on.run(Register {
        identifier: None,
        object_type: ObjectType::Certificate,
        subtype: Some(X_509),
        origin: Origin::Kmip,
        format: None,
        value: Some(value),
        derived,
        attributes,
        secret: on.facet(),
    });
    Ok(made.await?.identifier)
}

fn to_certificate(certificate: UniqueIdentifier) -> Attribute {
    Attribute::new(K::Link, V::Link { kind: link::PKCS12_CERTIFICATE, target: certificate.to_string() })
}

fn friendly_name<'a>(mut attributes: impl Iterator<Item = &'a Attribute>) -> Option<String> {
    attributes.find_map(|attribute| match (&attribute.kind, &attribute.value) {
        (K::Pkcs12FriendlyName, V::Text(name)) => Some(name.clone()),
        _ => None,
    })
}

/// Runs what takes the time of many hashes on a thread of its own.
async fn apart<T: Send + 'static>(
    on: &Exchange<'_>,
    work: impl FnOnce() -> Result<T, crypto::Error> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| on.refusal(&Error::new(ErrorKind::Internal, "PKCS#12").because(error)))?;
    done.map_err(|error| match error {
        crypto::Error::WrongPassphrase if on.version >= V2_0 => {
            Refusal::new(ResultReason::BAD_PASSWORD, "the password does not open the container")
        }
        error => on.refusal(&unreadable(error)),
    })
}

fn unreadable(error: crypto::Error) -> Error {
    let (kind, text) = match error {
        crypto::Error::WrongPassphrase => (ErrorKind::Cryptographic, "the password does not open the container"),
        crypto::Error::Unsupported(_) => (ErrorKind::FormatUnsupported, "the container has a part that is not known"),
        crypto::Error::Failed(_) => (ErrorKind::Internal, "the container cannot be made"),
        _ => (ErrorKind::InvalidField, "the container cannot be read"),
    };
    Error::new(kind, text).because(error)
}
