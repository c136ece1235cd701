//! Key files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ServerConfig};

use super::error::KeyError;
use super::tls::{self, SERVER_NAME};

/// The lines that a key file begins with. A PEM file can have text before its sections.
const PREAMBLE: &str = "\
Keys of a pair of Outlive. Both hosts need this same file. It is secret: whoever has it can take part.
";

/// A key file takes some two KiB.
const MAXIMUM_FILE: u64 = 64 << 10;

/// The keys of a pair: what a side shows, and what it expects of the other.
#[derive(Clone)]
pub struct PairKeys {
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
}

/// What a key file holds.
pub(super) struct Material {
    pub(super) authority: CertificateDer<'static>,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl PairKeys {
    /// Makes keys, and a file of them that its owner alone can read. It appears whole, or not at all.
    ///
    /// # Errors
    /// When there is something under that name already, and when the file cannot be written.
    pub fn create(path: &Path) -> Result<(), KeyError> {
        let text = generate().map_err(KeyError::Generate)?;
        let failed = |source| KeyError::Write { path: path.to_owned(), source };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // Looked at before too, for a better message than some file systems give; what counts is the renaming.
        if path.symlink_metadata().is_ok() {
            return Err(KeyError::Exists(path.to_owned()));
        }
        let mut file =
            tempfile::Builder::new().prefix(".outlive-keys-").tempfile_in(folder).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
        match file.persist_noclobber(path) {
            Ok(_) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(KeyError::Exists(path.to_owned()))
            }
            Err(error) => Err(failed(error.error)),
        }
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// When others than its owner can use the file, when it is not a whole key file, and when its parts do not belong
    /// together.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.to_owned(), mode });
        }
        let mut bytes = Vec::new();
        file.take(MAXIMUM_FILE).read_to_end(&mut bytes).map_err(failed)?;
        let material = parse(&bytes).map_err(|what| KeyError::NotKeys { path: path.to_owned(), what })?;
        let unusable = |source| KeyError::Unusable { path: path.to_owned(), source };
        tls::check(&material).map_err(unusable)?;
        let server = tls::server(&material).map_err(unusable)?;
        let client = tls::client(&material).map_err(unusable)?;
        Ok(Self { server: Arc::new(server), client: Arc::new(client) })
    }
}

impl fmt::Debug for PairKeys {
    /// Tells no secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PairKeys")
    }
}

/// The text of a new key file: the authority's certificate, the sides' certificate, and its key.
fn generate() -> Result<String, rcgen::Error> {
    let mut authority = parameters(Vec::new(), "Outlive pair authority")?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    // The authority's key is gone at the end of this function: nobody can sign a second certificate.
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;

    let mut side = parameters(vec![SERVER_NAME.to_owned()], "Outlive pair")?;
    side.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    side.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    side.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = side.signed_by(&key, &authority)?;
    Ok(format!("{PREAMBLE}{}{}{}", authority.pem(), certificate.pem(), key.serialize_pem()))
}

/// What both certificates have. The last day of 9999 is what RFC 5280 has for "does not expire" (section 4.1.2.5).
fn parameters(names: Vec<String>, common_name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut parameters = CertificateParams::new(names)?;
    parameters.not_before = date_time_ymd(1970, 1, 1);
    parameters.not_after = date_time_ymd(9999, 12, 31);
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    Ok(parameters)
}

/// The parts of a key file, or what is wrong with it.
pub(super) fn parse(bytes: &[u8]) -> Result<Material, String> {
    let sections: Vec<(SectionKind, Vec<u8>)> = PemObject::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|error: rustls::pki_types::pem::Error| error.to_string())?;
    let kinds: Vec<_> = sections.iter().map(|(kind, _)| *kind).collect();
    if kinds != [SectionKind::Certificate, SectionKind::Certificate, SectionKind::PrivateKey] {
        return Err("it should hold two certificates and a private key".to_owned());
    }
    let mut contents = sections.into_iter().map(|(_, content)| content);
    let mut next = || contents.next().expect("three were counted");
    Ok(Material {
        authority: next().into(),
        certificate: next().into(),
        key: PrivatePkcs8KeyDer::from(next()).into(),
    })
}
