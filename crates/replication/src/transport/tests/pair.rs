//! The two sides.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::yield_now;

use super::*;
use crate::wire::samples::batch;

#[tokio::test]
async fn a_pair_exchanges_messages_with_keys() {
    let mut pair = Pair::establish(tls()).await;
    for _ in 0..100 {
        pair.exchange().await;
    }
}

#[tokio::test]
async fn a_pair_exchanges_messages_without_keys_on_the_loopback() {
    let mut pair = Pair::establish(Security::PlainOnLoopback).await;
    for _ in 0..100 {
        pair.exchange().await;
    }
}

#[tokio::test]
async fn a_pair_finds_itself_by_name() {
    let security = tls();
    let mut listener = Listener::bind("localhost:0", security.clone(), NAME).await.unwrap();
    let address = format!("localhost:{}", listener.address().port());
    let (_, introduced) = tokio::join!(welcome(&mut listener), async {
        introduce(connect(&address, &security).await.unwrap(), NAME).await
    });
    introduced.unwrap();
}

/// Sends and receives, each cancelled again and again at whatever point it has reached.
async fn come_through(mut pair: Pair, messages: &[FromPrimary]) {
    let Pair { primary, backup, .. } = &mut pair;
    let mut found = Vec::new();
    let mut unsent = messages.iter();
    while found.len() < messages.len() {
        if primary.sender.queued() < 1 << 20
            && let Some(message) = unsent.next()
        {
            primary.sender.queue(message).unwrap();
        }
        tokio::select! {
            biased;
            flushed = primary.sender.flush(), if primary.sender.queued() > 0 => flushed.unwrap(),
            () = yield_now() => {}
        }
        tokio::select! {
            biased;
            message = backup.receiver.receive() => found.push(message.unwrap()),
            () = yield_now() => {}
        }
    }
    assert!(found == messages, "something else arrived");
    pair.exchange().await;
}

#[tokio::test]
async fn nothing_is_lost_when_sending_and_receiving_are_cancelled() {
    let messages: Vec<_> = (0..60).map(|n| batch(n, (n as usize * 7919) % 400_000)).collect();
    come_through(Pair::establish(tls()).await, &messages).await;
    come_through(Pair::establish(Security::PlainOnLoopback).await, &messages).await;
}

#[tokio::test]
async fn the_largest_batch_comes_through() {
    let size = outlive_log::file::FRAME_BYTES + outlive_log::file::MAXIMUM_BYTES;
    come_through(Pair::establish(tls()).await, &[batch(5, size), FromPrimary::Leave]).await;
}

#[tokio::test]
async fn messages_flow_both_ways_at_once() {
    let mut pair = Pair::establish(tls()).await;
    let report = "x".repeat(900_000);
    let (there, back) = (batch(9, 8 << 20), FromBackup::Diverged { report });
    pair.primary.sender.queue(&there).unwrap();
    pair.backup.sender.queue(&back).unwrap();
    let (sent, received, answered, heard) = tokio::join!(
        pair.primary.sender.flush(),
        pair.backup.receiver.receive(),
        pair.backup.sender.flush(),
        pair.primary.receiver.receive(),
    );
    sent.and(answered).unwrap();
    assert!(received.unwrap() == there && heard.unwrap() == back);
}

#[tokio::test]
async fn what_is_queued_together_arrives_in_order() {
    let mut pair = Pair::establish(tls()).await;
    let messages: Vec<_> = (0..500).map(|n| batch(n, 10)).collect();
    messages.iter().for_each(|message| pair.primary.sender.queue(message).unwrap());
    let (flushed, ()) = tokio::join!(pair.primary.sender.flush(), async {
        for message in &messages {
            assert_eq!(pair.backup.receiver.receive().await.unwrap(), *message);
        }
    });
    flushed.unwrap();
    assert_eq!(pair.primary.sender.queued(), 0);
}

#[tokio::test]
async fn a_side_that_does_not_read_blocks_nobody() {
    let mut pair = Pair::establish(tls()).await;
    for n in 0.. {
        pair.primary.sender.queue(&batch(n, 1 << 20)).unwrap();
        // As much as the kernel takes, and no more.
        let flushed = tokio::select! {
            biased;
            flushed = pair.primary.sender.flush() => { flushed.unwrap(); true }
            () = tokio::time::sleep(Duration::from_millis(50)) => false,
        };
        if !flushed {
            assert!(pair.primary.sender.queued() > 0);
            break;
        }
    }
    pair.backup.sender.queue(&FromBackup::Leave).unwrap();
    pair.backup.sender.flush().await.unwrap();
    assert_eq!(pair.primary.receiver.receive().await.unwrap(), FromBackup::Leave);
}

