//! What this node knows of its repository, for the status and `/metrics`: looked at now and then, never
//! because somebody asks.

use std::collections::BTreeMap;
use std::sync::Arc;

use howdah_agent::unix_ms;
use howdah_archive::schedule::book::Book;
use howdah_archive::schedule::due::{is_late, wanted};
use howdah_archive::schedule::{History, Outcome, Run, Task};
use howdah_base::backups::{Archived, BackupRun, Backups, LastBackup, NextRun};
use howdah_base::calendar;
use howdah_base::status::ClusterStatus;
use howdah_spec::schedule::ScheduleSpec;
use tokio::sync::watch;

/// WAL that is longer on its way than this is told, milliseconds.
const BEHIND_TOLD_MS: u64 = 60_000;

/// The repository at a moment.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: u64,
    pub schedule: ScheduleSpec,
    pub history: History,
    pub newest: Option<LastBackup>,
    pub stored: u64,
    pub gaps: u64,
    /// The last drill that left its finding, also one by hand.
    pub drilled: Option<Run>,
    /// Backups that cannot be restored as they are, as somebody found: when, and in a sentence.
    pub faulty: Vec<(u64, String)>,
    /// Why this node cannot look any more, or could not yet.
    pub trouble: Option<String>,
}

impl Seen {
    /// Of a node that could not look yet.
    pub fn nothing(schedule: &ScheduleSpec) -> Seen {
        Seen::of(&Book::default(), schedule, 0)
    }

    pub fn of(book: &Book, schedule: &ScheduleSpec, now: u64) -> Seen {
        let newest = book.newest().map(|about| LastBackup {
            label: about.label.clone(),
            started_unix_ms: u64::try_from(about.started_ms).unwrap_or(0),
            stopped_unix_ms: u64::try_from(about.stopped_ms).unwrap_or(0),
            bytes: about.statistics.bytes,
            stored_bytes: about.statistics.stored,
        });
        Seen {
            at: now,
            schedule: schedule.clone(),
            history: book.history(),
            newest,
            stored: book.stored,
            gaps: u64::try_from(book.gaps).unwrap_or(u64::MAX),
            drilled: book.drill(),
            faulty: faulty(book),
            trouble: None,
        }
    }

    pub fn status(&self, wal: Option<Archived>, now: u64) -> Backups {
        let of_task = |task| wanted(&self.schedule, &self.history, task, now);
        let mut next: Vec<NextRun> = Task::ALL
            .into_iter()
            .filter_map(of_task)
            .map(|wanted| NextRun { task: wanted.task.word().to_owned(), at_unix_ms: wanted.at })
            .collect();
        next.sort_by_key(|next| next.at_unix_ms);
        Backups {
            seen_unix_ms: self.at,
            backups: u64::try_from(self.history.made.len()).unwrap_or(u64::MAX),
            stored_bytes: self.stored,
            gaps: self.gaps,
            last: self.newest.clone(),
            running: self.history.runs.iter().rfind(|run| run.end.is_none()).map(told),
            next,
            drill: self.last_drill().map(told),
            failed: self
                .history
                .runs
                .iter()
                .rfind(|run| run.outcome() == Some(Outcome::Failed))
                .map(told),
            wal,
        }
    }

    /// That of the schedule, or one by hand since. One of the schedule leaves its finding before it ends.
    pub fn last_drill(&self) -> Option<&Run> {
        let ended = |run: &&Run| run.task == Task::Drill && run.end.is_some();
        let of_schedule = self.history.runs.iter().rfind(ended);
        self.or_by_hand(of_schedule)
    }

    fn or_by_hand<'a>(&'a self, of_schedule: Option<&'a Run>) -> Option<&'a Run> {
        let ended_at = |run: &Run| run.end.as_ref().map(|end| end.at);
        let is_later = |by_hand: &&Run| of_schedule.and_then(ended_at) < ended_at(by_hand);
        self.drilled.as_ref().filter(is_later).or(of_schedule)
    }

    /// The run that says how it stands with a task now.
    fn last_word(&self, task: Task) -> Option<&Run> {
        let of_schedule = self.history.runs.iter().rfind(|run| run.task == task && concludes(run));
        if task == Task::Drill { self.or_by_hand(of_schedule) } else { of_schedule }
    }

