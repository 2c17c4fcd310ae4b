//! Operations on the data directory of a stopped server: initdb, the end of WAL, copy, rewind.

use std::collections::BTreeSet;

use howdah_base::{History, NodeName, Term, Timeline};

use crate::Planted;
use crate::disk::{Data, Record};
use crate::effect::Effect;
use crate::jobs::{JobRun, Next, Outcome};
use crate::server::Stage;
use crate::world::World;

/// Records that initdb writes.
const FIRST_RECORDS: usize = 5;

impl World {
    pub(crate) fn read_end(&mut self, node: usize, run: &JobRun) -> Next {
        if run.phase == 0 {
            return Next::Then(self.rng.between(10, 150));
        }
        let machine = &self.nodes[node];
        let still = |s: &crate::server::Server| s.stage == Stage::Standby && !s.receives();
        let early = self.planted.has(Planted::EarlyReport);
        let left = machine.server.as_ref().filter(|server| !still(server) && !early);
        let left = left.filter(|s| !(s.orphaned && self.planted.has(Planted::BackendOutlives)));
        if left.is_some() {
            return Next::Done(Err("more WAL may come".to_owned()));
        }
        match &machine.disk.data {
            Some(data) => Next::Done(Ok(Outcome { end: Some(data.end()), ..Outcome::default() })),
            None => Next::Done(Err("there is no directory".to_owned())),
        }
    }

    pub(crate) fn initdb(&mut self, node: usize, run: &JobRun) -> Next {
        if run.phase == 0 {
            return Next::Then(self.rng.between(200, 1_500));
        }
        let system_identifier = self.rng.draw() >> 1;
        let id = self.agent(node).planned.clone();
        let first = Record { timeline: Timeline(1), row: None };
        self.nodes[node].disk.data = Some(Data {
            id,
            system_identifier,
            fresh: true,
            standby_signal: false,
            clean: true,
            history: History::root(Timeline(1)),
            log: vec![first; FIRST_RECORDS],
            slots: BTreeSet::new(),
            wal_gone: false,
        });
        Next::Done(Ok(Outcome::default()))
    }

    pub(crate) fn copy(&mut self, node: usize, run: &JobRun, from: &NodeName, term: Term) -> Next {
        if run.phase == 0 {
            self.count_attempt(node, |attempts| &mut attempts.copies);
            self.check_destruction(node, "copy");
            self.nodes[node].disk.data = None;
            self.nodes[node].disk.unusable = true;
            self.check_meaning();
            return Next::Then(self.rng.between(200, 3_000));
        }
        let id = self.agent(node).planned.clone();
        let slot = id.slot(self.slot_term(term));
        let leads = run.view.leader.as_ref().is_some_and(|leader| leader.value.node == *from);
        // The leader asks for the slot; a standby sends its directory as it is.
        let source = if leads {
            self.source(node, from).filter(|source| source.slots.contains(&slot))
        } else {
            self.standby_source(node, from)
        };
        let Some(source) = source else {
            return Next::Done(Err("it does not send its directory".to_owned()));
        };
        let slots = BTreeSet::new();
        let data =
            Data { id, fresh: false, standby_signal: true, slots, wal_gone: false, ..source };
        self.nodes[node].disk.data = Some(data);
        self.nodes[node].disk.unusable = false;
        Next::Done(Ok(Outcome::default()))
    }

    /// The identity stays; an interrupted rewind leaves a directory of no worth, whose control
    /// file may say anything.
    pub(crate) fn rewind(&mut self, node: usize, run: &JobRun, from: &NodeName) -> Next {
        let Some(source) = self.source(node, from) else {
            return Next::Done(Err("could not connect".to_owned()));
        };
        if run.phase == 0 {
            self.count_attempt(node, |attempts| &mut attempts.rewinds);
        }
        let shown = self.shows_timeline(from);
        let disk = &mut self.nodes[node].disk;
        let Some(data) = &mut disk.data else {
            return Next::Done(Err("there is no directory".to_owned()));
        };
        if run.phase == 0 {
            if !shown && !self.planted.has(Planted::RewindEarly) {
                return Next::Done(Err("the leader does not show its timeline yet".to_owned()));
            }
            disk.unusable = !self.planted.has(Planted::InterruptedRewind);
            data.history = source.history;
            self.effects.note(Effect::Diverged);
            self.check_destruction(node, "rewind");
            return Next::Then(self.rng.between(100, 1_500));
        }
        let (id, slots) = (data.id.clone(), std::mem::take(&mut data.slots));
        if shown {
            *data = Data { id, slots, fresh: data.fresh, standby_signal: true, ..source };
        }
        disk.unusable = false;
        self.check_meaning();
        Next::Done(Ok(Outcome::default()))
    }

    /// Otherwise pg_rewind takes the two for the same, and leaves the directory as it is.
    fn shows_timeline(&self, from: &NodeName) -> bool {
        self.nodes[self.index(from)].server.as_ref().is_some_and(|server| server.checkpointed)
    }

    fn standby_source(&self, node: usize, from: &NodeName) -> Option<Data> {
        let other = self.index(from);
        let server = self.nodes[other].server.as_ref().filter(|server| server.answers())?;
        let standby = server.stage == Stage::Standby && self.passes(node, other);
        self.nodes[other].disk.data.clone().filter(|_| standby)
    }

    fn source(&self, node: usize, from: &NodeName) -> Option<Data> {
        let other = self.index(from);
        let server = self.nodes[other].server.as_ref().filter(|server| server.answers())?;
        let primary = server.stage == Stage::Primary && self.passes(node, other);
        self.nodes[other].disk.data.clone().filter(|_| primary)
    }
}
