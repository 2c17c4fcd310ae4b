//! Connections that have not said yet who they are. There is room for so many; when one more comes,
//! the one goes that has taken longest, unless it has only just come: whoever opens thousands and says
//! nothing pushes its own out, and of many who log in at once none. While all have only just come,
//! nobody else is accepted.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep_until, timeout};

use crate::OPENINGS_MAX;

/// Whoever has only just come has that long, however many others come.
const YOUNG: Duration = Duration::from_secs(2);

#[derive(Clone, Default)]
pub(crate) struct Openings(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    /// One has ended.
    ended: Notify,
}

/// By when they began.
#[derive(Default)]
struct Waiting {
    begun: u64,
    under_way: BTreeMap<u64, Begun>,
}

struct Begun {
    at: Instant,
    /// Dropped, it tells.
    _push_out: oneshot::Sender<()>,
}

/// A place among them, until dropped.
pub(crate) struct Opening {
    openings: Openings,
    number: u64,
    pushed_out: oneshot::Receiver<()>,
}

impl Openings {
    /// Comes back when one more may be accepted. Several doors may each let one in after that.
    pub async fn room(&self) {
        loop {
            let ended = self.0.ended.notified();
            let Some(until) = self.waiting().full_until(Instant::now()) else { return };
            tokio::select! {
                () = ended => {}
                () = sleep_until(until.into()) => {}
            }
        }
    }

    /// Somebody has been accepted; who has taken too long makes room.
    pub fn begin(&self) -> Opening {
        let now = Instant::now();
        let mut waiting = self.waiting();
        waiting.make_room(now);
        self.enter(&mut waiting, now)
    }

    /// As [`Opening::wait_for`], for a connection that has begun once and says more: nobody goes for it.
    ///
    /// # Errors
    /// It did not, or has gone.
    pub async fn wait_for<T>(
        &self,
        most: Duration,
        opening: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let place = self.enter(&mut self.waiting(), Instant::now());
        place.wait_for(most, opening).await
    }

    fn enter(&self, waiting: &mut Waiting, now: Instant) -> Opening {
        let (number, pushed_out) = waiting.enter(now);
        Opening { openings: self.clone(), number, pushed_out }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opening {
    /// What a connection says, if it does within that time, and before it has to make room.
    ///
    /// # Errors
    /// It did not, or has gone.
    pub async fn wait_for<T>(
        mut self,
        most: Duration,
        opening: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        tokio::select! {
            opened = timeout(most, opening) => opened.map_err(io::Error::from).flatten(),
            _ = &mut self.pushed_out => Err(io::Error::other(format!(
                "it made room for others: after {YOUNG:?} it had not said who it is"
            ))),
        }
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.openings.waiting().under_way.remove(&self.number);
        self.openings.0.ended.notify_waiters();
    }
}

impl Waiting {
    /// When somebody is old enough to go; `None`: one more may come now.
    fn full_until(&self, now: Instant) -> Option<Instant> {
        let (_, oldest) = self.under_way.first_key_value()?;
        let until = oldest.at + YOUNG;
        (self.under_way.len() >= OPENINGS_MAX && now < until).then_some(until)
    }

    fn make_room(&mut self, now: Instant) {
        while self.under_way.len() >= OPENINGS_MAX && self.full_until(now).is_none() {
            self.under_way.pop_first();
        }
    }

    fn enter(&mut self, now: Instant) -> (u64, oneshot::Receiver<()>) {
        self.begun += 1;
        let (push_out, pushed_out) = oneshot::channel();
        self.under_way.insert(self.begun, Begun { at: now, _push_out: push_out });
        (self.begun, pushed_out)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// As if they had begun that much earlier.
    fn aged(openings: &Openings, by: Duration) {
        for begun in openings.waiting().under_way.values_mut() {
            begun.at -= by;
        }
    }

    #[tokio::test]
    async fn the_oldest_makes_room_and_whoever_has_spoken_leaves_none_behind() {
        let openings = Openings::default();
        let silent = || openings.begin().wait_for(LONG, std::future::pending::<io::Result<()>>());
        let mut oldest = Box::pin(silent());
        let mut others: Vec<_> = (1..OPENINGS_MAX).map(|_| Box::pin(silent())).collect();
        for opening in std::iter::once(&mut oldest).chain(&mut others) {
            assert!(opening.now_or_never().is_none());
        }
        aged(&openings, YOUNG);
        assert!(openings.room().now_or_never().is_some());
        let good = openings.begin().wait_for(LONG, async { Ok("hello") }).await;
        assert_eq!(good.expect("it has spoken"), "hello");
        assert!(oldest.await.is_err(), "it has made room");
        assert!((&mut others[0]).now_or_never().is_none(), "and nobody else has");
        drop(others);
        assert!(openings.waiting().under_way.is_empty());
    }

    #[tokio::test]
    async fn who_has_only_just_come_stays_and_nobody_else_comes_until_one_has_ended() {
        let openings = Openings::default();
        let mut young: Vec<_> = (0..OPENINGS_MAX).map(|_| openings.begin()).collect();
        let mut room = Box::pin(openings.room());
        assert!((&mut room).now_or_never().is_none(), "nobody is to go");
        // Another door's had come in already.
        young.push(openings.begin());
        let proof = openings.wait_for(LONG, async { Ok(()) }).await;
        proof.expect("whoever has been let in so far needs no room");
        for opening in &mut young {
            assert!((&mut opening.pushed_out).now_or_never().is_none());
        }
        young.truncate(OPENINGS_MAX - 1);
        timeout(LONG, room).await.expect("one more may come");
    }

    #[tokio::test]
    async fn a_full_house_has_room_as_soon_as_one_is_older() {
        let openings = Openings::default();
        let _young: Vec<_> = (0..OPENINGS_MAX).map(|_| openings.begin()).collect();
        aged(&openings, YOUNG - Duration::from_millis(50));
        timeout(LONG, openings.room()).await.expect("one more may come");
        let _one_more = openings.begin();
        assert_eq!(openings.waiting().under_way.len(), OPENINGS_MAX);
    }
}
