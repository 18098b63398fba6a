//! Known answers for what the Wycheproof vectors leave out: the modes of SP 800-38A, triple DES, digests, counter widths,
//! short tags, Ed25519's forms and implicit rejection; and the errors of wrong lengths and parameters.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a helper of a test may panic too")]

use cryptoki_sys::*;
use hsm_sim::crypto::{self, CipherOperation, CryptoError, Curve, Hash, Key, Params};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| byte.is_ascii_hexdigit()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn secret(text: &str) -> Key {
    Key::from_secret(hex(text).into())
}

type Open = fn(CK_MECHANISM_TYPE, &Params, &Key) -> crypto::Result<Box<dyn CipherOperation>>;

/// Runs a cipher whole, and in parts of every size up to a few blocks; all must agree.
fn run(open: Open, mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key, input: &[u8]) -> crypto::Result<Vec<u8>> {
    let mut operation = open(mechanism, params, key)?;
    let mut whole = vec![0; operation.output_bound(input.len())];
    let answer = operation.process(input, &mut whole).map(|written| whole[..written].to_vec());
    for size in [1, 3, 7, 8, 15, 16, 17, 33, 64] {
        let parts = || {
            let mut operation = open(mechanism, params, key)?;
            let mut output = Vec::new();
            for part in input.chunks(size) {
                let mut piece = vec![0; operation.update_bound(part.len())];
                assert_eq!(operation.update(part, &mut piece)?, piece.len());
                output.extend_from_slice(&piece);
            }
            let mut piece = vec![0; operation.finish_bound()];
            let written = operation.finish(&mut piece)?;
            output.extend_from_slice(&piece[..written]);
            Ok(output)
        };
        assert_eq!(parts(), answer, "parts of {size}");
    }
    answer
}

fn both_ways(mechanism: CK_MECHANISM_TYPE, params: &Params, key: &Key, plain: &[u8], cipher: &[u8]) {
    assert_eq!(run(crypto::encryptor, mechanism, params, key, plain).unwrap(), cipher);
    assert_eq!(run(crypto::decryptor, mechanism, params, key, cipher).unwrap(), plain);
}

/// The plaintext of SP 800-38A appendix F.
const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172a ae2d8a571e03ac9c9eb76fac45af8e51
                     30c81c46a35ce411e5fbc1191a0a52ef f69f2445df4f9b17ad2b417be66c3710";
const KEYS: [&str; 3] = [
    "2b7e151628aed2a6abf7158809cf4f3c",
    "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
];

#[test]
fn the_modes_of_sp_800_38a() {
    let iv = Params::Iv(hex("000102030405060708090a0b0c0d0e0f"));
    let block = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").try_into().unwrap();
    let counter = Params::Ctr { counter_bits: 128, block };
    // Of each ciphertext the first block (F.1 to F.5), and the last, which depends on all before.
    let vectors = [
        (
            CKM_AES_ECB,
            &Params::None,
            [
                ("3ad77bb40d7a3660a89ecaf32466ef97", "7b0c785e27e8ad3f8223207104725dd4"),
                ("bd334f1d6e45f25ff712a214571fa5cc", "9a4b41ba738d6c72fb16691603c18e0e"),
                ("f3eed1bdb5d2a03c064b5a7e3db181f8", "23304b7a39f9f3ff067d8d8f9e24ecc7"),
            ],
        ),
        (
            CKM_AES_CBC,
            &iv,
            [
                ("7649abac8119b246cee98e9b12e9197d", "3ff1caa1681fac09120eca307586e1a7"),
                ("4f021db243bc633d7178183a9fa071e8", "08b0e27988598881d920a9e64f5615cd"),
                ("f58c4c04d6e5f1ba779eabfb5f7bfbd6", "b2eb05e2c39be9fcda6c19078c6a9d1b"),
            ],
        ),
        (
            CKM_AES_CFB128,
            &iv,
            [
                ("3b3fd92eb72dad20333449f8e83cfb4a", "c04b05357c5d1c0eeac4c66f9ff7f2e6"),
                ("cdc80d6fddf18cab34c25909c99a4174", "c05f9f9ca9834fa042ae8fba584b09ff"),
                ("dc7e84bfda79164b7ecd8486985d3860", "75a385741ab9cef82031623d55b1e471"),
            ],
        ),
        (
            CKM_AES_OFB,
            &iv,
            [
                ("3b3fd92eb72dad20333449f8e83cfb4a", "304c6528f659c77866a510d9c1d6ae5e"),
                ("cdc80d6fddf18cab34c25909c99a4174", "6d9f200857ca6c3e9cac524bd9acc92a"),
                ("dc7e84bfda79164b7ecd8486985d3860", "0126141d67f37be8538f5a8be740e484"),
            ],
        ),
        (
            CKM_AES_CTR,
            &counter,
            [
                ("874d6191b620e3261bef6864990db6ce", "1e031dda2fbe03d1792170a0f3009cee"),
                ("1abc932417521ca24f2b0459fe7e6e0b", "4f78a7f6d29809585a97daec58c6b050"),
                ("601ec313775789a5b7a7f504bbf3d228", "dfc9c58db67aada613c2dd08457941a6"),
            ],
        ),
    ];
    let plain = hex(PLAIN);
    for (mechanism, params, expected) in vectors {
        for (key, (first, last)) in KEYS.iter().zip(expected) {
            let key = secret(key);
            let cipher = run(crypto::encryptor, mechanism, params, &key, &plain).unwrap();
            assert_eq!(cipher[..16], hex(first), "{mechanism:#x}");
            assert_eq!(cipher[48..], hex(last), "{mechanism:#x}");
            assert_eq!(run(crypto::decryptor, mechanism, params, &key, &cipher).unwrap(), plain);
        }
    }
}

