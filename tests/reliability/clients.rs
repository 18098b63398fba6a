//! Clients of both protocols that know what each answer must be.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::{hmac, signature};
use kmip_codec::{
    Tag,
    attribute::{AttributeValue, Attributes, CryptographicDomainParameters, CryptographicParameters},
    object::{KeyMaterial, ManagedObject, SymmetricKey},
    payload::{
        ActivateRequest, CreateKeyPairRequest, Data, DecryptRequest, DestroyRequest, EncryptRequest, MacRequest,
        RegisterRequest, Request, Response, SignRequest,
    },
    secret::SecretBytes,
    spec::enums::{
        BlockCipherMode, CryptographicAlgorithm, DigitalSignatureAlgorithm, HashingAlgorithm, KeyFormatType,
        ObjectType, RecommendedCurve,
    },
};
use portcullis_testing::{Failure, Gateway, Kmip, Rest, aes, create, key_of, material, text_of};
use tokio::task::JoinSet;

use crate::{Chance, percentile};

/// What all clients use.
pub(crate) struct Fixture {
    aes: String,
    hmac: String,
    hmac_key: Vec<u8>,
    signer: String,
    /// An uncompressed point of P-256.
    public: Vec<u8>,
    stored: Vec<(String, Vec<u8>)>,
}

fn activate(id: &str) -> Request {
    Request::Activate(Box::new(ActivateRequest { unique_identifier: Some(id.into()) }))
}

fn mask(bits: u32) -> Attributes {
    Attributes::default().with(Tag::CRYPTOGRAPHIC_USAGE_MASK, AttributeValue::Mask(bits))
}

/// A symmetric key that is given.
fn register_hmac(key: &[u8]) -> Request {
    let bits = i32::try_from(key.len() * 8).unwrap();
    let key_block = key_of(
        KeyFormatType::RAW,
        KeyMaterial::Bytes(key.to_vec().into()),
        Some(CryptographicAlgorithm::HMAC_SHA256),
        Some(bits),
    );
    Request::Register(Box::new(RegisterRequest {
        object_type: ObjectType::SYMMETRIC_KEY,
        attributes: mask(0x180),
        object: Some(ManagedObject::SymmetricKey(SymmetricKey { key_block })),
        protection_storage_masks: None,
    }))
}

fn create_pair() -> Request {
    let curve =
        CryptographicDomainParameters { recommended_curve: Some(RecommendedCurve::P_256), ..Default::default() };
    let common = Attributes::default()
        .with(Tag::CRYPTOGRAPHIC_ALGORITHM, AttributeValue::Enumeration(CryptographicAlgorithm::ECDSA.number()))
        .with(Tag::CRYPTOGRAPHIC_LENGTH, AttributeValue::Integer(256))
        .with(Tag::CRYPTOGRAPHIC_DOMAIN_PARAMETERS, AttributeValue::CryptographicDomainParameters(curve));
    Request::CreateKeyPair(Box::new(CreateKeyPairRequest {
        common_attributes: Some(common),
        private_key_attributes: Some(mask(1)),
        public_key_attributes: Some(mask(2)),
        ..CreateKeyPairRequest::default()
    }))
}

impl Fixture {
    /// Makes what the clients use.
    pub(crate) async fn make(gateway: &Gateway) -> Arc<Self> {
        let mut kmip = Kmip::connect(gateway).await.unwrap();
        let rest = Rest::new(&gateway.rest(), "demo");
        let aes = kmip.make(create(aes())).await.unwrap();
        kmip.ask(activate(&aes)).await.unwrap();
        let hmac_key = vec![0x0B; 32];
        let hmac = kmip.make(register_hmac(&hmac_key)).await.unwrap();
        kmip.ask(activate(&hmac)).await.unwrap();
        let Response::CreateKeyPair(pair) = kmip.ask(create_pair()).await.unwrap() else { panic!("a pair") };
        let signer = text_of(&pair.private_key_unique_identifier);
        kmip.ask(activate(&signer)).await.unwrap();
        let public = text_of(&pair.public_key_unique_identifier);
        let public = material(kmip.get_as(&public, Some(KeyFormatType::X_509)).await.unwrap());
        let public = public[public.len() - 65..].to_vec();
        let mut stored = Vec::new();
        for (kind, value) in
            [("symmetric", vec![7; 32]), ("passphrase", b"open sesame".to_vec()), ("opaque", vec![9; 3000])]
        {
            let answer = rest.store(kind, &value).await.unwrap();
            assert_eq!(answer.status, 201, "{}", answer.text());
            stored.push((answer.reference("secret_ref"), value));
        }
        Arc::new(Self { aes, hmac, hmac_key, signer, public, stored })
    }
}

