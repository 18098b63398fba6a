//! Takes a client's value in (KMIP 2.1 §6.1.43 Register; Barbican's one-step creation).
//!
//! A value becomes a usable key object where it is one, and bytes exactly as given where reads must give those back. A
//! key that the token refuses (composite factors, an odd length) is held as bytes and fails on use, not here.

use super::template;
use crate::{
    authz::Permitted,
    domain::{
        Attribute, AttributeKind, AttributeValue, Lifecycle, ManagedObject, ObjectType, OperationKind, Origin,
        SecretValue, TokenReference, UniqueIdentifier, UsageMask, algorithm::KeyFormatType, project::Resource,
        reference::KeyKind, secret::SecretFacet,
    },
    engine::{
        Announced, Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{Guard, HsmAnswer, HsmRequest, IntentKind, Placement, Write},
    },
};

/// A key in the form in which the HSM takes it.
#[derive(Debug)]
pub struct ImportedKey {
    /// What it is.
    pub kind: KeyKind,
    /// Raw, PKCS#8 DER or SubjectPublicKeyInfo DER.
    pub value: SecretValue,
}

/// A client's value.
#[derive(Debug)]
pub struct NewValue {
    /// The usable key, where the value is one.
    pub key: Option<ImportedKey>,
    /// The bytes that reads give back exactly; `None` where the key's canonical form is what was given.
    pub bytes: Option<SecretValue>,
}

impl NewValue {
    /// Once more, for another token.
    fn duplicate(&self) -> Self {
        let again = |key: &ImportedKey| ImportedKey { kind: key.kind, value: key.value.duplicate() };
        Self { key: self.key.as_ref().map(again), bytes: self.bytes.as_ref().map(SecretValue::duplicate) }
    }
}

/// Takes a client's value in.
#[derive(Debug)]
pub struct Register {
    /// The identifier, when the caller chose it before; else a fresh one.
    pub identifier: Option<UniqueIdentifier>,
    /// What it is.
    pub object_type: ObjectType,
    /// Certificate type, secret data type or opaque data type.
    pub subtype: Option<u32>,
    /// Through which protocol.
    pub origin: Origin,
    /// The encoding of the value as given.
    pub format: Option<KeyFormatType>,
    /// The value; `None` for a record without one (Barbican's first step, KMIP's metadata-only objects).
    pub value: Option<NewValue>,
    /// What the server found in the value: algorithm, length, certificate names. Client attributes must not contradict.
    pub derived: Vec<Attribute>,
    /// The client's attributes.
    pub attributes: Vec<Attribute>,
    /// The Barbican side.
    pub secret: SecretFacet,
}

/// Makes a user, group or credential: registered as anything else, and told apart on the audit trail.
#[derive(Debug)]
pub struct CreateAccount(pub Register);

impl Operation for CreateAccount {
    const KIND: OperationKind = OperationKind::CreateAccount;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        self.0.target()
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        self.0.run(on, tools).await
    }
}

impl Operation for Register {
    const KIND: OperationKind = OperationKind::Register;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        let quota = match self.origin {
            Origin::Barbican => tools.within_quota(Resource::Secrets).await?,
            Origin::Kmip => None,
        };
        let id = self.identifier.unwrap_or_else(|| tools.identifier());
        let mut object = ManagedObject {
            identifier: id,
            object_type: self.object_type,
            project: tools.principal().project.clone(),
            creator: tools.principal().name.clone(),
            origin: self.origin,
            value: None,
            format: self.format,
            subtype: self.subtype,
            lifecycle: Lifecycle::new(tools.now()),
            attributes: Default::default(),
            secret: self.secret,
        };
        for attribute in self.derived {
            match attribute.kind {
                AttributeKind::CryptographicAlgorithm | AttributeKind::CryptographicLength => {
                    object.attributes.set(attribute.kind, attribute.value);
                }
                _ => {
                    object.attributes.add(attribute.kind, attribute.value)?;
                }
            }
        }
        template::apply(&mut object, self.attributes)?;
        if object.object_type.holds_value() {
            template::server_attributes(&mut object, tools.settings(), false);
        }
        keep(tools, object, self.value, quota.into_iter().collect()).await
    }
}

