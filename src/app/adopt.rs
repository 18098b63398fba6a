//! `portcullis hsm adopt`: keys that others have put on a token become managed objects of a project.
//!
//! The gateway that runs does it, because it alone has the store; where none runs, the command starts what it needs of one.
//! A key is renamed on the token to the identifier it gets, and nothing else of it changes.

use std::{path::PathBuf, process::ExitCode, sync::Arc};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{
    control,
    problem::{Explain as _, Problem},
};
use crate::{
    config::Config,
    domain::{
        ObjectType, Principal, ProjectId, Realm, Timestamp, TokenId, TokenReference, UniqueIdentifier, UsageMask,
        audit::Protocol,
        reference::{CkaId, DataHolder, HeldBytes, KeyKind},
    },
    engine::{
        Caller, Engine,
        ops::adopt::{Adopt, AdoptedKey, Renaming},
        ports::{Answer, HsmError, Lane},
    },
    hsm::{
        Pool,
        adopt::{By, Foreign, KeyClass, Owner},
    },
};

/// Which key, and whose it becomes.
#[derive(Debug, Args)]
pub(super) struct AdoptArguments {
    /// The configuration file; config/gateway.toml documents every option.
    #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "FILE")]
    pub(super) config: PathBuf,
    /// The configured name of the token.
    #[arg(long, value_name = "TOKEN")]
    token: String,
    /// The key's CKA_ID, in hexadecimal digits.
    #[arg(long, value_name = "HEX", required_unless_present = "label", conflicts_with = "label")]
    id: Option<String>,
    /// The key's CKA_LABEL.
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Which of several keys of that name; without it, a private and a public key of one CKA_ID are a pair.
    #[arg(long, value_enum, value_name = "CLASS")]
    object_class: Option<Class>,
    /// The project that owns it from now on.
    #[arg(long, value_name = "P")]
    project: String,
    /// Its KMIP name; the public half of a pair gets `-public` behind it.
    #[arg(long, value_name = "N")]
    name: Option<String>,
    /// Says what would be adopted and changes nothing.
    #[arg(long)]
    dry_run: bool,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Class {
    #[value(name = "secret-key")]
    Secret,
    #[value(name = "private-key")]
    Private,
    #[value(name = "public-key")]
    Public,
}

/// What is ordered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Adoption {
    token: String,
    by: By,
    class: Option<KeyClass>,
    project: String,
    name: Option<String>,
    dry_run: bool,
}

/// A key that was adopted, or would be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Adopted {
    /// Its identifier; none in a dry run, where it may become another.
    identifier: Option<String>,
    object_type: String,
    kind: String,
    bits: u32,
    usage: u32,
    extractable: bool,
    /// `CKA_ID` until now, in hexadecimal digits.
    id: String,
    /// `CKA_LABEL` until now.
    label: String,
    notes: Vec<String>,
}

/// The command.
pub(super) fn run(config: Config, arguments: &AdoptArguments) -> Result<ExitCode, Problem> {
    let by = match (&arguments.id, &arguments.label) {
        (Some(id), _) => By::Id(bytes(id).ok_or_else(|| {
            Problem::new("PC-HSM-ADOPT", format!("`{id}` is no CKA_ID"), "give 1 to 64 bytes as hexadecimal digits")
        })?),
        (None, label) => By::Label(label.clone().unwrap_or_default()),
    };
    let class = arguments.object_class.map(|class| match class {
        Class::Secret => KeyClass::SecretKey,
        Class::Private => KeyClass::PrivateKey,
        Class::Public => KeyClass::PublicKey,
    });
    let adoption = Adoption {
        token: arguments.token.clone(),
        by,
        class,
        project: arguments.project.clone(),
        name: arguments.name.clone(),
        dry_run: arguments.dry_run,
    };
    let adopted = control::adopt(config, adoption)?;
    let text = if arguments.json {
        serde_json::to_string_pretty(&adopted).explain("PC-OUTPUT", "the answer", "")? + "\n"
    } else {
        adopted.iter().map(|one| described(one, &arguments.project)).collect()
    };
    super::inspect::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Longer identifiers are nobody's.
const ID_BYTES_MAX: usize = 64;

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let fits = digits.len().is_multiple_of(2) && (2..=2 * ID_BYTES_MAX).contains(&digits.len());
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let is_digit = digits.iter().all(u8::is_ascii_hexdigit);
    (fits && is_digit).then(|| digits.chunks_exact(2).map(byte).collect()).flatten()
}

