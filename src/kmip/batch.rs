//! What the items of one message share: who asks, the version, the ID placeholder and earlier results (contract §4).

use std::sync::{Arc, atomic::AtomicBool};

use kmip_codec::{
    ProtocolVersion, Tag, UniqueIdentifier as WireId,
    attribute::Attributes as WireAttributes,
    message::ResponseItem,
    payload::{Data, Response},
    spec::enums::{DataEnumeration, Operation, ResultReason, UniqueIdentifierEnumeration as Earlier},
    ttlv::{Item, Value},
    version::{V2_0, V3_0},
};

use super::{
    attributes,
    error::Refusal,
    message::{Room, Service},
    tickets::{Budget, Errand, Rights, same_account},
    values,
};
use crate::{
    crypto::hash::to_hex,
    domain::{
        Attribute, AttributeKind, AttributeValue, ObjectType, Principal, SecretValue, Timestamp, UniqueIdentifier,
        access::Grants, audit::Protocol, secret::SecretFacet,
    },
    engine::{self, Caller, Transaction, ops, ports::Lane},
};

/// Who a message is from.
#[derive(Clone, Debug)]
pub(super) struct Who {
    /// The client, or a user or device behind it.
    pub principal: Arc<Principal>,
    /// Its address without port.
    pub address: String,
    /// What its ticket allows; `None` is everything that the principal may do.
    pub rights: Option<Arc<Rights>>,
    /// How much of it; `None` is any number.
    pub budget: Option<Arc<Budget>>,
    /// The client by its certificate; another account than the principal where a credential proved a user behind it.
    pub client: Arc<Principal>,
    /// Set when the client asks to be the server of its connection; `None` where no connection can be turned.
    pub turn: Option<Arc<AtomicBool>>,
}

/// Application namespaces for which the server makes data that a client leaves out (KMIP 1.0 §3.30).
pub(super) const NAMESPACES: &[&str] = &["portcullis"];

/// One message while its items run.
pub(super) struct Exchange<'a> {
    pub(super) service: &'a Service,
    pub(super) version: ProtocolVersion,
    /// The version that the client names, which may be a higher minor one: then fields that we do not know are ignored.
    pub(super) asked: ProtocolVersion,
    caller: Caller,
    rights: Option<Arc<Rights>>,
    budget: Option<Arc<Budget>>,
    client: Arc<Principal>,
    operation: Option<Operation>,
    placeholder: Option<UniqueIdentifier>,
    results: Vec<(Operation, Vec<UniqueIdentifier>)>,
    outputs: Vec<(DataEnumeration, SecretValue)>,
    polled: Option<ResponseItem<Response>>,
    /// What is left of the answer's length, where the client limits it.
    pub(super) room: Option<Room>,
    /// Where a wish to turn the connection goes.
    pub(super) turn: Option<Arc<AtomicBool>>,
    /// Which of an earlier item's results the item at hand is for.
    nth: usize,
}

impl<'a> Exchange<'a> {
    pub(super) fn new(
        service: &'a Service,
        who: Who,
        request: &str,
        version: ProtocolVersion,
        transaction: Option<Arc<Transaction>>,
    ) -> Self {
        let caller = Caller {
            principal: who.principal,
            protocol: Protocol::Kmip,
            request: request.to_owned(),
            address: Some(who.address),
            transaction,
            http: None,
            lane: Lane::Interactive,
            bounds: None,
        };
        Self {
            service,
            version,
            asked: version,
            caller,
            rights: who.rights,
            budget: who.budget,
            client: who.client,
            operation: None,
            placeholder: None,
            results: Vec::new(),
            outputs: Vec::new(),
            polled: None,
            room: None,
            turn: who.turn,
            nth: 0,
        }
    }

    /// Who asks.
    pub(super) fn principal(&self) -> &Principal {
        &self.caller.principal
    }

    /// Where its items wait for the HSM.
    pub(super) const fn waits_in(&mut self, lane: Lane) {
        self.caller.lane = lane;
    }

    /// The client by its certificate.
    pub(super) fn client(&self) -> &Principal {
        &self.client
    }

