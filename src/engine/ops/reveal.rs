//! Lets a value out: plain, or wrapped under another key (KMIP 2.1 §6.1.19 Get, Export; Barbican payload reads).
//!
//! These are the only use cases through which a value leaves the HSM, one audit record each (design decision 5).

use super::{
    crypt::{cipher_parameters, is_authenticated, iv_bytes, made_iv},
    usage::{self, Side},
};
use crate::{
    authz::Permitted,
    domain::{
        Attribute, AttributeKind, AttributeValue, CryptographicParameters, ManagedObject, ObjectType, OperationKind,
        Origin, SecretValue, TokenReference, UniqueIdentifier, UsageMask, algorithm::BlockCipherMode, attributes::link,
        reference::KeyKind,
    },
    engine::{
        Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{Guard, HsmRequest, Versioned, WrapMode, Write},
    },
};

/// In which form a value came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Exactly as the client gave it, in the object's `format`.
    AsGiven,
    /// The key's canonical form: raw, PKCS#8 DER or SubjectPublicKeyInfo DER.
    Canonical,
}

/// Which form the caller can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// As given in the object's `format`, else canonical. A key that came in an encoding which no format names (PEM,
    /// through the Barbican API) is canonical then.
    AsGiven,
    /// Canonical where there is a key, else as given.
    Canonical,
    /// The bytes as given, whatever their encoding, else canonical.
    Exact,
    /// As given; wrapped, if it came wrapped. A value that came wrapped leaves wrapped, so that it may be sensitive.
    AsRegistered,
}

/// Lets a value out, plain.
#[derive(Debug)]
pub struct Reveal {
    /// Of which object.
    pub object: UniqueIdentifier,
    /// In which form.
    pub prefer: Prefer,
}

/// A value that was let out.
#[derive(Debug)]
pub struct Revealed {
    /// The object.
    pub object: ManagedObject,
    /// Its value.
    pub value: SecretValue,
    /// In which form.
    pub form: Form,
}

impl Operation for Reveal {
    const KIND: OperationKind = OperationKind::Reveal;
    type Output = Revealed;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Revealed, Error> {
        let found = on.into_object()?;
        let (value, form) = plain(tools, &found.record, self.prefer).await?;
        let object = no_longer_fresh(tools, found).await;
        Ok(Revealed { object, value, form })
    }
}

/// The value of an object that may leave plain, or wrapped as it came.
async fn plain(tools: &Tools, object: &ManagedObject, prefer: Prefer) -> Result<(SecretValue, Form), Error> {
    let reference = tools.reference(object)?.clone();
    let came_wrapped = object.attributes.value(&AttributeKind::KeyWrappingData).is_some();
    let leaves_wrapped = came_wrapped && prefer == Prefer::AsRegistered && reference.bytes.is_some();
    if !leaves_wrapped && object.flag(&AttributeKind::Sensitive, false) {
        return Err(Error::new(ErrorKind::Sensitive, "the object is sensitive and leaves wrapped only"));
    }
    extractable(object)?;
    if came_wrapped && !leaves_wrapped && reference.key.is_none() {
        return Err(Error::new(
            ErrorKind::WrapTypeUnsupported,
            "the value came wrapped, and its wrapping key is not here",
        ));
    }
    let prefer = if came_wrapped && !leaves_wrapped { Prefer::Canonical } else { prefer };
    read(tools, object, reference, prefer).await
}

/// Lets an object out with every attribute, and changes nothing.
#[derive(Debug)]
pub struct Export {
    /// Which object.
    pub object: UniqueIdentifier,
    /// In which form; `None` for the attributes alone, as they go with a value that leaves wrapped under another key.
    pub prefer: Option<Prefer>,
}

/// An object that was let out with every attribute.
#[derive(Debug)]
pub struct Exported {
    /// The object.
    pub object: ManagedObject,
    /// Stored and computed attributes.
    pub attributes: Vec<Attribute>,
    /// Its value; none when it has been destroyed, or never had one.
    pub value: Option<(SecretValue, Form)>,
}

