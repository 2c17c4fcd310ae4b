//! The pooler alone: from PgBouncer's files to a process that serves, reloads and ends.
//!
//! ```text
//! ini, user list, hba, keys ──load──► settings ──watch──► howdah_proxy::alone
//! SIGHUP ─────────────────────► load anew         SIGTERM, SIGINT, SIGQUIT ──► how it ends
//! ```

mod files;
mod load;
mod map;
mod tls;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use howdah_import::pgbouncer::{self, Takes};
use howdah_proxy::alone::{self, Listening, Stop};
use howdah_proxy::{Declined, Wish, WishKind};
use nix::unistd::{Uid, User, setgid, setgroups, setuid};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::failure::Failure;
use crate::journal::Journal;
use crate::talk::say;
use load::{Loaded, Texts, load};

pub use files::raise as raise_open_files;

/// What it runs from.
#[derive(Debug)]
pub enum Source {
    File(PathBuf),
    Environment(BTreeMap<String, String>),
}

impl Source {
    /// This process's variables, if they say where a database is.
    pub fn environment() -> Option<Source> {
        let variables: BTreeMap<String, String> = std::env::vars().collect();
        pgbouncer::ini_of(&variables)?;
        Some(Source::Environment(variables))
    }
}

/// Serves until told to stop. `check`: only says what the files come to.
pub fn run(source: &Source, check: bool, threads: u32) -> anyhow::Result<()> {
    howdah_tls::install_provider();
    let mut texts = Texts::default();
    let loaded = load(source, &BTreeMap::new(), &mut texts)?;
    if check {
        loaded.warnings.iter().for_each(say);
        say("the files can be used");
        return Ok(());
    }
    let journal = Journal::start()?;
    files::raise();
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let ended = run_logged(source, (loaded, texts), threads);
    journal.flush();
    ended
}

fn run_logged(
    source: &Source,
    (loaded, texts): (Loaded, Texts),
    threads: u32,
) -> anyhow::Result<()> {
    let runtime = crate::serving::start()?;
    let listening = {
        let _entered = runtime.enter();
        alone::bind(&loaded.listens).map_err(|error| Failure::refused(error.to_string()))?
    };
    become_user(loaded.user.as_deref())?;
    let _pid = loaded.pid.as_ref().map(write_pid).transpose()?;
    runtime.block_on(serve(source, (loaded, texts), listening, threads))
}

async fn serve(
    source: &Source,
    (loaded, texts): (Loaded, Texts),
    listening: Listening,
    threads: u32,
) -> anyhow::Result<()> {
    let addresses: Vec<String> = listening.names();
    tracing::info!(
        listens = addresses.join(", "),
        databases = loaded.settings.databases.len(),
        "pooling"
    );
    let (settings, seen) = watch::channel(loaded.settings);
    let mut files = Files { source, settings, start: loaded.start, texts, set: BTreeMap::new() };
    let (stop, stopping) = watch::channel(Stop::No);
    let (wishes, mut wished) = mpsc::channel(howdah_proxy::WISHES_MAX);
    let serving = alone::serve(seen, listening, stopping, wishes, threads as usize);
    let mut serving = tokio::spawn(serving);
    let mut signals = Signals::listen()?;
    loop {
        tokio::select! {
            ended = &mut serving => return ended.context("serve")?.context("serve"),
            Some(Wish { what, reply }) = wished.recv() => {
                // Whoever wished may have gone.
                let granted = grant(&what, &mut files);
                let _ = reply.send(granted);
                if what == WishKind::Stop {
                    tracing::info!("asked to stop at the console");
                    stop.send_replace(Stop::Now);
                    return (&mut serving).await.context("serve")?.context("serve");
                }
            }
            how = signals.next() => {
                let Some(how) = how else {
                    // Whoever goes opens nothing anew.
                    if *stop.borrow() == Stop::No {
                        // The log has it.
                        let _ = files.reload();
                    }
                    continue;
                };
                // Asked twice, it does not wait any more.
                if how == Stop::Now || *stop.borrow() != Stop::No {
                    tracing::info!("asked to stop: at once");
                    stop.send_replace(Stop::Now);
                    return (&mut serving).await.context("serve")?.context("serve");
                }
                tracing::info!(?how, "asked to stop");
                stop.send_replace(how);
            }
        }
    }
}

