//! Users and devices behind a KMIP client, recognised by the credential of a message (KMIP 2.1 §9.11).
//!
//! The client's certificate has said before which project this is; a credential can only narrow that down to one user or
//! device of it. What such a principal may do is what a member may, on its own objects. Passwords are compared in constant
//! time; one-time and hashed passwords count once, and after ten wrong one-time passwords a user has to wait.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    ops::RangeInclusive,
    sync::Arc,
};

use aws_lc_rs::hmac;
use parking_lot::Mutex;
use thiserror::Error;

use crate::{
    crypto::hash,
    domain::{Principal, Realm, SecretValue, Timestamp, algorithm::HashingAlgorithm},
};

/// What a message says of itself.
pub enum CredentialClaim<'a> {
    /// User name and password.
    Password {
        /// The user.
        user: &'a str,
        /// The password; a name alone proves nothing.
        password: Option<&'a [u8]>,
    },
    /// A device.
    Device(DeviceClaim<'a>),
    /// A one-time password, of six or eight digits.
    OneTime {
        /// The user.
        user: &'a str,
        /// The password beside it, where one is enrolled.
        password: Option<&'a [u8]>,
        /// The digits.
        one_time: &'a [u8],
    },
    /// H(S1 ‖ time) ‖ S2 with S1 = H(user ‖ password) and S2 = H(password ‖ user).
    Hashed {
        /// The user.
        user: &'a str,
        /// When it was made; later each time.
        time: Timestamp,
        /// By which hash.
        hash: HashingAlgorithm,
        /// The value.
        value: &'a [u8],
    },
}

/// The fields of a device's credential.
#[derive(Clone, Copy, Default)]
pub struct DeviceClaim<'a> {
    /// Device Serial Number.
    pub serial_number: Option<&'a str>,
    /// Password.
    pub password: Option<&'a [u8]>,
    /// Device Identifier.
    pub device_identifier: Option<&'a str>,
    /// Network Identifier.
    pub network_identifier: Option<&'a str>,
    /// Machine Identifier.
    pub machine_identifier: Option<&'a str>,
    /// Media Identifier.
    pub media_identifier: Option<&'a str>,
}

/// What one-time passwords move with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OneTimeBy {
    /// Time, in steps of 30 seconds (RFC 6238).
    #[default]
    Time,
    /// A counter, which begins at 0 (RFC 4226).
    Counter,
}

/// The latest one-time step or counter of each user that counted, kept where it outlives the process: none of them counts
/// again after a restart.
pub trait Remembered: fmt::Debug + Send + Sync {
    /// What was remembered for a user.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    fn recall(&self, user: &str) -> Result<Option<i64>, String>;
    /// Remembers, durable when it returns.
    ///
    /// # Errors
    ///
    /// Why it cannot be written.
    fn remember(&self, user: &str, moment: i64) -> Result<(), String>;
}

/// An enrolled user.
#[derive(Debug)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its password, if it has one.
    pub password: Option<SecretValue>,
    /// The secret of its one-time passwords, if it has one.
    pub one_time_secret: Option<SecretValue>,
    /// What they move with.
    pub one_time_by: OneTimeBy,
}

/// An enrolled device.
#[derive(Debug, Default)]
pub struct Device {
    /// The name of the principal that it is.
    pub name: String,
    /// Device Serial Number.
    pub serial_number: Option<String>,
    /// Password.
    pub password: Option<SecretValue>,
    /// Device Identifier.
    pub device_identifier: Option<String>,
    /// Network Identifier.
    pub network_identifier: Option<String>,
    /// Machine Identifier.
    pub machine_identifier: Option<String>,
    /// Media Identifier.
    pub media_identifier: Option<String>,
}

/// A credential that holds.
#[derive(Debug)]
pub struct Proof {
    /// Who it is.
    pub principal: Principal,
    /// What the server proves in return: H(time ‖ S1 ‖ H(S2)), for hashed passwords.
    pub answer: Option<Vec<u8>>,
}