    /// Whether what the items do may still be undone.
    pub(super) const fn may_be_undone(&self) -> bool {
        self.caller.transaction.is_some()
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        self.service.engine.ports().clock.now()
    }

    /// Random bytes for values that nobody can guess.
    pub(super) fn random(&self, bytes: usize) -> Vec<u8> {
        let mut value = vec![0; bytes];
        self.service.engine.ports().chance.fill(&mut value);
        value
    }

    /// Adds the project's defaults to a new object's attributes and holds them against its constraints.
    ///
    /// # Errors
    ///
    /// *Constraint Violation*, or what the store says.
    pub(super) fn stand(&self, object_type: ObjectType, attributes: &mut Vec<Attribute>) -> Result<(), Refusal> {
        self.service.standing.apply(&self.caller.principal.project, object_type, attributes)
    }

    /// Holds what takes an object's place against the project's constraints: the object's attributes, and over them those that
    /// are given. Defaults it has already, or was meant not to have.
    ///
    /// # Errors
    ///
    /// As [`Self::stand`], and those of reading the object.
    pub(super) async fn stand_again(&self, object: UniqueIdentifier, given: &[Attribute]) -> Result<(), Refusal> {
        let old = self.run(ops::attributes::ReadAttributes { object, digest: false }).await?.object;
        let mut all: Vec<Attribute> = given.to_vec();
        all.extend(old.attributes.iter().filter(|old| !given.iter().any(|new| new.kind == old.kind)).cloned());
        self.stand(old.object_type, &mut all)
    }

    /// Completes an attribute that a client gives: application data that it leaves to the server.
    ///
    /// # Errors
    ///
    /// *Application Namespace Not Supported* where only the application knows its data.
    pub(super) fn complete(&self, attribute: &mut Attribute) -> Result<(), Refusal> {
        if let AttributeValue::Application { namespace, data } = &mut attribute.value
            && data.is_none()
        {
            if !NAMESPACES.contains(&namespace.as_str()) {
                let text = "the server makes no data for this application namespace";
                return Err(Refusal::new(ResultReason::APPLICATION_NAMESPACE_NOT_SUPPORTED, text));
            }
            *data = Some(to_hex(&self.random(16)));
        }
        Ok(())
    }

    /// Begins an item.
    ///
    /// # Errors
    ///
    /// *Not Authorised* for an operation that the message's ticket does not allow.
    pub(super) fn begin(&mut self, operation: Operation) -> Result<(), Refusal> {
        self.operation = Some(operation);
        self.caller.bounds = None;
        match &self.rights {
            Some(rights) if !rights.allow(operation) => Err(not_authorised()),
            _ => Ok(()),
        }
    }

