//! Every rule × role × ownership × access list × project, for both sets of default rules.
//!
//! The decisions are printed and compared with `tests/policy/matrix.txt`, so that a change of a rule shows up in review as the
//! decisions it changes; run with `UPDATE=1` to write the file. A second table, in the shorthand of the API contract §4.4, is
//! read by a few lines of its own and must come to the same decisions.

use std::{collections::BTreeSet, fmt::Write as _, path::Path};

use portcullis::{
    authz::{Authorizer, Denied, Entity, OPERATIONS, Overrides, Resource, RuleSet},
    domain::{
        OperationKind, Origin, Principal, ProjectId, Realm, Timestamp,
        access::{Grants, expand_roles},
    },
};

const ROLES: &[&str] =
    &["none", "admin", "member", "reader", "creator", "observer", "audit", "key-manager:service-admin"];

/// Whose entity, under which access list, in whose project.
#[derive(Clone, Copy)]
struct Situation {
    own_project: bool,
    is_creator: bool,
    is_private: bool,
    is_listed: bool,
}

/// In the order of the columns: own project first, creator first, then no list, listed, private, private and listed.
fn situations() -> impl Iterator<Item = Situation> {
    (0..16).map(|n| Situation {
        own_project: n & 8 == 0,
        is_creator: n & 4 == 0,
        is_private: n & 2 != 0,
        is_listed: n & 1 != 0,
    })
}

fn principal(role: &str, realm: Realm) -> Principal {
    let roles = expand_roles((role != "none").then_some(role));
    Principal { name: Some("alice".into()), project: ProjectId("mine".into()), roles, realm, user_name: None }
}

