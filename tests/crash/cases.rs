//! Every use case that changes something, for `stops`: what stands before, what is asked, and whether it has come to pass.

use std::collections::BTreeMap;

use portcullis::{
    domain::{
        Attribute, AttributeKind, AttributeValue, CryptographicAlgorithm, CryptographicParameters, ManagedObject,
        ObjectType, Origin, SecretValue, State, Timestamp, TokenId, UniqueIdentifier, UsageMask,
        algorithm::{HashingAlgorithm, KeyFormatType},
        attributes::link,
        group::{Group, GroupKind, Member},
        job::{Job, JobKind, JobState},
        lifecycle::RevocationReason,
        reference::KeyKind,
        secret::{SecretFacet, SecretType},
    },
    engine::{
        Error, ErrorKind,
        ops::{
            archive::Archive,
            attributes::{AttributeChange, ChangeAttribute},
            certify::{Certify, Recertify},
            consumers::{ChangeConsumers, ConsumerChange, Registration},
            create::Create,
            create_key_pair::CreateKeyPair,
            derive::{Derive, Method},
            grants::{ChangeGrants, GrantsChange},
            groups::{ChangeMembers, CreateGroup, DeleteGroup, MemberChange},
            import::Import,
            jobs::{DeleteJob, RunJob, SubmitJob},
            lease::Allocate,
            lifecycle::{Activate, Destroy, Revoke},
            metadata::{ChangeMetadata, MetadataChange},
            migrate::Migrate,
            register::{ImportedKey, NewValue, Register},
            rekey::{Rekey, RekeyKeyPair},
            retire::Retire,
            set_value::SetValue,
            split::{Join, Scheme, Split},
        },
        ports::{MetadataStore, Order, Scope},
        testing::MemoryHsm,
    },
};

use crate::world::Life;

/// A use case that changes something.
pub(crate) trait Case {
    /// Whether the request, when it comes to pass, is one that fails.
    const FAILS: bool = false;
    /// What stands before; the identifiers that the request is about.
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier>;
    /// The request.
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error>;
    /// Whether it has come to pass; panics where half of it has.
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool;
}

// ------------------------------------------------------------------------------------------------------------ building

fn fresh() -> UniqueIdentifier {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    UniqueIdentifier::from_random(bytes)
}

fn usage(mask: UsageMask) -> Attribute {
    Attribute::new(AttributeKind::CryptographicUsageMask, AttributeValue::Integer(mask.0.cast_signed()))
}

fn active() -> Attribute {
    Attribute::new(AttributeKind::ActivationDate, AttributeValue::Date(Timestamp::from_micros(1_000_000)))
}

fn aes(id: UniqueIdentifier, attributes: Vec<Attribute>) -> Create {
    let mut attributes = attributes;
    attributes.push(usage(UsageMask::ENCRYPT.with(UsageMask::DECRYPT)));
    Create {
        identifier: Some(id),
        object_type: ObjectType::SymmetricKey,
        origin: Origin::Kmip,
        algorithm: Some(CryptographicAlgorithm::AES),
        length_bits: Some(256),
        subtype: None,
        attributes,
        secret: SecretFacet::default(),
    }
}

fn register(id: UniqueIdentifier, object_type: ObjectType, value: Option<NewValue>) -> Register {
    Register {
        identifier: Some(id),
        object_type,
        subtype: (object_type == ObjectType::OpaqueObject).then_some(0x8000_0001),
        origin: Origin::Kmip,
        format: Some(KeyFormatType::RAW),
        value,
        derived: Vec::new(),
        attributes: vec![usage(UsageMask::ENCRYPT)],
        secret: SecretFacet::default(),
    }
}

fn bytes(value: &[u8]) -> SecretValue {
    SecretValue::new(value.to_vec())
}

/// The example of RFC 8410, section 10.3.
const PEM: &[u8] =
    b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";

/// A secret of the Barbican API without a payload.
async fn empty_secret(life: &Life, secret_type: SecretType) -> UniqueIdentifier {
    let id = fresh();
    let secret = SecretFacet { secret_type: Some(secret_type), ..SecretFacet::default() };
    let first = Register { origin: Origin::Barbican, secret, ..register(id, ObjectType::PrivateKey, None) };
    life.ask("before", first).await.unwrap();
    id
}

