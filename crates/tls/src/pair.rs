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

use crate::config::{load_roots, provider};
use crate::{Certificate, Life, Owner, TlsError, files};

/// Where a certificate and its key lie.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What a certificate must be good for to be kept.
pub(crate) struct Wanted<'a> {
    pub roots: &'a Arc<RootCertStore>,
    pub common_name: &'a str,
    /// Names that it must prove as a server; empty for one that only logs in.
    pub names: &'a [ServerName<'static>],
    pub now: SystemTime,
}

/// What to do with the files that are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    Good,
    /// Its key can stay, the certificate is due, or names something else than is wanted now.
    Due,
    /// Absent, damaged, ill-matched or foreign: both are made anew.
    Unusable,
}

impl Pair {
    /// The pair named `name` in `directory`.
    pub fn at(directory: &Path, name: &str) -> Pair {
        Pair {
            certificate: directory.join(format!("{name}.crt")),
            key: directory.join(format!("{name}.key")),
        }
    }

    /// Puts a certificate (PEM) in the place of the one that is there, if it is for the same
    /// key, signed by the CA in the file `ca`, and good for longer; says whether it was.
    pub fn replace(
        &self,
        ca: &Path,
        certificate: &str,
        now: SystemTime,
        owner: Option<Owner>,
    ) -> Result<bool, TlsError> {
        let provider = provider();
        let before = self.load(&provider)?;
        let unusable = || TlsError::unusable("the new certificate", &self.certificate);
        let chain = parse_certificates(certificate, &self.certificate)?;
        let key = files::read_key(&self.key)?.unwrap_or_default();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(TlsError::unusable("the private key", &self.key))?;
        let next = CertifiedKey::from_der(chain, key, &provider)
            .map_err(TlsError::unusable("the new certificate", &self.certificate))?;
        let of = |pair: &CertifiedKey| {
            let first = pair.cert.first().ok_or_else(|| "it is empty".to_owned());
            first.and_then(|first| Certificate::of(first)).map_err(unusable())
        };
        let (old, new) = (of(&before)?, of(&next)?);
        let roots = Arc::new(load_roots(ca)?);
        let wanted = Wanted { roots: &roots, common_name: &old.common_name, names: &[], now };
        let judge = Judge { pair: &next, wanted: &wanted, provider: &provider };
        judge
            .is_signed_at(now)
            .map_err(TlsError::unusable("the new certificate", &self.certificate))?;
        if new.not_after <= old.not_after || new.common_name != old.common_name {
            return Ok(false);
        }
        files::write(&self.certificate, certificate, files::CERTIFICATE_MODE, owner)?;
        Ok(true)
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

    /// Judges the files that are there. A key that others may read is an error.
    pub(crate) fn state(
        &self,
        wanted: &Wanted<'_>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<State, TlsError> {
        let pair = match self.load(provider) {
            Ok(pair) => pair,
            Err(error @ TlsError::KeyMode { .. }) => return Err(error),
            Err(TlsError::File { source, action, path })
                if source.kind() != std::io::ErrorKind::NotFound =>
            {
                return Err(TlsError::File { source, action, path });
            }
            Err(_) => return Ok(State::Unusable),
        };
        let Some(certificate) = pair.cert.first().and_then(|first| Certificate::of(first).ok())
        else {
            return Ok(State::Unusable);
        };
        let judge = Judge { pair: &pair, wanted, provider };
        if judge.is_signed_at(certificate.not_before).is_err() {
            return Ok(State::Unusable);
        }
        let stays = certificate.life(wanted.now) == Life::Good
            && certificate.common_name == wanted.common_name
            && judge.is_signed_at(wanted.now).is_ok()
            && judge.proves_names(wanted.now).is_ok();
        Ok(if stays { State::Good } else { State::Due })
    }
}

/// Judges by the same code that will judge at the handshake.
struct Judge<'a> {
    pair: &'a CertifiedKey,
    wanted: &'a Wanted<'a>,
    provider: &'a Arc<CryptoProvider>,
}

impl Judge<'_> {
    fn is_signed_at(&self, moment: SystemTime) -> Result<(), rustls::Error> {
        let (roots, provider) = (self.wanted.roots.clone(), self.provider.clone());
        let clients = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        let certificate = self.pair.end_entity_cert()?;
        clients.verify_client_cert(certificate, &[], unix_time(moment)).map(|_| ())
    }

    fn proves_names(&self, moment: SystemTime) -> Result<(), rustls::Error> {
        if self.wanted.names.is_empty() {
            return Ok(());
        }
        let parsed = ParsedCertificate::try_from(self.pair.end_entity_cert()?)?;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            self.wanted.roots,
            &[],
            unix_time(moment),
            self.provider.signature_verification_algorithms.all,
        )?;
        self.wanted.names.iter().try_for_each(|name| verify_server_name(&parsed, name))
    }
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