    /// What is wrong, one sentence each.
    pub fn problems(&self, wal: Option<Archived>, now: u64) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(trouble) = &self.trouble {
            all.push(format!("this node cannot look into the repository: {trouble}"));
        }
        for task in Task::ALL {
            if let Some(run) = self.last_word(task)
                && let Some(end) = run.end.as_ref().filter(|end| end.outcome == Outcome::Failed)
            {
                let (at, node) = (moment(end.at), &run.node);
                all.push(format!("the last {} failed, on {node} at {at}: {}", name(task), end.why));
            }
        }
        // A verification of the schedule has named what it found.
        let named = self.last_word(Task::Verify).and_then(|run| run.end.as_ref());
        let named_at = named.map_or(0, |end| end.at);
        let fresh = self.faulty.iter().filter(|(at, _)| *at > named_at);
        all.extend(fresh.map(|(_, said)| said.clone()));
        if self.at > 0 && is_late(&self.schedule, &self.history, now) {
            let last = self.newest.as_ref().map_or_else(
                || "there is none".to_owned(),
                |last| format!("the last one is of {}", moment(last.stopped_unix_ms)),
            );
            all.push(format!("no backup came about for twice the schedule's interval: {last}"));
        }
        if let Some(Archived { behind_bytes: Some(bytes), since_unix_ms: Some(since), failing }) =
            wal
            && !failing
            && now.saturating_sub(since) > BEHIND_TOLD_MS
        {
            let since = moment(since);
            all.push(format!("the repository lacks {bytes} bytes of WAL, written since {since}"));
        }
        all
    }

    /// Runs that have come to an end, by task and outcome.
    pub fn counts(&self) -> BTreeMap<(Task, Outcome), u64> {
        let mut counts = BTreeMap::new();
        for run in &self.history.runs {
            if let Some(outcome) = run.outcome() {
                *counts.entry((run.task, outcome)).or_default() += 1;
            }
        }
        counts
    }
}

fn faulty(book: &Book) -> Vec<(u64, String)> {
    let at = |ms: i64| u64::try_from(ms).unwrap_or(0);
    let verified = book.lately.faulty().map(|(label, proof, found)| {
        let (by, when) = (&proof.by, moment(at(proof.at_ms)));
        let first = found.faults.first();
        let first = first.map(|fault| format!(": `{}`, {}", fault.object, fault.what));
        let first = first.unwrap_or_default();
        let said = format!("backup {label} failed its verification, on {by} at {when}{first}");
        (at(proof.at_ms), said)
    });
    // Nobody has looked for these on purpose: no run names them.
    let missing = book.lately.missing().iter().map(|missing| {
        let said = format!("backup {} is missing: its manifest was taken away", missing.label);
        (u64::MAX, said)
    });
    verified.chain(missing).collect()
}

/// Whether it says something of the task, and not of its node.
fn concludes(run: &Run) -> bool {
    run.outcome().is_some_and(|outcome| outcome != Outcome::Interrupted)
}

pub fn name(task: Task) -> &'static str {
    match task {
        Task::Full => "full backup",
        Task::Backup => "backup",
        Task::Expire => "expiry",
        Task::Drill => "drill",
        Task::Verify => "verification",
    }
}

fn told(run: &Run) -> BackupRun {
    let end = run.end.as_ref();
    BackupRun {
        task: run.task.word().to_owned(),
        node: run.node.clone(),
        begun_unix_ms: run.begun,
        ended_unix_ms: end.map(|end| end.at),
        outcome: end.map(|end| end.outcome.word().to_owned()),
        why: end.map(|end| end.why.clone()).unwrap_or_default(),
        label: end.and_then(|end| end.label.clone()),
        rpo_ms: end.and_then(|end| end.rpo_ms),
        rto_ms: end.and_then(|end| end.rto_ms),
    }
}

/// `2030-01-31 04:00:00 UTC`.
fn moment(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (year, month, day) = calendar::date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The agent's status, with what this node knows of the repository.
pub async fn with_backups(
    mut status: watch::Receiver<Option<Arc<ClusterStatus>>>,
    mut seen: watch::Receiver<Option<Arc<Seen>>>,
) -> Option<watch::Receiver<Arc<ClusterStatus>>> {
    let first = joined(status.borrow_and_update().clone()?, seen.borrow_and_update().as_deref());
    let (told, page) = watch::channel(first);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                changed = status.changed() => if changed.is_err() { return },
                changed = seen.changed() => if changed.is_err() { return },
            }
            let Some(status) = status.borrow_and_update().clone() else { continue };
            let next = joined(status, seen.borrow_and_update().as_deref());
            told.send_replace(next);
        }
    });
    Some(page)
}

fn joined(status: Arc<ClusterStatus>, seen: Option<&Seen>) -> Arc<ClusterStatus> {
    let Some(seen) = seen else { return status };
    let leader = status.leader.as_ref();
    let leads = status.nodes.iter().find(|node| Some(&node.node) == leader);
    let wal = leads.and_then(|node| node.member.as_ref()?.archived);
    let now = unix_ms();
    let mut status = ClusterStatus::clone(&status);
    // What nobody has looked at is not told of as if there were nothing.
    status.backups = (seen.at > 0).then(|| seen.status(wal, now));
    status.problems.extend(seen.problems(wal, now));
    Arc::new(status)
}