#[test]
fn triple_des() {
    // SP 800-67 appendix B.1.
    let key = secret("0123456789abcdef23456789abcdef01456789abcdef0123");
    both_ways(
        CKM_DES3_ECB,
        &Params::None,
        &key,
        b"The qufck brown fox jump",
        &hex("a826fd8ce53b855fcce21c8112256fe668d5c05dd9b6b900"),
    );
    let iv = Params::Iv(hex("f69f2445df4f9b17"));
    let plain = hex(PLAIN);
    let cipher = hex("2079c3d53aa763e193b79e2569ab5262516570481f25b50f73c0bda85c8e0da7");
    both_ways(CKM_DES3_CBC, &iv, &key, &plain[..32], &cipher);
    let two = secret("0123456789abcdef23456789abcdef01");
    let cipher = hex("06ede3d82884090aff322c19f0518486730576972a666e58b6c88cf107340d3d");
    both_ways(CKM_DES3_ECB, &Params::None, &two, &plain[..32], &cipher);
    for length in 0..25 {
        let padded = run(crypto::encryptor, CKM_DES3_CBC_PAD, &iv, &key, &plain[..length]).unwrap();
        assert_eq!(padded.len(), (length / 8 + 1) * 8);
        assert_eq!(run(crypto::decryptor, CKM_DES3_CBC_PAD, &iv, &key, &padded).unwrap(), plain[..length]);
    }
    assert_eq!(
        run(crypto::encryptor, CKM_DES3_ECB, &Params::None, &secret("0123456789abcdef"), &plain).unwrap_err(),
        CryptoError::KeySizeRange
    );
}

#[test]
fn des_keys_have_parity_and_differ() {
    for bytes in [16, 24] {
        let key = crypto::generate_des(bytes).unwrap();
        assert_eq!(key.len(), bytes);
        assert!(crypto::has_odd_parity(&key));
        assert_ne!(key[..8], key[8..16]);
        let mut changed = key.to_vec();
        changed[3] ^= 4;
        assert!(!crypto::has_odd_parity(&changed));
        crypto::set_odd_parity(&mut changed);
        assert!(crypto::has_odd_parity(&changed));
    }
    assert_eq!(crypto::generate_des(8).unwrap_err(), CryptoError::KeySizeRange);
}

