//! The rules in phases: each takes the case and answers with a step, or passes it on.

pub(crate) mod bootstrap;
pub(crate) mod disk;
pub(crate) mod elect;
pub(crate) mod follow;
pub(crate) mod hung;
pub(crate) mod ladder;
pub(crate) mod lead;
pub(crate) mod lead_down;
pub(crate) mod operator;
pub(crate) mod receiver;
pub(crate) mod retake;
pub(crate) mod revoke;
pub(crate) mod safety;
pub(crate) mod upstream;

use std::time::Duration;

use howdah_base::record::Report;
use howdah_base::{Term, Tick};

use crate::{Command, Job, Memory, Reason, Rule, Running, View};

/// Failed starts after which a leader leaves the term to others.
const START_FAILURES_MAX: u32 = 3;

/// The same for crashes of a primary that had started, so many within so long, milliseconds: the
/// third in a row is no chance.
const CRASHES_MAX: usize = 3;
const CRASHES_WITHIN_MS: u64 = 600_000;
/// For so long after the last one others may take over, milliseconds.
const TIRED_MS: u64 = 30_000;

/// One case to decide.
pub(crate) struct Case<'a> {
    pub view: &'a View,
    pub memory: &'a Memory,
    pub now: Tick,
}

/// What one rule answers.
pub(crate) struct Step {
    pub commands: Vec<Command>,
    pub reason: Reason,
    pub wake_at: Option<Tick>,
    /// The directory is to be made anew: announce the identity of the next one.
    pub recreate: bool,
}

impl Step {
    /// Wait: nothing to do but to say why.
    pub fn wait(rule: Rule, detail: impl Into<String>) -> Step {
        let reason = Reason { rule, detail: detail.into() };
        Step { commands: Vec::new(), reason, wake_at: None, recreate: false }
    }

    pub fn act(rule: Rule, detail: impl Into<String>, command: Command) -> Step {
        Step { commands: vec![command], ..Step::wait(rule, detail) }
    }

    pub fn until(mut self, at: Tick) -> Step {
        self.wake_at = Some(at);
        self
    }

    pub fn recreating(mut self) -> Step {
        self.recreate = true;
        self
    }
}

/// More WAL may come.
pub(crate) fn receives(running: &Running) -> bool {
    running.upstream.is_some() || running.streaming
}

impl Case<'_> {
    /// `step`, unless its operation has just failed: then the pause before the next attempt.
    pub fn paced(&self, job: Job, step: Step) -> Step {
        match self.view.failures.retry_at(job).filter(|at| *at > self.now) {
            Some(at) => {
                let count = self.view.failures.count(job);
                let times = match count {
                    0 => "could not begin in time".to_owned(),
                    1 => "failed once".to_owned(),
                    _ => format!("failed {count} times"),
                };
                let detail = format!("{job} {times}: {}", step.reason);
                Step::wait(Rule::BackOff, detail).until(at)
            }
            None => step,
        }
    }

    /// The server has failed to start so often that others get a chance to lead: but only until
    /// the pause before the next attempt is over, for perhaps none of them can.
    pub fn is_tired(&self) -> bool {
        let failures = &self.view.failures;
        let failed = failures.count(Job::Start) >= START_FAILURES_MAX
            && failures.retry_at(Job::Start).is_some_and(|at| at > self.now);
        failed || self.keeps_crashing()
    }

    /// It starts, and crashes again: each start would look like a success.
    pub fn keeps_crashing(&self) -> bool {
        // One from later than now is from before the clock was set back.
        let ago = |at: &u64| self.view.wall_ms.checked_sub(*at);
        let crashes = &self.view.local.attempts.crashes;
        let lately = crashes.iter().filter_map(ago).filter(|ms| *ms < CRASHES_WITHIN_MS).count();
        lately >= CRASHES_MAX && crashes.last().and_then(ago).is_some_and(|ms| ms < TIRED_MS)
    }

    /// The record of this node that the others see says that its directory is not to be counted: a
    /// leader that has not seen that cannot make it a voter any more, because it compares.
    pub fn is_parting_known(&self) -> bool {
        self.view.store.members.get(&self.view.me).is_some_and(|member| member.leaving)
    }

    pub fn passed(&self, since: Option<Tick>, wait: Duration) -> bool {
        since.is_some_and(|since| self.now.since(since) >= wait)
    }

    /// The term whose end, as its leader says, asks for a report, and since when. Without voters
    /// also its end without a word.
    pub fn wants_report(&self) -> Option<(Term, Tick)> {
        if self.view.store.leader_mine {
            return None;
        }
        let alone = revoke::standing(self.view).is_none();
        self.memory.leaderless.filter(|_| alone).or(self.memory.leader_ended)
    }

    /// What this directory holds after the end of a term, or with the promise that ends it.
    pub fn report(&self) -> Option<Report> {
        revoke::answer(self).or_else(|| self.after_the_end())
    }

    /// Only from facts read after that end, and without a leader only once nothing is received
    /// any more.
    fn after_the_end(&self) -> Option<Report> {
        let (term, since) = self.wants_report()?;
        let view = self.view;
        let running = view.running().filter(|r| !r.primary)?;
        let leaderless = self.memory.leaderless.is_some();
        let read = view.local.observed_at >= since && !(leaderless && receives(running));
        read.then(|| Report {
            term,
            position: running.position,
            history: running.history.clone(),
            revision: view.sync().filter(|_| leaderless).map(|sync| sync.revision),
        })
    }
}
