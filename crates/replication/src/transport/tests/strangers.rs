//! Everybody who can reach the port.

use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::message::{BackupHello, VERSION};
use crate::wire::samples::backup_hello;

/// Reads until the primary has closed, or reset, the connection.
async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

/// What the primary answers to this first message.
async fn answer_to(address: &str, security: &Security, first: FromBackup) -> FromPrimary {
    let mut connection = connect(address, security).await.unwrap();
    connection.sender.queue(&first).unwrap();
    connection.sender.flush().await.unwrap();
    let answer = connection.receiver.receive().await.unwrap();
    let end = connection.receiver.receive().await;
    assert!(matches!(end, Err(ReceiveError::Closed)), "{end:?}");
    answer
}

/// The reason in a refusal.
fn reason(answer: FromPrimary) -> String {
    match answer {
        FromPrimary::Refused { reason } => reason,
        other => panic!("{other:?} is no refusal"),
    }
}

async fn refused_while_a_pair_stands(security: Security, first: FromBackup) -> String {
    let mut pair = Pair::establish(security).await;
    let (address, security) = (pair.address(), pair.security.clone());
    reason(pair.undisturbed_by(answer_to(&address, &security, first)).await)
}

#[tokio::test]
async fn a_second_backup_is_told_that_there_is_one() {
    for security in [tls(), Security::PlainOnLoopback] {
        let reason = refused_while_a_pair_stands(security, backup_hello(NAME)).await;
        assert_eq!(reason, "there is a backup already");
    }
}

#[tokio::test]
async fn a_late_backup_is_told_what_the_primary_says() {
    let pair = Pair::establish(tls()).await;
    pair.listener.refuse_because("the guest runs alone");
    let connection = connect(&pair.address(), &pair.security).await.unwrap();
    let error = introduce(connection, NAME).await.unwrap_err();
    assert_eq!(error.to_string(), "the primary refuses this backup: the guest runs alone");
}

#[tokio::test]
async fn the_backup_of_another_machine_is_told_both_names() {
    for security in [tls(), Security::PlainOnLoopback] {
        let reason = refused_while_a_pair_stands(security, backup_hello("mail")).await;
        assert_eq!(reason, "it is the backup of the machine \"mail\", but this is the primary of \"redis\"");
    }
}

#[tokio::test]
async fn a_backup_of_another_version_is_told_both_versions() {
    let hello = FromBackup::Hello(BackupHello { version: VERSION + 1, name: NAME.to_owned() });
    let reason = refused_while_a_pair_stands(tls(), hello).await;
    assert_eq!(reason, "it speaks version 3 of the protocol, but this Outlive speaks version 2");
}

#[tokio::test]
async fn who_says_something_else_than_hello_is_turned_away() {
    let reason = refused_while_a_pair_stands(tls(), FromBackup::Ready).await;
    assert_eq!(reason, "it said something before its Hello");
}

#[tokio::test]
async fn who_goes_on_talking_is_still_told_why_it_is_turned_away() {
    let mut pair = Pair::establish(tls()).await;
    let address = pair.address();
    let mut connection = connect(&address, &pair.security).await.unwrap();
    connection.sender.queue(&FromBackup::Ready).unwrap();
    let (sent, heard) = pair
        .undisturbed_by(async {
            // More than is read at once: a connection that is closed now would be reset.
            connection.sender.queue(&FromBackup::Diverged { report: "x".repeat(300_000) }).unwrap();
            let sent = connection.sender.flush().await;
            let answer = connection.receiver.receive().await.unwrap();
            (sent, (answer, connection.receiver.receive().await))
        })
        .await;
    sent.unwrap();
    assert_eq!(reason(heard.0), "it said something before its Hello");
    assert!(matches!(heard.1, Err(ReceiveError::Closed)), "{:?}", heard.1);
}

