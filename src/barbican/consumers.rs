//! `…/consumers` of secrets and containers (contract §2.5, §2.8).

use axum::{
    body::Body,
    http::{Response, StatusCode},
};

use super::{
    Request,
    error::Refusal,
    extract::Microversion,
    json::Json,
    located, model, ok,
    path::Kind,
    schema::{Field, Schema, Type},
};
use crate::{
    domain::{access::Consumer, group::Group, object::ManagedObject},
    engine::{
        Error, ErrorKind,
        ops::{
            consumers::{
                ChangeConsumers, ChangeGroupConsumers, ConsumerChange, ReadConsumers, ReadGroupConsumers, Registration,
            },
            list_secrets::Listed,
        },
    },
};

pub(super) const OF_SECRET: Schema = Schema {
    name: "Secret Consumer",
    fields: &[
        Field::new("service", &[Type::String]).length(1, 255).required(),
        Field::new("resource_type", &[Type::String]).length(1, 255).required(),
        Field::new("resource_id", &[Type::String]).length(1, 255).required(),
    ],
    closed: false,
    names_missing: false,
};

pub(super) const OF_CONTAINER: Schema = Schema {
    name: "Consumer",
    fields: &[
        Field::new("name", &[Type::String]).length(1, 36).required(),
        Field::new("URL", &[Type::String]).length(1, 255).required(),
    ],
    closed: false,
    names_missing: false,
};

/// The texts of the failures that mean something of their own here.
pub(super) const OWN: &[(ErrorKind, u16, &str)] = &[
    (ErrorKind::AttributeMissing, 404, "Consumer not found."),
    (ErrorKind::AttributeReadOnly, 403, "Not Allowed. Sorry, only the creator of a consumer can delete it."),
];

/// What is said of one consumer: their ids are given to nobody, so none is ever found.
pub(super) fn missing(id: &str) -> Refusal {
    match id.parse::<crate::domain::UniqueIdentifier>() {
        Ok(_) => Refusal::not_found("Consumer not found."),
        Err(_) => Refusal::not_found("Not Found. Provided consumer id is invalid."),
    }
}

/// `GET …/consumers`.
pub(super) async fn list(request: Request) -> Result<Response<Body>, Error> {
    let (id, window) = (request.id(), request.window());
    let (mut all, entity, show): (Vec<Consumer>, String, fn(&Consumer) -> serde_json::Value) = if of_container(&request)
    {
        let all = request.execute(ReadGroupConsumers { group: id }).await?;
        (all, model::container_ref(&request.base, id), model::listed_container_consumer)
    } else {
        let all = request.execute(ReadConsumers { secret: id }).await?;
        (all, model::secret_ref(&request.base, id), model::listed_secret_consumer)
    };
    if of_container(&request) {
        all.sort_by(|one, other| one.service.cmp(&other.service));
    }
    let total = all.len();
    let records = all.into_iter().skip(window.offset).take(window.limit).collect();
    let listed = Listed { records, total };
    Ok(ok(&window.answer("consumers", &listed, show, &format!("{entity}/consumers"), &request.query)))
}

/// `POST …/consumers`: 200 and the whole entity.
pub(super) async fn add(mut request: Request) -> Result<Response<Body>, Error> {
    let entity = change(&mut request, ConsumerChange::Add).await?;
    let location = format!("{}/v1/consumers/{}/consumers", request.base, request.id());
    Ok(located(StatusCode::OK, &location, &entity))
}

/// `DELETE …/consumers`, with the consumer in the body.
pub(super) async fn remove(mut request: Request) -> Result<Response<Body>, Error> {
    Ok(ok(&change(&mut request, ConsumerChange::Remove).await?))
}

async fn change(request: &mut Request, change: ConsumerChange) -> Result<serde_json::Value, Error> {
    let (id, now) = (request.id(), request.now());
    let body = request.json().await;
    if of_container(request) {
        let consumer = body.and_then(|body| registration(&OF_CONTAINER, &body, ["name", "URL", ""]));
        let late = consumer.map(|consumer| ChangeGroupConsumers { group: id, consumer, change });
        let group: Group = request.execute_late(late).await?;
        Ok(model::container(&group, &request.base))
    } else {
        let names = ["service", "resource_type", "resource_id"];
        let consumer = body.and_then(|body| registration(&OF_SECRET, &body, names));
        let late = consumer.map(|consumer| ChangeConsumers { secret: id, consumer, change });
        let object: ManagedObject = request.execute_late(late).await?;
        // The consumers are part of this answer at every microversion.
        let shown = model::Secret(&object).show(&request.base, now, request.version.max(Microversion::V1_1));
        Ok(serde_json::json!(shown))
    }
}

fn registration(schema: &Schema, body: &Json, names: [&str; 3]) -> Result<Registration, Refusal> {
    schema.check(body)?;
    let [service, resource_type, resource_id] =
        names.map(|name| body.get(name).and_then(Json::text).unwrap_or_default().to_owned());
    Ok(Registration { service, resource_type, resource_id })
}

fn of_container(request: &Request) -> bool {
    request.place.kind == Kind::ContainerConsumers
}