#[test]
fn a_narrow_counter_wraps_within_its_width_and_then_ends() {
    let key = secret(KEYS[0]);
    let block = hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfefe").try_into().unwrap();
    let params = Params::Ctr { counter_bits: 8, block };
    // Key stream made block by block with ECB: …fe, …ff, …00, …01.
    let stream = hex("688412675f6fc11e39c4ed0a2aa11d08ec8cdf7398607cb0f2d21675ea9ea1e4
         4d08ef66db6c78047ad0639a1dd025f715f4450dd16d0c417848bb5a8dab239b");
    both_ways(CKM_AES_CTR, &params, &key, &[0; 64], &stream);
    both_ways(CKM_AES_CTR, &params, &key, &[0; 61], &stream[..61]);
    let params = Params::Ctr { counter_bits: 4, block: [0xff; 16] };
    let stream =
        hex("8af2860142f786f409307c1a3f7eaaac6ba1c90323e0963e0e5888a35134007f19eced3b441c762740ffac7129c5ec89");
    both_ways(CKM_AES_CTR, &params, &key, &[0; 48], &stream);
    let params = Params::Ctr { counter_bits: 128, block: [0xff; 16] };
    let stream = hex("8af2860142f786f409307c1a3f7eaaac7df76b0c1ab899b33e42f047b91b546f");
    both_ways(CKM_AES_CTR, &params, &key, &[0; 32], &stream);

    let params = Params::Ctr { counter_bits: 4, block: [7; 16] };
    run(crypto::encryptor, CKM_AES_CTR, &params, &key, &[0; 256]).unwrap();
    let error = run(crypto::encryptor, CKM_AES_CTR, &params, &key, &[0; 257]).unwrap_err();
    assert_eq!(error, CryptoError::DataLenRange);
    let error = run(crypto::decryptor, CKM_AES_CTR, &params, &key, &[0; 257]).unwrap_err();
    assert_eq!(error, CryptoError::EncryptedDataLenRange);
    for counter_bits in [0, 129] {
        let params = Params::Ctr { counter_bits, block: [7; 16] };
        assert_eq!(
            run(crypto::encryptor, CKM_AES_CTR, &params, &key, &[]).unwrap_err(),
            CryptoError::MechanismParamInvalid
        );
    }
}

#[test]
fn cbc_padding_is_exact_and_every_bad_one_is_the_same_error() {
    let key = secret(KEYS[2]);
    let iv = Params::Iv(vec![9; 16]);
    for length in 0..50 {
        let plain = vec![3; length];
        let padded = run(crypto::encryptor, CKM_AES_CBC_PAD, &iv, &key, &plain).unwrap();
        assert_eq!(padded.len(), (length / 16 + 1) * 16);
        assert_eq!(run(crypto::decryptor, CKM_AES_CBC_PAD, &iv, &key, &padded).unwrap(), plain);
    }
    let mut bad: Vec<Vec<u8>> = vec![vec![0; 16], vec![17; 16], vec![255; 16]];
    for fill in 2..=16_u8 {
        for wrong in 1..fill {
            let mut block = vec![fill; 16];
            block[15 - usize::from(wrong)] ^= 1;
            bad.push(block);
        }
    }
    for block in bad {
        let cipher = run(crypto::encryptor, CKM_AES_CBC, &iv, &key, &block).unwrap();
        let error = run(crypto::decryptor, CKM_AES_CBC_PAD, &iv, &key, &cipher).unwrap_err();
        assert_eq!(error, CryptoError::EncryptedDataInvalid, "{block:?}");
        let error = crypto::unwrap(CKM_AES_CBC_PAD, &iv, &key, &cipher).unwrap_err();
        assert_eq!(error, CryptoError::WrappedKeyInvalid);
    }
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    let (key, iv) = (secret(KEYS[0]), Params::Iv(vec![0; 16]));
    let encrypt = |mechanism, params, length| {
        run(crypto::encryptor, mechanism, params, &key, &vec![0; length]).map(|output| output.len())
    };
    let decrypt = |mechanism, params, length| {
        run(crypto::decryptor, mechanism, params, &key, &vec![0; length]).map(|output| output.len())
    };
    for (mechanism, params) in [(CKM_AES_ECB, &Params::None), (CKM_AES_CBC, &iv)] {
        assert_eq!(encrypt(mechanism, params, 0), Ok(0));
        assert_eq!(encrypt(mechanism, params, 17), Err(CryptoError::DataLenRange));
        assert_eq!(decrypt(mechanism, params, 17), Err(CryptoError::EncryptedDataLenRange));
    }
    for length in [0, 1, 15, 17] {
        assert_eq!(decrypt(CKM_AES_CBC_PAD, &iv, length), Err(CryptoError::EncryptedDataLenRange));
    }
    let gcm = Params::Gcm { iv: vec![0; 12], aad: Vec::new(), tag_bits: 128 };
    assert_eq!(decrypt(CKM_AES_GCM, &gcm, 15), Err(CryptoError::EncryptedDataLenRange));
    for length in [0, 8, 15, 17, 23, 25] {
        let unwrapped = crypto::unwrap(CKM_AES_KEY_WRAP, &Params::None, &key, &vec![0; length]);
        assert_eq!(unwrapped.unwrap_err(), CryptoError::WrappedKeyLenRange);
    }
    for length in [0, 8, 17] {
        let wrapped = crypto::wrap(CKM_AES_KEY_WRAP, &Params::None, &key, &vec![0; length]);
        assert_eq!(wrapped.unwrap_err(), CryptoError::KeyNotWrappable);
    }
    let wrapped = crypto::wrap(CKM_AES_KEY_WRAP_KWP, &Params::None, &key, &[]);
    assert_eq!(wrapped.unwrap_err(), CryptoError::KeyNotWrappable);
}

#[test]
fn parameters_that_do_not_belong_are_refused() {
    let key = secret(KEYS[0]);
    let refused: Vec<(CK_MECHANISM_TYPE, Params)> = vec![
        (CKM_AES_ECB, Params::Iv(vec![0; 16])),
        (CKM_AES_CBC, Params::None),
        (CKM_AES_CBC, Params::Iv(vec![0; 15])),
        (CKM_AES_CBC_PAD, Params::Iv(vec![0; 17])),
        (CKM_AES_OFB, Params::Iv(Vec::new())),
        (CKM_AES_CFB128, Params::None),
        (CKM_AES_CTR, Params::Iv(vec![0; 16])),
        (CKM_AES_GCM, Params::Iv(vec![0; 12])),
        (CKM_AES_GCM, Params::Gcm { iv: Vec::new(), aad: Vec::new(), tag_bits: 128 }),
        (CKM_AES_GCM, Params::Gcm { iv: vec![0; 257], aad: Vec::new(), tag_bits: 128 }),
        (CKM_AES_GCM, Params::Gcm { iv: vec![0; 12], aad: Vec::new(), tag_bits: 0 }),
        (CKM_AES_GCM, Params::Gcm { iv: vec![0; 12], aad: Vec::new(), tag_bits: 72 }),
        (CKM_AES_GCM, Params::Gcm { iv: vec![0; 12], aad: Vec::new(), tag_bits: 136 }),
    ];
    for (mechanism, params) in refused {
        for open in [crypto::encryptor, crypto::decryptor] {
            let error = open(mechanism, &params, &key).err();
            assert_eq!(error, Some(CryptoError::MechanismParamInvalid), "{mechanism:#x} {params:?}");
        }
    }
    for params in [Params::MacLength(0), Params::MacLength(17), Params::Iv(Vec::new())] {
        let error = crypto::signer(CKM_AES_CMAC_GENERAL, &params, &key).err();
        assert_eq!(error, Some(CryptoError::MechanismParamInvalid));
    }
    let error = crypto::wrap(CKM_AES_KEY_WRAP_KWP, &Params::Iv(vec![1; 4]), &key, &[1]).unwrap_err();
    assert_eq!(error, CryptoError::MechanismParamInvalid);
    let kwp = Params::Iv(vec![0xa6, 0x59, 0x59, 0xa6]);
    assert_eq!(
        crypto::wrap(CKM_AES_KEY_WRAP_KWP, &kwp, &key, &[1]),
        crypto::wrap(CKM_AES_KEY_WRAP_KWP, &Params::None, &key, &[1])
    );
    let own = Params::Iv(vec![1; 8]);
    let wrapped = crypto::wrap(CKM_AES_KEY_WRAP, &own, &key, &[5; 16]).unwrap();
    assert_eq!(*crypto::unwrap(CKM_AES_KEY_WRAP, &own, &key, &wrapped).unwrap(), [5; 16]);
    let error = crypto::unwrap(CKM_AES_KEY_WRAP, &Params::None, &key, &wrapped).unwrap_err();
    assert_eq!(error, CryptoError::WrappedKeyInvalid);
}

/// The last block of CBC in SP 800-38A F.2.1, whose IV goes into the first block here.
#[test]
fn cbc_mac_is_the_end_of_cbc() {
    let mut data = hex(PLAIN);
    for (byte, iv) in data.iter_mut().zip(0_u8..16) {
        *byte ^= iv;
    }
    let key = secret(KEYS[0]);
    let whole = hex("3ff1caa1681fac09120eca307586e1a7");
    let mac = |mechanism, params: &Params, data: &[u8], size: usize| {
        let mut signer = crypto::signer(mechanism, params, &key).unwrap();
        data.chunks(size).for_each(|part| signer.update(part).unwrap());
        let mut made = vec![0; signer.signature_bytes()];
        signer.finish(&mut made).unwrap();
        made
    };
    for size in [1, 7, 16, 33, 64] {
        assert_eq!(mac(CKM_AES_MAC, &Params::None, &data, size), whole[..8]);
        assert_eq!(mac(CKM_AES_MAC_GENERAL, &Params::MacLength(16), &data, size), whole);
    }
    // What is missing of the last block is zeros; of nothing at all, a block of them is left.
    let mut filled = data.clone();
    filled.truncate(21);
    let short = mac(CKM_AES_MAC, &Params::None, &filled, 5);
    filled.resize(32, 0);
    assert_eq!(short, mac(CKM_AES_MAC, &Params::None, &filled, 32));
    assert_eq!(mac(CKM_AES_MAC, &Params::None, &[], 1), mac(CKM_AES_MAC, &Params::None, &[0; 16], 16));
    let mut verifier = crypto::verifier(CKM_AES_MAC, &Params::None, &key).unwrap();
    verifier.update(&data).unwrap();
    assert_eq!(verifier.finish(&whole[..8]), Ok(()));
    let mut verifier = crypto::verifier(CKM_AES_MAC, &Params::None, &key).unwrap();
    assert_eq!(verifier.finish(&whole), Err(CryptoError::SignatureLenRange));
    for params in [Params::MacLength(0), Params::MacLength(17)] {
        let error = crypto::signer(CKM_AES_MAC_GENERAL, &params, &key).err();
        assert_eq!(error, Some(CryptoError::MechanismParamInvalid));
    }
}

#[test]
fn keys_of_another_size_or_type_are_refused() {
    let cbc = Params::Iv(vec![0; 16]);
    let gcm = Params::Gcm { iv: vec![0; 12], aad: Vec::new(), tag_bits: 128 };
    for bytes in [0, 15, 17, 33] {
        let key = Key::from_secret(vec![1; bytes].into());
        for (mechanism, params) in [(CKM_AES_CBC, &cbc), (CKM_AES_GCM, &gcm), (CKM_AES_ECB, &Params::None)] {
            assert_eq!(crypto::encryptor(mechanism, params, &key).err(), Some(CryptoError::KeySizeRange));
        }
        assert_eq!(crypto::signer(CKM_AES_CMAC, &Params::None, &key).err(), Some(CryptoError::KeySizeRange));
        let wrapped = crypto::wrap(CKM_AES_KEY_WRAP, &Params::None, &key, &[0; 16]);
        assert_eq!(wrapped.unwrap_err(), CryptoError::KeySizeRange);
    }
    let aes = secret(KEYS[0]);
    for mechanism in [CKM_ECDSA, CKM_SHA256_RSA_PKCS, CKM_EDDSA] {
        assert_eq!(crypto::signer(mechanism, &Params::None, &aes).err(), Some(CryptoError::KeyTypeInconsistent));
    }
    assert_eq!(crypto::encryptor(CKM_RSA_PKCS, &Params::None, &aes).err(), Some(CryptoError::KeyTypeInconsistent));
    assert_eq!(crypto::signer(CKM_AES_GCM, &gcm, &aes).err(), Some(CryptoError::MechanismInvalid));
    assert_eq!(crypto::encryptor(CKM_RC4, &Params::None, &aes).err(), Some(CryptoError::MechanismInvalid));
    assert_eq!(aes.to_pkcs8().unwrap_err(), CryptoError::KeyTypeInconsistent);
    assert_eq!(aes.to_spki().unwrap_err(), CryptoError::KeyTypeInconsistent);
}

#[test]
fn a_short_gcm_tag_is_the_front_of_the_long_one() {
    let key = secret(KEYS[1]);
    let plain = hex(PLAIN);
    let params = |tag_bits| Params::Gcm { iv: vec![4; 13], aad: b"aad".to_vec(), tag_bits };
    let whole = run(crypto::encryptor, CKM_AES_GCM, &params(128), &key, &plain[..37]).unwrap();
    for tag_bits in [32, 64, 96, 104, 112, 120] {
        let bytes = 37 + usize::try_from(tag_bits).unwrap() / 8;
        both_ways(CKM_AES_GCM, &params(tag_bits), &key, &plain[..37], &whole[..bytes]);
        for changed in [0, 36, 37, bytes - 1] {
            let mut forged = whole[..bytes].to_vec();
            forged[changed] ^= 1;
            let error = run(crypto::decryptor, CKM_AES_GCM, &params(tag_bits), &key, &forged).unwrap_err();
            assert_eq!(error, CryptoError::AeadDecryptFailed);
            let mut output = [0xaa; 37];
            let mut operation = crypto::decryptor(CKM_AES_GCM, &params(tag_bits), &key).unwrap();
            operation.process(&forged, &mut output).unwrap_err();
            assert_eq!(output, [0; 37], "nothing is released");
        }
    }
}

#[test]
fn keys_survive_every_wrapping() {
    let key = secret(KEYS[2]);
    let gcm = Params::Gcm { iv: vec![1; 12], aad: Vec::new(), tag_bits: 128 };
    for (mechanism, params, is_filled) in [
        (CKM_AES_KEY_WRAP_PAD, Params::None, false),
        (CKM_AES_KEY_WRAP_KWP, Params::None, false),
        (CKM_AES_CBC, Params::Iv(vec![3; 16]), true),
        (CKM_AES_CBC_PAD, Params::Iv(vec![3; 16]), false),
        (CKM_AES_ECB, Params::None, true),
        (CKM_AES_GCM, gcm, false),
    ] {
        for length in [1, 8, 15, 16, 17, 24, 32, 121] {
            let wrapped = crypto::wrap(mechanism, &params, &key, &vec![9; length]).unwrap();
            let unwrapped = crypto::unwrap(mechanism, &params, &key, &wrapped).unwrap();
            assert_eq!(unwrapped[..length], vec![9; length]);
            let filled = if is_filled { length.next_multiple_of(16) } else { length };
            assert_eq!(*unwrapped, [vec![9; length], vec![0; filled - length]].concat());
        }
    }
}

#[test]
fn the_vectors_of_ieee_1619() {
    // IEEE 1619-2007 annex B, vectors 1 and 15 (ciphertext stealing).
    let zeros = secret(&["00".repeat(15), "01".into(), "00".repeat(16)].concat());
    let error = crypto::encryptor(CKM_AES_XTS, &Params::Iv(vec![0; 16]), &secret(&"00".repeat(32))).err();
    assert_eq!(error, Some(CryptoError::AttributeValueInvalid), "both keys alike");
    let two = secret(&["11".repeat(16), "22".repeat(16)].concat());
    let mut iv = vec![0x33; 5];
    iv.resize(16, 0);
    both_ways(
        CKM_AES_XTS,
        &Params::Iv(iv),
        &two,
        &[0x44; 32],
        &hex("c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0"),
    );
    let key = secret("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0bfbebdbcbbbab9b8b7b6b5b4b3b2b1b0");
    let mut iv = hex("9a78563412");
    iv.resize(16, 0);
    let plain: Vec<u8> = (0..17).collect();
    both_ways(CKM_AES_XTS, &Params::Iv(iv.clone()), &key, &plain, &hex("6c1625db4671522d3d7599601de7ca09ed"));
    let error = run(crypto::encryptor, CKM_AES_XTS, &Params::Iv(iv.clone()), &key, &[0; 15]).unwrap_err();
    assert_eq!(error, CryptoError::DataLenRange);
    let error = run(crypto::decryptor, CKM_AES_XTS, &Params::Iv(iv.clone()), &key, &[0; 15]).unwrap_err();
    assert_eq!(error, CryptoError::EncryptedDataLenRange);
    for length in 16..80 {
        let cipher = run(crypto::encryptor, CKM_AES_XTS, &Params::Iv(iv.clone()), &zeros, &vec![5; length]).unwrap();
        assert_eq!(
            run(crypto::decryptor, CKM_AES_XTS, &Params::Iv(iv.clone()), &zeros, &cipher).unwrap(),
            vec![5; length]
        );
    }
}

#[test]
fn ccm_wants_the_length_it_was_told() {
    let key = secret(KEYS[0]);
    let params = |data_bytes| Params::Ccm { data_bytes, nonce: vec![1; 13], aad: b"aad".to_vec(), mac_bytes: 8 };
    let sealed = run(crypto::encryptor, CKM_AES_CCM, &params(5), &key, b"hello").unwrap();
    assert_eq!(run(crypto::decryptor, CKM_AES_CCM, &params(5), &key, &sealed).unwrap(), b"hello");
    assert_eq!(run(crypto::encryptor, CKM_AES_CCM, &params(4), &key, b"hello"), Err(CryptoError::DataLenRange));
    let error = run(crypto::decryptor, CKM_AES_CCM, &params(13), &key, &sealed).unwrap_err();
    assert_eq!(error, CryptoError::EncryptedDataLenRange);
    let error = crypto::encryptor(CKM_AES_CCM, &params(1 << 16), &key).err();
    assert_eq!(error, Some(CryptoError::MechanismParamInvalid), "two bytes of length");
    let wrapped = crypto::wrap(CKM_AES_CCM, &params(16), &key, &[7; 16]).unwrap();
    assert_eq!(*crypto::unwrap(CKM_AES_CCM, &params(16), &key, &wrapped).unwrap(), [7; 16]);
    let error = crypto::unwrap(CKM_AES_CCM, &params(16), &key, &[0; 24]).unwrap_err();
    assert_eq!(error, CryptoError::WrappedKeyInvalid);
}

#[test]
fn digests_of_abc() {
    // FIPS 180-4 and FIPS 202 examples.
    let expected = [
        (CKM_SHA_1, Hash::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (CKM_SHA224, Hash::Sha224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
        (CKM_SHA256, Hash::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            CKM_SHA384,
            Hash::Sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            CKM_SHA512,
            Hash::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (CKM_SHA512_224, Hash::Sha512_224, "4634270f707b6a54daae7530460842e20e37ed265ceee9a43e8924aa"),
        (CKM_SHA512_256, Hash::Sha512_256, "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23"),
        (CKM_SHA3_224, Hash::Sha3_224, "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"),
        (CKM_SHA3_256, Hash::Sha3_256, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
        (
            CKM_SHA3_384,
            Hash::Sha3_384,
            "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
        ),
        (
            CKM_SHA3_512,
            Hash::Sha3_512,
            "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e
             10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
        ),
    ];
    for (mechanism, hash, digest) in expected {
        assert_eq!(Hash::from_mechanism(mechanism), Some(hash));
        let mut digester = crypto::digester(mechanism).unwrap();
        digester.update(b"a").unwrap();
        let mut fork = digester.clone();
        digester.update(b"bc").unwrap();
        let mut output = vec![0; digester.output_bytes()];
        assert_eq!(digester.finish(&mut output), Ok(hash.output_bytes()));
        assert_eq!(output, hex(digest));
        fork.update(b"bc").unwrap();
        fork.finish(&mut output).unwrap();
        assert_eq!(output, hex(digest));
        assert_eq!(crypto::digest(hash, b"abc").unwrap(), hex(digest));
    }
    assert!(crypto::digester(CKM_MD5).is_err());
}

#[test]
fn the_published_signatures_of_ed25519() {
    // RFC 8032 §7.1 test 3, §7.2 "foo", §7.3.
    let vectors = [
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            Params::None,
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
        (
            "0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6",
            "dfc9425e4f968f7f0c29f0259cf5f9aed6851c2bb4ad8bfb860cfee0ab248292",
            Params::Eddsa { prehash: false, context: b"foo".to_vec() },
            "f726936d19c800494e3fdaff20b276a8",
            "55a4cc2f70a54e04288c5f4cd1e45a7bb520b36292911876cada7323198dd87a
             8b36950b95130022907a7fb7c4e9b2d5f6cca685a587b4b21f4b888e4e7edb0d",
        ),
        (
            "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
            Params::Eddsa { prehash: true, context: Vec::new() },
            "616263",
            "98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41
             31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406",
        ),
    ];
    for (value, public, params, message, signature) in vectors {
        let key = Key::from_curve_private(Curve::Ed25519, &hex(value)).unwrap();
        let Key::Ed25519Public(half) = key.public().unwrap() else { panic!("an Ed25519 key") };
        assert_eq!(half.bytes()[..], hex(public));
        let mut signer = crypto::signer(CKM_EDDSA, &params, &key).unwrap();
        signer.update(&hex(message)).unwrap();
        let mut made = vec![0; 64];
        signer.finish(&mut made).unwrap();
        assert_eq!(made, hex(signature));
    }
}

#[test]
fn implicit_rejection_gives_the_messages_that_openssl_gives() {
    let text = include_str!("data/implicit_rejection.txt");
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let key = Key::from_pkcs8(&hex(lines.next().unwrap())).unwrap();
    let mut ran = 0;
    for line in lines {
        let [name, cipher, plain] = line.split('|').collect::<Vec<_>>()[..] else { panic!("three fields") };
        let answer = run(crypto::decryptor, CKM_RSA_PKCS, &Params::None, &key, &hex(cipher));
        assert_eq!(answer.unwrap(), hex(plain), "{name}");
        ran += 1;
    }
    assert_eq!(ran, 7);
    // The library refuses 0, 1 and n − 1 whatever their padding: they are no secret, and nobody's ciphertext.
    for last in [0, 1] {
        let mut cipher = [0; 256];
        cipher[255] = last;
        let error = run(crypto::decryptor, CKM_RSA_PKCS, &Params::None, &key, &cipher).unwrap_err();
        assert_eq!(error, CryptoError::EncryptedDataInvalid);
    }
}

#[test]
fn sealed_records_open_only_as_they_were_sealed() {
    let key = [1; 32];
    let sealed = crypto::seal::seal(&key, b"row 7", b"secret").unwrap();
    assert_eq!(sealed.len(), 12 + 6 + 16);
    assert_ne!(crypto::seal::seal(&key, b"row 7", b"secret").unwrap(), sealed);
    assert_eq!(**crypto::seal::open(&key, b"row 7", &sealed).unwrap(), *b"secret");
    let failed = Err(CryptoError::AeadDecryptFailed);
    assert_eq!(crypto::seal::open(&key, b"row 8", &sealed), failed);
    assert_eq!(crypto::seal::open(&[2; 32], b"row 7", &sealed), failed);
    for cut in [0, 12, 27, sealed.len() - 1] {
        assert_eq!(crypto::seal::open(&key, b"row 7", &sealed[..cut]), failed);
    }
    for position in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[position] ^= 0x80;
        assert_eq!(crypto::seal::open(&key, b"row 7", &changed), failed);
    }
    // RFC 4231 test case 2.
    let mac = crypto::seal::hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]).unwrap();
    assert_eq!(mac[..], hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
    assert!(crypto::seal::constant_time_eq(b"same", b"same"));
    assert!(!crypto::seal::constant_time_eq(b"same", b"some"));
    assert!(!crypto::seal::constant_time_eq(b"same", b"sam"));
}

#[test]
fn threads_share_a_prepared_key() {
    let key = secret(KEYS[2]);
    let params = Params::Gcm { iv: vec![1; 12], aad: Vec::new(), tag_bits: 128 };
    let expected = run(crypto::encryptor, CKM_AES_GCM, &params, &secret(KEYS[2]), &[7; 100]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let sealed = run(crypto::encryptor, CKM_AES_GCM, &params, &key, &[7; 100]).unwrap();
                    assert_eq!(sealed, expected);
                    let wrapped = crypto::wrap(CKM_AES_KEY_WRAP_KWP, &Params::None, &key, &[9; 20]).unwrap();
                    let plain = crypto::unwrap(CKM_AES_KEY_WRAP_KWP, &Params::None, &key, &wrapped).unwrap();
                    assert_eq!(*plain, [9; 20]);
                }
            });
        }
    });
}