#[tokio::test]
async fn a_first_message_that_is_too_long_is_refused() {
    let first = FromBackup::Refused { reason: "x".repeat(5000) };
    let reason = refused_while_a_pair_stands(tls(), first).await;
    assert!(reason.contains("longer than the 4096 that are allowed"), "{reason}");
}

#[tokio::test]
async fn a_backup_that_is_not_the_right_one_does_not_keep_the_right_one_out() {
    let security = tls();
    let mut listener = Listener::bind("127.0.0.1:0", security.clone(), NAME).await.unwrap();
    let address = listener.address().to_string();
    let (_, introduced) = tokio::join!(welcome(&mut listener), async {
        reason(answer_to(&address, &security, backup_hello("mail")).await);
        introduce(connect(&address, &security).await.unwrap(), NAME).await
    });
    introduced.unwrap();
}

#[tokio::test]
async fn garbage_ends_its_connection_and_nothing_else() {
    for security in [tls(), Security::PlainOnLoopback] {
        let mut pair = Pair::establish(security).await;
        let address = pair.address();
        let answer = pair.undisturbed_by(async {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n").await.unwrap();
            read_to_end(&mut stream).await
        });
        let answer = answer.await;
        assert!(!answer.windows(6).any(|bytes| bytes == b"engine"), "the machine is not told to strangers");
    }
}

#[tokio::test]
async fn silent_slow_and_half_strangers_are_gone_after_their_time() {
    let mut pair = Pair::establish(tls()).await;
    let (address, security) = (pair.address(), pair.security.clone());
    let silent = async {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        read_to_end(&mut stream).await
    };
    let slow = async {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // A record of TLS that claims 512 bytes, and a byte of it now and then.
        let mut next = [22, 3, 1, 2, 0, 1, 0, 1, 252].into_iter().chain(std::iter::repeat(3));
        loop {
            tokio::select! {
                read = stream.read_u8() => break read.expect_err("it is not worth an answer"),
                () = tokio::time::sleep(Duration::from_millis(20)) => {
                    if let Err(error) = stream.write_all(&[next.next().unwrap()]).await {
                        break error;
                    }
                }
            }
        }
    };
    let half = async {
        // All of the handshake, and then nothing.
        let mut connection = connect(&address, &security).await.unwrap();
        connection.receiver.receive().await.unwrap_err()
    };
    let three = async { tokio::join!(silent, slow, half) };
    let (read, _, end) = pair.undisturbed_by(three).await;
    assert!(read.is_empty(), "{read:?}");
    assert!(matches!(end, ReceiveError::Closed), "{end:?}");
}

/// What was written to the log.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Told {
    /// Takes what this thread tells from now on.
    fn listen(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test]
async fn many_silent_connections_do_not_keep_the_backup_out() {
    let told = Told::default();
    let _guard = told.listen();
    let security = tls();
    let listener = Listener::bind("127.0.0.1:0", security.clone(), NAME).await.unwrap();
    let mut silent = Vec::new();
    for _ in 0..3 * MOST_HANDSHAKES {
        silent.push(TcpStream::connect(listener.address()).await.unwrap());
    }
    Pair::with(listener, security).await.exchange().await;
    assert!(read_to_end(&mut silent[0]).await.is_empty(), "it is closed");
    let text = told.text();
    let line = format!("peer={} reason=too many others have come since", silent[0].local_addr().unwrap());
    assert!(text.contains(&line), "{text}");
}

#[tokio::test]
async fn who_is_turned_away_is_told_in_the_log() {
    let told = Told::default();
    let _guard = told.listen();
    let mut pair = Pair::establish(tls()).await;
    let (address, security) = (pair.address(), pair.security.clone());
    pair.undisturbed_by(answer_to(&address, &security, backup_hello("mail"))).await;
    let text = told.text();
    assert!(text.contains("WARN outlive::pair: event=\"refused\" peer=127.0.0.1:"), "{text}");
    assert!(text.contains("reason=it is the backup of the machine \"mail\""), "{text}");
}
