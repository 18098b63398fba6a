//! Transport keys: public keys that operators keep here for clients to fetch (Barbican contract §2.12).

use crate::{
    authz::Permitted,
    domain::{OperationKind, UniqueIdentifier, project::TransportKey},
    engine::{
        error::{Error, ErrorKind},
        operation::{Operation, Target, Targets},
        ports::{Guard, Write},
        tools::Tools,
    },
};

/// Reads one transport key, or all of them, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct ReadTransportKeys {
    /// Which; all when absent.
    pub key: Option<UniqueIdentifier>,
}

impl Operation for ReadTransportKeys {
    const KIND: OperationKind = OperationKind::ReadTransportKeys;
    type Output = Vec<TransportKey>;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        match self.key {
            None => Ok(tools.store().transport_keys().await?),
            Some(id) => {
                let found = tools.store().transport_key(id).await?.ok_or_else(Error::not_found)?;
                Ok(vec![found.record])
            }
        }
    }
}

/// What becomes of a transport key.
#[derive(Clone, Debug)]
pub enum TransportKeyChange {
    /// A new one.
    Add {
        /// Whose private half it is.
        plugin_name: String,
        /// The key.
        text: String,
    },
    /// This one goes.
    Remove(UniqueIdentifier),
}

/// Stores or deletes a transport key; answers its identifier.
#[derive(Clone, Debug)]
pub struct ChangeTransportKeys {
    /// How.
    pub change: TransportKeyChange,
}

impl Operation for ChangeTransportKeys {
    const KIND: OperationKind = OperationKind::ChangeTransportKeys;
    type Output = UniqueIdentifier;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        match self.change {
            TransportKeyChange::Add { plugin_name, text } => {
                let (identifier, created) = (tools.identifier(), tools.now());
                let key = TransportKey { identifier, plugin_name, text, created };
                tools.touch(identifier);
                tools.commit(vec![Write::PutTransportKey(Box::new(key), Guard::Absent)]).await?;
                Ok(identifier)
            }
            TransportKeyChange::Remove(id) => {
                tools.touch(id);
                let found = tools.store().transport_key(id).await?.ok_or_else(Error::not_found)?;
                match tools.commit(vec![Write::RemoveTransportKey(id, Guard::At(found.revision))]).await {
                    // Such a key is never changed: somebody else has removed it.
                    Err(error) if error.kind == ErrorKind::Conflict => Err(Error::not_found()),
                    done => done.map(|()| id),
                }
            }
        }
    }
}
