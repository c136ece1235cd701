//! Real sockets on the loopback.

mod keys;
mod pair;
mod strangers;
mod tls;

use std::future::Future;
use std::time::Duration;

use super::keys::Material;
use super::*;
use crate::message::{FromBackup, FromPrimary};
use crate::wire::samples::primary_hello;
use crate::{LogPosition, Moment};

/// The machine's name.
const NAME: &str = "redis";

/// The parts of a new key file.
fn material() -> Material {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys");
    PairKeys::create(&path).unwrap();
    super::keys::parse(&std::fs::read(&path).unwrap()).unwrap()
}

fn keys_of(material: &Material) -> PairKeys {
    let server = super::tls::server(material).unwrap().into();
    PairKeys { server, client: super::tls::client(material).unwrap().into() }
}

fn tls() -> Security {
    Security::Tls(keys_of(&material()))
}

/// A pair that stands.
struct Pair {
    listener: Listener,
    security: Security,
    primary: PrimaryConnection,
    backup: BackupConnection,
    exchanged: u64,
}

impl Pair {
    async fn establish(security: Security) -> Self {
        let listener = Listener::bind("127.0.0.1:0", security.clone(), NAME).await.unwrap();
        Self::with(listener, security).await
    }

    async fn with(mut listener: Listener, security: Security) -> Self {
        let address = listener.address().to_string();
        let (primary, backup) = tokio::join!(welcome(&mut listener), async {
            introduce(connect(&address, &security).await.unwrap(), NAME).await.unwrap()
        });
        let (backup, hello) = backup;
        assert_eq!(hello, primary_hello(NAME));
        Self { listener, security, primary, backup, exchanged: 0 }
    }

    fn address(&self) -> String {
        self.listener.address().to_string()
    }

    /// One message there, and one back.
    async fn exchange(&mut self) {
        self.exchanged += 1;
        let sent = Moment(self.exchanged);
        let heartbeat = FromPrimary::Heartbeat { sent, released: LogPosition(0) };
        self.primary.sender.queue(&heartbeat).unwrap();
        self.primary.sender.flush().await.unwrap();
        assert_eq!(self.backup.receiver.receive().await.unwrap(), heartbeat);
        let position = LogPosition(0);
        let ack = FromBackup::Ack { received: position, executed: position, echo: sent };
        self.backup.sender.queue(&ack).unwrap();
        self.backup.sender.flush().await.unwrap();
        assert_eq!(self.primary.receiver.receive().await.unwrap(), ack);
    }

    /// Lets something happen while the pair goes on exchanging messages, and after.
    async fn undisturbed_by<T>(&mut self, event: impl Future<Output = T>) -> T {
        let before = self.exchanged;
        let endless = async {
            loop {
                self.exchange().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let found = tokio::select! {
            found = event => found,
            () = endless => unreachable!("it has no end"),
        };
        assert!(self.exchanged > before);
        found
    }
}

/// The primary's part.
async fn welcome(listener: &mut Listener) -> PrimaryConnection {
    let mut primary = listener.accept().await;
    primary.sender.queue(&FromPrimary::Hello(Box::new(primary_hello(NAME)))).unwrap();
    primary.sender.flush().await.unwrap();
    primary
}
