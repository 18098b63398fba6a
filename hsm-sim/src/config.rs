//! What the module is told from outside: the store's folder and the options file.
//!
//! `HSM_SIM_STORE` names the folder, `HSM_SIM_CONFIG` a TOML file; a `C_Initialize` call may give both in its
//! `pReserved` string (`hsm-sim:store=/path;config=/path`), which wins, so that one process can load two copies of the
//! module on two stores. Unknown keys are refused: a misspelt fault plan that silently does nothing is worse than an error.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

pub use crate::profile::Model;
use crate::{
    crypto::PinKdf,
    fault::{FaultsConfig, parse_duration},
};

/// The folder used when nothing names one.
pub const DEFAULT_STORE: &str = "/var/lib/hsm-sim";

/// Everything the options file can set.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The model to behave like.
    pub profile: Model,
    /// Whether calls take as long as the profile's.
    pub simulate_latency: bool,
    /// Refuses keys that wrap and decrypt, or unwrap and encrypt, also where the profile allows them.
    pub strict_roles: bool,
    /// Refuses what a device in its FIPS mode refuses, also where the profile allows it.
    pub fips_mode: bool,
    /// A module that all calls are handed to, with the fault plan in front; the store then only holds the plan.
    pub forward: Option<PathBuf>,
    /// Allows a store on a network file system, where locks between processes may not hold.
    pub allow_network_store: bool,
    /// How far a commit gets before the call returns.
    pub durability: Durability,
    /// How a PIN is turned into a key.
    pub kdf: Kdf,
    /// The work of turning a PIN into a key.
    pub kdf_cost: KdfCost,
    /// What usage attributes are when a template does not name them.
    pub usage_defaults: UsageDefaults,
    /// RSA keys of 2048 bits that are made ahead, by a thread of their own; 0 makes none, and starts no thread.
    pub rsa_pool: usize,
    /// Whether what is old is offered: P-192, RSA keys of 1024 bits, Diffie-Hellman over primes, CBC-MAC. Unset, it is for
    /// callers with permissive usage defaults, unless a model is imitated.
    pub legacy: Option<bool>,
    /// Uninitialised tokens kept beside the initialised ones.
    pub spare_slots: u32,
    /// The newest interface shown.
    pub interface_max: InterfaceMax,
    /// Shortest PIN accepted, in bytes.
    pub min_pin: usize,
    /// Longest PIN accepted, in bytes.
    pub max_pin: usize,
    /// Wrong user PINs until the PIN is locked.
    pub user_tries: u32,
    /// Wrong SO PINs until the token is locked.
    pub so_tries: u32,
    /// Bytes of decrypted objects kept in memory for each token.
    pub cache_bytes: usize,
    /// Refuses keys outside `CKA_START_DATE` and `CKA_END_DATE`, but for what opens old data.
    pub enforce_dates: bool,
    /// How `CKA_EC_POINT` is shown.
    pub ec_point: EcPointForm,
    /// What `CKM_AES_KEY_WRAP_PAD` does.
    pub wrap_pad: WrapPad,
    /// Takes `CK_GCM_PARAMS` as version 2.20 had it, without the IV's length in bits.
    pub gcm_v220: bool,
    /// What slots are numbered by.
    pub slot_ids: SlotIds,
    /// A PIN pad on the device, and what whoever stands before it does.
    pub pinpad: Option<PinPad>,
    /// The user PIN that is entered at the PIN pad; a line end after it is not part of it.
    pub pinpad_pin_file: Option<PathBuf>,
    /// The SO PIN that is entered at the PIN pad.
    pub pinpad_so_pin_file: Option<PathBuf>,
    /// Capacity limits of the simulated device.
    pub limits: Limits,
    /// The fault plan.
    pub faults: FaultsConfig,
}

/// Capacity limits of the simulated device; 0 means none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open sessions over all processes.
    pub max_sessions: u32,
    /// Open read/write sessions over all processes.
    pub max_rw_sessions: u32,
    /// Token objects.
    pub max_objects: u64,
    /// Session objects of one process.
    pub max_session_objects: u64,
    /// Bytes of token objects, sealed.
    pub max_bytes: u64,
    /// How long `C_Initialize` and `C_Login` wait, as `5s`.
    pub slow_start: Pause,
    /// Operations at the same time; more wait inside the module.
    pub concurrency: u32,
    /// Operations a second by mechanism name, `*` standing for any text.
    pub throughput: BTreeMap<String, f64>,
    /// One operation at a time.
    pub op_serial: bool,
}

