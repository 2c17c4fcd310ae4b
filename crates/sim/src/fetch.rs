//! The tail of a hand-over: records of a dead server's disk, copied to the standby that its term
//! is offered to, as crates/agent/src/jobs/fetch.rs does it.

use howdah_base::record::{Leader, key};
use howdah_base::{NodeName, Position, Term};

use crate::disk::{Conf, reached};
use crate::event::ForServer;
use crate::jobs::{JobRun, Next, Outcome};
use crate::world::World;

impl World {
    /// The files come first; then the receiver ends, and what was fetched is replayed.
    pub(crate) fn fetch(
        &mut self,
        node: usize,
        run: &mut JobRun,
        from: &NodeName,
        term: Term,
        end: Position,
        within: u64,
    ) -> Next {
        let other = self.index(from);
        let late = self.now > run.began + within;
        match run.phase {
            0 => Next::Then(self.rng.between(10, 300)),
            1 if !self.gives_out(node, other, term) => {
                self.fetched(node, run, Err("it does not give its WAL out".to_owned()))
            }
            1 => {
                let theirs = self.nodes[other].disk.data.as_ref();
                run.records = theirs.map(|data| data.log.clone()).unwrap_or_default();
                run.records.truncate(end.lsn.0 as usize);
                let upstream = None;
                self.configure(node, Conf { standby: true, upstream, ..run.conf.clone() });
                Next::Then(20)
            }
            _ if late => self.fetched(node, run, Err("it took too long".to_owned())),
            2 if self.nodes[node].server.as_ref().is_some_and(|s| s.receives()) => Next::Again(10),
            2 => {
                self.restore(node, run);
                Next::Then(self.rng.between(5, 100))
            }
            _ => match &self.nodes[node].server {
                None => self.fetched(node, run, Err("the server ended".to_owned())),
                Some(server) if server.replayed == end.lsn.0 => self.fetched(node, run, Ok(())),
                Some(_) => Next::Again(10),
            },
        }
    }

    /// Its agent takes part, leads that term, and has read where the WAL of its server ends.
    fn gives_out(&self, node: usize, other: usize, term: Term) -> bool {
        let machine = &self.nodes[other];
        let Some(agent) = machine.agent.as_ref().filter(|_| self.passes(node, other)) else {
            return false;
        };
        let leader = agent.snapshot.as_ref().and_then(|s| s.get::<Leader>(key::LEADER).ok()?);
        let leads = leader.is_some_and(|(it, _)| it.node == machine.name && it.term == term);
        let idle = agent.job.as_ref().is_none_or(|run| run.job == howdah_ha::Job::Txn);
        let answers = self.now >= agent.frozen_until && !agent.store_error;
        leads && idle && answers && machine.server.is_none() && agent.end.is_some()
    }

    fn restore(&mut self, node: usize, run: &JobRun) {
        let delay = self.rng.between(5, 200);
        let Some(data) = &mut self.nodes[node].disk.data else { return };
        let have = data.log.len().min(run.records.len());
        data.log.extend_from_slice(&run.records[have..]);
        let end = data.log.len() as u64;
        data.history = reached(&data.history, end);
        self.after_server(node, delay, ForServer::Replayed(end));
    }

    /// Who failed follows as before.
    fn fetched(&mut self, node: usize, run: &JobRun, what: Result<(), String>) -> Next {
        match what {
            Ok(()) => {
                let conf = Conf { standby: true, upstream: None, ..run.conf.clone() };
                Next::Done(Ok(Outcome { conf: Some(conf), ..Outcome::default() }))
            }
            Err(why) => {
                self.configure(node, run.conf.clone());
                Next::Done(Err(why))
            }
        }
    }
}
