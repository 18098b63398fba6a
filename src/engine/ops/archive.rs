//! Archive and Recover (KMIP 2.1 §6.1.4, .42): the record is marked, the token object stays (design decision 5).

use super::change::change_object;
use crate::{
    authz::Permitted,
    domain::{ManagedObject, OperationKind, UniqueIdentifier},
    engine::{Error, ErrorKind, Operation, Target, Targets, Tools},
};

/// Puts an object into the archive, or brings it back.
#[derive(Debug)]
pub struct Archive {
    /// Which object.
    pub object: UniqueIdentifier,
    /// Whether it comes back.
    pub recover: bool,
}

impl Operation for Archive {
    const KIND: OperationKind = OperationKind::Archive;
    type Output = ManagedObject;

    fn target(&self) -> Target {
        Target::Object(self.object)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<ManagedObject, Error> {
        let now = tools.now();
        change_object(tools, on.into_object()?, move |object| {
            if object.state(now).is_destroyed() {
                return Err(Error::new(ErrorKind::Destroyed, "the object has been destroyed"));
            }
            match (self.recover, object.lifecycle.archive) {
                (false, None) => object.lifecycle.archive = Some(now.to_seconds()),
                (false, Some(_)) => return Err(Error::new(ErrorKind::Archived, "the object is archived")),
                // Recovering what is on-line is what the client wants to be true already.
                (true, None) => return Ok(()),
                (true, Some(_)) => object.lifecycle.archive = None,
            }
            object.lifecycle.last_change = now;
            Ok(())
        })
        .await
    }
}
