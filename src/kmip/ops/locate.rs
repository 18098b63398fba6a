//! Locate.

use kmip_codec::{
    payload::{LocateRequest, LocateResponse},
    spec::enums::ResultReason,
    version::V1_3,
};

use super::wire;
use crate::{
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
            uncounted: on.version < V1_3,
        })
        .await?;
    on.located(&located.identifiers, maximum_items == Some(1));
    let total = located.total.filter(|_| on.version >= V1_3);
    Ok(LocateResponse {
        located_items: total.map(|total| i32::try_from(total).unwrap_or(i32::MAX)),
        unique_identifiers: located.identifiers.into_iter().map(wire).collect(),
    })
}
