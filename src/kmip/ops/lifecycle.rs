//! Activate, Revoke, Destroy, Check.

use kmip_codec::{
    payload::{
        ActivateRequest, ActivateResponse, CheckRequest, CheckResponse, DestroyRequest, DestroyResponse, RevokeRequest,
        RevokeResponse,
    },
    spec::enums::{ResultReason, RevocationReasonCode},
};

use super::wire;
use crate::{
    domain::{UsageMask, lifecycle::RevocationReason},
    engine::ops::lifecycle::{Activate, Check, Destroy, Revoke},
    kmip::{attributes, batch::Exchange, error::Refusal},
};

pub(in crate::kmip) async fn activate(
    on: &mut Exchange<'_>,
    request: ActivateRequest,
) -> Result<ActivateResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    let object = on.run(Activate { object }).await?;
    Ok(ActivateResponse { unique_identifier: wire(object.identifier) })
}

pub(in crate::kmip) async fn revoke(on: &mut Exchange<'_>, request: RevokeRequest) -> Result<RevokeResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    if !attributes::is_known(RevocationReasonCode::ROWS, request.revocation_reason.code.number()) {
        return Err(Refusal::new(ResultReason::INVALID_FIELD, "the revocation reason is not known"));
    }
    let reason =
        RevocationReason { code: request.revocation_reason.code.number(), message: request.revocation_reason.message };
    let occurred = request.compromise_occurrence_date.map(attributes::timestamp);
    let object = on.run(Revoke { object, reason, occurred }).await?;
    Ok(RevokeResponse { unique_identifier: wire(object.identifier) })
}

pub(in crate::kmip) async fn destroy(
    on: &mut Exchange<'_>,
    request: DestroyRequest,
) -> Result<DestroyResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    let object = on.run(Destroy { object }).await?;
    Ok(DestroyResponse { unique_identifier: wire(object.identifier) })
}

pub(in crate::kmip) async fn check(on: &mut Exchange<'_>, request: CheckRequest) -> Result<CheckResponse, Refusal> {
    let object = on.object(request.unique_identifier.as_ref())?;
    let check = Check {
        object,
        usage_limits_count: request.usage_limits_count,
        usage: request.cryptographic_usage_mask.map(|mask| UsageMask(mask.bits())),
        lease_seconds: request.lease_time.map(|seconds| seconds.0),
    };
    match on.run(check).await {
        Ok(object) => {
            Ok(CheckResponse { unique_identifier: Some(wire(object.identifier)), ..CheckResponse::default() })
        }
        Err(refusal) => {
            on.forget();
            Err(refusal)
        }
    }
}