/// Puts the value of a record that is complete but for it on a token and commits the record together with `also`.
pub(super) async fn keep(
    tools: &Tools,
    mut object: ManagedObject,
    value: Option<NewValue>,
    also: Vec<Write>,
) -> Result<ManagedObject, Error> {
    let mut writes = also;
    let Some(mut value) = value else {
        if object.object_type.holds_value() || object.object_type == ObjectType::Template {
            object.attributes.set(AttributeKind::KeyValuePresent, AttributeValue::Boolean(false));
        }
        writes.push(Write::PutObject(Box::new(object.clone()), Guard::Absent));
        tools.commit(writes).await?;
        return Ok(object);
    };
    let wrapped = object.attributes.value(&AttributeKind::KeyWrappingData).is_some();
    let raw = !wrapped && matches!(object.format, Some(KeyFormatType::RAW | KeyFormatType::OPAQUE));
    if object.object_type == ObjectType::SecretData && raw && template::secret_is_key(object.usage()) {
        let key = value.bytes.take().map(|value| ImportedKey { kind: KeyKind::Generic, value });
        value.key = value.key.or(key);
    }
    if let Some(key) = &mut value.key {
        key.kind = template::kind_for_use(key.kind, &object);
    }
    let extractable = object.flag(&AttributeKind::Extractable, true);
    let at = tools.place(object.identifier, object.object_type)?;
    let intent = tools.announce(IntentKind::Make, vec![at.clone()]).await?;
    let of_type = object.object_type;
    let mut usage = object.usage();
    if wrapped {
        // What is held beside the key is the wrapped form: no twin can stand for it.
        usage = UsageMask(usage.0 & !template::TWIN.0);
    }
    let (reference, intent) = take_in_announced(tools, intent, at, of_type, value, usage, extractable).await?;
    object.value = Some(reference);
    writes.push(Write::PutObject(Box::new(object.clone()), Guard::Absent));
    tools.conclude(intent, writes).await?;
    Ok(object)
}

/// Puts a value on a token under an announced place, or on another one that may take it when that token is full: where it is,
/// and what is announced then. When it fails, the announced creation is withdrawn.
///
/// # Errors
///
/// As [`take_in`].
pub(super) async fn take_in_announced(
    tools: &Tools,
    mut announced: Announced,
    mut at: Placement,
    object_type: ObjectType,
    value: NewValue,
    usage: UsageMask,
    extractable: bool,
) -> Result<(TokenReference, Announced), Error> {
    loop {
        match take_in(tools, at.clone(), value.duplicate(), usage, extractable).await {
            Ok(reference) => return Ok((reference, announced)),
            Err(error) => (announced, at.token) = tools.elsewhere(announced, object_type, error).await?,
        }
    }
}

/// Puts a value on a token under an announced place: the key object where the token takes it, and the bytes.
///
/// # Errors
///
/// `Malformed` for an empty value; the HSM's own.
pub(crate) async fn take_in(
    tools: &Tools,
    at: Placement,
    value: NewValue,
    usage: UsageMask,
    extractable: bool,
) -> Result<TokenReference, Error> {
    let mut reference = TokenReference { token: at.token.clone(), cka_id: at.cka_id, key: None, bytes: None };
    let mut bytes = value.bytes;
    if let Some(ImportedKey { kind, value }) = value.key {
        let spare = value.duplicate();
        match tools.hsm(HsmRequest::ImportKey { at: at.clone(), kind, value, usage, extractable }).await {
            Ok(HsmAnswer::Made { reference: made, .. }) => {
                reference.key = made.key;
                if let Some(usage) = template::twin_usage(kind, usage) {
                    // The twin holds the bytes as given, too: nothing else is needed beside the key.
                    let value = Some(bytes.take().unwrap_or(spare));
                    let twin = HsmRequest::MakeTwin { of: reference.clone(), value, usage, extractable };
                    match tools.hsm(twin).await? {
                        HsmAnswer::Made { reference: both, .. } => reference = both,
                        other => return Err(crate::engine::unexpected(&other)),
                    }
                }
            }
            Ok(other) => return Err(crate::engine::unexpected(&other)),
            Err(error) if is_refusal(error.kind) => {
                tracing::info!(%error, "the token refuses the value as a key; it is held as bytes");
                bytes = Some(bytes.unwrap_or(spare));
            }
            Err(error) => return Err(error),
        }
    }
    if let Some(value) = bytes {
        if value.is_empty() {
            return Err(Error::new(ErrorKind::InvalidField, "the value is empty"));
        }
        let beside_key = reference.key.is_some();
        match tools.hsm(HsmRequest::HoldBytes { at, value, beside_key }).await? {
            HsmAnswer::Made { reference: made, .. } => reference.bytes = made.bytes,
            other => return Err(crate::engine::unexpected(&other)),
        }
    }
    Ok(reference)
}

/// Whether the token said no to this value rather than to everything.
const fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Cryptographic | ErrorKind::UnsupportedParameters | ErrorKind::BadParameters)
}
