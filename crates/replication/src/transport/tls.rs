//! TLS as the pair uses it.

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::keys::Material;

/// The name in the certificate of a pair. No host has it; RFC 6761 keeps `invalid` from being one.
pub(super) const SERVER_NAME: &str = "pair.outlive.invalid";

/// The name that the primary must have.
pub(super) fn server_name() -> ServerName<'static> {
    ServerName::try_from(SERVER_NAME).expect("it is a name of a host")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The one authority of the pair.
fn roots(material: &Material) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(material.authority.clone())?;
    Ok(Arc::new(roots))
}

fn client_verifier(material: &Material) -> Result<Arc<dyn ClientCertVerifier>, rustls::Error> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots(material)?, provider());
    builder.build().map_err(unbuilt)
}

fn server_verifier(material: &Material) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    let builder = WebPkiServerVerifier::builder_with_provider(roots(material)?, provider());
    builder.build().map_err(unbuilt)
}

fn unbuilt(error: VerifierBuilderError) -> rustls::Error {
    rustls::Error::General(error.to_string())
}

/// Whether each side would accept the certificate of the other.
pub(super) fn check(material: &Material) -> Result<(), rustls::Error> {
    let (certificate, now) = (&material.certificate, UnixTime::now());
    client_verifier(material)?.verify_client_cert(certificate, &[], now)?;
    server_verifier(material)?.verify_server_cert(certificate, &[], &server_name(), &[], now)?;
    Ok(())
}

/// The primary's side.
pub(super) fn server(material: &Material) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(client_verifier(material)?)
        .with_single_cert(vec![material.certificate.clone()], material.key.clone_key())?;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// The backup's side.
pub(super) fn client(material: &Material) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_webpki_verifier(server_verifier(material)?)
        .with_client_auth_cert(vec![material.certificate.clone()], material.key.clone_key())?;
    config.resumption = Resumption::disabled();
    Ok(config)
}
