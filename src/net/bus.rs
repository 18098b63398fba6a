//! A message bus that is listened to: AMQP 0-9-1, as RabbitMQ speaks it.
//!
//! [`Broker`] is read from a URL in the form of RabbitMQ or of oslo.messaging. With the feature `amqp`, `Queue` is a queue of
//! our own, bound to somebody else's exchange: one message at a time is handed on, and acknowledged when whoever took it is
//! done. Connecting again is left to the caller.

use std::fmt;

use zeroize::Zeroizing;

const PLAIN_PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;

/// Where a broker is, and who we are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Broker {
    /// Host, as it stands in a URL, and port; several are one cluster.
    pub hosts: Vec<(String, u16)>,
    /// Our account.
    pub user: String,
    /// Its password.
    pub password: Zeroizing<String>,
    /// The virtual host.
    pub virtual_host: String,
    /// Whether TLS is spoken.
    pub is_tls: bool,
}

impl Broker {
    /// Reads `amqp://user:password@host:5672/vhost`, `amqps://` for TLS, and `rabbit://user:password@one:5672,user:password@two:5672/vhost`
    /// of oslo.messaging, where the account stands once or before every host. No virtual host is `/`.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.trim().split_once("://")?;
        let is_tls = match scheme {
            "amqp" | "rabbit" => false,
            "amqps" | "rabbits" => true,
            _ => return None,
        };
        let rest = rest.split(['?', '#']).next()?;
        let (authorities, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (mut hosts, mut account) = (Vec::new(), None);
        for authority in authorities.split(',') {
            let (who, place) = authority.rsplit_once('@').map_or((None, authority), |(who, place)| (Some(who), place));
            if let Some(who) = who.filter(|_| account.is_none()) {
                let (user, password) = who.split_once(':').unwrap_or((who, ""));
                account = Some((decoded(user)?, Zeroizing::new(decoded(password)?)));
            }
            hosts.push(place_of(place, if is_tls { TLS_PORT } else { PLAIN_PORT })?);
        }
        let (user, password) = account.unwrap_or_else(|| ("guest".to_owned(), Zeroizing::new("guest".to_owned())));
        let virtual_host = if path.is_empty() { "/".to_owned() } else { decoded(path)? };
        Some(Self { hosts, user, password, virtual_host, is_tls })
    }
}

/// Without the password.
impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { hosts, user, password: _, virtual_host, is_tls } = self;
        let mut shown = f.debug_struct("Broker");
        shown.field("hosts", hosts).field("user", user).field("virtual_host", virtual_host).field("is_tls", is_tls);
        shown.finish_non_exhaustive()
    }
}

fn place_of(place: &str, usual: u16) -> Option<(String, u16)> {
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().ok()?),
        _ => (place, usual),
    };
    if host.is_empty() { None } else { Some((host.to_owned(), port)) }
}

/// `%XX` decoded; `None` for an escape that is none, and for what is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(feature = "amqp")]
pub use listening::{BusError, Queue};

#[cfg(feature = "amqp")]
mod listening {
    use std::{convert::Infallible, sync::Arc, time::Duration};

    use amqprs::{
        channel::{
            BasicAckArguments, BasicConsumeArguments, BasicQosArguments, ExchangeDeclareArguments, QueueBindArguments,
            QueueDeclareArguments,
        },
        connection::{Connection, OpenConnectionArguments},
        tls::TlsAdaptor,
    };
    use rustls::ClientConfig;
    use thiserror::Error;
    use tokio::time::timeout;
    use tokio_rustls::TlsConnector;

    use super::Broker;

    /// For everything that comes before the first message.
    const SETUP_TIMEOUT: Duration = Duration::from_secs(30);
    /// Between two signs of life, which the library sends and expects.
    const HEARTBEAT_SECONDS: u16 = 30;

    /// Why a queue is not listened to any more.
    #[derive(Debug, Error)]
    pub enum BusError {
        /// Nobody answers in time.
        #[error("the broker does not answer in time")]
        Timeout,
        /// The broker, or the way there.
        #[error("{0}")]
        Broker(#[from] amqprs::error::Error),
        /// The broker has ended the connection or the consumer.
        #[error("the broker has hung up")]
        Closed,
    }

    /// A durable queue of our own at somebody else's exchange.
    #[derive(Clone, Debug)]
    pub struct Queue {
        /// Where.
        pub broker: Broker,
        /// Whom we trust, where TLS is spoken.
        pub tls: Option<Arc<ClientConfig>>,
        /// The exchange; it is made, as a topic that does not outlive the broker, where it is not there.
        pub exchange: String,
        /// The queue's name.
        pub name: String,
        /// Which messages it is for.
        pub routing_key: String,
    }

