//! Models that the simulator can behave like: what they lack, how much they hold, how long they take, what they do
//! differently.
//!
//! A profile is one row of [`PROFILES`]. The figures imitate published ones or are invented so that programs meet limits in
//! tests; they say nothing about any product. What a profile takes away can only be more than what the module lacks
//! itself, never less.

mod device;
mod gcm;
mod table;

use std::time::Duration;

use cryptoki_sys::*;
use serde::Deserialize;

pub(crate) use device::Device;
pub(crate) use gcm::{decryptor, encryptor};
pub(crate) use table::PROFILES;

use crate::{
    config::{Config, UsageDefaults},
    core::{
        attributes::Attributes,
        names::Function,
        rv::{Result, Rv},
    },
    crypto::{self, MechanismInfo},
    fault::is_match,
};

/// One model.
#[derive(Debug)]
pub(crate) struct Profile {
    /// Its name, which is also the token's model.
    pub(crate) name: &'static str,
    /// Sessions over all processes; 0 is no limit.
    sessions: u32,
    /// Token objects; 0 is no limit.
    objects: u64,
    /// Bytes of token objects; 0 is no limit.
    bytes: u64,
    /// Mechanisms by name pattern, and the uses that are missing.
    missing: &'static [(&'static str, CK_FLAGS)],
    /// Longest data of one call in bytes, by mechanism pattern.
    data: &'static [(&'static str, usize)],
    /// What may be made of keys.
    pub(crate) keys: Keys,
    /// Whose the IV of AES-GCM is.
    pub(crate) gcm_iv: GcmIv,
    /// What a user PIN looks like.
    pin: PinForm,
    /// Whether sessions may be read-only.
    pub(crate) has_read_only_sessions: bool,
    /// Usage attributes that nobody named are what the key type can do.
    pub(crate) is_permissive: bool,
    /// Whether it is no model of anything in particular, or one of a software token.
    is_generic: bool,
    /// What a caller is told who made the library, slot and token, and what the library is; a program's answer, not a
    /// device's.
    pub(crate) names: Names,
    /// Whether keys are concatenated, cut and mixed into others also for callers with strict usage defaults.
    mixes_keys: bool,
    /// Whether logging out is refused where nobody is logged in, as the standard has it (PKCS#11 3.1 §5.6.10).
    needs_login_to_log_out: bool,
    /// Milliseconds in the middle, by mechanism pattern; the first that fits.
    latency: &'static [(&'static str, f64)],
    /// Operations at the same time; 0 is no limit.
    engines: u32,
    /// What calls are answered after the token was lost, and `C_Finalize` ever after.
    pub(crate) lost_link: Option<CK_RV>,
}

/// The names in `CK_INFO`, `CK_SLOT_INFO` and `CK_TOKEN_INFO`. Whatever a profile calls itself, the token's model or
/// manufacturer says `hsm-sim`, so that nobody takes it for anything else who looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Names {
    /// `manufacturerID` of the library.
    pub(crate) library: &'static str,
    /// `libraryDescription`.
    pub(crate) description: &'static str,
    /// `manufacturerID` of slot and token.
    pub(crate) device: &'static str,
    /// `model` of the token, where it is not the profile's name.
    pub(crate) model: Option<&'static str>,
}

/// Rules for keys beyond the standard's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys {
    /// A key wraps or decrypts, unwraps or encrypts, never both.
    strict_roles: bool,
    /// Longest value of a secret or private key that `C_CreateObject` takes; `None` takes all.
    import: Option<usize>,
    /// Longest `CKA_ID`; `None` takes all.
    id: Option<usize>,
    /// Whether secret keys have a `CKA_ID`.
    secret_id: bool,
    /// Whether secret keys may be extractable.
    extractable: bool,
}

/// Whose the IV of AES-GCM is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GcmIv {
    /// The caller's.
    Caller,
    /// The token's, written over the caller's.
    WrittenBack,
    /// The token's, 16 bytes, after the tag.
    Appended,
}

/// What a user PIN looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PinForm {
    Any,
    /// `user:password`
    UserAndPassword,
    /// Four hexadecimal digits and a password.
    KeyAndPassword,
}

/// A profile by its name, as the options file has it.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub struct Model(pub(crate) &'static Profile);