fn with_resource<T>(situation: Situation, origin: Origin, then: impl FnOnce(&Resource<'_>) -> T) -> T {
    let project = ProjectId(if situation.own_project { "mine" } else { "theirs" }.into());
    let time = Timestamp::from_seconds(0);
    let users = if situation.is_listed { vec!["bob".into(), "alice".into()] } else { vec!["bob".into()] };
    let grants = Grants { project_access: !situation.is_private, users, created: time, updated: time };
    let has_list = situation.is_private || situation.is_listed;
    let creator = Some(if situation.is_creator { "alice" } else { "carol" });
    then(&Resource { project: &project, creator, origin, grants: has_list.then_some(&grants) })
}

fn authorizer(set: RuleSet) -> Authorizer {
    Authorizer::new(set, &Overrides::default()).expect("the built-in rules are sound")
}

/// What a rule is asked about, by its name.
fn entity(rule: &str) -> Entity {
    match rule.split(':').collect::<Vec<_>>().as_slice() {
        ["secret" | "secret_meta" | "secret_acls" | "secret_consumers", _] => Entity::Secret,
        ["container" | "container_secret" | "container_acls" | "container_consumers" | "consumer", _] => {
            Entity::Container
        }
        ["kmip", "read" | "get" | "use" | "modify" | "revoke" | "destroy"] => Entity::Secret,
        ["order", _] => Entity::Order,
        _ => Entity::None,
    }
}

/// The rules that are asked for, not their building blocks.
fn asked(authorizer: &Authorizer) -> Vec<String> {
    authorizer.names().into_iter().filter(|name| name.contains(':')).map(str::to_owned).collect()
}

fn decisions(authorizer: &Authorizer, rule: &str, role: &str) -> String {
    let who = principal(role, Realm::Keystone);
    let entity = entity(rule);
    if entity == Entity::None || entity == Entity::Order {
        return sign(authorizer.holds(rule, &who, entity, None)).to_string();
    }
    let origin = if rule == "secret:delete_kmip" { Origin::Kmip } else { Origin::Barbican };
    let signs = situations()
        .map(|it| sign(with_resource(it, origin, |resource| authorizer.holds(rule, &who, entity, Some(resource)))));
    grouped(signs)
}

const fn sign(holds: bool) -> char {
    if holds { '+' } else { '-' }
}

/// Sixteen decisions as `++++ ++++ | ---- ----`.
fn grouped(signs: impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    for (n, sign) in signs.enumerate() {
        text.push_str(match n {
            8 => " | ",
            4 | 12 => " ",
            _ => "",
        });
        text.push(sign);
    }
    text
}

/// One line for all roles that get the same.
fn by_decision(out: &mut String, of: impl Fn(&str) -> String) {
    let all: Vec<(String, &str)> = ROLES.iter().map(|role| (of(role), *role)).collect();
    let mut told = BTreeSet::new();
    for (decision, _) in &all {
        if told.insert(decision) {
            let roles: Vec<&str> = all.iter().filter(|row| row.0 == *decision).map(|row| row.1).collect();
            writeln!(out, "    {decision:23}  {}", roles.join(", ")).expect("a String takes everything");
        }
    }
}

fn matrix() -> String {
    let mut out = String::from(
        "Decisions of the built-in rules, written by tests/policy.rs.\n\n\
         + permitted, - denied, 0 denied as if there were nothing. Columns, four each, left of the bar in the caller's own project, right of it in\n\
         another's: made by the caller, then made by somebody else; each without access list, listed for reading, private, private and listed.\n\
         A single sign: the rule does not look at an entity. Roles are given alone and expanded: admin brings member, member brings reader.\n",
    );
    for set in RuleSet::ALL {
        let authorizer = authorizer(set);
        writeln!(out, "\n== rules: {}", set.name()).expect("a String takes everything");
        for rule in asked(&authorizer).iter().filter(|rule| !rule.starts_with("kmip:")) {
            writeln!(out, "\n{rule}").expect("a String takes everything");
            by_decision(&mut out, |role| decisions(&authorizer, rule, role));
        }
    }
    for (realm, origin, title) in [
        (Realm::Certificate, Origin::Barbican, "a KMIP client, on an object made through Barbican"),
        (Realm::Keystone, Origin::Kmip, "a Barbican user under the secure rules, on an object made through KMIP"),
    ] {
        writeln!(out, "\n== use cases: {title}").expect("a String takes everything");
        let authorizer = authorizer(RuleSet::Secure);
        for row in OPERATIONS {
            writeln!(out, "\n{}", row.kind.name()).expect("a String takes everything");
            by_decision(&mut out, |role| permits(&authorizer, &principal(role, realm), row.kind, row.entity, origin));
        }
    }
    out
}

fn permits(authorizer: &Authorizer, who: &Principal, kind: OperationKind, entity: Entity, origin: Origin) -> String {
    let shown = |decision: Result<_, Denied>| match decision {
        Ok(()) => '+',
        Err(Denied { visible: true }) => '-',
        Err(Denied { visible: false }) => '0',
    };
    let ask = |resources: &[Resource<'_>]| {
        shown(authorizer.permit(who, kind, None, resources, ()).map(|permitted| permitted.into_inner()))
    };
    match entity {
        Entity::None | Entity::Order => ask(&[]).to_string(),
        Entity::Secret | Entity::Container => {
            grouped(situations().map(|it| with_resource(it, origin, |resource| ask(std::slice::from_ref(resource)))))
        }
    }
}

#[test]
fn every_decision_is_the_one_in_the_checked_in_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy/matrix.txt");
    let decided = matrix();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &decided).expect("the table can be written");
    }
    let expected = std::fs::read_to_string(&path).expect("the table is checked in");
    for (line, (decided, expected)) in decided.lines().zip(expected.lines()).enumerate() {
        assert_eq!(decided, expected, "line {} of tests/policy/matrix.txt", line + 1);
    }
    assert_eq!(decided.lines().count(), expected.lines().count());
}

