//! Tokens of every module of this machine, and a look at them past the gateway.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    mechanism::Mechanism,
    object::{Attribute, AttributeType},
    session::{Session, UserType},
    types::AuthPin,
};
use serde_json::{Value, json};

pub(crate) const SO_PIN: &str = "5678-officer";
const PROGRAM: &str = env!("CARGO_BIN_EXE_portcullis");

/// A module, and as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The simulator as a model.
    Model(&'static str),
    SoftHsm,
    Kryoptic,
}

pub(crate) const ALL: &[Kind] =
    &[Kind::Model("default"), Kind::Model("luna7-fips"), Kind::Model("cloudhsm"), Kind::SoftHsm, Kind::Kryoptic];

/// A token of its own, and a configuration that names it.
pub(crate) struct World {
    kind: Kind,
    folder: tempfile::TempDir,
}

impl World {
    /// Nothing where the module is not on this machine.
    pub(crate) fn new(kind: Kind) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let world = Self { kind, folder };
        if !world.module().exists() {
            println!("skipped, because {} is not here", world.module().display());
            return None;
        }
        if let Kind::Model(model) = kind {
            let options = format!("profile = {model:?}\nsimulate_latency = false\nkdf_cost = \"test\"\n");
            fs::write(world.path("hsm-sim.toml"), options).unwrap();
        }
        fs::create_dir(world.path("tokens")).unwrap();
        let tokens = world.path("tokens").display().to_string();
        let soft = format!("directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n");
        fs::write(world.path("softhsm2.conf"), soft).unwrap();
        let kryoptic = format!("[[slots]]\nslot = 1\ndbtype = \"sqlite\"\ndbargs = \"{tokens}/token.sql\"\n");
        fs::write(world.path("kryoptic.conf"), kryoptic).unwrap();
        fs::write(world.path("pin"), world.pin()).unwrap();
        world.helper(&json!({"make": world.pin()}));
        // The rest of the configuration is what `dev` writes.
        fs::write(world.path("gateway.toml"), world.config("")).unwrap();
        Some(world)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn pin(&self) -> &'static str {
        if self.kind == Kind::Model("cloudhsm") { "crypto:1234-user" } else { "1234-user" }
    }

    fn module(&self) -> PathBuf {
        match self.kind {
            Kind::Model(_) => env::current_exe().unwrap().with_file_name("libhsm_sim.so"),
            Kind::SoftHsm => PathBuf::from("/usr/lib/softhsm/libsofthsm2.so"),
            Kind::Kryoptic => Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/kryoptic/libkryoptic_pkcs11.so"),
        }
    }

    fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        match self.kind {
            Kind::Model(_) => vec![("HSM_SIM_STORE", self.path("sim")), ("HSM_SIM_CONFIG", self.path("hsm-sim.toml"))],
            Kind::SoftHsm => vec![("SOFTHSM2_CONF", self.path("softhsm2.conf"))],
            Kind::Kryoptic => vec![("KRYOPTIC_CONF", self.path("kryoptic.conf"))],
        }
    }

    /// A configuration with further lines in `[hsm.main]`; listeners on free ports, certificates made by `dev`.
    pub(crate) fn config(&self, more: &str) -> String {
        let environment: String = self
            .environment()
            .iter()
            .map(|(name, value)| format!("{name} = {:?}\n", value.display().to_string()))
            .collect();
        format!(
            "[kmip]\nlisten = \"127.0.0.1:0\"\ncertificate = \"tls/server.pem\"\nkey = \"tls/server.key\"\nclient_ca = \
             \"tls/ca.pem\"\n[rest]\nlisten = \"127.0.0.1:0\"\n[rest.auth]\nmode = \"unauthenticated\"\n[ops]\nlisten = \
             \"127.0.0.1:0\"\n[store]\npath = \"store\"\n[audit]\npath = \"audit\"\n[hsm.main]\nmodule = \
             {:?}\ntoken_label = \"trust\"\npin_file = \"pin\"\nallow_simulated_hsm = true\n{more}\n[hsm.main.env]\n{environment}",
            self.module().display().to_string()
        )
    }

    pub(crate) fn reconfigure(&self, more: &str) {
        fs::write(self.path("gateway.toml"), self.config(more)).unwrap();
    }

    /// `portcullis hsm …` with this configuration.
    pub(crate) fn hsm(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        for (name, _) in env::vars().filter(|(name, _)| name.starts_with("PORTCULLIS_")) {
            command.env_remove(name);
        }
        command.arg("hsm").args(arguments).arg("--config").arg(self.path("gateway.toml"));
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// As [`Self::hsm`]; it must succeed. What it printed.
    pub(crate) fn prints(&self, arguments: &[&str]) -> String {
        let output = self.hsm(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{:?} {arguments:?}: {said}", self.kind);
        String::from_utf8(output.stdout).unwrap()
    }

    /// As [`Self::hsm`]; it must fail. What it said.
    pub(crate) fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.hsm(arguments);
        assert_eq!(output.status.code(), Some(1), "{:?} {arguments:?}", self.kind);
        String::from_utf8(output.stderr).unwrap()
    }

    /// Everything that stands on the token, as label, id and whether it is extractable.
    pub(crate) fn objects(&self) -> Value {
        self.helper(&json!({"pin": self.pin(), "list": true}))
    }

    /// Gives the module work in a process with its environment: see [`helper`].
    pub(crate) fn helper(&self, work: &Value) -> Value {
        let answer = self.path("answer.json");
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "tokens::helper", "--ignored", "--nocapture"])
            .env("TRUST_MODULE", self.module())
            .env("TRUST_WORK", work.to_string())
            .env("TRUST_ANSWER", &answer)
            .envs(self.environment())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{:?}: {}", self.kind, String::from_utf8_lossy(&output.stdout));
        serde_json::from_slice(&fs::read(answer).unwrap()).unwrap()
    }
}