impl Fixture {
    /// A stored key.
    pub(crate) fn stored_id(&self) -> &str {
        &self.stored[0].0
    }
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// As it must be.
    Right,
    /// Not what it must be, though the gateway could have known.
    Wrong(String),
    /// Not what it must be, and only who has the key can know.
    Unknowable,
    /// No answer, or a refusal.
    Error(String),
}

/// One request.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) operation: &'static str,
    pub(crate) began: Instant,
    pub(crate) took: Duration,
    pub(crate) outcome: Outcome,
}

/// What came of many.
#[derive(Debug, Default)]
pub(crate) struct Report(pub(crate) Vec<Sample>);

impl Report {
    pub(crate) fn p99(&self) -> Duration {
        let mut times: Vec<Duration> = self.0.iter().map(|sample| sample.took).collect();
        times.sort();
        percentile(&times, 99)
    }

    /// What the clients saw and should not have seen.
    pub(crate) fn errors(&self) -> Vec<String> {
        let seen = self.0.iter().filter_map(|sample| match &sample.outcome {
            Outcome::Error(what) => Some(format!("{}: {what} (after {:?})", sample.operation, sample.took)),
            Outcome::Right | Outcome::Wrong(_) | Outcome::Unknowable => None,
        });
        seen.collect()
    }

    pub(crate) fn wrong(&self) -> Vec<String> {
        let wrong = self.0.iter().filter_map(|sample| match &sample.outcome {
            Outcome::Wrong(what) => Some(format!("{}: {what}", sample.operation)),
            Outcome::Right | Outcome::Error(_) | Outcome::Unknowable => None,
        });
        wrong.collect()
    }

    /// When answers that nobody could know to be wrong were asked for.
    pub(crate) fn unknowable(&self) -> Vec<Instant> {
        let wrong = self.0.iter().filter(|sample| matches!(sample.outcome, Outcome::Unknowable));
        wrong.map(|sample| sample.began).collect()
    }
}

/// One client; it keeps its connection.
pub(crate) struct Client {
    fixture: Arc<Fixture>,
    chance: Chance,
    link: Link,
    samples: Vec<Sample>,
}

enum Link {
    Kmip(Box<Kmip>),
    Rest(Rest),
}

impl Client {
    /// Half of them speak KMIP, half REST.
    pub(crate) async fn crowd(gateway: &Gateway, fixture: &Arc<Fixture>, count: usize, seed: u64) -> Vec<Self> {
        let mut clients = Vec::with_capacity(count);
        for number in 0..count {
            let link = if number.is_multiple_of(2) {
                Link::Kmip(Box::new(Kmip::connect(gateway).await.unwrap()))
            } else {
                Link::Rest(Rest::new(&gateway.rest(), "demo"))
            };
            let chance = Chance(seed.wrapping_mul(1000) + u64::try_from(number).unwrap());
            clients.push(Self { fixture: Arc::clone(fixture), chance, link, samples: Vec::new() });
        }
        clients
    }

    fn note(&mut self, operation: &'static str, began: Instant, outcome: Outcome) {
        self.samples.push(Sample { operation, began, took: began.elapsed(), outcome });
    }

    /// One to three requests that belong together.
    pub(crate) async fn act(&mut self) {
        match self.link {
            Link::Kmip(_) => match self.chance.below(10) {
                0..3 => self.encrypt().await,
                3..5 => self.sign().await,
                5..7 => self.mac().await,
                7..9 => self.get().await,
                _ => self.create().await,
            },
            Link::Rest(_) => match self.chance.below(4) {
                0..3 => self.payload().await,
                _ => self.store().await,
            },
        }
    }

    async fn ask(&mut self, request: Request) -> Result<Response, Failure> {
        match &mut self.link {
            Link::Kmip(kmip) => kmip.ask(request).await,
            Link::Rest(_) => panic!("no client of KMIP"),
        }
    }