fn described(one: &Adopted, project: &str) -> String {
    let identifier = one.identifier.as_deref().map_or_else(
        || "would be adopted".to_owned(),
        |identifier| format!("is {identifier} of project {project} from now on"),
    );
    let leaves = if one.extractable { "may leave the token" } else { "cannot leave the token" };
    let mut text = format!(
        "{} {} of {} bits, usage mask 0x{:08X}, {leaves}; label {:?}, CKA_ID {}: {identifier}\n",
        one.object_type, one.kind, one.bits, one.usage, one.label, one.id
    );
    for note in &one.notes {
        text.push_str(&format!("  {note}\n"));
    }
    text
}

/// Finds the key, checks that it is the one and nobody's, and takes it in.
pub(super) async fn adopt(engine: &Arc<Engine>, pool: &Arc<Pool>, adoption: Adoption) -> Result<Vec<Adopted>, String> {
    let token = TokenId(adoption.token.clone());
    let names = pool.names_of(&token).map_err(|_unknown| format!("there is no token hsm.{token}"))?;
    let found = pool.foreign(&token, adoption.by.clone(), adoption.class).await;
    let found = chosen(found.map_err(|error| error.to_string())?, &adoption.by)?;
    for one in &found {
        if let Some(why) = taken(engine, one).await? {
            return Err(why);
        }
    }
    if names.len() > 1 {
        // What one token of such a group has and the others lack is cleared away when they are made equal.
        return Err(format!(
            "hsm.{token} is of a replicated group, whose tokens hold the same; keys are adopted on other tokens only"
        ));
    }
    let mut adopted: Vec<Adopted> = found.iter().map(|one| shown(one, &token)).collect();
    if adoption.dry_run {
        return Ok(adopted);
    }
    let moves: Vec<(Foreign, UniqueIdentifier)> =
        found.into_iter().map(|one| (one.clone(), identifier(&one))).collect();
    let keys = moves.iter().map(|(one, id)| adopted_key(one, *id, &token, adoption.name.as_deref())).collect();
    let moves = moves.into_iter().map(|(one, id)| (one, id.cka_id())).collect();
    let renaming = Box::new(Moves { pool: Arc::clone(pool), token: token.clone(), moves });
    let objects = engine.execute(&operator(adoption.project), Adopt { keys, renaming }).await;
    let objects = objects.map_err(|error| error.to_string())?;
    for (one, object) in adopted.iter_mut().zip(&objects) {
        one.identifier = Some(object.identifier.to_string());
    }
    Ok(adopted)
}

/// The one key that is meant, or the two halves of one pair, the private one first.
fn chosen(mut found: Vec<Foreign>, by: &By) -> Result<Vec<Foreign>, String> {
    let meant = match by {
        By::Id(id) => format!("CKA_ID {}", hex(id)),
        By::Label(label) => format!("label {label:?}"),
    };
    let of = |class| found.iter().filter(|one| one.class == class).count();
    let counts = KeyClass::ALL.map(of);
    let listed = || {
        let each = found.iter().map(|one| {
            format!("{:?} with label {:?} and CKA_ID {}", one.class, String::from_utf8_lossy(&one.label), hex(&one.id))
        });
        each.collect::<Vec<_>>().join("; ")
    };
    match counts {
        [0, 0, 0] => {
            Err(format!("no secret, private or public key has the {meant}; certificates and data are not adopted"))
        }
        [1, 0, 0] | [0, 1, 0] | [0, 0, 1] => Ok(found),
        [0, 1, 1] => {
            let (one, other) = (found.first().map(|one| &one.id), found.last().map(|one| &one.id));
            if one != other {
                let all = listed();
                return Err(format!(
                    "two keys have the {meant}, and they are no pair: {all}; use --id or --object-class"
                ));
            }
            found.sort_by_key(|one| one.class != KeyClass::PrivateKey);
            Ok(found)
        }
        _ => Err(format!("several keys have the {meant}: {}; use --id or --object-class, or rename one", listed())),
    }
}

