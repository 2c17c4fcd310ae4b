//! A node's Patroni process: found by what it serves, stopped, and started again as it ran.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use howdah_import::patroni::{self, PatroniConfig};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, User};
use serde::{Deserialize, Serialize};

use super::super::before;
use crate::failure::Failure;

/// It ends its turn of `loop_wait` before it goes.
const STOPS_WITHIN: Duration = Duration::from_secs(60);
/// Who starts it again would have done so by then.
const STAYS_GONE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How a Patroni process ran: enough to start it again.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Daemon {
    pub pid: i32,
    /// The unit of systemd that runs it.
    pub unit: Option<Unit>,
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<String>,
    cwd: PathBuf,
    uid: u32,
    /// Where its output went, when that was a file.
    output: Option<PathBuf>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unit {
    pub name: String,
    pub enabled: bool,
    /// `process` leaves PostgreSQL alone when Patroni stops.
    pub kill_mode: String,
}

impl Daemon {
    /// The process that was started with this file and serves its REST API, and the
    /// configuration with that process's variables.
    pub fn find(file: &Path) -> anyhow::Result<Option<(Daemon, PatroniConfig)>> {
        let text = read_file(file)?;
        let entries = fs::read_dir("/proc").context("read /proc")?.flatten();
        let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        for pid in pids.filter(|pid| names(*pid, file)) {
            let environment = words(pid, "environ");
            let config = config(&text, &environment)?;
            let port = config.restapi.listen.as_ref().map_or(8008, |listen| listen.port);
            if serves(pid, port) {
                return Ok(Some((Daemon::of(pid, environment)?, config)));
            }
        }
        Ok(None)
    }

    fn of(pid: i32, environment: Vec<String>) -> anyhow::Result<Daemon> {
        let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}"));
        let output = link("fd/2").ok().filter(|path| path.is_file());
        Ok(Daemon {
            pid,
            unit: before::unit(pid).map(Unit::ask),
            program: link("exe").context("find Patroni's program")?,
            arguments: words(pid, "cmdline"),
            environment,
            cwd: link("cwd").context("find Patroni's working directory")?,
            uid: fs::metadata(format!("/proc/{pid}")).context("find Patroni's user")?.uid(),
            output,
        })
    }

    /// The configuration of a process that no longer runs.
    pub fn config(&self, file: &Path) -> anyhow::Result<PatroniConfig> {
        config(&read_file(file)?, &self.environment)
    }

    pub fn user(&self) -> String {
        let user = User::from_uid(Uid::from_raw(self.uid)).ok().flatten();
        user.map_or_else(|| self.uid.to_string(), |user| user.name)
    }

    /// How it runs, for an operator.
    pub fn told(&self) -> String {
        match &self.unit {
            Some(unit) => format!("Patroni is process {}, of the unit {}", self.pid, unit.name),
            None => format!("Patroni is process {} of user {}", self.pid, self.user()),
        }
    }

    /// Stops it, and with `linger` sees that nobody starts it again. Legal only while Patroni is
    /// paused: otherwise it takes PostgreSQL along.
    pub fn stop(&self, file: &Path, linger: bool) -> anyhow::Result<()> {
        match &self.unit {
            Some(unit) if unit.enabled => before::systemctl(&["disable", "--now", &unit.name])?,
            Some(unit) => before::systemctl(&["stop", &unit.name])?,
            None => match kill(Pid::from_raw(self.pid), Signal::SIGTERM) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error).context("stop Patroni"),
            },
        }
        let deadline = Instant::now() + STOPS_WITHIN;
        while let Some((daemon, _)) = Daemon::find(file)?.filter(|(d, _)| d.pid == self.pid) {
            if Instant::now() > deadline {
                let seconds = STOPS_WITHIN.as_secs();
                let what =
                    format!("Patroni has not stopped within {seconds} s, process {}", daemon.pid);
                return Err(Failure::failed(what).hint("look into its log").into());
            }
            sleep(LOOK_EVERY);
        }
        if linger { self.stays_gone(file) } else { Ok(()) }
    }

    fn stays_gone(&self, file: &Path) -> anyhow::Result<()> {
        if self.unit.is_some() {
            return Ok(());
        }
        let deadline = Instant::now() + STAYS_GONE;
        while Instant::now() < deadline {
            if let Some((daemon, _)) = Daemon::find(file)? {
                let what =
                    format!("something has started Patroni again, as process {}", daemon.pid);
                return Err(Failure::failed(what)
                    .hint("stop what starts it (a container, runit, cron), then say it again")
                    .into());
            }
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Starts it as it ran. `log` takes its output where that went to no file.
    pub fn start(&self, log: &Path) -> anyhow::Result<()> {
        match &self.unit {
            Some(unit) if unit.enabled => {
                return before::systemctl(&["enable", "--now", &unit.name]);
            }
            Some(unit) => return before::systemctl(&["start", &unit.name]),
            None => {}
        }
        let path = self.output.as_deref().unwrap_or(log);
        let log = fs::OpenOptions::new().create(true).append(true).open(path);
        let log = log.with_context(|| format!("open its log: `{}`", path.display()))?;
        let mut command = self.command();
        command.current_dir(&self.cwd).env_clear();
        command.envs(self.environment.iter().filter_map(|text| text.split_once('=')));
        command.stdin(Stdio::null()).stdout(log.try_clone().context("share its log")?).stderr(log);
        // Ctrl-C in this terminal is not meant for it.
        command.process_group(0).spawn().context("start Patroni")?;
        Ok(())
    }

    /// By way of setpriv(1), which gives the user's other groups too: one of them may be who can
    /// read a key.
    fn command(&self) -> Command {
        let program = self.called();
        let arguments = self.arguments.iter().skip(1);
        if !Uid::effective().is_root() || self.uid == 0 {
            let mut command = Command::new(program);
            command.args(arguments);
            return command;
        }
        let user = self.user();
        let mut command = Command::new("setpriv");
        command.arg(format!("--reuid={user}")).arg("--init-groups");
        let gid = User::from_uid(Uid::from_raw(self.uid)).ok().flatten().map(|user| user.gid);
        command.arg(format!("--regid={}", gid.map_or(self.uid, nix::unistd::Gid::as_raw)));
        command.arg("--").arg(program).args(arguments);
        command
    }

    /// The program by the name it was called by: a Python that is called by the link in a virtual
    /// environment finds its modules there, by its own name it does not.
    fn called(&self) -> PathBuf {
        let Some(name) = self.arguments.first() else { return self.program.clone() };
        let path = self.environment.iter().find_map(|text| text.strip_prefix("PATH="));
        let folders: Vec<PathBuf> = match name.contains('/') {
            true => vec![self.cwd.clone()],
            false => std::env::split_paths(path.unwrap_or_default()).collect(),
        };
        let mut names = folders.into_iter().map(|folder| folder.join(name));
        let it = names.find(|path| path.canonicalize().is_ok_and(|path| path == self.program));
        it.unwrap_or_else(|| self.program.clone())
    }
}

impl Unit {
    fn ask(name: String) -> Unit {
        let said = |words: &[&str]| {
            let output = Command::new("systemctl").args(words).arg(&name).output();
            let text = output.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
            text.unwrap_or_default()
        };
        Unit {
            enabled: said(&["is-enabled"]) == "enabled",
            kill_mode: said(&["show", "--property=KillMode", "--value"]),
            name,
        }
    }

    /// Whether PostgreSQL survives the stop of this unit.
    pub fn spares_postgresql(&self) -> bool {
        self.kill_mode == "process" || self.kill_mode == "none"
    }
}

/// The configuration without any process's variables.
pub fn config_of_file(file: &Path) -> anyhow::Result<PatroniConfig> {
    config(&read_file(file)?, &[])
}

fn config(text: &str, environment: &[String]) -> anyhow::Result<PatroniConfig> {
    let variables = environment.iter().filter_map(|text| text.split_once('='));
    patroni::read_with_environment(text, variables)
        .map_err(|bad| Failure::bad_input(format!("not a patroni.yml: {bad}")).into())
}

fn read_file(file: &Path) -> anyhow::Result<String> {
    fs::read_to_string(file).map_err(|error| {
        let why = crate::failure::why(&error);
        Failure::bad_input(format!("cannot read Patroni's file, {why}: `{}`", file.display()))
            .hint("name the patroni.yml with which this machine's Patroni was started")
            .into()
    })
}

/// Whether one of the process's arguments is this file.
fn names(pid: i32, file: &Path) -> bool {
    let own = i32::try_from(std::process::id()).is_ok_and(|own| own == pid);
    let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
    let is_it = |word: &String| {
        let path = Path::new(word);
        path.file_name() == file.file_name()
            && cwd.join(path).canonicalize().is_ok_and(|path| path == file)
    };
    !own && words(pid, "cmdline").iter().any(is_it)
}

/// Words that end in NUL each.
fn words(pid: i32, file: &str) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
    words.map(|word| OsString::from_vec(word.to_vec()).to_string_lossy().into_owned()).collect()
}

/// Whether the process itself listens on the port, by the numbers of its sockets.
fn serves(pid: i32, port: u16) -> bool {
    let listening = listening(pid, port);
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let links = entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter_map(|link| socket(&link.to_string_lossy())).any(|inode| listening.contains(&inode))
}

fn socket(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// proc(5), /proc/net/tcp: address, state (0A listens), inode.
fn listening(pid: i32, port: u16) -> BTreeSet<u64> {
    let read = |name| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let text = read("tcp") + &read("tcp6");
    let inode = |line: &str| -> Option<u64> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, hex) = fields.get(1)?.rsplit_once(':')?;
        let is_it = u16::from_str_radix(hex, 16) == Ok(port) && *fields.get(3)? == "0A";
        fields.get(9)?.parse().ok().filter(|_| is_it)
    };
    text.lines().filter_map(inode).collect()
}
