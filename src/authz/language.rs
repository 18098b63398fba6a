//! The rule language of oslo.policy: parser and evaluator.
//!
//! A rule is made of checks (`role:admin`, `rule:other`, `project_id:%(target.secret.project_id)s`, `'read':%(…)s`, `@`, `!`)
//! joined by `not`, `and`, `or` and parentheses; the empty rule is true. What a check may look at is a closed list: the
//! principal and the stored entity. A name outside that list is a mistake in the file and never a lookup in the request.

use std::{borrow::Cow, fmt};

use super::rules::Resource;
use crate::domain::{Origin, Principal, access::Grants};

/// Nesting of parentheses and `not`; the evaluator recurses as deep.
const DEPTH_MAX: usize = 32;

/// Which kind of stored thing a rule is asked about; decides which `target.…` names it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entity {
    /// Nothing stored: creations and lists.
    None,
    /// A secret, that is a managed object.
    Secret,
    /// A container.
    Container,
    /// An order; always of the caller's project.
    Order,
}

/// What a rule is asked about, by its name.
#[must_use]
pub fn entity_of(rule: &str) -> Entity {
    match rule.split_once(':') {
        Some(("secret" | "secret_meta" | "secret_acls" | "secret_consumers", _)) => Entity::Secret,
        Some(("container" | "container_secret" | "container_acls" | "container_consumers" | "consumer", _)) => {
            Entity::Container
        }
        Some(("kmip", "read" | "get" | "use" | "modify" | "revoke" | "destroy")) => Entity::Secret,
        Some(("order", _)) => Entity::Order,
        _ => Entity::None,
    }
}

/// What a rule is evaluated over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    pub(super) principal: &'a Principal,
    pub(super) entity: Entity,
    pub(super) resource: Option<&'a Resource<'a>>,
    /// Whether the secure set is in force: Barbican's own rule texts ask for it.
    pub(super) new_defaults: bool,
}

/// A parsed rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    True,
    False,
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    Rule(String),
    Role(Template),
    Literal(String, Template),
    Credential(Credential, Template),
}

/// Text with attributes of the target in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Attribute(Attribute),
}

/// What stands left of the colon and belongs to the principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    User,
    Project,
    Roles,
    IsAdmin,
    /// Known to oslo.policy, and never part of a token that gets this far.
    Never,
}

const CREDENTIALS: &[(&str, Credential)] = &[
    ("user_id", Credential::User),
    ("user", Credential::User),
    ("project_id", Credential::Project),
    ("project", Credential::Project),
    ("tenant", Credential::Project),
    ("tenant_id", Credential::Project),
    ("roles", Credential::Roles),
    ("is_admin", Credential::IsAdmin),
    ("system_scope", Credential::Never),
    ("domain_id", Credential::Never),
    ("user_domain_id", Credential::Never),
    ("project_domain_id", Credential::Never),
    ("is_admin_project", Credential::Never),
    ("service_user_id", Credential::Never),
    ("service_user_domain_id", Credential::Never),
    ("service_project_id", Credential::Never),
    ("service_project_domain_id", Credential::Never),
    ("service_roles", Credential::Never),
];

/// What a rule may know of the stored entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attribute {
    /// `None`: of whatever entity the rule is asked about.
    entity: Option<Entity>,
    field: Field,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Project,
    Creator,
    /// `read` when the caller's user id is listed in the entity's access list.
    Read,
    /// `False` when an access list makes the entity private, else `True`.
    ProjectAccess,
    /// `kmip` or `barbican`: our own addition.
    Origin,
    /// `True` under the secure set of rules, `False` under the legacy one.
    NewDefaults,
}

const ATTRIBUTES: &[(&str, Option<Entity>, Field)] = &[
    ("project_id", None, Field::Project),
    ("user_id", None, Field::Creator),
    ("enforce_new_defaults", None, Field::NewDefaults),
    ("target.secret.project_id", Some(Entity::Secret), Field::Project),
    ("target.secret.creator_id", Some(Entity::Secret), Field::Creator),
    ("target.secret.read", Some(Entity::Secret), Field::Read),
    ("target.secret.read_project_access", Some(Entity::Secret), Field::ProjectAccess),
    ("target.secret.origin", Some(Entity::Secret), Field::Origin),
    ("target.container.project_id", Some(Entity::Container), Field::Project),
    ("target.container.creator_id", Some(Entity::Container), Field::Creator),
    ("target.container.read", Some(Entity::Container), Field::Read),
    ("target.container.read_project_access", Some(Entity::Container), Field::ProjectAccess),
    ("target.order.project_id", Some(Entity::Order), Field::Project),
];

