//! An HTTP server that answers as a test tells it, and remembers what it was asked. By hand, so
//! that it can also be silent or break off.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What it does with one request.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    Answer(u16, &'static str),
    /// Nothing, for ever.
    Hang,
    /// Closes the connection.
    BreakOff,
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub head: String,
    pub body: serde_json::Value,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

pub struct HttpServer {
    pub port: u16,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl HttpServer {
    /// Acts one after the other; when they are used up, 200.
    pub async fn start(acts: &[Act], tls: Option<rustls::ServerConfig>) -> HttpServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let acts: Arc<Mutex<VecDeque<Act>>> = Arc::new(Mutex::new(acts.iter().copied().collect()));
        let acceptor = tls.map(|config| tokio_rustls::TlsAcceptor::from(Arc::new(config)));
        let remembered = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acts, asked) = (Arc::clone(&acts), Arc::clone(&remembered));
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor {
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            serve(stream, &acts, &asked).await;
                        }
                        None => serve(stream, &acts, &asked).await,
                    }
                });
            }
        });
        HttpServer { port, asked, task }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    acts: &Mutex<VecDeque<Act>>,
    asked: &Mutex<Vec<Asked>>,
) {
    let Some(request) = read(&mut stream).await else { return };
    asked.lock().expect("not poisoned").push(request);
    let act = acts.lock().expect("not poisoned").pop_front().unwrap_or(Act::Answer(200, "ok"));
    match act {
        Act::Hang => tokio::time::sleep(Duration::from_secs(3600)).await,
        Act::BreakOff => {}
        Act::Answer(code, body) => {
            let length = body.len();
            let head = format!("HTTP/1.1 {code} -\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(head.as_bytes()).await.ok();
            stream.shutdown().await.ok();
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Option<Asked> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut asked = Asked { head, body: serde_json::Value::Null };
    let length: usize = asked.header("content-length")?.parse().ok()?;
    while bytes.len() < end + 4 + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    asked.body = serde_json::from_slice(&bytes[end + 4..]).ok()?;
    Some(asked)
}

/// A certificate for `localhost`, signed by itself, and the configuration that shows it.
pub fn certificate() -> (String, rustls::ServerConfig) {
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let chain: Vec<CertificateDer<'static>> = vec![made.cert.der().clone()];
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a configuration");
    (made.cert.pem(), config)
}
