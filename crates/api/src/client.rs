//! One HTTP request, bounded in time and size: how the command line and other nodes ask a node,
//! over TLS wherever somebody could listen.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use howdah_base::Redacted;
use howdah_tls::Refused;
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use hyper::Method;

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A node that has not taken the connection by then, TLS included, is not there: the next one
/// can be asked, because nothing was started.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// What the node said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: String,
    /// The node has only just been started and has done nothing: another one may be asked.
    pub starting: bool,
}

/// Why there is no answer. Of a request that changes something it is then unknown whether it
/// was carried out, unless no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error("cannot connect: {source}: `{address}`")]
    Unreachable { address: String, source: std::io::Error },
    /// A certificate stands in the way; nothing was asked.
    #[error("{}", why.sentence(address))]
    Refused { address: String, why: Refused },
    #[error("no answer within {}s: `{address}`", within.as_secs_f64())]
    TimedOut { address: String, within: Duration },
    #[error("the conversation broke off: {reason}: `{address}`")]
    Broken { address: String, reason: String },
}

/// One request before it is sent.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    pub method: Method,
    pub path: &'a str,
    /// The cluster's token, where the request needs one.
    pub token: Option<&'a Redacted<String>>,
    pub body: String,
    pub within: Duration,
}

/// How nodes are reached: in the clear, or by TLS.
#[derive(Clone, Debug, Default)]
pub struct Client {
    tls: Option<Arc<ClientConfig>>,
    /// Who asks, by his own account: for the history and the audit log.
    by: Option<HeaderValue>,
    /// HTTP basic authentication, for servers that want that.
    login: Option<HeaderValue>,
}

impl Client {
    /// In the clear, for this machine's own nodes.
    pub fn plain() -> Client {
        Client::default()
    }

    /// By TLS; the node must prove to be the host that is asked.
    pub fn by_tls(tls: Arc<ClientConfig>) -> Client {
        Client { tls: Some(tls), ..Client::default() }
    }

    /// Says who asks; a name that no header can hold is left out.
    #[must_use]
    pub fn by(self, name: &str) -> Client {
        Client { by: HeaderValue::try_from(name).ok(), ..self }
    }

    /// Signs in with HTTP basic authentication: user and password as RFC 7617 encodes them.
    #[must_use]
    pub fn signed_in(self, encoded: &str) -> Client {
        let mut login = HeaderValue::try_from(format!("Basic {encoded}")).ok();
        if let Some(login) = &mut login {
            login.set_sensitive(true);
        }
        Client { login, ..self }
    }

    /// Reads `path` from the node at `address` (`host:port`).
    pub async fn get(
        &self,
        address: &str,
        path: &str,
        within: Duration,
    ) -> Result<Answer, NoAnswer> {
        let ask = Ask { method: Method::GET, path, token: None, body: String::new(), within };
        self.ask(address, &ask).await
    }

    /// Asks the node at `address`.
    pub async fn ask(&self, address: &str, ask: &Ask<'_>) -> Result<Answer, NoAnswer> {
        let mut request = request(address, ask)?;
        if let Some(by) = &self.by {
            request.headers_mut().insert(BY, by.clone());
        }
        if let Some(login) = &self.login {
            request.headers_mut().entry(AUTHORIZATION).or_insert(login.clone());
        }
        match timeout(ask.within, self.converse(address, request, ask.within)).await {
            Ok(answer) => answer,
            Err(_) => Err(timed_out(address, ask.within)),
        }
    }

    /// The certificate that the node at `address` shows, its time over or not. It must be of the
    /// CA that the configuration trusts.
    pub async fn certificate(&self, address: &str) -> Result<CertificateDer<'static>, NoAnswer> {
        let Some(tls) = &self.tls else { return Err(broken(address, &NoTls)) };
        let stream = connect_tls(address, tls, CONNECT_WITHIN).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        shown.cloned().map(CertificateDer::into_owned).ok_or_else(|| broken(address, &NoTls))
    }

    async fn converse(
        &self,
        address: &str,
        request: Request<Full<Bytes>>,
        within: Duration,
    ) -> Result<Answer, NoAnswer> {
        match &self.tls {
            None => exchange(TokioIo::new(connect(address, within).await?), address, request).await,
            Some(tls) => {
                let stream = connect_tls(address, tls, within).await?;
                exchange(TokioIo::new(stream), address, request).await
            }
        }
    }
}

