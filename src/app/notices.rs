//! Keystone's notices of deleted projects: what such a project had is removed, as `portcullis project purge` does it.
//!
//! A notice is acknowledged when that is done; one that comes again finds nothing left to do. What fails is tried again with a
//! growing pause, and so is the connection. The bus is believed: whoever can publish there can have a project removed.

use std::{env, fs};

use zeroize::Zeroizing;

use super::problem::{Explain, Problem};
use crate::{
    config::{Config, KeystoneNotifications},
    net::Broker,
    tls,
};

/// Reads what is needed to listen; `None` where nothing is to be listened to.
pub(super) fn prepare(config: &Config) -> Result<Option<Bus>, Problem> {
    let keystone = config.rest.auth.keystone.as_ref();
    let Some(settings) = keystone.and_then(|keystone| keystone.notifications.as_ref()) else { return Ok(None) };
    let text = url(settings)?;
    let form = "amqp://USER:PASSWORD@HOST:5672/VHOST, or amqps:// for TLS";
    let wrong = || Problem::new("PC-KEYSTONE-NOTICES", "the broker's URL cannot be read", format!("write {form}"));
    let broker = Broker::parse(&text).ok_or_else(wrong)?;
    let tls = match (&settings.ca, broker.is_tls) {
        (Some(ca), true) => Some(tls::anonymous_client_config(ca)?),
        (None, true) => {
            let what = "the broker is reached over TLS, and no CA is named that its certificate is verified by";
            return Err(Problem::new("PC-KEYSTONE-NOTICES", what, "set rest.auth.keystone.notifications.ca"));
        }
        (_, false) => None,
    };
    made(settings, broker, tls).map(Some)
}

fn url(settings: &KeystoneNotifications) -> Result<Zeroizing<String>, Problem> {
    match (&settings.url_file, &settings.url_env) {
        (Some(path), _) => {
            let read = fs::read_to_string(path);
            let read = read.explain("PC-KEYSTONE-NOTICES", path.display(), "name the file with the broker's URL")?;
            Ok(Zeroizing::new(read))
        }
        (None, name) => {
            let name = name.as_deref().unwrap_or_default();
            let read = env::var(name);
            let read = read.explain("PC-KEYSTONE-NOTICES", name, "put the broker's URL into that variable")?;
            Ok(Zeroizing::new(read))
        }
    }
}

#[cfg(not(feature = "amqp"))]
mod bus {
    use std::{convert::Infallible, sync::Arc};

    use rustls::ClientConfig;

    use super::Problem;
    use crate::{config::KeystoneNotifications, engine::Engine, net::Broker, telemetry::Metrics};

    /// There is none in this program.
    pub(in crate::app) type Bus = Infallible;

    pub(super) fn made(_: &KeystoneNotifications, _: Broker, _: Option<Arc<ClientConfig>>) -> Result<Bus, Problem> {
        Err(Problem::new(
            "PC-KEYSTONE-NOTICES",
            "rest.auth.keystone.notifications: this program was built without a message bus",
            "build it with --features amqp, or remove the section",
        ))
    }

    pub(in crate::app) async fn listen(bus: Bus, _: Arc<Engine>, _: Arc<Metrics>) {
        match bus {}
    }
}

#[cfg(feature = "amqp")]
mod bus {
    use std::{sync::Arc, time::Duration};

    use rustls::ClientConfig;
    use tokio::time::sleep;
    use tokio_util::task::AbortOnDropHandle;

    use super::{Problem, taking};
    use crate::{
        config::KeystoneNotifications,
        engine::Engine,
        net::{Broker, Queue},
        telemetry::Metrics,
    };

    /// The first pause before connecting again, and the longest.
    const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

    /// The queue that is listened to.
    pub(in crate::app) type Bus = Queue;

    #[expect(clippy::unnecessary_wraps, reason = "a program without the feature refuses")]
    pub(super) fn made(
        settings: &KeystoneNotifications,
        broker: Broker,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Bus, Problem> {
        Ok(Queue {
            broker,
            tls,
            exchange: settings.exchange.clone(),
            name: settings.queue.clone(),
            // Keystone sends its notices with this priority.
            routing_key: format!("{}.info", settings.topic),
        })
    }

    /// Listens for ever; connects again when the connection is lost.
    pub(in crate::app) async fn listen(bus: Bus, engine: Arc<Engine>, metrics: Arc<Metrics>) {
        let mut pause = PAUSE.0;
        for attempt in 0.. {
            let (queue, engine, told) = (bus.clone(), Arc::clone(&engine), Arc::clone(&metrics));
            let session = async move {
                let mut was_ready = false;
                let ready = || {
                    was_ready = true;
                    told.keystone_bus(true);
                    tracing::info!(queue = queue.name, exchange = queue.exchange, "Keystone's notices are listened to");
                };
                let ended = queue.listen(attempt, ready, |message| taking::take(&engine, &told, message)).await;
                (was_ready, ended)
            };
            // A task of its own: what a broker sends may make the library give up by a panic.
            let (was_ready, error) = match AbortOnDropHandle::new(tokio::spawn(session)).await {
                Ok((was_ready, ended)) => (was_ready, ended.err().map_or_else(String::new, |error| error.to_string())),
                Err(error) => (false, error.to_string()),
            };
            metrics.keystone_bus(false);
            if was_ready {
                pause = PAUSE.0;
            }
            let seconds = pause.as_secs();
            tracing::warn!(error, seconds, "Keystone's notices are not listened to; connecting again after a pause");
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE.1);
        }
    }
}