/// The contract's table in its own shorthand: A, Cr, Ob, Au, SA, M, R a role in the project of the entity; `-own` and the caller
/// made it; `np:` only while it is not private; `any-` in whatever project; ACL listed for reading.
const CONTRACT: &[(&str, &str, &str)] = &[
    ("secrets:post", "A Cr", "M"),
    ("secrets:get", "A Cr Ob", "M"),
    ("secret:get", "A Cr-own np:Cr np:Ob np:Au np:SA ACL", "any-A A M-own np:M ACL"),
    ("secret:decrypt", "A Cr-own np:Cr np:Ob ACL", "A M-own np:M ACL"),
    // Legacy differs on purpose (contract §8, 14 and 15): on a private secret the owner or a project admin only.
    ("secret:put", "A Cr-own np:Cr", "A M-own np:M"),
    ("secret:delete", "A Cr-own np:Cr", "any-A A M-own np:M"),
    ("secret_meta:get", "A Cr-own np:Cr np:Ob np:Au np:SA ACL", "A M-own np:M ACL"),
    ("secret_meta:post", "A Cr-own np:Cr", "A M-own np:M"),
    ("secret_meta:put", "A Cr-own np:Cr", "A M-own np:M"),
    ("secret_meta:delete", "A Cr-own np:Cr", "A M-own np:M"),
    ("secret_acls:get", "A Cr Ob", "A M-own np:M"),
    ("secret_acls:put_patch", "A Cr-own np:Cr", "A M-own np:M"),
    ("secret_acls:delete", "A Cr-own np:Cr", "A M-own np:M"),
    ("secret_consumers:get", "A Cr-own np:Cr np:Ob np:Au np:SA ACL", "A M-own np:M ACL"),
    ("secret_consumers:post", "A Cr-own np:Cr np:Ob np:Au np:SA ACL", "A M-own np:M ACL"),
    ("secret_consumers:delete", "A Cr-own np:Cr np:Ob np:Au np:SA ACL", "A M-own np:M ACL"),
    ("containers:post", "A Cr", "M"),
    ("containers:get", "A Cr Ob", "M"),
    ("container:get", "A Cr-own np:Cr np:Ob np:Au np:SA ACL", "A M-own np:M ACL"),
    ("container:delete", "A Cr-own", "A M-own np:M"),
    ("container_secret:post", "A Cr-own np:Cr", "A M-own np:M"),
    ("container_secret:delete", "A Cr-own np:Cr", "A M-own np:M"),
    ("container_acls:get", "A Cr Ob", "A M-own np:M"),
    ("container_acls:put_patch", "A Cr-own np:Cr", "A M-own np:M"),
    ("container_acls:delete", "A Cr-own np:Cr", "A M-own np:M"),
    ("container_consumers:get", "A Cr-own np:Cr np:Ob np:Au np:SA ACL", "A M-own np:M ACL"),
    ("container_consumers:post", "A Cr-own np:Cr np:Ob np:Au np:SA ACL", "A M-own np:M ACL"),
    ("container_consumers:delete", "A Cr-own np:Cr np:Ob np:Au np:SA ACL", "A M-own np:M ACL"),
    ("consumer:get", "any-A any-Ob any-Cr any-Au A Cr-own np:Cr np:Ob np:Au np:SA ACL", "any-A M-own np:M ACL"),
    ("orders:post", "A Cr", "M"),
    ("orders:get", "A Cr Ob", "M"),
    ("orders:put", "A Cr", "M"),
    ("order:get", "A Cr Ob Au SA", "M"),
    ("order:delete", "A", "M"),
    ("quotas:get", "A Cr Ob Au SA", "R"),
    ("project_quotas:get", "SA", "A"),
    ("project_quotas:put", "SA", "A"),
    ("project_quotas:delete", "SA", "A"),
    ("transport_key:get", "A Cr Ob Au SA", "R"),
    ("transport_keys:get", "A Cr Ob Au SA", "R"),
    ("transport_keys:post", "SA", "A"),
    ("transport_key:delete", "SA", "A"),
    ("secretstores:get", "A Cr Ob Au SA", "R"),
    ("secretstores:get_global_default", "A Cr Ob Au SA", "R"),
    ("secretstores:get_preferred", "A Cr Ob Au SA", "R"),
    ("secretstore:get", "A Cr Ob Au SA", "R"),
    ("secretstore_preferred:post", "A", "A"),
    ("secretstore_preferred:delete", "A", "A"),
];

fn contract_permits(shorthand: &str, who: &Principal, it: Situation) -> bool {
    shorthand.split(' ').any(|term| {
        if term == "ACL" {
            return it.is_listed;
        }
        let (term, open) = term.strip_prefix("np:").map_or((term, true), |term| (term, !it.is_private));
        let (term, here) = term.strip_prefix("any-").map_or((term, it.own_project), |term| (term, true));
        let (term, own) = term.strip_suffix("-own").map_or((term, true), |term| (term, it.is_creator));
        let role = match term {
            "A" => "admin",
            "M" => "member",
            "R" => "reader",
            "Cr" => "creator",
            "Ob" => "observer",
            "Au" => "audit",
            "SA" => "key-manager:service-admin",
            _ => panic!("unknown shorthand {term}"),
        };
        open && here && own && who.has_role(role)
    })
}

