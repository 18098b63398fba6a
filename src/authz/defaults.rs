//! The built-in rules, one row a rule, in the rule language itself.
//!
//! `secure` is what Barbican 23 enforces, `legacy` what older clouds know; exactly one is in force, and single rules may be
//! overridden. Names and meanings are those of the Barbican API contract §4.4, so that operators' files fit. The KMIP side is
//! the same under both: switching the REST rules must not open or close KMIP.
//! Where the reference lets any creator change a private secret or its access list, ours asks for its owner or an admin.

use serde::{Deserialize, Serialize};

/// Which set of default rules is in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleSet {
    /// Roles admin, member, reader: as Barbican 23.
    #[default]
    Secure,
    /// Roles admin, creator, observer, audit, key-manager:service-admin: as Barbican up to 22.
    Legacy,
}

impl RuleSet {
    /// Every set.
    pub const ALL: [Self; 2] = [Self::Secure, Self::Legacy];

    /// The word of the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Secure => "secure",
            Self::Legacy => "legacy",
        }
    }

    /// The rules of the REST API.
    pub(super) const fn rules(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Secure => SECURE,
            Self::Legacy => LEGACY,
        }
    }
}

/// Building blocks, known under both sets: an override may use any of them.
pub(super) const BLOCKS: &[(&str, &str)] = &[
    // legacy
    ("admin", "role:admin"),
    ("creator", "role:creator"),
    ("observer", "role:observer"),
    ("audit", "role:audit"),
    ("service_admin", "role:key-manager:service-admin"),
    ("all_users", "rule:all_but_audit or rule:audit or rule:service_admin"),
    ("all_but_audit", "rule:admin or rule:observer or rule:creator"),
    ("admin_or_creator", "rule:admin or rule:creator"),
    ("secret_project_match", "project_id:%(target.secret.project_id)s"),
    ("secret_project_admin", "rule:admin and rule:secret_project_match"),
    ("secret_creator_user", "user_id:%(target.secret.creator_id)s"),
    ("secret_project_creator_role", "rule:creator and rule:secret_project_match"),
    ("secret_project_creator", "rule:secret_project_creator_role and rule:secret_creator_user"),
    ("secret_private_read", "'False':%(target.secret.read_project_access)s"),
    ("secret_non_private_read", "rule:all_users and rule:secret_project_match and not rule:secret_private_read"),
    (
        "secret_decrypt_non_private_read",
        "rule:all_but_audit and rule:secret_project_match and not rule:secret_private_read",
    ),
    ("secret_acl_read", "'read':%(target.secret.read)s"),
    ("container_project_match", "project_id:%(target.container.project_id)s"),
    ("container_project_admin", "rule:admin and rule:container_project_match"),
    ("container_creator_user", "user_id:%(target.container.creator_id)s"),
    ("container_project_creator_role", "rule:creator and rule:container_project_match"),
    ("container_project_creator", "rule:container_project_creator_role and rule:container_creator_user"),
    ("container_private_read", "'False':%(target.container.read_project_access)s"),
    (
        "container_non_private_read",
        "rule:all_users and rule:container_project_match and not rule:container_private_read",
    ),
    ("container_acl_read", "'read':%(target.container.read)s"),
    // secure
    ("secret_project_reader", "role:reader and rule:secret_project_match"),
    ("secret_project_member", "role:member and rule:secret_project_match"),
    ("secret_owner", "rule:secret_creator_user"),
    ("secret_is_not_private", "True:%(target.secret.read_project_access)s"),
    ("container_project_member", "role:member and rule:container_project_match"),
    ("container_owner", "rule:container_creator_user"),
    ("container_is_not_private", "True:%(target.container.read_project_access)s"),
    ("order_project_member", "role:member and project_id:%(target.order.project_id)s"),
    // ours: what the rows below have in common
    (
        "secret_legacy_change",
        "rule:secret_project_admin or rule:secret_project_creator or rule:secret_legacy_creator_open",
    ),
    ("secret_legacy_creator_open", "rule:secret_project_creator_role and not rule:secret_private_read"),
    (
        "secret_legacy_read",
        "rule:secret_project_admin or rule:secret_project_creator or rule:secret_non_private_read or rule:secret_acl_read",
    ),
    (
        "secret_member_change",
        "rule:secret_project_admin or rule:secret_project_member and (rule:secret_owner or rule:secret_is_not_private)",
    ),
    ("secret_member_read", "rule:secret_member_change or rule:secret_acl_read"),
    (
        "container_legacy_change",
        "rule:container_project_admin or rule:container_project_creator or rule:container_legacy_creator_open",
    ),
    ("container_legacy_creator_open", "rule:container_project_creator_role and not rule:container_private_read"),
    (
        "container_legacy_read",
        "rule:container_project_admin or rule:container_project_creator or rule:container_non_private_read or rule:container_acl_read",
    ),
    (
        "container_member_change",
        "rule:container_project_admin or rule:container_project_member and (rule:container_owner or rule:container_is_not_private)",
    ),
    ("container_member_read", "rule:container_member_change or rule:container_acl_read"),
    ("kmip_member", "role:member or role:creator or role:admin"),
    ("kmip_reader", "rule:kmip_member or role:reader or role:observer or role:audit"),
    ("kmip_open", "rule:secret_project_match and (role:admin or rule:secret_owner or rule:secret_is_not_private)"),
    // Use cases that may or may not have a stored object to go by.
    ("secret_known", "rule:secret_is_not_private or rule:secret_private_read"),
    ("kmip_open_if_any", "rule:kmip_open or not rule:secret_known"),
    ("kmip_readable_if_any", "rule:kmip_readable or not rule:secret_known"),
    ("kmip_readable", "rule:kmip_open or rule:secret_project_match and rule:secret_acl_read"),
];

