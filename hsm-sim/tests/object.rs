//! Objects: templates, attribute rules, searches.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic too")]

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

use cryptoki::{
    error::RvError,
    mechanism::{Mechanism, MechanismType},
    object::{Attribute, AttributeInfo, AttributeType, CertificateType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
};
use support::{Hsm, SO_PIN, aes, pin, refusal};

const P256: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

/// One attribute, which must be readable.
#[track_caller]
fn read(session: &Session, object: ObjectHandle, attribute: AttributeType) -> Attribute {
    let mut attributes = session.get_attributes(object, &[attribute]).unwrap();
    assert_eq!(attributes.len(), 1, "{attribute:?} is readable");
    attributes.remove(0)
}

fn info(session: &Session, object: ObjectHandle, attribute: AttributeType) -> AttributeInfo {
    session.get_attribute_info(object, &[attribute]).unwrap().remove(0)
}

fn secret(value: &[u8], more: &[Attribute]) -> Vec<Attribute> {
    let mut template = vec![
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::Value(value.to_vec()),
    ];
    template.extend_from_slice(more);
    template
}

#[test]
fn a_generated_key_has_the_defaults_of_the_standard_and_no_usage() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let key = aes(&session, &[]);
    for attribute in [
        Attribute::Token(false),
        Attribute::Private(true),
        Attribute::Modifiable(true),
        Attribute::Copyable(true),
        Attribute::Destroyable(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::AlwaysSensitive(true),
        Attribute::NeverExtractable(true),
        Attribute::Local(true),
        Attribute::Encrypt(false),
        Attribute::Decrypt(false),
        Attribute::Sign(false),
        Attribute::Verify(false),
        Attribute::Wrap(false),
        Attribute::Unwrap(false),
        Attribute::Derive(false),
        Attribute::Trusted(false),
        Attribute::WrapWithTrusted(false),
        Attribute::ValueLen(32.into()),
        Attribute::Label(vec![]),
        Attribute::KeyGenMechanism(MechanismType::AES_KEY_GEN),
    ] {
        assert_eq!(read(&session, key, attribute.attribute_type()), attribute);
    }
}

#[test]
fn permissive_usage_defaults_are_what_the_key_can_do() {
    let hsm = Hsm::with_config("usage_defaults = \"permissive\"\n");
    let session = hsm.user();
    let key = aes(&session, &[Attribute::Wrap(false)]);
    assert_eq!(read(&session, key, AttributeType::Encrypt), Attribute::Encrypt(true));
    assert_eq!(read(&session, key, AttributeType::Wrap), Attribute::Wrap(false));
}

#[test]
fn an_imported_key_has_no_clean_history() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let key = session.create_object(&secret(b"value", &[Attribute::Sensitive(true)])).unwrap();
    for attribute in [
        Attribute::Local(false),
        Attribute::AlwaysSensitive(false),
        Attribute::NeverExtractable(false),
        Attribute::ValueLen(5.into()),
    ] {
        assert_eq!(read(&session, key, attribute.attribute_type()), attribute);
    }
    // CK_UNAVAILABLE_INFORMATION, for which the crate has no name.
    assert!(matches!(info(&session, key, AttributeType::KeyGenMechanism), AttributeInfo::Available(8)));
}

#[test]
fn a_value_is_revealed_only_when_neither_sensitive_nor_unextractable() {
    let hsm = Hsm::new();
    let session = hsm.user();
    for (sensitive, extractable, is_shown) in
        [(false, true, true), (true, true, false), (false, false, false), (true, false, false)]
    {
        let more = [Attribute::Sensitive(sensitive), Attribute::Extractable(extractable)];
        let key = session.create_object(&secret(b"value", &more)).unwrap();
        let seen = info(&session, key, AttributeType::Value);
        assert_eq!(matches!(seen, AttributeInfo::Available(5)), is_shown);
        assert_eq!(matches!(seen, AttributeInfo::Sensitive), !is_shown);
        let found = session.find_objects(&[Attribute::Value(b"value".to_vec())]).unwrap();
        assert_eq!(found.contains(&key), is_shown);
    }
}

#[test]
fn secrecy_goes_one_way_and_the_rest_of_the_template_is_not_applied() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let more = [Attribute::Sensitive(false), Attribute::Extractable(true)];
    let key = session.create_object(&secret(b"value", &more)).unwrap();
    session.update_attributes(key, &[Attribute::Sensitive(true), Attribute::Extractable(false)]).unwrap();
    let back = [Attribute::Label(b"new".to_vec()), Attribute::Sensitive(false)];
    assert!(matches!(refusal(session.update_attributes(key, &back)), RvError::AttributeReadOnly));
    assert_eq!(read(&session, key, AttributeType::Label), Attribute::Label(vec![]));
    let back = [Attribute::Extractable(true)];
    assert!(matches!(refusal(session.update_attributes(key, &back)), RvError::AttributeReadOnly));
    assert_eq!(read(&session, key, AttributeType::AlwaysSensitive), Attribute::AlwaysSensitive(false));
}