impl Operation for Export {
    const KIND: OperationKind = OperationKind::Export;
    type Output = Exported;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Exported, Error> {
        let object = on.into_object()?.record;
        let gone = object.state(tools.now()).is_destroyed() || object.value.is_none();
        let value = match self.prefer {
            Some(prefer) if !gone => Some(plain(tools, &object, prefer).await?),
            _ => None,
        };
        let attributes = super::attributes::all(tools, &object, true).await?;
        Ok(Exported { object, attributes, value })
    }
}

/// Turns a value into the bytes to wrap: the front end's encoding of the key value.
pub type Encode = Box<dyn FnOnce(&ManagedObject, SecretValue, Form) -> Result<SecretValue, Error> + Send>;

/// Lets a value out wrapped under another key.
pub struct RevealWrapped {
    /// Of which object.
    pub object: UniqueIdentifier,
    /// Under which key.
    pub wrapping_key: UniqueIdentifier,
    /// How; NIST key wrap where neither this nor the key says anything.
    pub parameters: Option<CryptographicParameters>,
    /// In which form the encoding wants the value.
    pub prefer: Prefer,
    /// The encoding; `None` wraps a secret key inside the HSM without its bytes leaving.
    pub encode: Option<Encode>,
    /// Whether the read ends *Fresh*; Export changes nothing.
    pub ends_fresh: bool,
}

/// A value that was let out wrapped.
#[derive(Debug)]
pub struct Wrapped {
    /// The object.
    pub object: ManagedObject,
    /// The wrapped bytes.
    pub wrapped: Vec<u8>,
    /// The IV or nonce, where the mode needs one.
    pub iv: Option<Vec<u8>>,
}

impl Operation for RevealWrapped {
    const KIND: OperationKind = OperationKind::RevealWrapped;
    type Output = Wrapped;

    fn target(&self) -> Target {
        Target::Objects(vec![self.object, self.wrapping_key])
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Wrapped, Error> {
        let mut objects = on.into_inner().objects.into_iter();
        let (Some(found), Some(wrapping)) = (objects.next(), objects.next()) else { return Err(Error::not_found()) };
        let target = tools.reference(&found.record)?.clone();
        extractable(&found.record)?;
        let wrapping_at = wrapping_reference(tools, &wrapping.record)?.clone();
        let sensitive = found.record.flag(&AttributeKind::Sensitive, false);
        if sensitive && tools.settings().strict_wrapping {
            strong_enough(&found.record, &wrapping.record)?;
        }
        let (mode, iv) = wrap_mode(tools, &wrapping.record, self.parameters)?;
        usage::charge(tools, wrapping, 0).await?;
        let request = match self.encode {
            None if matches!(
                target.key,
                Some(KeyKind::Aes | KeyKind::AesXts | KeyKind::TripleDes | KeyKind::ChaCha20 | KeyKind::Generic)
            ) && target.bytes.is_none() =>
            {
                HsmRequest::WrapKey { wrapping: wrapping_at, target, mode }
            }
            encode => {
                if sensitive && tools.settings().strict_wrapping {
                    return Err(Error::new(ErrorKind::Sensitive, "a sensitive object is wrapped inside the HSM only"));
                }
                let (value, form) = read(tools, &found.record, target, self.prefer).await?;
                let value = match encode {
                    Some(encode) => encode(&found.record, value, form)?,
                    None => value,
                };
                HsmRequest::WrapBytes { wrapping: wrapping_at, value, mode }
            }
        };
        let wrapped = tools.hsm_bytes(request).await?;
        let object = if self.ends_fresh { no_longer_fresh(tools, found).await } else { found.record };
        Ok(Wrapped { object, wrapped, iv })
    }
}

async fn read(
    tools: &Tools,
    object: &ManagedObject,
    reference: TokenReference,
    prefer: Prefer,
) -> Result<(SecretValue, Form), Error> {
    let as_given = match prefer {
        Prefer::AsGiven => reference.bytes.is_some() && (reference.key.is_none() || object.origin == Origin::Kmip),
        Prefer::Canonical => reference.key.is_none(),
        Prefer::Exact | Prefer::AsRegistered => reference.bytes.is_some(),
    };
    if as_given {
        Ok((tools.hsm_value(HsmRequest::RevealBytes { reference }).await?, Form::AsGiven))
    } else {
        Ok((tools.hsm_value(HsmRequest::RevealKey { reference }).await?, Form::Canonical))
    }
}

fn extractable(object: &ManagedObject) -> Result<(), Error> {
    if object.flag(&AttributeKind::Extractable, true) {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::NotExtractable, "the object was made not to leave the HSM"))
    }
}