#[test]
fn the_mechanism_table_is_consistent() {
    let table = crypto::mechanisms();
    assert!(table.windows(2).all(|pair| pair[0].mechanism < pair[1].mechanism), "sorted, no number twice");
    for info in table {
        assert!(info.min <= info.max, "{info:?}");
        assert_ne!(info.flags, 0, "{info:?}");
        assert_eq!(crypto::mechanism(info.mechanism).map(|found| found.name), Some(info.name));
        assert_eq!(info.allows(CKF_ENCRYPT), info.allows(CKF_DECRYPT), "{info:?}");
        assert_eq!(info.allows(CKF_SIGN), info.allows(CKF_VERIFY), "{info:?}");
        assert_eq!(info.allows(CKF_WRAP), info.allows(CKF_UNWRAP), "{info:?}");
        assert_eq!(info.allows(CKF_DIGEST), info.key_types.is_empty(), "{info:?}");
    }
    assert!(crypto::mechanism(CKM_RC4).is_none());
    assert!(crypto::mechanism(CKM_RSA_PKCS).unwrap().allows(CKF_ENCRYPT | CKF_SIGN | CKF_WRAP));
}

#[test]
fn every_error_has_its_own_code_or_says_why_it_shares_one() {
    for error in CryptoError::ALL {
        assert_ne!(error.rv(), CKR_OK);
        let same = CryptoError::ALL.iter().filter(|other| other.rv() == error.rv()).count();
        // Keys too long or short, to use and to wrap.
        assert_eq!(same, if error.rv() == CKR_KEY_SIZE_RANGE { 2 } else { 1 }, "{error}");
    }
}

