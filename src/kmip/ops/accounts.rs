//! What KMIP 3.0 adds: users, groups and credentials as objects, Obliterate and Deactivate.
//!
//! A user is a name with links to credentials; a group is what Group Links point to. Neither gives a right: the client's
//! certificate says which project a request is for, the configuration which users and devices there are behind it.

use kmip_codec::{
    object::ManagedObject as WireObject,
    payload::{
        CreateCredentialRequest, CreateCredentialResponse, CreateGroupRequest, CreateGroupResponse, CreateUserRequest,
        CreateUserResponse, DeactivateRequest, DeactivateResponse, ObliterateRequest, ObliterateResponse,
    },
    spec::enums::{CredentialType, DeactivationReasonCode, LinkType, Operation, ResultReason},
    version::V3_0,
};

use super::wire;
use crate::{
    domain::{
        Attribute, AttributeKind, AttributeValue, ManagedObject, ObjectType, Origin, UniqueIdentifier,
        lifecycle::RevocationReason,
    },
    engine::ops::{
        attributes::ReadAttributes,
        obliterate::{Deactivate, Obliterate},
        register::{CreateAccount, Register},
    },
    kmip::{batch::Exchange, error::Refusal, values},
};

pub(in crate::kmip) async fn create_user(
    on: &mut Exchange<'_>,
    request: CreateUserRequest,
) -> Result<CreateUserResponse, Refusal> {
    let attributes = on.attributes(request.attributes).await?;
    for attribute in &attributes {
        let expected: fn(ObjectType) -> bool = match attribute.kind {
            AttributeKind::CredentialLink => |it| it.credential_type().is_some() || it == ObjectType::Certificate,
            AttributeKind::GroupLink => |it| it == ObjectType::Group,
            _ => continue,
        };
        linked(on, attribute, expected).await?;
    }
    let object = keep(on, values::attributes_only(ObjectType::User), attributes).await?;
    on.made(Operation::CREATE_USER, &[object.identifier]);
    Ok(CreateUserResponse { unique_identifier: wire(object.identifier) })
}

pub(in crate::kmip) async fn create_group(
    on: &mut Exchange<'_>,
    request: CreateGroupRequest,
) -> Result<CreateGroupResponse, Refusal> {
    let attributes = on.attributes(request.attributes).await?;
    let object = keep(on, values::attributes_only(ObjectType::Group), attributes).await?;
    on.made(Operation::CREATE_GROUP, &[object.identifier]);
    Ok(CreateGroupResponse { unique_identifier: wire(object.identifier) })
}

pub(in crate::kmip) async fn create_credential(
    on: &mut Exchange<'_>,
    request: CreateCredentialRequest,
) -> Result<CreateCredentialResponse, Refusal> {
    let attributes = on.attributes(request.attributes).await?;
    let Some(credential) = request.object else {
        return Err(Refusal::new(ResultReason::INVALID_MESSAGE, "the credential is missing"));
    };
    let fits = matches!(
        (request.credential_type, &credential),
        (CredentialType::PASSWORD, WireObject::PasswordCredential(_))
            | (CredentialType::CERTIFICATE, WireObject::Certificate(_))
            | (CredentialType::DEVICE, WireObject::DeviceCredential(_))
            | (CredentialType::ONE_TIME_PASSWORD, WireObject::OneTimePasswordCredential(_))
            | (CredentialType::HASHED_PASSWORD, WireObject::HashedPasswordCredential(_))
    );
    if !fits {
        return Err(Refusal::new(
            ResultReason::INVALID_FIELD,
            "the credential is of another type than the request says",
        ));
    }
    let incoming = values::incoming(credential, on.version, None, None)?;
    let object = keep(on, incoming, attributes).await?;
    on.made(Operation::CREATE_CREDENTIAL, &[object.identifier]);
    Ok(CreateCredentialResponse { unique_identifier: wire(object.identifier) })
}

pub(in crate::kmip) async fn obliterate(
    on: &mut Exchange<'_>,
    request: ObliterateRequest,
) -> Result<ObliterateResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    on.run(Obliterate { object }).await?;
    // There is nothing left to name (BL-M-20).
    Ok(ObliterateResponse::default())
}

