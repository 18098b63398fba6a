//! `/v1/containers`, `/v1/containers/ID` and its members (contract §2.6, §2.7).

use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use serde_json::json;

use super::{
    Request,
    error::Refusal,
    filters::{self, like},
    json::Json,
    located, model, no_content, ok,
    query::decode,
    schema::{Field, Schema, Type},
};
use crate::{
    domain::{
        UniqueIdentifier,
        group::{Group, GroupKind, Member},
    },
    engine::{
        Error, ErrorKind,
        ops::{
            groups::{ChangeMembers, CreateGroup, DeleteGroup, ListGroups, MemberChange, ReadGroup},
            list_secrets::Filter,
        },
    },
};

pub(super) const CONTAINER: Schema = Schema {
    name: "Container",
    fields: &[
        Field::new("name", &[Type::String, Type::Null]).length(0, 255),
        Field::new("type", &[]).one_of(&["generic", "rsa", "certificate"]).required(),
        Field::new("secret_refs", &[Type::Array]),
    ],
    closed: false,
    names_missing: false,
};

pub(super) const MEMBER: Schema = Schema {
    name: "Container",
    fields: &[
        Field::new("name", &[Type::String, Type::Null]).length(0, 255),
        Field::new("secret_ref", &[Type::String]).length(1, usize::MAX).required(),
    ],
    closed: false,
    names_missing: false,
};

pub(super) const CONTAINER_SECRET: Schema = Schema {
    name: "ContainerSecret",
    fields: &[
        Field::new("name", &[Type::String]).length(0, 255),
        Field::new("secret_ref", &[Type::String]).length(1, usize::MAX).required(),
    ],
    closed: false,
    names_missing: false,
};

/// The texts of the failures that mean something of their own for members.
pub(super) const MEMBERS_OWN: &[(ErrorKind, u16, &str)] = &[
    (ErrorKind::WrongObjectType, 400, "Only 'generic' containers can be modified."),
    (ErrorKind::ValueMissing, 404, "Secret provided doesn't exist."),
    (ErrorKind::AttributeMissing, 404, "Secret provided is not in the container"),
    (
        ErrorKind::AlreadyExists,
        409,
        "Conflict. A secret with that name and ID is already stored in this container. The same secret can exist in a \
         container as long as the name is unique.",
    ),
];

/// `POST /v1/containers`.
pub(super) async fn create(mut request: Request) -> Result<Response<Body>, Error> {
    let body = request.json().await;
    let settings = request.settings();
    let mut bases = vec![request.base.as_str(), request.asked.as_str()];
    bases.extend(settings.aliases.iter().map(String::as_str));
    let new = body.and_then(|body| new_container(&body, &bases));
    let id = request.execute_late(new).await?;
    let href = model::container_ref(&request.base, id);
    Ok(located(StatusCode::CREATED, &href, &json!({"container_ref": href})))
}

/// Judges a body, in the order in which the reference service does.
fn new_container(body: &Json, bases: &[&str]) -> Result<CreateGroup, Refusal> {
    CONTAINER.check(body)?;
    let refs = body.get("secret_refs").and_then(Json::items).unwrap_or_default();
    let mut names: Vec<Option<&Json>> = Vec::new();
    let mut targets: Vec<&str> = Vec::new();
    for entry in refs {
        MEMBER.check_under(entry, Some("secret_refs"))?;
        let same = |have: &Option<&Json>| match (have, entry.get("name")) {
            (None, None) => true,
            (Some(one), Some(other)) => one.text() == other.text(),
            _ => false,
        };
        if names.iter().any(same) {
            return Err(CONTAINER.refuse("Duplicate reference names are not allowed", Some("secret_refs")));
        }
        names.push(entry.get("name"));
        targets.push(entry.get("secret_ref").and_then(Json::text).unwrap_or_default().trim_end_matches('/'));
    }
    let last = |href: &&str| href.rsplit('/').next().unwrap_or_default().to_owned();
    let mut ids: Vec<String> = targets.iter().map(last).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < targets.len() {
        return Err(CONTAINER.refuse("Duplicate secret ids are not allowed", Some("secret_refs")));
    }
    let mut ids = Vec::new();
    for href in &targets {
        ids.push(own_secret(href, bases)?);
    }
    let text = |name: Option<&Json>| name.and_then(Json::text).map(str::to_owned);
    let kind = body.get("type").and_then(Json::text).and_then(GroupKind::from_name).unwrap_or(GroupKind::Generic);
    let names: Vec<Option<String>> = names.into_iter().map(text).collect();
    check_names(kind, &names)?;
    let mut members = Vec::new();
    for (name, id) in names.into_iter().zip(ids) {
        // What is no identifier names no secret; policy and quota come before that is said.
        let object = id.unwrap_or(UniqueIdentifier::from_bytes([0; 16]));
        members.push(Member { name, object });
    }
    let missing = |name: Option<&str>| {
        Refusal::not_found(format!("Secret provided for '{}' doesn't exist.", name.unwrap_or("None"))).into()
    };
    Ok(CreateGroup { kind, name: text(body.get("name")), members, missing })
}

/// The identifier in a reference to a secret of this service (contract §2.6.1).
///
/// Only the origin is compared, with all that are known of the service: clients build references from the catalogue's URL, which
/// may have a path of its own that this service never sees.
fn own_secret(href: &str, bases: &[&str]) -> Result<Option<UniqueIdentifier>, Refusal> {
    let foreign = || Refusal::bad_request("Provided field value is not supported");
    let (root, id) = href.rsplit_once("/v1/secrets/").ok_or_else(foreign)?;
    let known = bases.iter().any(|base| origin(base).eq_ignore_ascii_case(origin(root)));
    if known { Ok(id.parse().ok()) } else { Err(foreign()) }
}

