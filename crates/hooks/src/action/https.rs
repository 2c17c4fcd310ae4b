//! One POST to one address, over TCP or TLS: no pool, no redirects, no proxy.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// So much of an answer is read, for the message about a failure.
const ANSWER_BYTES_MAX: usize = 2048;

/// Where to, taken apart once.
#[derive(Debug)]
pub struct Target {
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// With the query; may hold a secret, and is never logged.
    pub path: String,
    /// As the `Host` header has it.
    pub authority: String,
}

impl Target {
    /// The message never repeats the address, which may hold a secret.
    pub fn of(address: &str) -> Result<Target, String> {
        let uri: Uri = address.parse().map_err(|error| format!("not an address: {error}"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("not an address; hint: begin it with `https://`".to_owned()),
        };
        let authority = uri.authority().ok_or("the address names no host")?;
        if authority.as_str().contains('@') {
            let hint = "use a command, or a token in the address";
            return Err(format!(
                "an address with a user and a password is not called; hint: {hint}"
            ));
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Target {
            // An IPv6 address stands in brackets there and without them everywhere else.
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            tls,
            path: path.to_owned(),
            authority: authority.to_string(),
        })
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// Its beginning.
    pub body: String,
}

/// Sends `request` to `target`. Without a bound on time: the caller has one.
pub async fn send(
    target: &Target,
    request: Request<Full<Bytes>>,
    ca_file: Option<&Path>,
) -> Result<Answer, String> {
    let tcp = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(|error| format!("cannot connect: {error}"))?;
    // One small request: nothing is gained by waiting for more.
    let _ = tcp.set_nodelay(true);
    if !target.tls {
        return exchange(tcp, request).await;
    }
    let ca_file = ca_file.map(Path::to_owned);
    // The system's certificates are read from the disk.
    let config = tokio::task::spawn_blocking(move || config(ca_file.as_deref()))
        .await
        .map_err(|error| format!("cannot load certificates: {error}"))??;
    let name = ServerName::try_from(target.host.clone())
        .map_err(|error| format!("not a host's name: {error}"))?;
    let tls = TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
        .map_err(|error| format!("cannot speak TLS: {error}"))?;
    exchange(tls, request).await
}

fn config(ca_file: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let of =
                |error: &dyn Error| format!("cannot read the CA: {error}: `{}`", path.display());
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| of(&error))? {
                let certificate = certificate.map_err(|error| of(&error))?;
                roots.add(certificate).map_err(|error| of(&error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        let hint = "install the system's certificates (ca-certificates)";
        return Err(format!("no certificate authority is known; hint: {hint}"));
    }
    // Named, and not the process's default: nobody may have chosen one.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("cannot speak TLS: {error}"))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        Ok(read(response).await)
    };
    tokio::pin!(exchange);
    // The connection must be driven while the answer is awaited; when it ends first, what it
    // has delivered still decides.
    tokio::select! {
        answer = &mut exchange => answer,
        _ = connection => exchange.await,
    }
}

/// The code decides; a body that is cut short or too long only says less.
async fn read(response: Response<hyper::body::Incoming>) -> Answer {
    let code = response.status().as_u16();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let bytes = body.map(|body| body.to_bytes()).unwrap_or_default();
    Answer { code, body: String::from_utf8_lossy(&bytes).into_owned() }
}

fn broken(error: &hyper::Error) -> String {
    format!("the conversation broke off: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let target = Target::of("https://chat.example.com/hooks/abc?x=1").expect("fine");
        assert_eq!(
            (target.host.as_str(), target.port, target.tls),
            ("chat.example.com", 443, true)
        );
        assert_eq!(target.path, "/hooks/abc?x=1");
        let target = Target::of("http://[::1]:8080").expect("fine");
        assert_eq!((target.host.as_str(), target.port, target.tls), ("::1", 8080, false));
        assert_eq!((target.path.as_str(), target.authority.as_str()), ("/", "[::1]:8080"));
    }

    #[test]
    fn a_bad_address_is_not_repeated() {
        for bad in ["https://user:secret@example.com/", "ftp://secret/", "secret", "http:// secret"]
        {
            let error = Target::of(bad).expect_err(bad);
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