/// SP 800-38A F.3.7: each byte goes through the cipher on its own.
#[test]
fn cfb8_is_the_published_one() {
    let key = secret("2b7e151628aed2a6abf7158809cf4f3c");
    let params = Params::Iv(hex("000102030405060708090a0b0c0d0e0f"));
    let plain = hex("6bc1bee22e409f96e93d7e117393172aae2d");
    let cipher = hex("3b79424c9c0dd436bace9e0ed4586a4f32b9");
    both_ways(CKM_AES_CFB8, &params, &key, &plain, &cipher);
}

/// SP 800-38B D.4, three keys.
#[test]
fn triple_des_cmac_is_the_published_one() {
    let key = secret("8aa83bf8cbda10620bc1bf19fbb6cd58bc313d4a371ca8b5");
    for (message, mac) in [("", "b7a688e122ffaf95"), ("6bc1bee22e409f96", "8e8f293136283797")] {
        for (mechanism, params, length) in
            [(CKM_DES3_CMAC, Params::None, 8), (CKM_DES3_CMAC_GENERAL, Params::MacLength(5), 5)]
        {
            let mut signer = crypto::signer(mechanism, &params, &key).unwrap();
            signer.update(&hex(message)).unwrap();
            let mut made = vec![0; signer.signature_bytes()];
            signer.finish(&mut made).unwrap();
            assert_eq!(made, hex(mac)[..length]);
        }
    }
    let short = Key::from_secret(vec![0; 8].into());
    assert_eq!(crypto::signer(CKM_DES3_CMAC, &Params::None, &short).err(), Some(CryptoError::KeySizeRange));
}