/// Works for [`World::helper`]; as a test of its own it has nothing to do.
#[test]
#[ignore = "a process of the other tests"]
fn helper() {
    let Ok(work) = env::var("TRUST_WORK") else { return };
    let work: Value = serde_json::from_str(&work).unwrap();
    let module = Pkcs11::new(env::var("TRUST_MODULE").unwrap()).unwrap();
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let mut answer = Value::Null;
    if let Some(pin) = work["make"].as_str() {
        make(&module, pin);
    }
    if let Some(pin) = work["pin"].as_str() {
        let session = session(&module);
        session.login(UserType::User, Some(&AuthPin::new(pin.into()))).unwrap();
        for key in work["generate"].as_array().into_iter().flatten() {
            generate(&session, key);
        }
        if work["list"] == true {
            answer = list(&session);
        }
        drop(session);
    }
    fs::write(env::var("TRUST_ANSWER").unwrap(), answer.to_string()).unwrap();
    module.finalize().unwrap();
}

fn make(module: &Pkcs11, pin: &str) {
    let slots = module.get_slots_with_token().unwrap();
    let free = slots.into_iter().find(|slot| module.get_token_info(*slot).is_ok_and(|info| !info.token_initialized()));
    let so_pin = AuthPin::new(SO_PIN.into());
    module.init_token(free.unwrap(), &so_pin, "trust").unwrap();
    let session = session(module);
    session.login(UserType::So, Some(&so_pin)).unwrap();
    session.init_pin(&AuthPin::new(pin.into())).unwrap();
    session.logout().unwrap();
}

fn session(module: &Pkcs11) -> Session {
    let slots = module.get_slots_with_token().unwrap();
    let ours = slots.into_iter().find(|slot| module.get_token_info(*slot).is_ok_and(|info| info.label() == "trust"));
    module.open_rw_session(ours.unwrap()).unwrap()
}

/// Makes a key as another program would.
fn generate(session: &Session, key: &Value) {
    let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
    let common = [Attribute::Token(true), Attribute::Label(text("label").into()), Attribute::Id(text("id").into())];
    let secret = [
        Attribute::Private(true),
        Attribute::Sensitive(key["sensitive"] != false),
        Attribute::Extractable(key["extractable"] == true),
    ];
    if key["kind"] == "aes" {
        let rest = [
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            // Modules differ in what they take for granted.
            Attribute::Sign(false),
            Attribute::Verify(false),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::ValueLen(32.into()),
        ];
        session.generate_key(&Mechanism::AesKeyGen, &[&common[..], &secret, &rest].concat()).unwrap();
        return;
    }
    // P-256 by its object identifier.
    let curve = vec![0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
    let public = [Attribute::Private(false), Attribute::Verify(true), Attribute::EcParams(curve)];
    let private = [Attribute::Sign(true)];
    let (public, _) = session
        .generate_key_pair(
            &Mechanism::EccKeyPairGen,
            &[&common[..], &public].concat(),
            &[&common[..], &secret, &private].concat(),
        )
        .unwrap();
    if key["kind"] == "private" {
        session.destroy_object(public).unwrap();
    }
}

fn list(session: &Session) -> Value {
    let mut found = Vec::new();
    for object in session.find_objects(&[Attribute::Token(true)]).unwrap() {
        let mut row = json!({});
        let wanted = [AttributeType::Label, AttributeType::Id, AttributeType::Extractable, AttributeType::Class];
        for attribute in session.get_attributes(object, &wanted).unwrap() {
            match attribute {
                Attribute::Label(bytes) => row["label"] = String::from_utf8_lossy(&bytes).into(),
                Attribute::Id(bytes) => row["id"] = hex(&bytes).into(),
                Attribute::Extractable(extractable) => row["extractable"] = extractable.into(),
                Attribute::Class(class) => row["class"] = class.to_string().into(),
                _ => {}
            }
        }
        found.push(row);
    }
    found.sort_by_key(Value::to_string);
    Value::Array(found)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