/// The first read ends *Fresh* (KMIP 2.1 §4.22). Losing the race against another change is harmless: the next read does it.
async fn no_longer_fresh(tools: &Tools, found: Versioned<ManagedObject>) -> ManagedObject {
    let mut object = found.record;
    if object.flag(&AttributeKind::Fresh, false) {
        object.attributes.set(AttributeKind::Fresh, AttributeValue::Boolean(false));
        let write = Write::PutObject(Box::new(object.clone()), Guard::At(found.revision));
        if let Err(error) = Box::pin(tools.commit(vec![write])).await {
            tracing::debug!(%error, "the object stays fresh until it is read again");
        }
    }
    object
}

fn wrapping_reference<'a>(tools: &Tools, wrapping: &'a ManagedObject) -> Result<&'a TokenReference, Error> {
    let refuse = |kind, text: &'static str| Err(Error::new(kind, text));
    let state = wrapping.state(tools.now());
    if state.is_destroyed() {
        return refuse(ErrorKind::WrappingKeyDestroyed, "the wrapping key has been destroyed");
    }
    if wrapping.lifecycle.archive.is_some() {
        return refuse(ErrorKind::WrappingKeyArchived, "the wrapping key is archived");
    }
    if !wrapping.object_type.is_key() {
        return refuse(ErrorKind::WrappingKeyWrongType, "the wrapping object is no key");
    }
    if state != crate::domain::State::Active {
        return refuse(ErrorKind::WrappingKeyWrongState, "the wrapping key is not active");
    }
    if !wrapping.usage().contains(UsageMask::WRAP) {
        return refuse(ErrorKind::WrappingKeyWrongUsage, "the wrapping key may not wrap");
    }
    tools.reference(wrapping)
}

/// The mode that the request's parameters or the key's own ask for, and the IV that is made for it (KMIP 2.1 §3.1 Key
/// Wrapping Data: the parameters of the request, else the key's first, else NIST key wrap).
fn wrap_mode(
    tools: &Tools,
    wrapping: &ManagedObject,
    asked: Option<CryptographicParameters>,
) -> Result<(WrapMode, Option<Vec<u8>>), Error> {
    if let Some(mode) = key_wrap(wrapping, asked.as_ref()) {
        return Ok((mode, None));
    }
    let parameters = cipher_parameters(wrapping, asked)?;
    check_strict(tools, wrapping, &parameters)?;
    let iv = made_iv(tools, wrapping.value.as_ref().and_then(|value| value.key), &parameters, None)?;
    Ok((WrapMode::Cipher { parameters: Box::new(parameters), iv: iv.clone() }, iv))
}

/// The modes that wrap keys and nothing else.
fn key_wrap(wrapping: &ManagedObject, asked: Option<&CryptographicParameters>) -> Option<WrapMode> {
    let stored = match wrapping.attributes.value(&AttributeKind::CryptographicParameters) {
        Some(AttributeValue::CryptographicParameters(stored)) => stored.block_cipher_mode,
        _ => None,
    };
    match asked.and_then(|asked| asked.block_cipher_mode).or(stored) {
        Some(BlockCipherMode::AES_KEY_WRAP_PADDING) => Some(WrapMode::AesKeyWrapPadding),
        Some(BlockCipherMode::NIST_KEY_WRAP) => Some(WrapMode::AesKeyWrap),
        None if wrapping.object_type == ObjectType::SymmetricKey => Some(WrapMode::AesKeyWrap),
        _ => None,
    }
}

