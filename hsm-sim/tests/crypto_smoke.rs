//! One call of each shape of the crypto layer, as `core` makes it.

use cryptoki_sys::*;
use hsm_sim::crypto::{self, Key, Params, SecretKey};
use zeroize::Zeroizing;

#[test]
fn a_message_survives_aes_gcm_and_a_changed_tag_is_refused() {
    let key = Key::from(SecretKey::new(crypto::generate_secret(32).unwrap()));
    let params = Params::Gcm { iv: vec![1; 12], aad: b"aad".to_vec(), tag_bits: 128 };
    let mut encryption = crypto::encryptor(CKM_AES_GCM, &params, &key).unwrap();
    let mut sealed = vec![0; encryption.output_bound(5)];
    assert_eq!(encryption.process(b"hello", &mut sealed).unwrap(), 21);
    let mut plain = [0; 5];
    let mut decryption = crypto::decryptor(CKM_AES_GCM, &params, &key).unwrap();
    assert_eq!(decryption.process(&sealed, &mut plain).unwrap(), 5);
    assert_eq!(&plain, b"hello");
    sealed[20] ^= 1;
    let mut decryption = crypto::decryptor(CKM_AES_GCM, &params, &key).unwrap();
    assert_eq!(decryption.process(&sealed, &mut plain).unwrap_err().rv(), CKR_AEAD_DECRYPT_FAILED);
    assert_eq!(plain, [0; 5]);
}

#[test]
fn keys_survive_every_wrapping() {
    let key = Key::from(SecretKey::new(Zeroizing::new(vec![7; 32])));
    for (mechanism, params) in [
        (CKM_AES_KEY_WRAP, Params::None),
        (CKM_AES_KEY_WRAP_PAD, Params::None),
        (CKM_AES_KEY_WRAP_KWP, Params::None),
        (CKM_AES_CBC, Params::Iv(vec![3; 16])),
        (CKM_AES_CBC_PAD, Params::Iv(vec![3; 16])),
        (CKM_AES_ECB, Params::None),
        (CKM_AES_GCM, Params::Gcm { iv: vec![1; 12], aad: Vec::new(), tag_bits: 128 }),
    ] {
        let wrapped = crypto::wrap(mechanism, &params, &key, &[9; 32]).unwrap();
        assert_ne!(&wrapped[..16], [9; 16]);
        assert_eq!(*crypto::unwrap(mechanism, &params, &key, &wrapped).unwrap(), [9; 32]);
    }
}
