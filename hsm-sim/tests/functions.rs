//! The functions of 3.0 and 3.2, the dual ones, recovery and saved operations, through the C interface.

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

#[expect(dead_code, reason = "every test program uses its own part")]
#[path = "support/raw.rs"]
mod raw;

use std::ptr;

use cryptoki_sys::*;
use raw::{Raw, attribute, call, mechanism, mechanism_of};

/// Everything about one message of AES-GCM.
struct Gcm {
    iv: [u8; 12],
    tag: [u8; 16],
    fixed_bits: CK_ULONG,
    generator: CK_GENERATOR_FUNCTION,
}

impl Gcm {
    fn new(generator: CK_GENERATOR_FUNCTION) -> Self {
        Self { iv: [7; 12], tag: [0; 16], fixed_bits: 32, generator }
    }

    fn params(&mut self) -> CK_GCM_MESSAGE_PARAMS {
        CK_GCM_MESSAGE_PARAMS {
            pIv: self.iv.as_mut_ptr(),
            ulIvLen: 12,
            ulIvFixedBits: self.fixed_bits,
            ivGenerator: self.generator,
            pTag: self.tag.as_mut_ptr(),
            ulTagBits: 128,
        }
    }
}

fn size<T>() -> CK_ULONG {
    size_of::<T>() as CK_ULONG
}

fn messages(raw: &Raw, key: CK_OBJECT_HANDLE) {
    let mut gcm = Gcm::new(CKG_NO_GENERATE);
    let mut params = gcm.params();
    let mut mechanism = mechanism_of(CKM_AES_GCM, &mut params);
    assert_eq!(call!(raw, C_MessageEncryptInit(raw.session, &raw mut mechanism, key)), CKR_OK);
    assert_eq!(call!(raw, C_MessageDecryptInit(raw.session, &raw mut mechanism, key)), CKR_OK);
}

type Message = unsafe extern "C" fn(
    CK_SESSION_HANDLE,
    CK_VOID_PTR,
    CK_ULONG,
    *mut CK_BYTE,
    CK_ULONG,
    *mut CK_BYTE,
    CK_ULONG,
    *mut CK_BYTE,
    *mut CK_ULONG,
) -> CK_RV;

/// One message in one call.
fn message(raw: &Raw, function: Message, gcm: &mut Gcm, aad: &mut [u8], input: &mut [u8]) -> (CK_RV, Vec<u8>) {
    let (mut params, mut output) = (gcm.params(), vec![0; input.len()]);
    let mut length = output.len() as CK_ULONG;
    // SAFETY: every pointer leads to memory of the length beside it.
    let rv = unsafe {
        function(
            raw.session,
            (&raw mut params).cast(),
            size::<CK_GCM_MESSAGE_PARAMS>(),
            aad.as_mut_ptr(),
            aad.len() as CK_ULONG,
            input.as_mut_ptr(),
            input.len() as CK_ULONG,
            output.as_mut_ptr(),
            &raw mut length,
        )
    };
    (rv, output)
}

#[test]
fn messages_have_ivs_of_their_own_and_tags_apart() {
    let raw = Raw::new();
    messages(&raw, raw.key());
    let (encrypt, decrypt) = (raw.list.C_EncryptMessage.unwrap(), raw.list.C_DecryptMessage.unwrap());
    let mut seen = std::collections::HashSet::new();
    for generator in [CKG_GENERATE, CKG_GENERATE_COUNTER, CKG_GENERATE_COUNTER_XOR, CKG_GENERATE_RANDOM] {
        for _ in 0..20 {
            let mut gcm = Gcm::new(generator);
            let (rv, mut cipher) = message(&raw, encrypt, &mut gcm, &mut [1, 2], &mut [9; 40]);
            assert_eq!(rv, CKR_OK);
            assert_eq!(gcm.iv[..4], [7; 4], "the fixed bits stay");
            assert!(seen.insert(gcm.iv), "{generator}");
            let (rv, plain) = message(&raw, decrypt, &mut gcm, &mut [1, 2], &mut cipher);
            assert_eq!((rv, plain), (CKR_OK, vec![9; 40]));
            gcm.tag[0] ^= 1;
            let (rv, plain) = message(&raw, decrypt, &mut gcm, &mut [1, 2], &mut cipher);
            assert_eq!((rv, plain), (CKR_AEAD_DECRYPT_FAILED, vec![0; 40]), "nothing comes out unverified");
        }
    }
    // A message that failed ends alone: the process goes on, and then ends once.
    assert_eq!(call!(raw, C_MessageEncryptFinal(raw.session)), CKR_OK);
    assert_eq!(call!(raw, C_MessageDecryptFinal(raw.session)), CKR_OK);
    assert_eq!(call!(raw, C_MessageEncryptFinal(raw.session)), CKR_OPERATION_NOT_INITIALIZED);
    let (rv, _) = message(&raw, encrypt, &mut Gcm::new(CKG_GENERATE), &mut [], &mut [0; 4]);
    assert_eq!(rv, CKR_OPERATION_NOT_INITIALIZED);
}