#[test]
fn templates_are_refused_by_what_is_wrong_with_them() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let create = |template: &[Attribute]| refusal(session.create_object(template));
    let label = Attribute::Label(b"a".to_vec());
    assert!(matches!(
        create(&secret(b"v", &[label, Attribute::Label(b"other".to_vec())])),
        RvError::TemplateInconsistent
    ));
    assert!(matches!(create(&secret(b"v", &[Attribute::Local(true)])), RvError::AttributeReadOnly));
    assert!(matches!(create(&secret(b"v", &[Attribute::UniqueId(vec![1])])), RvError::AttributeTypeInvalid));
    assert!(matches!(create(&secret(b"v", &[Attribute::Modulus(vec![1])])), RvError::TemplateInconsistent));
    assert!(matches!(create(&secret(b"v", &[Attribute::Trusted(true)])), RvError::AttributeReadOnly));
    assert!(matches!(create(&secret(b"", &[])), RvError::AttributeValueInvalid));
    assert!(matches!(create(&secret(b"v", &[])[..2]), RvError::TemplateIncomplete));
    assert!(matches!(create(&[Attribute::Value(vec![1])]), RvError::TemplateIncomplete));
    let short =
        [Attribute::Class(ObjectClass::SECRET_KEY), Attribute::KeyType(KeyType::AES), Attribute::Value(vec![0; 15])];
    assert!(matches!(create(&short), RvError::AttributeValueInvalid));
    let generate = |template: &[Attribute]| refusal(session.generate_key(&Mechanism::AesKeyGen, template));
    assert!(matches!(generate(&[]), RvError::TemplateIncomplete));
    assert!(matches!(generate(&[Attribute::ValueLen(15.into())]), RvError::AttributeValueInvalid));
    let other_type = [Attribute::ValueLen(16.into()), Attribute::KeyType(KeyType::RSA)];
    assert!(matches!(generate(&other_type), RvError::TemplateInconsistent));
}

#[test]
fn only_the_so_makes_a_key_trusted() {
    let hsm = Hsm::new();
    let session = hsm.public();
    session.login(UserType::So, Some(&pin(SO_PIN))).unwrap();
    let key = aes(&session, &[Attribute::Private(false), Attribute::Trusted(true)]);
    assert_eq!(read(&session, key, AttributeType::Trusted), Attribute::Trusted(true));
    let private = [Attribute::ValueLen(32.into()), Attribute::Private(true)];
    assert!(matches!(refusal(session.generate_key(&Mechanism::AesKeyGen, &private)), RvError::UserNotLoggedIn));
}

#[test]
fn read_only_sessions_make_and_destroy_session_objects_only() {
    let hsm = Hsm::new();
    let write = hsm.user();
    let read = hsm.pkcs11.open_ro_session(hsm.slot).unwrap();
    let key = aes(&write, &[Attribute::Token(true)]);
    assert!(matches!(refusal(read.destroy_object(key)), RvError::SessionReadOnly));
    let label = [Attribute::Label(b"a".to_vec())];
    assert!(matches!(refusal(read.update_attributes(key, &label)), RvError::SessionReadOnly));
    let token = [Attribute::ValueLen(32.into()), Attribute::Token(true)];
    assert!(matches!(refusal(read.generate_key(&Mechanism::AesKeyGen, &token)), RvError::SessionReadOnly));
    let own = aes(&read, &[]);
    read.update_attributes(own, &label).unwrap();
    read.destroy_object(own).unwrap();
}

#[test]
fn objects_that_are_fixed_stay_as_they_are() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let fixed =
        aes(&session, &[Attribute::Modifiable(false), Attribute::Copyable(false), Attribute::Destroyable(false)]);
    let label = [Attribute::Label(b"a".to_vec())];
    assert!(matches!(refusal(session.update_attributes(fixed, &label)), RvError::ActionProhibited));
    assert!(matches!(refusal(session.copy_object(fixed, &[])), RvError::ActionProhibited));
    assert!(matches!(refusal(session.destroy_object(fixed)), RvError::ActionProhibited));
}

