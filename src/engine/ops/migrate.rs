//! Moves the value of an object to another token; the object stays what it is.
//!
//! Order: intent, copy, comparison, the record with the owed destruction of what is left behind in one batch, destruction. A
//! crash leaves either the old reference and an intent under which the copy goes, or the new reference and an intent under
//! which the original goes. The record keeps its revision, so no client's change is refused because of a move. Requests that
//! have read the old reference are the HSM adapter's business: it follows a value to where it was moved.

use crate::{
    authz::Permitted,
    domain::{OperationKind, TokenId, TokenReference, UniqueIdentifier, reference::CkaId},
    engine::{
        error::{Error, ErrorKind},
        operation::{Operation, Target, Targets},
        ports::{HsmAnswer, HsmRequest, IntentKind, Placement},
        tools::{Tools, unexpected},
    },
};

/// Moves one value.
#[derive(Clone, Debug)]
pub struct Migrate {
    /// Whose.
    pub object: UniqueIdentifier,
    /// From any of these.
    pub from: Vec<TokenId>,
    /// To here.
    pub to: TokenId,
}

impl Operation for Migrate {
    const KIND: OperationKind = OperationKind::Migrate;
    /// Whether there was a value to move.
    type Output = bool;

    fn target(&self) -> Target {
        // The gateway's own act: whether the object is archived, expired or compromised does not matter.
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<bool, Error> {
        tools.touch(self.object);
        let value = tools.store().object(self.object).await?.and_then(|found| found.record.value);
        let Some(from) = value.filter(|value| self.from.contains(&value.token)) else { return Ok(false) };
        in_nobodys_hands(tools, self.object, from.cka_id).await?;
        // The reconciler leaves intents of this age alone, and nobody may destroy the copy once the record names it.
        let seconds = i64::try_from(tools.settings().hsm_limit.as_secs()).unwrap_or(i64::MAX).max(1);
        let until = tools.now().plus_seconds(seconds.saturating_mul(2));
        let at = Placement { token: self.to.clone(), cka_id: from.cka_id };
        let announced = tools.announce(IntentKind::Make, vec![at]).await?;
        let copied = match copy(tools, &from, self.to).await {
            Ok(_) if tools.now() > until => Err(Error::new(ErrorKind::Busy, "the copy took too long; try again later")),
            copied => copied,
        };
        match copied {
            Ok(to) => tools.conclude_move(announced, self.object, from, to).await.map(|()| true),
            Err(error) => {
                tools.withdraw_copy(announced).await;
                Err(error)
            }
        }
    }
}

async fn copy(tools: &Tools, reference: &TokenReference, to: TokenId) -> Result<TokenReference, Error> {
    match tools.hsm(HsmRequest::CopyTo { reference: reference.clone(), to }).await? {
        HsmAnswer::Made { reference, .. } => Ok(reference),
        other => Err(unexpected(&other)),
    }
}

/// Refuses while an intent is about the object: of a request that destroys it, or of an earlier move that is not settled.
async fn in_nobodys_hands(tools: &Tools, object: UniqueIdentifier, id: CkaId) -> Result<(), Error> {
    let intents = tools.store().intents().await?;
    let is_held = intents.iter().any(|intent| {
        intent.kind == IntentKind::Destroy { object } || intent.places.iter().any(|place| place.cka_id == id)
    });
    if is_held {
        Err(Error::new(ErrorKind::Busy, "another request is about the object; try again later"))
    } else {
        Ok(())
    }
}
