//! Whether a process of the instance is alive, as the guard says: by its events, at once, and by
//! its answers, which may come in another order than they were given in.

use howdah_base::Tick;
use tokio::sync::watch;

pub(crate) struct Liveness {
    alive: watch::Sender<bool>,
    /// When this was last changed: what was asked before says nothing about it.
    since: Tick,
}

impl Liveness {
    pub fn new(alive: bool) -> Liveness {
        Liveness { alive: watch::Sender::new(alive), since: Tick(0) }
    }

    pub fn is_alive(&self) -> bool {
        *self.alive.borrow()
    }

    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.alive.subscribe()
    }

    /// No process is left, the guard has said by itself.
    pub fn ended(&mut self, now: Tick) {
        self.alive.send_replace(false);
        self.since = now;
    }

    /// The guard's answer to a question of `asked_at`. Gives whether that is news.
    pub fn counted(&mut self, alive: bool, asked_at: Tick, now: Tick) -> bool {
        let is_news = asked_at >= self.since && self.is_alive() != alive;
        if is_news {
            self.alive.send_replace(alive);
            self.since = now;
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_given_before_the_end_does_not_bring_it_to_life_again() {
        let mut liveness = Liveness::new(true);
        liveness.ended(Tick(20));
        assert!(!liveness.counted(true, Tick(10), Tick(30)));
        assert!(!liveness.is_alive());
        assert!(liveness.counted(true, Tick(40), Tick(41)), "started again");
        assert!(liveness.is_alive());
    }

    #[test]
    fn an_answer_given_before_the_start_does_not_end_it() {
        let mut liveness = Liveness::new(false);
        assert!(liveness.counted(true, Tick(20), Tick(25)));
        assert!(!liveness.counted(false, Tick(10), Tick(30)));
        assert!(liveness.is_alive());
    }

    #[test]
    fn a_wrong_belief_is_corrected_by_the_next_answer() {
        let mut liveness = Liveness::new(true);
        assert!(!liveness.counted(true, Tick(10), Tick(10)), "known");
        assert!(liveness.counted(false, Tick(11), Tick(12)));
        assert!(!liveness.is_alive());
    }
}
