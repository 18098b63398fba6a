//! Records as the API shows them, whichever protocol made them (contract §2; design decision "mapping").

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use super::{content, dates, extract::Microversion};
use crate::domain::{
    ManagedObject, State, Timestamp, UniqueIdentifier,
    access::{Consumer, Grants},
    group::Group,
    secret::SecretType,
};

/// A secret as the API sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret<'a>(pub(super) &'a ManagedObject);

impl<'a> Secret<'a> {
    pub(super) fn name(self) -> Option<&'a str> {
        self.0.shown_name()
    }

    pub(super) fn secret_type(self) -> SecretType {
        self.0.shown_type()
    }

    pub(super) fn algorithm(self) -> Option<String> {
        self.0.shown_algorithm()
    }

    pub(super) fn bit_length(self) -> Option<u32> {
        self.0.shown_bit_length()
    }

    pub(super) fn mode(self) -> Option<&'a str> {
        self.0.secret.mode.as_deref()
    }

    pub(super) const fn created(self) -> Timestamp {
        self.0.lifecycle.initial
    }

    pub(super) fn updated(self) -> Timestamp {
        let changed = self.0.lifecycle.last_change.max(self.0.lifecycle.initial);
        self.0.secret.updated.map_or(changed, |updated| updated.max(changed))
    }

    /// `ACTIVE` while it may be used or will be; `ERROR` when it was revoked through KMIP.
    pub(super) fn status(self, now: Timestamp) -> &'static str {
        match self.0.state(now) {
            State::PreActive | State::Active => "ACTIVE",
            State::Deactivated | State::Compromised | State::Destroyed | State::DestroyedCompromised => "ERROR",
        }
    }

    /// The content type of the payload, when there is one.
    pub(super) fn content_type(self) -> Option<&'a str> {
        self.0.value.as_ref().map(|_| self.0.secret.content_type.as_deref().unwrap_or(content::OCTETS))
    }

    /// The JSON of the secret. `consumers` are members from microversion 1.1 on.
    pub(super) const fn show(self, base: &'a str, now: Timestamp, version: Microversion) -> Shown<'a> {
        Shown { secret: self, base, now, version }
    }
}

/// A secret that is written as JSON: at once, because lists have a hundred of them.
pub(super) struct Shown<'a> {
    secret: Secret<'a>,
    base: &'a str,
    now: Timestamp,
    version: Microversion,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { secret, base, now, version } = *self;
        let mut shown = serializer.serialize_map(None)?;
        shown.serialize_entry("algorithm", &secret.algorithm())?;
        shown.serialize_entry("bit_length", &secret.bit_length())?;
        if version >= Microversion::V1_1 {
            let consumers: Value = secret.0.secret.consumers.iter().map(secret_consumer).collect();
            shown.serialize_entry("consumers", &consumers)?;
        }
        if let Some(content_type) = secret.content_type() {
            shown.serialize_entry("content_types", &ContentTypes { default: content_type })?;
        }
        shown.serialize_entry("created", &dates::show(secret.created()))?;
        shown.serialize_entry("creator_id", &secret.0.creator)?;
        shown.serialize_entry("expiration", &secret.0.secret.expiration.map(dates::show))?;
        shown.serialize_entry("mode", &secret.mode())?;
        shown.serialize_entry("name", &secret.name())?;
        shown.serialize_entry("secret_ref", &secret_ref(base, secret.0.identifier))?;
        shown.serialize_entry("secret_type", secret.secret_type().name())?;
        shown.serialize_entry("status", secret.status(now))?;
        shown.serialize_entry("updated", &dates::show(secret.updated()))?;
        shown.end()
    }
}

#[derive(serde::Serialize)]
struct ContentTypes<'a> {
    default: &'a str,
}

pub(super) fn secret_ref(base: &str, id: UniqueIdentifier) -> String {
    format!("{base}/v1/secrets/{id}")
}

pub(super) fn container_ref(base: &str, id: UniqueIdentifier) -> String {
    format!("{base}/v1/containers/{id}")
}

fn secret_consumer(consumer: &Consumer) -> Value {
    json!({
        "service": consumer.service,
        "resource_type": consumer.resource_type,
        "resource_id": consumer.resource_id,
    })
}

/// A consumer of a secret in a list of consumers.
pub(super) fn listed_secret_consumer(consumer: &Consumer) -> Value {
    with_dates(secret_consumer(consumer), consumer)
}

fn container_consumer(consumer: &Consumer) -> Value {
    json!({"name": consumer.service, "URL": consumer.resource_type})
}

/// A consumer of a container in a list of consumers.
pub(super) fn listed_container_consumer(consumer: &Consumer) -> Value {
    with_dates(container_consumer(consumer), consumer)
}

fn with_dates(mut shown: Value, consumer: &Consumer) -> Value {
    if let Value::Object(members) = &mut shown {
        let at = dates::show(consumer.created);
        members.insert("created".to_owned(), Value::String(at.clone()));
        members.insert("updated".to_owned(), Value::String(at));
        members.insert("status".to_owned(), Value::from("ACTIVE"));
    }
    shown
}

/// A container.
pub(super) fn container(group: &Group, base: &str) -> Value {
    let members = group.members.iter();
    json!({
        "created": dates::show(group.created),
        "updated": dates::show(group.updated),
        "status": "ACTIVE",
        "name": group.name,
        "type": group.kind.name(),
        "creator_id": group.creator,
        "secret_refs": members.map(|member| json!({
            "name": member.name,
            "secret_ref": secret_ref(base, member.object),
        })).collect::<Value>(),
        "consumers": group.consumers.iter().map(container_consumer).collect::<Value>(),
        "container_ref": container_ref(base, group.identifier),
    })
}

/// An access list; the default says so, and `read` is always there.
pub(super) fn grants(grants: Option<&Grants>) -> Value {
    match grants {
        None => json!({"read": {"project-access": true}}),
        Some(grants) => json!({"read": {
            "project-access": grants.project_access,
            "users": grants.users,
            "created": dates::show(grants.created),
            "updated": dates::show(grants.updated),
        }}),
    }
}
