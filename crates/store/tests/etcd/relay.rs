//! A network between the driver and a member, which a test makes slow or cuts, also one way.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

/// Listens on a port of its own and passes everything on to a member.
pub struct Relay {
    pub endpoint: String,
    weather: Arc<watch::Sender<Weather>>,
    asked: Arc<AtomicUsize>,
    task: AbortHandle,
}

/// What happens to bytes on their way.
#[derive(Clone, Copy, Default)]
struct Weather {
    /// Each way.
    delay: Duration,
    answers_lost: bool,
    /// Connections break and no new one is passed on.
    cut: bool,
}

impl Relay {
    /// In front of `endpoint`, such as `http://127.0.0.1:2379`.
    pub async fn before(endpoint: &str) -> Relay {
        let (scheme, target) = endpoint.split_once("://").expect("an endpoint");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let weather = Arc::new(watch::Sender::new(Weather::default()));
        let asked = Arc::new(AtomicUsize::new(0));
        let line = Line { weather: Arc::clone(&weather), asked: Arc::clone(&asked) };
        let task = tokio::spawn(accept(listener, target.to_owned(), line)).abort_handle();
        Relay { endpoint: format!("{scheme}://{address}"), weather, asked, task }
    }

    /// Bytes of questions that came so far.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// From now on every byte takes so much longer, there and back.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Questions arrive, answers do not: they are held back until the network heals.
    pub fn lose_answers(&self) {
        self.weather.send_modify(|weather| weather.answers_lost = true);
    }

    /// Every connection breaks.
    pub fn cut(&self) {
        self.weather.send_modify(|weather| weather.cut = true);
    }

    pub fn heal(&self) {
        self.weather.send_replace(Weather::default());
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Line {
    weather: Arc<watch::Sender<Weather>>,
    asked: Arc<AtomicUsize>,
}

async fn accept(listener: TcpListener, target: String, line: Line) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        if line.weather.borrow().cut {
            continue;
        }
        let Ok(server) = TcpStream::connect(&target).await else { continue };
        let (weather, asked) = (line.weather.subscribe(), Arc::clone(&line.asked));
        connections.spawn(connect(client, server, weather, asked));
    }
}

async fn connect(
    client: TcpStream,
    server: TcpStream,
    mut weather: watch::Receiver<Weather>,
    asked: Arc<AtomicUsize>,
) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let uncounted = Arc::default();
    let questions = pass_on(from_client, to_server, weather.clone(), |_| false, asked);
    let answers = pass_on(from_server, to_client, weather.clone(), |w| w.answers_lost, uncounted);
    tokio::select! {
        () = questions => {}
        () = answers => {}
        _ = weather.wait_for(|weather| weather.cut) => {}
    }
}

/// Chunks leave in order, each `delay` after it came, however many are under way.
async fn pass_on(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut weather: watch::Receiver<Weather>,
    held_back: fn(&Weather) -> bool,
    count: Arc<AtomicUsize>,
) {
    let (sender, mut receiver) = mpsc::channel(UNDER_WAY_MAX);
    let delays = weather.clone();
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            count.fetch_add(read, Ordering::SeqCst);
            let leaves = Instant::now() + delays.borrow().delay;
            if sender.send((leaves, buffer[..read].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((leaves, chunk)) = receiver.recv().await {
            tokio::time::sleep_until(leaves).await;
            if weather.wait_for(|weather| !held_back(weather)).await.is_err()
                || to.write_all(&chunk).await.is_err()
            {
                return;
            }
        }
    };
    // What was read before the end is still passed on.
    let ((), ()) = tokio::join!(read, write);
}

/// Chunks in one direction.
const UNDER_WAY_MAX: usize = 256;
