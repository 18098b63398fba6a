//! Jobs: Barbican's orders (contract §2.9, §5.2, §5.3).
//!
//! A job is stored with the identifiers of what it will make, and the records of what it made are committed together with
//! its end. So a job that is found pending has made nothing that anybody was told of: what an interrupted run left on a
//! token is undone from its intent before the job runs again, and there is never a second key.

use std::collections::BTreeMap;

use super::{
    change::object_again,
    create::Create,
    create_key_pair::{CreateKeyPair, Seal},
    groups::new_group,
    list_secrets::{Filter, Listed, Page, STEP},
    register::{NewValue, take_in_announced},
    retire::retire,
    secret_value::{SECRET_DATA_PASSWORD, algorithm_named, client_attributes, makes_macs, usage_of},
};
use crate::{
    authz::Permitted,
    crypto::{PrivateKey, keys::pbes2},
    domain::{
        CryptographicAlgorithm, Lifecycle, ManagedObject, ObjectType, OperationKind, Origin, SecretValue,
        UniqueIdentifier, UsageMask,
        algorithm::KeyFormatType,
        group::{GroupKind, Member},
        job::{Job, JobKind, JobState},
        project::Resource,
        secret::{SecretFacet, SecretType},
    },
    engine::{
        error::{Error, ErrorKind},
        operation::{Operation, Target, Targets},
        ports::{Guard, HsmRequest, IntentKind, Order, Slice, Versioned, Window, Write},
        tools::Tools,
    },
};

/// Stores a job.
#[derive(Debug)]
pub struct SubmitJob {
    /// What it makes.
    pub kind: JobKind,
    /// What the client asked, as JSON text of each member; without a passphrase.
    pub meta: BTreeMap<String, String>,
    /// The labels of what it makes.
    pub labels: SecretFacet,
    /// What the private key is encrypted under when it is read; goes to the HSM before the job is stored.
    pub passphrase: Option<SecretValue>,
}

impl Operation for SubmitJob {
    const KIND: OperationKind = OperationKind::SubmitJob;
    type Output = UniqueIdentifier;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let quota = tools.within_quota(Resource::Orders).await?;
        let (id, now) = (tools.identifier(), tools.now());
        let results = match self.kind {
            JobKind::Key => vec![tools.identifier()],
            JobKind::Asymmetric => vec![tools.identifier(), tools.identifier(), tools.identifier()],
        };
        let mut job = Job {
            identifier: id,
            project: tools.principal().project.clone(),
            creator: tools.principal().name.clone(),
            kind: self.kind,
            meta: self.meta,
            labels: self.labels,
            results,
            passphrase: None,
            state: JobState::Pending,
            created: now,
            updated: now,
        };
        tools.touch(id);
        let Some(passphrase) = self.passphrase else {
            let write = Write::PutJob(Box::new(job), Guard::Absent);
            tools.commit(quota.into_iter().chain([write]).collect()).await?;
            return Ok(id);
        };
        let mut object = passphrase_of(tools, &job);
        job.passphrase = Some(object.identifier);
        let at = tools.place(object.identifier, object.object_type)?;
        let announced = tools.announce(IntentKind::Make, vec![at.clone()]).await?;
        let value = NewValue { key: None, bytes: Some(passphrase) };
        let (reference, announced) =
            take_in_announced(tools, announced, at, object.object_type, value, UsageMask::default(), true).await?;
        object.value = Some(reference);
        let object = Write::PutObject(Box::new(object), Guard::Absent);
        let writes = [object, Write::PutJob(Box::new(job), Guard::Absent)];
        tools.conclude(announced, quota.into_iter().chain(writes).collect()).await?;
        Ok(id)
    }
}

/// The record of an order's passphrase: a secret of its own, and a member of the pair's group later.
fn passphrase_of(tools: &Tools, job: &Job) -> ManagedObject {
    let now = tools.now();
    ManagedObject {
        identifier: tools.identifier(),
        object_type: ObjectType::SecretData,
        project: job.project.clone(),
        creator: job.creator.clone(),
        origin: Origin::Barbican,
        value: None,
        format: Some(KeyFormatType::RAW),
        subtype: Some(SECRET_DATA_PASSWORD),
        lifecycle: Lifecycle { activation: Some(now.to_seconds()), ..Lifecycle::new(now) },
        attributes: Default::default(),
        secret: labelled(job, SecretType::Passphrase),
    }
}

fn labelled(job: &Job, secret_type: SecretType) -> SecretFacet {
    SecretFacet { secret_type: Some(secret_type), ..job.labels.clone() }
}

/// Reads a job.
#[derive(Debug)]
pub struct ReadJob {
    /// Which.
    pub job: UniqueIdentifier,
}

