//! What the items of one message share: who asks, the version, the ID placeholder and earlier results (contract §4).

use kmip_codec::{
    ProtocolVersion, UniqueIdentifier as WireId,
    attribute::Attributes as WireAttributes,
    payload::Data,
    spec::enums::{Operation, ResultReason, UniqueIdentifierEnumeration as Earlier},
    version::V2_0,
};

use super::{attributes, connection::Peer, error::Refusal, message::Service, values};
use crate::{
    domain::{Attribute, AttributeKind, AttributeValue, ObjectType, SecretValue, UniqueIdentifier, audit::Protocol},
    engine::{self, Caller, ops},
};

/// One message while its items run.
pub(super) struct Exchange<'a> {
    pub(super) service: &'a Service,
    pub(super) version: ProtocolVersion,
    caller: Caller,
    placeholder: Option<UniqueIdentifier>,
    results: Vec<(Operation, Vec<UniqueIdentifier>)>,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(service: &'a Service, peer: &Peer, request: &str, version: ProtocolVersion) -> Self {
        let caller = Caller {
            principal: peer.principal.clone(),
            protocol: Protocol::Kmip,
            request: request.to_owned(),
            address: Some(peer.address.clone()),
            transaction: None,
        };
        Self { service, version, caller, placeholder: None, results: Vec::new() }
    }

    /// Runs a use case for this message's client.
    pub(super) async fn run<O: engine::Operation>(&self, operation: O) -> Result<O::Output, Refusal> {
        self.execute(operation).await.map_err(|error| Refusal::of(&error, self.version))
    }

    /// The same with the engine's own error.
    pub(super) async fn execute<O: engine::Operation>(&self, operation: O) -> Result<O::Output, engine::Error> {
        self.service.engine.execute(&self.caller, operation).await
    }

    /// A refusal in the words of this message's version.
    pub(super) fn refusal(&self, error: &engine::Error) -> Refusal {
        Refusal::of(error, self.version)
    }

    /// Remembers what an item made or found; the first is the placeholder.
    pub(super) fn made(&mut self, operation: Operation, ids: &[UniqueIdentifier]) {
        self.placeholder = ids.first().copied();
        self.results.push((operation, ids.to_vec()));
    }

    /// Remembers what Locate found: exactly one hit is the placeholder.
    pub(super) fn located(&mut self, ids: &[UniqueIdentifier], asked_for_one: bool) {
        self.placeholder = ids.first().copied().filter(|_| ids.len() == 1 || asked_for_one);
        self.results.push((Operation::LOCATE, ids.to_vec()));
    }

    /// Empties the placeholder.
    pub(super) fn forget(&mut self) {
        self.placeholder = None;
    }

    /// The object that a payload names, or the placeholder.
    ///
    /// # Errors
    ///
    /// *Item Not Found* or *Object Not Found* for what is no identifier of ours; the same for an empty placeholder in 1.x
    /// and *Invalid Message* from 2.0.
    pub(super) fn object(&self, named: Option<&WireId>) -> Result<UniqueIdentifier, Refusal> {
        let found = match named {
            None => self.placeholder,
            Some(WireId::Text(text) | WireId::Name(text)) => return text.parse().map_err(|_not_ours| self.not_found()),
            Some(WireId::Enumeration(earlier)) => self.earlier(*earlier),
            Some(WireId::Integer(position)) => {
                let position = usize::try_from(*position).ok();
                self.results.last().and_then(|(_, ids)| ids.get(position?).copied())
            }
        };
        found.ok_or_else(|| match named {
            None if self.version >= V2_0 => {
                Refusal::new(ResultReason::INVALID_MESSAGE, "no object is named and the placeholder is empty")
            }
            _ => self.not_found(),
        })
    }

    fn not_found(&self) -> Refusal {
        self.refusal(&engine::Error::not_found())
    }

    fn earlier(&self, which: Earlier) -> Option<UniqueIdentifier> {
        // Which operation's results, and which of them (KMIP 2.0 §11.54).
        let (operation, position) = match which {
            Earlier::ID_PLACEHOLDER => return self.placeholder,
            Earlier::CREATE => (Operation::CREATE, 0),
            Earlier::CREATE_KEY_PAIR | Earlier::CREATE_KEY_PAIR_PRIVATE_KEY => (Operation::CREATE_KEY_PAIR, 0),
            Earlier::CREATE_KEY_PAIR_PUBLIC_KEY => (Operation::CREATE_KEY_PAIR, 1),
            Earlier::LOCATE => (Operation::LOCATE, 0),
            Earlier::REGISTER => (Operation::REGISTER, 0),
            Earlier::CREATE_USER => (Operation::CREATE_USER, 0),
            Earlier::CREATE_GROUP => (Operation::CREATE_GROUP, 0),
            Earlier::CREATE_CREDENTIAL => (Operation::CREATE_CREDENTIAL, 0),
            _ => return None,
        };
        let results = self.results.iter().rev().find(|(of, _)| *of == operation);
        results.and_then(|(_, ids)| ids.get(position).copied())
    }

    /// The data of a cryptographic request.
    ///
    /// # Errors
    ///
    /// *Invalid Message* when there is none, *Feature Not Supported* for references to earlier outputs.
    pub(super) fn data(&self, data: Option<Data>) -> Result<SecretValue, Refusal> {
        match data {
            Some(Data::Bytes(bytes)) => Ok(values::secret(bytes)),
            Some(Data::Enumeration(_) | Data::Integer(_)) => {
                Err(Refusal::new(ResultReason::FEATURE_NOT_SUPPORTED, "earlier outputs cannot be referred to yet"))
            }
            None => Err(Refusal::new(ResultReason::INVALID_MESSAGE, "the data is missing")),
        }
    }

    /// A client's attributes in the domain's form, those of named templates added; explicit ones win (KMIP 1.0 §2.1.8).
    ///
    /// # Errors
    ///
    /// *Item Not Found* for a template that does not exist; those of the attributes.
    pub(super) async fn attributes(&self, from: WireAttributes) -> Result<Vec<Attribute>, Refusal> {
        let templates = from.templates.clone();
        let mut explicit = attributes::all(from, self.version)?;
        for name in templates {
            let conditions = vec![
                Attribute::new(AttributeKind::ObjectType, AttributeValue::Enumeration(ObjectType::Template.number())),
                Attribute::new(
                    AttributeKind::Name,
                    AttributeValue::Name { value: name.value, kind: name.name_type.number() },
                ),
            ];
            let found = self.run(ops::locate::Locate { conditions, ..Default::default() }).await?;
            let template = found.objects.into_iter().next().ok_or_else(|| self.not_found())?;
            for attribute in template.attributes.iter() {
                let own = matches!(attribute.kind, AttributeKind::Name)
                    || attribute.kind.rule().initially == crate::domain::attributes::SetBy::Server;
                if !own && !explicit.iter().any(|given| given.kind == attribute.kind) {
                    explicit.push(attribute.clone());
                }
            }
        }
        Ok(explicit)
    }
}
