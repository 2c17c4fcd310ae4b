//! The schedule's history as it stands in a lineage, read little by little: what is over does not
//! change any more.

use std::collections::{BTreeMap, BTreeSet};

use howdah_repo::manifest::About;
use howdah_repo::runs::{self, Begun, Ended};
use howdah_repo::{Lineage, RepoError};

use super::{End, History, Made, Outcome, Run, Task, moment};
use crate::proof::Lately;

/// Runs that stay; the newest that was done of each task stays besides.
pub const RUNS_MAX: usize = 200;
/// Of a longer history, which nobody has tidied up, only the newest are read.
const READ_MAX: usize = 2 * RUNS_MAX;
/// Characters of a reason that are kept.
const WHY_MAX: usize = 2_000;

/// What of a lineage is known.
#[derive(Clone, Default, Debug)]
pub struct Book {
    since: u64,
    runs: BTreeMap<u64, runs::Run>,
    /// By label.
    backups: BTreeMap<String, About>,
    /// Bytes of all packs.
    pub stored: u64,
    /// Ranges of WAL that are known to be missing.
    pub gaps: usize,
    /// What was found of the newest backups.
    pub lately: Lately,
}

impl Book {
    /// Brings it up to date.
    pub async fn read(&mut self, lineage: &Lineage) -> Result<(), RepoError> {
        if self.since == 0 {
            self.since = moment(lineage.about().await?.created_ms);
        }
        self.read_runs(lineage).await?;
        let labels = lineage.backups().await?;
        let there = |label: &String| labels.iter().any(|known| known.as_str() == label);
        let mut changed = self.backups.keys().any(|label| !there(label));
        self.backups.retain(|label, _| there(label));
        for label in &labels {
            if !self.backups.contains_key(label.as_str()) {
                let about = match lineage.about_backup(label).await {
                    // Expired under the look.
                    Err(error) if error.is_absent() => continue,
                    about => about?,
                };
                self.backups.insert(label.as_str().to_owned(), about);
                changed = true;
            }
        }
        if changed {
            let storage = lineage.repository().storage();
            let listed = storage.list(&lineage.id().backups(), None).await?;
            self.stored = listed.iter().map(|object| object.size).sum();
        }
        self.gaps = lineage.gaps().await?.len();
        self.lately.read(lineage).await
    }

    async fn read_runs(&mut self, lineage: &Lineage) -> Result<(), RepoError> {
        let listed = lineage.runs().await?;
        let old = listed.len().saturating_sub(READ_MAX);
        let numbers: BTreeSet<u64> = listed.iter().map(|(number, _)| *number).collect();
        self.runs.retain(|number, _| numbers.contains(number));
        for (number, is_over) in listed.into_iter().skip(old) {
            let known = self.runs.get(&number);
            if known.is_some_and(|run| run.ended.is_some() == is_over) {
                continue;
            }
            match lineage.get_run(number, is_over).await {
                // Forgotten under the look.
                Err(error) if error.is_absent() => {}
                run => drop(self.runs.insert(number, run?)),
            }
        }
        Ok(())
    }

    pub fn history(&self) -> History {
        let mut made: Vec<Made> = self.backups.values().map(Made::of).collect();
        made.sort_by_key(|made| made.stopped);
        let runs = self.runs.values().filter_map(Run::of).collect();
        History { since: self.since, made, runs }
    }

    /// The last drill that left its finding, also one that nobody scheduled, as a run of its own.
    pub fn drill(&self) -> Option<Run> {
        let (label, proof, found) = self.lately.drill()?;
        let at = moment(proof.at_ms);
        let why = found.why_red().map(|check| format!("{}, {}", check.name, check.said));
        let took = found.rto_ms.unwrap_or(0) + found.checks_ms.unwrap_or(0);
        let end = End {
            at,
            outcome: if found.passed { Outcome::Done } else { Outcome::Failed },
            why: why.unwrap_or_default(),
            label: Some(label.as_str().to_owned()),
            bytes: Some(found.bytes),
            rpo_ms: found.rpo_ms,
            rto_ms: found.rto_ms,
        };
        let (node, begun) = (proof.by.clone(), at.saturating_sub(took));
        Some(Run { number: 0, task: Task::Drill, node, begun, end: Some(end) })
    }

