//! The cluster CA: made once, then it signs one certificate a node, the replicator's and those of
//! operators.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use howdah_base::{ClusterName, NodeName, Redacted};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{provider, roots_of};
use crate::files::{self, CERTIFICATE_MODE, KEY_MODE, Owner};
use crate::pair::{State, Wanted, parse_certificates};
use crate::{Pair, TlsError};

/// The role by which standbys replicate; its client certificate carries this common name.
pub const REPLICATOR: &str = "howdah_replicator";
/// What the common name of an operator's certificate starts with.
pub const OPERATOR: &str = "operator:";
/// What the common name of a certificate starts with that a proxy on a host without a node has.
pub const PROXY: &str = "proxy:";
/// What the common name of a cluster's CA starts with.
pub const CLUSTER: &str = "howdah cluster ";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long the CA is good. It is not renewed: after ten years a cluster gets a new one by hand.
const CA_VALID: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
/// How long what it signs is good. In the last third it is renewed.
const VALID: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Longest name of an operator, in bytes: a common name has 64 (X.520).
const OPERATOR_NAME_MAX: usize = 40;

/// The CA of one cluster, open for signing.
pub struct Authority {
    directory: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    now: SystemTime,
    anew: bool,
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
        Authority::of(directory, &certificate, key, now)
    }

    /// The CA from texts, for a moment: what it signs is handed out and not kept in files.
    pub fn from_pem(
        certificate: &str,
        key: &Redacted<String>,
        now: SystemTime,
    ) -> Result<Authority, TlsError> {
        let nowhere = Path::new("");
        let key = KeyPair::from_pem(key.expose())
            .map_err(TlsError::unusable("the key of the cluster CA", nowhere))?;
        Authority::of(nowhere, certificate, key, now)
    }

    fn of(
        directory: &Path,
        certificate: &str,
        key: KeyPair,
        now: SystemTime,
    ) -> Result<Authority, TlsError> {
        let path = Pair::at(directory, "ca").certificate;
        let provider = provider();
        let secret = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(TlsError::unusable("the key of the cluster CA", &path))?;
        CertifiedKey::from_der(parse_certificates(certificate, &path)?, secret, &provider)
            .map_err(TlsError::unusable("the CA with its key", &path))?;
        let issuer = Issuer::from_ca_cert_pem(certificate, key)
            .map_err(TlsError::unusable("the cluster CA", &path))?;
        let roots = Arc::new(roots_of(certificate, &path)?);
        Ok(Authority { directory: directory.to_owned(), issuer, roots, provider, now, anew: false })
    }

    /// From now on makes every certificate anew, however good the one that is there.
    #[must_use]
    pub fn anew(self, anew: bool) -> Authority {
        Authority { anew, ..self }
    }

    /// The node's certificate, towards clients, towards peers and towards its etcd. It proves
    /// the node's name, its host, and this machine by its usual names.
    pub fn node(
        &self,
        node: &NodeName,
        host: &str,
        owner: Option<Owner>,
    ) -> Result<Pair, TlsError> {
        let names = names_of(node, host)?;
        let subject = Subject { common_name: node.as_str(), names: &names, uses: &NODE_USES };
        self.issue(Pair::at(&self.directory, node.as_str()), &subject, owner)
    }

    /// The client certificate by which a standby logs in to stream. It is no node's: a peer's
    /// port refuses it.
    pub fn replicator(&self, owner: Option<Owner>) -> Result<Pair, TlsError> {
        let subject = Subject { common_name: REPLICATOR, names: &[], uses: &CLIENT_USES };
        self.issue(Pair::at(&self.directory, "replicator"), &subject, owner)
    }

    /// The client certificate of a person or a program that may order changes: the pair
    /// `operator` in `directory`.
    pub fn operator(
        &self,
        name: &str,
        directory: &Path,
        owner: Option<Owner>,
    ) -> Result<Pair, TlsError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-@".contains(c);
        if name.is_empty() || name.len() > OPERATOR_NAME_MAX || !name.chars().all(fits) {
            return Err(TlsError::BadOperator(name.to_owned()));
        }
        let common_name = format!("{OPERATOR}{name}");
        let subject = Subject { common_name: &common_name, names: &[], uses: &CLIENT_USES };
        self.issue(Pair::at(directory, "operator"), &subject, owner)
    }

    /// What a proxy on a host without a node needs in `directory`: the pair `proxy`, by which nodes
    /// know it and which is good for no server, and the pair `server`, by which its clients know it
    /// as `hosts` and this machine, and which is good for no client: neither passes for a node's.
    pub fn proxy(
        &self,
        name: &NodeName,
        hosts: &[String],
        directory: &Path,
        owner: Option<Owner>,
    ) -> Result<(), TlsError> {
        let common_name = format!("{PROXY}{name}");
        let client = Subject { common_name: &common_name, names: &[], uses: &CLIENT_USES };
        self.issue(Pair::at(directory, "proxy"), &client, owner)?;
        let names = server_names(hosts.iter().map(String::as_str))?;
        let server = Subject { common_name: &common_name, names: &names, uses: &SERVER_USES };
        // Always anew: what is judged to stay is what is good for a client.
        let pair = Pair::at(directory, "server");
        let key = new_key(&pair.key, owner)?;
        let certificate = self.sign(&server, &key)?;
        files::write(&pair.certificate, &certificate, CERTIFICATE_MODE, owner)
    }

    /// Certifies the key of a node that lies elsewhere: `request` is a certificate request (PEM)
    /// whose own words count for nothing but the key, which it proves to hold.
    pub fn certify(&self, node: &NodeName, host: &str, request: &str) -> Result<String, TlsError> {
        let what = "the certificate request";
        let request = CertificateSigningRequestParams::from_pem(request)
            .map_err(TlsError::unusable(what, Path::new(node.as_str())))?;
        let names = names_of(node, host)?;
        let subject = Subject { common_name: node.as_str(), names: &names, uses: &NODE_USES };
        self.sign(&subject, &request.public_key)
    }

    /// Certifies for another year the key that `certificate` (DER) certifies now, as that of a
    /// node. Whoever calls has seen a handshake with it.
    pub fn certify_again(
        &self,
        node: &NodeName,
        host: &str,
        certificate: &CertificateDer<'_>,
    ) -> Result<String, TlsError> {
        let place = Path::new(node.as_str());
        let (_, parsed) = X509Certificate::from_der(certificate)
            .map_err(TlsError::unusable("the certificate", place))?;
        let key = SubjectPublicKeyInfo::from_der(parsed.public_key().raw)
            .map_err(TlsError::unusable("the key of the certificate", place))?;
        let names = names_of(node, host)?;
        let subject = Subject { common_name: node.as_str(), names: &names, uses: &NODE_USES };
        self.sign(&subject, &key)
    }

    /// The pair in its place: the one that is there if it is still good, else a new certificate;
    /// for the same key where there is a sound one, so that no reader meets a certificate and a
    /// key that do not belong together.
    fn issue(
        &self,
        pair: Pair,
        subject: &Subject<'_>,
        owner: Option<Owner>,
    ) -> Result<Pair, TlsError> {
        let wanted = Wanted {
            roots: &self.roots,
            common_name: subject.common_name,
            names: subject.names,
            now: self.now,
        };
        let state = pair.state(&wanted, &self.provider)?;
        if state == State::Good && !self.anew {
            if let Some(owner) = owner {
                files::give(&pair.key, owner)?;
            }
            return Ok(pair);
        }
        let key = match files::read_key(&pair.key)? {
            Some(text) if state != State::Unusable => KeyPair::from_pem(&text)
                .map_err(TlsError::unusable("the private key", &pair.key))?,
            _ => new_key(&pair.key, owner)?,
        };
        let certificate = self.sign(subject, &key)?;
        files::write(&pair.certificate, &certificate, CERTIFICATE_MODE, owner)?;
        Ok(pair)
    }

    fn sign(&self, subject: &Subject<'_>, key: &impl PublicKeyData) -> Result<String, TlsError> {
        let mut params = params(subject.common_name, self.now, VALID)?;
        params.subject_alt_names = subject.names.iter().map(alt_name).collect::<Result<_, _>>()?;
        params.extended_key_usages = subject.uses.to_vec();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(key, &self.issuer);
        Ok(signed.map_err(TlsError::crypto("a certificate"))?.pem())
    }
}

