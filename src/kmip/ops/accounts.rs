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
    spec::enums::{CredentialType, Operation, ResultReason},
};

use super::wire;
use crate::{
    domain::{
        Attribute, AttributeKind, AttributeValue, ManagedObject, ObjectType, Origin, UniqueIdentifier,
        lifecycle::RevocationReason, secret::SecretFacet,
    },
    engine::ops::{
        attributes::ReadAttributes,
        obliterate::{Deactivate, Obliterate},
        register::Register,
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
    on.run(Register {
        identifier: None,
        object_type: incoming.object_type,
        subtype: incoming.subtype,
        origin: Origin::Kmip,
        format: incoming.format,
        value: incoming.value,
        derived: incoming.derived,
        attributes,
        secret: SecretFacet::default(),
    })
    .await
}

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