    async fn encrypt(&mut self) {
        let length = 1 + self.chance.below(300);
        let (key, plain) = (self.fixture.aes.clone(), self.chance.bytes(length));
        let parameters = CryptographicParameters {
            cryptographic_algorithm: Some(CryptographicAlgorithm::AES),
            block_cipher_mode: Some(BlockCipherMode::GCM),
            tag_length: Some(16),
            iv_length: Some(12),
            random_iv: Some(true),
            ..CryptographicParameters::default()
        };
        let request = EncryptRequest {
            unique_identifier: Some(key.as_str().into()),
            cryptographic_parameters: Some(parameters.clone()),
            data: Some(Data::Bytes(SecretBytes::copy_of(&plain))),
            ..EncryptRequest::default()
        };
        let began = Instant::now();
        let made = match self.ask(Request::Encrypt(Box::new(request))).await {
            Ok(Response::Encrypt(made)) => made,
            other => return self.note("encrypt", began, unexpected(other)),
        };
        let sealed = Instant::now();
        let request = DecryptRequest {
            unique_identifier: Some(key.as_str().into()),
            cryptographic_parameters: Some(parameters),
            data: made.data.as_ref().map(|data| Data::Bytes(SecretBytes::copy_of(data.expose_secret()))),
            iv_counter_nonce: made.iv_counter_nonce.clone(),
            authenticated_encryption_tag: made.authenticated_encryption_tag.clone(),
            ..DecryptRequest::default()
        };
        let answer = self.ask(Request::Decrypt(Box::new(request))).await;
        let (first, second) = match answer {
            Ok(Response::Decrypt(opened)) if opened.data == Some(SecretBytes::copy_of(&plain)) => {
                (Outcome::Right, Outcome::Right)
            }
            // The tag was checked inside the token; what it gave out afterwards only who knows the text can tell.
            Ok(Response::Decrypt(_)) => (Outcome::Right, Outcome::Unknowable),
            // The tag does not fit: it was sealed wrongly.
            Err(Failure::Refused(Some(reason), _))
                if reason == kmip_codec::spec::enums::ResultReason::CRYPTOGRAPHIC_FAILURE =>
            {
                (Outcome::Unknowable, Outcome::Right)
            }
            other => (Outcome::Right, unexpected(other)),
        };
        self.samples.push(Sample { operation: "encrypt", began, took: sealed - began, outcome: first });
        self.note("decrypt", sealed, second);
    }

    async fn sign(&mut self) {
        let (key, data) = (self.fixture.signer.clone(), self.chance.bytes(100));
        let request = SignRequest {
            unique_identifier: Some(key.as_str().into()),
            cryptographic_parameters: Some(CryptographicParameters {
                digital_signature_algorithm: Some(DigitalSignatureAlgorithm::ECDSA_WITH_SHA256),
                hashing_algorithm: Some(HashingAlgorithm::SHA_256),
                ..CryptographicParameters::default()
            }),
            data: Some(Data::Bytes(SecretBytes::copy_of(&data))),
            ..SignRequest::default()
        };
        let began = Instant::now();
        let outcome = match self.ask(Request::Sign(Box::new(request))).await {
            Ok(Response::Sign(signed)) => {
                let public =
                    signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, &self.fixture.public);
                match public.verify(&data, &signed.signature_data.unwrap_or_default()) {
                    Ok(()) => Outcome::Right,
                    Err(_) => Outcome::Wrong("a signature that does not hold".to_owned()),
                }
            }
            other => unexpected(other),
        };
        self.note("sign", began, outcome);
    }

    async fn mac(&mut self) {
        let (key, data) = (self.fixture.hmac.clone(), self.chance.bytes(100));
        let request = MacRequest {
            unique_identifier: Some(key.as_str().into()),
            data: Some(Data::Bytes(SecretBytes::copy_of(&data))),
            ..MacRequest::default()
        };
        let began = Instant::now();
        let outcome = match self.ask(Request::Mac(Box::new(request))).await {
            Ok(Response::Mac(made)) => {
                let expected = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.fixture.hmac_key), &data);
                if made.mac_data.as_deref() == Some(expected.as_ref()) { Outcome::Right } else { Outcome::Unknowable }
            }
            other => unexpected(other),
        };
        self.note("mac", began, outcome);
    }

    async fn get(&mut self) {
        let (id, value) = self.fixture.stored[self.chance.below(self.fixture.stored.len())].clone();
        let began = Instant::now();
        let Link::Kmip(kmip) = &mut self.link else { panic!("no client of KMIP") };
        let outcome = match kmip.get(&id).await.map(material) {
            Ok(got) if got == value => Outcome::Right,
            Ok(_) => Outcome::Wrong("another value".to_owned()),
            Err(failure) => Outcome::Error(format!("{failure:?}")),
        };
        self.note("get", began, outcome);
    }

    async fn create(&mut self) {
        let began = Instant::now();
        let Link::Kmip(kmip) = &mut self.link else { panic!("no client of KMIP") };
        let made = kmip.make(create(aes())).await;
        let id = match made {
            Ok(id) => id,
            Err(failure) => return self.note("create", began, Outcome::Error(format!("{failure:?}"))),
        };
        self.note("create", began, Outcome::Right);
        let began = Instant::now();
        let Link::Kmip(kmip) = &mut self.link else { panic!("no client of KMIP") };
        let outcome = match kmip.get(&id).await.map(material) {
            Ok(got) if got.len() == 32 => Outcome::Right,
            Ok(_) => Outcome::Wrong("another length".to_owned()),
            Err(failure) => Outcome::Error(format!("{failure:?}")),
        };
        self.note("get", began, outcome);
        let began = Instant::now();
        let destroy = DestroyRequest { unique_identifier: Some(id.as_str().into()) };
        let outcome = match self.ask(Request::Destroy(Box::new(destroy))).await {
            Ok(Response::Destroy(_)) => Outcome::Right,
            other => unexpected(other),
        };
        self.note("destroy", began, outcome);
    }

    fn rest(&self) -> Rest {
        match &self.link {
            Link::Rest(rest) => rest.clone(),
            Link::Kmip(_) => panic!("no client of REST"),
        }
    }

    async fn payload(&mut self) {
        let (id, value) = self.fixture.stored[self.chance.below(self.fixture.stored.len())].clone();
        let began = Instant::now();
        let outcome = read(&self.rest(), &id, &value).await;
        self.note("payload", began, outcome);
    }

    async fn store(&mut self) {
        let rest = self.rest();
        let length = 1 + self.chance.below(6000);
        let (kind, value) = match self.chance.below(3) {
            0 => ("symmetric", self.chance.bytes(32)),
            1 => ("passphrase", b"correct horse battery staple".to_vec()),
            _ => ("opaque", self.chance.bytes(length)),
        };
        let began = Instant::now();
        let id = match rest.store(kind, &value).await {
            Ok(answer) if answer.status == 201 => answer.reference("secret_ref"),
            Ok(answer) => {
                return self.note("store", began, Outcome::Error(format!("{}: {}", answer.status, answer.text())));
            }
            Err(error) => return self.note("store", began, Outcome::Error(error.to_string())),
        };
        self.note("store", began, Outcome::Right);
        let began = Instant::now();
        let outcome = read(&rest, &id, &value).await;
        self.note("payload", began, outcome);
        let began = Instant::now();
        let outcome = match rest.delete(&id).await {
            Ok(answer) if answer.status == 204 => Outcome::Right,
            Ok(answer) => Outcome::Error(format!("{}: {}", answer.status, answer.text())),
            Err(error) => Outcome::Error(error.to_string()),
        };
        self.note("delete", began, outcome);
    }
}

