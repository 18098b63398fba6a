//! Operations in parts: what comes out is what one request would have given (KMIP contract §6, Streaming).

use kmip_codec::{
    Tag, UniqueIdentifier,
    attribute::{AttributeValue, Attributes, CryptographicParameters},
    codec::DateTime,
    payload::{Data, DecryptRequest, EncryptRequest, HashRequest, Request, Response},
    spec::enums::{BlockCipherMode, HashingAlgorithm, Operation, PaddingMethod, ResultReason},
    version::{V1_3, V1_4, V2_1},
};

use crate::support::{Gateway, peer, reason};

const PLAIN: &[u8] = b"a text that is longer than three blocks of sixteen bytes, but no whole number of them";

async fn key(gateway: &Gateway) -> UniqueIdentifier {
    let active = Attributes::default().with(Tag::ACTIVATION_DATE, AttributeValue::DateTime(DateTime(1)));
    gateway.aes(V2_1, "", active).await
}

fn mode(mode: BlockCipherMode, padding: PaddingMethod) -> Option<CryptographicParameters> {
    Some(CryptographicParameters {
        block_cipher_mode: Some(mode),
        padding_method: Some(padding),
        ..CryptographicParameters::default()
    })
}

async fn encrypt(gateway: &Gateway, request: EncryptRequest) -> Result<(Vec<u8>, Option<Vec<u8>>), ResultReason> {
    let answer = gateway.one(V2_1, Operation::ENCRYPT, Request::Encrypt(Box::new(request))).await;
    match answer.payload {
        Some(Response::Encrypt(it)) => {
            Ok((it.data.map(|data| data.expose_secret().to_vec()).unwrap_or_default(), it.correlation_value))
        }
        _ => Err(reason(&answer)),
    }
}

async fn decrypt(gateway: &Gateway, request: DecryptRequest) -> Result<(Vec<u8>, Option<Vec<u8>>), ResultReason> {
    let answer = gateway.one(V2_1, Operation::DECRYPT, Request::Decrypt(Box::new(request))).await;
    match answer.payload {
        Some(Response::Decrypt(it)) => {
            Ok((it.data.map(|data| data.expose_secret().to_vec()).unwrap_or_default(), it.correlation_value))
        }
        _ => Err(reason(&answer)),
    }
}

#[tokio::test]
async fn parts_of_any_length_make_the_same_text() {
    let gateway = Gateway::start();
    let key = key(&gateway).await;
    let iv = vec![7; 16];
    for length in [1, 15, 16, 17, 40, 200] {
        let whole = encrypt(
            &gateway,
            EncryptRequest {
                unique_identifier: Some(key.clone()),
                cryptographic_parameters: mode(BlockCipherMode::CBC, PaddingMethod::PKCS5),
                data: Some(Data::from(PLAIN.to_vec())),
                iv_counter_nonce: Some(iv.clone()),
                ..EncryptRequest::default()
            },
        );
        let whole = whole.await.unwrap().0;
        let (mut out, mut value) = (Vec::new(), None);
        for (at, part) in PLAIN.chunks(length).enumerate() {
            let first = at == 0;
            let request = EncryptRequest {
                unique_identifier: Some(key.clone()),
                cryptographic_parameters: mode(BlockCipherMode::CBC, PaddingMethod::PKCS5).filter(|_| first),
                data: Some(Data::from(part.to_vec())),
                iv_counter_nonce: Some(iv.clone()).filter(|_| first),
                correlation_value: value.take(),
                init_indicator: Some(first),
                ..EncryptRequest::default()
            };
            let (data, next) = encrypt(&gateway, request).await.unwrap();
            out.extend(data);
            value = next;
        }
        let last =
            EncryptRequest { correlation_value: value, final_indicator: Some(true), ..EncryptRequest::default() };
        let (data, none) =
            encrypt(&gateway, EncryptRequest { unique_identifier: Some(key.clone()), ..last }).await.unwrap();
        out.extend(data);
        assert_eq!((out, none), (whole.clone(), None), "encrypted in parts of {length}");

        let (mut plain, mut value) = (Vec::new(), None);
        let parts: Vec<&[u8]> = whole.chunks(length).collect();
        for (at, part) in parts.iter().enumerate() {
            let (first, last) = (at == 0, at + 1 == parts.len());
            if first && last {
                continue;
            }
            let request = DecryptRequest {
                unique_identifier: Some(key.clone()),
                cryptographic_parameters: mode(BlockCipherMode::CBC, PaddingMethod::PKCS5).filter(|_| first),
                data: Some(Data::from(part.to_vec())),
                iv_counter_nonce: Some(iv.clone()).filter(|_| first),
                correlation_value: value.take(),
                init_indicator: Some(first),
                final_indicator: Some(last),
                ..DecryptRequest::default()
            };
            let (data, next) = decrypt(&gateway, request).await.unwrap();
            plain.extend(data);
            value = next;
        }
        if parts.len() > 1 {
            assert_eq!(plain, PLAIN, "decrypted in parts of {length}");
        }
    }
}

