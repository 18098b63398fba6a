//! Re-Provision, with somebody who gives certificates in memory; `tests/cli/clients.rs` has it over TLS.

use std::sync::{Arc, Mutex};

use kmip_codec::{
    Tag, UniqueIdentifier,
    message::{RequestHeader, RequestItem, RequestMessage},
    object::{Certificate, CertificateRequest, ManagedObject},
    payload::{GetRequest, ReProvisionRequest, Request, Response},
    spec::enums::{
        BatchErrorContinuationOption, CertificateRequestType, CertificateType, Operation, ResultReason,
        UniqueIdentifierEnumeration,
    },
    version::{SUPPORTED, V1_4, V2_1, V3_0},
};
use portcullis::{
    domain::{Principal, State},
    engine::{
        Error, ErrorKind,
        ports::{MetadataStore, Order, Scope},
        testing::Bench,
    },
    kmip::{Provision, Service, Settings},
};

use crate::support::{Gateway, peer};

const CERTIFICATE: &[u8] = include_bytes!("../vectors/keys/p384.certificate.pem");

fn certificate() -> Vec<u8> {
    portcullis::crypto::Certificate::parse(CERTIFICATE).unwrap().der
}

/// Issues one certificate to everybody, and remembers whom it was enrolled for.
pub(crate) struct Memory {
    full: bool,
    pub(crate) enrolled: Mutex<Vec<(Option<String>, Vec<u8>)>>,
}

impl Provision for Memory {
    fn issue(&self, _: &Principal, spki: &[u8]) -> Result<Vec<u8>, Error> {
        assert!(!spki.is_empty());
        Ok(certificate())
    }

    fn replace(&self, client: &Principal, certificate: &[u8]) -> Result<(), Error> {
        if self.full {
            return Err(Error::new(ErrorKind::InvalidField, "nobody is enrolled any more"));
        }
        self.enrolled.lock().unwrap().push((client.name.clone(), certificate.to_vec()));
        Ok(())
    }
}

/// A gateway of all versions whose clients may trade their certificates; `full`: in vain.
pub(crate) fn provisioned(full: bool) -> (Gateway, Arc<Memory>) {
    let memory = Arc::new(Memory { full, enrolled: Mutex::default() });
    let settings = Settings { versions: SUPPORTED.to_vec(), interop: true, re_provision: true, ..Settings::default() };
    let bench = Bench::default();
    let service = Service::new(Arc::clone(&bench.engine), settings).provisioned_by(Arc::<Memory>::clone(&memory));
    (Gateway { bench, service: Arc::new(service), peer: peer("client", "demo", "member") }, memory)
}

fn asked(request: ReProvisionRequest) -> Request {
    Request::ReProvision(Box::new(request))
}

fn requested(kind: CertificateRequestType) -> Option<CertificateRequest> {
    Some(CertificateRequest { certificate_request_type: kind, certificate_request_value: vec![0x30, 0] })
}

#[tokio::test]
async fn a_pair_its_certificate_and_the_enrolment_come_together() {
    let (gateway, memory) = provisioned(false);
    let by_result = UniqueIdentifier::Enumeration(UniqueIdentifierEnumeration::RE_PROVISION);
    let get = GetRequest { unique_identifier: Some(by_result), ..GetRequest::default() };
    let items = vec![
        RequestItem::new(Operation::RE_PROVISION, asked(ReProvisionRequest::default())),
        RequestItem::new(Operation::GET, Request::Get(Box::new(get))),
    ];
    let answers = gateway.send(&RequestMessage { header: RequestHeader::new(V3_0), items }).await;
    // In 3.0 an identifier that stands for two results is two items: the key and its certificate.
    assert_eq!(answers.len(), 3, "{:?}", answers.iter().map(|it| &it.message).collect::<Vec<_>>());
    let Some(Response::ReProvision(made)) = &answers[0].payload else { panic!("{:?}", answers[0].message) };
    let (Some(Response::Get(key)), Some(Response::Get(own))) = (&answers[1].payload, &answers[2].payload) else {
        panic!("{:?} {:?}", answers[1].message, answers[2].message)
    };
    assert_eq!(made.unique_identifier.as_ref(), Some(&key.unique_identifier));
    assert!(matches!(key.object, ManagedObject::PrivateKey(_)));
    let ManagedObject::Certificate(own) = &own.object else { panic!("the second is the certificate") };
    assert_eq!(own.certificate_value, certificate());
    assert_eq!(*memory.enrolled.lock().unwrap(), [(Some("client".to_owned()), certificate())]);
    let told = gateway.bench.audit.events();
    assert!(told.iter().any(|event| event.operation.name() == "re-provision"));
}