impl Operation for ReadJob {
    const KIND: OperationKind = OperationKind::ReadJob;
    type Output = Job;

    fn target(&self) -> Target {
        Target::Job(self.job)
    }

    async fn run(self, on: Permitted<Targets>, _: &Tools) -> Result<Self::Output, Error> {
        Ok(on.into_job()?.record)
    }
}

/// Lists the jobs of the project, oldest first.
pub struct ListJobs {
    /// Which ones; all when absent.
    pub filter: Option<Filter<Job>>,
    /// How many matches to pass over.
    pub offset: usize,
    /// How many to answer.
    pub limit: usize,
}

impl Operation for ListJobs {
    const KIND: OperationKind = OperationKind::ListJobs;
    type Output = Listed<Job>;

    fn target(&self) -> Target {
        Target::Project
    }

    async fn run(self, _: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let project = tools.principal().project.clone();
        let Some(keep) = &self.filter else {
            let window = Window { order: Order::OldestFirst, offset: self.offset, limit: self.limit };
            let Slice { records, total } = tools.store().job_slice(project, window).await?;
            return Ok(Listed { records, total });
        };
        let mut page = Page::new(self.offset, self.limit);
        let (mut after, mut seen) = (None, 0_usize);
        loop {
            let step = tools.store().jobs(project.clone(), after, STEP).await?;
            seen = seen.saturating_add(step.records.len());
            step.records.into_iter().map(|it| it.record).filter(|it| keep(it)).for_each(|it| page.add(it));
            after = step.next;
            if after.is_none() || (page.is_full() && seen >= tools.settings().walk_max) {
                break;
            }
        }
        Ok(page.into())
    }
}

/// Deletes a job. What it made stays; one that has not run yet makes nothing any more.
#[derive(Debug)]
pub struct DeleteJob {
    /// Which.
    pub job: UniqueIdentifier,
}

/// How often a job is read again when its run ends meanwhile.
const ATTEMPTS: u32 = 4;

impl Operation for DeleteJob {
    const KIND: OperationKind = OperationKind::DeleteJob;
    type Output = ();

    fn target(&self) -> Target {
        Target::Job(self.job)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let mut on = on.into_job()?;
        for _ in 0..ATTEMPTS {
            let remove = Write::RemoveJob(self.job, Guard::At(on.revision));
            let ended = match on.record.state {
                JobState::Pending => end_unused(tools, &on.record, remove).await,
                JobState::Done { .. } | JobState::Failed { .. } => tools.commit(vec![remove]).await,
            };
            match ended {
                Err(error) if error.kind == ErrorKind::Conflict => {
                    on = tools.store().job(self.job).await?.ok_or_else(Error::not_found)?;
                }
                done => return done,
            }
        }
        Err(Error::new(ErrorKind::Busy, "the order is being worked on; try again later"))
    }
}

/// Writes the end of a job that made nothing, and destroys its passphrase: one that protects nothing is not kept.
async fn end_unused(tools: &Tools, job: &Job, end: Write) -> Result<(), Error> {
    let passphrase = match job.passphrase {
        Some(id) => tools.store().object(id).await?.filter(|it| !it.record.state(tools.now()).is_destroyed()),
        None => None,
    };
    match passphrase {
        Some(found) => retire(tools, found, vec![end]).await,
        None => tools.commit(vec![end]).await,
    }
}

/// Does the work of a job. Run by the gateway itself, for the job's project and in its creator's name.
#[derive(Debug)]
pub struct RunJob {
    /// Which.
    pub job: UniqueIdentifier,
}

impl Operation for RunJob {
    const KIND: OperationKind = OperationKind::RunJob;
    type Output = ();

    fn target(&self) -> Target {
        Target::Job(self.job)
    }

    async fn run(self, on: Permitted<Targets>, tools: &Tools) -> Result<Self::Output, Error> {
        let on = on.into_job()?;
        if on.record.state != JobState::Pending {
            return Ok(());
        }
        undone(tools, &on.record).await?;
        let worked = match on.record.kind {
            JobKind::Key => make_key(tools, &on).await,
            JobKind::Asymmetric => make_pair(tools, &on).await,
        };
        match worked {
            Err(error) if !may_be_repeated(error.kind) => {
                tools.fails(error.kind);
                let failed = ended(&on.record, failure(&error), tools);
                end_unused(tools, &on.record, Write::PutJob(Box::new(failed), Guard::At(on.revision))).await?;
                Err(error)
            }
            other => other,
        }
    }
}

/// Whether the same job may succeed later.
#[must_use]
pub const fn may_be_repeated(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Busy | ErrorKind::Unavailable | ErrorKind::Conflict)
}