async fn key(life: &Life, attributes: Vec<Attribute>) -> UniqueIdentifier {
    let id = fresh();
    life.ask("before", aes(id, attributes)).await.unwrap();
    id
}

async fn group_of(life: &Life, member: UniqueIdentifier) -> UniqueIdentifier {
    let members = vec![Member { name: Some("key".to_owned()), object: member }];
    life.ask("before", create_group(members)).await.unwrap()
}

fn create_group(members: Vec<Member>) -> CreateGroup {
    let missing = |_: Option<&str>| Error::new(ErrorKind::Missing, "no such member");
    CreateGroup { kind: GroupKind::Generic, name: Some("group".to_owned()), members, missing }
}

// ------------------------------------------------------------------------------------------------------------- looking

async fn object(life: &Life, id: UniqueIdentifier) -> Option<ManagedObject> {
    life.store.object(id).await.unwrap().map(|found| found.record)
}

async fn group(life: &Life, id: UniqueIdentifier) -> Option<Group> {
    life.store.group(id).await.unwrap().map(|found| found.record)
}

/// Whether the object is there, which is never without its value.
async fn with_value(life: &Life, id: UniqueIdentifier) -> bool {
    object(life, id).await.inspect(|it| assert!(it.value.is_some(), "{id} is there without its value")).is_some()
}

/// All or none.
fn together(parts: &[bool]) -> bool {
    let first = parts[0];
    assert!(parts.iter().all(|part| *part == first), "half of it has come to pass: {parts:?}");
    first
}

/// Whether the object is destroyed: value and date go together.
async fn gone(life: &Life, id: UniqueIdentifier) -> bool {
    let object = object(life, id).await.expect("a destroyed object's record stays");
    let destroyed = object.lifecycle.destroy.is_some();
    assert_eq!(object.value.is_none(), destroyed, "the value's place and the date of destruction contradict");
    destroyed
}

// --------------------------------------------------------------------------------------------------------------- cases

/// A key is made.
pub(crate) struct CreateAKey;
impl Case for CreateAKey {
    async fn arrange(_: &Life) -> Vec<UniqueIdentifier> {
        vec![fresh()]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(aes(ids[0], Vec::new())).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        with_value(life, ids[0]).await
    }
}

/// Secret data is made: a generic secret.
pub(crate) struct CreateSecretData;
impl Case for CreateSecretData {
    async fn arrange(_: &Life) -> Vec<UniqueIdentifier> {
        vec![fresh()]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let seed = Create {
            object_type: ObjectType::SecretData,
            algorithm: None,
            subtype: Some(2),
            ..aes(ids[0], Vec::new())
        };
        life.act(seed).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        with_value(life, ids[0]).await
    }
}

/// A pair is made: two objects, two records.
pub(crate) struct CreateAPair;
impl Case for CreateAPair {
    async fn arrange(_: &Life) -> Vec<UniqueIdentifier> {
        vec![fresh(), fresh()]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let pair = CreateKeyPair {
            identifiers: Some((ids[0], ids[1])),
            origin: Origin::Kmip,
            algorithm: CryptographicAlgorithm::EC,
            length_bits: Some(256),
            curve: None,
            private_attributes: vec![usage(UsageMask::SIGN)],
            public_attributes: vec![usage(UsageMask::VERIFY)],
            secrets: Default::default(),
        };
        life.act(pair).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        together(&[with_value(life, ids[0]).await, with_value(life, ids[1]).await])
    }
}

/// A value that becomes a key object.
pub(crate) struct RegisterAKey;
impl Case for RegisterAKey {
    async fn arrange(_: &Life) -> Vec<UniqueIdentifier> {
        vec![fresh()]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let key = ImportedKey { kind: KeyKind::Aes, value: bytes(&[9; 32]) };
        let value = NewValue { key: Some(key), bytes: None };
        life.act(register(ids[0], ObjectType::SymmetricKey, Some(value))).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        with_value(life, ids[0]).await
    }
}

