//! The two: how each is told to do the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::{Ground, Spent, spent};

/// What both can do.
pub trait Tool {
    fn name(&self) -> &'static str;
    fn full(&self) -> Command;
    fn incremental(&self) -> Command;
    /// The newest backup into an empty folder.
    fn restore(&self, into: &Path) -> Command;
    /// The newest backup over an older state.
    fn delta(&self, into: &Path) -> Command;
    fn push(&self, segment: &Path) -> Command;
    fn get(&self, name: &str, into: &Path) -> Command;
    /// All that it keeps.
    fn repository(&self) -> PathBuf;
    /// Where it keeps backups, without WAL.
    fn backups(&self) -> PathBuf;
    /// The processor time so far of what works for it beside the command that is run.
    fn beside(&self) -> Result<Duration> {
        Ok(Duration::ZERO)
    }

    /// Runs one; what it adds to the repository, and what works beside it, are counted.
    fn run(&self, mut command: Command) -> Result<Spent> {
        let size = || size_of(&self.backups());
        let (bytes, others) = (size(), self.beside()?);
        let mut spent = spent::run(&mut command)?;
        spent.bytes = size().saturating_sub(bytes);
        let more = self.beside()?.checked_sub(others);
        spent.processor += more.context("what works beside it is another process now")?;
        Ok(spent)
    }
}

/// Howdah, whose agent streams WAL meanwhile.
#[derive(Debug)]
pub struct Howdah<'a>(pub &'a Ground);

impl Howdah<'_> {
    fn verb(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.0.binary());
        let (verb, rest) = words.split_first().expect("a verb");
        command.arg(verb).arg("-f").arg(self.0.cluster.file_path()).args(rest);
        command
    }

    fn restored(&self, into: &Path, more: &[&str]) -> Command {
        let into = into.to_string_lossy();
        self.verb(&[&["restore", "--to", "immediate", "--into", &into], more].concat())
    }
}

impl Tool for Howdah<'_> {
    fn name(&self) -> &'static str {
        "Howdah"
    }

    fn full(&self) -> Command {
        self.verb(&["backup", "--full"])
    }

    fn incremental(&self) -> Command {
        self.verb(&["backup"])
    }

    fn restore(&self, into: &Path) -> Command {
        self.restored(into, &[])
    }

    fn delta(&self, into: &Path) -> Command {
        self.restored(into, &["--delta"])
    }

    fn push(&self, segment: &Path) -> Command {
        self.verb(&["wal", "push", &segment.to_string_lossy()])
    }

    fn get(&self, name: &str, into: &Path) -> Command {
        self.verb(&["wal", "get", name, &into.to_string_lossy()])
    }

    fn repository(&self) -> PathBuf {
        self.0.repository()
    }

    /// Of its one lineage.
    fn backups(&self) -> PathBuf {
        let folders = fs::read_dir(self.repository()).into_iter().flatten().flatten();
        let mut backups = folders.map(|folder| folder.path().join("backups"));
        backups.find(|path| path.is_dir()).unwrap_or_default()
    }

    fn beside(&self) -> Result<Duration> {
        self.0.agent()
    }
}

/// pgBackRest: zstd at level 3, its cipher, two processes.
#[derive(Debug)]
pub struct PgBackRest<'a> {
    ground: &'a Ground,
    folder: PathBuf,
}

impl<'a> PgBackRest<'a> {
    pub fn new(ground: &'a Ground) -> Result<PgBackRest<'a>> {
        let folder = ground.cluster.scratch().join("pgbackrest");
        for part in ["repo", "log", "lock", "spool"] {
            let path = folder.join(part);
            fs::create_dir_all(&path).with_context(|| format!("make `{}`", path.display()))?;
            let mut chown = Command::new("chown");
            let chowned = chown.args(["-R", "postgres:postgres"]).arg(&folder).status()?;
            anyhow::ensure!(chowned.success(), "chown");
        }
        let tool = PgBackRest { ground, folder };
        spent::run(
            tool.command("stanza-create", &ground.node().data_dir)
                .args(["--no-online", "stanza-create"]),
        )?;
        Ok(tool)
    }

    fn command(&self, what: &str, data_dir: &Path) -> Command {
        let mut command = self.ground.as_postgres("pgbackrest");
        let node = self.ground.node();
        let at = |part: &str| self.folder.join(part).display().to_string();
        command
            .arg("--stanza=bench")
            .arg("--config=/dev/null")
            .arg(format!("--repo1-path={}", at("repo")))
            .arg(format!("--log-path={}", at("log")))
            .arg(format!("--lock-path={}", at("lock")))
            .arg(format!("--pg1-path={}", data_dir.display()))
            .args(["--repo1-cipher-type=aes-256-cbc", "--log-level-console=error"])
            .args(["--log-level-file=off"])
            .env("PGBACKREST_REPO1_CIPHER_PASS", "a pass phrase for a measurement");
        if matches!(what, "backup" | "stanza-create") {
            command.arg(format!("--pg1-port={}", node.ports.postgres));
            command.arg(format!("--pg1-socket-path={}", node.state_dir.join("run").display()));
        }
        if matches!(what, "backup" | "archive-push") {
            command.args(["--compress-type=zst", "--compress-level=3"]);
        }
        if matches!(what, "backup" | "restore") {
            command.arg("--process-max=2");
        }
        command
    }

    fn backup(&self, kind: &str) -> Command {
        let mut command = self.command("backup", &self.ground.node().data_dir);
        // Its WAL is shipped by Howdah here, and costs it nothing.
        command.args(["--no-archive-check", "--start-fast", "--repo1-retention-full=99"]);
        command.arg(format!("--type={kind}")).arg("backup");
        command
    }
}

impl Tool for PgBackRest<'_> {
    fn name(&self) -> &'static str {
        "pgBackRest"
    }

    fn full(&self) -> Command {
        self.backup("full")
    }

    fn incremental(&self) -> Command {
        self.backup("incr")
    }

    fn restore(&self, into: &Path) -> Command {
        let mut command = self.command("restore", into);
        command.args(["--type=immediate", "restore"]);
        command
    }

    fn delta(&self, into: &Path) -> Command {
        let mut command = self.command("restore", into);
        command.args(["--type=immediate", "--delta", "restore"]);
        command
    }

    fn push(&self, segment: &Path) -> Command {
        let mut command = self.command("archive-push", &self.ground.node().data_dir);
        command.arg("archive-push").arg(segment);
        command
    }

    fn get(&self, name: &str, into: &Path) -> Command {
        let mut command = self.command("archive-get", &self.ground.node().data_dir);
        command.arg("archive-get").arg(name).arg(into);
        command
    }

    fn repository(&self) -> PathBuf {
        self.folder.join("repo")
    }

    fn backups(&self) -> PathBuf {
        self.repository().join("backup")
    }
}

/// Bytes of all files below.
pub fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => size_of(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}
