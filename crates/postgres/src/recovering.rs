//! A server that one verb runs for itself: nobody else reaches it, and it ends with the verb.
//!
//! For a directory that was restored: it recovers here, and is a primary that was shut down as planned
//! when it becomes a node's.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use howdah_base::Lsn;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;
use tokio::time::{Instant, sleep, timeout};

use crate::alone::last_words;
use crate::install::Install;
use crate::session::Session;
use crate::{PgError, durable, program};

/// Where it is run.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub data_dir: &'a Path,
    /// Of its user alone: for its socket.
    pub socket_dir: &'a Path,
    pub log: &'a Path,
    /// Parameters that count for this recovery alone.
    pub settings: &'a [(&'a str, &'a str)],
}

/// It is killed when this is dropped, and when this process dies.
#[derive(Debug)]
pub struct Recovering {
    child: Child,
    socket_dir: PathBuf,
    log: PathBuf,
}

const PORT: u16 = 5432;
const HBA: &str = "recovering_hba.conf";
const LOOK_EVERY: Duration = Duration::from_millis(200);
const TELL_EVERY: Duration = Duration::from_secs(10);
/// A standby that lacks less than a segment and replays nothing for so long has all that there is.
const NOTHING_AFTER: Duration = Duration::from_secs(3);
/// WAL is there, and does not get into the server.
const STUCK_AFTER: Duration = Duration::from_secs(300);
/// Its last checkpoint was made right before.
const STOP_WITHIN: Duration = Duration::from_secs(120);

impl Recovering {
    /// Starts it. It archives nothing, waits for no standby, listens nowhere but on its socket, and lets
    /// nobody in before it has recovered.
    pub fn start(install: &Install, place: &Place<'_>) -> Result<Recovering, PgError> {
        Recovering::launch(install, place, &BTreeMap::new())
    }

    /// The same for a directory that is a standby's and stays one: it replays what its
    /// `restore_command` gives it. `sizes`: what it must not undercut, by the parameter's name.
    pub fn start_standby(
        install: &Install,
        place: &Place<'_>,
        sizes: &BTreeMap<String, u64>,
    ) -> Result<Recovering, PgError> {
        let own = STANDBY.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let sizes = sizes.iter().map(|(name, size)| (name.clone(), size.to_string()));
        Recovering::launch(install, place, &own.into_iter().chain(sizes).collect())
    }

    fn launch(
        install: &Install,
        place: &Place<'_>,
        more: &BTreeMap<String, String>,
    ) -> Result<Recovering, PgError> {
        let hba = place.socket_dir.join(HBA);
        durable::write(&hba, "local all postgres trust\n")?;
        let log = File::create(place.log).map_err(PgError::io("write", place.log))?;
        let other = log.try_clone().map_err(PgError::io("share", place.log))?;
        let path = install.program("postgres");
        let mut command = Command::new(&path);
        command.arg("-D").arg(place.data_dir);
        let mut set = |name: &str, value: String| {
            command.arg("-c").arg(format!("{name}={value}"));
        };
        set("hba_file", hba.display().to_string());
        set("unix_socket_directories", place.socket_dir.display().to_string());
        set("port", PORT.to_string());
        for (name, value) in SETTINGS.iter().chain(place.settings) {
            set(name, (*value).to_owned());
        }
        // The last one counts.
        for (name, value) in more {
            set(name, value.clone());
        }
        // Commands that it runs find what this process finds, but for what leads clients elsewhere.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.envs(crate::server::environment(install));
        command.current_dir("/").stdin(Stdio::null()).stdout(log).stderr(other);
        program::die_with_parent(&mut command);
        let mut command = tokio::process::Command::from(command);
        let child = command.kill_on_drop(true).spawn().map_err(PgError::io("run", &path))?;
        let (socket_dir, log) = (place.socket_dir.to_owned(), place.log.to_owned());
        Ok(Recovering { child, socket_dir, log })
    }