#[cfg(test)]
pub(super) mod tests {
    use howdah_archive::schedule::End;
    use howdah_spec::schedule::Cron;

    use super::*;

    const HOUR: u64 = 3_600_000;

    pub(in crate::archive) fn seen(runs: Vec<Run>) -> Seen {
        let text = "cluster = \"c\"\n[backup]\nrepository = \"/r\"\n[nodes.n1]\n";
        let place = std::path::Path::new("/c/howdah.toml");
        let spec = crate::file::parse(place, text).expect("a file");
        let mut schedule = spec.backup.expect("backups").schedule;
        schedule.backup = Cron::parse("0 * * * *").ok();
        let history = History { since: 0, made: Vec::new(), runs };
        let (drilled, faulty, trouble) = (None, Vec::new(), None);
        Seen {
            at: 1,
            schedule,
            history,
            newest: None,
            stored: 0,
            gaps: 0,
            drilled,
            faulty,
            trouble,
        }
    }

    fn run(number: u64, task: Task, outcome: Outcome) -> Run {
        let (label, bytes, rpo_ms, rto_ms) = (None, None, None, None);
        let why = "no space".to_owned();
        let end = Some(End { at: number * 1_000, outcome, why, label, bytes, rpo_ms, rto_ms });
        Run { number, task, node: "n2".to_owned(), begun: number, end }
    }

    #[test]
    fn what_failed_is_a_problem_until_it_is_done() {
        let told = |runs| seen(runs).problems(None, HOUR);
        let failed = run(1, Task::Backup, Outcome::Failed);
        let said = "the last backup failed, on n2 at 1970-01-01 00:00:01 UTC: no space";
        assert_eq!(told(vec![failed.clone()]), [said]);
        assert_eq!(told(vec![failed.clone(), run(2, Task::Backup, Outcome::Interrupted)]), [said]);
        assert_eq!(told(vec![failed.clone(), run(2, Task::Drill, Outcome::Done)]), [said]);
        assert!(told(vec![failed, run(2, Task::Backup, Outcome::Done)]).is_empty());
    }

    #[test]
    fn a_drill_by_hand_counts_as_much_as_one_of_the_schedule() {
        let with = |scheduled: (u64, Outcome), by_hand: (u64, Outcome)| {
            let drilled = Some(run(by_hand.0, Task::Drill, by_hand.1));
            let seen = Seen { drilled, ..seen(vec![run(scheduled.0, Task::Drill, scheduled.1)]) };
            (seen.last_drill().and_then(Run::outcome), seen.problems(None, HOUR).len())
        };
        let (done, failed) = (Outcome::Done, Outcome::Failed);
        assert_eq!(with((1, done), (2, failed)), (Some(failed), 1));
        assert_eq!(with((1, failed), (2, done)), (Some(done), 0));
        assert_eq!(with((2, done), (1, failed)), (Some(done), 0));
        assert_eq!(with((2, failed), (2, failed)), (Some(failed), 1), "it is the same one");
    }

    #[test]
    fn what_a_verification_by_hand_found_is_a_problem_until_one_of_the_schedule_has_looked() {
        let faulty = vec![(2_000, "backup b failed".to_owned())];
        let told = |runs| Seen { faulty: faulty.clone(), ..seen(runs) }.problems(None, HOUR);
        assert_eq!(told(Vec::new()), ["backup b failed"]);
        assert_eq!(told(vec![run(1, Task::Verify, Outcome::Done)]), ["backup b failed"]);
        assert!(told(vec![run(3, Task::Verify, Outcome::Done)]).is_empty());
    }

    #[test]
    fn a_node_that_cannot_look_says_why() {
        let trouble = Some("the key is missing".to_owned());
        let blind = Seen { trouble, at: 0, ..seen(Vec::new()) };
        let said = "this node cannot look into the repository: the key is missing";
        assert_eq!(
            blind.problems(None, 9 * HOUR),
            [said],
            "of what it has not seen it says nothing"
        );
    }

    #[test]
    fn a_late_backup_and_late_wal_are_problems() {
        let none = seen(Vec::new());
        assert!(none.problems(None, 2 * HOUR).is_empty());
        let late = "no backup came about for twice the schedule's interval: there is none";
        assert_eq!(none.problems(None, 2 * HOUR + 1), [late]);
        let wal = |failing| {
            Some(Archived { behind_bytes: Some(77), since_unix_ms: Some(1_000), failing })
        };
        assert!(none.problems(wal(false), 61_000).is_empty());
        let behind = "the repository lacks 77 bytes of WAL, written since 1970-01-01 00:00:01 UTC";
        assert_eq!(none.problems(wal(false), 61_001), [behind]);
        assert!(none.problems(wal(true), 61_001).is_empty(), "the primary says why itself");
    }
}