/// A time, as `5s` or `200ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Pause(pub Duration);

impl TryFrom<String> for Pause {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_duration(&text).map(Self).ok_or_else(|| format!("{text:?} is not a duration such as 5s or 200ms"))
    }
}

/// How far a commit gets before the call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// On the disk.
    #[default]
    Full,
    /// In the kernel: survives a crash of the process, may lose the last writes when power fails.
    Normal,
    /// For throw-away stores.
    Off,
}

/// The work of turning a PIN into a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KdfCost {
    /// 210 000 rounds of PBKDF2-HMAC-SHA-512, or 3 passes of Argon2id over 64 MiB.
    #[default]
    Default,
    /// 1 000 rounds, or 1 pass over 64 KiB, for tests.
    Test,
}

/// How a PIN is turned into a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kdf {
    /// PBKDF2-HMAC-SHA-512, which costs time.
    #[default]
    Pbkdf2,
    /// Argon2id, which costs memory, too.
    Argon2id,
}

impl Config {
    /// The derivation of a new PIN record; an existing record keeps its own.
    pub(crate) const fn kdf(&self) -> PinKdf {
        match (self.kdf, self.kdf_cost) {
            (Kdf::Pbkdf2, KdfCost::Default) => PinKdf::Pbkdf2 { rounds: 210_000 },
            (Kdf::Pbkdf2, KdfCost::Test) => PinKdf::Pbkdf2 { rounds: 1_000 },
            // The second choice of RFC 9106 §4, for where 2 GiB for each log-in are too much.
            (Kdf::Argon2id, KdfCost::Default) => PinKdf::Argon2id { memory: 64 << 10, passes: 3, lanes: 4 },
            (Kdf::Argon2id, KdfCost::Test) => PinKdf::Argon2id { memory: 64, passes: 1, lanes: 1 },
        }
    }
}

/// What usage attributes are when a template does not name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UsageDefaults {
    /// False.
    #[default]
    Strict,
    /// What the key type can do, as older programs expect.
    Permissive,
}

/// The newest interface shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
pub enum InterfaceMax {
    /// PKCS#11 2.40 only.
    #[serde(rename = "2.40")]
    V2_40,
    /// Up to PKCS#11 3.0.
    #[serde(rename = "3.0")]
    V3_0,
    /// Up to PKCS#11 3.2.
    #[default]
    #[serde(rename = "3.2")]
    V3_2,
}

/// How `CKA_EC_POINT` is shown; both forms are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EcPointForm {
    /// A DER OCTET STRING around the point, as the standard says.
    #[default]
    Der,
    /// The point itself, as some devices have it.
    Raw,
}

/// What `CKM_AES_KEY_WRAP_PAD` does: the standards before 3.0 did not say how it pads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WrapPad {
    /// As `CKM_AES_KEY_WRAP_KWP`: RFC 5649.
    #[default]
    Kwp,
    /// As `CKM_AES_KEY_WRAP_PKCS7`: PKCS#7 padding under RFC 3394.
    Pkcs7,
}

/// What slots are numbered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SlotIds {
    /// The token's serial: a slot's number never changes.
    #[default]
    Stable,
    /// The serial for initialised tokens, the place in the list for others: a token that is initialised has another slot at
    /// the next start, as with SoftHSM2.
    Softhsm,
}

/// What happens at the PIN pad when a call leaves the PIN out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PinPad {
    /// The PIN of the file is entered.
    Approve,
    /// Somebody presses cancel.
    Deny,
    /// Nobody is there for so long.
    Timeout(Duration),
}