/// What is wrong with a rule's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError(String);

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn wrong<T>(text: impl Into<String>) -> Result<T, SyntaxError> {
    Err(SyntaxError(text.into()))
}

impl Check {
    /// Reads a rule's text.
    pub(super) fn parse(text: &str) -> Result<Self, SyntaxError> {
        let tokens = tokens(text);
        if tokens.is_empty() {
            return Ok(Self::True);
        }
        let mut parser = Parser { tokens: &tokens, depth: 0 };
        let check = parser.any()?;
        match parser.tokens.first() {
            None => Ok(check),
            Some(token) => wrong(format!("unexpected `{token}`")),
        }
    }

    /// One check without operators, as the list form of rules has it.
    pub(super) fn single(text: &str) -> Result<Self, SyntaxError> {
        match text {
            "@" => return Ok(Self::True),
            "!" => return Ok(Self::False),
            _ => {}
        }
        let Some((kind, wanted)) = text.split_once(':') else {
            return wrong(format!("`{text}` is no check: it has no colon"));
        };
        match kind {
            "rule" => Ok(Self::Rule(wanted.to_owned())),
            "role" => Ok(Self::Role(Template::parse(wanted)?)),
            "http" | "https" => wrong("a check by a remote server is not supported"),
            _ => match literal(kind) {
                Some(value) => Ok(Self::Literal(value, Template::parse(wanted)?)),
                None => match CREDENTIALS.iter().find(|row| row.0 == kind) {
                    Some((_, credential)) => Ok(Self::Credential(*credential, Template::parse(wanted)?)),
                    None => wrong(format!("`{kind}` is nothing that this gateway knows of a caller")),
                },
            },
        }
    }

    /// Whether the rule holds. `other` resolves `rule:` checks.
    pub(super) fn holds<'r>(&'r self, facts: &Facts<'_>, other: &impl Fn(&str) -> Option<&'r Self>) -> bool {
        match self {
            Self::True => true,
            Self::False => false,
            Self::Not(check) => !check.holds(facts, other),
            Self::All(checks) => checks.iter().all(|check| check.holds(facts, other)),
            Self::Any(checks) => checks.iter().any(|check| check.holds(facts, other)),
            Self::Rule(name) => other(name).is_some_and(|check| check.holds(facts, other)),
            Self::Role(wanted) => wanted
                .fill(facts)
                .is_some_and(|role| facts.principal.roles.iter().any(|have| have.eq_ignore_ascii_case(&role))),
            Self::Literal(value, wanted) => wanted.fill(facts).is_some_and(|wanted| wanted == value.as_str()),
            Self::Credential(credential, wanted) => wanted.fill(facts).is_some_and(|wanted| match credential {
                Credential::User => facts.principal.name.as_deref() == Some(&*wanted),
                Credential::Project => facts.principal.project.0 == *wanted,
                Credential::Roles => facts.principal.has_role(&wanted),
                Credential::IsAdmin => wanted == truth(facts.principal.has_role("admin")),
                Credential::Never => false,
            }),
        }
    }

    /// How the rule comes to its answer, a line a check, deeper ones indented.
    pub(super) fn explain<'r>(
        &'r self,
        facts: &Facts<'_>,
        other: &impl Fn(&str) -> Option<&'r Self>,
        depth: usize,
        lines: &mut Vec<String>,
    ) {
        let mut say = |text: &str| {
            let word = if self.holds(facts, other) { "yes" } else { "no " };
            lines.push(format!("{word} {}{text}", "  ".repeat(depth)));
        };
        match self {
            Self::True => say("@"),
            Self::False => say("!"),
            Self::Not(check) => {
                say("not");
                check.explain(facts, other, depth + 1, lines);
            }
            Self::All(checks) => {
                say("all of");
                checks.iter().for_each(|check| check.explain(facts, other, depth + 1, lines));
            }
            Self::Any(checks) => {
                say("any of");
                checks.iter().for_each(|check| check.explain(facts, other, depth + 1, lines));
            }
            Self::Rule(name) => {
                say(&format!("rule:{name}"));
                if let Some(check) = other(name) {
                    check.explain(facts, other, depth + 1, lines);
                }
            }
            Self::Role(wanted) => say(&format!("role:{wanted}")),
            Self::Literal(value, wanted) => say(&format!("'{value}':{wanted}")),
            Self::Credential(credential, wanted) => {
                let name = CREDENTIALS.iter().find(|row| row.1 == *credential).map_or("", |row| row.0);
                say(&format!("{name}:{wanted}"));
            }
        }
    }

    /// The names of the rules that it refers to.
    pub(super) fn references(&self) -> Vec<&str> {
        match self {
            Self::Rule(name) => vec![name],
            Self::Not(check) => check.references(),
            Self::All(checks) | Self::Any(checks) => checks.iter().flat_map(Self::references).collect(),
            Self::True | Self::False | Self::Role(_) | Self::Literal(..) | Self::Credential(..) => Vec::new(),
        }
    }
}

