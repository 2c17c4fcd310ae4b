//! What the poolers stand on: a folder that is gone afterwards and a PostgreSQL of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

const BIN: &str = "/usr/lib/postgresql/15/bin";
/// The one role; it needs no password from this machine.
pub const ROLE: &str = "bench";
/// Rows of pgbench's tables: enough that select-only finds another one each time.
const SCALE: &str = "10";

/// A running server and a folder for all the rest.
#[derive(Debug)]
pub struct Ground {
    pub dir: PathBuf,
    pub port: u16,
}

impl Ground {
    pub fn start() -> Result<Ground> {
        let dir = std::env::temp_dir().join(format!("howdah-bench-{}", std::process::id()));
        fs::create_dir(&dir).context("make a folder")?;
        run(Command::new("chown").arg("postgres").arg(&dir))?;
        let ground = Ground { dir, port: 15_432 };
        ground
            .control("initdb", &["-N", "-A", "trust", "-U", ROLE, "--no-locale", "-E", "UTF8"])?;
        let options = format!(
            "-c port={} -c listen_addresses=127.0.0.1 -c unix_socket_directories={} -c fsync=off \
             -c max_connections=300 -c ssl=off",
            ground.port,
            ground.dir.display()
        );
        let log = ground.dir.join("postgresql.log").display().to_string();
        ground.control("pg_ctl", &["start", "-w", "-o", &options, "-l", &log])?;
        let port = ground.port.to_string();
        let host = ground.dir.display().to_string();
        let fill = ["-i", "-q", "-s", SCALE, "-h", &host, "-p", &port, "-U", ROLE, "postgres"];
        run(Command::new(Path::new(BIN).join("pgbench")).args(fill))?;
        Ok(ground)
    }

    fn control(&self, program: &str, arguments: &[&str]) -> Result<()> {
        run(Command::new("runuser")
            .args(["-u", "postgres", "--"])
            .arg(Path::new(BIN).join(program))
            .arg("-D")
            .arg(self.dir.join("data"))
            .args(arguments)
            .current_dir("/tmp"))
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = self.control("pg_ctl", &["stop", "-w", "-m", "immediate"]);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("run {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}
