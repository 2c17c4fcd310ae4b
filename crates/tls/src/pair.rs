//! A certificate with its key on disk: load it, and judge whether it can be kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;

use crate::{TlsError, files};

/// Where a certificate and its key lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What a certificate must be good for to be kept.
pub(crate) struct Wanted<'a> {
    pub roots: &'a Arc<RootCertStore>,
    /// Names that it must prove as a server; empty for one that only logs in.
    pub names: &'a [ServerName<'static>],
    pub now: SystemTime,
    /// It must stay good at least this long.
    pub remaining: Duration,
}

impl Pair {
    /// The pair named `name` in `directory`.
    pub fn at(directory: &Path, name: &str) -> Pair {
        Pair {
            certificate: directory.join(format!("{name}.crt")),
            key: directory.join(format!("{name}.key")),
        }
    }

    /// Reads both and checks that they belong together.
    pub(crate) fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let absent = || std::io::ErrorKind::NotFound.into();
        let certificate = files::read(&self.certificate)?
            .ok_or_else(|| TlsError::file("open", &self.certificate)(absent()))?;
        let key = files::read_key(&self.key)?
            .ok_or_else(|| TlsError::file("open", &self.key)(absent()))?;
        let chain = parse_certificates(&certificate, &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(TlsError::unusable("the private key", &self.key))?;
        let pair = CertifiedKey::from_der(chain, key, provider)
            .map_err(TlsError::unusable("the certificate with its key", &self.certificate))?;
        Ok(pair)
    }

    /// Whether the files that are there can be kept. Absent, damaged, ill-matched, expiring or
    /// foreign ones cannot, and are made anew; a key that others may read is an error.
    pub(crate) fn can_stay(
        &self,
        wanted: &Wanted<'_>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<bool, TlsError> {
        match self.load(provider) {
            Ok(pair) => Ok(is_good(&pair, wanted, provider).is_ok()),
            Err(error @ TlsError::KeyMode { .. }) => Err(error),
            Err(TlsError::File { source, action, path })
                if source.kind() != std::io::ErrorKind::NotFound =>
            {
                Err(TlsError::File { source, action, path })
            }
            Err(_) => Ok(false),
        }
    }
}

/// Judges by the same code that will judge at the handshake.
fn is_good(
    pair: &CertifiedKey,
    wanted: &Wanted<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<(), rustls::Error> {
    let clients =
        WebPkiClientVerifier::builder_with_provider(wanted.roots.clone(), provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
    let certificate = pair.end_entity_cert()?;
    let parsed = ParsedCertificate::try_from(certificate)?;
    for moment in [wanted.now, wanted.now + wanted.remaining] {
        let moment = unix_time(moment);
        clients.verify_client_cert(certificate, &[], moment)?;
        if !wanted.names.is_empty() {
            let algorithms = provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                wanted.roots,
                &[],
                moment,
                algorithms,
            )?;
        }
    }
    wanted.names.iter().try_for_each(|name| verify_server_name(&parsed, name))
}

/// All certificates of a PEM file; at least one.
pub(crate) fn parse_certificates(
    text: &str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(TlsError::unusable("the certificate", path))?;
    if chain.is_empty() {
        return Err(TlsError::unusable("the certificate", path)("the file holds none"));
    }
    Ok(chain)
}

fn unix_time(moment: SystemTime) -> UnixTime {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    UnixTime::since_unix_epoch(since)
}