/// Why the key is not to be had.
async fn taken(engine: &Engine, one: &Foreign) -> Result<Option<String>, String> {
    let by_id = one.id.first_chunk::<16>().filter(|_| one.id.len() == 16).map(|id| CkaId(*id));
    let ids = match one.owner {
        Owner::System => return Ok(Some("it is one of the gateway's own keys".to_owned())),
        Owner::Managed(id) => [Some(id), by_id],
        Owner::Other => [by_id, None],
    };
    for id in ids.into_iter().flatten() {
        let id = UniqueIdentifier::from_bytes(id.0);
        let known = engine.ports().store.object(id).await.map_err(|error| error.to_string())?;
        if let Some(known) = known {
            return Ok(Some(format!("it is managed already: {id} of project {}", known.record.project.0)));
        }
    }
    Ok(None)
}

/// The one that it bears already, where it lost its record; else a new one.
fn identifier(one: &Foreign) -> UniqueIdentifier {
    match one.owner {
        Owner::Managed(id) if one.id == id.0 => {
            let kept = UniqueIdentifier::from_bytes(id.0);
            // Clients name objects by this text, so it must be one.
            kept.to_string().parse().unwrap_or_else(|_other_version| fresh())
        }
        _ => fresh(),
    }
}

fn fresh() -> UniqueIdentifier {
    UniqueIdentifier::from_random(uuid::Uuid::new_v4().into_bytes())
}

/// Whether a generic secret is a key that makes MACs.
const fn makes_macs(usage: UsageMask) -> bool {
    usage.intersects(UsageMask::MAC_GENERATE.with(UsageMask::MAC_VERIFY))
}

const fn object_type(one: &Foreign) -> ObjectType {
    match (one.class, one.kind) {
        (KeyClass::PrivateKey, _) => ObjectType::PrivateKey,
        (KeyClass::PublicKey, _) => ObjectType::PublicKey,
        (KeyClass::SecretKey, KeyKind::Generic) if !makes_macs(one.usage) => ObjectType::SecretData,
        (KeyClass::SecretKey, _) => ObjectType::SymmetricKey,
    }
}

fn adopted_key(one: &Foreign, identifier: UniqueIdentifier, place: &TokenId, name: Option<&str>) -> AdoptedKey {
    let object_type = object_type(one);
    let is_data = object_type == ObjectType::SecretData;
    let held = HeldBytes { holder: DataHolder::GenericSecret, length: one.bits / 8 };
    let kind = (!is_data).then_some(one.kind);
    let suffix = if one.class == KeyClass::PublicKey { "-public" } else { "" };
    AdoptedKey {
        identifier,
        object_type,
        kind,
        bits: one.bits,
        reference: TokenReference {
            token: place.clone(),
            cka_id: identifier.cka_id(),
            key: kind,
            bytes: is_data.then_some(held),
        },
        usage: one.usage,
        extractable: one.extractable,
        never_extractable: one.never_extractable,
        activation: one.start.and_then(|date| day(date, 0)),
        // The day that is named still belongs to it.
        deactivation: one.end.and_then(|date| day(date, 86_400)),
        name: name.map(|name| format!("{name}{suffix}")),
    }
}

fn day((year, month, day): (i32, u8, u8), after: i64) -> Option<Timestamp> {
    let date = time::Date::from_calendar_date(year, time::Month::try_from(month).ok()?, day).ok()?;
    Some(Timestamp::from_seconds(date.midnight().assume_utc().unix_timestamp()).plus_seconds(after))
}

fn shown(one: &Foreign, token: &TokenId) -> Adopted {
    let mut notes = Vec::new();
    if one.class != KeyClass::PublicKey && !one.sensitive {
        notes.push(format!("hsm.{token} gave its value to anybody who logged in; it is made sensitive, for good"));
    }
    if one.kind == KeyKind::Generic && makes_macs(one.usage) {
        notes.push("the token does not say of which hash: it is taken for an HMAC-SHA256 key".to_owned());
    }
    if one.usage.intersects(UsageMask::WRAP) && one.usage.intersects(UsageMask::DECRYPT) {
        notes.push("it may wrap and decrypt: who may use it can read every key that it wrapped".to_owned());
    }
    notes.push("CKA_ID and CKA_LABEL change: programs that look for the old ones find it no more".to_owned());
    Adopted {
        identifier: None,
        object_type: object_type(one).name().to_owned(),
        kind: format!("{:?}", one.kind),
        bits: one.bits,
        usage: one.usage.0,
        extractable: one.extractable,
        id: hex(&one.id),
        label: String::from_utf8_lossy(&one.label).into_owned(),
        notes,
    }
}

