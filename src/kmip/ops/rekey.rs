//! Re-key and Re-key Key Pair.

use kmip_codec::{
    attribute::Attributes as WireAttributes,
    payload::{ReKeyKeyPairRequest, ReKeyKeyPairResponse, ReKeyRequest, ReKeyResponse},
    spec::enums::Operation,
};

use super::{create::joined, wire};
use crate::{
    engine::ops::rekey::{Rekey, RekeyKeyPair},
    kmip::{batch::Exchange, error::Refusal},
};

pub(in crate::kmip) async fn re_key(on: &mut Exchange<'_>, request: ReKeyRequest) -> Result<ReKeyResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    let attributes = on.attributes(request.attributes.unwrap_or_default()).await?;
    let offset = request.offset.map(|seconds| seconds.0);
    on.stand_again(object, &attributes).await?;
    let new = on.run(Rekey { object, offset, attributes }).await?;
    on.made(Operation::RE_KEY, &[new.identifier]);
    Ok(ReKeyResponse { unique_identifier: wire(new.identifier), template_attribute: None })
}

pub(in crate::kmip) async fn re_key_key_pair(
    on: &mut Exchange<'_>,
    request: ReKeyKeyPairRequest,
) -> Result<ReKeyKeyPairResponse, Refusal> {
    let private = on.object(request.private_key_unique_identifier.as_ref())?;
    let list = |from: Option<WireAttributes>| from.unwrap_or_default();
    let common = on.attributes(list(request.common_attributes)).await?;
    let private_attributes = joined(&common, on.attributes(list(request.private_key_attributes)).await?);
    let public_attributes = joined(&common, on.attributes(list(request.public_key_attributes)).await?);
    let offset = request.offset.map(|seconds| seconds.0);
    on.stand_again(private, &private_attributes).await?;
    let pair = on.run(RekeyKeyPair { private, offset, private_attributes, public_attributes }).await?;
    on.made(Operation::RE_KEY_KEY_PAIR, &[pair.private.identifier, pair.public.identifier]);
    Ok(ReKeyKeyPairResponse {
        private_key_unique_identifier: wire(pair.private.identifier),
        public_key_unique_identifier: wire(pair.public.identifier),
        private_key_template_attribute: None,
        public_key_template_attribute: None,
    })
}