#[test]
fn a_message_in_parts_is_the_message_whole() {
    let raw = Raw::new();
    messages(&raw, raw.key());
    let mut whole = Gcm::new(CKG_NO_GENERATE);
    let encrypt = raw.list.C_EncryptMessage.unwrap();
    let (_, expected) = message(&raw, encrypt, &mut whole, &mut [5], &mut [3; 50]);
    let mut gcm = Gcm::new(CKG_NO_GENERATE);
    let mut params = gcm.params();
    let (parameter, bytes) = ((&raw mut params).cast(), size::<CK_GCM_MESSAGE_PARAMS>());
    assert_eq!(call!(raw, C_EncryptMessageBegin(raw.session, parameter, bytes, [5].as_mut_ptr(), 1)), CKR_OK);
    // In the middle of a message there is no other.
    assert_eq!(
        call!(raw, C_EncryptMessageBegin(raw.session, parameter, bytes, ptr::null_mut(), 0)),
        CKR_OPERATION_ACTIVE
    );
    assert_eq!(call!(raw, C_MessageEncryptFinal(raw.session)), CKR_OPERATION_ACTIVE);
    let mut cipher = Vec::new();
    for (part, flags) in [(20, 0), (20, 0), (10, CKF_END_OF_MESSAGE)] {
        let (mut input, mut output, mut length) = (vec![3; part], vec![0; part], 0);
        let count = part as CK_ULONG;
        // A buffer that is too small leaves the message as it is.
        let next = |output: *mut u8, length: &mut CK_ULONG, input: *mut u8| {
            call!(raw, C_EncryptMessageNext(raw.session, parameter, bytes, input, count, output, length, flags))
        };
        assert_eq!(next(output.as_mut_ptr(), &mut length, input.as_mut_ptr()), CKR_BUFFER_TOO_SMALL);
        assert_eq!(length, count);
        assert_eq!(next(output.as_mut_ptr(), &mut length, input.as_mut_ptr()), CKR_OK);
        cipher.extend(output);
    }
    assert_eq!((cipher, gcm.tag), (expected, whole.tag));
}

#[test]
fn authenticated_wrapping_binds_its_data() {
    let raw = Raw::new();
    let (key, target) = (raw.key(), raw.key());
    let mut gcm = Gcm::new(CKG_GENERATE);
    let mut params = gcm.params();
    let mut with = mechanism_of(CKM_AES_GCM, &mut params);
    let (mut aad, mut wrapped, mut length) = ([1, 2, 3], [0; 32], 31);
    let mut wrap = |length: &mut CK_ULONG| {
        let (aad, wrapped) = (aad.as_mut_ptr(), wrapped.as_mut_ptr());
        call!(raw, C_WrapKeyAuthenticated(raw.session, &raw mut with, key, target, aad, 3, wrapped, length))
    };
    assert_eq!((wrap(&mut length), length), (CKR_BUFFER_TOO_SMALL, 32));
    assert_eq!((wrap(&mut length), length), (CKR_OK, 32));
    let (mut class, mut kind) = (CKO_SECRET_KEY, CKK_AES);
    let mut template = [attribute(CKA_CLASS, &mut class), attribute(CKA_KEY_TYPE, &mut kind)];
    let mut unwrap = |aad: &mut [u8]| {
        let mut made = 0;
        let (wrapped, template, bytes) = (wrapped.as_mut_ptr(), template.as_mut_ptr(), aad.len() as CK_ULONG);
        call!(
            raw,
            C_UnwrapKeyAuthenticated(
                raw.session,
                &raw mut with,
                key,
                wrapped,
                32,
                template,
                2,
                aad.as_mut_ptr(),
                bytes,
                &raw mut made
            )
        )
    };
    assert_eq!(unwrap(&mut [1, 2, 3]), CKR_OK);
    assert_eq!(unwrap(&mut [1, 2]), CKR_WRAPPED_KEY_INVALID);
    // What binds nothing is not for these functions.
    let mut kwp = mechanism(CKM_AES_KEY_WRAP_KWP, &mut []);
    let mut length = 64;
    let mut room = [0; 64];
    let (aad, room) = (aad.as_mut_ptr(), room.as_mut_ptr());
    assert_eq!(
        call!(raw, C_WrapKeyAuthenticated(raw.session, &raw mut kwp, key, target, aad, 3, room, &raw mut length)),
        CKR_MECHANISM_INVALID
    );
}

fn sha256(raw: &Raw) -> CK_RV {
    let mut sha256 = mechanism(CKM_SHA256, &mut []);
    call!(raw, C_DigestInit(raw.session, &raw mut sha256))
}

fn digest(raw: &Raw) -> [u8; 32] {
    let (mut output, mut length) = ([0; 32], 32);
    assert_eq!(call!(raw, C_DigestFinal(raw.session, output.as_mut_ptr(), &raw mut length)), CKR_OK);
    output
}