impl Default for Model {
    fn default() -> Self {
        let [first, ..] = PROFILES;
        Self(first)
    }
}

impl TryFrom<String> for Model {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        PROFILES.iter().find(|profile| profile.name == name).map(Self).ok_or_else(|| {
            let names: Vec<_> = PROFILES.iter().map(|profile| profile.name).collect();
            format!("there is no profile {name:?}; there are {}", names.join(", "))
        })
    }
}

impl Model {
    /// The profile's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.0.name
    }

    /// The token's model; it says so when its randomness is none.
    pub(crate) fn token_model(&self) -> String {
        let model = self.0.names.model.unwrap_or(self.0.name);
        #[cfg(feature = "deterministic")]
        if crypto::deterministic::is_on() {
            return format!("{model:.12}-DET");
        }
        model.to_owned()
    }

    /// The names of all profiles.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PROFILES.iter().map(|profile| profile.name)
    }
}

const FIPS_MISSING: &[(&str, CK_FLAGS)] = &[
    ("RSA_PKCS", CKF_DECRYPT | CKF_UNWRAP | CKF_ENCRYPT | CKF_WRAP),
    ("RSA_X_509", CKF_DECRYPT | CKF_UNWRAP | CKF_ENCRYPT | CKF_WRAP),
    ("DES*", CKF_ENCRYPT | CKF_WRAP | CKF_GENERATE | CKF_SIGN),
    ("SHA1_RSA_*", CKF_SIGN),
    ("ECDSA_SHA1", CKF_SIGN),
];

