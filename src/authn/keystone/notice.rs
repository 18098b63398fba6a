//! Keystone's notices (oslo.messaging notifications, envelope 2.0) of deleted projects.
//!
//! Keystone says `identity.project.deleted` in two forms, `basic` and `cadf`; both name the project in
//! `payload.resource_info`. Everything else on the bus is no business of ours.

use serde::Deserialize;
use thiserror::Error;

use crate::domain::ProjectId;

/// The notice that a project is gone.
const PROJECT_DELETED: &str = "identity.project.deleted";
/// Keystone's own limit of an identifier.
const ID_BYTES_MAX: usize = 64;

/// What makes a message no notice.
#[derive(Debug, Error)]
pub enum NoticeError {
    /// It is no JSON of the form of notices.
    #[error("it is not the JSON of a notice: {0}")]
    Json(#[from] serde_json::Error),
    /// An envelope of a later version.
    #[error("its envelope is of version {0}; 2.x is known")]
    Envelope(String),
    /// It names nothing that an identifier of a project looks like.
    #[error("it does not name a project")]
    Project,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "oslo.version")]
    version: Option<String>,
    #[serde(rename = "oslo.message")]
    message: Option<String>,
}

#[derive(Deserialize)]
struct Notice {
    event_type: String,
    #[serde(default)]
    payload: serde_json::Value,
}

#[derive(Deserialize)]
struct Payload {
    resource_info: String,
    /// Of the form `cadf`.
    outcome: Option<String>,
}

/// The project that a message tells to be gone; `None` when it tells of something else.
///
/// # Errors
///
/// For what is no notice, and for a notice of a deleted project that does not say which.
pub fn deleted_project(message: &[u8]) -> Result<Option<ProjectId>, NoticeError> {
    let envelope: Envelope = serde_json::from_slice(message)?;
    let notice: Notice = match (envelope.version, envelope.message) {
        (Some(version), _) if !version.starts_with("2.") => return Err(NoticeError::Envelope(version)),
        (_, Some(inner)) => serde_json::from_str(&inner)?,
        // The older driver sends it bare.
        (_, None) => serde_json::from_slice(message)?,
    };
    if notice.event_type != PROJECT_DELETED {
        return Ok(None);
    }
    let payload: Payload = serde_json::from_value(notice.payload).map_err(|_error| NoticeError::Project)?;
    if payload.outcome.is_some_and(|outcome| outcome != "success") {
        return Ok(None);
    }
    let id = payload.resource_info;
    let is_id = !id.is_empty()
        && id.len() <= ID_BYTES_MAX
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if is_id { Ok(Some(ProjectId(id))) } else { Err(NoticeError::Project) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn wrapped(inner: &Value) -> Vec<u8> {
        json!({"oslo.version": "2.0", "oslo.message": inner.to_string()}).to_string().into_bytes()
    }

    fn named(message: &[u8]) -> Option<String> {
        deleted_project(message).unwrap().map(|project| project.0)
    }

    #[test]
    fn both_forms_of_the_notice_name_the_project() {
        let basic = json!({
            "message_id": "9c1e7a1c", "publisher_id": "identity.host", "event_type": "identity.project.deleted",
            "priority": "INFO", "payload": {"resource_info": "671da331c47d4e29bb6ea1d270154ec3"},
            "timestamp": "2026-11-22 06:00:00.000000", "_unique_id": "x"
        });
        let cadf = json!({
            "event_type": "identity.project.deleted", "priority": "INFO",
            "payload": {
                "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event", "eventType": "activity",
                "action": "deleted.project", "outcome": "success", "id": "openstack:1",
                "target": {"typeURI": "data/security/project", "id": "671da331c47d4e29bb6ea1d270154ec3"},
                "resource_info": "671da331c47d4e29bb6ea1d270154ec3"
            }
        });
        for notice in [basic, cadf] {
            assert_eq!(named(&wrapped(&notice)).unwrap(), "671da331c47d4e29bb6ea1d270154ec3");
            assert_eq!(named(notice.to_string().as_bytes()).unwrap(), "671da331c47d4e29bb6ea1d270154ec3");
        }
    }

    #[test]
    fn other_notices_are_passed_over() {
        for event in ["identity.project.created", "identity.user.deleted", "identity.authenticate", "compute.x"] {
            assert_eq!(named(&wrapped(&json!({"event_type": event, "payload": {"resource_info": "p"}}))), None);
            assert_eq!(named(&wrapped(&json!({"event_type": event}))), None);
        }
        let failed = json!({"event_type": PROJECT_DELETED, "payload": {"resource_info": "p", "outcome": "failure"}});
        assert_eq!(named(&wrapped(&failed)), None);
    }

    #[test]
    fn what_is_no_notice_is_refused() {
        let deleted = |payload: Value| wrapped(&json!({"event_type": PROJECT_DELETED, "payload": payload}));
        let later = json!({"oslo.version": "3.0", "oslo.message": "{}"}).to_string().into_bytes();
        for message in [
            Vec::new(),
            b"\xff\xfe".to_vec(),
            b"[]".to_vec(),
            b"{}".to_vec(),
            b"{\"oslo.version\":\"2.0\",\"oslo.message\":\"{\"}".to_vec(),
            later,
            deleted(json!({})),
            deleted(json!({"resource_info": 5})),
            deleted(json!({"resource_info": ""})),
            deleted(json!({"resource_info": "../p"})),
            deleted(json!({"resource_info": "p".repeat(65)})),
        ] {
            assert!(deleted_project(&message).is_err(), "{}", String::from_utf8_lossy(&message));
        }
    }
}
