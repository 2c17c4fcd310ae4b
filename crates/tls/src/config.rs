//! The configurations of TLS that nodes and operators use, each made from files.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};

use crate::identity::{Identity, WithAuthority};
use crate::pair::parse_certificates;
use crate::peer::MembersOnly;
use crate::{Pair, TlsError, files};

/// What libpq 17 and newer ask for; older ones ask for nothing, and are served all the same.
const ALPN_POSTGRESQL: &[u8] = b"postgresql";
/// Tells a peer's port from a client's: a peer that reached the wrong port fails at once.
const ALPN_PEER: &[u8] = b"howdah-peer";
pub(crate) const ALPN_HTTP: &[u8] = b"http/1.1";

/// Names the process's cryptography. Called first in `main`; a second call changes nothing.
pub fn install_provider() {
    // The error says that one is installed already, which is what was asked for.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Towards clients: the node's certificate, no certificate of theirs.
pub fn for_clients(node: &Arc<Identity>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::crypto("the TLS configuration for clients"))?
        .with_no_client_auth()
        .with_cert_resolver(node.clone());
    config.alpn_protocols = vec![ALPN_POSTGRESQL.to_vec()];
    Ok(Arc::new(config))
}

/// The peer's port: only nodes and proxies of this cluster come in, by TLS 1.3; as which of them,
/// [`Member::of`](crate::Member::of) tells.
pub fn for_peers(ca: &Path, node: &Arc<Identity>) -> Result<Arc<ServerConfig>, TlsError> {
    let what = "the TLS configuration for peers";
    let provider = provider();
    let members =
        MembersOnly::new(load_roots(ca)?, provider.clone()).map_err(TlsError::crypto(what))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::crypto(what))?
        .with_client_cert_verifier(Arc::new(members))
        .with_cert_resolver(node.clone());
    config.alpn_protocols = vec![ALPN_PEER.to_vec()];
    Ok(Arc::new(config))
}

/// The HTTP port: whoever comes may read; a certificate of the cluster CA, where one is shown, says
/// who comes. The CA's own is sent along, for machines that know only its fingerprint.
pub fn for_http(ca: &Path, node: &Arc<Identity>) -> Result<Arc<ServerConfig>, TlsError> {
    let what = "the TLS configuration for HTTP";
    let provider = provider();
    let roots = Arc::new(load_roots(ca)?);
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(TlsError::crypto(what))?;
    let authority = parse_certificates(&read_certificate(ca)?, ca)?;
    let own = WithAuthority { identity: node.clone(), authority };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::crypto(what))?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(Arc::new(own));
    config.alpn_protocols = vec![ALPN_HTTP.to_vec()];
    Ok(Arc::new(config))
}

/// Towards a node's HTTP port, with a certificate of one's own if there is one.
pub fn to_http(ca: &Path, own: Option<&Pair>) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let own = own.map(|pair| pair.load(&provider)).transpose()?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(TlsError::crypto("the TLS configuration towards a node"))?
        .with_root_certificates(load_roots(ca)?);
    let mut config = match own {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![ALPN_HTTP.to_vec()];
    Ok(Arc::new(config))
}

/// Towards another node's HTTP port, with this node's certificate as it is at that moment: it is
/// renewed while the node runs.
pub fn nodes_to_http(ca: &Path, node: &Arc<Identity>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::crypto("the TLS configuration towards other nodes"))?
        .with_root_certificates(load_roots(ca)?)
        .with_client_cert_resolver(node.clone());
    config.alpn_protocols = vec![ALPN_HTTP.to_vec()];
    Ok(Arc::new(config))
}

/// Towards a peer. Connect with the *node's name* as the server name: every node's certificate
/// proves it, so a relayed client cannot end at another node that took over an address.
pub fn to_peers(ca: &Path, node: &Arc<Identity>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::crypto("the TLS configuration towards peers"))?
        .with_root_certificates(load_roots(ca)?)
        .with_client_cert_resolver(node.clone());
    config.alpn_protocols = vec![ALPN_PEER.to_vec()];
    Ok(Arc::new(config))
}

/// Given by hand to each configuration, so that none depends on what `main` called first.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// The certificates of `text` as trust anchors.
pub(crate) fn roots_of(text: &str, path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in parse_certificates(text, path)? {
        roots.add(certificate).map_err(TlsError::unusable("the cluster CA", path))?;
    }
    Ok(roots)
}

pub(crate) fn load_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    roots_of(&read_certificate(path)?, path)
}

pub(crate) fn read_certificate(path: &Path) -> Result<String, TlsError> {
    let absent = || TlsError::file("open", path)(std::io::ErrorKind::NotFound.into());
    files::read(path)?.ok_or_else(absent)
}