/// Why a credential does not hold; for the log, never for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CredentialRefusal {
    /// Nobody of that name, and unknown ones are not ignored.
    #[error("nobody is enrolled under this name")]
    Unknown,
    /// The password, or a field, is another.
    #[error("the credential is wrong")]
    Wrong,
    /// Too many wrong ones came before it.
    #[error("too many wrong one-time passwords came before; wait")]
    Throttled,
    /// What counted before cannot be told or kept.
    #[error("what counted before is not at hand")]
    Unremembered,
    /// It was used before, or something later was.
    #[error("the credential was used before")]
    Used,
}

/// Seconds of one time step (RFC 6238 §4).
const STEP: i64 = 30;
/// Steps before and after the present one that count, for clocks that differ.
const DRIFT: i64 = 1;
/// Counters after the expected one that count, for passwords that were made and not used (RFC 4226 §7.4).
const LOOK_AHEAD: i64 = 10;
/// Wrong one-time passwords in a row after which a user waits, and how many seconds (RFC 4226 §7.3).
const WRONG_MAX: u32 = 10;
const WAIT_SECONDS: i64 = 60;
/// How much older than this process a hashed password may be.
const OLDEST_SECONDS: i64 = 300;

/// What counted last for one user.
#[derive(Debug)]
struct Last {
    /// The one-time step or counter.
    moment: i64,
    /// The time of a hashed password, in microseconds.
    hashed: i64,
    /// Wrong one-time passwords since a right one.
    wrong: u32,
    /// When the latest of them came, in seconds.
    wrong_at: i64,
}

impl Default for Last {
    fn default() -> Self {
        Self { moment: -1, hashed: i64::MIN, wrong: 0, wrong_at: 0 }
    }
}

/// Everybody who is enrolled.
#[derive(Debug, Default)]
pub struct Credentials {
    users: HashMap<String, User>,
    devices: Vec<Device>,
    refuse_unknown: bool,
    /// What counted last, by user.
    used: Mutex<HashMap<String, Last>>,
    remembered: Option<Arc<dyn Remembered>>,
    started: i64,
}

