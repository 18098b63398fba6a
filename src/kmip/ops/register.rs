//! Register.

use kmip_codec::{
    object::ManagedObject as WireObject,
    payload::{RegisterRequest, RegisterResponse},
    spec::enums::{Operation, ResultReason},
};

use super::{create::algorithm_and_length, pkcs12, wire, wrap};
use crate::{
    domain::{Attribute, AttributeKind, AttributeValue, CryptographicAlgorithm, ObjectType, Origin},
    engine::{ErrorKind, ops::register::Register},
    kmip::{attributes, batch::Exchange, error::Refusal, values},
};

pub(in crate::kmip) async fn register(
    on: &mut Exchange<'_>,
    request: RegisterRequest,
) -> Result<RegisterResponse, Refusal> {
    let object_type = super::create::object_type(request.object_type)?;
    let mut attributes = on.attributes(request.attributes).await?;
    let given: Vec<AttributeKind> = attributes.iter().map(|it| it.kind.clone()).collect();
    on.stand(object_type, &mut attributes)?;
    let (algorithm, bits) = algorithm_and_length(&mut attributes)?;
    let mut certificates = Vec::new();
    let object = match request.object {
        Some(object) if pkcs12::is_container(&object) => {
            let opened = pkcs12::open(on, object, &mut attributes).await?;
            certificates = opened.certificates;
            Some(opened.object)
        }
        other => other,
    };
    match take(on, object_type, object, (attributes, given), algorithm, bits).await {
        Ok(answer) => Ok(answer),
        Err(refusal) => {
            pkcs12::discard(on, &certificates).await;
            Err(refusal)
        }
    }
}

async fn take(
    on: &mut Exchange<'_>,
    object_type: ObjectType,
    object: Option<WireObject>,
    (mut attributes, given): (Vec<Attribute>, Vec<AttributeKind>),
    algorithm: Option<CryptographicAlgorithm>,
    bits: Option<u32>,
) -> Result<RegisterResponse, Refusal> {
    let mut incoming = match object {
        Some(kmip_codec::object::ManagedObject::Template(template)) => {
            // A template's attributes stand in the object; the request's own are the template's, its name above all.
            let mut inside = attributes::all(template.attributes.0, on.version)?;
            inside.retain(|inner| !attributes.iter().any(|outer| outer.kind == inner.kind));
            attributes.extend(inside);
            values::attributes_only(object_type)
        }
        Some(object) => taken_apart(on, object, algorithm, bits).await?,
        None => values::attributes_only(object_type),
    };
    if incoming.object_type != object_type {
        return Err(Refusal::new(ResultReason::INVALID_FIELD, "the object is of another type than the request says"));
    }
    if !incoming.inside.is_empty() {
        incoming.join(&mut attributes, &given);
        on.stand(object_type, &mut attributes)?;
    }
    if object_type.credential_type().is_some() {
        // As Create Credential: it is there to be compared with and never leaves again.
        attributes.retain(|it| it.kind != AttributeKind::Extractable);
        attributes.push(Attribute::new(AttributeKind::Extractable, AttributeValue::Boolean(false)));
    }
    for (kind, value) in [
        (AttributeKind::CryptographicAlgorithm, algorithm.map(|it| AttributeValue::Enumeration(it.0))),
        (AttributeKind::CryptographicLength, bits.map(|bits| AttributeValue::Integer(bits.cast_signed()))),
    ] {
        if let Some(value) = value
            && !incoming.derived.iter().any(|known| known.kind == kind)
        {
            incoming.derived.push(Attribute::new(kind, value));
        }
    }
    incoming.derived.retain(|known| !attributes.iter().any(|given| given.kind == known.kind));
    let value_present = incoming.value.is_some();
    let object = on
        .run(Register {
            identifier: None,
            object_type: incoming.object_type,
            subtype: incoming.subtype,
            origin: Origin::Kmip,
            format: incoming.format,
            value: incoming.value,
            derived: incoming.derived,
            attributes,
            secret: on.facet(),
        })
        .await?;
    tracing::debug!(object = %object.identifier, value_present, is_template = (object_type == ObjectType::Template), "registered");
    on.made(Operation::REGISTER, &[object.identifier]);
    Ok(RegisterResponse { unique_identifier: wire(object.identifier), template_attribute: None })
}

/// Takes an object apart whose attributes may say algorithm and length, for Import.
pub(super) async fn incoming(
    on: &Exchange<'_>,
    object: WireObject,
    attributes: &mut [Attribute],
) -> Result<values::Incoming, Refusal> {
    let mut known = attributes.to_vec();
    let (algorithm, bits) = algorithm_and_length(&mut known)?;
    taken_apart(on, object, algorithm, bits).await
}

/// Takes an object apart. A wrapped value is unwrapped where its key is here and may do it, so that the object can be
/// used; it is held and given back as it came in any case.
async fn taken_apart(
    on: &Exchange<'_>,
    mut object: WireObject,
    algorithm: Option<CryptographicAlgorithm>,
    bits: Option<u32>,
) -> Result<values::Incoming, Refusal> {
    wrap::verified(on, &mut object).await?;
    let Some(wrapped) = values::take_wrapping(&mut object)? else {
        return values::incoming(object, on.version, algorithm, bits);
    };
    match wrap::unwrapped(on, &wrapped).await {
        Ok(value) => {
            values::put_unwrapped(&mut object, &wrapped, value, on.version)?;
            let mut incoming = values::incoming(object, on.version, algorithm, bits)?;
            values::hold_wrapped(&mut incoming, wrapped, on.version)?;
            Ok(incoming)
        }
        // What was changed on its way is not taken in.
        Err(error) if error.kind == ErrorKind::Cryptographic && wrapped.data.mac_signature.is_some() => {
            Err(on.refusal(&error))
        }
        Err(error) => {
            tracing::debug!(%error, "a wrapped value is held as it came");
            let mut incoming = values::incoming(object, on.version, algorithm, bits)?;
            values::hold_wrapped(&mut incoming, wrapped, on.version)?;
            Ok(incoming)
        }
    }
}
