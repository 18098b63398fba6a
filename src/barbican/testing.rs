//! Test support: the API over an engine in memory, for the test programs and the fuzz target of bodies.
//!
//! Nothing of the product uses this module; it is not behind `cfg(test)` because those are crates of their own.

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderMap, Method},
};

use super::{AuthRefusal, Authenticate, Gateway, Settings};
use crate::{
    domain::{
        Attributes, Lifecycle, ManagedObject, ObjectType, Origin, Principal, ProjectId, Realm, Timestamp,
        UniqueIdentifier,
        group::{Group, GroupKind},
        secret::SecretFacet,
    },
    engine::{jobs::Runner, ports::Answer, testing::Bench},
};

/// Believes `X-Project-Id`, `X-User-Id` and `X-Roles`. A token named `bad` is nobody, one named `down` finds nobody who
/// could tell.
#[derive(Clone, Copy, Debug)]
pub struct Believing;

impl Authenticate for Believing {
    fn authenticate<'a>(
        &'a self,
        _: &'a Method,
        _: &'a str,
        headers: &'a HeaderMap,
    ) -> Answer<'a, Result<Principal, AuthRefusal>> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let result = match (text("x-auth-token").as_deref(), text("x-project-id")) {
            (Some("bad"), _) => {
                Err(AuthRefusal::Unauthenticated { challenge: Some("Keystone uri=\"http://k\"".into()) })
            }
            (Some("down"), _) => Err(AuthRefusal::Unavailable),
            (_, None) => Err(AuthRefusal::ProjectMissing),
            (_, Some(project)) => {
                let given = text("x-roles").unwrap_or_else(|| "admin".into());
                let mut roles: Vec<String> = given.split(',').map(str::to_owned).collect();
                for (role, implied) in [("admin", "member"), ("member", "reader")] {
                    if roles.iter().any(|have| have == role) {
                        roles.push(implied.into());
                    }
                }
                let (name, project) = (text("x-user-id"), ProjectId(project));
                Ok(Principal { name, project, roles, realm: Realm::Unauthenticated, user_name: None })
            }
        };
        Box::pin(async move { result })
    }
}

/// The API over this bench, and the runner that it tells of new orders.
pub fn over(bench: &Bench, settings: Settings) -> (Router, Arc<Runner>) {
    let jobs = Arc::new(Runner::new(Arc::clone(&bench.engine)));
    let gateway = Gateway {
        engine: Arc::clone(&bench.engine),
        jobs: Arc::clone(&jobs),
        authenticator: Arc::new(Believing),
        settings,
    };
    (super::router(Arc::new(gateway)), jobs)
}

/// The API with one secret without payload and one empty container of project `fuzz`, both under this identifier:
/// `6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f`.
pub fn router() -> Router {
    let bench = Bench::default();
    let now = Timestamp::from_seconds(1);
    let project = ProjectId("fuzz".to_owned());
    bench.store.plant_object(ManagedObject {
        identifier: EXISTING,
        object_type: ObjectType::OpaqueObject,
        project: project.clone(),
        creator: None,
        origin: Origin::Barbican,
        value: None,
        format: None,
        subtype: None,
        lifecycle: Lifecycle::new(now),
        attributes: Attributes::default(),
        secret: SecretFacet::default(),
    });
    bench.store.plant_group(Group {
        identifier: EXISTING,
        project,
        creator: None,
        kind: GroupKind::Generic,
        name: None,
        members: Vec::new(),
        created: now,
        updated: now,
        grants: None,
        consumers: Vec::new(),
    });
    over(&bench, Settings::default()).0
}

const EXISTING: UniqueIdentifier = UniqueIdentifier::from_bytes([
    0x6c, 0x2f, 0x3f, 0x1e, 0x0b, 0x1a, 0x4d, 0x5c, 0x9e, 0x2f, 0x1a, 0x2b, 0x3c, 0x4d, 0x5e, 0x6f,
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_is_where_the_text_says() {
        assert_eq!(EXISTING.to_string(), "6c2f3f1e-0b1a-4d5c-9e2f-1a2b3c4d5e6f");
    }
}