#[test]
fn a_copy_is_another_object_with_the_same_history() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let key = aes(&session, &[Attribute::Label(b"first".to_vec())]);
    let copy = session.copy_object(key, &[Attribute::Token(true), Attribute::Label(b"second".to_vec())]).unwrap();
    assert_ne!(read(&session, key, AttributeType::UniqueId), read(&session, copy, AttributeType::UniqueId));
    for attribute in [
        Attribute::Token(true),
        Attribute::Label(b"second".to_vec()),
        Attribute::Local(true),
        Attribute::AlwaysSensitive(true),
        Attribute::NeverExtractable(true),
    ] {
        assert_eq!(read(&session, copy, attribute.attribute_type()), attribute);
    }
    let shown = [Attribute::Private(false)];
    assert!(matches!(refusal(session.copy_object(key, &shown)), RvError::TemplateInconsistent));
    assert!(matches!(refusal(session.copy_object(key, &[Attribute::Sensitive(false)])), RvError::AttributeReadOnly));
}

#[test]
fn the_check_value_is_the_standards_and_can_be_left_out() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let template = |more: &[Attribute]| {
        let mut template = vec![
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            // FIPS 197, appendix B; the check value is the start of AES-128 of a zero block under it.
            Attribute::Value(vec![
                0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c,
            ]),
        ];
        template.extend_from_slice(more);
        template
    };
    let key = session.create_object(&template(&[])).unwrap();
    let value = read(&session, key, AttributeType::CheckValue);
    assert_eq!(value, Attribute::CheckValue(vec![0x7d, 0xf7, 0x6b]));
    assert!(matches!(
        refusal(session.create_object(&template(&[Attribute::CheckValue(vec![1, 2, 3])]))),
        RvError::AttributeValueInvalid
    ));
    let silent = session.create_object(&template(&[Attribute::CheckValue(vec![])])).unwrap();
    assert_eq!(read(&session, silent, AttributeType::CheckValue), Attribute::CheckValue(vec![]));
}

#[test]
fn objects_are_found_by_each_attribute_and_by_all_of_them() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let keys: Vec<_> = (0..20_u8)
        .map(|number| {
            let name = [
                Attribute::Token(number % 2 == 0),
                Attribute::Id(vec![number]),
                Attribute::Label(vec![b'a' + number % 4]),
            ];
            aes(&session, &name)
        })
        .collect();
    let find = |template: &[Attribute]| session.find_objects(template).unwrap();
    assert_eq!(find(&[Attribute::Id(vec![7])]), [keys[7]]);
    assert_eq!(find(&[Attribute::Id(vec![7, 7])]), []);
    assert_eq!(find(&[Attribute::Label(b"c".to_vec())]).len(), 5);
    assert_eq!(find(&[Attribute::Label(b"c".to_vec()), Attribute::Token(true)]).len(), 5);
    assert_eq!(find(&[Attribute::Label(b"d".to_vec()), Attribute::Token(true)]), []);
    assert_eq!(find(&[Attribute::Class(ObjectClass::SECRET_KEY)]).len(), 20);
    assert_eq!(find(&[Attribute::KeyType(KeyType::AES)]).len(), 20);
    assert_eq!(find(&[Attribute::KeyType(KeyType::RSA)]), []);
    assert_eq!(find(&[]).len(), 20);
    assert_eq!(find(&[Attribute::Encrypt(false)]).len(), 20);
    let unique = read(&session, keys[4], AttributeType::UniqueId);
    assert_eq!(find(&[unique]), [keys[4]]);
    let unique = read(&session, keys[5], AttributeType::UniqueId);
    assert_eq!(find(&[unique]), [keys[5]]);
    session.destroy_object(keys[4]).unwrap();
    assert_eq!(find(&[Attribute::Id(vec![4])]), []);
    session.update_attributes(keys[6], &[Attribute::Id(vec![60])]).unwrap();
    assert_eq!((find(&[Attribute::Id(vec![6])]), find(&[Attribute::Id(vec![60])])), (vec![], vec![keys[6]]));
}

#[test]
fn handles_of_token_objects_outlive_the_module_and_are_not_used_again() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let first = aes(&session, &[Attribute::Token(true)]);
    let second = aes(&session, &[Attribute::Token(true), Attribute::Label(b"kept".to_vec())]);
    session.destroy_object(first).unwrap();
    drop(session);
    hsm.pkcs11.clone().finalize().unwrap();
    let again = support::load(hsm.folder.path());
    let session = support::login(&again, hsm.slot);
    assert_eq!(session.find_objects(&[]).unwrap(), [second]);
    assert_eq!(read(&session, second, AttributeType::Label), Attribute::Label(b"kept".to_vec()));
    let third = aes(&session, &[Attribute::Token(true)]);
    assert!(third != first && third != second);
}

