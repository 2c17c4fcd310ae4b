//! What the loss of this leader's host would cost now: WAL that no other node is known to hold,
//! and since when there has been some.
//!
//! ```text
//!   own WAL   ──────────────┬────────────► end
//!   the best other node ────┘
//!                           └── rpo: these bytes, and by when the first of them was written
//! ```

use std::collections::VecDeque;

use howdah_base::Lsn;
use howdah_base::commits::Rpo;
use howdah_ha::View;

/// Instants that are remembered with the end of the WAL then.
const MARKS_MAX: usize = 128;

/// What is remembered for it.
#[derive(Debug, Default)]
pub(crate) struct Loss {
    /// Wall clock in milliseconds, and where the WAL ended then at the latest; both rise.
    marks: VecDeque<(u64, Lsn)>,
    now: Option<Rpo>,
}

impl Loss {
    /// As of the last look; `None` where this node does not lead.
    pub fn now(&self) -> Option<Rpo> {
        self.now
    }

    pub fn look(&mut self, view: &View) {
        let running = view.running().filter(|r| r.primary && view.store.leader_mine);
        let Some(running) = running else {
            *self = Loss::default();
            return;
        };
        let end = running.position;
        let others = view.store.members.iter().filter(|(node, _)| **node != view.me);
        let placed = others.filter_map(|(_, member)| member.position);
        let told = placed.filter(|position| position.timeline == end.timeline).map(|p| p.lsn);
        let held = running.senders.iter().map(|sender| sender.flushed).chain(told).max();
        self.now = Some(self.judge(end.lsn, held, view.wall_ms));
    }

    fn judge(&mut self, end: Lsn, held: Option<Lsn>, wall_ms: u64) -> Rpo {
        let full = self.marks.len() >= MARKS_MAX;
        match self.marks.back_mut() {
            Some((_, last)) if *last >= end => {}
            // Of what is written while there is no room, the time is told too early.
            Some((_, last)) if full => *last = end,
            _ => self.marks.push_back((wall_ms, end)),
        }
        let Some(held) = held else { return Rpo::default() };
        while self.marks.front().is_some_and(|(_, lsn)| *lsn <= held) {
            self.marks.pop_front();
        }
        let since_unix_ms = self.marks.front().map(|(at, _)| *at);
        Rpo { bytes: Some(end.bytes_past(held)), since_unix_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rpo(bytes: u64, since: Option<u64>) -> Rpo {
        Rpo { bytes: Some(bytes), since_unix_ms: since }
    }

    #[test]
    fn the_oldest_wal_that_nobody_else_holds_gives_the_time() {
        let mut loss = Loss::default();
        let mut judge = |end, held: Option<u64>, at| loss.judge(Lsn(end), held.map(Lsn), at);
        assert_eq!(judge(100, None, 1), Rpo::default(), "nobody else is known");
        assert_eq!(judge(100, Some(100), 2), Rpo::NOTHING);
        assert_eq!(judge(150, Some(100), 3), rpo(50, Some(3)));
        assert_eq!(judge(180, Some(120), 4), rpo(60, Some(3)));
        assert_eq!(judge(180, Some(150), 5), rpo(30, Some(4)));
        assert_eq!(judge(180, Some(200), 6), Rpo::NOTHING, "it has confirmed more since the look");
    }

    #[test]
    fn what_is_remembered_has_a_bound_and_errs_on_the_safe_side() {
        let mut loss = Loss::default();
        for at in 1..=1_000 {
            loss.judge(Lsn(at * 10), Some(Lsn(0)), at);
        }
        assert_eq!(loss.marks.len(), MARKS_MAX);
        assert_eq!(loss.judge(Lsn(10_000), Some(Lsn(0)), 1_001), rpo(10_000, Some(1)));
        let late = loss.judge(Lsn(10_000), Some(Lsn(9_000)), 1_002);
        assert_eq!(late, rpo(1_000, Some(MARKS_MAX as u64)));
    }
}
