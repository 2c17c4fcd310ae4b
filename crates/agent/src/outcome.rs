//! The end of a long operation, as the loop takes it in.

use std::sync::Arc;
use std::time::Duration;

use howdah_base::Tick;
use howdah_ha::Job;

use crate::agent::Agent;
use crate::event::Outcome;
use crate::{clock, observe};

impl Agent {
    pub(crate) fn done(&mut self, job: Job, outcome: Result<Box<Outcome>, String>) {
        self.job = self.job.take().filter(|(running, _)| *running != job);
        if job == Job::Stop {
            self.stopping = false;
        }
        if job == Job::Start {
            // Whether any process is left of it the guard says.
            if outcome.as_ref().is_ok_and(|outcome| !outcome.late) {
                // More WAL may come.
                self.left = None;
            }
        }
        if matches!(job, Job::Start | Job::Stop) {
            let (shared, events) = (Arc::clone(&self.shared), self.events.clone());
            tokio::spawn(async move { observe::count(&shared, &events).await });
        }
        if matches!(job, Job::Initdb | Job::Copy | Job::Rewind) {
            // Its WAL ends elsewhere now.
            self.left = None;
            self.last_seen = None;
        }
        if matches!(job, Job::Initdb | Job::Copy) && outcome.is_ok() {
            // The planned identity is the directory's now; the next one gets its own.
            self.planned = crate::planned(&self.shared).unwrap_or_else(|_| self.planned.clone());
        }
        if job == Job::Configure {
            self.applied.configured(outcome.is_ok());
        }
        match outcome {
            Ok(outcome) => {
                match outcome.late {
                    true => self.failures.late(job, clock::now()),
                    false => self.failures.clear(job),
                }
                self.last_error = self.last_error.take().filter(|(failed, _)| *failed != job);
                self.take_outcome(*outcome);
            }
            Err(error) => {
                tracing::warn!("{job} failed: {error}");
                if job == Job::SetSync {
                    // The file may be written: nothing is proved to be in force.
                    self.sync = None;
                }
                self.failures.record(job, clock::now());
                self.last_error = Some((job, error));
            }
        }
        if matches!(job, Job::Start | Job::Promote) {
            // What was seen of the server before is not true any more.
            self.facts = None;
            self.silent_for = Duration::ZERO;
            self.facts_after = clock::now();
        }
        if job == Job::Follow {
            self.left = None;
            // A position read while something was still received is none to report.
            self.facts_after = clock::now();
            self.observed_at = Tick(0);
        }
        if job != Job::Txn {
            self.probe_now.notify_one();
        }
    }

    fn take_outcome(&mut self, outcome: Outcome) {
        if let Some(said) = outcome.said {
            tracing::info!("{said}");
        }
        if let Some(conf) = outcome.conf {
            self.conf = conf;
        }
        if let Some(snapshot) = outcome.snapshot {
            self.store_answered(snapshot);
        }
        if let Some(lease) = outcome.lease_gone {
            self.lease.lost(lease);
        }
        self.sync = outcome.sync.or(self.sync.take());
        self.left = outcome.left.or(self.left);
        if let Some(promises) = outcome.promises {
            self.promises.revoked = promises.revoked;
        }
    }
}
