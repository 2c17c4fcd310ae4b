//! One pool as all threads share it: what each of them has of it, and what is on its way to whom.

/// Servers that move to another thread rather than that one more is opened, in [`WINDOW_US`]:
/// a thread now and then without a server of its own takes one that nobody uses, and threads that
/// are busy all the time come to have their own.
const MOVES: u32 = 8;
const WINDOW_US: u64 = 100_000;

/// What one thread has of a pool.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Share {
    /// The thread has the pool.
    pub open: bool,
    /// It holds it: nobody begins anything.
    pub held: bool,
    /// Servers that nobody uses, and that are promised to nobody.
    pub idle: u32,
    /// Since when the one that was idle longest is.
    pub since: u64,
    /// Those that orders on their way to it are about.
    pub promised: u32,
    /// Clients with a place that no server is on its way to.
    pub lacks: u32,
    /// Servers that other threads have, and that are to come here.
    pub bound: u32,
    pub opening: u32,
    /// Places in use by its clients.
    pub places: u32,
    /// Connections that it has.
    pub servers: u32,
    /// Orders on their way to it.
    pub due: u32,
}

/// A pool; `own` is the caller's.
#[derive(Debug)]
pub(super) struct Shared<K, S> {
    pub key: K,
    pub own: S,
    /// By thread.
    pub shares: Box<[Share]>,
    /// Idle servers of other pools that are to go so that this one may open some.
    pub evicting: u32,
    /// Connections that no thread has, on their way from one to another.
    pub moving: u32,
    /// No more is opened before: the last attempt has failed.
    pub retry_at: u64,
    moved: u32,
    moved_since: u64,
}

impl<K, S> Shared<K, S> {
    pub fn new(key: K, own: S, threads: usize) -> Shared<K, S> {
        Shared {
            key,
            own,
            shares: vec![Share::default(); threads].into(),
            evicting: 0,
            moving: 0,
            retry_at: 0,
            moved: 0,
            moved_since: 0,
        }
    }

    pub fn sum(&self, of: impl Fn(&Share) -> u32) -> u32 {
        self.shares.iter().map(of).sum()
    }

    /// Takes an idle server of that thread.
    pub fn take_idle(&mut self, thread: usize) -> bool {
        let share = &mut self.shares[thread];
        let any = share.idle > 0;
        share.idle -= u32::from(any);
        any
    }

    /// The thread but this one that has most idle servers.
    pub fn lender(&self, not: usize) -> Option<usize> {
        let others =
            self.shares.iter().enumerate().filter(|(at, share)| *at != not && share.idle > 0);
        others.max_by_key(|(_, share)| share.idle).map(|(at, _)| at)
    }

    /// The thread but this one that lacks most.
    pub fn lacking(&self, not: usize) -> Option<usize> {
        let others =
            self.shares.iter().enumerate().filter(|(at, share)| *at != not && share.lacks > 0);
        others.max_by_key(|(_, share)| share.lacks).map(|(at, _)| at)
    }

    /// The thread that lacks most beyond what it is opening.
    pub fn opener(&self) -> Option<usize> {
        let short = |share: &Share| share.lacks.saturating_sub(share.opening);
        let found = self.shares.iter().enumerate().max_by_key(|(_, share)| short(share));
        found.filter(|(_, share)| short(share) > 0).map(|(at, _)| at)
    }

    /// Servers that it is short of, over all threads.
    pub fn short(&self) -> u32 {
        self.sum(|share| share.lacks).saturating_sub(self.sum(|share| share.opening))
    }

    /// Whether one more may move where one could be opened as well.
    pub fn may_move(&mut self, now: u64) -> bool {
        if now.saturating_sub(self.moved_since) > WINDOW_US {
            (self.moved, self.moved_since) = (0, now);
        }
        self.moved += 1;
        self.moved <= MOVES
    }
}
