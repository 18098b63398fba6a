//! The rules of a configuration: read at start, read again when their file changes, explained on the command line.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use clap::Args;
use tokio::time::sleep;

use super::{
    fronts,
    problem::{Explain, Problem},
};
use crate::{
    authn::RestClaim,
    authz::{Authorizer, Entity, Explained, Overrides, Resource, RuleSet, entity_of},
    config::{Config, Rules},
    domain::{
        Origin, Principal, ProjectId, Realm, Timestamp,
        access::{Grants, expand_roles},
    },
    engine::Engine,
    telemetry::Metrics,
};

/// How often the policy file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

const REMEDY: &str = "correct the rules named; without rest.policy.file the built-in ones are in force";

const fn set(rules: Rules) -> RuleSet {
    match rules {
        Rules::Secure => RuleSet::Secure,
        Rules::Legacy => RuleSet::Legacy,
    }
}

/// The rules of the configuration.
pub(super) fn authorizer(config: &Config) -> Result<Authorizer, Problem> {
    rules(set(config.rest.policy.defaults), config.rest.policy.file.as_deref())
}

fn rules(set: RuleSet, file: Option<&Path>) -> Result<Authorizer, Problem> {
    let overrides = match file {
        None => Overrides::default(),
        Some(path) => {
            let text = fs::read_to_string(path).explain("PC-POLICY", path.display(), "check the path")?;
            Overrides::from_yaml(&text).explain("PC-POLICY", path.display(), REMEDY)?
        }
    };
    let rules = Authorizer::new(set, &overrides).explain("PC-POLICY", "the rules", REMEDY)?;
    if !rules.unused_overrides().is_empty() {
        tracing::warn!(rules = ?rules.unused_overrides(), "overrides that nothing asks for");
    }
    for (old, new) in rules.deprecated_overrides() {
        tracing::warn!(old, new, "an override by a deprecated name; use the new one");
    }
    Ok(rules)
}

/// Puts the rules of the file in force; what is wrong keeps those that are, and raises the alarm.
pub(super) fn reload(engine: &Engine, metrics: &Metrics, config: &Config) {
    match authorizer(config) {
        Ok(rules) => {
            engine.replace_rules(rules);
            metrics.policy_reload(true);
            tracing::info!("the rules were read again");
        }
        Err(problem) => {
            metrics.policy_reload(false);
            tracing::error!(code = problem.code, what = problem.what, "the old rules stay in force");
        }
    }
}

/// What tells that a file was changed.
type Mark = Option<(SystemTime, u64)>;

fn mark(path: &Path) -> Mark {
    let found = fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// Reads the rules again whenever their file changes, as oslo.policy does.
pub(super) async fn watch(engine: Arc<Engine>, metrics: Arc<Metrics>, config: Arc<Config>) {
    let Some(path) = config.rest.policy.file.clone() else { return };
    let mut seen = mark(&path);
    loop {
        sleep(LOOK_EVERY).await;
        let now = mark(&path);
        if now != seen {
            seen = now;
            reload(&engine, &metrics, &config);
        }
    }
}

/// What `policy explain` is asked.
#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// The configuration whose rules count; without it the built-in ones.
    #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
    pub(super) config: Option<std::path::PathBuf>,
    /// The built-in rules, where no configuration is given.
    #[arg(long, value_enum, default_value = "secure", conflicts_with = "config")]
    policy: super::command::Policy,
    /// A policy file, where no configuration is given.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    policy_file: Option<std::path::PathBuf>,
    /// Who asks: a token, which the configuration's Keystone or token list vouches for.
    #[arg(long, value_name = "TOKEN", requires = "config", conflicts_with_all = ["roles", "user", "project"])]
    token: Option<String>,
    /// Who asks: roles, separated by commas.
    #[arg(long, value_name = "ROLES", required_unless_present = "token")]
    roles: Option<String>,
    /// Who asks: the user id.
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Who asks: the project id.
    #[arg(long, value_name = "ID", default_value = "project")]
    project: String,
    /// What is asked: the name of a rule, such as secret:get.
    #[arg(long, value_name = "RULE")]
    action: String,
    /// Of what: name=value pairs, separated by commas: project, creator, users (separated by +), project-access (true or
    /// false), origin (kmip or barbican). What is not named is the caller's own and open.
    #[arg(long, value_name = "PAIRS", default_value = "")]
    target: String,
}

