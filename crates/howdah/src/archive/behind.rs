//! Since when WAL waits for the repository: from what the server and the repository say of where they
//! are, at one moment and another. Pure.

use std::collections::VecDeque;

use howdah_archive::ship::Shipped;
use howdah_base::Lsn;
use howdah_base::backups::Archived;

/// Moments that are kept; of more every second one goes, and the answer is as much coarser.
const MARKS_MAX: usize = 256;

/// How far the server was at which moment, of what the repository has not.
#[derive(Clone, Default, Debug)]
pub struct Behind(VecDeque<(Lsn, u64)>);

impl Behind {
    pub fn note(&mut self, shipped: &Shipped, now: u64) -> Archived {
        let failing = shipped.trouble.is_some();
        let Some(durable) = shipped.durable else {
            return Archived { failing, ..Archived::default() };
        };
        while self.0.front().is_some_and(|(end, _)| *end <= durable.lsn) {
            self.0.pop_front();
        }
        let newest = self.0.back().map_or(durable.lsn, |(end, _)| *end);
        if shipped.server > newest {
            self.0.push_back((shipped.server, now));
        }
        if self.0.len() > MARKS_MAX {
            let mut keep = false;
            self.0.retain(|_| {
                keep = !keep;
                keep
            });
        }
        let behind_bytes = Some(shipped.server.bytes_past(durable.lsn));
        Archived { behind_bytes, since_unix_ms: self.0.front().map(|(_, at)| *at), failing }
    }
}

#[cfg(test)]
mod tests {
    use howdah_base::{Position, Timeline};

    use super::*;

    fn at(durable: u64, server: u64) -> Shipped {
        let durable = Some(Position { timeline: Timeline(1), lsn: Lsn(durable) });
        Shipped { durable, server: Lsn(server), ..Shipped::default() }
    }

    #[test]
    fn what_waits_waits_since_it_was_first_seen() {
        let mut behind = Behind::default();
        let mut note = |durable, server, now| {
            let told = behind.note(&at(durable, server), now);
            (told.behind_bytes.expect("known"), told.since_unix_ms)
        };
        assert_eq!(note(100, 100, 1), (0, None));
        assert_eq!(note(100, 150, 2), (50, Some(2)));
        assert_eq!(note(100, 190, 3), (90, Some(2)));
        assert_eq!(note(150, 190, 4), (40, Some(3)));
        assert_eq!(note(190, 190, 5), (0, None));
        for n in 0..10_000 {
            note(190, 191 + n, 6 + n);
        }
        assert_eq!(note(190, 20_000, 20_000), (19_810, Some(6)));
        assert!(behind.0.len() <= MARKS_MAX);
    }
}
