//! What TLS is asked for.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls::version::TLS12;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::super::tls::{client, server_name};
use super::*;

/// Shakes hands with these settings, and reads until the primary has closed. What went wrong.
async fn attempt(address: &str, config: impl Into<Arc<ClientConfig>>) -> std::io::Error {
    let stream = TcpStream::connect(address).await.unwrap();
    let connected = TlsConnector::from(config.into()).connect(server_name(), stream).await;
    match connected {
        Err(error) => error,
        Ok(mut stream) => stream.read_u8().await.expect_err("the primary sends nothing before the Hello"),
    }
}

fn roots(material: &Material) -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(material.authority.clone()).unwrap();
    roots
}

/// The right keys, with an older version.
fn older(material: &Material) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS12])
        .unwrap()
        .with_root_certificates(roots(material))
        .with_client_auth_cert(vec![material.certificate.clone()], material.key.clone_key())
        .unwrap()
}

#[tokio::test]
async fn an_older_version_is_refused_even_with_the_right_key() {
    let material = material();
    let mut pair = Pair::establish(Security::Tls(keys_of(&material))).await;
    let address = pair.address();
    let error = pair.undisturbed_by(attempt(&address, older(&material))).await;
    let alert = "received fatal alert: the peer does not support any TLS version in common";
    let found = error.to_string();
    assert!(found.contains("ProtocolVersion") || found.contains(alert), "{found}");
}

#[tokio::test]
async fn a_stranger_without_a_key_is_refused() {
    let material = material();
    let mut pair = Pair::establish(Security::Tls(keys_of(&material))).await;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(&material))
        .with_no_client_auth();
    let address = pair.address();
    let found = pair.undisturbed_by(attempt(&address, config)).await.to_string();
    assert!(found.contains("CertificateRequired"), "{found}");
}

#[tokio::test]
async fn a_stranger_with_the_key_of_another_pair_knows_that_this_is_not_its_primary() {
    let mut pair = Pair::establish(tls()).await;
    let address = pair.address();
    let error = pair.undisturbed_by(connect(&address, &tls())).await.unwrap_err();
    assert!(matches!(error, ConnectError::ForeignPrimary(_)), "{error:?}");
}

#[tokio::test]
async fn a_stranger_that_trusts_the_primary_but_has_the_key_of_another_pair_is_refused() {
    let (ours, theirs) = (material(), material());
    let mut pair = Pair::establish(Security::Tls(keys_of(&ours))).await;
    let mixed = Material { authority: ours.authority.clone(), ..theirs };
    let security = Security::Tls(keys_of(&mixed));
    let address = pair.address();
    let refused = pair.undisturbed_by(async {
        let connection = connect(&address, &security).await.unwrap();
        introduce(connection, NAME).await.map(|_| ())
    });
    let error = refused.await.unwrap_err();
    assert!(matches!(error, ConnectError::KeyRefused(_)), "{error:?}");
}

#[tokio::test]
async fn a_primary_that_has_no_key_is_known() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let security = tls();
    let (found, ()) = tokio::join!(connect(&address, &security), async {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"220 mail.example.org\r\n").await.unwrap();
    });
    let error = found.unwrap_err();
    assert!(matches!(error, ConnectError::Handshake(_)), "{error:?}");
}

#[test]
fn nothing_can_be_resumed() {
    let material = material();
    let server = super::super::tls::server(&material).unwrap();
    assert_eq!((server.send_tls13_tickets, server.max_early_data_size), (0, 0));
    assert!(!server.session_storage.can_cache());
    assert!(!client(&material).unwrap().enable_early_data);
}