#[test]
fn dual_calls_do_both_and_only_when_there_is_room() {
    let raw = Raw::new();
    let key = raw.key();
    let (mut part, mut cipher, mut length) = ([4; 32], [0; 32], 0);
    let mut dual = |length: &mut CK_ULONG| {
        let (part, cipher) = (part.as_mut_ptr(), cipher.as_mut_ptr());
        call!(raw, C_DigestEncryptUpdate(raw.session, part, 32, cipher, length))
    };
    assert_eq!(sha256(&raw), CKR_OK);
    assert_eq!(dual(&mut length), CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(sha256(&raw), CKR_OPERATION_ACTIVE, "a call that lacks its other half leaves this one as it was");
    assert_eq!(raw.encrypt_init(CKM_AES_CBC, &mut [0; 16], key), CKR_OK);
    assert_eq!((dual(&mut length), length), (CKR_BUFFER_TOO_SMALL, 32));
    assert_eq!((dual(&mut length), length), (CKR_OK, 32));
    let here = digest(&raw);
    let mut cbc = mechanism(CKM_AES_CBC, &mut [0; 16]);
    assert_eq!(call!(raw, C_DecryptInit(raw.session, &raw mut cbc, key)), CKR_OK);
    assert_eq!(sha256(&raw), CKR_OK);
    let (mut plain, mut length) = ([0; 32], 32);
    let (input, output) = (cipher.as_mut_ptr(), plain.as_mut_ptr());
    assert_eq!(call!(raw, C_DecryptDigestUpdate(raw.session, input, 32, output, &raw mut length)), CKR_OK);
    assert_eq!((plain, digest(&raw)), ([4; 32], here));
}

#[test]
fn a_saved_digest_goes_on_where_it_was() {
    let raw = Raw::new();
    let mut length = 0;
    let get = |state: *mut u8, length: &mut CK_ULONG| call!(raw, C_GetOperationState(raw.session, state, length));
    let set = |state: &mut [u8], key| {
        let bytes = state.len() as CK_ULONG;
        call!(raw, C_SetOperationState(raw.session, state.as_mut_ptr(), bytes, key, 0))
    };
    assert_eq!(get(ptr::null_mut(), &mut length), CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(sha256(&raw), CKR_OK);
    assert_eq!(call!(raw, C_DigestUpdate(raw.session, [1; 70].as_mut_ptr(), 70)), CKR_OK);
    assert_eq!(get(ptr::null_mut(), &mut length), CKR_OK);
    let mut state = vec![0; usize::try_from(length).unwrap()];
    assert_eq!(get(state.as_mut_ptr(), &mut length), CKR_OK);
    assert_eq!(call!(raw, C_DigestUpdate(raw.session, [2; 9].as_mut_ptr(), 9)), CKR_OK);
    let expected = digest(&raw);
    assert_eq!(set(&mut state, 1), CKR_KEY_NOT_NEEDED);
    assert_eq!(set(&mut state, 0), CKR_OK);
    assert_eq!(call!(raw, C_DigestUpdate(raw.session, [2; 9].as_mut_ptr(), 9)), CKR_OK);
    assert_eq!(digest(&raw), expected);
    // Anything but what was given out is refused, whatever was changed.
    for place in [0, 5, 12, 40, state.len() - 1] {
        let mut wrong = state.clone();
        wrong[place] ^= 1;
        assert_eq!(set(&mut wrong, 0), CKR_SAVED_STATE_INVALID);
    }
    let shorter = state.len() - 1;
    assert_eq!(set(&mut state[..shorter], 0), CKR_SAVED_STATE_INVALID);
    assert_eq!(raw.encrypt_init(CKM_AES_ECB, &mut [], raw.key()), CKR_OK);
    assert_eq!(get(ptr::null_mut(), &mut length), CKR_STATE_UNSAVEABLE);
}

#[test]
fn a_key_encapsulation_gives_both_sides_the_same_key() {
    let raw = Raw::new();
    let (mut set, mut yes) = (CKP_ML_KEM_768, CK_TRUE);
    let mut public = [attribute(CKA_PARAMETER_SET, &mut set), attribute(CKA_ENCAPSULATE, &mut yes)];
    let mut private = [attribute(CKA_DECAPSULATE, &mut yes)];
    let (mut generate, mut pair) = (mechanism(CKM_ML_KEM_KEY_PAIR_GEN, &mut []), [0; 2]);
    let [out, inner] = &mut pair;
    let (public, private) = (public.as_mut_ptr(), private.as_mut_ptr());
    assert_eq!(
        call!(raw, C_GenerateKeyPair(raw.session, &raw mut generate, public, 2, private, 1, out, inner)),
        CKR_OK
    );
    let (mut class, mut kind, mut no) = (CKO_SECRET_KEY, CKK_GENERIC_SECRET, CK_FALSE);
    let mut template = [
        attribute(CKA_CLASS, &mut class),
        attribute(CKA_KEY_TYPE, &mut kind),
        attribute(CKA_SENSITIVE, &mut no),
        attribute(CKA_EXTRACTABLE, &mut yes),
    ];
    let (mut kem, mut ciphertext, mut length, mut keys) = (mechanism(CKM_ML_KEM, &mut []), vec![0; 1088], 0, [0; 2]);
    let template = template.as_mut_ptr();
    let mut encapsulate = |length: &mut CK_ULONG, key: *mut CK_OBJECT_HANDLE, from: CK_OBJECT_HANDLE| {
        let room = ciphertext.as_mut_ptr();
        call!(raw, C_EncapsulateKey(raw.session, &raw mut kem, from, template, 4, room, length, key))
    };
    assert_eq!((encapsulate(&mut length, &raw mut keys[0], pair[0]), length), (CKR_BUFFER_TOO_SMALL, 1088));
    assert_eq!(keys[0], 0, "no key without its ciphertext");
    assert_eq!(encapsulate(&mut length, &raw mut keys[0], pair[1]), CKR_KEY_TYPE_INCONSISTENT);
    assert_eq!(encapsulate(&mut length, &raw mut keys[0], pair[0]), CKR_OK);
    let mut decapsulate = |bytes: CK_ULONG, key: *mut CK_OBJECT_HANDLE| {
        let from = ciphertext.as_mut_ptr();
        call!(raw, C_DecapsulateKey(raw.session, &raw mut kem, pair[1], template, 4, from, bytes, key))
    };
    assert_eq!(decapsulate(1087, &raw mut keys[1]), CKR_WRAPPED_KEY_LEN_RANGE);
    assert_eq!(decapsulate(1088, &raw mut keys[1]), CKR_OK);
    let value = |key| {
        let mut value = [0; 32];
        let mut attribute = attribute(CKA_VALUE, &mut value);
        assert_eq!(call!(raw, C_GetAttributeValue(raw.session, key, &raw mut attribute, 1)), CKR_OK);
        value
    };
    assert_eq!(value(keys[0]), value(keys[1]));
}

#[test]
fn a_signature_gives_back_what_was_signed() {
    let raw = Raw::new();
    let (mut bits, mut yes) = (2048_u64, CK_TRUE);
    let mut public = [attribute(CKA_MODULUS_BITS, &mut bits), attribute(CKA_VERIFY_RECOVER, &mut yes)];
    let mut private = [attribute(CKA_SIGN_RECOVER, &mut yes)];
    let (mut generate, mut pair) = (mechanism(CKM_RSA_PKCS_KEY_PAIR_GEN, &mut []), [0; 2]);
    let [out, inner] = &mut pair;
    let (public, private) = (public.as_mut_ptr(), private.as_mut_ptr());
    assert_eq!(
        call!(raw, C_GenerateKeyPair(raw.session, &raw mut generate, public, 2, private, 1, out, inner)),
        CKR_OK
    );
    let mut rsa = mechanism(CKM_RSA_PKCS, &mut []);
    let mut pss = mechanism(CKM_RSA_PKCS_OAEP, &mut [0; 40]);
    assert_ne!(call!(raw, C_SignRecoverInit(raw.session, &raw mut pss, pair[1])), CKR_OK);
    assert_eq!(call!(raw, C_SignRecoverInit(raw.session, &raw mut rsa, pair[0])), CKR_KEY_FUNCTION_NOT_PERMITTED);
    assert_eq!(call!(raw, C_SignRecoverInit(raw.session, &raw mut rsa, pair[1])), CKR_OK);
    let (mut data, mut signature, mut length) = (*b"in the open", [0; 256], 0);
    let mut sign = |length: &mut CK_ULONG| {
        let room = signature.as_mut_ptr();
        call!(raw, C_SignRecover(raw.session, data.as_mut_ptr(), 11, room, length))
    };
    assert_eq!((sign(&mut length), length), (CKR_BUFFER_TOO_SMALL, 256));
    assert_eq!((sign(&mut length), length), (CKR_OK, 256));
    let mut recover = |room: usize| {
        assert_eq!(call!(raw, C_VerifyRecoverInit(raw.session, &raw mut rsa, pair[0])), CKR_OK);
        let (mut output, mut length) = (vec![0; room], room as CK_ULONG);
        let from = signature.as_mut_ptr();
        let rv = call!(raw, C_VerifyRecover(raw.session, from, 256, output.as_mut_ptr(), &raw mut length));
        (rv, length, output)
    };
    let (rv, length, output) = recover(256);
    assert_eq!((rv, length, &output[..11]), (CKR_OK, 11, &b"in the open"[..]));
    signature[9] ^= 1;
    assert_eq!(call!(raw, C_VerifyRecoverInit(raw.session, &raw mut rsa, pair[0])), CKR_OK);
    let (mut output, mut length) = ([0; 256], 256);
    let from = signature.as_mut_ptr();
    let rv = call!(raw, C_VerifyRecover(raw.session, from, 256, output.as_mut_ptr(), &raw mut length));
    assert_eq!(rv, CKR_SIGNATURE_INVALID);
}

#[test]
fn a_signature_that_is_known_is_verified_over_parts() {
    let raw = Raw::new();
    let (mut bits, mut yes) = (2048_u64, CK_TRUE);
    let mut public = [attribute(CKA_MODULUS_BITS, &mut bits), attribute(CKA_VERIFY, &mut yes)];
    let mut private = [attribute(CKA_SIGN, &mut yes)];
    let (mut generate, mut pair) = (mechanism(CKM_RSA_PKCS_KEY_PAIR_GEN, &mut []), [0; 2]);
    let [out, inner] = &mut pair;
    let (public, private) = (public.as_mut_ptr(), private.as_mut_ptr());
    assert_eq!(
        call!(raw, C_GenerateKeyPair(raw.session, &raw mut generate, public, 2, private, 1, out, inner)),
        CKR_OK
    );
    let mut rsa = mechanism(CKM_RSA_PKCS, &mut []);
    let (mut data, mut signature, mut length) = (*b"in two parts", [0; 256], 256);
    let at = signature.as_mut_ptr();
    assert_eq!(call!(raw, C_SignInit(raw.session, &raw mut rsa, pair[1])), CKR_OK);
    assert_eq!(call!(raw, C_Sign(raw.session, data.as_mut_ptr(), 12, at, &raw mut length)), CKR_OK);
    for (bytes, expected) in [(6, CKR_OK), (5, CKR_SIGNATURE_INVALID)] {
        assert_eq!(call!(raw, C_VerifySignatureInit(raw.session, &raw mut rsa, pair[0], at, 256)), CKR_OK);
        let (first, second) = data.split_at_mut(6);
        assert_eq!(call!(raw, C_VerifySignatureUpdate(raw.session, first.as_mut_ptr(), 6)), CKR_OK);
        assert_eq!(call!(raw, C_VerifySignatureUpdate(raw.session, second.as_mut_ptr(), bytes)), CKR_OK);
        assert_eq!(call!(raw, C_VerifySignatureFinal(raw.session)), expected);
    }
    assert_eq!(call!(raw, C_VerifyInit(raw.session, &raw mut rsa, pair[0])), CKR_OK);
    let rv = call!(raw, C_VerifyUpdate(raw.session, data.as_mut_ptr(), 6));
    assert_eq!(rv, CKR_OPERATION_NOT_INITIALIZED, "it is a mechanism for one part");
}

#[test]
fn derived_keys_follow_their_base_key() {
    let raw = Raw::with_config("usage_defaults = \"permissive\"");
    let base = raw.key();
    let mut data = [1; 32];
    let mut string = CK_KEY_DERIVATION_STRING_DATA { pData: data.as_mut_ptr(), ulLen: 32 };
    let mut xor = mechanism_of(CKM_XOR_BASE_AND_DATA, &mut string);
    let mut no = CK_FALSE;
    let mut open = attribute(CKA_SENSITIVE, &mut no);
    let mut key = 0;
    let rv = call!(raw, C_DeriveKey(raw.session, &raw mut xor, base, &raw mut open, 1, &raw mut key));
    assert_eq!(rv, CKR_TEMPLATE_INCONSISTENT, "the base key could be read from such a key");
    assert_eq!(call!(raw, C_DeriveKey(raw.session, &raw mut xor, base, ptr::null_mut(), 0, &raw mut key)), CKR_OK);
    let (mut sensitive, mut kind, mut length) = (CK_FALSE, 0_u64, 0_u64);
    let mut read = [
        attribute(CKA_SENSITIVE, &mut sensitive),
        attribute(CKA_KEY_TYPE, &mut kind),
        attribute(CKA_VALUE_LEN, &mut length),
    ];
    assert_eq!(call!(raw, C_GetAttributeValue(raw.session, key, read.as_mut_ptr(), 3)), CKR_OK);
    assert_eq!((sensitive, kind, length), (CK_TRUE, CKK_GENERIC_SECRET, 32));
    let mut other = mechanism_of(CKM_CONCATENATE_BASE_AND_KEY, &mut key);
    let rv = call!(raw, C_DeriveKey(raw.session, &raw mut other, base, ptr::null_mut(), 0, &raw mut key));
    assert_eq!(rv, CKR_KEY_FUNCTION_NOT_PERMITTED, "the other key may not be derived from");
    let mut gone = CK_ULONG::MAX;
    let mut other = mechanism_of(CKM_CONCATENATE_BASE_AND_KEY, &mut gone);
    let mut made = 0;
    let rv = call!(raw, C_DeriveKey(raw.session, &raw mut other, base, ptr::null_mut(), 0, &raw mut made));
    assert_eq!(rv, CKR_KEY_HANDLE_INVALID);
}

#[test]
fn derivations_that_leak_are_for_those_who_want_them() {
    for (lines, expected) in [("", CKR_MECHANISM_INVALID), ("usage_defaults = \"permissive\"", CKR_OK)] {
        let raw = Raw::with_config(lines);
        let base = raw.key();
        let mut data = [1; 32];
        let mut string = CK_KEY_DERIVATION_STRING_DATA { pData: data.as_mut_ptr(), ulLen: 32 };
        for number in [CKM_XOR_BASE_AND_DATA, CKM_CONCATENATE_BASE_AND_DATA, CKM_CONCATENATE_DATA_AND_BASE] {
            let (mut mix, mut made) = (mechanism_of(number, &mut string), 0);
            let rv = call!(raw, C_DeriveKey(raw.session, &raw mut mix, base, ptr::null_mut(), 0, &raw mut made));
            assert_eq!(rv, expected, "{lines} {number:#x}");
        }
    }
}

#[test]
fn a_ciphers_key_is_derived_from_as_a_whole_and_a_secret_in_parts() {
    let raw = Raw::with_config("usage_defaults = \"permissive\"");
    let (aes, other) = (raw.key(), raw.key());
    let secret = {
        let (mut length, mut yes, mut key) = (32_u64, CK_TRUE, 0);
        let mut template = [attribute(CKA_VALUE_LEN, &mut length), attribute(CKA_DERIVE, &mut yes)];
        let mut generate = mechanism(CKM_GENERIC_SECRET_KEY_GEN, &mut []);
        let rv = call!(raw, C_GenerateKey(raw.session, &raw mut generate, template.as_mut_ptr(), 2, &raw mut key));
        assert_eq!(rv, CKR_OK);
        key
    };
    let mut data = [1; 32];
    let mut short = CK_KEY_DERIVATION_STRING_DATA { pData: data.as_mut_ptr(), ulLen: 20 };
    let mut long = CK_KEY_DERIVATION_STRING_DATA { pData: data.as_mut_ptr(), ulLen: 32 };
    let (mut beside, mut from) = (other, 0_u64);
    let derive = |base, mix: &mut CK_MECHANISM, mut bytes: u64| {
        let (mut made, mut template) = (0, [attribute(CKA_VALUE_LEN, &mut bytes)]);
        call!(raw, C_DeriveKey(raw.session, &raw mut *mix, base, template.as_mut_ptr(), 1, &raw mut made))
    };
    // (mechanism, bytes that hold the whole AES key, bytes that do not)
    let mut rows = [
        (mechanism_of(CKM_CONCATENATE_BASE_AND_DATA, &mut short), Some(52), 51),
        (mechanism_of(CKM_CONCATENATE_DATA_AND_BASE, &mut short), Some(52), 21),
        (mechanism_of(CKM_CONCATENATE_BASE_AND_KEY, &mut beside), Some(64), 63),
        (mechanism_of(CKM_XOR_BASE_AND_DATA, &mut long), Some(32), 31),
        (mechanism_of(CKM_XOR_BASE_AND_DATA, &mut short), None, 20),
        (mechanism_of(CKM_EXTRACT_KEY_FROM_KEY, &mut from), Some(32), 16),
    ];
    for (mix, whole, part) in &mut rows {
        let (name, keeps_other) = (mix.mechanism, mix.mechanism == CKM_CONCATENATE_BASE_AND_KEY);
        assert_eq!(whole.map_or(CKR_OK, |bytes| derive(aes, mix, bytes)), CKR_OK, "{name:#x}");
        assert_eq!(derive(aes, mix, *part), CKR_KEY_TYPE_INCONSISTENT, "{name:#x}");
        // A generic secret may be cut, unless the key beside it is a cipher's.
        let expected = if keeps_other { CKR_KEY_TYPE_INCONSISTENT } else { CKR_OK };
        assert_eq!(derive(secret, mix, *part), expected, "{name:#x}");
    }
}

#[test]
fn a_cancellation_ends_what_it_names() {
    for (lines, of_nothing) in [("", CKR_OPERATION_ACTIVE), ("usage_defaults = \"permissive\"", CKR_OK)] {
        let raw = Raw::with_config(lines);
        let mut sha256 = mechanism(CKM_SHA256, &mut []);
        let mut begin = || call!(raw, C_DigestInit(raw.session, &raw mut sha256));
        assert_eq!((begin(), begin()), (CKR_OK, CKR_OPERATION_ACTIVE));
        assert_eq!(call!(raw, C_SessionCancel(raw.session, CKF_ENCRYPT)), CKR_OK);
        assert_eq!(begin(), CKR_OPERATION_ACTIVE);
        assert_eq!(call!(raw, C_SessionCancel(raw.session, 0)), CKR_OK);
        assert_eq!(begin(), of_nothing, "{lines}");
        assert_eq!(call!(raw, C_SessionCancel(raw.session, CKF_DIGEST)), CKR_OK);
        assert_eq!(begin(), CKR_OK);
    }
}

#[test]
fn diffie_hellman_is_for_callers_of_what_is_old() {
    let strict = Raw::new();
    let mut bits = 1024_u64;
    let mut size = [attribute(CKA_PRIME_BITS, &mut bits)];
    let mut made = 0;
    let mut generate = mechanism(CKM_DH_PKCS_PARAMETER_GEN, &mut []);
    let rv = call!(strict, C_GenerateKey(strict.session, &raw mut generate, size.as_mut_ptr(), 1, &raw mut made));
    assert_eq!(rv, CKR_MECHANISM_INVALID);
    drop(strict);

    let raw = Raw::with_config("legacy = true");
    let rv = call!(raw, C_GenerateKey(raw.session, &raw mut generate, size.as_mut_ptr(), 1, &raw mut made));
    assert_eq!(rv, CKR_OK);
    let read = |object, kind| {
        let mut value = vec![0_u8; 1024];
        let mut wanted = CK_ATTRIBUTE { type_: kind, pValue: value.as_mut_ptr().cast(), ulValueLen: 1024 };
        assert_eq!(call!(raw, C_GetAttributeValue(raw.session, object, &raw mut wanted, 1)), CKR_OK, "{kind:#x}");
        value.truncate(usize::try_from(wanted.ulValueLen).unwrap());
        value
    };
    let (mut prime, mut base) = (read(made, CKA_PRIME), read(made, CKA_BASE));
    assert_eq!((prime.len(), base.as_slice(), read(made, CKA_LOCAL)), (128, &[2][..], vec![CK_TRUE]));
    let mut pair = || {
        let mut group = [(CKA_PRIME, &mut prime), (CKA_BASE, &mut base)].map(|(kind, value)| CK_ATTRIBUTE {
            type_: kind,
            pValue: value.as_mut_ptr().cast(),
            ulValueLen: value.len() as CK_ULONG,
        });
        let mut yes = CK_TRUE;
        let mut usage = attribute(CKA_DERIVE, &mut yes);
        let (mut public, mut private) = (0, 0);
        let mut generate = mechanism(CKM_DH_PKCS_KEY_PAIR_GEN, &mut []);
        let rv = call!(
            raw,
            C_GenerateKeyPair(
                raw.session,
                &raw mut generate,
                group.as_mut_ptr(),
                2,
                &raw mut usage,
                1,
                &raw mut public,
                &raw mut private,
            )
        );
        assert_eq!(rv, CKR_OK);
        (read(public, CKA_VALUE), private)
    };
    let ((mut one_public, one), (mut other_public, other)) = (pair(), pair());
    let derive = |private, public: &mut [u8]| {
        let (mut aes, mut length) = (CKK_AES, 32_u64);
        let mut template = [attribute(CKA_KEY_TYPE, &mut aes), attribute(CKA_VALUE_LEN, &mut length)];
        let mut agree = mechanism(CKM_DH_PKCS_DERIVE, public);
        let mut key = 0;
        let at = template.as_mut_ptr();
        (call!(raw, C_DeriveKey(raw.session, &raw mut agree, private, at, 2, &raw mut key)), key)
    };
    let (ours, theirs) = (derive(one, &mut other_public), derive(other, &mut one_public));
    assert_eq!((ours.0, theirs.0), (CKR_OK, CKR_OK));
    assert_eq!(read(ours.1, CKA_CHECK_VALUE), read(theirs.1, CKA_CHECK_VALUE));
    assert_eq!(derive(one, &mut [1]).0, CKR_PUBLIC_KEY_INVALID);
    assert_eq!(derive(one, &mut [0; 129]).0, CKR_MECHANISM_PARAM_INVALID);
    assert_eq!(derive(ours.1, &mut other_public).0, CKR_KEY_TYPE_INCONSISTENT);
    assert_eq!(read(one, CKA_PUBLIC_KEY_INFO)[..2], [0x30, 0x82]);
}

#[test]
fn the_token_has_profiles_and_mechanisms_of_its_own() {
    let raw = Raw::new();
    let found = |class: CK_OBJECT_CLASS| {
        let mut class = class;
        let mut template = attribute(CKA_CLASS, &mut class);
        assert_eq!(call!(raw, C_FindObjectsInit(raw.session, &raw mut template, 1)), CKR_OK);
        let (mut objects, mut count) = ([0; 512], 0);
        assert_eq!(call!(raw, C_FindObjects(raw.session, objects.as_mut_ptr(), 512, &raw mut count)), CKR_OK);
        assert_eq!(call!(raw, C_FindObjectsFinal(raw.session)), CKR_OK);
        objects[..usize::try_from(count).unwrap()].to_vec()
    };
    let profiles = found(CKO_PROFILE);
    assert_eq!(profiles.len(), 3);
    let mut count = 0;
    assert_eq!(call!(raw, C_GetMechanismList(raw.slot, ptr::null_mut(), &raw mut count)), CKR_OK);
    assert_eq!(found(CKO_MECHANISM).len() as CK_ULONG, count);
    let mut id = 0_u64;
    let mut attribute = attribute(CKA_PROFILE_ID, &mut id);
    assert_eq!(call!(raw, C_GetAttributeValue(raw.session, profiles[0], &raw mut attribute, 1)), CKR_OK);
    assert_eq!(id, CKP_BASELINE_PROVIDER);
    assert_eq!(call!(raw, C_DestroyObject(raw.session, profiles[0])), CKR_ACTION_PROHIBITED);
    // A list of everything is a list of what was put there.
    assert_eq!(call!(raw, C_FindObjectsInit(raw.session, ptr::null_mut(), 0)), CKR_OK);
    let mut first = 0;
    assert_eq!(call!(raw, C_FindObjects(raw.session, &raw mut first, 1, &raw mut count)), CKR_OK);
    assert_eq!(count, 0);
}

#[test]
fn absurd_lengths_and_null_pointers_are_answered() {
    let raw = Raw::with_config("usage_defaults = \"permissive\"");
    let key = raw.key();
    messages(&raw, key);
    let (mut gcm, mut byte, mut length) = (Gcm::new(CKG_NO_GENERATE), [0_u8; 64], 64);
    let mut params = gcm.params();
    let (parameter, size) = ((&raw mut params).cast::<std::ffi::c_void>(), size::<CK_GCM_MESSAGE_PARAMS>());
    let (data, null) = (byte.as_mut_ptr(), ptr::null_mut::<u8>());
    for absurd in [CK_ULONG::MAX, CK_ULONG::MAX >> 1, 1 << 62] {
        let answers = [
            call!(raw, C_EncryptMessage(raw.session, parameter, size, data, absurd, data, 1, data, &raw mut length)),
            call!(raw, C_EncryptMessage(raw.session, parameter, size, data, 1, data, absurd, data, &raw mut length)),
            call!(raw, C_EncryptMessage(raw.session, parameter, absurd, data, 1, data, 1, data, &raw mut length)),
            call!(raw, C_DigestUpdate(raw.session, data, absurd)),
            call!(raw, C_SetOperationState(raw.session, data, absurd, 0, 0)),
            call!(raw, C_GenerateRandom(raw.session, data, absurd)),
        ];
        assert!(answers.iter().all(|rv| *rv != CKR_OK), "{answers:x?}");
        let mut string = CK_KEY_DERIVATION_STRING_DATA { pData: data, ulLen: absurd };
        let mut derive = mechanism_of(CKM_CONCATENATE_BASE_AND_DATA, &mut string);
        let mut made = 0;
        let rv = call!(raw, C_DeriveKey(raw.session, &raw mut derive, key, null.cast(), 0, &raw mut made));
        assert_eq!(rv, CKR_MECHANISM_PARAM_INVALID);
        let mut parts = CK_PRF_DATA_PARAM { type_: CK_SP800_108_BYTE_ARRAY, pValue: data.cast(), ulValueLen: 1 };
        let mut kdf = CK_SP800_108_KDF_PARAMS {
            prfType: CKM_SHA256_HMAC,
            ulNumberOfDataParams: absurd,
            pDataParams: &raw mut parts,
            ulAdditionalDerivedKeys: absurd,
            pAdditionalDerivedKeys: null.cast(),
        };
        let mut derive = mechanism_of(CKM_SP800_108_COUNTER_KDF, &mut kdf);
        let rv = call!(raw, C_DeriveKey(raw.session, &raw mut derive, key, null.cast(), 0, &raw mut made));
        assert_eq!(rv, CKR_MECHANISM_PARAM_INVALID);
    }
    let answers = [
        call!(raw, C_DeriveKey(raw.session, null.cast(), key, null.cast(), 0, &raw mut length)),
        call!(raw, C_EncapsulateKey(raw.session, null.cast(), key, null.cast(), 0, null, &raw mut length, null.cast())),
        call!(raw, C_DecapsulateKey(raw.session, null.cast(), key, null.cast(), 0, null, 0, &raw mut length)),
        call!(raw, C_WrapKeyAuthenticated(raw.session, null.cast(), key, key, null, 0, null, &raw mut length)),
        call!(raw, C_EncryptMessage(raw.session, null.cast(), 0, null, 0, data, 1, data, &raw mut length)),
        call!(raw, C_GetOperationState(raw.session, data, null.cast())),
        call!(raw, C_LoginUser(raw.session, CKU_USER, null, 4, null, 0)),
        call!(raw, C_EncryptMessageBegin(0, parameter, size, null, 0)),
    ];
    assert!(answers.iter().all(|rv| *rv != CKR_OK), "{answers:x?}");
}

#[test]
fn messages_are_signed_one_by_one_under_one_key() {
    let raw = Raw::new();
    let key = raw.key();
    let (mut cmac, null) = (mechanism(CKM_AES_CMAC, &mut []), ptr::null_mut::<std::ffi::c_void>());
    let sign = |data: &mut [u8], room: Option<usize>| {
        let (mut signature, mut length) = (vec![0; room.unwrap_or(0)], room.unwrap_or(0) as CK_ULONG);
        let place = if room.is_some() { signature.as_mut_ptr() } else { ptr::null_mut() };
        let bytes = data.len() as CK_ULONG;
        let rv = call!(raw, C_SignMessage(raw.session, null, 0, data.as_mut_ptr(), bytes, place, &raw mut length));
        (rv, length, signature)
    };
    let verify = |data: &mut [u8], signature: &mut [u8]| {
        let (data, bytes) = (data.as_mut_ptr(), data.len() as CK_ULONG);
        let (signature, length) = (signature.as_mut_ptr(), signature.len() as CK_ULONG);
        call!(raw, C_VerifyMessage(raw.session, null, 0, data, bytes, signature, length))
    };
    let mut texts = [b"one".to_vec(), b"two and more".to_vec(), Vec::new()];
    assert_eq!(sign(&mut texts[0], Some(16)).0, CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(call!(raw, C_MessageSignInit(raw.session, &raw mut cmac, key)), CKR_OK);
    assert_eq!(call!(raw, C_MessageSignInit(raw.session, &raw mut cmac, key)), CKR_OPERATION_ACTIVE);
    assert_eq!(call!(raw, C_MessageVerifyInit(raw.session, &raw mut cmac, key)), CKR_OK);
    for text in &mut texts {
        assert_eq!(sign(text, None).1, 16);
        assert_eq!((sign(text, Some(15)).0, sign(text, Some(15)).1), (CKR_BUFFER_TOO_SMALL, 16));
        let (rv, length, mut signature) = sign(text, Some(20));
        assert_eq!((rv, length), (CKR_OK, 16));
        signature.truncate(16);
        // The same as a signature alone, and as the message in parts.
        let (mut alone, mut length) = (vec![0; 16], 16);
        assert_eq!(call!(raw, C_SignInit(raw.session, &raw mut cmac, key)), CKR_OK);
        let bytes = text.len() as CK_ULONG;
        let rv = call!(raw, C_Sign(raw.session, text.as_mut_ptr(), bytes, alone.as_mut_ptr(), &raw mut length));
        assert_eq!((rv, &alone), (CKR_OK, &signature));
        assert_eq!(call!(raw, C_SignMessageBegin(raw.session, null, 0)), CKR_OK);
        assert_eq!(call!(raw, C_SignMessageBegin(raw.session, null, 0)), CKR_OPERATION_ACTIVE);
        assert_eq!(call!(raw, C_MessageSignFinal(raw.session)), CKR_OPERATION_ACTIVE);
        let middle = text.len() / 2;
        let (first, rest) = text.split_at_mut(middle);
        let (part, bytes) = (first.as_mut_ptr(), first.len() as CK_ULONG);
        let none = ptr::null_mut();
        let rv = call!(raw, C_SignMessageNext(raw.session, null, 0, part, bytes, ptr::null_mut(), none));
        assert_eq!(rv, CKR_OK);
        let (part, bytes, mut parts, mut length) = (rest.as_mut_ptr(), rest.len() as CK_ULONG, vec![0; 16], 0);
        // Asking for the length takes nothing.
        let rv = call!(raw, C_SignMessageNext(raw.session, null, 0, part, bytes, ptr::null_mut(), &raw mut length));
        assert_eq!((rv, length), (CKR_OK, 16));
        let rv = call!(raw, C_SignMessageNext(raw.session, null, 0, part, bytes, parts.as_mut_ptr(), &raw mut length));
        assert_eq!((rv, &parts), (CKR_OK, &signature));
        assert_eq!(verify(text, &mut signature), CKR_OK);
        // A wrong one ends alone.
        signature[3] ^= 1;
        assert_eq!(verify(text, &mut signature), CKR_SIGNATURE_INVALID);
        assert_eq!(verify(text, &mut signature[..15]), CKR_SIGNATURE_LEN_RANGE);
        signature[3] ^= 1;
        assert_eq!(call!(raw, C_VerifyMessageBegin(raw.session, null, 0)), CKR_OK);
        let (first, rest) = text.split_at_mut(middle);
        let (part, bytes) = (first.as_mut_ptr(), first.len() as CK_ULONG);
        assert_eq!(call!(raw, C_VerifyMessageNext(raw.session, null, 0, part, bytes, ptr::null_mut(), 0)), CKR_OK);
        let (part, bytes, last) = (rest.as_mut_ptr(), rest.len() as CK_ULONG, signature.as_mut_ptr());
        assert_eq!(call!(raw, C_VerifyMessageNext(raw.session, null, 0, part, bytes, last, 16)), CKR_OK);
    }
    let mut parameter = 0_u64;
    let place = (&raw mut parameter).cast();
    assert_eq!(call!(raw, C_SignMessageBegin(raw.session, place, 8)), CKR_MECHANISM_PARAM_INVALID);
    assert_eq!(call!(raw, C_MessageSignFinal(raw.session)), CKR_OK);
    assert_eq!(call!(raw, C_MessageSignFinal(raw.session)), CKR_OPERATION_NOT_INITIALIZED);
    assert_eq!(call!(raw, C_MessageVerifyFinal(raw.session)), CKR_OK);
    // A log-out ends what uses private keys.
    assert_eq!(call!(raw, C_MessageSignInit(raw.session, &raw mut cmac, key)), CKR_OK);
    assert_eq!(call!(raw, C_Logout(raw.session)), CKR_OK);
    assert_eq!(sign(&mut texts[0], Some(16)).0, CKR_OPERATION_NOT_INITIALIZED);
    // What has no mechanism for messages says so; what is not offered at all, too.
    let mut name = *b"name";
    let mut id = 0;
    let rv = call!(raw, C_AsyncGetID(raw.session, name.as_mut_ptr(), &raw mut id));
    assert_eq!(rv, CKR_FUNCTION_NOT_SUPPORTED);
}
