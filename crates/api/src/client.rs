//! One HTTP request, bounded in time and size: how the command line and other nodes ask a node.

use std::error::Error;
use std::time::Duration;

use howdah_base::Redacted;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the node said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: String,
}

/// Why there is no answer. Of a request that changes something it is then unknown whether it
/// was carried out, unless the node refused the connection.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error("cannot connect: {source}: `{address}`")]
    Unreachable { address: String, source: std::io::Error },
    #[error("no answer within {}s: `{address}`", within.as_secs_f64())]
    TimedOut { address: String, within: Duration },
    #[error("the conversation broke off: {reason}: `{address}`")]
    Broken { address: String, reason: String },
}

/// Reads `path` from the node at `address` (`host:port`).
pub async fn get(address: &str, path: &str, within: Duration) -> Result<Answer, NoAnswer> {
    let request = Request::get(path).body(Full::default());
    bounded(address, request, within).await
}

/// Asks the node at `address` for something that needs the cluster's token.
pub async fn post(
    address: &str,
    path: &str,
    token: &Redacted<String>,
    body: String,
    within: Duration,
) -> Result<Answer, NoAnswer> {
    let bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()));
    let mut request = Request::builder().method(Method::POST).uri(path);
    if let Ok(mut bearer) = bearer {
        bearer.set_sensitive(true);
        request = request.header(AUTHORIZATION, bearer);
    }
    bounded(address, request.body(Full::from(body)), within).await
}

async fn bounded(
    address: &str,
    request: hyper::http::Result<Request<Full<Bytes>>>,
    within: Duration,
) -> Result<Answer, NoAnswer> {
    let address_owned = || address.to_owned();
    let request = request.map_err(|error| broken(address, &error))?;
    match timeout(within, converse(address, request)).await {
        Ok(answer) => answer,
        Err(_) => Err(NoAnswer::TimedOut { address: address_owned(), within }),
    }
}

async fn converse(address: &str, mut request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
    let host = HeaderValue::try_from(address).map_err(|error| broken(address, &error))?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
    let stream = TcpStream::connect(address)
        .await
        .map_err(|source| NoAnswer::Unreachable { address: address.to_owned(), source })?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(address, &error))?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|e| broken(address, &e))?;
        let code = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|error| broken(address, error.as_ref()))?;
        let body = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Ok(Answer { code, body })
    };
    tokio::pin!(exchange);
    // The connection must be driven while the answer is awaited; when it ends first, what it
    // has delivered still decides.
    tokio::select! {
        answer = &mut exchange => answer,
        _ = connection => exchange.await,
    }
}

fn broken(address: &str, error: &(dyn Error + '_)) -> NoAnswer {
    NoAnswer::Broken { address: address.to_owned(), reason: error.to_string() }
}
