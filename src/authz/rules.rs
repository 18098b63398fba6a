//! Decides: (principal, use case, resources) → permit or denied.

use super::permit::Permitted;
use crate::domain::{OperationKind, Origin, Principal, ProjectId, Realm, access::Grants};

/// What a rule may look at of a stored object or group.
#[derive(Clone, Copy, Debug)]
pub struct Resource<'a> {
    /// Whose it is.
    pub project: &'a ProjectId,
    /// Who made it.
    pub creator: Option<&'a str>,
    /// Through which protocol.
    pub origin: Origin,
    /// Its access list.
    pub grants: Option<&'a Grants>,
}

/// A refusal. `visible` says whether the caller may know that the resource exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Whether the caller may know of the resource.
    pub visible: bool,
}

/// The rules in force.
#[derive(Debug, Default)]
pub struct Authorizer {}

impl Authorizer {
    /// Permits the use case on all of the resources, or refuses. Without resources the caller's project is the resource.
    ///
    /// # Errors
    ///
    /// [`Denied`] for the first resource that the rules refuse.
    pub fn permit<T>(
        &self,
        principal: &Principal,
        _kind: OperationKind,
        resources: &[Resource<'_>],
        subject: T,
    ) -> Result<Permitted<T>, Denied> {
        for resource in resources {
            if *resource.project != principal.project {
                return Err(Denied { visible: principal.realm != Realm::Certificate });
            }
        }
        if principal.realm == Realm::System || principal.has_role("member") || principal.has_role("admin") {
            Ok(Permitted::new(subject))
        } else {
            Err(Denied { visible: true })
        }
    }
}
