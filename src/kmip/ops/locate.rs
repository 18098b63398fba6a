//! Locate.

use kmip_codec::{
    payload::{LocateRequest, LocateResponse},
    spec::enums::ResultReason,
    version::V1_3,
};

use super::wire;
use crate::{
    domain::UniqueIdentifier,
    engine::ops::locate::Locate,
    kmip::{attributes, batch::Exchange, error::Refusal},
};

pub(in crate::kmip) async fn locate(on: &mut Exchange<'_>, request: LocateRequest) -> Result<LocateResponse, Refusal> {
    let count = |number: Option<i32>| {
        number
            .map(usize::try_from)
            .transpose()
            .map_err(|_negative| Refusal::new(ResultReason::INVALID_FIELD, "a number of items is not negative"))
    };
    let maximum_items = count(request.maximum_items)?;
    let located = on
        .run(Locate {
            conditions: attributes::all(request.attributes.0, on.version)?,
            storage_status: request.storage_status_mask.map(|mask| mask.bits()),
            group_member: request.object_group_member.map(|member| member.number()),
            maximum_items,
            offset_items: count(request.offset_items)?.unwrap_or(0),
        })
        .await?;
    let ids: Vec<UniqueIdentifier> = located.objects.iter().map(|object| object.identifier).collect();
    on.located(&ids, maximum_items == Some(1));
    Ok(LocateResponse {
        located_items: (on.version >= V1_3).then(|| i32::try_from(located.total).unwrap_or(i32::MAX)),
        unique_identifiers: ids.into_iter().map(wire).collect(),
    })
}