impl Credentials {
    /// Takes the enrolled users and devices.
    ///
    /// # Errors
    ///
    /// Every mistake, one line each: names that stand twice, entries that prove nothing.
    pub fn new(
        users: Vec<User>,
        devices: Vec<Device>,
        refuse_unknown: bool,
        started: Timestamp,
    ) -> Result<Self, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut by_name = HashMap::new();
        for user in users {
            if user.password.is_none() && user.one_time_secret.is_none() {
                mistakes.push(format!("user `{}` has neither password nor one-time passwords", user.name));
            }
            if let Some(twice) = by_name.insert(user.name.clone(), user) {
                mistakes.push(format!("two users are called `{}`", twice.name));
            }
        }
        for (index, device) in devices.iter().enumerate() {
            let fields = [
                &device.serial_number,
                &device.device_identifier,
                &device.network_identifier,
                &device.machine_identifier,
                &device.media_identifier,
            ];
            if device.password.is_none() && fields.iter().all(|field| field.is_none()) {
                mistakes.push(format!("device `{}` has nothing to be recognised by", device.name));
            }
            let earlier = devices.iter().take(index).any(|other| other.name == device.name);
            if earlier || by_name.contains_key(&device.name) {
                mistakes.push(format!("two users or devices are called `{}`", device.name));
            }
        }
        let started = started.micros();
        if mistakes.is_empty() {
            Ok(Self { users: by_name, devices, refuse_unknown, used: Mutex::default(), remembered: None, started })
        } else {
            Err(mistakes)
        }
    }

    /// Keeps what counted last where it outlives the process.
    #[must_use]
    pub fn remembering(mut self, remembered: Arc<dyn Remembered>) -> Self {
        self.remembered = Some(remembered);
        self
    }

    /// Who a credential proves the peer to be; `None` for somebody unknown who counts for nothing.
    ///
    /// # Errors
    ///
    /// [`CredentialRefusal`].
    pub fn verify(
        &self,
        client: &Principal,
        claim: &CredentialClaim<'_>,
        now: Timestamp,
    ) -> Result<Option<Proof>, CredentialRefusal> {
        let unknown = if self.refuse_unknown { Err(CredentialRefusal::Unknown) } else { Ok(None) };
        let proof = |name: &str, answer| Ok(Some(Proof { principal: personal(client, name), answer }));
        match claim {
            CredentialClaim::Password { user, password } => {
                let Some(known) = self.users.get(*user) else { return unknown };
                right(known.password.as_ref(), *password)?;
                proof(user, None)
            }
            CredentialClaim::OneTime { user, password, one_time } => {
                let Some(known) = self.users.get(*user) else { return unknown };
                if known.password.is_some() && password.is_some() {
                    right(known.password.as_ref(), *password)?;
                }
                let secret = known.one_time_secret.as_ref().ok_or(CredentialRefusal::Wrong)?;
                self.one_time(user, secret, known.one_time_by, one_time, now)?;
                proof(user, None)
            }
            CredentialClaim::Hashed { user, time, hash, value } => {
                let Some(known) = self.users.get(*user) else { return unknown };
                let password = known.password.as_ref().ok_or(CredentialRefusal::Wrong)?;
                let answer = self.hashed(user, password, *time, *hash, value)?;
                proof(user, Some(answer))
            }
            CredentialClaim::Device(device) => match self.devices.iter().find(|known| is_of(known, device)) {
                Some(known) => proof(&known.name, None),
                None if self.devices.iter().any(|known| names(known, device)) => Err(CredentialRefusal::Wrong),
                None => unknown,
            },
        }
    }

    /// Lets a one-time password count, once.
    fn one_time(
        &self,
        user: &str,
        secret: &SecretValue,
        by: OneTimeBy,
        digits: &[u8],
        now: Timestamp,
    ) -> Result<(), CredentialRefusal> {
        let mut used = self.used.lock();
        let last = match used.entry(user.to_owned()) {
            Entry::Occupied(last) => last.into_mut(),
            Entry::Vacant(none) => {
                let kept = self.remembered.as_ref().map(|kept| kept.recall(user)).transpose();
                let moment = kept.map_err(|error| unremembered(&error))?.flatten();
                none.insert(Last { moment: moment.unwrap_or(-1), ..Last::default() })
            }
        };
        if last.wrong >= WRONG_MAX && now.seconds() < last.wrong_at.saturating_add(WAIT_SECONDS) {
            return Err(CredentialRefusal::Throttled);
        }
        let present = now.seconds().div_euclid(STEP);
        let window = match by {
            OneTimeBy::Time => present - DRIFT..=present + DRIFT,
            OneTimeBy::Counter => last.moment.saturating_add(1)..=last.moment.saturating_add(1 + LOOK_AHEAD),
        };
        let Some(moment) = moment_of(secret, digits, window) else {
            last.wrong = last.wrong.saturating_add(1);
            last.wrong_at = now.seconds();
            return Err(CredentialRefusal::Wrong);
        };
        if moment <= last.moment {
            return Err(CredentialRefusal::Used);
        }
        if let Some(kept) = &self.remembered {
            kept.remember(user, moment).map_err(|error| unremembered(&error))?;
        }
        (last.moment, last.wrong) = (moment, 0);
        Ok(())
    }

    fn hashed(
        &self,
        user: &str,
        password: &SecretValue,
        time: Timestamp,
        algorithm: HashingAlgorithm,
        value: &[u8],
    ) -> Result<Vec<u8>, CredentialRefusal> {
        #[expect(clippy::disallowed_methods, reason = "the password is hashed to be compared")]
        let password = password.expose_secret();
        let digest = |parts: &[&[u8]]| {
            let joined = zeroize::Zeroizing::new(parts.concat());
            hash::digest(algorithm, &joined).map_err(|_unknown_hash| CredentialRefusal::Wrong)
        };
        let stamp = time.micros().to_be_bytes();
        let (first, second) = (digest(&[user.as_bytes(), password])?, digest(&[password, user.as_bytes()])?);
        let expected = [digest(&[&first, &stamp])?, second.clone()].concat();
        if !SecretValue::new(expected).matches(&SecretValue::new(value.to_vec())) {
            return Err(CredentialRefusal::Wrong);
        }
        let mut used = self.used.lock();
        let last = used.entry(user.to_owned()).or_default();
        // Nothing is remembered of times before this process: those are not taken at all.
        if time.micros() <= last.hashed || time.micros() < self.started.saturating_sub(OLDEST_SECONDS * 1_000_000) {
            return Err(CredentialRefusal::Used);
        }
        last.hashed = time.micros();
        drop(used);
        digest(&[&stamp, &first, &digest(&[&second])?])
    }
}