#[test]
fn the_rules_mean_what_the_contract_says() {
    for set in RuleSet::ALL {
        let authorizer = authorizer(set);
        let rest: Vec<String> = asked(&authorizer)
            .into_iter()
            .filter(|rule| !rule.starts_with("kmip:") && rule != "secret:delete_kmip")
            .collect();
        let listed: BTreeSet<&str> = CONTRACT.iter().map(|row| row.0).collect();
        assert_eq!(rest.iter().map(String::as_str).collect::<BTreeSet<_>>(), listed);
        for (rule, legacy, secure) in CONTRACT {
            let shorthand = if set == RuleSet::Legacy { legacy } else { secure };
            for role in ROLES {
                let who = principal(role, Realm::Keystone);
                for it in situations() {
                    let (has_entity, entity) = match entity(rule) {
                        Entity::Secret => (true, Entity::Secret),
                        Entity::Container => (true, Entity::Container),
                        other => (false, other),
                    };
                    // Without an entity there is one decision only.
                    let is_plain = it.own_project && it.is_creator && !it.is_private && !it.is_listed;
                    if !has_entity && !is_plain {
                        continue;
                    }
                    let decided = with_resource(it, Origin::Barbican, |resource| {
                        authorizer.holds(rule, &who, entity, has_entity.then_some(resource))
                    });
                    assert_eq!(
                        decided,
                        contract_permits(shorthand, &who, it),
                        "{} {rule} as {role}: own project {}, creator {}, private {}, listed {}",
                        set.name(),
                        it.own_project,
                        it.is_creator,
                        it.is_private,
                        it.is_listed
                    );
                }
            }
        }
    }
}

#[test]
fn the_gateway_itself_may_do_everything_and_nobody_else_its_work() {
    let authorizer = authorizer(RuleSet::Secure);
    for kind in OperationKind::ALL {
        assert!(authorizer.permit(&principal("none", Realm::System), *kind, None, &[], ()).is_ok());
    }
    for kind in [OperationKind::RunJob, OperationKind::Reconcile, OperationKind::Connect] {
        for realm in [Realm::Certificate, Realm::Keystone, Realm::Unauthenticated] {
            assert!(authorizer.permit(&principal("admin", realm), kind, None, &[], ()).is_err());
        }
    }
}

#[test]
fn all_resources_of_a_use_case_must_be_permitted() {
    let authorizer = authorizer(RuleSet::Secure);
    let who = principal("member", Realm::Keystone);
    let (mine, theirs) = (ProjectId("mine".into()), ProjectId("theirs".into()));
    let own = Resource { project: &mine, creator: None, origin: Origin::Barbican, grants: None };
    let foreign = Resource { project: &theirs, ..own };
    assert!(authorizer.permit(&who, OperationKind::Reveal, None, &[own, own], ()).is_ok());
    for mixed in [[own, foreign], [foreign, own]] {
        let refusal = authorizer.permit(&who, OperationKind::Reveal, None, &mixed, ()).map(|_| ());
        assert_eq!(refusal, Err(Denied { visible: true }));
    }
}

#[test]
fn an_override_replaces_one_rule_and_no_other() {
    let overrides = Overrides::from_yaml(
        "'secret:delete': 'rule:secret_project_admin'\n'secrets:post': 'rule:admin_or_creator or role:member'\n",
    )
    .expect("both rules can be read");
    let changed = Authorizer::new(RuleSet::Secure, &overrides).expect("both refer to rules that exist");
    let before = authorizer(RuleSet::Secure);
    for rule in asked(&before) {
        let differs = ROLES.iter().any(|role| decisions(&changed, &rule, role) != decisions(&before, &rule, role));
        assert_eq!(differs, ["secret:delete", "secrets:post"].contains(&rule.as_str()), "{rule}");
    }
    assert!(changed.unused_overrides().is_empty());
}

/// Request parameters never reach a rule: a name that is not part of the stored entity cannot even be written.
#[test]
fn a_rule_cannot_look_at_the_request() {
    for name in ["target.secret.name", "secret_id", "request.read", "read"] {
        let text = format!("'secret:get': \"'x':%({name})s\"");
        let mistakes = Overrides::from_yaml(&text).expect_err("no such attribute");
        assert_eq!(mistakes.lines().len(), 1, "{mistakes}");
    }
}