    /// Until it has recovered and takes writes; as long as that takes, or until it ends. `told`: the
    /// last line of its log, now and then.
    pub async fn recovered(&mut self, told: impl Fn(&str)) -> Result<Session, PgError> {
        let mut last = Instant::now();
        loop {
            if self.child.try_wait().map_err(PgError::io("wait for", &self.log))?.is_some() {
                return Err(self.failed());
            }
            if let Ok(session) = Session::connect(&self.socket_dir, PORT, "postgres").await
                && !session.probe().await?.in_recovery
            {
                return Ok(session);
            }
            if last.elapsed() >= TELL_EVERY {
                told(self.said().last().map_or("", String::as_str));
                last = Instant::now();
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Until a standby has replayed the WAL that there is up to `goal`, which may lie within a record,
    /// or behind the last one of a segment that was ended early. Answers with the end of what it has.
    /// `told`: where it is, now and then.
    pub async fn replayed(
        &mut self,
        goal: Lsn,
        segment: u64,
        told: impl Fn(&str),
    ) -> Result<Lsn, PgError> {
        let (mut at, mut title, mut session) = (Lsn(0), String::new(), None);
        let (mut moved, mut last) = (Instant::now(), Instant::now());
        loop {
            if self.child.try_wait().map_err(PgError::io("wait for", &self.log))?.is_some() {
                return Err(self.failed());
            }
            if session.is_none() {
                session = Session::connect(&self.socket_dir, PORT, "postgres").await.ok();
            }
            let seen = match &session {
                Some(session) => session.replayed().await.ok(),
                None => None,
            };
            let titled = self.child.id().map(startup_title).unwrap_or_default();
            // Before it is consistent only its title tells that it gets on; later that changes each time
            // it looks for more.
            let moves = seen.map_or(titled != title, |seen| seen > at);
            if moves {
                (at, moved) = (at.max(seen.unwrap_or(at)), Instant::now());
            }
            (title, session) = (titled, session.filter(|_| seen.is_some()));
            let lacks = goal.0.saturating_sub(at.0);
            if lacks == 0 || at > Lsn(0) && lacks < segment && moved.elapsed() > NOTHING_AFTER {
                return Ok(at);
            }
            if moved.elapsed() > STUCK_AFTER {
                return Err(PgError::Unexpected(format!(
                    "recovery got no further than {at} for {STUCK_AFTER:?}, and WAL is there up to {goal}; \
                     `{title}`; its log is `{}`",
                    self.log.display()
                )));
            }
            if last.elapsed() >= TELL_EVERY {
                // "startup recovering 000000010000000000000003", until it can be asked.
                let segment = || title.rsplit(' ').next().unwrap_or_default().to_owned();
                told(&if at > Lsn(0) { at.to_string() } else { segment() });
                last = Instant::now();
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// As planned.
    pub async fn stop(mut self) -> Result<(), PgError> {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended by itself; its status says so.
            let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
        }
        match timeout(STOP_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => durable::remove(&self.socket_dir.join(HBA)),
            Ok(_) => Err(self.failed()),
            Err(_) => Err(PgError::Silent(STOP_WITHIN)),
        }
    }

    fn failed(&self) -> PgError {
        // Whoever knocks meanwhile is turned away in lines of its own, which say nothing of the end.
        let last = last_words(&self.said().join("\n"));
        let said = format!("{last}; its log is `{}`", self.log.display());
        PgError::Program { program: "postgres", said }
    }

    fn said(&self) -> Vec<String> {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
    }
}

/// What its startup process says of itself; empty while there is none to be seen.
fn startup_title(postmaster: u32) -> String {
    let children = format!("/proc/{postmaster}/task/{postmaster}/children");
    let children = fs::read_to_string(children).unwrap_or_default();
    let titles = children.split_whitespace().filter_map(|pid| {
        let title = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(String::from_utf8_lossy(&title).trim_end_matches(['\0', ' ']).to_owned())
    });
    titles.into_iter().find(|title| title.contains("startup")).unwrap_or_default()
}

/// Otherwise for a standby: it can be asked how far it is, replays at once, and looks often for more.
const STANDBY: [(&str, &str); 3] = [
    ("hot_standby", "on"),
    ("recovery_min_apply_delay", "0"),
    ("wal_retrieve_retry_interval", "200ms"),
];

/// What its own configuration says of the cluster that it comes from does not count here. Without
/// hot_standby nobody is let in early, and no size must be that of the other machine.
const SETTINGS: [(&str, &str); 18] = [
    ("listen_addresses", ""),
    ("ssl", "off"),
    ("hot_standby", "off"),
    ("archive_mode", "off"),
    ("synchronous_standby_names", ""),
    ("primary_conninfo", ""),
    ("primary_slot_name", ""),
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_line_prefix", ""),
    ("shared_buffers", "128MB"),
    ("huge_pages", "off"),
    ("max_logical_replication_workers", "0"),
    ("restart_after_crash", "off"),
    // The WAL of its new timeline is shipped from the first byte, once it is a node's.
    ("wal_keep_size", "1GB"),
    ("shared_preload_libraries", ""),
    ("session_preload_libraries", ""),
    ("local_preload_libraries", ""),
];