/// oslo.policy splits at white space and then takes parentheses off both ends of a word: `%(name)s` stays whole.
fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let inner = word.trim_start_matches('(');
        tokens.extend((inner.len()..word.len()).map(|_| "("));
        let check = inner.trim_end_matches(')');
        if !check.is_empty() {
            tokens.push(check);
        }
        tokens.extend((check.len()..inner.len()).map(|_| ")"));
    }
    tokens
}

struct Parser<'t, 's> {
    tokens: &'t [&'s str],
    depth: usize,
}

impl Parser<'_, '_> {
    /// `or` binds least.
    fn any(&mut self) -> Result<Check, SyntaxError> {
        let first = self.all()?;
        let mut checks = vec![first];
        while self.take_word("or") {
            checks.push(self.all()?);
        }
        Ok(one_or(checks, Check::Any))
    }

    fn all(&mut self) -> Result<Check, SyntaxError> {
        let first = self.operand()?;
        let mut checks = vec![first];
        while self.take_word("and") {
            checks.push(self.operand()?);
        }
        Ok(one_or(checks, Check::All))
    }

    fn operand(&mut self) -> Result<Check, SyntaxError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return wrong(format!("more than {DEPTH_MAX} levels of parentheses and `not`"));
        }
        let check = if self.take_word("not") {
            Check::Not(Box::new(self.operand()?))
        } else if self.take_word("(") {
            let inner = self.any()?;
            if !self.take_word(")") {
                return wrong("a parenthesis is not closed");
            }
            inner
        } else {
            match self.tokens.split_first() {
                None => return wrong("the rule ends where a check is expected"),
                Some((word, _)) if [")", "and", "or"].iter().any(|other| word.eq_ignore_ascii_case(other)) => {
                    return wrong(format!("unexpected `{word}`"));
                }
                Some((word, rest)) => {
                    self.tokens = rest;
                    Check::single(word)?
                }
            }
        };
        self.depth -= 1;
        Ok(check)
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        match self.tokens.split_first() {
            Some((word, rest)) if word.eq_ignore_ascii_case(wanted) => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }
}

fn one_or(mut checks: Vec<Check>, join: impl FnOnce(Vec<Check>) -> Check) -> Check {
    match (checks.len(), checks.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            checks.extend(last);
            join(checks)
        }
    }
}

