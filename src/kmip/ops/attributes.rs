//! Get Attributes, Get Attribute List, Add, Modify, Delete and Set Attribute.

use kmip_codec::{
    attribute::AttributeKind as WireKind,
    payload::{
        AddAttributeRequest, AddAttributeResponse, AdjustAttributeRequest, AdjustAttributeResponse,
        DeleteAttributeRequest, DeleteAttributeResponse, GetAttributeListRequest, GetAttributeListResponse,
        GetAttributesRequest, GetAttributesResponse, ModifyAttributeRequest, ModifyAttributeResponse,
        SetAttributeRequest, SetAttributeResponse,
    },
    spec::enums::{AdjustmentType, ResultReason},
    ttlv::Value,
    version::{V2_0, V3_0},
};

use super::{accounts::no_circle, wire};
use crate::{
    domain::{Attribute, AttributeKind},
    engine::ops::attributes::{Adjustment, AttributeChange, ChangeAttribute, ReadAttributes},
    kmip::{attributes, batch::Exchange, error::Refusal},
};

pub(in crate::kmip) async fn get_attributes(
    on: &mut Exchange<'_>,
    request: GetAttributesRequest,
) -> Result<GetAttributesResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    let asked = request.attribute_references;
    let repeated = asked.iter().enumerate().any(|(at, kind)| asked.iter().skip(at + 1).any(|other| other == kind));
    if repeated {
        return Err(Refusal::new(ResultReason::INVALID_MESSAGE, "an attribute is asked for twice"));
    }
    // Names nobody knows are skipped, not refused (contract §6, Get Attributes).
    let wanted: Vec<AttributeKind> = asked.iter().filter_map(|kind| attributes::kind(kind, on.version).ok()).collect();
    let digest = asked.is_empty() || wanted.contains(&AttributeKind::Digest);
    let set = on.run(ReadAttributes { object, digest }).await?;
    if on.version >= V3_0 && !asked.is_empty() {
        // One kind of ours is several attributes in 3.0, so what was asked for is looked up among what would be shown.
        let mut list = attributes::for_client(&set.attributes, on.version);
        list.items.retain(|attribute| asked.contains(&attribute.kind_in(on.version)));
        let attributes = kmip_codec::attribute::AttributeList(list);
        return Ok(GetAttributesResponse { unique_identifier: wire(object), attributes });
    }
    let chosen: Vec<&Attribute> = if asked.is_empty() {
        set.attributes.iter().collect()
    } else {
        wanted.iter().flat_map(|kind| set.attributes.iter().filter(move |attribute| attribute.kind == *kind)).collect()
    };
    let list = attributes::for_client(chosen, on.version);
    Ok(GetAttributesResponse {
        unique_identifier: wire(object),
        attributes: kmip_codec::attribute::AttributeList(list),
    })
}

pub(in crate::kmip) async fn get_attribute_list(
    on: &mut Exchange<'_>,
    request: GetAttributeListRequest,
) -> Result<GetAttributeListResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    let set = on.run(ReadAttributes { object, digest: false }).await?;
    let mut kinds: Vec<WireKind> = Vec::new();
    for attribute in &attributes::for_client(&set.attributes, on.version).items {
        let kind = attribute.kind_in(on.version);
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let digest = attributes::wire_kind(&AttributeKind::Digest);
    if set.object.value.is_some() && !kinds.contains(&digest) {
        kinds.push(digest);
    }
    Ok(GetAttributeListResponse { unique_identifier: wire(object), attribute_references: kinds })
}

pub(in crate::kmip) async fn add_attribute(
    on: &mut Exchange<'_>,
    request: AddAttributeRequest,
) -> Result<AddAttributeResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    if request.attribute.index.is_some() && on.version < V2_0 {
        return Err(Refusal::new(ResultReason::INVALID_FIELD, "an attribute that is added has no index yet"));
    }
    let mut attribute = attributes::one(request.attribute, on.version)?;
    on.complete(&mut attribute)?;
    no_circle(on, object, &attribute).await?;
    let change = AttributeChange::Add(attribute);
    let changed = on.run(ChangeAttribute { object, change }).await?;
    Ok(AddAttributeResponse { unique_identifier: wire(object), attribute: old_form(on, &changed.attribute) })
}