const SECURE: &[(&str, &str)] = &[
    ("secrets:post", "role:member"),
    ("secrets:get", "role:member"),
    ("secret:get", "role:admin or rule:secret_member_read"),
    ("secret:decrypt", "rule:secret_member_read"),
    ("secret:put", "rule:secret_member_change"),
    ("secret:delete", "role:admin or rule:secret_member_change"),
    ("secret_meta:get", "rule:secret_member_read"),
    ("secret_meta:post", "rule:secret_member_change"),
    ("secret_meta:put", "rule:secret_member_change"),
    ("secret_meta:delete", "rule:secret_member_change"),
    ("secret_acls:get", "rule:secret_member_change"),
    ("secret_acls:put_patch", "rule:secret_member_change"),
    ("secret_acls:delete", "rule:secret_member_change"),
    ("secret_consumers:get", "rule:secret_member_read"),
    ("secret_consumers:post", "rule:secret_member_read"),
    ("secret_consumers:delete", "rule:secret_member_read"),
    ("containers:post", "role:member"),
    ("containers:get", "role:member"),
    ("container:get", "rule:container_member_read"),
    ("container:delete", "rule:container_member_change"),
    ("container_secret:post", "rule:container_member_change"),
    ("container_secret:delete", "rule:container_member_change"),
    ("container_acls:get", "rule:container_member_change"),
    ("container_acls:put_patch", "rule:container_member_change"),
    ("container_acls:delete", "rule:container_member_change"),
    ("container_consumers:get", "rule:container_member_read"),
    ("container_consumers:post", "rule:container_member_read"),
    ("container_consumers:delete", "rule:container_member_read"),
    ("consumer:get", "role:admin or rule:container_member_read"),
    ("orders:post", "role:member"),
    ("orders:get", "role:member"),
    ("orders:put", "role:member"),
    ("order:get", "rule:order_project_member"),
    ("order:delete", "rule:order_project_member"),
    ("quotas:get", "role:reader"),
    ("project_quotas:get", "role:admin"),
    ("project_quotas:put", "role:admin"),
    ("project_quotas:delete", "role:admin"),
    ("transport_key:get", "role:reader"),
    ("transport_keys:get", "role:reader"),
    ("transport_keys:post", "role:admin"),
    ("transport_key:delete", "role:admin"),
    ("secretstores:get", "role:reader"),
    ("secretstores:get_global_default", "role:reader"),
    ("secretstores:get_preferred", "role:reader"),
    ("secretstore:get", "role:reader"),
    ("secretstore_preferred:post", "role:admin"),
    ("secretstore_preferred:delete", "role:admin"),
];

