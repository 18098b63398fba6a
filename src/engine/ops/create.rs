//! Makes a symmetric key or secret data inside the HSM (KMIP 2.1 §6.1.8; Barbican key orders).

use super::template::{self, KeyShape};
use crate::{
    authz::Permitted,
    domain::{
        Attribute, AttributeKind, AttributeValue, CryptographicAlgorithm, Lifecycle, ManagedObject, ObjectType,
        OperationKind, Origin, TokenReference, UniqueIdentifier, UsageMask, algorithm::KeyFormatType,
        secret::SecretFacet,
    },
    engine::{
        Announced, Error, ErrorKind, Operation, Target, Targets, Tools,
        ports::{Guard, HsmAnswer, HsmRequest, IntentKind, Write},
    },
};

/// Makes a key inside the HSM.
#[derive(Debug)]
pub struct Create {
    /// The identifier, when the caller chose it before (a job that may be repeated); else a fresh one.
    pub identifier: Option<UniqueIdentifier>,
    /// Symmetric Key or Secret Data.
    pub object_type: ObjectType,
    /// Through which protocol.
    pub origin: Origin,
    /// Which algorithm; secret data may have none.
    pub algorithm: Option<CryptographicAlgorithm>,
    /// Length in bits.
    pub length_bits: Option<u32>,
    /// For secret data: Password 1, Seed 2.
    pub subtype: Option<u32>,
    /// The client's attributes beside algorithm and length.
    pub attributes: Vec<Attribute>,
    /// The Barbican side.
    pub secret: SecretFacet,
}

impl Operation for Create {
    const KIND: OperationKind = OperationKind::Create;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        self.make(tools, |_| Vec::new()).await
    }
}

impl Create {
    /// Makes the key and commits its record together with what `also` writes about it: a job that is done by it.
    pub(super) async fn make(
        self,
        tools: &Tools,
        also: impl FnOnce(&ManagedObject) -> Vec<Write> + Send,
    ) -> Result<ManagedObject, Error> {
        let now = tools.now();
        let id = self.identifier.unwrap_or_else(|| tools.identifier());
        let (algorithm, bits) = (self.algorithm, self.length_bits);
        let shape = match (self.object_type, algorithm, bits) {
            (ObjectType::SymmetricKey, Some(algorithm), Some(bits)) => KeyShape::of(algorithm, bits),
            (ObjectType::SymmetricKey, _, _) => {
                return Err(Error::new(ErrorKind::Missing, "a symmetric key needs an algorithm and a length"));
            }
            (ObjectType::SecretData, _, bits) => KeyShape::of_secret(bits.unwrap_or(256)),
            _ => return Err(Error::new(ErrorKind::WrongObjectType, "the server makes keys and secret data only")),
        };
        let shape =
            shape.ok_or_else(|| Error::new(ErrorKind::InvalidField, "the length does not fit the algorithm"))?;
        let usage = template::usage_of(&self.attributes);
        if self.object_type == ObjectType::SymmetricKey && usage.is_none() && self.origin == Origin::Kmip {
            return Err(Error::new(ErrorKind::Missing, "a key needs a cryptographic usage mask"));
        }
        if let (Some(algorithm), Some(bits)) = (algorithm, bits) {
            template::quantum_safe(&self.attributes, algorithm, bits)?;
        }
        let mut object = ManagedObject {
            identifier: id,
            object_type: self.object_type,
            project: tools.principal().project.clone(),
            creator: tools.principal().name.clone(),
            origin: self.origin,
            value: None,
            format: Some(KeyFormatType::RAW),
            subtype: self.subtype,
            lifecycle: Lifecycle::new(now),
            attributes: Default::default(),
            secret: self.secret,
        };
        if let Some(algorithm) = algorithm {
            object.attributes.set(AttributeKind::CryptographicAlgorithm, AttributeValue::Enumeration(algorithm.0));
        }
        let bits = bits.unwrap_or_else(|| shape.bytes.saturating_mul(8));
        object.attributes.set(AttributeKind::CryptographicLength, AttributeValue::Integer(bits.cast_signed()));
        template::apply(&mut object, self.attributes)?;
        template::server_attributes(&mut object, tools.settings(), true);

        let intent = generate(tools, &mut object, shape).await?;
        let mut writes = also(&object);
        writes.push(Write::PutObject(Box::new(object.clone()), Guard::Absent));
        tools.conclude(intent, writes).await?;
        Ok(object)
    }
}

/// Makes the key of a record that is complete but for it. The intent stands until the record is concluded.
pub(super) async fn generate(tools: &Tools, object: &mut ManagedObject, shape: KeyShape) -> Result<Announced, Error> {
    let kind = template::kind_for_use(shape.kind, object);
    let usage = if shape.usable { object.usage() } else { UsageMask::default() };
    let extractable = object.flag(&AttributeKind::Extractable, true);
    let mut at = tools.place(object.identifier, object.object_type)?;
    let mut intent = tools.announce(IntentKind::Make, vec![at.clone()]).await?;
    let digest = extractable && object.object_type == ObjectType::SymmetricKey;
    let (reference, digest) = loop {
        let request = HsmRequest::GenerateKey { at: at.clone(), kind, bytes: shape.bytes, usage, extractable, digest };
        match make(tools, request, template::twin_usage(kind, usage).filter(|_| extractable)).await {
            Ok(made) => break made,
            Err(error) => (intent, at.token) = tools.elsewhere(intent, object.object_type, error).await?,
        }
    };
    object.value = Some(reference);
    if let Some(digest) = digest {
        object.attributes.set(AttributeKind::Digest, template::digest(digest, KeyFormatType::RAW.0));
    }
    Ok(intent)
}

/// The key, and the twin that makes MACs. It needs the value; of a key that may not leave there is none.
async fn make(
    tools: &Tools,
    request: HsmRequest,
    twin: Option<UsageMask>,
) -> Result<(TokenReference, Option<Vec<u8>>), Error> {
    let (reference, digest) = match tools.hsm(request).await? {
        HsmAnswer::Made { reference, digest } => (reference, digest),
        other => return Err(crate::engine::unexpected(&other)),
    };
    let Some(usage) = twin else { return Ok((reference, digest)) };
    let twin = HsmRequest::MakeTwin { of: reference, value: None, usage, extractable: true };
    match tools.hsm(twin).await? {
        HsmAnswer::Made { reference: both, .. } => Ok((both, digest)),
        other => Err(crate::engine::unexpected(&other)),
    }
}