#[tokio::test]
async fn what_does_not_come_about_leaves_nothing_usable() {
    let (gateway, memory) = provisioned(true);
    for request in [
        ReProvisionRequest::default(),
        ReProvisionRequest {
            certificate: Some(Certificate {
                certificate_type: CertificateType::X_509,
                certificate_value: certificate(),
            }),
            ..ReProvisionRequest::default()
        },
    ] {
        let answer = gateway.one(V2_1, Operation::RE_PROVISION, asked(request)).await;
        assert_eq!(answer.reason, Some(ResultReason::INVALID_FIELD), "{:?}", answer.message);
    }
    assert!(memory.enrolled.lock().unwrap().is_empty());
    let now = gateway.bench.engine.ports().clock.now();
    let page = gateway.bench.store.objects(Scope::Everything, Order::OldestFirst, None, 100).await.unwrap();
    let left: Vec<_> = page.records.into_iter().map(|it| it.record).collect();
    assert_eq!(left.len(), 4, "a pair and two certificates");
    assert!(left.iter().all(|object| object.state(now) == State::Destroyed && object.value.is_none()));
    assert_eq!(gateway.bench.hsm.count(), 0);
}

#[tokio::test]
async fn re_provision_is_refused_for_what_it_is_not_for() {
    let (gateway, _) = provisioned(false);
    let whole = |value| Certificate { certificate_type: CertificateType::X_509, certificate_value: value };
    for (request, reason) in [
        (
            ReProvisionRequest {
                certificate_request: requested(CertificateRequestType::PKCS_10),
                certificate: Some(whole(certificate())),
            },
            ResultReason::INVALID_FIELD,
        ),
        (
            ReProvisionRequest { certificate_request: requested(CertificateRequestType::CRMF), certificate: None },
            ResultReason::FEATURE_NOT_SUPPORTED,
        ),
        (
            ReProvisionRequest { certificate_request: requested(CertificateRequestType::PKCS_10), certificate: None },
            ResultReason::CRYPTOGRAPHIC_FAILURE,
        ),
        (
            ReProvisionRequest { certificate: Some(whole(vec![1, 2, 3])), ..ReProvisionRequest::default() },
            ResultReason::INVALID_FIELD,
        ),
    ] {
        let answer = gateway.one(V2_1, Operation::RE_PROVISION, asked(request)).await;
        assert_eq!(answer.reason, Some(reason), "{:?}", answer.message);
    }
    // It cannot be undone.
    let item = || RequestItem::new(Operation::RE_PROVISION, asked(ReProvisionRequest::default()));
    let mut header = RequestHeader::new(V2_1);
    header.batch_error_continuation_option = Some(BatchErrorContinuationOption::UNDO);
    let mut items = vec![item(), item()];
    for (number, item) in items.iter_mut().enumerate() {
        item.id = Some(vec![u8::try_from(number).unwrap()]);
    }
    let answers = gateway.send(&RequestMessage { header, items }).await;
    assert_eq!(answers[0].reason, Some(ResultReason::FEATURE_NOT_SUPPORTED));
    // Not where nobody gives certificates, and not before 2.0.
    let without = Gateway::start();
    let answer = without.one(V2_1, Operation::RE_PROVISION, asked(ReProvisionRequest::default())).await;
    assert_eq!(answer.reason, Some(ResultReason::OPERATION_NOT_SUPPORTED));
    assert!(!SUPPORTED.contains(&V1_4) || !offered(&gateway, V1_4).await);
    assert!(offered(&gateway, V2_1).await);
}

async fn offered(gateway: &Gateway, version: kmip_codec::ProtocolVersion) -> bool {
    let query = kmip_codec::payload::QueryRequest {
        query_functions: vec![kmip_codec::spec::enums::QueryFunction::QUERY_OPERATIONS],
        ..Default::default()
    };
    match gateway.one(version, Operation::QUERY, Request::from(query)).await.payload {
        Some(Response::Query(answer)) => answer.operations.contains(&Operation::RE_PROVISION),
        _ => panic!("no answer for {}", Tag::OPERATION),
    }
}
