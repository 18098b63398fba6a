//! Takes keys that stand on a token already into a project, where they are.
//!
//! The token's side, giving them the names under which the gateway finds its objects, is the caller's: it happens before the
//! record is written. A crash between the two leaves keys without a record, which `hsm fsck` names and another adoption takes
//! in; the other order could leave a record whose repair destroys a key that nobody can make again.

use super::template;
use crate::{
    authz::Permitted,
    domain::{
        AttributeKind, AttributeValue, CryptographicAlgorithm, Lifecycle, ManagedObject, ObjectType, OperationKind,
        Origin, Timestamp, TokenReference, UniqueIdentifier, UsageMask,
        algorithm::{HashingAlgorithm, KeyFormatType},
        attributes::link,
        project::Resource,
        reference::KeyKind,
        secret::SecretFacet,
    },
    engine::{
        Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{Answer, Guard, HsmError, HsmRequest, Order, Scope, Write},
    },
};

/// A key as its token describes it.
#[derive(Clone, Debug)]
pub struct AdoptedKey {
    /// Its identifier from now on.
    pub identifier: UniqueIdentifier,
    /// What it is.
    pub object_type: ObjectType,
    /// Of which kind; `None` for secret data, which is held and not used.
    pub kind: Option<KeyKind>,
    /// Its length.
    pub bits: u32,
    /// Where it will be found.
    pub reference: TokenReference,
    /// What it may be used for.
    pub usage: UsageMask,
    /// Whether it may leave.
    pub extractable: bool,
    /// Whether it never could.
    pub never_extractable: bool,
    /// When its use begins; now, where the token does not say.
    pub activation: Option<Timestamp>,
    /// When its use ends.
    pub deactivation: Option<Timestamp>,
    /// Its name in the project.
    pub name: Option<String>,
}

/// The token's side of it.
pub trait Renaming: Send + Sync {
    /// Gives the keys their new names; all or none.
    fn rename(&self) -> Answer<'_, Result<(), HsmError>>;
    /// Gives them their old names back.
    fn undo(&self) -> Answer<'_, ()>;
}

/// Takes a key, or both halves of a pair, in.
pub struct Adopt {
    /// The keys; of a pair, the private half first.
    pub keys: Vec<AdoptedKey>,
    /// The token's side.
    pub renaming: Box<dyn Renaming>,
}

impl Operation for Adopt {
    const KIND: OperationKind = OperationKind::Adopt;
    type Output = Vec<ManagedObject>;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let mut objects = self.keys.iter().map(|key| record(key, tools)).collect::<Result<Vec<_>, _>>()?;
        if let [private, public] = objects.as_mut_slice() {
            private.link(link::PUBLIC_KEY, public.identifier)?;
            public.link(link::PRIVATE_KEY, private.identifier)?;
        }
        // What the store would refuse is refused before the token is touched.
        for object in &objects {
            tools.touch(object.identifier);
            if tools.store().object(object.identifier).await?.is_some() {
                return Err(Error::new(ErrorKind::AlreadyExists, "an object with this identifier is managed already"));
            }
            for name in object.names() {
                let scope = Scope::Name(object.project.clone(), name.to_owned());
                if !tools.store().objects(scope, Order::OldestFirst, None, 1).await?.records.is_empty() {
                    return Err(Error::new(ErrorKind::AlreadyExists, "the project has an object of this name"));
                }
            }
        }
        let mut writes: Vec<Write> = tools.within_quota(Resource::Secrets).await?.into_iter().collect();
        self.renaming.rename().await?;
        for object in &mut objects {
            digest(tools, object).await;
        }
        writes.extend(objects.iter().map(|object| Write::PutObject(Box::new(object.clone()), Guard::Absent)));
        if let Err(error) = tools.commit(writes).await {
            self.renaming.undo().await;
            return Err(error);
        }
        Ok(objects)
    }
}

