//! TLS of a pooler alone, whose keys and authorities are the operator's own files.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme, SupportedProtocolVersion,
};

use crate::config::{load_roots, provider, read_certificate};
use crate::pair::parse_certificates;
use crate::{Certificate, Pair, TlsError};

/// What a server's certificate must show.
#[derive(Clone, Copy, Debug)]
pub enum ServerCheck<'a> {
    /// Nothing: the way to it is hidden from whoever only listens.
    Nothing,
    /// That the authority in this file knows it.
    Ca(&'a Path),
    /// And that it has the name by which it was called.
    CaAndName(&'a Path),
}

/// Towards clients. `ca`: whose certificates are taken; `demands`: there must be one.
///
/// # Errors
/// A file is missing or of no use.
pub fn for_anybody(
    pair: &Pair,
    ca: Option<&Path>,
    demands: bool,
    only_13: bool,
) -> Result<Arc<ServerConfig>, TlsError> {
    let what = "the TLS configuration for clients";
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(only_13))
        .map_err(TlsError::crypto(what))?;
    let builder = match ca {
        Some(ca) => {
            let roots = Arc::new(load_roots(ca)?);
            let clients = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
            let clients = if demands { clients } else { clients.allow_unauthenticated() };
            let clients = clients.build().map_err(|error| Error::General(error.to_string()));
            builder.with_client_cert_verifier(clients.map_err(TlsError::crypto(what))?)
        }
        None => builder.with_no_client_auth(),
    };
    let own = SingleCertAndKey::from(pair.load(&provider)?);
    let mut config = builder.with_cert_resolver(Arc::new(own));
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Arc::new(config))
}

/// Towards servers.
///
/// # Errors
/// A file is missing or of no use.
pub fn to_servers(
    check: ServerCheck<'_>,
    own: Option<&Pair>,
    only_13: bool,
) -> Result<Arc<ClientConfig>, TlsError> {
    let what = "the TLS configuration for servers";
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions(only_13))
        .map_err(TlsError::crypto(what))?;
    let (ca, named) = match check {
        ServerCheck::CaAndName(ca) => (Some(ca), true),
        ServerCheck::Ca(ca) => (Some(ca), false),
        ServerCheck::Nothing => (None, false),
    };
    let anchors = ca.map(Anchors::load).transpose()?;
    let verifier = Servers { anchors, named, provider: provider.clone() };
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    Ok(Arc::new(match own {
        Some(pair) => {
            let own = SingleCertAndKey::from(pair.load(&provider)?);
            builder.with_client_cert_resolver(Arc::new(own))
        }
        None => builder.with_no_client_auth(),
    }))
}

fn versions(only_13: bool) -> &'static [&'static SupportedProtocolVersion] {
    const ONLY_13: &[&SupportedProtocolVersion] = &[&TLS13];
    const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
    if only_13 { ONLY_13 } else { BOTH }
}

/// Whom an operator trusts: as authorities, and by the certificates themselves.
#[derive(Debug)]
struct Anchors {
    roots: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

impl Anchors {
    fn load(ca: &Path) -> Result<Anchors, TlsError> {
        let certificates = parse_certificates(&read_certificate(ca)?, ca)?;
        Ok(Anchors { roots: load_roots(ca)?, certificates })
    }

    /// A server may show what the operator's own file holds: a certificate that is signed by itself
    /// is its own authority, which a chain of certificates cannot say.
    fn hold(&self, shown: &CertificateDer<'_>) -> bool {
        self.certificates.iter().any(|own| **own == **shown)
    }
}

/// Asks for no name unless it is to, and for no authority where there is none.
#[derive(Debug)]
struct Servers {
    anchors: Option<Anchors>,
    named: bool,
    provider: Arc<CryptoProvider>,
}

impl Servers {
    fn algorithms(&self) -> &WebPkiSupportedAlgorithms {
        &self.provider.signature_verification_algorithms
    }
}

/// Whether it is in its time: all that is left to judge of a certificate that is itself trusted.
fn in_time(shown: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let bad = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
    let certificate = Certificate::of(shown).map_err(bad)?;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
    if now < certificate.not_before {
        return Err(Error::InvalidCertificate(CertificateError::NotValidYet));
    }
    if now > certificate.not_after {
        return Err(Error::InvalidCertificate(CertificateError::Expired));
    }
    Ok(())
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(anchors) = &self.anchors else { return Ok(ServerCertVerified::assertion()) };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        if anchors.hold(end_entity) {
            in_time(end_entity, now)?;
        } else {
            let (roots, all) = (&anchors.roots, self.algorithms().all);
            verify_server_cert_signed_by_trust_anchor(
                &certificate,
                roots,
                intermediates,
                now,
                all,
            )?;
        }
        if self.named {
            verify_server_name(&certificate, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, self.algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, self.algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms().supported_schemes()
    }
}