    impl Queue {
        /// Listens on one host of the broker, `attempt` of them after the first; `ready` is called once the queue is bound. Each
        /// message is acknowledged when `take` has returned.
        ///
        /// # Errors
        ///
        /// Always, sooner or later: why it ended.
        pub async fn listen<F>(
            &self,
            attempt: usize,
            ready: impl FnOnce(),
            take: impl Fn(Vec<u8>) -> F,
        ) -> Result<Infallible, BusError>
        where
            F: Future<Output = ()>,
        {
            let host = self.broker.hosts.iter().cycle().nth(attempt % self.broker.hosts.len().max(1));
            let (host, port) = host.ok_or(BusError::Closed)?;
            let mut arguments =
                OpenConnectionArguments::new(host, *port, &self.broker.user, self.broker.password.as_str());
            arguments.virtual_host(&self.broker.virtual_host).heartbeat(HEARTBEAT_SECONDS);
            arguments.connection_name("portcullis");
            if let Some(tls) = &self.tls {
                let name = host.trim_matches(['[', ']']).to_owned();
                arguments.tls_adaptor(TlsAdaptor::new(TlsConnector::from(Arc::clone(tls)), name));
            }
            let setup = async {
                let connection = Connection::open(&arguments).await?;
                // What is there stays as it is; asking for what is not there costs the channel.
                let asking = connection.open_channel(None).await?;
                let mut exchange = ExchangeDeclareArguments::new(&self.exchange, "topic");
                let is_there = asking.exchange_declare(exchange.clone().passive(true).finish()).await.is_ok();
                let channel = if is_there { asking } else { connection.open_channel(None).await? };
                if !is_there {
                    channel.exchange_declare(exchange.finish()).await?;
                }
                channel.queue_declare(QueueDeclareArguments::durable_client_named(&self.name)).await?;
                channel.queue_bind(QueueBindArguments::new(&self.name, &self.exchange, &self.routing_key)).await?;
                channel.basic_qos(BasicQosArguments::new(0, 1, false)).await?;
                let consume = BasicConsumeArguments::new(&self.name, "portcullis").manual_ack(true).finish();
                let (_tag, messages) = channel.basic_consume_rx(consume).await?;
                Ok::<_, BusError>((connection, channel, messages))
            };
            let set_up = timeout(SETUP_TIMEOUT, setup).await.map_err(|_elapsed| BusError::Timeout)??;
            let (connection, channel, mut messages) = set_up;
            ready();
            loop {
                let message = tokio::select! {
                    message = messages.recv() => message.ok_or(BusError::Closed)?,
                    _ = connection.listen_network_io_failure() => return Err(BusError::Closed),
                };
                let Some(deliver) = message.deliver else { continue };
                take(message.content.unwrap_or_default()).await;
                channel.basic_ack(BasicAckArguments::new(deliver.delivery_tag(), false)).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_as_rabbitmq_and_oslo_write_them() {
        let broker = |hosts: &[(&str, u16)], user: &str, password: &str, virtual_host: &str, is_tls| Broker {
            hosts: hosts.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect(),
            user: user.to_owned(),
            password: Zeroizing::new(password.to_owned()),
            virtual_host: virtual_host.to_owned(),
            is_tls,
        };
        for (url, expected) in [
            ("amqp://u:p@h", broker(&[("h", 5672)], "u", "p", "/", false)),
            ("amqps://u:p@h/", broker(&[("h", 5671)], "u", "p", "/", true)),
            ("amqp://u:p%40%2f@h:1/%2f\n", broker(&[("h", 1)], "u", "p@/", "/", false)),
            ("amqp://u:a@b@[::1]:7/v", broker(&[("[::1]", 7)], "u", "a@b", "v", false)),
            ("amqp://[::1]", broker(&[("[::1]", 5672)], "guest", "guest", "/", false)),
            ("rabbit://u:p@a:1,u:p@b:2/nova?ssl=0", broker(&[("a", 1), ("b", 2)], "u", "p", "nova", false)),
            ("amqp://u@a,b", broker(&[("a", 5672), ("b", 5672)], "u", "", "/", false)),
        ] {
            assert_eq!(Broker::parse(url).unwrap(), expected, "{url}");
        }
        for url in
            ["", "h", "http://h", "amqp://", "amqp://u:p@", "amqp://h:x", "amqp://%zz@h", "amqp://h/%ff", "amqp://a,"]
        {
            assert_eq!(Broker::parse(url), None, "{url}");
        }
        let shown = format!("{:?}", Broker::parse("amqp://u:geheim@h").unwrap());
        assert!(!shown.contains("geheim"), "{shown}");
    }
}