    /// Takes what the item uses from its ticket, and bounds what it does by that.
    ///
    /// # Errors
    ///
    /// *Usage Limit Exceeded* when not so much is left.
    pub(super) fn spend(&mut self, operation: Operation, bytes: usize) -> Result<(), Refusal> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.budget.as_ref().is_some_and(|budget| !budget.take(bytes)) {
            return Err(Refusal::new(ResultReason::USAGE_LIMIT_EXCEEDED, "the ticket is used up"));
        }
        if let Some(rights) = &self.rights {
            let errand = Errand::begin(rights, operation, bytes).map_err(|error| self.refusal(&error))?;
            self.caller.bounds = Some(Arc::new(errand));
        }
        Ok(())
    }

    /// How many bytes of data a request brings, itself or from an earlier item.
    pub(super) fn bytes_of(&self, data: Option<&Data>) -> usize {
        let earlier = |value: Option<&(DataEnumeration, SecretValue)>| value.map_or(0, |(_, value)| value.len());
        match data {
            None => 0,
            Some(Data::Bytes(bytes)) => bytes.expose_secret().len(),
            Some(Data::Enumeration(of)) => earlier(self.outputs.iter().rev().find(|(kind, _)| kind == of)),
            Some(Data::Integer(position)) => {
                earlier(usize::try_from(*position).ok().and_then(|at| self.outputs.get(at)))
            }
        }
    }

    /// Whether the message comes by a ticket with rights of its own.
    pub(super) const fn has_rights(&self) -> bool {
        self.rights.is_some()
    }

    /// Whether the message's ticket allows an operation.
    pub(super) fn allows(&self, operation: Operation) -> bool {
        self.rights.as_ref().is_none_or(|rights| rights.allow(operation))
    }

    /// The Barbican side of a new object: what a user or device behind the client makes is its own.
    pub(super) fn facet(&self) -> SecretFacet {
        let personal = !same_account(&self.caller.principal, &self.client);
        let grants = personal.then(|| {
            let now = self.now();
            Grants { project_access: false, users: Vec::new(), created: now, updated: now }
        });
        SecretFacet { grants, ..SecretFacet::default() }
    }

    /// The answer of another operation that stands for this item's, as Poll has it.
    pub(super) fn answer_with(&mut self, answer: ResponseItem<Response>) {
        self.polled = Some(answer);
    }

    pub(super) fn take_polled(&mut self) -> Option<ResponseItem<Response>> {
        self.polled.take()
    }

    /// Refuses what cannot fit into the answer, before it is done: a payload of at least so many bytes.
    ///
    /// # Errors
    ///
    /// *Response Too Large*.
    pub(super) fn fits(&self, payload: usize) -> Result<(), Refusal> {
        if self.room.is_none_or(|room| room.holds(payload)) { Ok(()) } else { Err(too_large()) }
    }

    /// The same for a whole answer that is known already.
    ///
    /// # Errors
    ///
    /// *Response Too Large*.
    pub(super) fn fits_answer(&self, answer: &ResponseItem<Response>) -> Result<(), Refusal> {
        if self.room.is_none_or(|room| room.holds_answer(answer, self.version)) { Ok(()) } else { Err(too_large()) }
    }

    /// How often an item runs: in 3.0 an identifier may stand for all results of an earlier item, and then the operation is
    /// repeated for each, with an answer for each (KMIP 3.0, Unique Identifier).
    ///
    /// # Errors
    ///
    /// *Server Limit Exceeded* for more answers than a message may have items.
    pub(super) fn repeats(&self, payload: &Item<'_>) -> Result<usize, Refusal> {
        if self.version < V3_0 {
            return Ok(1);
        }
        let named =
            payload.children().find(|child| child.tag == Tag::UNIQUE_IDENTIFIER).map(|child| child.value.clone());
        let Some(Value::Enumeration(number)) = named else { return Ok(1) };
        let results = match results_of(Earlier::from_number(number)) {
            Some((operation, None)) => self.results.iter().rev().find(|(of, _)| *of == operation),
            _ => None,
        };
        let repeats = results.map_or(1, |(_, ids)| ids.len().max(1));
        if repeats > self.service.settings.limits.batch_items_max {
            let text = "the identifier stands for more objects than a message may have items";
            return Err(Refusal::new(ResultReason::SERVER_LIMIT_EXCEEDED, text));
        }
        Ok(repeats)
    }

    /// Begins with an item that may be repeated.
    pub(super) const fn begin_repeating(&self) -> usize {
        self.results.len()
    }

    /// Says which of the results it is for now.
    pub(super) const fn stands_for(&mut self, nth: usize) {
        self.nth = nth;
    }

    /// What the repetitions made is the result of one item.
    pub(super) fn end_repeating(&mut self, earlier: usize) {
        self.nth = 0;
        let made: Vec<_> = self.results.drain(earlier.min(self.results.len())..).collect();
        if let Some((operation, _)) = made.first() {
            self.results.push((*operation, made.into_iter().flat_map(|(_, ids)| ids).collect()));
        }
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
        let object = self.named(named)?;
        match (&self.rights, self.operation) {
            (Some(rights), Some(operation)) if !rights.allow_object(operation, object) => Err(not_authorised()),
            _ => Ok(object),
        }
    }

    fn named(&self, named: Option<&WireId>) -> Result<UniqueIdentifier, Refusal> {
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
        if which == Earlier::ID_PLACEHOLDER {
            return self.placeholder;
        }
        let (operation, position) = results_of(which)?;
        let (_, ids) = self.results.iter().rev().find(|(of, _)| *of == operation)?;
        ids.get(position.unwrap_or(self.nth)).copied()
    }

    /// The data of a cryptographic request; from 2.0 on it may be what an earlier item put out.
    ///
    /// # Errors
    ///
    /// *Invalid Message* when there is none, *Invalid Field* for an output that does not exist.
    pub(super) fn data(&self, data: Option<Data>) -> Result<SecretValue, Refusal> {
        let found = match data {
            Some(Data::Bytes(bytes)) => return Ok(values::secret(bytes)),
            None => return Err(Refusal::new(ResultReason::INVALID_MESSAGE, "the data is missing")),
            Some(Data::Enumeration(of)) => self.outputs.iter().rev().find(|(kind, _)| *kind == of),
            Some(Data::Integer(position)) => usize::try_from(position).ok().and_then(|at| self.outputs.get(at)),
        };
        let missing = || Refusal::new(ResultReason::INVALID_FIELD, "no earlier item of the message has this output");
        found.map(|(_, value)| value.duplicate()).ok_or_else(missing)
    }

    /// Remembers what an item put out, for later items of the message.
    pub(super) fn put_out(&mut self, kind: DataEnumeration, value: SecretValue) {
        if self.version >= V2_0 {
            self.outputs.push((kind, value));
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
            let template = found.first.ok_or_else(|| self.not_found())?;
            for attribute in template.attributes.iter() {
                let own = matches!(attribute.kind, AttributeKind::Name)
                    || attribute.kind.rule().initially == crate::domain::attributes::SetBy::Server;
                if !own && !explicit.iter().any(|given| given.kind == attribute.kind) {
                    explicit.push(attribute.clone());
                }
            }
        }
        for attribute in &mut explicit {
            self.complete(attribute)?;
        }
        Ok(explicit)
    }
}

