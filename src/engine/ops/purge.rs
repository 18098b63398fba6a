//! Ends what is past its time, and everything of a project that is gone (Barbican contract §3.5, §5.4, §6.4).
//!
//! Each object is ended by a use case of its own, run by the gateway itself: a value is destroyed by the same steps as when a
//! client asks for it, and the audit trail names it.

use std::sync::Arc;

use super::retire::retire;
use crate::{
    authz::Permitted,
    domain::{OperationKind, Origin, Principal, ProjectId, Realm, Timestamp, UniqueIdentifier, audit::Protocol},
    engine::{
        Engine,
        error::{Error, ErrorKind},
        operation::{Operation, Target, Targets},
        pipeline::Caller,
        ports::{Due, Guard, Lane, Order, Scope, Window, Write},
        tools::Tools,
    },
};

/// Objects looked up at a time.
const STEP: usize = 100;

/// Ends a secret that has expired, or removes the record of one that was destroyed.
#[derive(Clone, Copy, Debug)]
struct PurgeDue {
    object: UniqueIdentifier,
}

impl Operation for PurgeDue {
    const KIND: OperationKind = OperationKind::PurgeExpired;
    type Output = ();

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        tools.touch(self.object);
        let Some(found) = tools.store().object(self.object).await? else { return Ok(()) };
        let now = tools.now();
        if found.record.state(now).is_destroyed() {
            return tools.commit(vec![Write::RemoveObject(self.object, Guard::At(found.revision))]).await;
        }
        if found.record.is_expired(now) { retire(tools, found, Vec::new()).await } else { Ok(()) }
    }
}

/// What a run ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Secrets that had expired.
    pub expired: usize,
    /// Records of destroyed secrets that were removed.
    pub forgotten: usize,
}

/// Ends every secret that expired at `expired` or before, and removes the records of those destroyed at `destroyed` or
/// before. Only what was made through Barbican: KMIP clients may ask for the attributes of a destroyed object at any time.
///
/// # Errors
///
/// The store's own. What cannot be ended now is tried again by the next run.
pub async fn purge_due(
    engine: &Arc<Engine>,
    expired: Timestamp,
    destroyed: Option<Timestamp>,
) -> Result<Purged, Error> {
    let mut purged = Purged::default();
    let store = &engine.ports().store;
    for (what, until) in [(Due::Expired, Some(expired)), (Due::Destroyed, destroyed)] {
        let Some(until) = until else { continue };
        // Some may not be ours to end and stay in front, so the look goes further than the step.
        let mut looked = STEP;
        loop {
            let due = store.due(what, until, looked).await?;
            let (found, mut ended) = (due.len(), 0);
            for id in due {
                let Some(object) = store.object(id).await? else { continue };
                if object.record.origin != Origin::Barbican {
                    continue;
                }
                let caller = gateway(object.record.project, "purge-expired");
                match engine.execute(&caller, PurgeDue { object: id }).await {
                    Ok(()) => ended += 1,
                    Err(error) => tracing::warn!(%error, object = %id, "what is past its time stays for now"),
                }
            }
            match what {
                Due::Expired => purged.expired += ended,
                Due::Destroyed => purged.forgotten += ended,
            }
            if found < looked {
                break;
            }
            if ended == 0 {
                looked = looked.saturating_mul(2);
            }
        }
    }
    Ok(purged)
}

/// Ends one thing of a project.
#[derive(Clone, Copy, Debug)]
enum PurgeOne {
    Job(UniqueIdentifier),
    Group(UniqueIdentifier),
    Object(UniqueIdentifier),
    Settings,
}