#[tokio::test]
async fn a_hash_in_parts_is_the_hash() {
    let gateway = Gateway::start();
    let parameters = CryptographicParameters {
        hashing_algorithm: Some(HashingAlgorithm::SHA_256),
        ..CryptographicParameters::default()
    };
    let request = |data: &[u8], value: Option<Vec<u8>>, init, last| {
        Request::Hash(Box::new(HashRequest {
            cryptographic_parameters: parameters.clone(),
            data: Some(Data::from(data.to_vec())),
            correlation_value: value,
            init_indicator: init,
            final_indicator: last,
        }))
    };
    for version in [V1_3, V1_4, V2_1] {
        let first = gateway.one(version, Operation::HASH, request(b"ab", None, Some(true), None)).await;
        let Some(Response::Hash(first)) = first.payload else { panic!("{:?}", first.reason) };
        assert!(first.data.is_none());
        let last = request(b"c", first.correlation_value.clone(), None, Some(true));
        let last = gateway.one(version, Operation::HASH, last).await;
        let Some(Response::Hash(last)) = last.payload else { panic!("{:?}", last.reason) };
        let digest = last.data.unwrap();
        assert!(digest.expose_secret().starts_with(&[0xba, 0x78, 0x16, 0xbf]) && last.correlation_value.is_none());
        let again = request(b"c", first.correlation_value, None, Some(true));
        let again = gateway.one(version, Operation::HASH, again).await;
        let expected =
            if version == V2_1 { ResultReason::INVALID_CORRELATION_VALUE } else { ResultReason::INVALID_FIELD };
        assert_eq!(reason(&again), expected, "a stream that has ended");
    }
}

#[tokio::test]
async fn a_stream_is_nobody_elses_and_ends_with_its_first_failure() {
    let mut gateway = Gateway::start();
    let key = key(&gateway).await;
    let begin = |mode: Option<CryptographicParameters>| EncryptRequest {
        unique_identifier: Some(key.clone()),
        cryptographic_parameters: mode,
        data: Some(Data::from(vec![1; 8])),
        iv_counter_nonce: Some(vec![0; 16]),
        init_indicator: Some(true),
        ..EncryptRequest::default()
    };
    let next = |value: Option<Vec<u8>>| EncryptRequest {
        correlation_value: value,
        final_indicator: Some(true),
        ..EncryptRequest::default()
    };
    let bare = || mode(BlockCipherMode::CBC, PaddingMethod::NONE);
    let (out, value) = encrypt(&gateway, begin(bare())).await.unwrap();
    assert!(out.is_empty(), "half a block says nothing yet");
    let owner = std::mem::replace(&mut gateway.peer, peer("other", "demo", "member"));
    assert_eq!(encrypt(&gateway, next(value)).await, Err(ResultReason::INVALID_CORRELATION_VALUE));
    gateway.peer = owner;
    let value = encrypt(&gateway, begin(bare())).await.unwrap().1;
    assert_eq!(encrypt(&gateway, next(value.clone())).await, Err(ResultReason::CRYPTOGRAPHIC_FAILURE), "half a block");
    assert_eq!(encrypt(&gateway, next(value)).await, Err(ResultReason::INVALID_CORRELATION_VALUE));
}

#[tokio::test]
async fn authenticated_data_is_given_out_only_after_its_tag() {
    let gateway = Gateway::start();
    let key = key(&gateway).await;
    let gcm = mode(BlockCipherMode::GCM, PaddingMethod::NONE);
    let part = DecryptRequest {
        unique_identifier: Some(key.clone()),
        cryptographic_parameters: gcm,
        data: Some(Data::from(vec![1; 64])),
        iv_counter_nonce: Some(vec![1; 12]),
        init_indicator: Some(true),
        ..DecryptRequest::default()
    };
    let (data, value) = decrypt(&gateway, part).await.unwrap();
    assert!(data.is_empty());
    let last = DecryptRequest { correlation_value: value, final_indicator: Some(true), ..DecryptRequest::default() };
    assert_eq!(decrypt(&gateway, last).await, Err(ResultReason::CRYPTOGRAPHIC_FAILURE), "without its tag");
}
