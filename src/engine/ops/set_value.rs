//! Barbican's late payload: the second step of a two-step secret.
//!
//! The value lies under the identifier that the record already has, so two late payloads at once would end up in one place
//! and undoing the loser would destroy the winner's. The intent is therefore written together with the record at the
//! permitted revision: only one request gets past that point.

use super::{
    change::object_again,
    register::take_in_announced,
    secret_value::{Recognised, recognise},
};
use crate::{
    authz::Permitted,
    domain::{
        AttributeKind, AttributeValue, ManagedObject, OperationKind, SecretValue, TokenReference, UniqueIdentifier,
    },
    engine::{
        error::{Error, ErrorKind},
        operation::{Operation, Target, Targets},
        ports::{Guard, IntentKind, Write},
        tools::Tools,
    },
};

/// Gives a value to a secret that has none.
#[derive(Debug)]
pub struct SetValue {
    /// Which secret.
    pub secret: UniqueIdentifier,
    /// The value, not empty; or what is wrong with it, said only after it is known that the secret has none yet.
    pub value: Result<SecretValue, Error>,
    /// Its normalised content type.
    pub content_type: String,
}

impl Operation for SetValue {
    const KIND: OperationKind = OperationKind::SetValue;
    type Output = ();

    fn target(&self) -> Target {
        Target::Object(self.secret)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let on = on.into_object()?;
        if on.record.value.is_some() {
            return Err(present());
        }
        let mut found = recognise(&on.record.secret, self.value?);
        let at = tools.place(self.secret, found.object_type)?;
        let intents = tools.store().intents().await?;
        if intents.iter().flat_map(|intent| &intent.places).any(|place| place.cka_id == at.cka_id) {
            return Err(present());
        }
        let claim = Write::PutObject(Box::new(on.record.clone()), Guard::At(on.revision));
        let announced = tools.announce_with(IntentKind::Make, vec![at.clone()], vec![claim]).await?;
        let value = std::mem::replace(&mut found.value, super::register::NewValue { key: None, bytes: None });
        let (reference, announced) =
            take_in_announced(tools, announced, at, found.object_type, value, found.usage, true).await?;
        let taken = object_again(tools, &on.record).await.map(|newest| (reference, newest));
        match taken {
            Ok((reference, newest)) => {
                let object = with_value(newest.record, reference, found, self.content_type, tools);
                let write = Write::PutObject(Box::new(object), Guard::At(newest.revision));
                tools.conclude(announced, vec![write]).await
            }
            Err(error) => {
                tools.withdraw(announced).await;
                Err(error)
            }
        }
    }
}

/// The record once the value is there. What the labels promised gives way to what the value is.
fn with_value(
    mut object: ManagedObject,
    reference: TokenReference,
    found: Recognised,
    content_type: String,
    tools: &Tools,
) -> ManagedObject {
    let now = tools.now();
    object.value = Some(reference);
    object.object_type = found.object_type;
    object.subtype = found.subtype;
    object.format = found.format;
    object.attributes.clear(&AttributeKind::KeyValuePresent);
    for kind in [AttributeKind::CryptographicAlgorithm, AttributeKind::CryptographicLength] {
        object.attributes.clear(&kind);
    }
    for attribute in found.derived {
        object.attributes.set(attribute.kind, attribute.value);
    }
    if found.usage.0 != 0 {
        let mask = AttributeValue::Integer(found.usage.0.cast_signed());
        object.attributes.set(AttributeKind::CryptographicUsageMask, mask);
    }
    object.secret.content_type = Some(content_type);
    object.secret.updated = Some(now);
    object.lifecycle.last_change = now;
    object
}

fn present() -> Error {
    Error::new(ErrorKind::ValuePresent, "the secret has a value already")
}
