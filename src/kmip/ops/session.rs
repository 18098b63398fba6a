//! Login, Delegated Login, Logout: tickets that stand for the account in later messages (KMIP 2.0 §6.1.10, .29, .30).

use std::sync::atomic::Ordering;

use kmip_codec::{
    attribute::UsageLimits,
    message::Ticket,
    payload::{
        DelegatedLoginRequest, DelegatedLoginResponse, LoginRequest, LoginResponse, LogoutRequest, LogoutResponse,
        SetEndpointRoleRequest, SetEndpointRoleResponse, TicketLease,
    },
    secret::SecretBytes,
    spec::enums::{EndpointRole, ResultReason, TicketType},
};

use crate::{
    domain::{Timestamp, UniqueIdentifier},
    kmip::{
        batch::Exchange,
        error::Refusal,
        tickets::{Budget, Right, Rights, TICKET_BYTES, Term},
    },
};

/// Opens a ticket; none of the limits given means none.
fn issue(
    on: &Exchange<'_>,
    lease: Option<TicketLease>,
    count: Option<i32>,
    limits: Option<&UsageLimits>,
    rights: Option<Rights>,
) -> Result<Ticket, Refusal> {
    let invalid = |text| Refusal::new(ResultReason::INVALID_FIELD, text);
    let count = count.unwrap_or(0);
    let count = u32::try_from(count).map_err(|_negative| invalid("a request count is not negative"))?;
    let ends = match lease {
        None => None,
        Some(TicketLease::For(span)) => (span.0 > 0).then(|| on.now().plus_seconds(i64::from(span.0))),
        Some(TicketLease::Until(time)) => {
            let ends = Timestamp::from_seconds(time.0);
            if ends <= on.now() {
                return Err(invalid("the ticket would have ended already"));
            }
            Some(ends)
        }
    };
    let budget = limits.map(Budget::new).transpose()?;
    let term = Term { ends, requests: (count > 0).then_some(count), budget };
    let value = on.random(TICKET_BYTES);
    on.service.tickets.issue(value.clone(), (on.principal(), on.client()), term, rights, on.now())?;
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
            groups: right.object_groups.map(|groups| groups.object_groups),
            budget: right.usage_limits.as_ref().map(Budget::new).transpose()?,
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