/// Scheme and authority of a URL.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    let end = url.get(start..).and_then(|rest| rest.find('/')).map_or(url.len(), |slash| start + slash);
    url.get(..end).unwrap_or(url)
}

/// Which names a typed container must and may have; an empty one needs none.
fn check_names(kind: GroupKind, names: &[Option<String>]) -> Result<(), Refusal> {
    let (required, allowed, foreign, incomplete): (&[&str], &[&str], &str, &str) = match kind {
        GroupKind::Generic => return Ok(()),
        GroupKind::Rsa => (
            &["public_key", "private_key"],
            &["private_key_passphrase"],
            "only 'private_key', 'public_key' and 'private_key_passphrase' reference names are allowed for RSA type",
            "The minimum required reference names are 'public_key' and'private_key' for RSA type",
        ),
        GroupKind::Certificate => (
            &["certificate"],
            &["private_key", "private_key_passphrase", "intermediates"],
            "only 'private_key', 'certificate' , 'private_key_passphrase',  or 'intermediates' reference names are \
             allowed for Certificate type",
            "The minimum required reference name is 'certificate' for Certificate type",
        ),
    };
    if names.is_empty() {
        return Ok(());
    }
    let is = |name: &Option<String>, words: &[&str]| name.as_deref().is_some_and(|name| words.contains(&name));
    if names.iter().any(|name| !is(name, required) && !is(name, allowed)) {
        return Err(CONTAINER.refuse(foreign, Some("secret_refs")));
    }
    let has = |word: &&str| names.iter().any(|name| name.as_deref() == Some(*word));
    if required.iter().all(has) { Ok(()) } else { Err(CONTAINER.refuse(incomplete, Some("secret_refs"))) }
}

/// `GET /v1/containers`.
pub(super) async fn list(request: Request) -> Result<Response<Body>, Error> {
    let window = request.window();
    let wanted = filter(&request).map(|filter| ListGroups {
        filter: filters::groups_shown_to(&request, filter),
        offset: window.offset,
        limit: window.limit,
    });
    let listed = request.execute_late(wanted).await?;
    let show = |group: &Group| model::container(group, &request.base);
    let url = format!("{}/v1/containers", request.base);
    Ok(ok(&window.answer("containers", &listed, show, &url, &request.query)))
}

fn filter(request: &Request) -> Result<Option<Filter<Group>>, Refusal> {
    let name = request.query.filter("name")?.map(decode);
    let kind = request.query.filter("type")?.map(str::to_owned);
    if name.is_none() && kind.is_none() {
        return Ok(None);
    }
    Ok(Some(Box::new(move |group| {
        let named = |pattern: &String| group.name.as_deref().is_some_and(|name| like(pattern, name));
        name.as_ref().is_none_or(named) && kind.as_ref().is_none_or(|kind| group.kind.name() == kind)
    })))
}

/// `GET /v1/containers/ID`.
pub(super) async fn read(request: Request) -> Result<Response<Body>, Error> {
    let group = request.execute(ReadGroup { group: request.id() }).await?;
    Ok(ok(&model::container(&group, &request.base)))
}

/// `DELETE /v1/containers/ID`.
pub(super) async fn delete(request: Request) -> Result<Response<Body>, Error> {
    request.execute(DeleteGroup { group: request.id() }).await?;
    Ok(no_content())
}

/// `POST /v1/containers/ID/secrets`.
pub(super) async fn add(mut request: Request) -> Result<Response<Body>, Error> {
    let group = request.id();
    let member = request.json().await.and_then(|body| member_of(&body)).map(|(member, _)| member);
    let member = member.map_err(Error::from);
    request.execute(ChangeMembers { group, change: MemberChange::Add, member }).await?;
    let href = model::container_ref(&request.base, group);
    Ok(located(StatusCode::CREATED, &href, &json!({"container_ref": href})))
}

/// `DELETE /v1/containers/ID/secrets`, with the member in the body, whatever its content type.
pub(super) async fn remove(mut request: Request) -> Result<Response<Body>, Error> {
    let group = request.id();
    let parsed = request.any_json().await.and_then(|body| member_of(&body));
    let named = parsed.as_ref().ok().map(|(member, href)| (member.name.clone(), href.clone()));
    let member = parsed.map(|(member, _)| member).map_err(Error::from);
    match (request.execute(ChangeMembers { group, change: MemberChange::Remove, member }).await, named) {
        (Ok(()), _) => Ok(no_content()),
        (Err(error), Some((name, href))) if error.kind == ErrorKind::ValueMissing => {
            let name = name.as_deref().unwrap_or("None");
            Err(Refusal::not_found(format!("Secret '{name}' with reference '{href}' doesn't exist.")).into())
        }
        (Err(error), _) => Err(error),
    }
}

/// The member that a body names; the part before the last slash is not compared. What is no identifier names no secret.
fn member_of(body: &Json) -> Result<(Member, String), Refusal> {
    CONTAINER_SECRET.check(body)?;
    let text = |name| body.get(name).and_then(Json::text).map(str::to_owned);
    let href = text("secret_ref").unwrap_or_default();
    let id = href.rsplit_once('/').and_then(|(_, id)| id.parse().ok());
    let object = id.unwrap_or(UniqueIdentifier::from_bytes([0; 16]));
    Ok((Member { name: text("name"), object }, href))
}
