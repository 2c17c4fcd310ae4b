//! Who waits for a server of one pool, in one class: whoever has waited longest first, except that a
//! thread whose server has come free gives it to a client of its own while nobody else has waited
//! for much longer. A server that moves costs both threads more than a transaction does.

use std::collections::VecDeque;

/// How much longer than a thread's own client another's may have waited before it goes first.
pub const PATIENCE_US: u64 = 2_000;

/// Who waits, as its thread knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiter {
    /// Its thread.
    pub home: usize,
    /// Its place there.
    pub client: usize,
    /// Of this request alone: its place may be another's later.
    pub ticket: u64,
    /// Since when, in microseconds of the caller's clock.
    pub since: u64,
}

#[derive(Clone, Default, Debug)]
pub(super) struct Queue {
    /// By thread.
    homes: Vec<VecDeque<Waiter>>,
    len: usize,
}

impl Queue {
    pub fn push(&mut self, waiter: Waiter) {
        if self.homes.len() <= waiter.home {
            self.homes.resize_with(waiter.home + 1, VecDeque::new);
        }
        self.homes[waiter.home].push_back(waiter);
        self.len += 1;
    }

    /// Whose turn it is, where a server has come free at `home`.
    pub fn pop(&mut self, home: usize) -> Option<Waiter> {
        let first = self.first()?;
        let own = self.homes.get(home).and_then(VecDeque::front);
        let own = own.filter(|own| own.since <= first.since.saturating_add(PATIENCE_US));
        let of = own.map_or(first.home, |own| own.home);
        self.len -= 1;
        self.homes[of].pop_front()
    }

    /// Whoever has waited longest.
    pub fn first(&self) -> Option<Waiter> {
        self.homes.iter().filter_map(VecDeque::front).min_by_key(|waiter| waiter.since).copied()
    }

    /// Whether it was there.
    pub fn remove(&mut self, home: usize, client: usize, ticket: u64) -> bool {
        let Some(waiting) = self.homes.get_mut(home) else { return false };
        let is = |waiter: &Waiter| waiter.client == client && waiter.ticket == ticket;
        let found = waiting.iter().position(is);
        found.and_then(|at| waiting.remove(at)).inspect(|_| self.len -= 1).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(waiting: &[(usize, u64)]) -> Queue {
        let mut queue = Queue::default();
        for (client, (home, since)) in waiting.iter().enumerate() {
            queue.push(Waiter { home: *home, client, ticket: 1, since: *since });
        }
        queue
    }

    fn order(mut queue: Queue, home: usize) -> Vec<usize> {
        std::iter::from_fn(|| queue.pop(home)).map(|waiter| waiter.client).collect()
    }

    #[test]
    fn a_threads_own_go_first_unless_others_have_waited_for_much_longer() {
        let waiting = [(1, 0), (0, 1_000), (0, PATIENCE_US), (0, PATIENCE_US + 1)];
        assert_eq!(order(queue(&waiting), 0), [1, 2, 0, 3]);
        assert_eq!(order(queue(&waiting), 1), [0, 1, 2, 3]);
        assert_eq!(order(queue(&waiting), 7), [0, 1, 2, 3], "a thread that nobody waits at");
    }

    #[test]
    fn who_has_gone_is_not_found_again() {
        let mut queue = queue(&[(0, 0), (0, 1)]);
        assert!(!queue.remove(0, 1, 2) && !queue.remove(3, 1, 1));
        assert!(queue.remove(0, 1, 1) && !queue.remove(0, 1, 1));
        assert!(queue.pop(0).is_some() && queue.is_empty() && queue.pop(0).is_none());
    }
}
