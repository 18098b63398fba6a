//! `/v1/secret-stores`: the tokens that a project may choose from (contract §2.11).

use axum::{body::Body, http::Response};
use serde_json::{Value, json};

use super::{Request, dates, error::Refusal, no_content, ok, path::Kind};
use crate::{
    domain::UniqueIdentifier,
    engine::{
        Error, ErrorKind, Judged, SecretStore,
        ops::stores::{ChangePreferredStore, ReadSecretStores},
    },
};

/// The text of the failure that means something of its own here.
pub(super) const OWN: &[(ErrorKind, u16, &str)] =
    &[(ErrorKind::AttributeMissing, 404, "Not Found. No preferred secret store defined for this project.")];

/// Whether what the path names exists; asked before anything else.
pub(super) fn missing(request: &Request) -> Option<Refusal> {
    let stores = &request.gateway.engine.ports().settings.stores;
    match request.place.kind {
        Kind::SecretStores | Kind::DefaultStore | Kind::PreferredStore if !stores.is_empty() => None,
        Kind::SecretStore | Kind::StorePreference | Kind::BelowStore if !stores.is_empty() => {
            let known = stores.iter().any(|store| store.identifier.to_string() == request.place.tail);
            (!known).then(|| Refusal::not_found("Not Found. Secret store not found."))
        }
        Kind::SecretStores
        | Kind::DefaultStore
        | Kind::PreferredStore
        | Kind::SecretStore
        | Kind::StorePreference
        | Kind::BelowStore => {
            let text = "Not Found. Multiple backends support is not enabled in service configuration.";
            Some(Refusal::not_found(text))
        }
        _ => None,
    }
}

fn show(store: &SecretStore, base: &str) -> Value {
    json!({
        "created": dates::show(store.created),
        "updated": dates::show(store.created),
        "status": "ACTIVE",
        "name": store.name,
        "global_default": store.is_default,
        "secret_store_plugin": "store_crypto",
        "crypto_plugin": "p11_crypto",
        "secret_store_ref": format!("{base}/v1/secret-stores/{}", store.identifier),
    })
}

/// `GET /v1/secret-stores`: all of them, without pages.
pub(super) async fn list(request: Request) -> Result<Response<Body>, Error> {
    let (stores, _) = request.execute(ReadSecretStores).await?;
    let shown: Vec<Value> = stores.iter().map(|store| show(store, &request.base)).collect();
    Ok(ok(&json!({"secret_stores": shown})))
}

/// `GET /v1/secret-stores/global-default`.
pub(super) async fn read_default(request: Request) -> Result<Response<Body>, Error> {
    let (stores, _) = request.execute(ReadSecretStores).await?;
    let found = stores.iter().find(|store| store.is_default).ok_or_else(Error::not_found)?;
    Ok(ok(&show(found, &request.base)))
}

/// `GET /v1/secret-stores/preferred`.
pub(super) async fn read_preferred(request: Request) -> Result<Response<Body>, Error> {
    let judge = |(_, preferred): (Vec<SecretStore>, Option<SecretStore>)| {
        preferred.ok_or_else(|| Error::new(ErrorKind::AttributeMissing, "the project prefers no store"))
    };
    let preferred = request.execute(Judged { operation: ReadSecretStores, judge }).await?;
    Ok(ok(&show(&preferred, &request.base)))
}

/// `GET /v1/secret-stores/ID`.
pub(super) async fn read(request: Request) -> Result<Response<Body>, Error> {
    let (stores, _) = request.execute(ReadSecretStores).await?;
    let found = stores.iter().find(|store| store.identifier.to_string() == request.place.tail);
    Ok(ok(&show(found.ok_or_else(Error::not_found)?, &request.base)))
}

/// `POST /v1/secret-stores/ID/preferred`.
pub(super) async fn prefer(request: Request) -> Result<Response<Body>, Error> {
    let store = request.place.tail.parse::<UniqueIdentifier>().map_err(|_unknown| Error::not_found())?;
    request.execute(ChangePreferredStore { store: Some(store) }).await?;
    Ok(no_content())
}

/// `DELETE /v1/secret-stores/ID/preferred`: the id is not compared with the preference.
pub(super) async fn prefer_none(request: Request) -> Result<Response<Body>, Error> {
    request.execute(ChangePreferredStore { store: None }).await?;
    Ok(no_content())
}
