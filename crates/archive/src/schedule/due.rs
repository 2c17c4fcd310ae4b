//! Which task is due now, and else when the next one is. Pure: the same history and the same moment
//! have the same answer on every node.
//!
//! ```text
//! schedule ─► the moment that a task is for: the last one that nothing was done for, else the next
//! failures ─► not before so long after the last of them
//! ```
//! A moment that was missed ten times is made up for once: only the last one counts.

use howdah_spec::schedule::{Cron, ScheduleSpec, When};

use super::{History, Made, Outcome, Run, Task};

/// A task and when it is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    pub task: Task,
    /// The moment of the schedule that it is for.
    pub due: u64,
    /// Not before this one.
    pub at: u64,
}

/// After a first failure one waits so long, then twice as long each time, milliseconds.
const AGAIN_MIN_MS: u64 = 60_000;
const AGAIN_MAX_MS: u64 = 3_600_000;
/// A process may be killed, and then a node: neither is waited for.
const INTERRUPTIONS_FREE: usize = 2;
/// What is no backup is given up for this time after so many attempts.
const TRIES_MAX: usize = 5;

/// Nodes' clocks differ. What is further ahead was written by one that was wrong, and puts nothing off.
const AHEAD_MS: u64 = 300_000;

/// The most urgent of what is due, else what comes next.
pub fn next(schedule: &ScheduleSpec, history: &History, now: u64) -> Option<Wanted> {
    let all = || Task::ALL.into_iter().filter_map(|task| wanted(schedule, history, task, now));
    all().find(|wanted| wanted.at <= now).or_else(|| all().min_by_key(|wanted| wanted.at))
}

/// When a task is to be done; `None`: never, or not before something else was.
pub fn wanted(schedule: &ScheduleSpec, history: &History, task: Task, now: u64) -> Option<Wanted> {
    let due = due(schedule, history, task, now)?;
    let tries: Vec<&Run> = history
        .runs
        .iter()
        .filter(|run| run.task == task && run.begun >= due)
        .filter(|run| run.outcome().is_some_and(|outcome| outcome != Outcome::Done))
        .collect();
    let Some(end) = tries.last().and_then(|run| run.end.as_ref()) else {
        return Some(Wanted { task, due, at: due });
    };
    if task != Task::Backup && tries.len() >= TRIES_MAX {
        let due = cron(schedule, task)?.next(now, &schedule.zone)?;
        return Some(Wanted { task, due, at: due });
    }
    // Somebody else need not wait for what is not the task's fault, unless it goes on like that.
    let free = if end.outcome == Outcome::Interrupted { INTERRUPTIONS_FREE } else { 0 };
    let failures = tries.len().saturating_sub(free);
    Some(Wanted { task, due, at: due.max(end.at + pause(failures)) })
}

fn pause(failures: usize) -> u64 {
    let doubled = failures.checked_sub(1).map(|more| AGAIN_MIN_MS << more.min(16));
    doubled.unwrap_or(0).min(AGAIN_MAX_MS)
}

/// Whether no backup has come about for twice as long as the schedule has between two of them.
pub fn is_late(schedule: &ScheduleSpec, history: &History, now: u64) -> bool {
    let Some(cron) = &schedule.backup else { return false };
    let last = cron.last(now, &schedule.zone);
    let before = last.and_then(|last| cron.last(last.checked_sub(1)?, &schedule.zone));
    let last_made =
        history.made.iter().rev().find(|made| made.stopped <= now.saturating_add(AHEAD_MS));
    let since = last_made.map_or(history.since, |made| made.stopped);
    let interval = last.zip(before).map(|(last, before)| last - before);
    interval.is_some_and(|interval| now.saturating_sub(since) > interval.saturating_mul(2))
}

/// The last moment that nothing was done for, else the next one.
fn due(schedule: &ScheduleSpec, history: &History, task: Task, now: u64) -> Option<u64> {
    let late = now.saturating_add(AHEAD_MS);
    let done = |run: &&Run| run.task == task && run.is_done() && run.begun <= late;
    let last_done = history.runs.iter().rev().find(done).map(|run| run.begun);
    let catch_up = |cron: &Cron, anchor: u64| {
        let last = cron.last(now, &schedule.zone).filter(|last| *last > anchor);
        last.or_else(|| cron.next(now, &schedule.zone))
    };
    let made = || history.made.iter().filter(|made| made.started <= late);
    let newest = |which: fn(&&Made) -> bool| made().filter(which).map(|m| m.started);
    match task {
        Task::Backup => match newest(|_| true).max() {
            Some(started) => catch_up(schedule.backup.as_ref()?, started),
            // A cluster without one does not wait for tomorrow.
            None => schedule.backup.as_ref().map(|_| history.since),
        },
        Task::Full => {
            let full = newest(|made| made.full).max();
            catch_up(schedule.full.as_ref()?, full.unwrap_or(history.since))
        }
        Task::Verify => catch_up(schedule.verify.as_ref()?, last_done.unwrap_or(history.since)),
        Task::Expire => match &schedule.expire {
            When::Off => None,
            When::At(cron) => catch_up(cron, last_done.unwrap_or(history.since)),
            When::AfterBackup => {
                let stopped = history.made.last()?.stopped;
                last_done.is_none_or(|begun| begun < stopped).then_some(stopped)
            }
        },
        Task::Drill => match &schedule.drill {
            When::Off => None,
            When::At(cron) => catch_up(cron, last_done.unwrap_or(history.since)),
            When::AfterBackup => {
                let first = first_of_its_day(schedule, history)?;
                last_done.is_none_or(|begun| begun < first).then_some(first)
            }
        },
    }
}

/// When the first backup was complete of the day that the newest one is of.
fn first_of_its_day(schedule: &ScheduleSpec, history: &History) -> Option<u64> {
    let day = |made: &Made| schedule.zone.date(made.stopped);
    let newest = day(history.made.last()?)?;
    let of_that_day = history.made.iter().filter(|made| day(made) == Some(newest));
    of_that_day.map(|made| made.stopped).min()
}

fn cron(schedule: &ScheduleSpec, task: Task) -> Option<&Cron> {
    match task {
        Task::Full => schedule.full.as_ref(),
        Task::Backup => schedule.backup.as_ref(),
        Task::Verify => schedule.verify.as_ref(),
        Task::Drill => schedule.drill.cron(),
        Task::Expire => schedule.expire.cron(),
    }
}

#[cfg(test)]
#[path = "due_tests.rs"]
mod tests;
