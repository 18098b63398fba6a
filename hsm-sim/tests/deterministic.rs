//! Randomness that comes again: only where it was built in and asked for.
//!
//! In the usual build this shows that the variables do nothing; built with the feature `deterministic`, that two runs are
//! the same to the last byte. `tests/features.rs` runs the latter with `LONG=1`.

#![expect(clippy::unwrap_used, reason = "a helper of a test may panic too")]

#[expect(dead_code, reason = "every test program uses its own part")]
mod support;

use std::{
    env,
    fmt::Write as _,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    process::Command,
};

use cryptoki::{
    mechanism::{Mechanism, MechanismType},
    object::{Attribute, AttributeType, MlKemParameterSetType, ObjectHandle},
    session::{Session, UserType},
};
use support::{SO_PIN, USER_PIN, pin};

const PLACE: &str = "HSM_SIM_TEST_REPEATS";
const IS_BUILT_IN: bool = cfg!(feature = "deterministic");

/// What two processes say of the keys they make, one after the other, on a store that the first one makes.
fn run(variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hsm-sim.toml"), "kdf_cost = \"test\"\ndurability = \"off\"\n").unwrap();
    let mut said = String::new();
    for _ in 0..2 {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(PLACE, folder.path())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        for line in String::from_utf8_lossy(&output.stdout).lines().filter(|line| line.starts_with("made ")) {
            writeln!(said, "{line}").unwrap();
        }
    }
    said
}

fn say(name: &str, what: &dyn std::fmt::Debug) {
    // Long values are shown by a hash, the token as it is. Something may stand on the line already.
    let text = format!("{what:?}");
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let shown = if name == "token" { text } else { format!("{:016x}", hasher.finish()) };
    println!("\nmade {name}: {shown}");
}

fn shown(session: &Session, name: &str, object: ObjectHandle, attribute: AttributeType) {
    say(name, &session.get_attributes(object, &[AttributeType::UniqueId, attribute]).unwrap());
}

/// The part that makes keys: does nothing unless a test started this program for it.
#[test]
fn child() {
    let Some(folder) = env::var_os(PLACE) else { return };
    let pkcs11 = support::load(Path::new(&folder));
    if pkcs11.get_slots_with_initialized_token().unwrap().is_empty() {
        let slot = pkcs11.get_slots_with_token().unwrap()[0];
        pkcs11.init_token(slot, &pin(SO_PIN), "again").unwrap();
        let session = pkcs11.open_rw_session(slot).unwrap();
        session.login(UserType::So, Some(&pin(SO_PIN))).unwrap();
        session.init_pin(&pin(USER_PIN)).unwrap();
    }
    let slot = pkcs11.get_slots_with_initialized_token().unwrap()[0];
    let info = pkcs11.get_token_info(slot).unwrap();
    say("token", &(slot.id(), info.serial_number(), info.model()));
    let session = support::login(&pkcs11, slot);
    say("random", &session.generate_random_vec(100).unwrap());
    let open = [Attribute::Token(true), Attribute::Sensitive(false), Attribute::Extractable(true)];
    let aes = session.generate_key(&Mechanism::AesKeyGen, &[&open[..], &[Attribute::ValueLen(32.into())]].concat());
    shown(&session, "AES", aes.unwrap(), AttributeType::Value);
    let p256 = vec![0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let p521 = vec![0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];
    let edwards = vec![0x06, 0x03, 0x2b, 0x65, 0x70];
    for (name, mechanism, params) in [
        ("P-256", Mechanism::EccKeyPairGen, p256),
        ("P-521", Mechanism::EccKeyPairGen, p521),
        ("Ed25519", Mechanism::EccEdwardsKeyPairGen, edwards),
    ] {
        let (_, key) = session.generate_key_pair(&mechanism, &[Attribute::EcParams(params)], &open).unwrap();
        shown(&session, name, key, AttributeType::Value);
    }
    let bits = [Attribute::ModulusBits(2048.into()), Attribute::Verify(true)];
    let sign = [&open[..], &[Attribute::Sign(true)]].concat();
    let (public, key) = session.generate_key_pair(&Mechanism::RsaPkcsKeyPairGen, &bits, &sign).unwrap();
    shown(&session, "RSA", public, AttributeType::Modulus);
    let signature = session.sign(&Mechanism::Sha256RsaPkcs, key, b"text").unwrap();
    session.verify(&Mechanism::Sha256RsaPkcs, public, b"text", &signature).unwrap();
    say("signature", &signature);
    assert!(pkcs11.get_mechanism_list(slot).unwrap().contains(&MechanismType::ML_KEM));
    let set = [Attribute::ParameterSet(MlKemParameterSetType::ML_KEM_768.into()), Attribute::Encapsulate(true)];
    let (public, _) = session.generate_key_pair(&Mechanism::MlKemKeyPairGen, &set, &open).unwrap();
    shown(&session, "ML-KEM", public, AttributeType::Value);
    let secret = [
        Attribute::Class(cryptoki::object::ObjectClass::SECRET_KEY),
        Attribute::KeyType(cryptoki::object::KeyType::GENERIC_SECRET),
        Attribute::Sensitive(false),
    ];
    let (ciphertext, shared) = session.encapsulate_key(&Mechanism::MlKem, public, &secret).unwrap();
    say("ciphertext", &ciphertext);
    shown(&session, "shared", shared, AttributeType::Value);
}

#[test]
fn what_is_seeded_comes_again_where_that_is_built_in_and_nowhere_else() {
    let seeded = [("HSM_SIM_SEED", "seven"), ("HSM_SIM_TIME", "1700000000")];
    let (first, second) = (run(&seeded), run(&seeded));
    assert_eq!(first.lines().count(), 22, "{first}");
    let lines = |said: &str| said.lines().map(str::to_owned).collect::<Vec<_>>();
    let (first, second) = (lines(&first), lines(&second));
    assert_eq!(first.iter().all(|line| !line.contains("token") || line.contains("-DET")), IS_BUILT_IN);
    assert_eq!(first[0].contains("-DET"), IS_BUILT_IN);
    for (first, second) in first.iter().zip(&second) {
        assert_eq!(first == second, IS_BUILT_IN, "{first}\n{second}");
    }
    // The second process made other keys than the first.
    for (first, second) in first[1..11].iter().zip(&first[12..]) {
        assert_ne!(first, second);
    }
    // Without a seed, or with another one, nothing is the same.
    for others in [lines(&run(&[])), lines(&run(&[("HSM_SIM_SEED", "eight")]))] {
        assert_eq!(others.len(), first.len());
        assert!(first.iter().zip(&others).all(|(first, other)| first != other), "{others:?}");
    }
}
