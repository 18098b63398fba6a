//! Decides: (principal, use case, resources) → permit or denied.
//!
//! One table says which rule a use case is measured by, for each protocol. A use case without a rule for a protocol is denied
//! there. The rules see the principal and the stored entity; nothing of a request can reach them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{
    defaults::{BLOCKS, OURS, RuleSet},
    language::{Check, Entity, Facts},
    overrides::{Mistakes, Overrides},
    permit::Permitted,
};
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

/// By which rules a use case is measured.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The use case.
    pub kind: OperationKind,
    /// What its resources are.
    pub entity: Entity,
    /// For Barbican principals: all of these; none means that the API does not offer it.
    pub barbican: &'static [&'static str],
    /// For KMIP principals; `None` means that KMIP does not offer it.
    pub kmip: Option<&'static str>,
}

const fn row(
    kind: OperationKind,
    entity: Entity,
    barbican: &'static [&'static str],
    kmip: Option<&'static str>,
) -> Row {
    Row { kind, entity, barbican, kmip }
}

/// Every use case, in the order of [`OperationKind`]. Where one use case serves several requests of the API, the one that was
/// made says which of the rules counts; when nobody says so, all of them must hold.
pub const OPERATIONS: &[Row] = {
    use Entity::{Container, None as Nothing, Order, Secret};
    use OperationKind as K;
    &[
        row(K::Create, Nothing, &["orders:post"], Some("kmip:create")),
        row(K::CreateKeyPair, Nothing, &["orders:post"], Some("kmip:create")),
        row(K::Register, Nothing, &["secrets:post"], Some("kmip:create")),
        row(K::Reveal, Secret, &["secret:decrypt"], Some("kmip:get")),
        row(K::RevealWrapped, Secret, &["secret:decrypt"], Some("kmip:get")),
        row(K::ReadAttributes, Secret, &["secret:get"], Some("kmip:read")),
        row(K::ChangeAttributes, Secret, &[], Some("kmip:modify")),
        row(K::Locate, Nothing, &[], Some("kmip:locate")),
        row(K::Check, Secret, &[], Some("kmip:read")),
        row(K::Activate, Secret, &[], Some("kmip:modify")),
        row(K::Revoke, Secret, &[], Some("kmip:revoke")),
        row(K::Destroy, Secret, &[], Some("kmip:destroy")),
        row(K::Retire, Secret, &["secret:delete", DELETE_KMIP], None),
        row(K::SetValue, Secret, &["secret:put"], None),
        row(K::Encrypt, Secret, &[], Some("kmip:use")),
        row(K::Decrypt, Secret, &[], Some("kmip:use")),
        row(K::Sign, Secret, &[], Some("kmip:use")),
        row(K::SignatureVerify, Secret, &[], Some("kmip:use")),
        row(K::Mac, Secret, &[], Some("kmip:use")),
        row(K::MacVerify, Secret, &[], Some("kmip:use")),
        row(K::RngRetrieve, Nothing, &[], Some("kmip:random")),
        row(K::RngSeed, Nothing, &[], Some("kmip:random")),
        row(K::Hash, Nothing, &[], Some("kmip:hash")),
        row(K::ListSecrets, Nothing, &["secrets:get"], None),
        row(K::ReadMetadata, Secret, &["secret_meta:get"], None),
        row(K::ChangeMetadata, Secret, &["secret_meta:post", "secret_meta:put", "secret_meta:delete"], None),
        row(K::ReadGrants, Secret, &["secret_acls:get"], None),
        row(K::ChangeGrants, Secret, &["secret_acls:put_patch", "secret_acls:delete"], None),
        row(K::ReadConsumers, Secret, &["secret_consumers:get"], None),
        row(K::ChangeConsumers, Secret, &["secret_consumers:post", "secret_consumers:delete"], None),
        row(K::CreateGroup, Nothing, &["containers:post"], None),
        row(K::ReadGroup, Container, &["container:get"], None),
        row(K::ListGroups, Nothing, &["containers:get"], None),
        row(K::ChangeGroupMembers, Container, &["container_secret:post", "container_secret:delete"], None),
        row(K::DeleteGroup, Container, &["container:delete"], None),
        row(K::ReadGroupGrants, Container, &["container_acls:get"], None),
        row(K::ChangeGroupGrants, Container, &["container_acls:put_patch", "container_acls:delete"], None),
        row(K::ReadGroupConsumers, Container, &["container_consumers:get"], None),
        row(K::ChangeGroupConsumers, Container, &["container_consumers:post", "container_consumers:delete"], None),
        row(K::SubmitJob, Nothing, &["orders:post", "orders:put"], None),
        row(K::ReadJob, Order, &["order:get"], None),
        row(K::ListJobs, Nothing, &["orders:get"], None),
        row(K::DeleteJob, Order, &["order:delete"], None),
        row(K::RunJob, Nothing, &[], None),
        row(K::Query, Nothing, &[], Some("kmip:query")),
        row(K::ReadQuotas, Nothing, &["quotas:get"], None),
        row(K::Reconcile, Nothing, &[], None),
        row(K::Connect, Nothing, &[], None),
        row(K::Archive, Secret, &[], Some("kmip:modify")),
        row(K::Lease, Secret, &[], Some("kmip:use")),
        row(K::Rekey, Secret, &[], Some("kmip:modify")),
        row(K::Derive, Secret, &[], Some("kmip:use")),
        row(K::Certify, Secret, &[], Some("kmip:make_from")),
        row(K::Validate, Secret, &[], Some("kmip:read_any")),
        row(K::SplitKey, Secret, &[], Some("kmip:make_from")),
        row(K::JoinKey, Secret, &[], Some("kmip:get")),
        row(K::Unwrap, Secret, &[], Some("kmip:use")),
        row(K::Import, Secret, &[], Some("kmip:make_from")),
        row(K::Export, Secret, &[], Some("kmip:get")),
        row(K::ReadProjectQuotas, Nothing, &["project_quotas:get"], None),
        row(K::ChangeProjectQuotas, Nothing, &["project_quotas:put", "project_quotas:delete"], None),
        row(
            K::ReadSecretStores,
            Nothing,
            &["secretstores:get", "secretstores:get_global_default", "secretstores:get_preferred", "secretstore:get"],
            None,
        ),
        row(K::ChangePreferredStore, Nothing, &["secretstore_preferred:post", "secretstore_preferred:delete"], None),
        row(K::ReadTransportKeys, Nothing, &["transport_keys:get", "transport_key:get"], None),
        row(K::ChangeTransportKeys, Nothing, &["transport_keys:post", "transport_key:delete"], None),
        row(K::PurgeProject, Nothing, &[], None),
        row(K::PurgeExpired, Nothing, &[], None),
        row(K::Refuse, Nothing, &[], None),
        row(K::Obliterate, Secret, &[], Some("kmip:destroy")),
        row(K::Deactivate, Secret, &[], Some("kmip:revoke")),
        row(K::CreateAccount, Nothing, &[], Some("kmip:create")),
        row(K::DeriveInSoftware, Secret, &[], None),
        row(K::ReProvision, Secret, &[], Some("kmip:modify")),
        row(K::Adopt, Nothing, &[], None),
        row(K::Migrate, Nothing, &[], None),
    ]
};