    /// The backup that was complete last.
    pub fn newest(&self) -> Option<&About> {
        self.backups.values().max_by_key(|about| about.stopped_ms)
    }

    pub fn backups(&self) -> usize {
        self.backups.len()
    }

    /// Begins a run, of which the caller's lease is the right. Its number.
    pub async fn begin(&mut self, lineage: &Lineage, begun: Begun) -> Result<u64, RepoError> {
        let number = self.runs.last_key_value().map_or(1, |(last, _)| last + 1);
        lineage.begin_run(number, &begun).await?;
        self.runs.insert(number, runs::Run { number, begun, ended: None });
        Ok(number)
    }

    pub async fn end(
        &mut self,
        lineage: &Lineage,
        number: u64,
        mut ended: Ended,
    ) -> Result<(), RepoError> {
        ended.why = ended.why.chars().take(WHY_MAX).collect();
        lineage.end_run(number, &ended).await?;
        if let Some(run) = self.runs.get_mut(&number) {
            run.ended = Some(ended);
        }
        Ok(())
    }

    /// Ends what others have begun and nobody can be doing any more: the caller holds the lease.
    pub async fn end_lost(&mut self, lineage: &Lineage, now_ms: i64) -> Result<(), RepoError> {
        let open = self.runs.values().filter(|run| run.ended.is_none());
        let open: Vec<(u64, String)> =
            open.map(|run| (run.number, run.begun.node.clone())).collect();
        for (number, node) in open {
            let ended = Ended {
                ended_ms: now_ms,
                outcome: Outcome::Interrupted.word().to_owned(),
                why: format!("node {node} went away in the middle"),
                ..Ended::default()
            };
            self.end(lineage, number, ended).await?;
        }
        Ok(())
    }

    /// Removes what [`forget`] names.
    pub async fn tidy(&mut self, lineage: &Lineage) -> Result<(), RepoError> {
        for number in forget(&self.history().runs) {
            lineage.forget_run(number).await?;
            self.runs.remove(&number);
        }
        Ok(())
    }
}

/// Which runs go, of all in order.
pub fn forget(runs: &[Run]) -> Vec<u64> {
    let newest_done = |task: Task| {
        let mut done = runs.iter().rev().filter(|run| run.task == task && run.is_done());
        done.next().map(|run| run.number)
    };
    let stay: BTreeSet<u64> = Task::ALL.into_iter().filter_map(newest_done).collect();
    let old = runs.iter().take(runs.len().saturating_sub(RUNS_MAX));
    let over = old.filter(|run| run.end.is_some() && !stay.contains(&run.number));
    over.map(|run| run.number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_old_is_forgotten_but_never_the_last_that_was_done() {
        let run = |number: u64, task, outcome: Option<Outcome>| Run {
            number,
            task,
            node: "n1".to_owned(),
            begun: number,
            end: outcome.map(|outcome| End {
                at: number,
                outcome,
                why: String::new(),
                label: None,
                bytes: None,
                rpo_ms: None,
                rto_ms: None,
            }),
        };
        let old = [
            run(1, Task::Verify, Some(Outcome::Done)),
            run(2, Task::Verify, Some(Outcome::Done)),
            run(3, Task::Verify, Some(Outcome::Failed)),
            run(4, Task::Drill, None),
            run(5, Task::Backup, Some(Outcome::Done)),
        ];
        let many = (0..RUNS_MAX as u64).map(|n| run(10 + n, Task::Backup, Some(Outcome::Done)));
        let all: Vec<Run> = old.into_iter().chain(many).collect();
        assert_eq!(forget(&all), [1, 3, 5]);
        assert_eq!(forget(&all[..RUNS_MAX]), [0_u64; 0]);
    }
}
