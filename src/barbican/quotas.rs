//! `GET /v1/quotas` (contract §2.10). No quota can be set in this version, so every resource is unlimited.

use axum::{body::Body, http::Response};
use serde_json::json;

use super::{Request, ok};
use crate::engine::{
    Error,
    ops::quotas::{Quotas, ReadQuotas},
};

/// `GET /v1/quotas`. `cas` is a leftover that clients compare.
pub(super) async fn read(request: Request) -> Result<Response<Body>, Error> {
    let Quotas { secrets, orders, containers, consumers } = request.execute(ReadQuotas).await?;
    let quotas = json!({
        "secrets": secrets, "orders": orders, "containers": containers, "consumers": consumers, "cas": -1,
    });
    Ok(ok(&json!({"quotas": quotas})))
}