/// The client, narrowed down to one user of it: a member of the project, and never an administrator by a password.
fn personal(client: &Principal, name: &str) -> Principal {
    let roles = client.roles.iter().filter(|role| *role != "admin").cloned().collect();
    Principal {
        name: Some(name.to_owned()),
        project: client.project.clone(),
        roles,
        realm: Realm::Certificate,
        user_name: None,
    }
}

fn right(known: Option<&SecretValue>, given: Option<&[u8]>) -> Result<(), CredentialRefusal> {
    match (known, given) {
        (Some(known), Some(given)) if known.matches(&SecretValue::new(given.to_vec())) => Ok(()),
        _ => Err(CredentialRefusal::Wrong),
    }
}

/// Whether all given fields are this device's, and its password is given where it has one.
fn is_of(known: &Device, given: &DeviceClaim<'_>) -> bool {
    let fits = |known: &Option<String>, given: Option<&str>| given.is_none() || known.as_deref() == given;
    let some = pairs(known, given).into_iter().any(|(_, given)| given.is_some());
    let password = match (&known.password, given.password) {
        (None, None) => true,
        (known, given) => right(known.as_ref(), given).is_ok(),
    };
    (some || known.password.is_some())
        && password
        && pairs(known, given).into_iter().all(|(known, given)| fits(known, given))
}

/// Whether the claim means this device by its serial number or identifier.
fn names(known: &Device, given: &DeviceClaim<'_>) -> bool {
    let same = |known: &Option<String>, given: Option<&str>| given.is_some() && known.as_deref() == given;
    same(&known.serial_number, given.serial_number) || same(&known.device_identifier, given.device_identifier)
}

fn pairs<'k, 'g>(known: &'k Device, given: &DeviceClaim<'g>) -> [(&'k Option<String>, Option<&'g str>); 5] {
    [
        (&known.serial_number, given.serial_number),
        (&known.device_identifier, given.device_identifier),
        (&known.network_identifier, given.network_identifier),
        (&known.machine_identifier, given.machine_identifier),
        (&known.media_identifier, given.media_identifier),
    ]
}

fn unremembered(error: &str) -> CredentialRefusal {
    tracing::error!(error, "what one-time passwords counted before");
    CredentialRefusal::Unremembered
}

