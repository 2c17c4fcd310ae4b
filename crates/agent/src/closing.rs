//! Before a planned shutdown: no new client is led to the server, and those on their way in come
//! through. PostgreSQL itself would send both away.

use std::time::Duration;

use howdah_base::topology::Topology;
use howdah_base::{Gauge, Held};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// A login takes milliseconds; a client that takes longer is not waited for.
const ARRIVE_WITHIN: Duration = Duration::from_secs(1);
const ASK_EVERY: Duration = Duration::from_millis(5);

/// Whether the server takes clients, as far as this agent has a say in it.
#[derive(Debug)]
pub(crate) struct Closing {
    closed: Gauge,
    letting_in: Gauge,
    topology: watch::Sender<Topology>,
    arriving: Gauge,
}

/// The server is closed until this is dropped: when it is down, or when it is not shut down
/// after all.
#[derive(Debug)]
pub(crate) struct Closed {
    _closed: Held,
    letting_in: Option<Held>,
    arriving: Gauge,
}

impl Closing {
    pub fn new(topology: watch::Sender<Topology>, arriving: Gauge) -> Closing {
        Closing { closed: Gauge::default(), letting_in: Gauge::default(), topology, arriving }
    }

    /// Closes the server; the proxy knows it when this returns.
    pub fn begin(&self) -> Closed {
        let closed = Closed {
            _closed: self.closed.hold(),
            letting_in: Some(self.letting_in.hold()),
            arriving: self.arriving.clone(),
        };
        self.topology.send_modify(|now| now.local.closing = true);
        closed
    }

    /// Nobody new is led to the server.
    pub fn is_closed(&self) -> bool {
        self.closed.held() > 0
    }

    /// Somebody may be on the way in: connections to the server stay, although it is about to be
    /// shut down.
    pub fn lets_in(&self) -> bool {
        self.letting_in.held() > 0
    }
}

impl Closed {
    /// Waits until everybody on the way in has a session.
    pub async fn let_in(&mut self) {
        let begun = Instant::now();
        while self.arriving.held() > 0 && begun.elapsed() < ARRIVE_WITHIN {
            sleep(ASK_EVERY).await;
        }
        self.letting_in = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_is_closed_before_the_last_client_is_let_in_and_opens_again() {
        let (topology, arriving) = (watch::Sender::default(), Gauge::default());
        let closing = Closing::new(topology.clone(), arriving.clone());
        let client = arriving.hold();
        let mut closed = closing.begin();
        assert!(topology.borrow().local.closing && closing.is_closed() && closing.lets_in());
        let letting_in = tokio::spawn(async move {
            closed.let_in().await;
            closed
        });
        tokio::task::yield_now().await;
        assert!(closing.lets_in() && !letting_in.is_finished(), "a client is on its way in");
        drop(client);
        let closed = letting_in.await.expect("no panic");
        assert!(closing.is_closed() && !closing.lets_in());
        // Another one closes it before the first has let go.
        let again = closing.begin();
        drop(closed);
        assert!(closing.is_closed() && closing.lets_in());
        drop(again);
        assert!(!closing.is_closed() && !closing.lets_in());
    }

    #[tokio::test]
    async fn a_client_that_dawdles_is_not_waited_for() {
        let arriving = Gauge::default();
        let closing = Closing::new(watch::Sender::default(), arriving.clone());
        let (_client, begun, mut closed) = (arriving.hold(), Instant::now(), closing.begin());
        let waited = tokio::time::timeout(ARRIVE_WITHIN * 10, closed.let_in()).await;
        assert!(waited.is_ok() && begun.elapsed() >= ARRIVE_WITHIN);
    }
}
