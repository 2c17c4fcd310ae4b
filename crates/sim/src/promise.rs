//! The promises that end a term: how they are written, and that none who has answered receives.

use howdah_base::Term;
use howdah_base::record::{Member, Revocation};

use crate::Planted;
use crate::effect::Effect;
use crate::event::ForAgent;
use crate::jobs::{JobRun, Next, Outcome};
use crate::world::World;

/// A write that takes longer than this is given up, and may end at any later time, ms.
const WRITE_MS: u64 = 500;
/// It ends at most this much later, ms.
const LATE_MS: u64 = 8_000;

impl World {
    /// Durable before it is told.
    pub(crate) fn keep_promise(&mut self, node: usize, run: &JobRun, promise: Revocation) -> Next {
        if run.phase == 0 {
            let takes = self.step_ms(1, 10);
            if takes > WRITE_MS {
                let late = self.rng.between(takes, LATE_MS);
                self.after_agent(node, late, ForAgent::LatePromise(promise));
                return Next::Done(Err("its write was given up".to_owned()));
            }
            return Next::Then(takes);
        }
        self.write_promise(node, promise);
        Next::Done(Ok(Outcome { promise: Some(promise), ..Outcome::default() }))
    }

    /// What stands there is replaced by a higher one only.
    pub(crate) fn write_promise(&mut self, node: usize, promise: Revocation) {
        if self.planted.has(Planted::PromiseNotDurable) {
            return;
        }
        let lower = self.planted.has(Planted::PromiseLowered);
        let there = &mut self.nodes[node].disk.promise;
        *there = if lower { promise } else { promise.max(*there) };
    }

    /// A7, when an answer about a promise is sent: nothing is received any more.
    pub(crate) fn answers(&mut self, node: usize, member: &Member) {
        let Some(report) = &member.report else { return };
        let told = report.revision.map(|revision| Revocation { term: report.term, revision });
        let agent = self.agent(node);
        let Some(told) = told.filter(|told| *told == agent.promise) else { return };
        self.effects.note(Effect::Revoked);
        let answered = &mut self.checker.answered[node];
        *answered = told.max(*answered);
    }

    /// A7: who has answered receives nothing from that term, or a lower one, before its record has
    /// a higher revision.
    pub(crate) fn check_receives(&mut self, node: usize, term: Term) {
        let answered = self.checker.answered[node];
        let released = self.checker.sync.as_ref().is_some_and(|sync| sync.revocation() > answered);
        if term > answered.term || (term == answered.term && released) {
            return;
        }
        let name = &self.nodes[node].name;
        let (term, told, revision) = (term.0, answered.term.0, answered.revision);
        self.checker.found(format!(
            "{name} receives WAL of term {term}, although it has answered about term {told}, \
             revision {revision}"
        ));
    }
}
