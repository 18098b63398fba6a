//! Groups: Barbican's containers (contract §2.6, §2.7).
//!
//! Members are looked up in the caller's project only; an access list of a secret does not help here. A member that was
//! destroyed, through either protocol, is not shown; one that expired is.

use super::{
    change::{ATTEMPTS, change_group, group_again},
    list_secrets::{Filter, Listed, Page, STEP},
};
use crate::{
    authz::Permitted,
    domain::{
        OperationKind, UniqueIdentifier,
        group::{Group, GroupKind, Member},
        project::Resource,
    },
    engine::{
        error::{Error, ErrorKind},
        operation::{Operation, Target, Targets},
        ports::{Guard, Order, Slice, Window, Write},
        tools::Tools,
    },
};

/// Most members of one group; a limit of ours, since all of them are one record.
pub const MEMBERS_MAX: usize = 1000;

/// Makes a group.
#[derive(Debug)]
pub struct CreateGroup {
    /// What it is for; the front end has checked the member names.
    pub kind: GroupKind,
    /// Its name.
    pub name: Option<String>,
    /// Its members.
    pub members: Vec<Member>,
    /// The refusal for a member that does not exist, made from its name.
    pub missing: fn(Option<&str>) -> Error,
}

impl Operation for CreateGroup {
    const KIND: OperationKind = OperationKind::CreateGroup;
    type Output = UniqueIdentifier;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let quota = tools.within_quota(Resource::Containers).await?;
        for member in &self.members {
            if !usable(tools, member.object).await? {
                return Err((self.missing)(member.name.as_deref()));
            }
        }
        let group = new_group(tools, tools.identifier(), self.kind, self.name, self.members);
        let id = group.identifier;
        tools.touch(id);
        let write = Write::PutGroup(Box::new(group), Guard::Absent);
        tools.commit(quota.into_iter().chain([write]).collect()).await?;
        Ok(id)
    }
}

/// A group of the caller's project that appears now.
pub(super) fn new_group(
    tools: &Tools,
    identifier: UniqueIdentifier,
    kind: GroupKind,
    name: Option<String>,
    members: Vec<Member>,
) -> Group {
    let now = tools.now();
    Group {
        identifier,
        project: tools.principal().project.clone(),
        creator: tools.principal().name.clone(),
        kind,
        name,
        members,
        created: now,
        updated: now,
        grants: None,
        consumers: Vec::new(),
    }
}

/// Whether an object of the caller's project may become or stop being a member.
async fn usable(tools: &Tools, id: UniqueIdentifier) -> Result<bool, Error> {
    let now = tools.now();
    Ok(tools.store().object(id).await?.is_some_and(|it| {
        let object = it.record;
        object.project == tools.principal().project && !object.is_expired(now) && !object.state(now).is_destroyed()
    }))
}

/// Reads a group.
#[derive(Debug)]
pub struct ReadGroup {
    /// Which.
    pub group: UniqueIdentifier,
}

impl Operation for ReadGroup {
    const KIND: OperationKind = OperationKind::ReadGroup;
    type Output = Group;

    fn target(&self) -> Target {
        Target::Group(self.group)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        without_the_destroyed(tools, on.into_group()?.record).await
    }
}

/// The group without the members that were destroyed.
pub(super) async fn without_the_destroyed(tools: &Tools, mut group: Group) -> Result<Group, Error> {
    let now = tools.now();
    let mut members = Vec::with_capacity(group.members.len());
    for member in group.members {
        let found = tools.store().object(member.object).await?;
        if found.is_some_and(|it| !it.record.state(now).is_destroyed()) {
            members.push(member);
        }
    }
    group.members = members;
    Ok(group)
}

/// Lists the groups of the project, oldest first.
pub struct ListGroups {
    /// Which ones; all when absent.
    pub filter: Option<Filter<Group>>,
    /// How many matches to pass over.
    pub offset: usize,
    /// How many to answer.
    pub limit: usize,
}