#[test]
fn data_objects_hold_a_mebibyte_and_no_more() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let data = |bytes: usize| {
        session.create_object(&[
            Attribute::Class(ObjectClass::DATA),
            Attribute::Token(true),
            Attribute::Id(vec![9; 16]),
            Attribute::Application(b"app".to_vec()),
            Attribute::Value(vec![0xd5; bytes]),
        ])
    };
    let largest = data(1 << 20).unwrap();
    assert!(matches!(refusal(data((1 << 20) + 1)), RvError::AttributeValueInvalid));
    assert_eq!(session.find_objects(&[Attribute::Id(vec![9; 16])]).unwrap(), [largest]);
    assert_eq!(read(&session, largest, AttributeType::Value), Attribute::Value(vec![0xd5; 1 << 20]));
    assert_eq!(read(&session, largest, AttributeType::Private), Attribute::Private(true));
    session.update_attributes(largest, &[Attribute::Value(b"new".to_vec())]).unwrap();
    assert_eq!(read(&session, largest, AttributeType::Value), Attribute::Value(b"new".to_vec()));
}

#[test]
fn certificates_are_public_and_need_a_subject_and_a_value() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let template = [
        Attribute::Class(ObjectClass::CERTIFICATE),
        Attribute::CertificateType(CertificateType::X_509),
        Attribute::Token(true),
        Attribute::Subject(vec![0x30, 0]),
        Attribute::Value(vec![0x30, 0]),
    ];
    let certificate = session.create_object(&template).unwrap();
    assert_eq!(read(&session, certificate, AttributeType::Private), Attribute::Private(false));
    for missing in [1, 3, 4] {
        let mut less = template.to_vec();
        less.remove(missing);
        assert!(matches!(refusal(session.create_object(&less)), RvError::TemplateIncomplete), "{missing}");
    }
    session.logout().unwrap();
    assert_eq!(session.find_objects(&[]).unwrap(), [certificate]);
}

#[test]
fn a_public_ec_key_shows_its_point_as_an_octet_string_and_its_spki() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let public = [Attribute::EcParams(P256.to_vec()), Attribute::Verify(true)];
    let (public, private) =
        session.generate_key_pair(&Mechanism::EccKeyPairGen, &public, &[Attribute::Sign(true)]).unwrap();
    let Attribute::EcPoint(point) = read(&session, public, AttributeType::EcPoint) else { panic!("an EC point") };
    assert_eq!((point.len(), &point[..3]), (67, &[4, 65, 4][..]));
    let Attribute::PublicKeyInfo(spki) = read(&session, private, AttributeType::PublicKeyInfo) else {
        panic!("public key info")
    };
    assert!(spki.ends_with(&point[2..]));
    assert_eq!(read(&session, public, AttributeType::PublicKeyInfo), Attribute::PublicKeyInfo(spki));
    assert!(matches!(info(&session, private, AttributeType::Value), AttributeInfo::Sensitive));
    assert!(matches!(info(&session, private, AttributeType::Modulus), AttributeInfo::TypeInvalid));
    assert_eq!(read(&session, private, AttributeType::Local), Attribute::Local(true));
}

#[test]
fn an_imported_pair_must_fit_together() {
    let hsm = Hsm::new();
    let session = hsm.user();
    let private = |params: &[u8], value: &[u8]| {
        session.create_object(&[
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::KeyType(KeyType::EC),
            Attribute::EcParams(params.to_vec()),
            Attribute::Value(value.to_vec()),
            Attribute::Sign(true),
        ])
    };
    private(&P256, &[7; 32]).unwrap();
    assert!(matches!(refusal(private(&P256, &[0; 32])), RvError::AttributeValueInvalid));
    assert!(matches!(refusal(private(&P256, &[0xff; 32])), RvError::AttributeValueInvalid));
    assert!(matches!(refusal(private(&[6, 1, 1], &[7; 32])), RvError::CurveNotSupported));
    let ed25519 = [6, 3, 0x2b, 0x65, 0x70];
    assert!(matches!(refusal(private(&ed25519, &[7; 32])), RvError::AttributeValueInvalid));
    let off_curve = session.create_object(&[
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(KeyType::EC),
        Attribute::EcParams(P256.to_vec()),
        Attribute::EcPoint([&[4, 65, 4][..], &[1; 64]].concat()),
    ]);
    assert!(matches!(refusal(off_curve), RvError::AttributeValueInvalid | RvError::PublicKeyInvalid));
}