pub(in crate::kmip) async fn modify_attribute(
    on: &mut Exchange<'_>,
    request: ModifyAttributeRequest,
) -> Result<ModifyAttributeResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    let mut to = attributes::one(request.attribute, on.version)?;
    on.complete(&mut to)?;
    no_circle(on, object, &to).await?;
    let current = request.current_attribute.map(|it| attributes::one(it, on.version)).transpose()?;
    let change = AttributeChange::Modify { to, current: current.map(|current| current.value) };
    let changed = on.run(ChangeAttribute { object, change }).await?;
    Ok(ModifyAttributeResponse { unique_identifier: wire(object), attribute: old_form(on, &changed.attribute) })
}

pub(in crate::kmip) async fn set_attribute(
    on: &mut Exchange<'_>,
    request: SetAttributeRequest,
) -> Result<SetAttributeResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    let mut attribute = attributes::one(request.attribute, on.version)?;
    on.complete(&mut attribute)?;
    no_circle(on, object, &attribute).await?;
    let change = AttributeChange::Set(attribute);
    on.run(ChangeAttribute { object, change }).await.map_err(|refusal| read_only(on, refusal))?;
    Ok(SetAttributeResponse { unique_identifier: wire(object) })
}

pub(in crate::kmip) async fn adjust_attribute(
    on: &mut Exchange<'_>,
    request: AdjustAttributeRequest,
) -> Result<AdjustAttributeResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    let kind = attributes::kind(&request.attribute_reference, on.version)?;
    let amount = match &request.adjustment_value {
        None => 1,
        Some(Value::Integer(number)) => i64::from(*number),
        Some(Value::LongInteger(number)) => *number,
        Some(Value::Interval(seconds)) => i64::from(*seconds),
        Some(_) => return Err(Refusal::new(ResultReason::INVALID_DATA_TYPE, "the adjustment is no number")),
    };
    let range = || Refusal::new(ResultReason::NUMERIC_RANGE, "the adjustment is out of range");
    let by = match request.adjustment_type {
        AdjustmentType::INCREMENT => Adjustment::By(amount),
        AdjustmentType::DECREMENT => Adjustment::By(amount.checked_neg().ok_or_else(range)?),
        AdjustmentType::NEGATE => Adjustment::Negate,
        _ => return Err(Refusal::new(ResultReason::INVALID_FIELD, "the adjustment type is not known")),
    };
    let change = AttributeChange::Adjust { kind, by };
    on.run(ChangeAttribute { object, change }).await.map_err(|refusal| read_only(on, refusal))?;
    Ok(AdjustAttributeResponse { unique_identifier: wire(object) })
}

/// 2.0 has a reason of its own for the two operations that were new in it.
fn read_only(on: &Exchange<'_>, refusal: Refusal) -> Refusal {
    if on.version == V2_0 && refusal.reason == ResultReason::ATTRIBUTE_READ_ONLY {
        return Refusal { reason: ResultReason::READ_ONLY_ATTRIBUTE, ..refusal };
    }
    refusal
}

pub(in crate::kmip) async fn delete_attribute(
    on: &mut Exchange<'_>,
    request: DeleteAttributeRequest,
) -> Result<DeleteAttributeResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    let index = request
        .attribute_index
        .map(u32::try_from)
        .transpose()
        .map_err(|_negative| Refusal::new(ResultReason::INVALID_FIELD, "an attribute index is not negative"))?;
    let change = match (request.attribute_name, request.current_attribute, request.attribute_reference) {
        // KMIP 1.x: without an index the first instance is meant.
        (Some(name), _, _) => {
            let kind = attributes::kind(&name, on.version)?;
            AttributeChange::Delete { kind, index: Some(index.unwrap_or(0)), current: None }
        }
        (None, Some(current), _) => {
            let current = attributes::one(current, on.version)?;
            AttributeChange::Delete { kind: current.kind, index: None, current: Some(current.value) }
        }
        (None, None, Some(reference)) => {
            AttributeChange::Delete { kind: attributes::kind(&reference, on.version)?, index: None, current: None }
        }
        (None, None, None) => {
            return Err(Refusal::new(ResultReason::INVALID_MESSAGE, "no attribute is named"));
        }
    };
    let changed = on.run(ChangeAttribute { object, change }).await?;
    Ok(DeleteAttributeResponse { unique_identifier: wire(object), attribute: old_form(on, &changed.attribute) })
}

/// The attribute as 1.x answers carry it; later versions answer with the identifier alone.
fn old_form(on: &Exchange<'_>, attribute: &Attribute) -> Option<kmip_codec::attribute::Attribute> {
    (on.version < V2_0).then(|| attributes::out(attribute)).flatten()
}