/// Where everything is read from, and who follows it.
struct Files<'a> {
    source: &'a Source,
    settings: watch::Sender<Arc<alone::Settings>>,
    /// What the process has started with.
    start: BTreeMap<&'static str, String>,
    /// As they were read last.
    texts: Texts,
    /// What operators have set since, by SET.
    set: BTreeMap<String, String>,
}

impl Files<'_> {
    /// What cannot be read leaves everything as it is.
    ///
    /// # Errors
    /// What is wrong with the files.
    fn reload(&mut self) -> Result<(), String> {
        let mut texts = Texts::default();
        match load(self.source, &BTreeMap::new(), &mut texts) {
            Ok(loaded) => {
                (self.texts, self.set) = (texts, BTreeMap::new());
                loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                for (key, value) in &loaded.start {
                    if self.start.get(key) != Some(value) {
                        tracing::warn!("`{key}` counts from the next start on: `{value}`");
                    }
                }
                self.settings.send_replace(loaded.settings);
                tracing::info!("read anew");
                Ok(())
            }
            Err(error) => {
                tracing::error!("not read anew, everything stays as it is: {error:#}");
                Err(error.to_string())
            }
        }
    }

    /// One key is as an operator says, until everything is read anew.
    ///
    /// # Errors
    /// Why not, and what to do.
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let Some(option) = pgbouncer::option(key) else {
            return Err(format!("not a key of PgBouncer's: `{key}`"));
        };
        match option.takes {
            Takes::Not(why) => return Err(format!("`{key}` is not followed: {why}")),
            Takes::Sets(_) if !option.reloads => {
                return Err(format!("`{key}` counts at a start only: change the file"));
            }
            Takes::Sets(_) => {}
        }
        let mut set = self.set.clone();
        set.insert(key.to_owned(), value.to_owned());
        let loaded = load(self.source, &set, &mut self.texts);
        // A hint is one line.
        let loaded = loaded.map_err(|error| error.to_string().replace('\n', "; "))?;
        self.set = set;
        self.settings.send_replace(loaded.settings);
        tracing::info!(key, value, "set at the console, until the files are read anew");
        Ok(())
    }
}

/// What an operator wants of the process.
fn grant(what: &WishKind, files: &mut Files<'_>) -> Result<(), Declined> {
    let declined =
        |why: &str, hint: &str| Err(Declined { why: why.to_owned(), hint: Some(hint.to_owned()) });
    match what {
        WishKind::Reload => match files.reload() {
            Ok(()) => Ok(()),
            Err(why) => {
                // An answer is one line; the log has them all as they are.
                let why = why.replace('\n', "; ");
                declined(&format!("RELOAD failed: {why}"), "nothing was changed")
            }
        },
        WishKind::MayStop | WishKind::Stop => Ok(()),
        WishKind::Set { key, value } => {
            files.set(key, value).or_else(|why| declined("SET failed", &why))
        }
    }
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let on = |kind| signal(kind).context("listen for signals");
        Ok(Signals {
            hangup: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            quit: on(SignalKind::quit())?,
        })
    }
}

impl Signals {
    /// How to end; `None`: everything is to be read anew.
    async fn next(&mut self) -> Option<Stop> {
        tokio::select! {
            _ = self.hangup.recv() => None,
            _ = self.terminate.recv() => Some(Stop::WaitForClients),
            _ = self.interrupt.recv() => Some(Stop::WaitForServers),
            _ = self.quit.recv() => Some(Stop::Now),
        }
    }
}

/// Root becomes somebody else; anybody else stays who he is.
fn become_user(name: Option<&str>) -> anyhow::Result<()> {
    let Some(name) = name.filter(|_| Uid::effective().is_root()) else { return Ok(()) };
    let known = User::from_name(name).context("look up a user")?;
    let user = known.ok_or_else(|| {
        Failure::bad_input(format!("no such user: `{name}`")).hint("set `user` to one that exists")
    })?;
    setgroups(&[user.gid]).context("leave root's groups")?;
    setgid(user.gid).context("become the user's group")?;
    setuid(user.uid).context("become the user")?;
    Ok(())
}

/// The file with this process's number, which goes with it.
struct PidFile(PathBuf);

impl Drop for PidFile {
    fn drop(&mut self) {
        // Somebody else has removed it: as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn write_pid(path: &PathBuf) -> anyhow::Result<PidFile> {
    let text = format!("{}\n", std::process::id());
    std::fs::write(path, text).with_context(|| format!("write pidfile: `{}`", path.display()))?;
    Ok(PidFile(path.clone()))
}