pub(in crate::kmip) async fn deactivate(
    on: &mut Exchange<'_>,
    request: DeactivateRequest,
) -> Result<DeactivateResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    let reason = request.deactivation_reason;
    if reason
        .as_ref()
        .is_some_and(|it| !crate::kmip::attributes::is_known(DeactivationReasonCode::ROWS, it.code.number()))
    {
        return Err(Refusal::new(ResultReason::INVALID_FIELD, "the deactivation reason is not known"));
    }
    let reason = reason.map(|it| RevocationReason { code: it.code.number(), message: it.message });
    let object = on.run(Deactivate { object, reason }).await?;
    Ok(DeactivateResponse { unique_identifier: wire(object.identifier) })
}

/// Stores a new object; a credential never leaves again.
async fn keep(
    on: &Exchange<'_>,
    mut incoming: values::Incoming,
    mut attributes: Vec<Attribute>,
) -> Result<ManagedObject, Refusal> {
    incoming.derived.retain(|known| !attributes.iter().any(|given| given.kind == known.kind));
    if incoming.object_type.credential_type().is_some() {
        attributes.retain(|it| it.kind != AttributeKind::Extractable);
        attributes.push(Attribute::new(AttributeKind::Extractable, AttributeValue::Boolean(false)));
    }
    on.run(CreateAccount(Register {
        identifier: None,
        object_type: incoming.object_type,
        subtype: incoming.subtype,
        origin: Origin::Kmip,
        format: incoming.format,
        value: incoming.value,
        derived: incoming.derived,
        attributes,
        secret: on.facet(),
    }))
    .await
}

/// How far a chain of links is followed.
const CHAIN_MAX: usize = 64;

/// Refuses a link that closes a circle: 3.0 has a reason of its own for it, earlier versions know no such rule.
pub(in crate::kmip) async fn no_circle(
    on: &Exchange<'_>,
    object: UniqueIdentifier,
    link: &Attribute,
) -> Result<(), Refusal> {
    let AttributeValue::Link { kind, target } = &link.value else { return Ok(()) };
    // Halves of a pair, certificates and passwords point at each other by nature; chains have one direction.
    let is_chain = CHAINS.iter().any(|known| known.number() == *kind);
    if on.version < V3_0 || !is_chain {
        return Ok(());
    }
    let mut next = target.parse().ok();
    for _ in 0..CHAIN_MAX {
        let Some(at) = next else { return Ok(()) };
        if at == object {
            return Err(Refusal::new(ResultReason::CIRCULAR_LINK_ERROR, "the link leads back to its own object"));
        }
        // What the caller may not see cannot lead back for it either.
        let Ok(found) = on.execute(ReadAttributes { object: at, digest: false }).await else { return Ok(()) };
        next = found.object.attributes.of(&AttributeKind::Link).find_map(|attribute| match &attribute.value {
            AttributeValue::Link { kind: of, target } if of == kind => target.parse().ok(),
            _ => None,
        });
    }
    Ok(())
}

/// Links that make chains.
const CHAINS: [LinkType; 8] = [
    LinkType::DERIVATION_BASE_OBJECT_LINK,
    LinkType::DERIVED_KEY_LINK,
    LinkType::REPLACEMENT_OBJECT_LINK,
    LinkType::REPLACED_OBJECT_LINK,
    LinkType::PARENT_LINK,
    LinkType::CHILD_LINK,
    LinkType::PREVIOUS_LINK,
    LinkType::NEXT_LINK,
];

/// Checks what a link of a new object points to. A name may point to what comes later.
async fn linked(on: &Exchange<'_>, link: &Attribute, expected: fn(ObjectType) -> bool) -> Result<(), Refusal> {
    let AttributeValue::Text(target) = &link.value else { return Ok(()) };
    let Ok(object) = target.parse::<UniqueIdentifier>() else { return Ok(()) };
    let found = on.run(ReadAttributes { object, digest: false }).await?;
    if expected(found.object.object_type) {
        Ok(())
    } else {
        Err(Refusal::new(ResultReason::INVALID_OBJECT_TYPE, "a link points to an object of another type"))
    }
}