/// Refuses to run while an interrupted run is not undone: its token objects would be found twice.
async fn undone(tools: &Tools, job: &Job) -> Result<(), Error> {
    let intents = tools.store().intents().await?;
    let mut places = intents.iter().flat_map(|intent| &intent.places);
    if places.any(|place| job.results.iter().any(|id| id.cka_id() == place.cka_id)) {
        return Err(Error::new(ErrorKind::Busy, "an interrupted run of the order is not undone yet"));
    }
    Ok(())
}

fn ended(job: &Job, state: JobState, tools: &Tools) -> Job {
    Job { state, updated: tools.now(), ..job.clone() }
}

/// What the client is told of a failure (contract §2.9.3): at most 255 characters.
fn failure(error: &Error) -> JobState {
    let (code, reason) = match error.kind {
        ErrorKind::Internal => (500, "Process TypeOrder failure seen - please contact site administrator.".to_owned()),
        ErrorKind::Full => (507, format!("Process TypeOrder issue seen - {}.", error.public)),
        _ => (400, format!("Process TypeOrder issue seen - {}.", error.public)),
    };
    JobState::Failed { code, reason: reason.chars().take(255).collect() }
}

fn unsupported(text: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::UnsupportedParameters, text)
}

const NO_BACKEND: &str = "Secret generate supported plugin not found.";
const WRONG_KIND: &str = "Requested algorithm is not supported.";

/// Algorithm and length that the HSM is asked for, or why there is none. `None` is a secret without an algorithm.
fn key_shape(text: &str, bits: u32) -> Result<(Option<CryptographicAlgorithm>, u32), Error> {
    use CryptographicAlgorithm as A;
    let length = || unsupported(format!("{text} keys of {bits} bits are not supported"));
    if text.eq_ignore_ascii_case("generic") {
        return if bits.is_multiple_of(8) && (8..=8192).contains(&bits) { Ok((None, bits)) } else { Err(length()) };
    }
    let algorithm = algorithm_named(text).ok_or_else(|| unsupported(NO_BACKEND))?;
    let asked = match (algorithm, bits) {
        // Two keys of XTS; clients order them without naming the mode.
        (A::AES, 128 | 192 | 256 | 384 | 512) => bits,
        // KMIP counts the bits without parity.
        (A::TRIPLE_DES, 128) => 112,
        (A::TRIPLE_DES, 192) => 168,
        (A::DES | A::TRIPLE_DES, 64) => return Ok((Some(A::DES), 64)),
        (algorithm, 8..=8192) if makes_macs(algorithm) || algorithm == A::HMAC_MD5 => bits,
        (A::AES | A::TRIPLE_DES | A::DES, _) => return Err(length()),
        (algorithm, _) if makes_macs(algorithm) || algorithm == A::HMAC_MD5 => return Err(length()),
        _ => return Err(unsupported(WRONG_KIND)),
    };
    Ok((Some(algorithm), asked))
}

async fn make_key(tools: &Tools, on: &Versioned<Job>) -> Result<(), Error> {
    let job = &on.record;
    let [id] = job.results.as_slice() else { return Err(broken()) };
    let done = ended(job, JobState::Done { object: Some(*id), group: None }, tools);
    let done = Write::PutJob(Box::new(done), Guard::At(on.revision));
    if tools.store().object(*id).await?.is_some() {
        return tools.commit(vec![done]).await;
    }
    let text = job.labels.algorithm.as_deref().unwrap_or_default();
    let (algorithm, bits) = key_shape(text, job.labels.bit_length.unwrap_or_default())?;
    let usage = algorithm.map(usage_of).unwrap_or_default();
    let create = Create {
        identifier: Some(*id),
        object_type: if algorithm.is_some() { ObjectType::SymmetricKey } else { ObjectType::SecretData },
        origin: Origin::Barbican,
        algorithm,
        length_bits: Some(bits),
        subtype: algorithm.is_none().then_some(SECRET_DATA_SEED),
        attributes: client_attributes(tools.now(), usage),
        secret: labelled(job, SecretType::Symmetric),
    };
    create.make(tools, |_| vec![done]).await?;
    Ok(())
}

/// KMIP 2.1 §11.54, *Secret Data Type*: Seed.
const SECRET_DATA_SEED: u32 = 2;