/// Says whether a request would be allowed, and by which rule: exit code 0 when it would, 1 when not.
pub(super) fn explain(arguments: &ExplainArguments, config: Option<&Config>) -> Result<ExitCode, Problem> {
    let rules = match config {
        Some(config) => authorizer(config)?,
        None => rules(set(arguments.policy.into()), arguments.policy_file.as_deref())?,
    };
    let who = match (&arguments.token, config) {
        (Some(token), Some(config)) => bearer(token, config)?,
        _ => Principal {
            name: arguments.user.clone(),
            project: ProjectId(arguments.project.clone()),
            roles: expand_roles(arguments.roles.as_deref().unwrap_or_default().split(',')),
            realm: Realm::Keystone,
            user_name: None,
        },
    };
    if !rules.names().contains(&arguments.action.as_str()) {
        let known: Vec<&str> = rules.names().into_iter().filter(|name| name.contains(':')).collect();
        return Err(Problem::new(
            "PC-POLICY-ACTION",
            format!("there is no rule {}", arguments.action),
            known.join(", "),
        ));
    }
    let target = Target::read(&arguments.target, &who)?;
    let resource = Resource {
        project: &target.project,
        creator: target.creator.as_deref(),
        origin: target.origin,
        grants: target.grants.as_ref(),
    };
    let entity = entity_of(&arguments.action);
    let stored = (entity != Entity::None).then_some(&resource);
    let Explained { is_allowed, lines } = rules.explain(&arguments.action, &who, entity, stored);
    let mut text = format!(
        "{}: {}\n{} of project {}, roles {}\n",
        arguments.action,
        if is_allowed { "allowed" } else { "refused" },
        who.name.as_deref().unwrap_or("nobody in particular"),
        who.project,
        if who.roles.is_empty() { "none".to_owned() } else { who.roles.join(", ") },
    );
    lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
    io::stdout().write_all(text.as_bytes()).explain("PC-OUTPUT", "standard output", "")?;
    Ok(if is_allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Who a token is.
fn bearer(token: &str, config: &Config) -> Result<Principal, Problem> {
    crate::tls::install_provider();
    let authenticator = fronts::authenticator(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.explain("PC-RUNTIME", "no thread can be started", "")?;
    let claim = RestClaim { token: Some(token), method: "GET", path: "/v1/secrets", ..RestClaim::default() };
    let found = runtime.block_on(authenticator.authenticate(&claim));
    found.explain("PC-POLICY-TOKEN", "the token", "give a valid one, or describe the caller by --roles")
}

/// What is asked for, as the command line describes it.
struct Target {
    project: ProjectId,
    creator: Option<String>,
    origin: Origin,
    grants: Option<Grants>,
}

impl Target {
    fn read(text: &str, who: &Principal) -> Result<Self, Problem> {
        let wrong = |pair: &str| {
            Problem::new(
                "PC-POLICY-TARGET",
                format!("{pair} is no part of a target"),
                "give pairs such as project=p1,creator=u1,users=u2+u3,project-access=false,origin=kmip",
            )
        };
        let mut target =
            Self { project: who.project.clone(), creator: who.name.clone(), origin: Origin::Barbican, grants: None };
        let none = || Grants {
            project_access: true,
            users: Vec::new(),
            created: Timestamp::from_seconds(0),
            updated: Timestamp::from_seconds(0),
        };
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').ok_or_else(|| wrong(pair))? {
                ("project", value) => target.project = ProjectId(value.to_owned()),
                ("creator", value) => target.creator = Some(value.to_owned()),
                ("origin", "kmip") => target.origin = Origin::Kmip,
                ("origin", "barbican") => target.origin = Origin::Barbican,
                ("users", value) => {
                    target.grants.get_or_insert_with(none).users = value.split('+').map(str::to_owned).collect();
                }
                ("project-access", value @ ("true" | "false")) => {
                    target.grants.get_or_insert_with(none).project_access = value == "true";
                }
                _ => return Err(wrong(pair)),
            }
        }
        Ok(target)
    }
}