impl TryFrom<String> for PinPad {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match (text.as_str(), text.strip_prefix("timeout:")) {
            ("approve", _) => Ok(Self::Approve),
            ("deny", _) => Ok(Self::Deny),
            (_, Some(milliseconds)) => milliseconds
                .parse()
                .map(|milliseconds| Self::Timeout(Duration::from_millis(milliseconds)))
                .map_err(|_no_number| format!("{milliseconds:?} is not a number of milliseconds")),
            _ => Err(format!("{text:?} is not approve, deny or timeout: and milliseconds")),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: Model::default(),
            simulate_latency: true,
            strict_roles: false,
            fips_mode: false,
            forward: None,
            allow_network_store: false,
            durability: Durability::default(),
            kdf: Kdf::default(),
            kdf_cost: KdfCost::default(),
            usage_defaults: UsageDefaults::default(),
            rsa_pool: 0,
            legacy: None,
            spare_slots: 1,
            interface_max: InterfaceMax::default(),
            min_pin: 4,
            max_pin: 255,
            user_tries: 10,
            so_tries: 10,
            cache_bytes: 64 << 20,
            enforce_dates: false,
            ec_point: EcPointForm::default(),
            wrap_pad: WrapPad::default(),
            gcm_v220: false,
            slot_ids: SlotIds::default(),
            pinpad: None,
            pinpad_pin_file: None,
            pinpad_so_pin_file: None,
            limits: Limits::default(),
            faults: FaultsConfig::default(),
        }
    }
}

/// Where the store lies and what the options say.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The store's folder.
    pub store: PathBuf,
    /// The options.
    pub config: Config,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The options file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The options do not parse.
    #[error("{origin}: {source}")]
    Malformed {
        /// The file or variable.
        origin: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The reserved string of `C_Initialize` is not `hsm-sim:key=value;…` with the keys `store` and `config`.
    #[error("the reserved string of C_Initialize is not understood: {0}")]
    Reserved(String),
    /// A fault plan asks for something that does not exist.
    #[error("fault plan: {0}")]
    Faults(#[from] crate::fault::PlanError),
}

impl Config {
    /// Reads an options file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, does not parse, or has a key that is not known.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_path_buf(), source })?;
        toml::from_str(&text)
            .map(Self::settled)
            .map_err(|source| ConfigError::Malformed { origin: path.display().to_string(), source: Box::new(source) })
    }
}

impl Settings {
    /// The settings of this process: the reserved string first, then the environment, then the defaults.
    ///
    /// # Errors
    ///
    /// When a named file cannot be used or the reserved string is not understood.
    pub fn resolve(reserved: Option<&str>) -> Result<Self, ConfigError> {
        let (store, config) = reserved.map_or(Ok((None, None)), parse_reserved)?;
        let store = store.or_else(|| env::var_os("HSM_SIM_STORE").map(PathBuf::from));
        let config = config.or_else(|| env::var_os("HSM_SIM_CONFIG").map(PathBuf::from));
        let mut config = config.map_or_else(|| Ok(Config::default()), |path| Config::load(&path))?;
        if let Ok(text) = env::var("HSM_SIM_FAULTS") {
            config.faults = FaultsConfig::from_variable(&text)?;
        }
        Ok(Self { store: store.unwrap_or_else(|| PathBuf::from(DEFAULT_STORE)), config })
    }
}

type Paths = (Option<PathBuf>, Option<PathBuf>);

/// Parses `hsm-sim:store=/path;config=/path`.
fn parse_reserved(text: &str) -> Result<Paths, ConfigError> {
    let refused = || ConfigError::Reserved(text.to_owned());
    let mut paths = (None, None);
    for pair in text.strip_prefix("hsm-sim:").ok_or_else(refused)?.split(';').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("store", path)) => paths.0 = Some(PathBuf::from(path)),
            Some(("config", path)) => paths.1 = Some(PathBuf::from(path)),
            _ => return Err(refused()),
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused() {
        let error = toml::from_str::<Config>("durabilty = \"full\"").unwrap_err();
        assert!(error.to_string().contains("durabilty"), "{error}");
    }

    #[test]
    fn the_reserved_string_names_store_and_config() {
        let (store, config) = parse_reserved("hsm-sim:store=/a;config=/b").unwrap();
        assert_eq!((store.unwrap().as_path(), config.unwrap().as_path()), (Path::new("/a"), Path::new("/b")));
        assert!(parse_reserved("hsm-sim:shop=/a").is_err());
        assert!(parse_reserved("store=/a").is_err());
    }
}