#[tokio::test]
async fn what_is_said_before_closing_arrives_and_then_the_end() {
    for security in [tls(), Security::PlainOnLoopback] {
        let mut pair = Pair::establish(security).await;
        // Not read by the primary: that must not reset the connection.
        pair.backup.sender.queue(&FromBackup::Ready).unwrap();
        pair.backup.sender.flush().await.unwrap();
        pair.primary.sender.queue(&FromPrimary::Leave).unwrap();
        let (closed, ()) = tokio::join!(pair.primary.close(), async {
            assert_eq!(pair.backup.receiver.receive().await.unwrap(), FromPrimary::Leave);
            let end = pair.backup.receiver.receive().await;
            assert!(matches!(end, Err(ReceiveError::Closed)), "{end:?}");
            drop(pair.backup);
        });
        closed.unwrap();
    }
}

#[tokio::test]
async fn a_side_that_vanishes_is_noticed() {
    for security in [tls(), Security::PlainOnLoopback] {
        let mut pair = Pair::establish(security).await;
        drop(pair.primary);
        let end = pair.backup.receiver.receive().await;
        assert!(matches!(end, Err(ReceiveError::Closed)), "{end:?}");
    }
}

#[tokio::test]
async fn a_connection_that_ends_within_a_message_is_told() {
    // A primary that sends half a message.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (found, ()) = tokio::join!(
        async {
            let backup = connect(&address, &Security::PlainOnLoopback).await.unwrap();
            introduce(backup, NAME).await.map(|_| ())
        },
        async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 100]).await.unwrap();
            stream.write_all(&[9, 0, 0, 0, 0]).await.unwrap();
        }
    );
    assert!(matches!(found, Err(ConnectError::Answer(ReceiveError::Cut))), "{found:?}");
}

#[tokio::test]
async fn a_cancelled_accept_loses_no_backup() {
    let security = tls();
    let mut listener = Listener::bind("127.0.0.1:0", security.clone(), NAME).await.unwrap();
    let connection = connect(&listener.address().to_string(), &security).await.unwrap();
    let mut introduced = tokio::spawn(introduce(connection, NAME));
    let mut cancelled = 0;
    let mut primary = loop {
        tokio::select! {
            biased;
            primary = listener.accept() => break primary,
            () = yield_now() => cancelled += 1,
        }
    };
    assert!(cancelled > 0, "the handshake takes more than one step");
    assert!(!introduced.is_finished(), "it waits for the primary's Hello");
    primary.sender.queue(&FromPrimary::Hello(Box::new(primary_hello(NAME)))).unwrap();
    primary.sender.flush().await.unwrap();
    (&mut introduced).await.unwrap().unwrap();
}

#[tokio::test]
async fn another_backup_can_come_when_the_first_is_gone() {
    let mut pair = Pair::establish(tls()).await;
    pair.exchange().await;
    let Pair { listener, security, primary, backup, .. } = pair;
    drop((primary, backup));
    Pair::with(listener, security).await.exchange().await;
}

#[tokio::test]
async fn a_backup_that_comes_before_it_is_waited_for_is_not_turned_away() {
    let security = tls();
    let mut listener = Listener::bind("127.0.0.1:0", security.clone(), NAME).await.unwrap();
    let connection = connect(&listener.address().to_string(), &security).await.unwrap();
    let introduced = tokio::spawn(introduce(connection, NAME));
    tokio::time::sleep(Duration::from_millis(50)).await;
    welcome(&mut listener).await;
    introduced.await.unwrap().unwrap();
}

#[tokio::test]
async fn without_keys_no_address_of_another_host_will_do() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let listener = Listener::bind(address, Security::PlainOnLoopback, NAME).await;
        assert!(matches!(listener, Err(ListenError::NotLoopback { .. })), "{address}: {listener:?}");
    }
    for address in ["192.0.2.1:9", "[2001:db8::1]:9", "[::ffff:192.0.2.1]:9"] {
        let connection = connect(address, &Security::PlainOnLoopback).await;
        assert!(matches!(connection, Err(ConnectError::NotLoopback { .. })), "{address}: {connection:?}");
    }
}

#[tokio::test]
async fn addresses_that_are_none_are_told() {
    let error = Listener::bind("nonsense", tls(), NAME).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot find the address nonsense");
    let error = connect("127.0.0.1", &tls()).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot find the address 127.0.0.1");
}

#[tokio::test]
async fn a_primary_that_is_not_there_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    for security in [tls(), Security::PlainOnLoopback] {
        let error = connect(&address, &security).await.unwrap_err();
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
        assert_eq!(error.to_string(), format!("cannot connect to {address}"));
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_told() {
    let pair = Pair::establish(tls()).await;
    let error = Listener::bind(&pair.address(), tls(), NAME).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen at {}", pair.address()));
}