fn hex(bytes: &[u8]) -> String {
    crate::crypto::hash::to_hex(bytes)
}

/// The operator, acting for a project.
fn operator(project: String) -> Caller {
    Caller {
        principal: Arc::new(Principal {
            name: None,
            project: ProjectId(project),
            roles: Vec::new(),
            realm: Realm::System,
            user_name: None,
        }),
        protocol: Protocol::Internal,
        request: "adopt".to_owned(),
        address: None,
        transaction: None,
        http: None,
        lane: Lane::Interactive,
        bounds: None,
    }
}

/// Keys of one token, and the names they get.
struct Moves {
    pool: Arc<Pool>,
    token: TokenId,
    moves: Vec<(Foreign, CkaId)>,
}

impl Moves {
    async fn give_back(&self, count: usize) {
        for (one, to) in self.moves.iter().take(count) {
            if let Err(error) = self.pool.give_back(&self.token, one.clone(), *to).await {
                tracing::error!(%error, token = %self.token, now = %hex(&to.0), before = %hex(&one.id), "a key keeps its new name");
            }
        }
    }
}

impl Renaming for Moves {
    fn rename(&self) -> Answer<'_, Result<(), HsmError>> {
        Box::pin(async move {
            for (done, (one, to)) in self.moves.iter().enumerate() {
                if let Err(error) = self.pool.rename(&self.token, one.clone(), *to).await {
                    self.give_back(done).await;
                    return Err(error);
                }
            }
            Ok(())
        })
    }

    fn undo(&self) -> Answer<'_, ()> {
        Box::pin(self.give_back(self.moves.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(class: KeyClass, id: &[u8]) -> Foreign {
        Foreign {
            class,
            id: id.to_vec(),
            label: b"app key".to_vec(),
            owner: Owner::Other,
            kind: KeyKind::Aes,
            bits: 256,
            usage: UsageMask::ENCRYPT,
            sensitive: true,
            extractable: false,
            never_extractable: true,
            start: None,
            end: Some((2030, 12, 31)),
        }
    }

    #[test]
    fn an_id_is_hexadecimal_digits() {
        assert_eq!(bytes("0aFf"), Some(vec![0x0A, 0xFF]));
        assert_eq!(bytes("0a:ff"), Some(vec![0x0A, 0xFF]));
        for wrong in ["", "0", "0x", "+1", "zz", &"00".repeat(65)] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn one_key_or_one_pair_is_meant_and_nothing_else() {
        use KeyClass::{PrivateKey, PublicKey, SecretKey};
        let by = By::Label("app key".to_owned());
        let pick = |keys: &[(KeyClass, &[u8])]| {
            chosen(keys.iter().map(|(class, id)| key(*class, id)).collect(), &by).map(|found| found.len())
        };
        assert_eq!(pick(&[(SecretKey, b"1")]), Ok(1));
        assert_eq!(pick(&[(PublicKey, b"1"), (PrivateKey, b"1")]), Ok(2));
        assert_eq!(pick(&[(PrivateKey, b"1")]), Ok(1));
        assert!(pick(&[]).unwrap_err().contains("no secret"));
        assert!(pick(&[(PublicKey, b"1"), (PrivateKey, b"2")]).unwrap_err().contains("no pair"));
        for several in [
            &[(SecretKey, &b"1"[..]), (SecretKey, b"2")][..],
            &[(SecretKey, b"1"), (PrivateKey, b"1")],
            &[(PrivateKey, b"1"), (PrivateKey, b"1"), (PublicKey, b"1")],
        ] {
            assert!(pick(several).unwrap_err().contains("several keys"), "{several:?}");
        }
    }

    #[test]
    fn the_last_day_belongs_to_the_key() {
        let adopted = adopted_key(&key(KeyClass::SecretKey, b"1"), fresh(), &TokenId("main".into()), Some("name"));
        assert_eq!(adopted.deactivation.map(Timestamp::seconds), Some(1_924_992_000));
        assert_eq!(day((2030, 2, 30), 0), None);
        assert_eq!(adopted.name.as_deref(), Some("name"));
    }
}
