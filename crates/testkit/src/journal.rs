//! What a writing client was told: which rows are promised, which may or may not be there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// One writer's account. Every row has a number of its own that is never tried twice.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    /// Rows whose COMMIT was reported, with the time of the report and what it took.
    pub acknowledged: Vec<Acknowledged>,
    /// Rows that were sent and for which no clear answer came: they may be there or not.
    pub unclear: Vec<(i64, Instant)>,
    /// What went wrong, in order, in the server's or the system's words.
    pub errors: Vec<(Instant, String)>,
}

/// One promised row.
#[derive(Clone, Copy, Debug)]
pub struct Acknowledged {
    pub number: i64,
    pub at: Instant,
    pub took: Duration,
}

/// The longest time in which a client could not write.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    pub from: Instant,
    pub length: Duration,
}

impl Journal {
    /// The longest time between two acknowledgements that follow each other, counted from the
    /// last one before `since`.
    pub fn longest_gap(&self, since: Instant) -> Option<Gap> {
        self.acknowledged
            .windows(2)
            .filter(|pair| pair[1].at >= since)
            .map(|pair| Gap { from: pair[0].at, length: pair[1].at - pair[0].at })
            .max_by_key(|gap| gap.length)
    }

    /// Acknowledged rows that `present` lacks: each is a broken promise.
    pub fn missing_from(&self, present: &BTreeSet<i64>) -> Vec<i64> {
        let numbers = self.acknowledged.iter().map(|row| row.number);
        numbers.filter(|number| !present.contains(number)).collect()
    }

    /// Rows of `present` that this writer never sent.
    pub fn unknown_in(&self, present: &BTreeSet<i64>) -> Vec<i64> {
        let known: BTreeSet<i64> = (self.acknowledged.iter().map(|row| row.number))
            .chain(self.unclear.iter().map(|(number, _)| *number))
            .collect();
        present.difference(&known).copied().collect()
    }

    /// How many rows were acknowledged after `since`.
    pub fn acknowledged_after(&self, since: Instant) -> usize {
        self.acknowledged.iter().rev().take_while(|row| row.at > since).count()
    }

    /// What a commit took in the middle, over all rows.
    pub fn median_took(&self) -> Option<Duration> {
        let mut took: Vec<Duration> = self.acknowledged.iter().map(|row| row.took).collect();
        took.sort_unstable();
        took.get(took.len() / 2).copied()
    }

    /// The last errors, for a failed assertion.
    pub fn last_errors(&self) -> String {
        let skip = self.errors.len().saturating_sub(15);
        let now = Instant::now();
        let lines = self.errors[skip..].iter();
        lines.map(|(at, text)| format!("  {:?} ago: {text}\n", now - *at)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal(at_ms: &[u64]) -> (Journal, Instant) {
        let start = Instant::now();
        let acknowledged = at_ms.iter().zip(1..).map(|(ms, number)| Acknowledged {
            number,
            at: start + Duration::from_millis(*ms),
            took: Duration::from_millis(1),
        });
        (Journal { acknowledged: acknowledged.collect(), ..Journal::default() }, start)
    }

    #[test]
    fn the_gap_that_spans_the_fault_counts() {
        let (journal, start) = journal(&[0, 500, 510, 900, 905]);
        let since = start + Duration::from_millis(600);
        let gap = journal.longest_gap(since).expect("a gap");
        assert_eq!(gap.length, Duration::from_millis(390));
        assert_eq!(journal.longest_gap(start).expect("a gap").length, Duration::from_millis(500));
    }

    #[test]
    fn lost_and_invented_rows_are_both_found() {
        let (mut journal, start) = journal(&[0, 5, 10]);
        journal.unclear.push((4, start));
        let present: BTreeSet<i64> = [1, 3, 4, 9].into();
        assert_eq!(journal.missing_from(&present), [2]);
        assert_eq!(journal.unknown_in(&present), [9]);
    }
}