async fn read(rest: &Rest, id: &str, value: &[u8]) -> Outcome {
    match rest.payload(id).await {
        Ok(answer) if answer.status == 200 && answer.body == value => Outcome::Right,
        Ok(answer) if answer.status == 200 => Outcome::Wrong("another payload".to_owned()),
        Ok(answer) => Outcome::Error(format!("{}: {}", answer.status, answer.text())),
        Err(error) => Outcome::Error(error.to_string()),
    }
}

fn unexpected(answer: Result<Response, Failure>) -> Outcome {
    match answer {
        Ok(other) => Outcome::Wrong(format!("an answer to {}", other.operation())),
        Err(failure) => Outcome::Error(format!("{failure:?}")),
    }
}

/// When a crowd is to end.
#[derive(Clone)]
pub(crate) enum Until {
    /// After so many requests of all together.
    Requests(usize),
    /// At a time.
    Time(Instant),
}

/// Lets all clients act at the same time.
pub(crate) async fn drive(clients: Vec<Client>, end: Until) -> (Vec<Client>, Report) {
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for mut client in clients {
        let (done, end) = (Arc::clone(&done), end.clone());
        tasks.spawn(async move {
            loop {
                let is_over = match end {
                    Until::Requests(count) => done.load(Ordering::SeqCst) >= count,
                    Until::Time(time) => Instant::now() >= time,
                };
                if is_over {
                    return client;
                }
                let before = client.samples.len();
                client.act().await;
                let errors = client.samples[before..].iter().any(|sample| matches!(sample.outcome, Outcome::Error(_)));
                done.fetch_add(client.samples.len() - before, Ordering::SeqCst);
                if errors {
                    // Who is refused does not hammer.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    let mut clients = Vec::new();
    let mut report = Report::default();
    while let Some(client) = tasks.join_next().await {
        let mut client = client.unwrap();
        report.0.append(&mut client.samples);
        clients.push(client);
    }
    (clients, report)
}
