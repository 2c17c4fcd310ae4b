//! The cluster CA: made once, then it signs one certificate a node and the replicator's.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use howdah_base::{ClusterName, NodeName};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;

use crate::config::{provider, roots_of};
use crate::files::{self, CERTIFICATE_MODE, KEY_MODE, Owner};
use crate::pair::Wanted;
use crate::{Pair, TlsError};

/// The role by which standbys replicate; its client certificate carries this common name.
pub const REPLICATOR: &str = "howdah_replicator";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long every certificate is good: as long as the CA that signed it.
const VALID: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// A certificate with less left is made anew at the next start.
const RENEW: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The CA of one cluster, open for signing.
pub struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    now: SystemTime,
}

impl Authority {
    /// Opens the CA in `directory`, or makes it. A crash between key and certificate leaves a
    /// key that signed nothing yet: it gets its certificate now. The other way round the key
    /// was lost, and a person must bring it back.
    pub fn open_or_create(
        directory: &Path,
        cluster: &ClusterName,
        now: SystemTime,
    ) -> Result<Authority, TlsError> {
        files::make_directory(directory)?;
        let pair = Pair::at(directory, "ca");
        let certificate = files::read(&pair.certificate)?;
        let key = match files::read_key(&pair.key)? {
            Some(text) => KeyPair::from_pem(&text)
                .map_err(TlsError::unusable("the key of the cluster CA", &pair.key))?,
            None if certificate.is_some() => {
                return Err(TlsError::AuthorityKeyMissing { path: pair.key });
            }
            None => new_key(&pair.key, None)?,
        };
        let certificate = match certificate {
            Some(text) => text,
            None => self_signed(&pair.certificate, cluster, &key, now)?,
        };
        let provider = provider();
        pair.load(&provider)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)
            .map_err(TlsError::unusable("the cluster CA", &pair.certificate))?;
        let roots = Arc::new(roots_of(&certificate, &pair.certificate)?);
        Ok(Authority { directory: directory.to_owned(), issuer, roots, provider, now })
    }

    /// The node's certificate, towards clients and towards peers. It proves the node's name,
    /// its host, and this machine by its usual names.
    pub fn node(
        &self,
        node: &NodeName,
        host: &str,
        owner: Option<Owner>,
    ) -> Result<Pair, TlsError> {
        let names = names_of(node, host)?;
        let uses = [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(node.as_str(), node.as_str(), &names, &uses, owner)
    }

    /// The client certificate by which a standby logs in to stream. It is no node's: a peer's
    /// port refuses it.
    pub fn replicator(&self, owner: Option<Owner>) -> Result<Pair, TlsError> {
        self.issue("replicator", REPLICATOR, &[], &[ExtendedKeyUsagePurpose::ClientAuth], owner)
    }

    /// The pair `file` in the CA's directory: the one that is there if it is still good, else
    /// a new one.
    fn issue(
        &self,
        file: &str,
        common_name: &str,
        names: &[ServerName<'static>],
        uses: &[ExtendedKeyUsagePurpose],
        owner: Option<Owner>,
    ) -> Result<Pair, TlsError> {
        let pair = Pair::at(&self.directory, file);
        let wanted = Wanted { roots: &self.roots, names, now: self.now, remaining: RENEW };
        if pair.can_stay(&wanted, &self.provider)? {
            if let Some(owner) = owner {
                files::give(&pair.key, owner)?;
            }
            return Ok(pair);
        }
        let key = new_key(&pair.key, owner)?;
        let mut params = params(common_name, self.now);
        params.subject_alt_names = names.iter().map(alt_name).collect::<Result<_, _>>()?;
        params.extended_key_usages = uses.to_vec();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate =
            params.signed_by(&key, &self.issuer).map_err(TlsError::crypto("a certificate"))?;
        files::write(&pair.certificate, &certificate.pem(), CERTIFICATE_MODE, owner)?;
        Ok(pair)
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// The key is on disk before the certificate that speaks of it.
fn new_key(path: &Path, owner: Option<Owner>) -> Result<KeyPair, TlsError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(TlsError::crypto("a private key"))?;
    files::write(path, &key.serialize_pem(), KEY_MODE, owner)?;
    Ok(key)
}

fn self_signed(
    path: &Path,
    cluster: &ClusterName,
    key: &KeyPair,
    now: SystemTime,
) -> Result<String, TlsError> {
    let mut params = params(&format!("howdah cluster {cluster}"), now);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(key).map_err(TlsError::crypto("the cluster CA"))?.pem();
    files::write(path, &certificate, CERTIFICATE_MODE, None)?;
    Ok(certificate)
}

/// Good from yesterday, because the machines' clocks differ.
fn params(common_name: &str, now: SystemTime) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(DAY);
    let mut params = CertificateParams::default();
    params.not_before = epoch + since.saturating_sub(DAY);
    params.not_after = epoch + since + VALID;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

fn names_of(node: &NodeName, host: &str) -> Result<Vec<ServerName<'static>>, TlsError> {
    let mut names = Vec::new();
    for text in [node.as_str(), host, "localhost", "127.0.0.1", "::1"] {
        let name = ServerName::try_from(text.to_owned())
            .map_err(|_| TlsError::BadHost(text.to_owned()))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn alt_name(name: &ServerName<'static>) -> Result<rcgen::SanType, TlsError> {
    match name {
        ServerName::IpAddress(address) => Ok(rcgen::SanType::IpAddress(IpAddr::from(*address))),
        other => {
            let text = other.to_str().into_owned();
            let name = text.clone().try_into().map_err(|_| TlsError::BadHost(text))?;
            Ok(rcgen::SanType::DnsName(name))
        }
    }
}