impl Operation for ListGroups {
    const KIND: OperationKind = OperationKind::ListGroups;
    type Output = Listed<Group>;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let project = tools.principal().project.clone();
        let mut listed = match &self.filter {
            None => {
                let window = Window { order: Order::OldestFirst, offset: self.offset, limit: self.limit };
                let Slice { records, total } = tools.store().group_slice(project, window).await?;
                Listed { records, total }
            }
            Some(keep) => {
                let mut page = Page::new(self.offset, self.limit);
                let (mut after, mut seen) = (None, 0_usize);
                loop {
                    let step = tools.store().groups(project.clone(), after, STEP).await?;
                    seen = seen.saturating_add(step.records.len());
                    step.records.into_iter().map(|it| it.record).filter(|it| keep(it)).for_each(|it| page.add(it));
                    after = step.next;
                    if after.is_none() || (page.is_full() && seen >= tools.settings().walk_max) {
                        break;
                    }
                }
                Listed::from(page)
            }
        };
        for group in &mut listed.records {
            *group = without_the_destroyed(tools, group.clone()).await?;
        }
        Ok(listed)
    }
}

/// What becomes of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// It joins; refused with `AlreadyExists` when it is a member under that name, and with `WrongObjectType` when the
    /// group is no generic one.
    Add,
    /// It leaves; refused with `AttributeMissing` when it is no member under that name.
    Remove,
}

/// Adds or removes a member. `ValueMissing` when the object does not exist in the caller's project.
#[derive(Debug)]
pub struct ChangeMembers {
    /// Of which group.
    pub group: UniqueIdentifier,
    /// How.
    pub change: MemberChange,
    /// Which member; or what is wrong with the request, said only after it is known that the group can be changed.
    pub member: Result<Member, Error>,
}

impl Operation for ChangeMembers {
    const KIND: OperationKind = OperationKind::ChangeGroupMembers;
    type Output = ();

    fn target(&self) -> Target {
        Target::Group(self.group)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let on = on.into_group()?;
        if self.change == MemberChange::Add && on.record.kind != GroupKind::Generic {
            return Err(Error::new(ErrorKind::WrongObjectType, "the group's members are fixed"));
        }
        let member = self.member?;
        if !usable(tools, member.object).await? {
            return Err(Error::new(ErrorKind::ValueMissing, "no such secret"));
        }
        let now = tools.now();
        change_group(tools, on, |group| {
            let at = group.members.iter().position(|it| *it == member);
            match (self.change, at) {
                (MemberChange::Add, Some(_)) => {
                    return Err(Error::new(ErrorKind::AlreadyExists, "the object is a member under that name"));
                }
                (MemberChange::Add, None) if group.members.len() >= MEMBERS_MAX => {
                    return Err(Error::new(ErrorKind::TooManyAttributes, "the group has too many members"));
                }
                (MemberChange::Add, None) => group.members.push(member.clone()),
                (MemberChange::Remove, Some(at)) => drop(group.members.remove(at)),
                (MemberChange::Remove, None) => {
                    return Err(Error::new(ErrorKind::AttributeMissing, "the object is no member under that name"));
                }
            }
            group.updated = now;
            Ok(())
        })
        .await?;
        Ok(())
    }
}

/// Deletes a group; its members stay.
#[derive(Debug)]
pub struct DeleteGroup {
    /// Which.
    pub group: UniqueIdentifier,
}

impl Operation for DeleteGroup {
    const KIND: OperationKind = OperationKind::DeleteGroup;
    type Output = ();

    fn target(&self) -> Target {
        Target::Group(self.group)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let mut on = on.into_group()?;
        for _ in 0..ATTEMPTS {
            match tools.commit(vec![Write::RemoveGroup(self.group, Guard::At(on.revision))]).await {
                Err(error) if error.kind == ErrorKind::Conflict => on = group_again(tools, &on.record).await?,
                done => return done,
            }
        }
        Err(Error::new(ErrorKind::Busy, "the container is being changed by others; try again later"))
    }
}
