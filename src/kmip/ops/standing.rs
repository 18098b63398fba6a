//! Set Defaults, Set Constraints, Get Constraints: a project's standing rules, set by its administrators.

use kmip_codec::{
    payload::{
        GetConstraintsRequest, GetConstraintsResponse, SetConstraintsRequest, SetConstraintsResponse,
        SetDefaultsRequest, SetDefaultsResponse,
    },
    spec::enums::ResultReason,
    version::V2_1,
};

use crate::kmip::{attributes, batch::Exchange, error::Refusal};

fn administrator(on: &Exchange<'_>) -> Result<(), Refusal> {
    if on.principal().has_role("admin") {
        return Ok(());
    }
    Err(Refusal::new(ResultReason::PERMISSION_DENIED, "only an administrator of the project may set its rules"))
}

pub(in crate::kmip) async fn set_defaults(
    on: &mut Exchange<'_>,
    request: SetDefaultsRequest,
) -> Result<SetDefaultsResponse, Refusal> {
    administrator(on)?;
    let defaults = request.defaults_information.unwrap_or_default();
    for default in &defaults.object_defaults {
        attributes::all(default.attributes.clone(), V2_1)?;
    }
    on.service.standing.set_defaults(&on.principal().project, defaults)?;
    Ok(SetDefaultsResponse::default())
}

pub(in crate::kmip) async fn set_constraints(
    on: &mut Exchange<'_>,
    request: SetConstraintsRequest,
) -> Result<SetConstraintsResponse, Refusal> {
    administrator(on)?;
    let constraints = request.constraints.unwrap_or_default();
    for constraint in &constraints.constraints {
        attributes::all(constraint.attributes.clone().unwrap_or_default(), V2_1)?;
    }
    on.service.standing.set_constraints(&on.principal().project, constraints)?;
    Ok(SetConstraintsResponse::default())
}

pub(in crate::kmip) async fn get_constraints(
    on: &mut Exchange<'_>,
    _request: GetConstraintsRequest,
) -> Result<GetConstraintsResponse, Refusal> {
    let constraints = on.service.standing.constraints(&on.principal().project)?;
    Ok(GetConstraintsResponse { constraints })
}