/// A value that becomes a key object and bytes beside it.
pub(crate) struct RegisterAKeyAndItsBytes;
impl Case for RegisterAKeyAndItsBytes {
    async fn arrange(_: &Life) -> Vec<UniqueIdentifier> {
        vec![fresh()]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let key = ImportedKey { kind: KeyKind::Aes, value: bytes(&[9; 32]) };
        let value = NewValue { key: Some(key), bytes: Some(bytes(b"the key, as it was given")) };
        life.act(register(ids[0], ObjectType::SymmetricKey, Some(value))).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let Some(object) = object(life, ids[0]).await else { return false };
        let value = object.value.expect("a record with its value");
        assert!(value.key.is_some() && value.bytes.is_some(), "{value:?}");
        true
    }
}

/// A value that the token refuses as a key: it is held as bytes.
pub(crate) struct RegisterWhatIsNoKey;
impl Case for RegisterWhatIsNoKey {
    async fn arrange(_: &Life) -> Vec<UniqueIdentifier> {
        vec![fresh()]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let key = ImportedKey { kind: KeyKind::Aes, value: bytes(&[9; 31]) };
        let value = NewValue { key: Some(key), bytes: None };
        life.act(register(ids[0], ObjectType::SymmetricKey, Some(value))).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        with_value(life, ids[0]).await
    }
}

/// Bytes that were never meant to be a key.
pub(crate) struct RegisterBytes;
impl Case for RegisterBytes {
    async fn arrange(_: &Life) -> Vec<UniqueIdentifier> {
        vec![fresh()]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let value = NewValue { key: None, bytes: Some(bytes(b"opaque")) };
        life.act(register(ids[0], ObjectType::OpaqueObject, Some(value))).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        with_value(life, ids[0]).await
    }
}

/// A record without a value.
pub(crate) struct RegisterNothing;
impl Case for RegisterNothing {
    async fn arrange(_: &Life) -> Vec<UniqueIdentifier> {
        vec![fresh()]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(register(ids[0], ObjectType::PrivateKey, None)).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        object(life, ids[0]).await.is_some()
    }
}

