//! Create Split Key and Join Split Key.

use kmip_codec::{
    payload::{CreateSplitKeyRequest, CreateSplitKeyResponse, JoinSplitKeyRequest, JoinSplitKeyResponse},
    spec::enums::{ObjectType as WireType, Operation, ResultReason},
};

use super::{create::algorithm_and_length, wire};
use crate::{
    domain::{ObjectType, UniqueIdentifier},
    engine::ops::split::{Join, Scheme, Split},
    kmip::{batch::Exchange, error::Refusal, values},
};

fn count(number: i32) -> Result<u32, Refusal> {
    u32::try_from(number)
        .map_err(|_negative| Refusal::new(ResultReason::INVALID_FIELD, "a number of parts is not negative"))
}

pub(in crate::kmip) async fn create_split_key(
    on: &mut Exchange<'_>,
    request: CreateSplitKeyRequest,
) -> Result<CreateSplitKeyResponse, Refusal> {
    if request.object_type != WireType::SPLIT_KEY && request.unique_identifier.is_some() {
        return Err(Refusal::new(ResultReason::INVALID_FIELD, "parts of a key are split keys"));
    }
    // Without an identifier a key is made: the placeholder is not asked (KMIP 1.2 §4.38).
    let object = request.unique_identifier.as_ref().map(|id| on.object(Some(id))).transpose()?;
    let mut attributes = on.attributes(request.attributes).await?;
    on.stand(ObjectType::SplitKey, &mut attributes)?;
    let (algorithm, length_bits) = algorithm_and_length(&mut attributes)?;
    let scheme = Scheme {
        parts: count(request.split_key_parts)?,
        threshold: count(request.split_key_threshold)?,
        method: request.split_key_method.number(),
        polynomial: request.split_key_polynomial.map(|it| it.number()),
        prime: request.prime_field_size.as_ref().and_then(values::big_integer),
    };
    let parts = on.run(Split { object, scheme, algorithm, length_bits, attributes, secret: on.facet() }).await?;
    let ids: Vec<UniqueIdentifier> = parts.iter().map(|part| part.identifier).collect();
    on.made(Operation::CREATE_SPLIT_KEY, &ids);
    Ok(CreateSplitKeyResponse { unique_identifiers: ids.into_iter().map(wire).collect(), template_attribute: None })
}

pub(in crate::kmip) async fn join_split_key(
    on: &mut Exchange<'_>,
    request: JoinSplitKeyRequest,
) -> Result<JoinSplitKeyResponse, Refusal> {
    let object_type = super::create::object_type(request.object_type)?;
    let objects =
        request.unique_identifiers.iter().map(|id| on.object(Some(id))).collect::<Result<Vec<_>, Refusal>>()?;
    let mut attributes = on.attributes(request.attributes.unwrap_or_default()).await?;
    on.stand(object_type, &mut attributes)?;
    let (algorithm, length_bits) = algorithm_and_length(&mut attributes)?;
    let subtype = request.secret_data_type.map(|it| it.number());
    let secret = on.facet();
    let join = Join { object_type, objects, subtype, algorithm, length_bits, attributes, secret };
    let joined = on.run(join).await?;
    on.made(Operation::JOIN_SPLIT_KEY, &[joined.identifier]);
    Ok(JoinSplitKeyResponse { unique_identifier: wire(joined.identifier), template_attribute: None })
}
