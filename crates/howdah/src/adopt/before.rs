//! What was there before: kept below the node's state directory until it is given back, or
//! for good.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::look::{Found, as_owner};
use crate::failure::Failure;
use howdah_postgres::install::Install;

const FOLDER: &str = "adopted";
const RECORD: &str = "before.json";
const GIVEN_BACK: &str = "given-back";
/// Files in the data directory that Howdah writes.
const FILES: [&str; 4] =
    ["postgresql.conf", "pg_hba.conf", "pg_ident.conf", "postgresql.auto.conf"];
const STANDBY: &str = "standby.signal";
/// For the shutdown checkpoint, and for recovery at a start, seconds.
const WAIT_S: &str = "300";

/// How it stood, and how it was run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Before {
    pub data_dir: PathBuf,
    pub owner: String,
    pub was_running: bool,
    /// Its socket's directory and port, where it ran.
    pub socket_dir: PathBuf,
    pub port: u16,
    /// The superuser with whom it was asked.
    pub superuser: String,
    /// What the postmaster was given besides its directory (`postmaster.opts`).
    pub options: Vec<String>,
    /// Of the files that Howdah writes, those that were there.
    pub files: Vec<String>,
    /// The unit of systemd that ran it.
    pub unit: Option<String>,
    /// It was a standby.
    #[serde(default)]
    pub standby: bool,
}

impl Before {
    pub fn of(found: &Found) -> anyhow::Result<Before> {
        let running = found.running.as_ref();
        let there = |name: &&str| found.data_dir.join(name).exists();
        Ok(Before {
            data_dir: found.data_dir.clone(),
            owner: found.owner.clone(),
            was_running: running.is_some(),
            socket_dir: running.map(|r| r.socket_dir.clone()).unwrap_or_default(),
            port: running.map_or(5432, |r| r.port),
            superuser: running.map_or_else(|| "postgres".to_owned(), |r| r.asked_as.clone()),
            options: options(&found.data_dir),
            files: FILES.iter().filter(|name| there(name)).map(|name| (*name).to_owned()).collect(),
            unit: running.and_then(|r| unit(r.pid)),
            standby: found.standby,
        })
    }

    /// Copies the files and writes the record, durably, before anything is changed.
    pub fn keep(&self, state_dir: &Path) -> anyhow::Result<()> {
        let folder = state_dir.join(FOLDER);
        fs::create_dir_all(&folder).context("make a folder for what was there before")?;
        for name in &self.files {
            fs::copy(self.data_dir.join(name), folder.join(name))
                .with_context(|| format!("keep a copy of `{name}`"))?;
        }
        let text = serde_json::to_string_pretty(self).context("write what was there before")?;
        fs::write(folder.join(RECORD), text).context("write what was there before")?;
        nix::unistd::sync();
        Ok(())
    }

    pub fn read(state_dir: &Path) -> anyhow::Result<Before> {
        let path = state_dir.join(FOLDER).join(RECORD);
        let text = fs::read_to_string(&path).map_err(|_| {
            Failure::failed(format!("nothing was adopted here: `{}`", path.display()))
                .hint("--node, or the directory, says which node is meant")
        })?;
        serde_json::from_str(&text).with_context(|| format!("read `{}`", path.display()))
    }

    /// Puts the files back. Those that Howdah made and that were not there before go.
    pub fn put_back(&self, state_dir: &Path) -> anyhow::Result<()> {
        let folder = state_dir.join(FOLDER);
        for name in FILES {
            let place = self.data_dir.join(name);
            if self.files.iter().any(|kept| kept == name) {
                fs::copy(folder.join(name), &place)
                    .with_context(|| format!("put back `{name}`"))?;
            } else if place.exists() {
                fs::remove_file(&place).with_context(|| format!("remove `{name}`"))?;
            }
        }
        self.remove("howdah.json")?;
        if self.standby {
            return fs::write(self.data_dir.join(STANDBY), "").context("make it a standby again");
        }
        self.remove(STANDBY)
    }