/// Whom a certificate is for, and what it is good for.
struct Subject<'a> {
    common_name: &'a str,
    names: &'a [ServerName<'static>],
    uses: &'a [ExtendedKeyUsagePurpose],
}

/// A member of etcd is a client of the others, so both.
const NODE_USES: [ExtendedKeyUsagePurpose; 2] =
    [ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
const SERVER_USES: [ExtendedKeyUsagePurpose; 1] = [ExtendedKeyUsagePurpose::ServerAuth];
const CLIENT_USES: [ExtendedKeyUsagePurpose; 1] = [ExtendedKeyUsagePurpose::ClientAuth];

/// A key that no file holds yet, and the request by which a CA elsewhere certifies it.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// PEM; [`NewKey::keep`] writes it.
    key: Redacted<String>,
    /// PEM.
    pub request: String,
}

/// Makes a key for a node.
pub fn request(node: &NodeName) -> Result<NewKey, TlsError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(TlsError::crypto("a private key"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, node.as_str());
    let request = params.serialize_request(&key).and_then(|request| request.pem());
    let request = request.map_err(TlsError::crypto("a certificate request"))?;
    Ok(NewKey { key: Redacted::new(key.serialize_pem()), request })
}

impl NewKey {
    /// Writes the key and its certificate in their places, the certificate last.
    pub fn keep(
        &self,
        pair: &Pair,
        certificate: &str,
        owner: Option<Owner>,
    ) -> Result<(), TlsError> {
        files::write(&pair.key, self.key.expose(), KEY_MODE, owner)?;
        files::write(&pair.certificate, certificate, CERTIFICATE_MODE, owner)
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
    let mut params = params(&format!("{CLUSTER}{cluster}"), now, CA_VALID)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(key).map_err(TlsError::crypto("the cluster CA"))?.pem();
    files::write(path, &certificate, CERTIFICATE_MODE, None)?;
    Ok(certificate)
}

/// Good from yesterday, because the machines' clocks differ.
fn params(
    common_name: &str,
    now: SystemTime,
    valid: Duration,
) -> Result<CertificateParams, TlsError> {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(DAY);
    let mut params = CertificateParams::default();
    params.not_before = epoch + since.saturating_sub(DAY);
    params.not_after = epoch + since + valid;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.serial_number = Some(serial()?);
    Ok(params)
}

/// A random one (RFC 5280 4.1.2.2 allows 20 octets): rcgen would take it from the key, and a
/// certificate renewed for the same key needs another.
fn serial() -> Result<SerialNumber, TlsError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(TlsError::crypto("a serial number"))?;
    // Positive, and of the same length each time.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn names_of(node: &NodeName, host: &str) -> Result<Vec<ServerName<'static>>, TlsError> {
    server_names([node.as_str(), host])
}

/// These, and this machine by its usual names.
fn server_names<'a>(
    hosts: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<ServerName<'static>>, TlsError> {
    let mut names = Vec::new();
    for text in hosts.into_iter().chain(["localhost", "127.0.0.1", "::1"]) {
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