const LEGACY: &[(&str, &str)] = &[
    ("secrets:post", "rule:admin_or_creator"),
    ("secrets:get", "rule:all_but_audit"),
    ("secret:get", "rule:secret_legacy_read"),
    (
        "secret:decrypt",
        "rule:secret_project_admin or rule:secret_project_creator or rule:secret_decrypt_non_private_read or rule:secret_acl_read",
    ),
    ("secret:put", "rule:secret_legacy_change"),
    ("secret:delete", "rule:secret_legacy_change"),
    ("secret_meta:get", "rule:secret_legacy_read"),
    ("secret_meta:post", "rule:secret_legacy_change"),
    ("secret_meta:put", "rule:secret_legacy_change"),
    ("secret_meta:delete", "rule:secret_legacy_change"),
    ("secret_acls:get", "rule:all_but_audit and rule:secret_project_match"),
    ("secret_acls:put_patch", "rule:secret_legacy_change"),
    ("secret_acls:delete", "rule:secret_legacy_change"),
    ("secret_consumers:get", "rule:secret_legacy_read"),
    ("secret_consumers:post", "rule:secret_legacy_read"),
    ("secret_consumers:delete", "rule:secret_legacy_read"),
    ("containers:post", "rule:admin_or_creator"),
    ("containers:get", "rule:all_but_audit"),
    ("container:get", "rule:container_legacy_read"),
    ("container:delete", "rule:container_project_admin or rule:container_project_creator"),
    ("container_secret:post", "rule:container_legacy_change"),
    ("container_secret:delete", "rule:container_legacy_change"),
    ("container_acls:get", "rule:all_but_audit and rule:container_project_match"),
    ("container_acls:put_patch", "rule:container_legacy_change"),
    ("container_acls:delete", "rule:container_legacy_change"),
    ("container_consumers:get", "rule:container_legacy_read"),
    ("container_consumers:post", "rule:container_legacy_read"),
    ("container_consumers:delete", "rule:container_legacy_read"),
    ("consumer:get", "rule:all_but_audit or rule:audit or rule:container_legacy_read"),
    ("orders:post", "rule:admin_or_creator"),
    ("orders:get", "rule:all_but_audit"),
    ("orders:put", "rule:admin_or_creator"),
    ("order:get", "rule:all_users and project_id:%(target.order.project_id)s"),
    ("order:delete", "rule:admin and project_id:%(target.order.project_id)s"),
    ("quotas:get", "rule:all_users"),
    ("project_quotas:get", "rule:service_admin"),
    ("project_quotas:put", "rule:service_admin"),
    ("project_quotas:delete", "rule:service_admin"),
    ("transport_key:get", "rule:all_users"),
    ("transport_keys:get", "rule:all_users"),
    ("transport_keys:post", "rule:service_admin"),
    ("transport_key:delete", "rule:service_admin"),
    ("secretstores:get", "rule:all_users"),
    ("secretstores:get_global_default", "rule:all_users"),
    ("secretstores:get_preferred", "rule:all_users"),
    ("secretstore:get", "rule:all_users"),
    ("secretstore_preferred:post", "rule:admin"),
    ("secretstore_preferred:delete", "rule:admin"),
];

/// Rules of our own: the KMIP side, and where one protocol meets an object of the other.
pub(super) const OURS: &[(&str, &str)] = &[
    ("kmip:query", "@"),
    ("kmip:hash", "rule:kmip_reader"),
    ("kmip:random", "rule:kmip_member"),
    ("kmip:create", "rule:kmip_member"),
    ("kmip:make_from", "rule:kmip_member and rule:kmip_open_if_any"),
    ("kmip:read_any", "rule:kmip_reader and rule:kmip_readable_if_any"),
    ("kmip:locate", "rule:kmip_reader"),
    ("kmip:read", "rule:kmip_reader and rule:kmip_readable"),
    ("kmip:get", "rule:kmip_member and rule:kmip_readable"),
    ("kmip:use", "rule:kmip_member and rule:kmip_open"),
    ("kmip:modify", "rule:kmip_member and rule:kmip_open"),
    ("kmip:revoke", "rule:kmip_member and rule:kmip_open"),
    ("kmip:destroy", "rule:kmip_member and rule:kmip_open"),
    // Barbican's DELETE of what a KMIP client made (beside `secret:delete`).
    ("secret:delete_kmip", "role:admin or not 'kmip':%(target.secret.origin)s"),
];