/// Reads `path` from the node at `address` (`host:port`), in the clear.
pub async fn get(address: &str, path: &str, within: Duration) -> Result<Answer, NoAnswer> {
    Client::plain().get(address, path, within).await
}

/// Asks the node at `address` for something that needs the cluster's token, in the clear.
pub async fn post(
    address: &str,
    path: &str,
    token: &Redacted<String>,
    body: String,
    within: Duration,
) -> Result<Answer, NoAnswer> {
    let ask = Ask { method: Method::POST, path, token: Some(token), body, within };
    Client::plain().ask(address, &ask).await
}

const BY: HeaderName = HeaderName::from_static("x-howdah-by");

fn request(address: &str, ask: &Ask<'_>) -> Result<Request<Full<Bytes>>, NoAnswer> {
    let host = HeaderValue::try_from(address).map_err(|error| broken(address, &error))?;
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(ask.path)
        .header(HOST, host)
        .header(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(token) = ask.token {
        let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
        // The error would print the header.
        let mut bearer = bearer.map_err(|_| broken(address, &NotAHeader))?;
        bearer.set_sensitive(true);
        request = request.header(AUTHORIZATION, bearer);
    }
    request.body(Full::from(ask.body.clone())).map_err(|error| broken(address, &error))
}

async fn connect(address: &str, within: Duration) -> Result<TcpStream, NoAnswer> {
    let unreachable = |source| NoAnswer::Unreachable { address: address.to_owned(), source };
    match timeout(CONNECT_WITHIN.min(within), TcpStream::connect(address)).await {
        Ok(connected) => connected.map_err(unreachable),
        Err(_) if within <= CONNECT_WITHIN => Err(timed_out(address, within)),
        Err(_) => Err(unreachable(std::io::ErrorKind::TimedOut.into())),
    }
}

async fn connect_tls(
    address: &str,
    tls: &Arc<ClientConfig>,
    within: Duration,
) -> Result<TlsStream<TcpStream>, NoAnswer> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|error| broken(address, &error))?;
    let stream = connect(address, within).await?;
    let shaken = TlsConnector::from(tls.clone()).connect(name, stream);
    match timeout(CONNECT_WITHIN.min(within), shaken).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(refused(address, &error).unwrap_or_else(|| NoAnswer::Unreachable {
            address: address.to_owned(),
            source: error,
        })),
        Err(_) => {
            let source = std::io::ErrorKind::TimedOut.into();
            Err(NoAnswer::Unreachable { address: address.to_owned(), source })
        }
    }
}

async fn exchange(
    stream: impl Read + Write + Unpin,
    address: &str,
    request: Request<Full<Bytes>>,
) -> Result<Answer, NoAnswer> {
    // In TLS 1.3 a node refuses our certificate only after the handshake.
    let failed = |error: &(dyn Error + 'static)| {
        refused(address, error).unwrap_or_else(|| broken(address, error))
    };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(stream).await.map_err(|error| failed(&error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|error| failed(&error))?;
        let code = response.status().as_u16();
        // RFC 9110, 10.2.3: with 503, for how long the service is expected to be unavailable.
        let starting = code == 503 && response.headers().contains_key(RETRY_AFTER);
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| failed(error.as_ref()))?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok(Answer { code, body, starting })
    };
    tokio::pin!(exchange);
    // The connection must be driven while the answer is awaited; when it ends first, what it
    // has delivered still decides, and its own error is the better one.
    tokio::select! {
        answer = &mut exchange => answer,
        ended = connection => match (exchange.await, ended) {
            (Err(NoAnswer::Broken { .. }), Err(error)) => Err(failed(&error)),
            (answer, _) => answer,
        },
    }
}

fn refused(address: &str, error: &(dyn Error + 'static)) -> Option<NoAnswer> {
    let why = howdah_tls::refused(error)?;
    Some(NoAnswer::Refused { address: address.to_owned(), why })
}

fn timed_out(address: &str, within: Duration) -> NoAnswer {
    NoAnswer::TimedOut { address: address.to_owned(), within }
}

fn broken(address: &str, error: &(dyn Error + '_)) -> NoAnswer {
    NoAnswer::Broken { address: address.to_owned(), reason: error.to_string() }
}

#[derive(Debug, thiserror::Error)]
#[error("the token has characters that no header can carry")]
struct NotAHeader;

#[derive(Debug, thiserror::Error)]
#[error("the node showed no certificate")]
struct NoTls;