impl Config {
    /// The profile.
    pub(crate) const fn model(&self) -> &'static Profile {
        self.profile.0
    }

    /// Whether callers are as old as to expect what they did not ask for.
    pub(crate) fn is_permissive(&self) -> bool {
        self.usage_defaults == UsageDefaults::Permissive || self.model().is_permissive
    }

    /// Whether logging out is refused where nobody is logged in.
    pub(crate) fn needs_login_to_log_out(&self) -> bool {
        self.model().needs_login_to_log_out && self.usage_defaults == UsageDefaults::Strict
    }

    /// Whether what is old is offered. A model that is imitated does not list more than it did because of it.
    pub(crate) fn is_legacy(&self) -> bool {
        self.legacy.unwrap_or_else(|| self.is_permissive() && self.model().is_generic)
    }

    /// Whether a mechanism is there at all: what is old, and derivations that give away parts of their base key, are for
    /// those who want them.
    pub(crate) fn has(&self, info: &MechanismInfo) -> bool {
        (!info.is_legacy || self.is_legacy()) && (!info.is_leaky || self.is_permissive() || self.model().mixes_keys)
    }

    /// Smallest key that is taken under a mechanism.
    pub(crate) fn size_min(&self, info: &MechanismInfo) -> CK_ULONG {
        match info.mechanism {
            CKM_RSA_PKCS_KEY_PAIR_GEN if self.is_legacy() => 1024,
            _ if self.is_legacy() && info.key_types.contains(&CKK_EC) => info.min.min(crypto::P192_BITS),
            _ => info.min,
        }
    }

    /// Fills in the limits that the profile has and the options leave open.
    #[must_use]
    pub fn settled(mut self) -> Self {
        let profile = self.model();
        let limits = &mut self.limits;
        if limits.max_sessions == 0 {
            limits.max_sessions = profile.sessions;
        }
        if limits.max_objects == 0 {
            limits.max_objects = profile.objects;
        }
        if limits.max_bytes == 0 {
            limits.max_bytes = profile.bytes;
        }
        if limits.concurrency == 0 && self.simulate_latency {
            limits.concurrency = profile.engines;
        }
        self
    }

    /// Whether calls need not be looked at for a profile's or an option's sake.
    pub(crate) fn is_plain(&self) -> bool {
        let profile = self.model();
        !self.fips_mode && profile.missing.is_empty() && profile.lost_link.is_none() && Device::is_ideal(self)
    }

    /// What is offered of a mechanism: its flags without the uses that are missing.
    pub(crate) fn flags(&self, info: &MechanismInfo) -> CK_FLAGS {
        if !self.has(info) {
            return 0;
        }
        let fips: &[(&str, CK_FLAGS)] = if self.fips_mode { FIPS_MISSING } else { &[] };
        let missing = self.model().missing.iter().chain(fips);
        let gone = missing.filter(|(pattern, _)| is_match(pattern, info.name)).fold(0, |gone, (_, flags)| gone | flags);
        // What is signed message by message is signed all the same.
        let gone = gone | if gone & CKF_SIGN == 0 { 0 } else { CKF_MESSAGE_SIGN };
        let gone = gone | if gone & CKF_VERIFY == 0 { 0 } else { CKF_MESSAGE_VERIFY };
        let left = info.flags & !gone;
        // What is left without any use is not offered.
        if left & USES == 0 { 0 } else { left }
    }

    /// Whether a function may use a mechanism.
    pub(crate) fn offers(&self, function: Function, mechanism: CK_MECHANISM_TYPE, has_parameter: bool) -> bool {
        let Some(info) = crypto::mechanism(mechanism) else { return false };
        // A context makes Ed25519ctx of Ed25519.
        if mechanism == CKM_EDDSA && has_parameter && self.model().name == "yubihsm2" {
            return false;
        }
        let flags = self.flags(info);
        match use_of(function) {
            Some(flag) => info.flags & flag == 0 || flags & flag != 0,
            None => flags != 0,
        }
    }

    /// Longest data that one call may give to a mechanism.
    pub(crate) fn data_bytes_max(&self, mechanism: CK_MECHANISM_TYPE) -> Option<usize> {
        let data = self.model().data;
        if data.is_empty() {
            return None;
        }
        let info = crypto::mechanism(mechanism)?;
        data.iter().find(|(pattern, _)| is_match(pattern, info.name)).map(|row| row.1)
    }

    /// The user's name in a PIN, where users have names.
    pub(crate) fn user_name<'p>(&self, pin: &'p [u8]) -> Option<&'p str> {
        match self.model().pin {
            PinForm::UserAndPassword => str::from_utf8(pin.split(|byte| *byte == b':').next()?).ok(),
            PinForm::Any | PinForm::KeyAndPassword => None,
        }
    }

    /// Whether users have names.
    pub(crate) fn has_user_names(&self) -> bool {
        self.model().pin == PinForm::UserAndPassword
    }

    /// Refuses a user PIN that does not look like the profile's.
    pub(crate) fn check_pin_form(&self, pin: &[u8]) -> Result<()> {
        let fits = match self.model().pin {
            PinForm::Any => true,
            PinForm::UserAndPassword => {
                let mut parts = pin.splitn(2, |byte| *byte == b':');
                let name = parts.next().filter(|name| str::from_utf8(name).is_ok());
                matches!((name, parts.next()), (Some([_, ..]), Some([_, ..])))
            }
            PinForm::KeyAndPassword => pin
                .split_at_checked(4)
                .is_some_and(|(key, rest)| key.iter().all(u8::is_ascii_hexdigit) && !rest.is_empty()),
        };
        if fits { Ok(()) } else { Err(Rv(CKR_PIN_INCORRECT)) }
    }

    /// Refuses to create an object of a value in the clear, where the profile takes keys wrapped only.
    pub(crate) fn check_import(&self, template: &Attributes) -> Result<()> {
        let is_secret = matches!(template.ulong(CKA_CLASS), Some(CKO_SECRET_KEY | CKO_PRIVATE_KEY));
        let longest = if self.fips_mode { Some(0) } else { self.model().keys.import };
        let bytes =
            [CKA_VALUE, CKA_PRIVATE_EXPONENT].into_iter().filter_map(|part| template.get(part)).map(<[u8]>::len);
        match longest {
            Some(longest) if is_secret && bytes.sum::<usize>() > longest => Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID)),
            _ => Ok(()),
        }
    }

    /// Refuses an object that the profile does not hold so.
    pub(crate) fn check_object(&self, attributes: &Attributes) -> Result<()> {
        let keys = &self.model().keys;
        let is_secret = attributes.ulong(CKA_CLASS) == Some(CKO_SECRET_KEY);
        if (keys.strict_roles || self.strict_roles)
            && ((attributes.is(CKA_WRAP) && attributes.is(CKA_DECRYPT))
                || (attributes.is(CKA_UNWRAP) && attributes.is(CKA_ENCRYPT)))
        {
            return Err(Rv(CKR_TEMPLATE_INCONSISTENT));
        }
        if let Some(id) = attributes.get(CKA_ID).filter(|id| !id.is_empty()) {
            if is_secret && !keys.secret_id {
                return Err(Rv(CKR_ATTRIBUTE_TYPE_INVALID));
            }
            if keys.id.is_some_and(|longest| id.len() > longest) {
                return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
            }
        }
        if is_secret && !keys.extractable && attributes.is(CKA_EXTRACTABLE) {
            return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
        }
        if !self.is_legacy() {
            let curve = attributes.get(CKA_EC_PARAMS).map(crypto::Curve::from_ec_params);
            if curve == Some(Ok(crypto::Curve::P192)) {
                return Err(Rv(CKR_CURVE_NOT_SUPPORTED));
            }
            if attributes.ulong(CKA_KEY_TYPE) == Some(CKK_DH) {
                return Err(Rv(CKR_ATTRIBUTE_VALUE_INVALID));
            }
        }
        let bits = attributes.get(CKA_MODULUS).map_or(usize::MAX, |modulus| modulus.len() * 8);
        if self.fips_mode && bits < 2048 { Err(Rv(CKR_KEY_SIZE_RANGE)) } else { Ok(()) }
    }

    /// Whose the IV of AES-GCM is.
    pub(crate) fn gcm_iv(&self) -> GcmIv {
        match self.model().gcm_iv {
            GcmIv::Caller if self.fips_mode => GcmIv::Appended,
            iv => iv,
        }
    }

    /// How long starting and logging in wait.
    pub(crate) fn slow_start(&self) -> Duration {
        self.limits.slow_start.0
    }
}