/// With `kmip.wrapping = "strict"` keys are wrapped by modes that show when something was changed (PKCS#11 contract §9).
fn check_strict(tools: &Tools, wrapping: &ManagedObject, parameters: &CryptographicParameters) -> Result<(), Error> {
    if tools.settings().strict_wrapping
        && wrapping.object_type == ObjectType::SymmetricKey
        && !is_authenticated(parameters)
    {
        return Err(Error::new(ErrorKind::UnsupportedParameters, "keys are wrapped by authenticated modes only"));
    }
    Ok(())
}

/// Whether this server made the value: only then does it say itself which generator made it.
fn made_here(object: &ManagedObject) -> bool {
    matches!(
        object.attributes.value(&AttributeKind::RandomNumberGenerator),
        Some(AttributeValue::Rng(_) | AttributeValue::Generator { .. })
    )
}

/// Design decision 20: a sensitive object leaves only under a key made here, always sensitive, without data use.
fn strong_enough(object: &ManagedObject, wrapping: &ManagedObject) -> Result<(), Error> {
    let strong = made_here(wrapping)
        && wrapping.flag(&AttributeKind::AlwaysSensitive, false)
        && wrapping.lifecycle.original_creation == Some(wrapping.lifecycle.initial)
        && !wrapping.usage().intersects(UsageMask::ENCRYPT.with(UsageMask::DECRYPT))
        && wrapping.project == object.project;
    if strong {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Sensitive, "the wrapping key is not strong enough for a sensitive object"))
    }
}

/// Unwraps a client's value under a key that is here, for registering it.
#[derive(Debug)]
pub struct Unwrap {
    /// Under which key.
    pub wrapping_key: UniqueIdentifier,
    /// What was wrapped.
    pub blob: Vec<u8>,
    /// How.
    pub parameters: Option<CryptographicParameters>,
    /// The IV or nonce that came with it.
    pub iv: Option<Vec<u8>>,
}

impl Operation for Unwrap {
    const KIND: OperationKind = OperationKind::Unwrap;
    type Output = SecretValue;

    fn target(&self) -> Target {
        Target::Linked(self.wrapping_key, &[link::PRIVATE_KEY])
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<SecretValue, Error> {
        // What was wrapped under a public key opens under its private one, whichever of them is named.
        let mut found = on.into_inner().objects.into_iter().map(|found| found.record);
        let named = found.next().ok_or_else(Error::not_found)?;
        let wrapping = match named.object_type {
            ObjectType::PublicKey => found.next().ok_or_else(Error::not_found)?,
            _ => named,
        };
        // Unwrapping belongs to the side of a key's life that deactivation does not end.
        let mask = if tools.settings().strict_wrapping || wrapping.usage().contains(UsageMask::UNWRAP) {
            UsageMask::UNWRAP
        } else {
            UsageMask::WRAP
        };
        let types = [ObjectType::SymmetricKey, ObjectType::PrivateKey];
        let key = usage::usable(tools, &wrapping, &types, Side::Process, mask)?.clone();
        let mode = match key_wrap(&wrapping, self.parameters.as_ref()) {
            Some(mode) => mode,
            None => {
                let parameters = cipher_parameters(&wrapping, self.parameters)?;
                check_strict(tools, &wrapping, &parameters)?;
                if self.iv.is_none() && iv_bytes(key.key, &parameters).is_some() {
                    return Err(Error::new(ErrorKind::IvMissing, "the mode needs an IV"));
                }
                WrapMode::Cipher { parameters: Box::new(parameters), iv: self.iv }
            }
        };
        tools.hsm_value(HsmRequest::UnwrapBytes { wrapping: key, blob: self.blob, mode }).await
    }
}