/// The moment of the window whose password this is (RFC 4226 §5.3, HMAC-SHA-1).
fn moment_of(secret: &SecretValue, digits: &[u8], window: RangeInclusive<i64>) -> Option<i64> {
    let count = u32::try_from(digits.len()).ok().filter(|count| matches!(count, 6..=8))?;
    let given: u32 =
        std::str::from_utf8(digits).ok().filter(|it| it.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
    #[expect(clippy::disallowed_methods, reason = "the secret makes the password that is compared")]
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose_secret());
    let mut found = None;
    for moment in window {
        let tag = hmac::sign(&key, &moment.to_be_bytes());
        let bytes = tag.as_ref();
        let offset = usize::from(bytes.last()? & 0xF);
        let window: [u8; 4] = bytes.get(offset..offset + 4)?.try_into().ok()?;
        let code = (u32::from_be_bytes(window) & 0x7FFF_FFFF) % 10_u32.pow(count);
        // Every one is computed, so that the time taken tells nothing; the first that fits counts.
        if code == given && found.is_none() {
            found = Some(moment);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ProjectId, access::expand_roles};

    fn client() -> Principal {
        Principal {
            name: Some("client".into()),
            project: ProjectId("p".into()),
            roles: expand_roles(["admin"]),
            realm: Realm::Certificate,
            user_name: None,
        }
    }

    fn secret(text: &str) -> Option<SecretValue> {
        Some(SecretValue::new(text.as_bytes().to_vec()))
    }

    fn enrolled(refuse_unknown: bool) -> Credentials {
        let user = User {
            name: "fred".into(),
            password: secret("password1"),
            one_time_secret: secret("12345678901234567890"),
            one_time_by: OneTimeBy::Time,
        };
        let device = Device {
            name: "array".into(),
            serial_number: Some("s1".into()),
            password: secret("secret"),
            device_identifier: Some("d1".into()),
            ..Device::default()
        };
        Credentials::new(vec![user], vec![device], refuse_unknown, NOW).unwrap()
    }

    const NOW: Timestamp = Timestamp::from_seconds(1_111_111_109);

    fn name(result: Result<Option<Proof>, CredentialRefusal>) -> Result<Option<String>, CredentialRefusal> {
        result.map(|proof| proof.and_then(|proof| proof.principal.name))
    }

    #[test]
    fn a_password_makes_the_client_one_of_its_users() {
        let claim = |user, password| CredentialClaim::Password { user, password };
        let ours = enrolled(false);
        let fred = ours.verify(&client(), &claim("fred", Some(b"password1")), NOW).unwrap().unwrap().principal;
        assert_eq!(
            (fred.name.as_deref(), fred.has_role("member"), fred.has_role("admin")),
            (Some("fred"), true, false)
        );
        for wrong in [Some(b"password2".as_slice()), Some(b""), None] {
            assert_eq!(name(ours.verify(&client(), &claim("fred", wrong), NOW)), Err(CredentialRefusal::Wrong));
        }
        assert_eq!(name(ours.verify(&client(), &claim("nobody", None), NOW)), Ok(None));
        let strict = enrolled(true);
        assert_eq!(name(strict.verify(&client(), &claim("nobody", None), NOW)), Err(CredentialRefusal::Unknown));
    }

    #[test]
    fn every_given_field_of_a_device_must_be_its_own() {
        let ours = enrolled(false);
        let claim = DeviceClaim { serial_number: Some("s1"), password: Some(b"secret"), ..DeviceClaim::default() };
        let verify = |claim| name(ours.verify(&client(), &CredentialClaim::Device(claim), NOW));
        assert_eq!(verify(claim), Ok(Some("array".into())));
        assert_eq!(verify(DeviceClaim { device_identifier: Some("d1"), ..claim }), Ok(Some("array".into())));
        assert_eq!(verify(DeviceClaim { device_identifier: Some("d2"), ..claim }), Err(CredentialRefusal::Wrong));
        assert_eq!(verify(DeviceClaim { media_identifier: Some("m"), ..claim }), Err(CredentialRefusal::Wrong));
        assert_eq!(verify(DeviceClaim { password: None, ..claim }), Err(CredentialRefusal::Wrong));
        assert_eq!(verify(DeviceClaim { serial_number: Some("s2"), ..claim }), Ok(None));
    }

    #[test]
    fn a_one_time_password_counts_once() {
        // RFC 6238, appendix B: at 1111111109 the eight digits are 07081804.
        let ours = enrolled(false);
        let claim = || CredentialClaim::OneTime { user: "fred", password: None, one_time: b"07081804" };
        assert_eq!(name(ours.verify(&client(), &claim(), NOW)), Ok(Some("fred".into())));
        assert_eq!(name(ours.verify(&client(), &claim(), NOW)), Err(CredentialRefusal::Used));
        let wrong = CredentialClaim::OneTime { user: "fred", password: None, one_time: b"07081805" };
        assert_eq!(name(ours.verify(&client(), &wrong, NOW)), Err(CredentialRefusal::Wrong));
    }

    /// What outlives a process, for tests.
    #[derive(Debug, Default)]
    struct Kept(Mutex<HashMap<String, i64>>);

    impl Remembered for Kept {
        fn recall(&self, user: &str) -> Result<Option<i64>, String> {
            Ok(self.0.lock().get(user).copied())
        }

        fn remember(&self, user: &str, moment: i64) -> Result<(), String> {
            self.0.lock().insert(user.to_owned(), moment);
            Ok(())
        }
    }

    #[test]
    fn a_password_by_a_counter_counts_once_also_after_a_restart() {
        // RFC 4226, appendix D: the passwords of counters 0 to 9.
        const PASSWORDS: [&[u8]; 10] = [
            b"755224", b"287082", b"359152", b"969429", b"338314", b"254676", b"287922", b"162583", b"399871",
            b"520489",
        ];
        let kept = Arc::new(Kept::default());
        let process = || {
            let one_time_secret = secret("12345678901234567890");
            let user = User { name: "fred".into(), password: None, one_time_secret, one_time_by: OneTimeBy::Counter };
            let kept: Arc<dyn Remembered> = Arc::<Kept>::clone(&kept);
            Credentials::new(vec![user], Vec::new(), false, NOW).unwrap().remembering(kept)
        };
        let verify = |ours: &Credentials, one_time: &[u8], now| {
            name(ours.verify(&client(), &CredentialClaim::OneTime { user: "fred", password: None, one_time }, now))
        };
        let ours = process();
        for password in &PASSWORDS[..3] {
            assert_eq!(verify(&ours, password, NOW), Ok(Some("fred".into())));
            assert_eq!(verify(&ours, password, NOW), Err(CredentialRefusal::Wrong));
        }
        let ours = process();
        assert_eq!(verify(&ours, PASSWORDS[2], NOW), Err(CredentialRefusal::Wrong));
        // Three were made and not used.
        assert_eq!(verify(&ours, PASSWORDS[6], NOW), Ok(Some("fred".into())));
        assert_eq!(verify(&ours, PASSWORDS[5], NOW), Err(CredentialRefusal::Wrong));
        for _ in 1..WRONG_MAX {
            assert_eq!(verify(&ours, b"000000", NOW), Err(CredentialRefusal::Wrong));
        }
        assert_eq!(verify(&ours, PASSWORDS[7], NOW), Err(CredentialRefusal::Throttled));
        assert_eq!(verify(&ours, PASSWORDS[7], NOW.plus_seconds(WAIT_SECONDS)), Ok(Some("fred".into())));
    }

    #[test]
    fn a_hashed_password_moves_forward_in_time_and_is_answered() {
        let ours = enrolled(false);
        let hash = HashingAlgorithm::SHA_256;
        let sha = |parts: &[&[u8]]| hash::sha256_of(parts).to_vec();
        let (first, second) = (sha(&[b"fred", b"password1"]), sha(&[b"password1", b"fred"]));
        let value = |time: Timestamp| [sha(&[&first, &time.micros().to_be_bytes()]), second.clone()].concat();
        let verify = |time: Timestamp, value: &[u8]| {
            ours.verify(&client(), &CredentialClaim::Hashed { user: "fred", time, hash, value }, NOW)
        };
        let later = Timestamp::from_micros(NOW.micros() + 5);
        let proof = verify(later, &value(later)).unwrap().unwrap();
        assert_eq!(proof.answer, Some(sha(&[&later.micros().to_be_bytes(), &first, &sha(&[&second])])));
        assert_eq!(name(verify(later, &value(later))), Err(CredentialRefusal::Used));
        assert_eq!(name(verify(NOW, &value(NOW))), Err(CredentialRefusal::Used));
        assert_eq!(name(verify(later, &value(NOW))), Err(CredentialRefusal::Wrong));
    }
}