/// A literal left of the colon, as Python would print it: text in quotes, a truth value, `None` or a whole number.
fn literal(kind: &str) -> Option<String> {
    let quoted = ['\'', '"'].into_iter().find_map(|quote| kind.strip_prefix(quote)?.strip_suffix(quote));
    quoted
        .or_else(|| ["True", "False", "None"].contains(&kind).then_some(kind))
        .map(str::to_owned)
        .or_else(|| kind.parse::<i64>().ok().map(|number| number.to_string()))
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(&text.replace('%', "%%"))?,
                Part::Attribute(attribute) => {
                    let row = ATTRIBUTES.iter().find(|row| (row.1, row.2) == (attribute.entity, attribute.field));
                    write!(f, "%({})s", row.map_or("", |row| row.0))?;
                }
            }
        }
        Ok(())
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, SyntaxError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            push_text(&mut parts, before);
            if let Some(after) = after.strip_prefix('%') {
                push_text(&mut parts, "%");
                rest = after;
                continue;
            }
            let Some((name, after)) = after.strip_prefix('(').and_then(|after| after.split_once(")s")) else {
                return wrong(format!("`{text}`: after `%` comes `(name)s` or `%`"));
            };
            match ATTRIBUTES.iter().find(|row| row.0 == name) {
                Some((_, entity, field)) => parts.push(Part::Attribute(Attribute { entity: *entity, field: *field })),
                None => return wrong(format!("`%({name})s` is nothing that this gateway knows of a stored entity")),
            }
            rest = after;
        }
        push_text(&mut parts, rest);
        Ok(Self(parts))
    }

    /// `None` where an attribute has no value: then the check does not hold, whatever the other side is.
    fn fill<'a>(&'a self, facts: &Facts<'a>) -> Option<Cow<'a, str>> {
        match self.0.as_slice() {
            [] => Some(Cow::Borrowed("")),
            [part] => part.value(facts).map(Cow::Borrowed),
            parts => parts.iter().map(|part| part.value(facts)).collect::<Option<String>>().map(Cow::Owned),
        }
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

impl Part {
    fn value<'a>(&'a self, facts: &Facts<'a>) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Attribute(attribute) => attribute.value(facts),
        }
    }
}

impl Attribute {
    fn value<'a>(self, facts: &Facts<'a>) -> Option<&'a str> {
        if self.entity.is_some_and(|entity| entity != facts.entity) {
            return None;
        }
        let Some(resource) = facts.resource else {
            return match self.field {
                // Without an entity the caller's own project is what is acted on.
                Field::Project => Some(&*facts.principal.project.0),
                Field::NewDefaults => Some(truth(facts.new_defaults)),
                Field::Creator | Field::Read | Field::ProjectAccess | Field::Origin => None,
            };
        };
        let lists_caller =
            |grants: &Grants| facts.principal.name.as_ref().is_some_and(|user| grants.users.contains(user));
        match self.field {
            Field::Project => Some(&*resource.project.0),
            Field::Creator => resource.creator,
            Field::Read => resource.grants.is_some_and(lists_caller).then_some("read"),
            Field::ProjectAccess => Some(truth(resource.grants.is_none_or(|grants| grants.project_access))),
            Field::Origin => Some(match resource.origin {
                Origin::Kmip => "kmip",
                Origin::Barbican => "barbican",
            }),
            Field::NewDefaults => Some(truth(facts.new_defaults)),
        }
    }
}