/// The padding is PKCS#7's to half blocks, and what is under it is RFC 3394's.
#[test]
fn key_wrap_with_pkcs7_padding_is_key_wrap_of_the_padded_value() {
    let key = Key::from_secret(vec![5; 32].into());
    for length in 8..=40_u8 {
        let value: Vec<u8> = (0..length).collect();
        let wrapped = crypto::wrap(CKM_AES_KEY_WRAP_PKCS7, &Params::None, &key, &value).unwrap();
        let fill = 8 - length % 8;
        let mut padded = value.clone();
        padded.extend(std::iter::repeat_n(fill, usize::from(fill)));
        assert_eq!(*crypto::unwrap(CKM_AES_KEY_WRAP, &Params::None, &key, &wrapped).unwrap(), padded);
        assert_eq!(*crypto::unwrap(CKM_AES_KEY_WRAP_PKCS7, &Params::None, &key, &wrapped).unwrap(), value);
    }
    let error = crypto::wrap(CKM_AES_KEY_WRAP_PKCS7, &Params::None, &key, &[1; 7]).unwrap_err();
    assert_eq!(error, CryptoError::KeyNotWrappable);
    let unpadded = crypto::wrap(CKM_AES_KEY_WRAP, &Params::None, &key, &[9; 24]).unwrap();
    let error = crypto::unwrap(CKM_AES_KEY_WRAP_PKCS7, &Params::None, &key, &unpadded).unwrap_err();
    assert_eq!(error, CryptoError::WrappedKeyInvalid);
}
