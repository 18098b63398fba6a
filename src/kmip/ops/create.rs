//! Create and Create Key Pair.

use kmip_codec::{
    attribute::Attributes as WireAttributes,
    payload::{CreateKeyPairRequest, CreateKeyPairResponse, CreateRequest, CreateResponse},
    spec::enums::{self, Operation, ResultReason},
};

use super::wire;
use crate::{
    domain::{
        Attribute, AttributeKind, AttributeValue, CryptographicAlgorithm, ObjectType, Origin,
        algorithm::RecommendedCurve,
    },
    engine::ops::{create::Create, create_key_pair::CreateKeyPair},
    kmip::{attributes, batch::Exchange, error::Refusal},
};

/// Takes algorithm and length out of a list of attributes, each of which the use case wants by itself.
pub(super) fn algorithm_and_length(
    attributes: &mut Vec<Attribute>,
) -> Result<(Option<CryptographicAlgorithm>, Option<u32>), Refusal> {
    let mut algorithm = None;
    let mut length = None;
    let mut rest = Vec::with_capacity(attributes.len());
    for attribute in attributes.drain(..) {
        match (&attribute.kind, &attribute.value) {
            (AttributeKind::CryptographicAlgorithm, AttributeValue::Enumeration(number)) => {
                algorithm = Some(CryptographicAlgorithm(*number));
            }
            (AttributeKind::CryptographicLength, AttributeValue::Integer(bits)) => {
                length = Some(attributes::length_in(*bits)?);
            }
            _ => rest.push(attribute),
        }
    }
    *attributes = rest;
    Ok((algorithm, length))
}

pub(in crate::kmip) async fn create(on: &mut Exchange<'_>, request: CreateRequest) -> Result<CreateResponse, Refusal> {
    let object_type = object_type(request.object_type)?;
    let mut attributes = on.attributes(request.attributes).await?;
    on.stand(object_type, &mut attributes)?;
    let (algorithm, length_bits) = algorithm_and_length(&mut attributes)?;
    let object = on
        .run(Create {
            identifier: None,
            object_type,
            origin: Origin::Kmip,
            algorithm,
            length_bits,
            subtype: (object_type == ObjectType::SecretData).then(|| enums::SecretDataType::PASSWORD.number()),
            attributes,
            secret: on.facet(),
        })
        .await?;
    on.made(Operation::CREATE, &[object.identifier]);
    Ok(CreateResponse {
        object_type: request.object_type,
        unique_identifier: wire(object.identifier),
        template_attribute: None,
    })
}

/// The domain's word for an object type.
pub(super) fn object_type(of: enums::ObjectType) -> Result<ObjectType, Refusal> {
    ObjectType::from_number(of.number())
        .filter(|it| !matches!(it, ObjectType::User | ObjectType::Group))
        .ok_or_else(|| Refusal::new(ResultReason::INVALID_FIELD, "objects of this type are not kept"))
}

pub(in crate::kmip) async fn create_key_pair(
    on: &mut Exchange<'_>,
    request: CreateKeyPairRequest,
) -> Result<CreateKeyPairResponse, Refusal> {
    let list = |from: Option<WireAttributes>| from.unwrap_or_default();
    let common = on.attributes(list(request.common_attributes)).await?;
    let private = on.attributes(list(request.private_key_attributes)).await?;
    let public = on.attributes(list(request.public_key_attributes)).await?;
    let mut private = joined(&common, private);
    let mut public = joined(&common, public);
    on.stand(ObjectType::PrivateKey, &mut private)?;
    on.stand(ObjectType::PublicKey, &mut public)?;
    let (algorithm, length_bits) = algorithm_and_length(&mut private)?;
    let (public_algorithm, public_length) = algorithm_and_length(&mut public)?;
    let algorithm = algorithm
        .or(public_algorithm)
        .ok_or_else(|| Refusal::new(ResultReason::INVALID_MESSAGE, "a key pair needs a cryptographic algorithm"))?;
    let curve = private.iter().chain(&public).find_map(|attribute| match attribute.value {
        AttributeValue::DomainParameters { recommended_curve: Some(curve), .. } => Some(RecommendedCurve(curve)),
        _ => None,
    });
    let pair = on
        .run(CreateKeyPair {
            identifiers: None,
            origin: Origin::Kmip,
            algorithm,
            length_bits: length_bits.or(public_length),
            curve,
            private_attributes: private,
            public_attributes: public,
            secrets: (on.facet(), on.facet()),
        })
        .await?;
    on.made(Operation::CREATE_KEY_PAIR, &[pair.private.identifier, pair.public.identifier]);
    Ok(CreateKeyPairResponse {
        private_key_unique_identifier: wire(pair.private.identifier),
        public_key_unique_identifier: wire(pair.public.identifier),
        private_key_template_attribute: None,
        public_key_template_attribute: None,
    })
}

/// Common attributes with a half's own; the half's win.
pub(super) fn joined(common: &[Attribute], own: Vec<Attribute>) -> Vec<Attribute> {
    let inherited = common.iter().filter(|attribute| !own.iter().any(|mine| mine.kind == attribute.kind)).cloned();
    let mut all: Vec<Attribute> = inherited.collect();
    all.extend(own);
    all
}
