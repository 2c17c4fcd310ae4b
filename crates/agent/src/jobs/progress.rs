//! Whether a server that is starting gets on: crash recovery may take hours, and one that is given
//! up while it replays begins anew.
//!
//! Seen from `/proc` alone (proc(5)), because the server takes no connections yet. Its startup
//! process shows the segment that it replays in its title (PostgreSQL documentation, "Viewing
//! Statistics"), and before that makes the directory durable, which only its CPU time tells. One
//! that waits for WAL is not getting on, although it looks around now and then.

use std::fs;
use std::time::Duration;

use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{Instant, timeout};

/// What was last seen of it, and since when it has been the same.
pub(super) struct Progress {
    seen: Option<Seen>,
    since: Instant,
    looked_at: Instant,
    /// A look that has not come back; no other is begun meanwhile.
    looking: Option<JoinHandle<Option<Seen>>>,
}

/// Between two looks at every process of the machine.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Reading a title waits for the lock of a process's memory, perhaps for ever. A look that has not
/// come back by then has seen nothing new.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Seen {
    title: String,
    /// Clock ticks of CPU; 0 of one that waits for WAL.
    ticks: u64,
}

impl Progress {
    pub fn begin() -> Progress {
        let now = Instant::now();
        Progress { seen: None, since: now, looked_at: now, looking: None }
    }

    /// How long nothing has changed, as of the last look.
    pub async fn still_for(&mut self, postmaster: Option<i32>) -> Duration {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return self.since.elapsed();
        }
        self.looked_at = Instant::now();
        let seen = match postmaster {
            Some(postmaster) => self.look(postmaster).await,
            None => None,
        };
        if seen.is_some() && seen != self.seen {
            (self.seen, self.since) = (seen, Instant::now());
        }
        self.since.elapsed()
    }

    async fn look(&mut self, postmaster: i32) -> Option<Seen> {
        let look = || spawn_blocking(move || startup_process(postmaster));
        let looking = self.looking.get_or_insert_with(look);
        let seen = timeout(LOOK_WITHIN, looking).await.ok()?;
        self.looking = None;
        seen.ok()?
    }

    /// In words, for an error.
    pub fn words(&self) -> &str {
        self.seen.as_ref().map_or("no startup process was seen", |seen| &seen.title)
    }
}

fn startup_process(postmaster: i32) -> Option<Seen> {
    children(postmaster).find_map(|(title, ticks)| seen(&title, ticks))
}

/// The titles of the postmaster's children, and their clock ticks of CPU. Blocking, perhaps for
/// long.
pub(super) fn children(postmaster: i32) -> impl Iterator<Item = (String, u64)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(move |pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let ticks = ticks_of_child(&stat, postmaster)?;
        let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
        Some((title.trim_end_matches(['\0', ' ']).to_owned(), ticks))
    })
}

fn seen(title: &str, ticks: u64) -> Option<Seen> {
    let at = title.find("startup")?;
    let title = title[at..].to_owned();
    let ticks = if title.contains("waiting") { 0 } else { ticks };
    Some(Seen { title, ticks })
}

/// User and system time, fields 14 and 15 of proc_pid_stat(5), if `parent` is its parent.
fn ticks_of_child(stat: &str, parent: i32) -> Option<u64> {
    // The name may hold anything, brackets too.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let is_child = fields.get(1)?.parse() == Ok(parent);
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    is_child.then_some(number(11)? + number(12)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "812 (post (g) res) S 700 812 812 0 -1 4194560 100 0 0 0 41 9 0 0 20 0";

    #[test]
    fn a_childs_cpu_time_is_read_whatever_its_name() {
        assert_eq!(ticks_of_child(STAT, 700), Some(50));
        assert_eq!(ticks_of_child(STAT, 701), None);
    }

    #[test]
    fn who_replays_or_makes_durable_gets_on_and_who_waits_does_not() {
        let at = |title: &str, ticks| seen(title, ticks);
        assert_ne!(at("postgres: demo: startup", 1), at("postgres: demo: startup", 2));
        let replays = "postgres: demo: startup recovering 000000010000000000000003";
        assert_ne!(at(replays, 1), at(replays, 2));
        let waits = "postgres: demo: startup waiting for 000000010000000000000004";
        assert_eq!(at(waits, 1), at(waits, 2));
        assert_eq!(at("postgres: demo: checkpointer", 1), None);
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_not_waited_for_and_shows_nothing() {
        let (goes_on, waits) = std::sync::mpsc::channel::<()>();
        let mut progress = Progress::begin();
        progress.looked_at -= LOOK_EVERY;
        progress.looking = Some(spawn_blocking(move || {
            waits.recv().ok();
            seen("postgres: demo: startup", 1)
        }));
        let own = i32::try_from(std::process::id()).ok();
        let still = progress.still_for(own).await;
        assert!(still >= LOOK_WITHIN, "{still:?}");
        assert_eq!(progress.words(), "no startup process was seen");
        goes_on.send(()).unwrap();
        progress.looked_at -= LOOK_EVERY;
        progress.still_for(own).await;
        assert_eq!(progress.words(), "startup", "it came back after all");
    }

    #[test]
    fn a_startup_process_is_found_among_a_postmasters_children() {
        let title = "postgres: demo: startup recovering 000000010000000000000003";
        let script = format!("exec -a '{title}' sleep 60");
        let mut child = std::process::Command::new("bash").args(["-c", &script]).spawn().unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        let begun = Instant::now();
        let found = loop {
            let found = startup_process(own);
            if found.is_some() || begun.elapsed() > Duration::from_secs(10) {
                break found;
            }
        };
        child.kill().unwrap();
        child.wait().unwrap();
        let seen = found.map(|seen| seen.title).unwrap_or_default();
        assert!(seen.starts_with("startup recovering 000000010000000000000003"), "{seen}");
        assert_eq!(startup_process(own), None);
    }
}
