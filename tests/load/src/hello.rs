//! The limit of REST: the smallest server that axum can be, with answers of the same size, over plain HTTP as in `dev` or TLS.

use std::net::SocketAddr;

use axum::{Router, body::Bytes, routing::get};

use crate::{
    drive::{self, Driven, Plan, Subject},
    echo::{self, Sizes},
    process::Server,
    rest::{self, RestClient, Site},
    transport::Endpoint,
};

/// Measures the limit.
///
/// # Errors
///
/// When the server cannot be set up.
pub(crate) async fn run(connections: usize, sizes: Sizes, plan: Plan) -> anyhow::Result<Driven<RestClient>> {
    let body = Bytes::from(vec![b'.'; sizes.answer.saturating_sub(HEAD).max(1)]);
    let length = body.len();
    let (runtime, listener, address) = echo::server(THREAD)?;
    let router = Router::new().route(PATH, get(async move || body.clone()));
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        axum::serve(listener, router).await
    });
    let mut clients = Vec::with_capacity(connections);
    for _ in 0..connections {
        clients.push(rest::fixed(rest::Link::open(&site(address)).await?, PATH, length));
    }
    let subject = Subject::new("hello", "hello", Some(Server::Threads(THREAD)));
    let driven = drive::drive(clients, plan, subject).await;
    runtime.shutdown_background();
    driven
}

fn site(address: SocketAddr) -> Site {
    let endpoint = Endpoint { address, tls: None };
    Site { endpoint, authority: address.to_string(), project: "load".to_owned(), token: None }
}

/// Threads are found by this name.
const THREAD: &str = "hello-server";
const PATH: &str = "/v1/secrets/00000000-0000-4000-8000-000000000000/payload";

/// Bytes of the answer's head, about.
const HEAD: usize = 130;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn answers_are_of_the_size_asked_for() {
        let plan = Plan {
            warmup: Duration::from_millis(100),
            measured: Duration::from_millis(500),
            timeout: Duration::from_secs(20),
        };
        let measured = run(2, Sizes { request: 200, answer: 1000 }, plan).await.unwrap().measured;
        assert!(measured.completed > 10 && measured.failed() == 0, "{measured:?}");
        assert!((900.0..=1100.0).contains(&measured.answer_bytes), "{}", measured.answer_bytes);
        assert!(measured.server_cpu.is_some());
    }
}
