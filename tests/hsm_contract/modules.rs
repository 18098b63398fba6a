//! Which modules there are, and fresh tokens for them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    session::UserType,
    types::AuthPin,
};

/// The user PIN of every token made here, but for models that want another form.
const PIN: &str = "1234-user";
const SO_PIN: &str = "5678-officer";

/// A module to test, and how its tokens come to be.
#[derive(Clone, Debug)]
pub(crate) struct TestModule {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Simulator,
    /// The simulator as a model.
    Model(&'static str),
    SoftHsm,
    Kryoptic,
    /// A token that stands already: label and PIN file.
    Given(String, PathBuf),
}

/// Every module of this machine; what is absent is said and skipped.
pub(crate) fn discover(arguments: &[String]) -> Vec<TestModule> {
    let option = |name: &str| {
        arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)).cloned()
    };
    if let Some(path) = option("--module") {
        let label = option("--token-label").expect("--module needs --token-label");
        let pin = option("--pin-file").expect("--module needs --pin-file");
        return vec![TestModule { name: "given".into(), path: path.into(), kind: Kind::Given(label, pin.into()) }];
    }
    let beside = env::current_exe().unwrap().with_file_name("libhsm_sim.so");
    let kryoptic = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/kryoptic/libkryoptic_pkcs11.so");
    let mut candidates = vec![
        ("hsm-sim", beside.clone(), Kind::Simulator),
        ("hsm-sim-luna7-fips", beside.clone(), Kind::Model("luna7-fips")),
        ("hsm-sim-cloudhsm", beside, Kind::Model("cloudhsm")),
        ("softhsm2", PathBuf::from("/usr/lib/softhsm/libsofthsm2.so"), Kind::SoftHsm),
        ("kryoptic", kryoptic, Kind::Kryoptic),
    ];
    if let Ok(list) = env::var("PORTCULLIS_TEST_MODULES") {
        candidates = env::split_paths(&list)
            .map(|path| match path.to_string_lossy() {
                name if name.contains("hsm_sim") => ("hsm-sim", path.clone(), Kind::Simulator),
                name if name.contains("softhsm") => ("softhsm2", path.clone(), Kind::SoftHsm),
                _ => ("kryoptic", path.clone(), Kind::Kryoptic),
            })
            .collect();
    }
    let found = candidates.into_iter().filter_map(|(name, path, kind)| match unusable(&path) {
        Some(why) => {
            println!("skipped, because {name}: {why}");
            None
        }
        None => Some(TestModule { name: name.into(), path, kind }),
    });
    found.collect()
}

fn unusable(path: &Path) -> Option<String> {
    match fs::read(path) {
        Err(error) => Some(format!("{} cannot be read: {error}", path.display())),
        Ok(bytes) if !bytes.starts_with(b"\x7fELF") => Some(format!("{} is a stand-in", path.display())),
        Ok(bytes) if !contains(&bytes, b"C_GetFunctionList\0") => {
            Some(format!("{} exports nothing yet", path.display()))
        }
        Ok(_) => None,
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

impl TestModule {
    /// The user PIN of the module's tokens.
    pub(crate) fn pin(&self) -> String {
        match self.kind {
            Kind::Model("cloudhsm") => format!("crypto:{PIN}"),
            _ => PIN.to_owned(),
        }
    }

    /// The environment of a process that uses this module's tokens under `folder`.
    pub(crate) fn environment(&self, folder: &Path, options: &str) -> Vec<(&'static str, PathBuf)> {
        match &self.kind {
            Kind::Simulator | Kind::Model(_) => {
                let config = folder.join("hsm-sim.toml");
                let model = match self.kind {
                    Kind::Model(model) => format!("profile = \"{model}\"\nsimulate_latency = false\n"),
                    _ => String::new(),
                };
                fs::write(&config, format!("kdf_cost = \"test\"\ndurability = \"off\"\n{model}{options}")).unwrap();
                vec![("HSM_SIM_STORE", folder.join("sim")), ("HSM_SIM_CONFIG", config)]
            }
            Kind::SoftHsm => {
                let tokens = folder.join("tokens");
                fs::create_dir_all(&tokens).unwrap();
                let conf = folder.join("softhsm2.conf");
                let text = format!(
                    "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
                    tokens.display()
                );
                fs::write(&conf, text).unwrap();
                vec![("SOFTHSM2_CONF", conf)]
            }
            Kind::Kryoptic => {
                let conf = folder.join("kryoptic.conf");
                let slot = |number: u32| {
                    format!(
                        "[[slots]]\nslot = {number}\ndbtype = \"sqlite\"\ndbargs = \"{}/token{number}.sql\"\n",
                        folder.display()
                    )
                };
                fs::write(&conf, format!("{}{}", slot(1), slot(2))).unwrap();
                vec![("KRYOPTIC_CONF", conf)]
            }
            Kind::Given(..) => Vec::new(),
        }
    }

    /// Makes a token with that label, in a process of its own.
    pub(crate) fn make_token(&self, folder: &Path, options: &str, label: &str) -> Result<(), String> {
        if matches!(self.kind, Kind::Given(..)) {
            return Ok(());
        }
        let output = Command::new(env::current_exe().unwrap())
            .args(["--prepare", self.path.to_str().unwrap(), label, &self.pin()])
            .envs(self.environment(folder, options))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }
}

/// In the process that makes a token: on the first slot whose token is not initialised.
pub(crate) fn prepare(arguments: &[String]) -> ExitCode {
    let [path, label, pin] = arguments else { return ExitCode::FAILURE };
    let module = Pkcs11::new(path).unwrap();
    module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slots = module.get_slots_with_token().unwrap();
    let free = slots.iter().find(|slot| module.get_token_info(**slot).is_ok_and(|info| !info.token_initialized()));
    let Some(slot) = free else {
        eprintln!("no slot with a token that is not initialised");
        return ExitCode::FAILURE;
    };
    let so_pin = AuthPin::new(SO_PIN.into());
    module.init_token(*slot, &so_pin, label).unwrap();
    // SoftHSM2 moves an initialised token to another slot.
    let slot = module
        .get_slots_with_token()
        .unwrap()
        .into_iter()
        .find(|slot| {
            module.get_token_info(*slot).is_ok_and(|info| info.label() == label && !info.user_pin_initialized())
        })
        .unwrap();
    let session = module.open_rw_session(slot).unwrap();
    session.login(UserType::So, Some(&so_pin)).unwrap();
    session.init_pin(&AuthPin::new(pin.as_str().into())).unwrap();
    session.logout().unwrap();
    drop(session);
    module.finalize().unwrap();
    ExitCode::SUCCESS
}
