//! Connections that have not said yet who they are. There is room for so many; when one more comes,
//! the one goes that has taken longest: whoever opens thousands and says nothing pushes its own
//! out, and not those who log in.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::OPENINGS_MAX;

#[derive(Default)]
pub(crate) struct Openings(Mutex<Waiting>);

/// By when they began.
#[derive(Default)]
struct Waiting {
    begun: u64,
    under_way: BTreeMap<u64, oneshot::Sender<()>>,
}

impl Openings {
    /// What a connection says, if it does within that time, and before it has to make room.
    ///
    /// # Errors
    /// It did not, or has gone.
    pub async fn wait_for<T>(
        &self,
        most: Duration,
        opening: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let (place, pushed_out) = self.enter();
        let opened = tokio::select! {
            opened = timeout(most, opening) => opened.map_err(io::Error::from).flatten(),
            _ = pushed_out => Err(io::Error::other("others came, and it had said nothing for long")),
        };
        drop(place);
        opened
    }

    fn enter(&self) -> (Place<'_>, oneshot::Receiver<()>) {
        let mut waiting = self.waiting();
        while waiting.under_way.len() >= OPENINGS_MAX {
            // Dropped, it tells.
            waiting.under_way.pop_first();
        }
        waiting.begun += 1;
        let number = waiting.begun;
        let (push_out, pushed_out) = oneshot::channel();
        waiting.under_way.insert(number, push_out);
        (Place { openings: self, number }, pushed_out)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Place<'a> {
    openings: &'a Openings,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.openings.waiting().under_way.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn the_oldest_makes_room_and_whoever_has_spoken_leaves_none_behind() {
        let openings = Openings::default();
        let silent = || openings.wait_for(LONG, std::future::pending::<io::Result<()>>());
        let mut oldest = Box::pin(silent());
        let mut others: Vec<_> = (1..OPENINGS_MAX).map(|_| Box::pin(silent())).collect();
        for opening in std::iter::once(&mut oldest).chain(&mut others) {
            assert!(opening.now_or_never().is_none());
        }
        let good = openings.wait_for(LONG, async { Ok("hello") }).await;
        assert_eq!(good.expect("it has spoken"), "hello");
        assert!(oldest.await.is_err(), "it has made room");
        assert!((&mut others[0]).now_or_never().is_none(), "and nobody else has");
        drop(others);
        assert!(openings.waiting().under_way.is_empty());
    }
}