/// Everything that a mechanism can be offered for.
const USES: CK_FLAGS = CKF_ENCRYPT
    | CKF_DECRYPT
    | CKF_DIGEST
    | CKF_SIGN
    | CKF_SIGN_RECOVER
    | CKF_VERIFY
    | CKF_VERIFY_RECOVER
    | CKF_GENERATE
    | CKF_GENERATE_KEY_PAIR
    | CKF_WRAP
    | CKF_UNWRAP
    | CKF_DERIVE
    | CKF_ENCAPSULATE
    | CKF_DECAPSULATE
    | CKF_MESSAGE_ENCRYPT
    | CKF_MESSAGE_DECRYPT
    | CKF_MESSAGE_SIGN
    | CKF_MESSAGE_VERIFY;

/// The use that a function makes of a mechanism.
const fn use_of(function: Function) -> Option<CK_FLAGS> {
    Some(match function {
        Function::EncryptInit | Function::MessageEncryptInit => CKF_ENCRYPT,
        Function::DecryptInit | Function::MessageDecryptInit => CKF_DECRYPT,
        Function::DigestInit => CKF_DIGEST,
        Function::SignInit | Function::MessageSignInit => CKF_SIGN,
        Function::SignRecoverInit => CKF_SIGN_RECOVER,
        Function::VerifyInit | Function::VerifySignatureInit | Function::MessageVerifyInit => CKF_VERIFY,
        Function::VerifyRecoverInit => CKF_VERIFY_RECOVER,
        Function::GenerateKey => CKF_GENERATE,
        Function::GenerateKeyPair => CKF_GENERATE_KEY_PAIR,
        Function::WrapKey | Function::WrapKeyAuthenticated => CKF_WRAP,
        Function::UnwrapKey | Function::UnwrapKeyAuthenticated => CKF_UNWRAP,
        Function::DeriveKey => CKF_DERIVE,
        Function::EncapsulateKey => CKF_ENCAPSULATE,
        Function::DecapsulateKey => CKF_DECAPSULATE,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(name: &str) -> Config {
        toml::from_str::<Config>(&format!("profile = \"{name}\"")).unwrap().settled()
    }

    #[test]
    fn the_default_profile_is_the_plain_module() {
        let plain = Config::default();
        assert!(plain.is_plain() && plain.profile.name() == "default");
        let offered = |info: &&&MechanismInfo| !info.is_legacy && !info.is_leaky;
        assert!(crypto::mechanisms().iter().filter(offered).all(|info| plain.flags(info) == info.flags));
        assert!(toml::from_str::<Config>("profile = \"luna8\"").unwrap_err().to_string().contains("luna7-fips"));
    }

    #[test]
    fn what_a_profile_lacks_exists() {
        for profile in PROFILES {
            let patterns = profile.missing.iter().map(|row| row.0).chain(profile.data.iter().map(|row| row.0));
            for pattern in patterns {
                assert!(
                    crypto::mechanisms().iter().any(|info| is_match(pattern, info.name)),
                    "{}: nothing is called {pattern}",
                    profile.name
                );
            }
            let offered = crypto::mechanisms().iter().filter(|info| config(profile.name).flags(info) != 0).count();
            assert!(offered > 10, "{}: {offered}", profile.name);
        }
    }

    #[test]
    fn what_is_old_is_for_those_who_want_it() {
        let sees = |text: &str| {
            let config = toml::from_str::<Config>(text).unwrap();
            let old: Vec<_> = crypto::mechanisms().iter().filter(|info| info.is_legacy).collect();
            assert!(old.len() >= 5);
            let seen = old.iter().filter(|info| config.flags(info) == info.flags).count();
            assert!(seen == 0 || seen == old.len(), "{text}: {seen} of {}", old.len());
            seen > 0
        };
        assert!(!sees("") && !sees("usage_defaults = \"strict\""));
        assert!(sees("usage_defaults = \"permissive\"") && sees("legacy = true"));
        assert!(!sees("usage_defaults = \"permissive\"\nlegacy = false"));
        for name in Model::names().filter(|name| !matches!(*name, "default" | "softhsm")) {
            assert!(!sees(&format!("profile = \"{name}\"\nusage_defaults = \"permissive\"")), "{name}");
        }
        let p192 = |text: &str| toml::from_str::<Config>(text).unwrap().size_min(crypto::mechanism(CKM_ECDSA).unwrap());
        assert_eq!((p192(""), p192("legacy = true")), (224, 192));
    }

    #[test]
    fn what_leaks_is_off_when_usage_is_strict() {
        let sees = |text: &str| {
            let config = toml::from_str::<Config>(text).unwrap();
            crypto::mechanisms().iter().filter(|info| info.is_leaky && config.flags(info) != 0).count()
        };
        assert_eq!((sees(""), sees("usage_defaults = \"permissive\""), sees("profile = \"luna7\"")), (0, 5, 5));
    }

    #[test]
    fn every_profile_says_what_it_is() {
        for profile in PROFILES {
            let shown = format!("{} {}", profile.names.device, Model(profile).token_model());
            assert!(shown.contains("hsm-sim") && Model(profile).token_model().len() <= 16, "{shown}");
        }
    }

    #[test]
    fn uses_go_one_by_one() {
        let fips = config("luna7-fips");
        let flags = |mechanism| fips.flags(crypto::mechanism(mechanism).unwrap());
        assert_eq!(flags(CKM_RSA_PKCS) & (CKF_DECRYPT | CKF_SIGN), CKF_SIGN);
        assert_eq!(flags(CKM_DES3_CBC) & (CKF_ENCRYPT | CKF_DECRYPT), CKF_DECRYPT);
        assert_eq!(flags(CKM_SHA1_RSA_PKCS) & (CKF_SIGN | CKF_VERIFY), CKF_VERIFY);
        assert!(!fips.offers(Function::SignInit, CKM_SHA1_RSA_PKCS, false));
        assert!(fips.offers(Function::VerifyInit, CKM_SHA1_RSA_PKCS, false));
        let card = config("smartcard");
        assert_eq!(card.flags(crypto::mechanism(CKM_AES_GCM).unwrap()), 0);
    }

    #[test]
    fn pins_look_as_the_profile_has_them() {
        let fits = |name: &str, pin: &[u8]| config(name).check_pin_form(pin).is_ok();
        assert!(fits("default", b"1234") && fits("cloudhsm", b"crypto:secret") && fits("yubihsm2", b"0001password"));
        assert!(!fits("cloudhsm", b"secret") && !fits("cloudhsm", b":x") && !fits("yubihsm2", b"xyz1password"));
    }

    #[test]
    fn options_go_before_the_profile() {
        let text = "profile = \"luna7-fips\"\n[limits]\nmax_sessions = 3";
        let config = toml::from_str::<Config>(text).unwrap().settled();
        assert_eq!((config.limits.max_sessions, config.limits.max_objects), (3, 20_000));
    }
}
