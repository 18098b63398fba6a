//! Login, Delegated Login, Logout: tickets that stand for the account in later messages (KMIP 2.0 §6.1.10, .29, .30).

use std::sync::atomic::Ordering;

use kmip_codec::{
    attribute::UsageLimits,
    codec::Interval,
    message::Ticket,
    payload::{
        DelegatedLoginRequest, DelegatedLoginResponse, LoginRequest, LoginResponse, LogoutRequest, LogoutResponse,
        SetEndpointRoleRequest, SetEndpointRoleResponse,
    },
    secret::SecretBytes,
    spec::enums::{EndpointRole, ResultReason, TicketType, UsageLimitsUnit},
};

use crate::{
    domain::UniqueIdentifier,
    kmip::{
        batch::Exchange,
        error::Refusal,
        tickets::{Right, Rights, TICKET_BYTES},
    },
};

/// Opens a ticket; none of the limits given means none.
fn issue(
    on: &Exchange<'_>,
    lease: Option<Interval>,
    count: Option<i32>,
    limits: Option<&UsageLimits>,
    rights: Option<Rights>,
) -> Result<Ticket, Refusal> {
    let invalid = |text| Refusal::new(ResultReason::INVALID_FIELD, text);
    let count = count.unwrap_or(0);
    let count = u32::try_from(count).map_err(|_negative| invalid("a request count is not negative"))?;
    let mut left = (count > 0).then_some(count);
    if let Some(limits) = limits {
        if limits.unit != UsageLimitsUnit::OBJECT {
            let text = "the bytes of a ticket's requests are not counted";
            return Err(Refusal::new(ResultReason::FEATURE_NOT_SUPPORTED, text));
        }
        let total = limits.count.unwrap_or(limits.total);
        let total = u32::try_from(total).map_err(|_too_many| invalid("the usage limit is out of range"))?;
        left = Some(left.map_or(total, |left| left.min(total)));
    }
    let ends = lease.filter(|lease| lease.0 > 0).map(|lease| on.now().plus_seconds(i64::from(lease.0)));
    let value = on.random(TICKET_BYTES);
    on.service.tickets.issue(value.clone(), (on.principal(), on.client()), ends, left, rights, on.now())?;
    Ok(Ticket { ticket_type: TicketType::LOGIN, ticket_value: SecretBytes::from(value) })
}

pub(in crate::kmip) async fn login(on: &mut Exchange<'_>, request: LoginRequest) -> Result<LoginResponse, Refusal> {
    let LoginRequest { lease_time, request_count, usage_limits } = request;
    Ok(LoginResponse { ticket: issue(on, lease_time, request_count, usage_limits.as_ref(), None)? })
}

pub(in crate::kmip) async fn delegated_login(
    on: &mut Exchange<'_>,
    request: DelegatedLoginRequest,
) -> Result<DelegatedLoginResponse, Refusal> {
    let mut rights = Vec::with_capacity(request.rights.rights.len());
    for right in request.rights.rights {
        if right.object_groups.is_some() || right.usage_limits.is_some() {
            let text = "rights are limited by operations and objects only";
            return Err(Refusal::new(ResultReason::FEATURE_NOT_SUPPORTED, text));
        }
        let objects = right.objects.map(|objects| {
            objects
                .unique_identifiers
                .iter()
                .map(|id| on.object(Some(id)))
                .collect::<Result<Vec<UniqueIdentifier>, _>>()
        });
        rights.push(Right {
            operations: right.operations.map(|operations| operations.operations),
            objects: objects.transpose()?,
        });
    }
    let DelegatedLoginRequest { lease_time, request_count, usage_limits, .. } = request;
    let ticket = issue(on, lease_time, request_count, usage_limits.as_ref(), Some(Rights(rights)))?;
    Ok(DelegatedLoginResponse { ticket })
}

pub(in crate::kmip) async fn logout(on: &mut Exchange<'_>, request: LogoutRequest) -> Result<LogoutResponse, Refusal> {
    if request.ticket.ticket_type != TicketType::LOGIN {
        return Err(Refusal::new(ResultReason::INVALID_TICKET, "tickets of this type are not given out"));
    }
    on.service.tickets.close(request.ticket.ticket_value.expose_secret(), on.principal())?;
    Ok(LogoutResponse::default())
}

/// Says which role the server is to have. As a client it tells of changes on this connection, from the answer on; as a server
/// it is what it is already.
pub(in crate::kmip) async fn set_endpoint_role(
    on: &mut Exchange<'_>,
    request: SetEndpointRoleRequest,
) -> Result<SetEndpointRoleResponse, Refusal> {
    match request.endpoint_role {
        EndpointRole::SERVER => {}
        EndpointRole::CLIENT => match &on.turn {
            Some(turn) => turn.store(true, Ordering::Relaxed),
            None => {
                let text = "the roles are turned on a connection of their own: neither over HTTPS nor later";
                return Err(Refusal::new(ResultReason::OPERATION_NOT_SUPPORTED, text));
            }
        },
        _ => return Err(Refusal::new(ResultReason::INVALID_FIELD, "the role is that of a client or a server")),
    }
    Ok(SetEndpointRoleResponse { endpoint_role: request.endpoint_role })
}
