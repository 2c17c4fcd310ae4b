//! Who may speak to a node as a peer: nodes, proxies on other hosts, and nobody else that the same CA
//! has certified.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};

use crate::{Certificate, PROXY};

/// As what somebody comes to a peer's port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Member {
    Node,
    /// It serves clients on a host without a node. Its certificate is good for no server.
    Proxy(String),
}

impl Member {
    /// Whose certificate this is; the handshake has verified it. `None`: nobody's who may come.
    /// Only nodes have one that is good for a server and for a client; the replicator's is for
    /// logging in to PostgreSQL, and must not open a peer's port.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Member> {
        let certificate = Certificate::of(certificate).ok()?;
        match (certificate.server, certificate.common_name.strip_prefix(PROXY)) {
            (true, None) => Some(Member::Node),
            (false, Some(name)) => Some(Member::Proxy(name.to_owned())),
            _ => None,
        }
    }
}

/// Demands a client certificate of a [`Member`].
#[derive(Debug)]
pub struct MembersOnly {
    clients: Arc<dyn ClientCertVerifier>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl MembersOnly {
    pub fn new(roots: RootCertStore, provider: Arc<CryptoProvider>) -> Result<MembersOnly, Error> {
        let roots = Arc::new(roots);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone())
            .build()
            .map_err(|error| Error::General(error.to_string()))?;
        Ok(MembersOnly { clients, roots, provider })
    }
}

impl ClientCertVerifier for MembersOnly {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.clients.verify_client_cert(end_entity, intermediates, now)?;
        match Member::of(end_entity) {
            Some(Member::Node) => verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(end_entity)?,
                &self.roots,
                intermediates,
                now,
                self.provider.signature_verification_algorithms.all,
            )?,
            Some(Member::Proxy(_)) => {}
            None => {
                return Err(Error::InvalidCertificate(
                    CertificateError::ApplicationVerificationFailure,
                ));
            }
        }
        Ok(verified)
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.clients.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.clients.supported_verify_schemes()
    }
}
