//! Who asks, for which project, and what grants an object carries.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::Timestamp;

/// A tenant. Keystone's project id, or the project an enrolled KMIP client belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProjectId(pub String);

impl fmt::Display for ProjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a principal proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Realm {
    /// An enrolled client certificate: KMIP.
    Certificate,
    /// A token that Keystone vouched for.
    Keystone,
    /// Headers taken as given, loopback development only.
    Unauthenticated,
    /// The gateway itself: jobs and repair.
    System,
    /// A bearer token that the configuration knows.
    Bearer,
}

/// Who asks. Made by `authn` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The enrolled client's name, or the Keystone user id; absent where the development context names none.
    pub name: Option<String>,
    /// For which project.
    pub project: ProjectId,
    /// Role names in lower case, with implied roles expanded.
    pub roles: Vec<String>,
    /// How it was proved.
    pub realm: Realm,
    /// What people call the user, where Keystone says it: for the audit trail only.
    pub user_name: Option<String>,
}

impl Principal {
    /// Whether the principal has that role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|have| have == role)
    }
}

/// Which role brings which other, as Keystone implies them by default.
const IMPLIED: &[(&str, &str)] = &[("admin", "member"), ("member", "reader")];

/// Role names in lower case, each once, with the roles they imply: admin ⇒ member ⇒ reader.
#[must_use]
pub fn expand_roles<'r>(roles: impl IntoIterator<Item = &'r str>) -> Vec<String> {
    let mut expanded: Vec<String> = Vec::new();
    for role in roles.into_iter().map(|role| role.trim().to_lowercase()).filter(|role| !role.is_empty()) {
        if !expanded.contains(&role) {
            expanded.push(role);
        }
    }
    for (role, implied) in IMPLIED {
        if expanded.iter().any(|have| have == role) && !expanded.iter().any(|have| have == implied) {
            expanded.push((*implied).to_owned());
        }
    }
    expanded
}

/// An access list of a secret or container: who may read beside the project (Barbican ACL, operation `read`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grants {
    /// Whether the project's roles may read; `false` makes the object private to its creator.
    pub project_access: bool,
    /// User ids that may read, from any project.
    pub users: Vec<String>,
    /// When the list was first set.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
}

/// Somebody's note that they use a secret or container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumer {
    /// The project that registered it.
    pub project: ProjectId,
    /// For secrets the service; for containers the name.
    pub service: String,
    /// For secrets the resource type; for containers the URL.
    pub resource_type: String,
    /// For secrets the resource id; empty for containers.
    pub resource_id: String,
    /// When it was registered.
    pub created: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_bring_what_they_imply_once() {
        assert_eq!(expand_roles(["Admin"]), ["admin", "member", "reader"]);
        assert_eq!(expand_roles([" reader ", "member", "MEMBER", ""]), ["reader", "member"]);
        assert_eq!(expand_roles(["creator"]), ["creator"]);
        assert!(expand_roles([]).is_empty());
    }
}