    fn remove(&self, name: &str) -> anyhow::Result<()> {
        match fs::remove_file(self.data_dir.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove `{name}`"))
            }
            _ => Ok(()),
        }
    }

    /// It has been given back: there is nothing to undo any more.
    pub fn forget(state_dir: &Path) -> anyhow::Result<()> {
        fs::write(state_dir.join(GIVEN_BACK), "").context("note that it was given back")?;
        fs::remove_dir_all(state_dir.join(FOLDER)).context("remove what was kept")
    }

    /// Whether it was adopted once, and is so no more.
    pub fn is_given_back(state_dir: &Path) -> bool {
        !state_dir.join(FOLDER).exists() && state_dir.join(GIVEN_BACK).exists()
    }

    /// Stops the server that was there, and keeps its unit from starting it again.
    pub fn stop(&self, install: &Install) -> anyhow::Result<()> {
        if let Some(unit) = &self.unit {
            systemctl(&["disable", "--now", unit])?;
        }
        if !self.data_dir.join("postmaster.pid").exists() {
            return Ok(());
        }
        let mut command = as_owner(&install.bin_dir.join("pg_ctl"), &self.owner)?;
        command.arg("-D").arg(&self.data_dir).args(["-m", "fast", "-w", "-t", WAIT_S, "stop"]);
        run(command, "stop the server")
    }

    /// Starts it as it ran before.
    pub fn start(&self, install: &Install, log: &Path) -> anyhow::Result<()> {
        if let Some(unit) = &self.unit {
            return systemctl(&["enable", "--now", unit]);
        }
        let options: Vec<String> = self.options.iter().map(|word| quoted(word)).collect();
        let mut command = as_owner(&install.bin_dir.join("pg_ctl"), &self.owner)?;
        command.arg("-D").arg(&self.data_dir).args(["-w", "-t", WAIT_S, "-l"]).arg(log);
        command.arg("-o").arg(options.join(" ")).arg("start");
        run(command, "start the server as it ran before")
    }
}

/// `postmaster.opts` has one line: the program and its arguments, each in quotes.
fn options(data_dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(data_dir.join("postmaster.opts")).unwrap_or_default();
    let words: Vec<String> = text
        .trim()
        .split(" \"")
        .skip(1)
        .map(|word| word.trim_end_matches('"').to_owned())
        .collect();
    let mut kept = Vec::new();
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        if word == "-D" {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept
}

/// As the shell that pg_ctl asks reads it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The unit of systemd that a process belongs to, by its control group.
pub(super) fn unit(pid: i32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.rsplit_once(':').map(|(_, path)| path))?;
    let last = path.rsplit('/').find(|part| part.ends_with(".service"))?;
    let ours = Path::new("/run/systemd/system").exists() && !last.starts_with("user@");
    ours.then(|| last.to_owned())
}

pub(super) fn systemctl(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = Command::new("systemctl");
    command.args(arguments);
    run(command, "ask systemd")
}

fn run(mut command: Command, what: &str) -> anyhow::Result<()> {
    // A server that is started keeps what it inherits: no pipe, or nobody would see its end.
    let output = said_by(&mut command).with_context(|| what.to_owned())?;
    anyhow::ensure!(output.0, "cannot {what}: {}", output.1.trim());
    Ok(())
}

/// Runs with standard output and error in a file; whether it succeeded, and what it said.
fn said_by(command: &mut Command) -> std::io::Result<(bool, String)> {
    use std::io::{Read, Seek};
    let mut said = nameless_file()?;
    command.stdout(said.try_clone()?).stderr(said.try_clone()?);
    let status = command.status()?;
    said.rewind()?;
    let mut text = String::new();
    said.read_to_string(&mut text)?;
    Ok((status.success(), text))
}

fn nameless_file() -> std::io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = nix::fcntl::OFlag::O_TMPFILE.bits();
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(flags).open(std::env::temp_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_own_options_are_kept_without_its_directory() {
        let dir = std::env::temp_dir().join(format!("howdah-opts-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("made");
        let line = "/usr/lib/postgresql/15/bin/postgres \"-D\" \"/data\" \"-c\" \
                    \"config_file=/etc/postgresql/15/main/postgresql.conf\"\n";
        fs::write(dir.join("postmaster.opts"), line).expect("written");
        let wanted = ["-c", "config_file=/etc/postgresql/15/main/postgresql.conf"];
        assert_eq!(options(&dir), wanted);
        fs::remove_dir_all(&dir).expect("removed");
    }
}
