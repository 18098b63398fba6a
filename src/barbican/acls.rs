//! `…/acl` of secrets and containers (contract §2.4).

use axum::{body::Body, http::Response};
use serde_json::{Value, json};

use super::{
    Request,
    error::Refusal,
    json::Json,
    model, ok,
    path::Kind,
    schema::{Field, Schema, Type},
};
use crate::engine::{
    Error,
    ops::grants::{ChangeGrants, ChangeGroupGrants, GrantsChange, ReadGrants, ReadGroupGrants},
};

pub(super) const ACL: Schema =
    Schema { name: "ACL", fields: &[Field::new("read", &[Type::Object])], closed: true, names_missing: false };
pub(super) const READ: Schema = Schema {
    name: "ACL",
    fields: &[Field::new("users", &[Type::Array]), Field::new("project-access", &[Type::Boolean])],
    closed: true,
    names_missing: false,
};

/// `GET …/acl`.
pub(super) async fn read(request: Request) -> Result<Response<Body>, Error> {
    let id = request.id();
    let grants = if of_container(&request) {
        request.execute(ReadGroupGrants { group: id }).await?
    } else {
        request.execute(ReadGrants { secret: id }).await?
    };
    Ok(ok(&model::grants(grants.as_ref())))
}

/// `PUT …/acl`: what is not given goes back to its default; nothing at all removes the list.
pub(super) async fn replace(mut request: Request) -> Result<Response<Body>, Error> {
    let change = request.json().await.and_then(|body| members(&body)).map(|(users, project_access)| {
        if users.is_none() && project_access.is_none() {
            GrantsChange::Clear
        } else {
            GrantsChange::Replace { project_access: project_access.unwrap_or(true), users: users.unwrap_or_default() }
        }
    });
    changed(request, change).await
}

/// `PATCH …/acl`: what is not given stays.
pub(super) async fn merge(mut request: Request) -> Result<Response<Body>, Error> {
    let change = request.json().await.and_then(|body| members(&body)).map(|(users, project_access)| {
        if users.is_none() && project_access.is_none() {
            GrantsChange::Nothing
        } else {
            GrantsChange::Merge { project_access, users }
        }
    });
    changed(request, change).await
}

/// `DELETE …/acl`: answers `null`, which clients parse.
pub(super) async fn remove(request: Request) -> Result<Response<Body>, Error> {
    apply(&request, Ok(GrantsChange::Clear)).await?;
    Ok(ok(&Value::Null))
}

async fn changed(request: Request, change: Result<GrantsChange, Refusal>) -> Result<Response<Body>, Error> {
    apply(&request, change).await?;
    let id = request.id();
    let entity = if of_container(&request) {
        model::container_ref(&request.base, id)
    } else {
        model::secret_ref(&request.base, id)
    };
    Ok(ok(&json!({"acl_ref": format!("{entity}/acl")})))
}

async fn apply(request: &Request, change: Result<GrantsChange, Refusal>) -> Result<(), Error> {
    let id = request.id();
    if of_container(request) {
        request.execute_late(change.map(|change| ChangeGroupGrants { group: id, change })).await
    } else {
        request.execute_late(change.map(|change| ChangeGrants { secret: id, change })).await
    }
}

fn of_container(request: &Request) -> bool {
    request.place.kind == Kind::ContainerAcl
}

/// `users`, each once, and `project-access`, as far as they are given.
fn members(body: &Json) -> Result<(Option<Vec<String>>, Option<bool>), Refusal> {
    ACL.check(body)?;
    let Some(read) = body.get("read") else { return Ok((None, None)) };
    READ.check_under(read, Some("read"))?;
    let Some(listed) = read.get("users").and_then(Json::items) else {
        return Ok((None, read.get("project-access").and_then(Json::bool)));
    };
    let mut users: Vec<String> = Vec::new();
    for user in listed {
        let wrong = |reason: &str| ACL.refuse(format!("{} {reason}", user.repr()), Some("read"));
        let user = user.text().ok_or_else(|| wrong("is not of type 'string'"))?;
        if user.chars().count() > 255 {
            return Err(wrong("is too long"));
        }
        if !users.iter().any(|have| have == user) {
            users.push(user.to_owned());
        }
    }
    Ok((Some(users), read.get("project-access").and_then(Json::bool)))
}