use bus::made;
pub(super) use bus::{Bus, listen};

/// What becomes of a message.
#[cfg(any(feature = "amqp", test))]
mod taking {
    use std::{sync::Arc, time::Duration};

    use tokio::time::sleep;

    use crate::{
        authn::deleted_project,
        engine::{Engine, ops::purge::purge_project},
        telemetry::Metrics,
    };

    /// The first pause after a purge that failed, and the longest.
    const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

    /// Does what a message asks for; returns when it is done, or when there is nothing to do.
    pub(super) async fn take(engine: &Arc<Engine>, metrics: &Metrics, message: Vec<u8>) {
        let project = match deleted_project(&message) {
            Ok(Some(project)) => project,
            Ok(None) => return metrics.keystone_notice("ignored"),
            Err(error) => {
                tracing::warn!(%error, bytes = message.len(), "a message on Keystone's bus makes no sense");
                return metrics.keystone_notice("malformed");
            }
        };
        let mut pause = PAUSE.0;
        loop {
            match purge_project(engine, &project).await {
                Ok(purged) => {
                    tracing::info!(
                        project = project.0,
                        ?purged,
                        "the project is deleted in Keystone, and removed here"
                    );
                    return metrics.keystone_notice("purged");
                }
                Err(error) => {
                    let seconds = pause.as_secs();
                    tracing::error!(%error, project = project.0, seconds, "a deleted project is not removed; again later");
                    metrics.keystone_notice("failed");
                }
            }
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::taking::take;
    use crate::{
        barbican::testing::over,
        domain::audit::Protocol,
        engine::{ports::MetadataStore, testing::Bench},
        telemetry::Metrics,
    };

    #[tokio::test]
    async fn a_notice_removes_the_project_and_nothing_else() {
        use tower::ServiceExt as _;
        let bench = Bench::default();
        let (router, _jobs) = over(&bench, crate::barbican::Settings::default());
        for project in ["gone", "stays"] {
            let body = json!({"payload": "x", "payload_content_type": "text/plain"}).to_string();
            let request = axum::http::Request::post("/v1/secrets").header("content-type", "application/json");
            let request = request.header("x-project-id", project).body(axum::body::Body::from(body)).unwrap();
            assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 201);
        }
        let metrics = Metrics::new();
        let inner = json!({"event_type": "identity.project.deleted", "payload": {"resource_info": "gone"}}).to_string();
        let notice = json!({"oslo.version": "2.0", "oslo.message": inner}).to_string().into_bytes();
        let other = br#"{"event_type": "identity.user.deleted", "payload": {"resource_info": "stays"}}"#;
        for message in [other.to_vec(), b"nonsense".to_vec(), notice.clone(), notice] {
            take(&bench.engine, &metrics, message).await;
        }
        assert_eq!(bench.hsm.count(), 1);
        let due = |name: &str| crate::domain::ProjectId(name.to_owned());
        let scope = |name| crate::engine::ports::Scope::Live(due(name));
        for (project, count) in [("gone", 0), ("stays", 1)] {
            let page = bench.store.objects(scope(project), crate::engine::ports::Order::OldestFirst, None, 9).await;
            assert_eq!(page.unwrap().records.len(), count, "{project}");
        }
        let shown = metrics.render().unwrap();
        for (outcome, count) in [("purged", 2), ("ignored", 1), ("malformed", 1), ("failed", 0)] {
            let line = format!("portcullis_keystone_notices_total{{outcome=\"{outcome}\"}} {count}");
            assert!(shown.lines().any(|have| have == line), "{line} is not in {shown}");
        }
        let purge = |event: &&crate::domain::audit::AuditEvent| {
            event.protocol == Protocol::Internal && event.operation.name() == "purge-project"
        };
        // Its secret and its settings; the repetition asks for its settings only.
        assert_eq!(bench.audit.events().iter().filter(purge).count(), 3);
    }
}
