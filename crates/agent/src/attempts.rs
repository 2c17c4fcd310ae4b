//! How often this node's directory has been mended and its server has crashed: counted in a small
//! file, so that an agent that is started again and again does not begin anew each time. Written
//! by jobs and threads, never by the loop.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use howdah_base::Tick;
use howdah_ha::{Attempts, Job, Rule};
use serde::{Deserialize, Serialize};

use crate::agent::Agent;
use crate::clock;

/// Crashes that are remembered.
const CRASHES_MAX: usize = 10;
/// A standby that has streamed for this long is mended.
const MENDED_AFTER: Duration = Duration::from_secs(30);

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Attempt {
    Rewind,
    Copy,
    /// A copy that an operator asked for: the count begins anew.
    Ordered,
    Crash,
    /// The directory streams: nothing is to be mended any more.
    Mended,
}

/// The counts, and the file that keeps them.
#[derive(Debug)]
pub(crate) struct Counts {
    path: PathBuf,
    kept: Mutex<Kept>,
    /// Held while the file is written; the loop never asks for it.
    writing: Mutex<()>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Kept {
    rewinds: u32,
    copies: u32,
    last_unix_ms: u64,
    crashes: Vec<u64>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counts {
    /// As the last agent of this node left them; none when there is no file, or no whole one.
    pub fn load(state_dir: &Path) -> Counts {
        let path = state_dir.join("attempts.json");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let kept = serde_json::from_str(&text).unwrap_or_default();
        Counts { path, kept: Mutex::new(kept), writing: Mutex::new(()) }
    }

    pub fn facts(&self) -> Attempts {
        let Kept { rewinds, copies, last_unix_ms, crashes } = locked(&self.kept).clone();
        Attempts { rewinds, copies, last_unix_ms, crashes }
    }

    /// Counts one, durably, before it is begun. Blocking.
    pub fn note(&self, attempt: Attempt) -> Result<(), String> {
        let _turn = locked(&self.writing);
        let next = locked(&self.kept).after(attempt, clock::unix_ms());
        let text = serde_json::to_string(&next).map_err(|e| e.to_string())?;
        write(&self.path, &text)
            .map_err(|e| format!("cannot write, {e}: `{}`", self.path.display()))?;
        *locked(&self.kept) = next;
        Ok(())
    }
}

impl Kept {
    fn after(&self, attempt: Attempt, now: u64) -> Kept {
        let mut next = self.clone();
        match attempt {
            Attempt::Rewind => (next.rewinds, next.last_unix_ms) = (self.rewinds + 1, now),
            Attempt::Copy => (next.copies, next.last_unix_ms) = (self.copies + 1, now),
            Attempt::Ordered => (next.rewinds, next.copies, next.last_unix_ms) = (0, 1, now),
            Attempt::Mended => (next.rewinds, next.copies) = (0, 0),
            Attempt::Crash => {
                next.crashes.push(now);
                let from = next.crashes.len().saturating_sub(CRASHES_MAX);
                next.crashes.drain(..from);
            }
        }
        next
    }
}

/// Whole and durable, or as it was.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("tmp");
    let mut file = File::create(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

impl Agent {
    /// A directory that streams again is mended; the server that ended by itself has crashed.
    pub fn note_mended(&mut self, now: Tick) {
        let streams = self.decision.as_ref().is_some_and(|d| d.reason.rule == Rule::Standby);
        self.well_since = streams.then(|| self.well_since.unwrap_or(now));
        let counts = self.shared.counts.facts();
        let due = self.well_since.is_some_and(|since| now.since(since) >= MENDED_AFTER);
        if due && (counts.rewinds > 0 || counts.copies > 0) {
            self.well_since = Some(now);
            self.count(Attempt::Mended);
        }
    }

    /// The server has ended: by itself, as a primary, and not by its deadline.
    pub fn note_crash(&self, fenced: bool) {
        let primary = self.facts.as_ref().is_some_and(|facts| facts.running.primary);
        let rule = self.decision.as_ref().map(|decision| decision.reason.rule);
        let sick = matches!(rule, Some(Rule::EndHung | Rule::EndUnfit));
        let asked = matches!(self.job, Some((Job::Stop | Job::Switchover, _))) && !sick;
        if primary && !asked && !fenced {
            self.count(Attempt::Crash);
        }
    }

    fn count(&self, attempt: Attempt) {
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            if let Err(error) = shared.counts.note(attempt) {
                tracing::warn!("{error}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_whoever_counts() {
        let folder = std::env::temp_dir().join(format!("howdah-attempts-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let counts = Counts::load(&folder);
        for attempt in [Attempt::Rewind, Attempt::Rewind, Attempt::Copy, Attempt::Crash] {
            counts.note(attempt).expect("written");
        }
        let kept = Counts::load(&folder).facts();
        assert_eq!((kept.rewinds, kept.copies, kept.crashes.len()), (2, 1, 1));
        counts.note(Attempt::Ordered).expect("written");
        let kept = Counts::load(&folder).facts();
        assert_eq!((kept.rewinds, kept.copies), (0, 1), "an operator's copy begins anew");
        counts.note(Attempt::Mended).expect("written");
        assert_eq!(Counts::load(&folder).facts().copies, 0);
        fs::remove_dir_all(&folder).expect("cleared");
    }

    #[test]
    fn only_the_last_crashes_are_remembered() {
        let mut kept = Kept::default();
        for now in 0..30 {
            kept = kept.after(Attempt::Crash, now);
        }
        assert_eq!(kept.crashes.len(), CRASHES_MAX);
        assert_eq!(kept.crashes.last(), Some(&29));
    }
}