/// Old names of rules, which operators' files may still have, and the new ones.
const DEPRECATED: &[(&str, &str)] = &[
    ("consumers:get", "container_consumers:get"),
    ("consumers:post", "container_consumers:post"),
    ("consumers:delete", "container_consumers:delete"),
];

/// Barbican's DELETE of what a KMIP client made.
const DELETE_KMIP: &str = "secret:delete_kmip";

/// The rules in force.
#[derive(Debug)]
pub struct Authorizer {
    rules: HashMap<String, Check>,
    unused: Vec<String>,
    deprecated: Vec<(&'static str, &'static str)>,
    new_defaults: bool,
}

impl Default for Authorizer {
    fn default() -> Self {
        Self::new(RuleSet::default(), &Overrides::default())
            .expect("the built-in rules are sound: a test loads both sets")
    }
}

impl Authorizer {
    /// The rules of a set with an operator's changes to single ones.
    ///
    /// # Errors
    ///
    /// Every reference to a rule that does not exist, and every rule that refers to itself, at once.
    pub fn new(set: RuleSet, overrides: &Overrides) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut rules = HashMap::new();
        for (name, text) in [BLOCKS, set.rules(), OURS].concat() {
            match Check::parse(text) {
                Ok(check) => drop(rules.insert(name.to_owned(), check)),
                Err(error) => mistakes.add(name, error.to_string()),
            }
        }
        let known: BTreeSet<String> = rules.keys().cloned().collect();
        // An override by a rule's old name counts for its new one, unless that is overridden as well.
        let given: HashMap<&str, &Check> = overrides.rules().collect();
        let mut deprecated = Vec::new();
        for (old, new) in DEPRECATED {
            if let Some(check) = given.get(old).filter(|_| !given.contains_key(new)) {
                rules.insert((*new).to_owned(), (*check).clone());
                deprecated.push((*old, *new));
            }
        }
        rules.extend(overrides.rules().map(|(name, check)| (name.to_owned(), check.clone())));
        let sorted: BTreeMap<&str, &Check> = rules.iter().map(|(name, check)| (name.as_str(), check)).collect();
        let mut used = BTreeSet::new();
        for (name, check) in &sorted {
            for reference in check.references() {
                used.insert(reference);
                if !rules.contains_key(reference) {
                    mistakes.add(name, format!("there is no rule `{reference}`"));
                }
            }
            if reaches(name, name, &rules, &mut BTreeSet::new()) {
                mistakes.add(name, "the rule refers to itself");
            }
        }
        let is_old = |name: &str| DEPRECATED.iter().any(|(old, _)| *old == name);
        let is_unused = |name: &&str| !known.contains(*name) && !used.contains(*name) && !is_old(name);
        let unused = overrides.rules().map(|(name, _)| name).filter(is_unused).map(str::to_owned).collect();
        mistakes.none_or_all()?;
        Ok(Self { rules, unused, deprecated, new_defaults: set == RuleSet::Secure })
    }

    /// Overrides that change nothing, because no use case and no other rule asks for them; worth a warning.
    #[must_use]
    pub fn unused_overrides(&self) -> &[String] {
        &self.unused
    }

    /// Overrides that were given by a rule's old name, with the new one.
    #[must_use]
    pub fn deprecated_overrides(&self) -> &[(&'static str, &'static str)] {
        &self.deprecated
    }

    /// The names of all rules in force, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.rules.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Permits the use case on all of the resources, or refuses. `asked` is the rule of the request, where the use case has
    /// several. Without resources the caller's project is the resource.
    ///
    /// A KMIP principal acts inside its own project only and learns nothing of others; the gateway itself may do everything.
    ///
    /// # Errors
    ///
    /// [`Denied`] for the first resource that the rules refuse.
    pub fn permit<T>(
        &self,
        principal: &Principal,
        kind: OperationKind,
        asked: Option<&str>,
        resources: &[Resource<'_>],
        subject: T,
    ) -> Result<Permitted<T>, Denied> {
        let row = OPERATIONS.iter().find(|row| row.kind == kind).ok_or(Denied { visible: true })?;
        let rules = match principal.realm {
            Realm::System => return Ok(Permitted::new(subject)),
            Realm::Certificate => row.kmip.as_slice(),
            Realm::Keystone | Realm::Unauthenticated | Realm::Bearer => row.barbican,
        };
        if principal.realm == Realm::Certificate
            && resources.iter().any(|resource| *resource.project != principal.project)
        {
            return Err(Denied { visible: false });
        }
        // What protects objects of the other protocol counts for every request.
        let counts = |rule: &&&str| asked.is_none_or(|asked| asked == **rule) || **rule == DELETE_KMIP;
        if asked.is_some_and(|asked| !rules.contains(&asked)) {
            return Err(Denied { visible: true });
        }
        let permitted =
            |resource| rules.iter().filter(counts).all(|rule| self.holds(rule, principal, row.entity, resource));
        let all = if resources.is_empty() { permitted(None) } else { resources.iter().map(Some).all(permitted) };
        if all && !rules.is_empty() { Ok(Permitted::new(subject)) } else { Err(Denied { visible: true }) }
    }

    /// Whether one rule by name holds; for what has a rule and no use case. An unknown name never holds.
    #[must_use]
    pub fn holds(&self, rule: &str, principal: &Principal, entity: Entity, resource: Option<&Resource<'_>>) -> bool {
        let facts = Facts { principal, entity, resource, new_defaults: self.new_defaults };
        self.rules.get(rule).is_some_and(|check| check.holds(&facts, &|name| self.rules.get(name)))
    }
}