/// Which operation's results an identifier stands for, and which one of them; all, where it does not say (KMIP 2.0 §11.54).
fn results_of(which: Earlier) -> Option<(Operation, Option<usize>)> {
    Some(match which {
        Earlier::CERTIFY => (Operation::CERTIFY, None),
        Earlier::CREATE => (Operation::CREATE, None),
        Earlier::CREATE_KEY_PAIR => (Operation::CREATE_KEY_PAIR, None),
        Earlier::CREATE_KEY_PAIR_PRIVATE_KEY => (Operation::CREATE_KEY_PAIR, Some(0)),
        Earlier::CREATE_KEY_PAIR_PUBLIC_KEY => (Operation::CREATE_KEY_PAIR, Some(1)),
        Earlier::CREATE_SPLIT_KEY => (Operation::CREATE_SPLIT_KEY, None),
        Earlier::DERIVE_KEY => (Operation::DERIVE_KEY, None),
        Earlier::IMPORT => (Operation::IMPORT, None),
        Earlier::JOIN_SPLIT_KEY => (Operation::JOIN_SPLIT_KEY, None),
        Earlier::LOCATE => (Operation::LOCATE, None),
        Earlier::REGISTER => (Operation::REGISTER, None),
        Earlier::CREATE_USER => (Operation::CREATE_USER, None),
        Earlier::CREATE_GROUP => (Operation::CREATE_GROUP, None),
        Earlier::CREATE_CREDENTIAL => (Operation::CREATE_CREDENTIAL, None),
        Earlier::RE_KEY => (Operation::RE_KEY, None),
        Earlier::RE_CERTIFY => (Operation::RE_CERTIFY, None),
        Earlier::RE_PROVISION => (Operation::RE_PROVISION, None),
        Earlier::RE_KEY_KEY_PAIR => (Operation::RE_KEY_KEY_PAIR, None),
        Earlier::RE_KEY_KEY_PAIR_PRIVATE_KEY => (Operation::RE_KEY_KEY_PAIR, Some(0)),
        Earlier::RE_KEY_KEY_PAIR_PUBLIC_KEY => (Operation::RE_KEY_KEY_PAIR, Some(1)),
        _ => return None,
    })
}

fn too_large() -> Refusal {
    Refusal::new(ResultReason::RESPONSE_TOO_LARGE, "the answer would be larger than the maximum response size")
}

fn not_authorised() -> Refusal {
    Refusal::new(ResultReason::NOT_AUTHORISED, "the ticket gives no right to this")
}
