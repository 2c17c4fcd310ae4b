//! What a proxy on a host without a node tells by HTTP: `/metrics` for Prometheus, `/health` for who
//! balances between proxies. It reads one request a connection and believes nothing of it but its path.

use std::net::SocketAddr;
use std::time::Duration;

use howdah_base::topology::Topology;
use howdah_proxy::{Hearsay, Metrics};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::failure::Failure;

/// For a whole request and its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Requests at once; more wait.
const ASKING_MAX: usize = 16;
/// Bytes of a request's head.
const HEAD_MAX: usize = 8 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
struct Page {
    metrics: Metrics,
    topology: watch::Receiver<Topology>,
    telling: watch::Receiver<usize>,
}

/// Answers from now on.
pub async fn listen(address: SocketAddr, metrics: Metrics, heard: &Hearsay) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::refused(format!("HTTP cannot listen, {error}: `{address}`"))
            .hint("give it another port by --http, or stop what uses it (`ss -ltnp`)")
    })?;
    let page = Page { metrics, topology: heard.topology.clone(), telling: heard.telling.clone() };
    tokio::spawn(async move {
        let mut asking = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = asking.join_next() => {}
                accepted = listener.accept(), if asking.len() < ASKING_MAX => {
                    let Ok((stream, _)) = accepted else {
                        // No file descriptor, mostly, and the next one fails as well.
                        sleep(ACCEPT_PAUSE).await;
                        continue;
                    };
                    let page = page.clone();
                    asking.spawn(async move {
                        // Whoever asked has gone, or was too slow.
                        let _ = timeout(ANSWER_WITHIN, page.answer(stream)).await;
                    });
                }
            }
        }
    });
    Ok(())
}

impl Page {
    async fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < HEAD_MAX {
            if stream.read_buf(&mut head).await? == 0 {
                return Ok(());
            }
        }
        let head = String::from_utf8_lossy(&head);
        let path = head.split_whitespace().nth(1).unwrap_or_default();
        let (status, body) = match (head.starts_with("GET "), path) {
            (true, "/metrics") => ("200 OK", self.metrics().await),
            (true, "/health") => self.health(),
            _ => ("404 Not Found", "/metrics, /health\n".to_owned()),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
        stream.shutdown().await
    }

    async fn metrics(&self) -> String {
        let (telling, term) = (*self.telling.borrow(), self.topology.borrow().term);
        self.metrics.page().await
            + &format!(
                "# HELP howdah_proxy_nodes_telling Nodes that tell where the servers are.\n\
                 # TYPE howdah_proxy_nodes_telling gauge\n\
                 howdah_proxy_nodes_telling {telling}\n\
                 # HELP howdah_proxy_term The term that clients are led by.\n\
                 # TYPE howdah_proxy_term gauge\n\
                 howdah_proxy_term {term}\n"
            )
    }

    /// Whether clients are served: a proxy that nobody tells anything holds them.
    fn health(&self) -> (&'static str, String) {
        match (*self.telling.borrow(), &self.topology.borrow().primary) {
            (0, _) => ("503 Service Unavailable", "no node tells where the servers are\n".into()),
            (_, None) => ("503 Service Unavailable", "there is no primary\n".into()),
            (_, Some(primary)) => ("200 OK", format!("the primary is {primary}\n")),
        }
    }
}