/// Why a rule holds or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Whether it holds.
    pub is_allowed: bool,
    /// Its checks as a tree, a line each.
    pub lines: Vec<String>,
}

impl Authorizer {
    /// As [`Self::holds`], with the way to the answer.
    #[must_use]
    pub fn explain(
        &self,
        rule: &str,
        principal: &Principal,
        entity: Entity,
        resource: Option<&Resource<'_>>,
    ) -> Explained {
        let facts = Facts { principal, entity, resource, new_defaults: self.new_defaults };
        let mut lines = Vec::new();
        Check::Rule(rule.to_owned()).explain(&facts, &|name| self.rules.get(name), 0, &mut lines);
        Explained { is_allowed: self.holds(rule, principal, entity, resource), lines }
    }
}

/// Whether following references from `from` leads to `to`.
fn reaches<'r>(from: &str, to: &str, rules: &'r HashMap<String, Check>, seen: &mut BTreeSet<&'r str>) -> bool {
    let references = rules.get(from).map(Check::references).unwrap_or_default();
    references.into_iter().any(|next| next == to || (seen.insert(next) && reaches(next, to, rules, seen)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_use_case_has_one_row_and_every_rule_exists() {
        let kinds: Vec<OperationKind> = OPERATIONS.iter().map(|row| row.kind).collect();
        assert_eq!(kinds, OperationKind::ALL);
        for set in RuleSet::ALL {
            let authorizer = Authorizer::new(set, &Overrides::default()).unwrap();
            for rule in OPERATIONS.iter().flat_map(|row| row.barbican.iter().chain(row.kmip.as_slice())) {
                assert!(authorizer.rules.contains_key(*rule), "{rule}");
            }
        }
        let names = |set: RuleSet| set.rules().iter().map(|row| row.0).collect::<Vec<_>>();
        assert_eq!(names(RuleSet::Secure), names(RuleSet::Legacy));
    }

    #[test]
    fn no_rule_is_defined_twice() {
        for set in RuleSet::ALL {
            let all = [BLOCKS, set.rules(), OURS].concat();
            let names: BTreeSet<&str> = all.iter().map(|row| row.0).collect();
            assert_eq!(names.len(), all.len());
        }
    }

    #[test]
    fn missing_and_circular_references_are_all_told() {
        let overrides = Overrides::from_yaml(
            "a: rule:b\nb: rule:c or @\nc: not rule:a\nsecrets:post: rule:nothing and rule:nowhere\n",
        )
        .unwrap();
        let mistakes = Authorizer::new(RuleSet::Secure, &overrides).unwrap_err().to_string();
        assert_eq!(
            mistakes,
            "rule `a`: the rule refers to itself\nrule `b`: the rule refers to itself\nrule `c`: the rule refers to itself\n\
             rule `secrets:post`: there is no rule `nothing`\nrule `secrets:post`: there is no rule `nowhere`"
        );
    }

    #[test]
    fn an_override_that_changes_nothing_is_named() {
        let overrides = Overrides::from_yaml("mine: role:x\n'secrets:post': rule:mine\nsecret:gett: '@'\n").unwrap();
        assert_eq!(Authorizer::new(RuleSet::Secure, &overrides).unwrap().unused_overrides(), ["secret:gett"]);
    }
}
