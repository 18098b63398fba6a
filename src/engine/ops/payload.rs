//! Barbican's payload read: [`Reveal`], with the refusals in the order that the API promises.

use super::reveal::{Prefer, Reveal, Revealed};
use crate::{
    authz::Permitted,
    domain::{ManagedObject, ObjectType, OperationKind, Origin, UniqueIdentifier},
    engine::{
        error::Error,
        operation::{Operation, Target, Targets},
        tools::Tools,
    },
};

/// Reads a payload.
#[derive(Debug)]
pub struct ReadPayload {
    /// Of which secret.
    pub secret: UniqueIdentifier,
    /// Why the answer cannot be given in the form asked for, if so; said only after it is known that there is a value.
    pub refusal: Option<Error>,
    /// What the value must be to be given out, and what is said when it is not.
    pub condition: Option<Condition>,
}

/// Whether a value may be given out, and what is said when not.
pub type Condition = (fn(&Revealed) -> bool, Error);

impl Operation for ReadPayload {
    const KIND: OperationKind = OperationKind::Reveal;
    type Output = Revealed;

    fn target(&self) -> Target {
        Target::Object(self.secret)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        if let Some(refusal) = self.refusal {
            tools.reference(&on.into_object()?.record)?;
            return Err(refusal);
        }
        // What a KMIP client gave may be in an encoding of KMIP's own; the API shows keys in one form. Symmetric keys have
        // one only, and where bytes are held beside the key (a token sets the parity of Triple-DES), those are meant.
        let encoded = |it: &ManagedObject| it.origin == Origin::Kmip && it.object_type != ObjectType::SymmetricKey;
        let canonical = on.get().objects.iter().any(|it| encoded(&it.record));
        let prefer = if canonical { Prefer::Canonical } else { Prefer::Exact };
        let revealed = Reveal { object: self.secret, prefer }.run(on, tools).await?;
        match self.condition {
            Some((holds, refusal)) if !holds(&revealed) => Err(refusal),
            _ => Ok(revealed),
        }
    }
}
