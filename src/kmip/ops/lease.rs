//! Obtain Lease, Get Usage Allocation, Archive, Recover.

use kmip_codec::{
    codec::Interval,
    payload::{
        ArchiveRequest, ArchiveResponse, GetUsageAllocationRequest, GetUsageAllocationResponse, ObtainLeaseRequest,
        ObtainLeaseResponse, RecoverRequest, RecoverResponse,
    },
    spec::enums::Operation,
};

use super::wire;
use crate::{
    engine::ops::{
        archive::Archive,
        lease::{Allocate, ObtainLease},
    },
    kmip::{attributes::date_time, batch::Exchange, error::Refusal},
};

pub(in crate::kmip) async fn obtain_lease(
    on: &mut Exchange<'_>,
    request: ObtainLeaseRequest,
) -> Result<ObtainLeaseResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    let leased = on.run(ObtainLease { object }).await?;
    Ok(ObtainLeaseResponse {
        unique_identifier: wire(object),
        lease_time: Interval(leased.seconds),
        last_change_date: date_time(leased.object.lifecycle.last_change),
    })
}

pub(in crate::kmip) async fn get_usage_allocation(
    on: &mut Exchange<'_>,
    request: GetUsageAllocationRequest,
) -> Result<GetUsageAllocationResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    on.run(Allocate { object, count: request.usage_limits_count }).await?;
    Ok(GetUsageAllocationResponse { unique_identifier: wire(object) })
}

pub(in crate::kmip) async fn archive(
    on: &mut Exchange<'_>,
    request: ArchiveRequest,
) -> Result<ArchiveResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    on.run(Archive { object, recover: false }).await?;
    Ok(ArchiveResponse { unique_identifier: wire(object) })
}

pub(in crate::kmip) async fn recover(
    on: &mut Exchange<'_>,
    request: RecoverRequest,
) -> Result<RecoverResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    on.run(Archive { object, recover: true }).await?;
    on.made(Operation::RECOVER, &[object]);
    Ok(RecoverResponse { unique_identifier: wire(object) })
}