async fn make_pair(tools: &Tools, on: &Versioned<Job>) -> Result<(), Error> {
    let job = &on.record;
    let [private, public, group] = job.results.as_slice() else { return Err(broken()) };
    let text = job.labels.algorithm.as_deref().unwrap_or_default();
    let bits = job.labels.bit_length.unwrap_or_default();
    let algorithm = algorithm_named(text).ok_or_else(|| unsupported(NO_BACKEND))?;
    match algorithm {
        CryptographicAlgorithm::RSA if matches!(bits, 1024 | 2048 | 3072 | 4096) => {}
        CryptographicAlgorithm::EC | CryptographicAlgorithm::ECDSA if matches!(bits, 256 | 384 | 521) => {}
        CryptographicAlgorithm::ED25519 if bits == 256 => {}
        CryptographicAlgorithm::RSA
        | CryptographicAlgorithm::EC
        | CryptographicAlgorithm::ECDSA
        | CryptographicAlgorithm::ED25519 => {
            return Err(unsupported(format!("{text} key pairs of {bits} bits are not supported")));
        }
        CryptographicAlgorithm::DSA => return Err(unsupported(NO_BACKEND)),
        _ => return Err(unsupported(WRONG_KIND)),
    }
    let member = |name: &str, object| Member { name: Some(name.to_owned()), object };
    let mut members = vec![member("private_key", *private), member("public_key", *public)];
    members.extend(job.passphrase.map(|id| member("private_key_passphrase", id)));
    let kind = if algorithm == CryptographicAlgorithm::RSA { GroupKind::Rsa } else { GroupKind::Generic };
    let made = new_group(tools, *group, kind, job.labels.name.clone(), members);
    let done = ended(job, JobState::Done { object: None, group: Some(*group) }, tools);
    let also =
        vec![Write::PutGroup(Box::new(made), Guard::Absent), Write::PutJob(Box::new(done), Guard::At(on.revision))];
    let seal = match job.passphrase {
        Some(id) => Some(seal_under(tools, id).await?),
        None => None,
    };
    let now = tools.now();
    let create = CreateKeyPair {
        identifiers: Some((*private, *public)),
        origin: Origin::Barbican,
        algorithm,
        length_bits: Some(bits),
        curve: None,
        private_attributes: client_attributes(now, UsageMask::SIGN),
        public_attributes: client_attributes(now, UsageMask::VERIFY),
        secrets: (labelled(job, SecretType::Private), labelled(job, SecretType::Public)),
    };
    create.make(tools, seal, also).await?;
    Ok(())
}

/// Encrypts a private key under the passphrase that an object holds.
async fn seal_under(tools: &Tools, passphrase: UniqueIdentifier) -> Result<Seal, Error> {
    let gone = || Error::new(ErrorKind::InvalidField, "the passphrase of the order has been deleted");
    let found = tools.store().object(passphrase).await?.ok_or_else(gone)?;
    let reference = object_again(tools, &found.record).await?.record.value.ok_or_else(gone)?;
    let passphrase = tools.hsm_value(HsmRequest::RevealBytes { reference }).await?;
    let mut random = [0; pbes2::RANDOM_BYTES];
    random.iter_mut().zip(tools.random_bytes(pbes2::RANDOM_BYTES)).for_each(|(to, from)| *to = from);
    Ok(Box::new(move |value| {
        let failed = |error: crate::crypto::Error| {
            Error::new(ErrorKind::Internal, "the private key cannot be encrypted").because(error)
        };
        let key = PrivateKey::from_pkcs8(&value).map_err(failed)?;
        let sealed = pbes2::seal_pem(&key, &passphrase, pbes2::ROUNDS, &random).map_err(failed)?;
        Ok(SecretValue::new(sealed.into_bytes()))
    }))
}

fn broken() -> Error {
    Error::new(ErrorKind::Internal, "the order's record does not name what it makes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_orders_may_ask_for() {
        for (text, bits, shape) in [
            ("aes", 128, Some(128)),
            ("AES", 512, Some(512)),
            ("aes", 64, None),
            ("3des", 192, Some(168)),
            ("desede", 128, Some(112)),
            ("des", 64, Some(64)),
            ("des", 128, None),
            ("hmacsha512", 1024, Some(1024)),
            ("hmac-sha256", 8192, Some(8192)),
            ("hmacsha256", 8200, None),
            ("generic", 2048, Some(2048)),
            ("rsa", 2048, None),
            ("twofishy", 128, None),
        ] {
            assert_eq!(key_shape(text, bits).ok().map(|(_, bits)| bits), shape, "{text} {bits}");
        }
        assert_eq!(key_shape("rsa", 2048).unwrap_err().public, WRONG_KIND);
        assert_eq!(key_shape("twofishy", 128).unwrap_err().public, NO_BACKEND);
        assert_eq!(key_shape("aes", 100).unwrap_err().public, "aes keys of 100 bits are not supported");
    }

    #[test]
    fn reasons_are_cut_to_what_clients_store() {
        let error = Error::new(ErrorKind::BadParameters, "x".repeat(400));
        let JobState::Failed { code, reason } = failure(&error) else { panic!("not failed") };
        assert_eq!((code, reason.len()), (400, 255));
    }
}