/// KMIP's words for a kind of key: algorithm and format.
fn words(kind: KeyKind) -> (CryptographicAlgorithm, KeyFormatType) {
    use CryptographicAlgorithm as A;
    match kind {
        KeyKind::Aes | KeyKind::AesXts => (A::AES, KeyFormatType::RAW),
        KeyKind::TripleDes => (A::TRIPLE_DES, KeyFormatType::RAW),
        KeyKind::ChaCha20 => (A::CHACHA20, KeyFormatType::RAW),
        KeyKind::Generic => (A::HMAC_SHA256, KeyFormatType::RAW),
        KeyKind::RsaPrivate | KeyKind::RsaPublic => (A::RSA, KeyFormatType::PKCS_1),
        KeyKind::EcPrivate(_) => (A::EC, KeyFormatType::EC_PRIVATE_KEY),
        KeyKind::EcPublic(_) => (A::EC, KeyFormatType::X_509),
        KeyKind::Ed25519Private => (A::ED25519, KeyFormatType::PKCS_8),
        KeyKind::Ed25519Public => (A::ED25519, KeyFormatType::X_509),
    }
}

fn record(key: &AdoptedKey, tools: &Tools) -> Result<ManagedObject, Error> {
    const SECRET_DATA_SEED: u32 = 2;
    let now = tools.now();
    let mut lifecycle = Lifecycle::new(now);
    lifecycle.activation = Some(key.activation.unwrap_or(now));
    lifecycle.deactivation = key.deactivation;
    let words = key.kind.map(words);
    let mut object = ManagedObject {
        identifier: key.identifier,
        object_type: key.object_type,
        project: tools.principal().project.clone(),
        creator: tools.principal().name.clone(),
        origin: Origin::Kmip,
        value: Some(key.reference.clone()),
        format: Some(words.map_or(KeyFormatType::RAW, |(_, format)| format)),
        subtype: (key.object_type == ObjectType::SecretData).then_some(SECRET_DATA_SEED),
        lifecycle,
        attributes: Default::default(),
        secret: SecretFacet::default(),
    };
    let attributes = &mut object.attributes;
    if let Some((algorithm, _)) = words {
        attributes.set(AttributeKind::CryptographicAlgorithm, AttributeValue::Enumeration(algorithm.0));
    }
    attributes.set(AttributeKind::CryptographicLength, AttributeValue::Integer(key.bits.cast_signed()));
    attributes.set(AttributeKind::CryptographicUsageMask, AttributeValue::Integer(key.usage.0.cast_signed()));
    attributes.set(AttributeKind::Extractable, AttributeValue::Boolean(key.extractable));
    if let Some(name) = &key.name {
        attributes.add(AttributeKind::Name, AttributeValue::Name { value: name.clone(), kind: 1 })?;
    }
    // It was used before.
    attributes.set(AttributeKind::Fresh, AttributeValue::Boolean(false));
    template::server_attributes(&mut object, tools.settings(), false);
    object.attributes.set(AttributeKind::NeverExtractable, AttributeValue::Boolean(key.never_extractable));
    Ok(object)
}

/// The digest of what may leave, as of every key that the HSM made; of secret data it is worked out when it is read.
async fn digest(tools: &Tools, object: &mut ManagedObject) {
    if !object.flag(&AttributeKind::Extractable, true) || object.object_type == ObjectType::SecretData {
        return;
    }
    let Some(reference) = object.value.clone() else { return };
    let format = match object.object_type {
        ObjectType::PrivateKey => KeyFormatType::PKCS_8,
        ObjectType::PublicKey => KeyFormatType::X_509,
        _ => KeyFormatType::RAW,
    };
    match tools.hsm_bytes(HsmRequest::Digest { reference, hash: HashingAlgorithm::SHA_256 }).await {
        Ok(digest) => object.attributes.set(AttributeKind::Digest, template::digest(digest, format.0)),
        Err(error) => tracing::info!(%error, object = %object.identifier, "an adopted key has no digest"),
    }
}