/// As Python prints it.
const fn truth(value: bool) -> &'static str {
    if value { "True" } else { "False" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{ProjectId, Realm, Timestamp};

    fn principal() -> Principal {
        Principal {
            name: Some("alice".into()),
            project: ProjectId("p1".into()),
            roles: vec!["member".into(), "key-manager:service-admin".into()],
            realm: Realm::Keystone,
            user_name: None,
        }
    }

    fn holds(text: &str, resource: Option<&Resource<'_>>) -> bool {
        let check = Check::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let yes = Check::True;
        check.holds(&Facts { principal: &principal(), entity: Entity::Secret, resource, new_defaults: true }, &|name| {
            (name == "yes").then_some(&yes)
        })
    }

    #[test]
    fn operators_bind_as_in_python() {
        for (text, expected) in [
            ("", true),
            ("  ", true),
            ("@", true),
            ("!", false),
            ("not !", true),
            ("not not @", true),
            ("@ or ! and !", true),
            ("(@ or !) and !", false),
            ("! and ! or @", true),
            ("not @ or @", true),
            ("not (@ or @)", false),
            ("@ AND NOT !", true),
            ("((role:member))", true),
            ("( role:member )", true),
            ("rule:yes and role:MEMBER", true),
            ("rule:unknown", false),
            ("role:key-manager:service-admin", true),
            ("roles:member", true),
            ("role:admin", false),
            ("is_admin:True", false),
            ("is_admin:False", true),
            ("user_id:alice and project_id:p1", true),
            ("tenant:p2", false),
            ("system_scope:all", false),
            ("not system_scope:all", true),
            ("'x':x and \"y\":y and True:True and None:None and 7:7", true),
            ("'x':%%x", false),
            ("'%x':%%x", true),
            ("True:%(enforce_new_defaults)s", true),
        ] {
            assert_eq!(holds(text, None), expected, "{text}");
        }
    }

    #[test]
    fn attributes_come_from_the_entity() {
        let (project, grants) = (
            ProjectId("p1".into()),
            Grants {
                project_access: false,
                users: vec!["alice".into()],
                created: Timestamp::from_seconds(0),
                updated: Timestamp::from_seconds(0),
            },
        );
        let open = Resource { project: &project, creator: Some("alice"), origin: Origin::Kmip, grants: None };
        let private = Resource { creator: None, grants: Some(&grants), ..open };
        for (text, on_open, on_private) in [
            ("project_id:%(target.secret.project_id)s", true, true),
            ("project_id:%(project_id)s", true, true),
            ("user_id:%(target.secret.creator_id)s", true, false),
            ("'read':%(target.secret.read)s", false, true),
            ("True:%(target.secret.read_project_access)s", true, false),
            ("'False':%(target.secret.read_project_access)s", false, true),
            ("'kmip':%(target.secret.origin)s", true, true),
            ("'p1/alice':%(target.secret.project_id)s/%(target.secret.creator_id)s", true, false),
            ("project_id:%(target.container.project_id)s", false, false),
            ("not project_id:%(target.container.project_id)s", true, true),
        ] {
            assert_eq!((holds(text, Some(&open)), holds(text, Some(&private))), (on_open, on_private), "{text}");
        }
    }

    #[test]
    fn an_absent_user_owns_nothing() {
        let project = ProjectId("p1".into());
        let nobody = Principal { name: None, ..principal() };
        let resource = Resource { project: &project, creator: None, origin: Origin::Barbican, grants: None };
        let facts = Facts { principal: &nobody, entity: Entity::Secret, resource: Some(&resource), new_defaults: true };
        let check = Check::parse("user_id:%(target.secret.creator_id)s").unwrap();
        assert!(!check.holds(&facts, &|_| None));
    }

    #[test]
    fn mistakes_are_named() {
        let deep = format!("{}@{}", "(".repeat(40), ")".repeat(40));
        for (text, expected) in [
            ("admin", "`admin` is no check: it has no colon"),
            ("role:a role:b", "unexpected `role:b`"),
            ("role:a and", "the rule ends where a check is expected"),
            ("and role:a", "unexpected `and`"),
            ("role:a or or role:b", "unexpected `or`"),
            ("(role:a", "a parenthesis is not closed"),
            ("role:a)", "unexpected `)`"),
            ("()", "unexpected `)`"),
            ("not", "the rule ends where a check is expected"),
            ("http://example.org/check", "a check by a remote server is not supported"),
            ("colour:red", "`colour` is nothing that this gateway knows of a caller"),
            (
                "user_id:%(target.secret.name)s",
                "`%(target.secret.name)s` is nothing that this gateway knows of a stored entity",
            ),
            ("user_id:%(user_id)d", "`%(user_id)d`: after `%` comes `(name)s` or `%`"),
            ("user_id:100%", "`100%`: after `%` comes `(name)s` or `%`"),
            (&deep, "more than 32 levels of parentheses and `not`"),
            (&"not ".repeat(40), "more than 32 levels of parentheses and `not`"),
        ] {
            assert_eq!(Check::parse(text), Err(SyntaxError(expected.into())), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([()@!%':a-z. ]|and |or |not |role:x |%\\(user_id\\)s){0,40}") {
            if let Ok(check) = Check::parse(&text) {
                check.holds(&Facts { principal: &principal(), entity: Entity::None, resource: None, new_defaults: false }, &|_| None);
            }
        }
    }
}
