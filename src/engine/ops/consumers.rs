//! Consumers: notes of others that they use a secret or a container (Barbican contract §2.5, §2.8).

use super::change::{change_group_with, change_object_with};
use crate::{
    authz::Permitted,
    domain::{
        ManagedObject, OperationKind, ProjectId, Timestamp, UniqueIdentifier, access::Consumer, group::Group,
        project::Resource,
    },
    engine::{
        error::{Error, ErrorKind},
        operation::{Operation, Target, Targets},
        ports::Write,
        tools::Tools,
    },
};

/// Most consumers one entity may have; a limit of ours, since all of them are part of one record.
pub const CONSUMERS_MAX: usize = 1000;

/// What is registered: the words that identify a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The service; for containers the name.
    pub service: String,
    /// The resource type; for containers the URL.
    pub resource_type: String,
    /// The resource id; empty for containers.
    pub resource_id: String,
}

impl Registration {
    fn is(&self, consumer: &Consumer) -> bool {
        consumer.service == self.service
            && consumer.resource_type == self.resource_type
            && consumer.resource_id == self.resource_id
    }
}

/// What becomes of the registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsumerChange {
    /// Registered; one that is there stays as it is.
    Add,
    /// Removed, by its own project or that of the entity; `AttributeMissing` when there is none, `AttributeReadOnly` for
    /// other projects.
    Remove,
}

/// Reads the consumers of a secret.
#[derive(Debug)]
pub struct ReadConsumers {
    /// Which secret.
    pub secret: UniqueIdentifier,
}

impl Operation for ReadConsumers {
    const KIND: OperationKind = OperationKind::ReadConsumers;
    type Output = Vec<Consumer>;

    fn target(&self) -> Target {
        Target::Object(self.secret)
    }

    async fn run(self, on: Permitted<Targets>, _: &Tools) -> Result<Self::Output, Error> {
        Ok(on.into_object()?.record.secret.consumers)
    }
}

/// Changes the consumers of a secret and answers the secret.
#[derive(Debug)]
pub struct ChangeConsumers {
    /// Which secret.
    pub secret: UniqueIdentifier,
    /// Which consumer.
    pub consumer: Registration,
    /// How.
    pub change: ConsumerChange,
}

impl Operation for ChangeConsumers {
    const KIND: OperationKind = OperationKind::ChangeConsumers;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Object(self.secret)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let (on, now) = (on.into_object()?, tools.now());
        let quota = quota(tools, self.change).await?;
        change_object_with(tools, on, &quota, |object| {
            object.secret.updated = Some(now);
            let owner = object.project.clone();
            apply(&mut object.secret.consumers, &owner, &self.consumer, self.change, &tools.principal().project, now)
        })
        .await
    }
}

/// Reads the consumers of a container.
#[derive(Debug)]
pub struct ReadGroupConsumers {
    /// Which container.
    pub group: UniqueIdentifier,
}

impl Operation for ReadGroupConsumers {
    const KIND: OperationKind = OperationKind::ReadGroupConsumers;
    type Output = Vec<Consumer>;

    fn target(&self) -> Target {
        Target::Group(self.group)
    }

    async fn run(self, on: Permitted<Targets>, _: &Tools) -> Result<Self::Output, Error> {
        Ok(on.into_group()?.record.consumers)
    }
}

/// Changes the consumers of a container and answers the container.
#[derive(Debug)]
pub struct ChangeGroupConsumers {
    /// Which container.
    pub group: UniqueIdentifier,
    /// Which consumer.
    pub consumer: Registration,
    /// How.
    pub change: ConsumerChange,
}

impl Operation for ChangeGroupConsumers {
    const KIND: OperationKind = OperationKind::ChangeGroupConsumers;
    type Output = Group;

    fn target(&self) -> Target {
        Target::Group(self.group)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let (on, now) = (on.into_group()?, tools.now());
        let quota = quota(tools, self.change).await?;
        let group = change_group_with(tools, on, &quota, |group| {
            group.updated = now;
            let owner = group.project.clone();
            apply(&mut group.consumers, &owner, &self.consumer, self.change, &tools.principal().project, now)
        })
        .await?;
        super::groups::without_the_destroyed(tools, group).await
    }
}

/// The quota is asked with every registration, also with one that is there already.
async fn quota(tools: &Tools, change: ConsumerChange) -> Result<Vec<Write>, Error> {
    match change {
        ConsumerChange::Add => Ok(tools.within_quota(Resource::Consumers).await?.into_iter().collect()),
        ConsumerChange::Remove => Ok(Vec::new()),
    }
}

fn apply(
    consumers: &mut Vec<Consumer>,
    owner: &ProjectId,
    registration: &Registration,
    change: ConsumerChange,
    project: &ProjectId,
    now: Timestamp,
) -> Result<(), Error> {
    let at = consumers.iter().position(|consumer| registration.is(consumer));
    match (change, at) {
        (ConsumerChange::Add, Some(_)) => {}
        (ConsumerChange::Add, None) if consumers.len() >= CONSUMERS_MAX => {
            return Err(Error::new(ErrorKind::QuotaReached, "the entity has too many consumers"));
        }
        (ConsumerChange::Add, None) => consumers.push(Consumer {
            project: project.clone(),
            service: registration.service.clone(),
            resource_type: registration.resource_type.clone(),
            resource_id: registration.resource_id.clone(),
            created: now,
        }),
        (ConsumerChange::Remove, None) => {
            return Err(Error::new(ErrorKind::AttributeMissing, "no such consumer"));
        }
        (ConsumerChange::Remove, Some(at)) => {
            let own = consumers.get(at).is_some_and(|consumer| consumer.project == *project);
            if !own && owner != project {
                return Err(Error::new(ErrorKind::AttributeReadOnly, "another project registered the consumer"));
            }
            consumers.remove(at);
        }
    }
    Ok(())
}