impl Operation for PurgeOne {
    const KIND: OperationKind = OperationKind::PurgeProject;
    type Output = ();

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        if let Self::Job(id) | Self::Group(id) | Self::Object(id) = self {
            tools.touch(id);
        }
        let store = tools.store();
        let write = match self {
            Self::Job(id) => store.job(id).await?.map(|found| Write::RemoveJob(id, Guard::At(found.revision))),
            Self::Group(id) => store.group(id).await?.map(|found| Write::RemoveGroup(id, Guard::At(found.revision))),
            Self::Object(id) => match store.object(id).await? {
                Some(found) if !found.record.state(tools.now()).is_destroyed() => {
                    return retire(tools, found, Vec::new()).await;
                }
                _ => None,
            },
            Self::Settings => {
                let project = tools.principal().project.clone();
                let found = store.project(project.clone()).await?;
                found.map(|found| Write::RemoveProject(project, Guard::At(found.revision)))
            }
        };
        match write {
            Some(write) => tools.commit(vec![write]).await,
            None => Ok(()),
        }
    }
}

/// What was removed with a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct PurgedProject {
    /// Secrets and other objects, whichever protocol made them.
    pub secrets: usize,
    /// Containers.
    pub containers: usize,
    /// Orders.
    pub orders: usize,
}

/// Removes everything of a project: orders first, so that nothing new appears, then containers, objects with their values,
/// quotas and preferences.
///
/// # Errors
///
/// The first that cannot be removed; what was removed before stays removed, and a repeat goes on from there.
pub async fn purge_project(engine: &Arc<Engine>, project: &ProjectId) -> Result<PurgedProject, Error> {
    let (store, caller) = (&engine.ports().store, gateway(project.clone(), "purge-project"));
    let window = Window { order: Order::OldestFirst, offset: 0, limit: STEP };
    let mut purged = PurgedProject::default();
    loop {
        let jobs = store.job_slice(project.clone(), window).await?.records;
        let groups = store.group_slice(project.clone(), window).await?.records;
        // Expired objects, too: they lie on a token like all others.
        let objects = standing(engine, project).await?;
        if jobs.is_empty() && groups.is_empty() && objects.is_empty() {
            break;
        }
        let jobs = jobs.into_iter().map(|job| PurgeOne::Job(job.identifier));
        let groups = groups.into_iter().map(|group| PurgeOne::Group(group.identifier));
        let objects = objects.into_iter().map(PurgeOne::Object);
        for one in jobs.chain(groups).chain(objects) {
            match engine.execute(&caller, one).await {
                Ok(()) => {}
                // Somebody works on it; the next round finds it as it is then.
                Err(error) if error.kind == ErrorKind::Conflict => continue,
                Err(error) => return Err(error),
            }
            match one {
                PurgeOne::Job(_) => purged.orders += 1,
                PurgeOne::Group(_) => purged.containers += 1,
                PurgeOne::Object(_) => purged.secrets += 1,
                PurgeOne::Settings => {}
            }
        }
    }
    engine.execute(&caller, PurgeOne::Settings).await?;
    Ok(purged)
}

/// Some objects of a project that are not destroyed: secrets first, then whatever else there is.
async fn standing(engine: &Arc<Engine>, project: &ProjectId) -> Result<Vec<UniqueIdentifier>, Error> {
    let store = &engine.ports().store;
    let secrets = store.objects(Scope::Live(project.clone()), Order::OldestFirst, None, STEP).await?.records;
    if !secrets.is_empty() {
        return Ok(secrets.iter().map(|object| object.record.identifier).collect());
    }
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = store.objects(Scope::Project(project.clone()), Order::OldestFirst, after, STEP).await?;
        let standing = page.records.iter().filter(|object| object.record.lifecycle.destroy.is_none());
        found.extend(standing.map(|object| object.record.identifier));
        after = page.next;
        if after.is_none() || !found.is_empty() {
            return Ok(found);
        }
    }
}

/// The gateway, acting for a project.
fn gateway(project: ProjectId, request: &str) -> Caller {
    Caller {
        principal: Arc::new(Principal {
            name: None,
            project,
            roles: Vec::new(),
            realm: Realm::System,
            user_name: None,
        }),
        protocol: Protocol::Internal,
        request: request.to_owned(),
        address: None,
        transaction: None,
        http: None,
        lane: Lane::Bulk,
        bounds: None,
    }
}