/// The second step of a two-step secret: a key and its PEM.
pub(crate) struct SetAValue;
impl Case for SetAValue {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![empty_secret(life, SecretType::Private).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let value = Ok(bytes(PEM));
        life.act(SetValue { secret: ids[0], value, content_type: "application/octet-stream".to_owned() }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let object = object(life, ids[0]).await.expect("the first step was acknowledged");
        let has_value = object.value.is_some_and(|value| value.key.is_some() && value.bytes.is_some());
        together(&[has_value, object.secret.content_type.is_some()])
    }
}

/// A key becomes usable.
pub(crate) struct ActivateAKey;
impl Case for ActivateAKey {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![key(life, Vec::new()).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(Activate { object: ids[0] }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        object(life, ids[0]).await.unwrap().lifecycle.activation.is_some()
    }
}

/// A key is compromised.
pub(crate) struct RevokeAKey;
impl Case for RevokeAKey {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![key(life, vec![active()]).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let reason = RevocationReason { code: 2, message: None };
        life.act(Revoke { object: ids[0], reason, occurred: None }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        object(life, ids[0]).await.unwrap().lifecycle.revocation.is_some()
    }
}

/// A name is added.
pub(crate) struct AddAnAttribute;
impl Case for AddAnAttribute {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![key(life, Vec::new()).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let name = Attribute::new(AttributeKind::Comment, AttributeValue::Text("noted".to_owned()));
        life.act(ChangeAttribute { object: ids[0], change: AttributeChange::Add(name) }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        object(life, ids[0]).await.unwrap().attributes.value(&AttributeKind::Comment).is_some()
    }
}

/// A key that was never used is destroyed.
pub(crate) struct DestroyAKey;
impl Case for DestroyAKey {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![key(life, Vec::new()).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(Destroy { object: ids[0] }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        gone(life, ids[0]).await
    }
}

/// A record without a value is destroyed.
pub(crate) struct DestroyNothing;
impl Case for DestroyNothing {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![empty_secret(life, SecretType::Opaque).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(Destroy { object: ids[0] }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        object(life, ids[0]).await.unwrap().lifecycle.destroy.is_some()
    }
}

/// A key and its bytes, active and member of a group, are deleted the Barbican way.
pub(crate) struct RetireAMember;
impl Case for RetireAMember {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        let id = empty_secret(life, SecretType::Private).await;
        let value = Ok(bytes(PEM));
        let late = SetValue { secret: id, value, content_type: "application/octet-stream".to_owned() };
        life.ask("before", late).await.unwrap();
        vec![id, group_of(life, id).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(Retire { secret: ids[0], respect_consumers: false }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let left = group(life, ids[1]).await.expect("the group stays").members.is_empty();
        together(&[gone(life, ids[0]).await, left])
    }
}

/// A secret that never got a value is deleted the Barbican way.
pub(crate) struct RetireNothing;
impl Case for RetireNothing {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![empty_secret(life, SecretType::Opaque).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(Retire { secret: ids[0], respect_consumers: false }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        object(life, ids[0]).await.unwrap().lifecycle.destroy.is_some()
    }
}

/// User metadata is written.
pub(crate) struct ReplaceMetadata;
impl Case for ReplaceMetadata {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![key(life, Vec::new()).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let all = BTreeMap::from([("k".to_owned(), "v".to_owned())]);
        life.act(ChangeMetadata { secret: ids[0], change: MetadataChange::ReplaceAll(all) }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        !object(life, ids[0]).await.unwrap().secret.metadata.is_empty()
    }
}

/// An access list is set.
pub(crate) struct SetGrants;
impl Case for SetGrants {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![key(life, Vec::new()).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let change = GrantsChange::Replace { project_access: false, users: vec!["u".to_owned()] };
        life.act(ChangeGrants { secret: ids[0], change }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        object(life, ids[0]).await.unwrap().secret.grants.is_some()
    }
}

/// A consumer is registered.
pub(crate) struct AddAConsumer;
impl Case for AddAConsumer {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![key(life, Vec::new()).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let text = |text: &str| text.to_owned();
        let consumer =
            Registration { service: text("nova"), resource_type: text("disk"), resource_id: text("resource") };
        life.act(ChangeConsumers { secret: ids[0], consumer, change: ConsumerChange::Add }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        !object(life, ids[0]).await.unwrap().secret.consumers.is_empty()
    }
}

/// A group is made.
pub(crate) struct MakeAGroup;
impl Case for MakeAGroup {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![key(life, Vec::new()).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(create_group(vec![Member { name: None, object: ids[0] }])).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        !life.store.groups_with(ids[0]).await.unwrap().is_empty()
    }
}

/// A member joins a group.
pub(crate) struct JoinAGroup;
impl Case for JoinAGroup {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        let first = key(life, Vec::new()).await;
        vec![group_of(life, first).await, key(life, Vec::new()).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let member = Ok(Member { name: Some("second".to_owned()), object: ids[1] });
        life.act(ChangeMembers { group: ids[0], change: MemberChange::Add, member }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let named = group(life, ids[0]).await.unwrap().members.iter().any(|member| member.object == ids[1]);
        let found = life.store.groups_with(ids[1]).await.unwrap().iter().any(|it| it.record.identifier == ids[0]);
        together(&[named, found])
    }
}

/// A group is deleted.
pub(crate) struct DeleteAGroup;
impl Case for DeleteAGroup {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        let member = key(life, Vec::new()).await;
        vec![group_of(life, member).await, member]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(DeleteGroup { group: ids[0] }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let gone = group(life, ids[0]).await.is_none();
        together(&[gone, life.store.groups_with(ids[1]).await.unwrap().is_empty()])
    }
}

/// An order for a key or, with a passphrase, for a pair.
fn order(kind: JobKind, passphrase: bool, algorithm: &str, bits: u32) -> SubmitJob {
    let labels =
        SecretFacet { algorithm: Some(algorithm.to_owned()), bit_length: Some(bits), ..SecretFacet::default() };
    let passphrase = passphrase.then(|| bytes(b"the passphrase of a private key"));
    SubmitJob { kind, meta: BTreeMap::new(), labels, passphrase }
}

/// Stores an order; its identifier, and those of what it will make and what it brought.
async fn ordered(life: &Life, order: SubmitJob) -> Vec<UniqueIdentifier> {
    let id = life.ask("before", order).await.unwrap();
    let job = job(life, id).await.unwrap();
    std::iter::once(id).chain(job.results).chain(job.passphrase).collect()
}

async fn job(life: &Life, id: UniqueIdentifier) -> Option<Job> {
    life.store.job(id).await.unwrap().map(|found| found.record)
}

/// An order that brings a passphrase is stored.
pub(crate) struct SubmitAnOrder;
impl Case for SubmitAnOrder {
    async fn arrange(_: &Life) -> Vec<UniqueIdentifier> {
        Vec::new()
    }
    async fn act(life: &Life, _: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(order(JobKind::Asymmetric, true, "ec", 256)).await
    }
    async fn happened(life: &Life, _: &[UniqueIdentifier]) -> bool {
        let jobs = life.store.pending_jobs().await.unwrap();
        together(&[!jobs.is_empty(), !every_object(life).await.is_empty()])
    }
}

/// The key of an order is made.
pub(crate) struct RunAKeyOrder;
impl Case for RunAKeyOrder {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        ordered(life, order(JobKind::Key, false, "aes", 256)).await
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(RunJob { job: ids[0] }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let done = JobState::Done { object: Some(ids[1]), group: None };
        together(&[job(life, ids[0]).await.unwrap().state == done, with_value(life, ids[1]).await])
    }
}

/// The pair of an order is made, its private half held under the passphrase, and the group of them.
pub(crate) struct RunAPairOrder;
impl Case for RunAPairOrder {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        ordered(life, order(JobKind::Asymmetric, true, "ec", 256)).await
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(RunJob { job: ids[0] }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let done = JobState::Done { object: None, group: Some(ids[3]) };
        together(&[
            job(life, ids[0]).await.unwrap().state == done,
            with_value(life, ids[1]).await,
            with_value(life, ids[2]).await,
            group(life, ids[3]).await.is_some(),
        ])
    }
}

/// An order with a passphrase is deleted before it ran.
pub(crate) struct DeleteAnOrder;
impl Case for DeleteAnOrder {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        ordered(life, order(JobKind::Asymmetric, true, "ec", 256)).await
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(DeleteJob { job: ids[0] }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        together(&[job(life, ids[0]).await.is_none(), gone(life, ids[4]).await])
    }
}

/// An order that cannot be fulfilled ends, and its passphrase with it. The act is that it ends.
pub(crate) struct RunAnOrderInVain;
impl Case for RunAnOrderInVain {
    const FAILS: bool = true;
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        ordered(life, order(JobKind::Asymmetric, true, "twofishy", 256)).await
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(RunJob { job: ids[0] }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let failed = matches!(job(life, ids[0]).await.unwrap().state, JobState::Failed { .. });
        together(&[failed, gone(life, ids[4]).await])
    }
}

/// A cipher key that makes MACs, too: two objects on the token.
pub(crate) struct CreateATwin;
impl Case for CreateATwin {
    async fn arrange(_: &Life) -> Vec<UniqueIdentifier> {
        vec![fresh()]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let mask = UsageMask::ENCRYPT.with(UsageMask::MAC_GENERATE);
        let twin = Create { attributes: vec![usage(mask)], ..aes(ids[0], Vec::new()) };
        life.act(twin).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let Some(object) = object(life, ids[0]).await else { return false };
        let value = object.value.expect("a record with its value");
        assert!(value.key.is_some() && value.bytes.is_some(), "{value:?}");
        true
    }
}

/// The same, from a client's value.
pub(crate) struct RegisterATwin;
impl Case for RegisterATwin {
    async fn arrange(_: &Life) -> Vec<UniqueIdentifier> {
        vec![fresh()]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let key = ImportedKey { kind: KeyKind::Aes, value: bytes(&[9; 32]) };
        let value = NewValue { key: Some(key), bytes: None };
        let attributes = vec![usage(UsageMask::ENCRYPT.with(UsageMask::DERIVE))];
        life.act(Register { attributes, ..register(ids[0], ObjectType::SymmetricKey, Some(value)) }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        CreateATwin::happened(life, ids).await
    }
}

/// The object that a link leads to, which is never without its value.
async fn linked(life: &Life, from: UniqueIdentifier, kind: u32) -> Option<ManagedObject> {
    let to = object(life, from).await.expect("what was there before").links(kind).next()?;
    let found = object(life, to).await.expect("a link leads to an object");
    assert!(found.value.is_some(), "{to} is there without its value");
    Some(found)
}

fn named(text: &str) -> Attribute {
    Attribute::new(AttributeKind::Name, AttributeValue::Name { value: text.to_owned(), kind: 1 })
}

/// A key takes the place of another, and its name.
pub(crate) struct RekeyAKey;
impl Case for RekeyAKey {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![key(life, vec![active(), named("in turn")]).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(Rekey { object: ids[0], offset: None, attributes: Vec::new() }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let heir = linked(life, ids[0], link::REPLACEMENT).await;
        let old = object(life, ids[0]).await.unwrap();
        let moved = heir.as_ref().is_some_and(|heir| heir.names().eq(["in turn"]));
        let back = heir.as_ref().is_some_and(|heir| heir.links(link::REPLACED).eq([ids[0]]));
        together(&[heir.is_some(), moved, back, old.names().next().is_none()])
    }
}

/// A pair takes the place of another.
pub(crate) struct RekeyAPair;
impl Case for RekeyAPair {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        let ids = vec![fresh(), fresh()];
        let pair = CreateKeyPair {
            identifiers: Some((ids[0], ids[1])),
            origin: Origin::Kmip,
            algorithm: CryptographicAlgorithm::EC,
            length_bits: Some(256),
            curve: None,
            private_attributes: vec![usage(UsageMask::SIGN)],
            public_attributes: vec![usage(UsageMask::VERIFY)],
            secrets: Default::default(),
        };
        life.ask("before", pair).await.unwrap();
        ids
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let (private_attributes, public_attributes) = (Vec::new(), Vec::new());
        life.act(RekeyKeyPair { private: ids[0], offset: None, private_attributes, public_attributes }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let private = linked(life, ids[0], link::REPLACEMENT).await;
        let public = linked(life, ids[1], link::REPLACEMENT).await;
        let joined = private.as_ref().zip(public.as_ref());
        let joined = joined.is_some_and(|(private, public)| private.links(link::PUBLIC_KEY).eq([public.identifier]));
        together(&[private.is_some(), public.is_some(), joined])
    }
}

/// A key is derived from another.
pub(crate) struct DeriveAKey;
impl Case for DeriveAKey {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        let id = fresh();
        let mask = UsageMask::ENCRYPT.with(UsageMask::DERIVE);
        let base = Create { attributes: vec![usage(mask), active()], ..aes(id, Vec::new()) };
        life.ask("before", base).await.unwrap();
        vec![id]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let hash = Some(HashingAlgorithm::SHA_256);
        let derive = Derive {
            object_type: ObjectType::SymmetricKey,
            objects: ids.to_vec(),
            method: Method::Hmac,
            parameters: Some(CryptographicParameters { hashing_algorithm: hash, ..Default::default() }),
            iv: None,
            data: Some(bytes(b"label")),
            salt: None,
            iterations: None,
            algorithm: Some(CryptographicAlgorithm::AES),
            length_bits: Some(128),
            attributes: vec![usage(UsageMask::ENCRYPT)],
            secret: SecretFacet::default(),
        };
        life.act(derive).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let derived = linked(life, ids[0], link::DERIVED).await;
        derived.is_some_and(|derived| derived.links(link::DERIVATION_BASE).eq([ids[0]]))
    }
}

/// A key goes into the archive.
pub(crate) struct ArchiveAKey;
impl Case for ArchiveAKey {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![key(life, Vec::new()).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(Archive { object: ids[0], recover: false }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        object(life, ids[0]).await.unwrap().lifecycle.archive.is_some()
    }
}

/// A part of what a key may be used is taken.
pub(crate) struct AllocateAUse;
impl Case for AllocateAUse {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        let limits = AttributeValue::UsageLimits { total: 10, count: None, unit: 2 };
        vec![key(life, vec![active(), Attribute::new(AttributeKind::UsageLimits, limits)]).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(Allocate { object: ids[0], count: 4 }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let object = object(life, ids[0]).await.unwrap();
        match object.attributes.value(&AttributeKind::UsageLimits) {
            Some(AttributeValue::UsageLimits { count: Some(6), .. }) => true,
            Some(AttributeValue::UsageLimits { count: Some(10), .. }) => false,
            other => panic!("{other:?}"),
        }
    }
}

fn split(object: UniqueIdentifier) -> Split {
    let scheme = Scheme { parts: 3, threshold: 2, method: 4, polynomial: None, prime: None };
    let secret = SecretFacet::default();
    Split { object: Some(object), scheme, algorithm: None, length_bits: None, attributes: Vec::new(), secret }
}

/// A key is split into three parts.
pub(crate) struct SplitAKey;
impl Case for SplitAKey {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![key(life, Vec::new()).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(split(ids[0])).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let parts: Vec<UniqueIdentifier> = object(life, ids[0]).await.unwrap().links(link::CHILD).collect();
        for part in &parts {
            assert!(with_value(life, *part).await, "a part that is linked is there");
        }
        assert!(parts.is_empty() || parts.len() == 3, "{parts:?}");
        !parts.is_empty()
    }
}

/// Two of three parts are joined.
pub(crate) struct JoinTheParts;
impl Case for JoinTheParts {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        let key = key(life, Vec::new()).await;
        let parts = life.ask("before", split(key)).await.unwrap();
        parts.iter().take(2).map(|part| part.identifier).collect()
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let join = Join {
            object_type: ObjectType::SymmetricKey,
            objects: ids.to_vec(),
            subtype: None,
            algorithm: None,
            length_bits: None,
            attributes: vec![named("joined"), usage(UsageMask::ENCRYPT)],
            secret: SecretFacet::default(),
        };
        life.act(join).await
    }
    async fn happened(life: &Life, _: &[UniqueIdentifier]) -> bool {
        let joined = every_object(life).await.into_iter().find(|object| object.names().eq(["joined"]));
        joined.is_some_and(|joined| {
            assert!(joined.value.is_some());
            true
        })
    }
}

fn import(id: UniqueIdentifier, replace: bool) -> Import {
    let key = ImportedKey { kind: KeyKind::Aes, value: bytes(&[7; 16]) };
    Import {
        identifier: id,
        replace,
        object_type: ObjectType::SymmetricKey,
        subtype: None,
        format: Some(KeyFormatType::RAW),
        value: Some(NewValue { key: Some(key), bytes: None }),
        derived: Vec::new(),
        attributes: vec![
            usage(UsageMask::ENCRYPT),
            Attribute::new(AttributeKind::Comment, AttributeValue::Text("imported".to_owned())),
        ],
        secret: SecretFacet::default(),
    }
}

/// A pair on the token; its private and its public key.
async fn pair(life: &Life) -> (UniqueIdentifier, UniqueIdentifier) {
    let ids = (fresh(), fresh());
    let pair = CreateKeyPair {
        identifiers: Some(ids),
        origin: Origin::Kmip,
        algorithm: CryptographicAlgorithm::EC,
        length_bits: Some(256),
        curve: None,
        private_attributes: vec![usage(UsageMask::SIGN)],
        public_attributes: vec![usage(UsageMask::VERIFY)],
        secrets: Default::default(),
    };
    life.ask("before", pair).await.unwrap();
    ids
}

fn certify(object: UniqueIdentifier) -> Certify {
    Certify {
        object,
        request: None,
        subject: Some("CN=Subject".to_owned()),
        attributes: vec![named("certificate")],
        secret: SecretFacet::default(),
        describe: |_| Vec::new(),
    }
}

/// A certificate is made for a public key, each linked to the other.
pub(crate) struct CertifyAKey;
impl Case for CertifyAKey {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![pair(life).await.1]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(certify(ids[0])).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let made = linked(life, ids[0], link::CERTIFICATE).await;
        let back = made.as_ref().is_some_and(|made| made.links(link::PUBLIC_KEY).eq([ids[0]]));
        let others = every_object(life).await.into_iter().filter(|it| it.object_type == ObjectType::Certificate);
        together(&[made.is_some(), back, others.count() == 1])
    }
}

/// A certificate takes the place of another: its name moves, and the public key leads to the new one.
pub(crate) struct RecertifyAKey;
impl Case for RecertifyAKey {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        let public = pair(life).await.1;
        let made = life.ask("before", certify(public)).await.unwrap();
        vec![made.identifier, public]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let (request, offset, attributes) = (None, None, Vec::new());
        life.act(Recertify { object: ids[0], request, offset, attributes, describe: |_| Vec::new() }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let heir = linked(life, ids[0], link::REPLACEMENT).await;
        let moved = heir.as_ref().is_some_and(|heir| heir.names().eq(["certificate"]));
        let old = object(life, ids[0]).await.unwrap();
        let named = linked(life, ids[1], link::CERTIFICATE).await.expect("the key has a certificate all the time");
        let leads = heir.as_ref().is_some_and(|heir| heir.identifier == named.identifier);
        let others = every_object(life).await.into_iter().filter(|it| it.object_type == ObjectType::Certificate);
        together(&[heir.is_some(), moved, leads, old.names().next().is_none(), others.count() == 2])
    }
}

/// An object comes with its identifier.
pub(crate) struct ImportAKey;
impl Case for ImportAKey {
    async fn arrange(_: &Life) -> Vec<UniqueIdentifier> {
        vec![fresh()]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(import(ids[0], false)).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        with_value(life, ids[0]).await
    }
}

/// An object takes the place of the one with its identifier: at every moment one of the two is whole.
pub(crate) struct ImportInTheOthersPlace;
impl Case for ImportInTheOthersPlace {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        vec![key(life, Vec::new()).await]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        life.act(import(ids[0], true)).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        let object = object(life, ids[0]).await.expect("one of the two is there");
        assert!(object.value.is_some());
        object.attributes.value(&AttributeKind::Comment).is_some()
    }
}

/// Every object of the store, whose indexes are whole.
pub(crate) async fn every_object(life: &Life) -> Vec<ManagedObject> {
    let check = life.store.check_indexes().await.unwrap();
    assert!(check.is_sound(), "{check:?}");
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = life.store.objects(Scope::Everything, Order::OldestFirst, after, 100).await.unwrap();
        found.extend(page.records.into_iter().map(|it| it.record));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// Whether the object can be given out.
pub(crate) fn is_alive(object: &ManagedObject) -> bool {
    !matches!(object.state(Timestamp::from_micros(i64::MAX)), State::Destroyed | State::DestroyedCompromised)
}

/// The token that values are moved to.
const ELSEWHERE: &str = "elsewhere";

/// A key with its bytes is moved to another token.
pub(crate) struct MigrateAKeyAndItsBytes;
impl Case for MigrateAKeyAndItsBytes {
    async fn arrange(life: &Life) -> Vec<UniqueIdentifier> {
        let id = fresh();
        let key = ImportedKey { kind: KeyKind::Aes, value: bytes(&[9; 32]) };
        let value = NewValue { key: Some(key), bytes: Some(bytes(b"the key, as it was given")) };
        life.ask("before", register(id, ObjectType::SymmetricKey, Some(value))).await.unwrap();
        vec![id]
    }
    async fn act(life: &Life, ids: &[UniqueIdentifier]) -> Result<(), Error> {
        let from = vec![TokenId(MemoryHsm::TOKEN.to_owned())];
        life.act(Migrate { object: ids[0], from, to: TokenId(ELSEWHERE.to_owned()) }).await
    }
    async fn happened(life: &Life, ids: &[UniqueIdentifier]) -> bool {
        object(life, ids[0]).await.unwrap().value.expect("a move loses no value").token.0 == ELSEWHERE
    }
}
