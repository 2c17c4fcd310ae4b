//! pgbench beside the client that is measured: so many sessions of its own TPC-B-like script, by the
//! same way to the primary. Its sessions break with the primary as everybody's do; then it is
//! started again until it is told to stop.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use howdah_testkit::Plan;
use tokio_postgres::config::{Config, Host};

/// pgbench's own factor: some 150 MB of tables.
const SCALE: &str = "10";
/// Between two looks at whether it still runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs until it is dropped.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    /// `clients` sessions; its tables are made by the first that comes.
    pub fn start(plan: &Plan, clients: u32) -> Result<Load> {
        fill(plan)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, plan) = (Arc::clone(&stop), plan.clone());
        // A thread of its own: the process ends with the thread that started it.
        let thread = thread::spawn(move || run(&plan, clients, &stopped));
        Ok(Load { stop, thread: Some(thread) })
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// Makes pgbench's tables, unless they are there.
pub fn fill(plan: &Plan) -> Result<()> {
    let there = howdah_testkit::writer::query(plan, "SELECT to_regclass('pgbench_accounts')::text");
    if there?.iter().all(String::is_empty) {
        let made = command(plan)?.args(["-i", "-q", "-s", SCALE]).output()?;
        let said = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "pgbench cannot make its tables: {said}");
    }
    Ok(())
}

fn run(plan: &Plan, clients: u32, stop: &AtomicBool) {
    let mut child: Option<Child> = None;
    while !stop.load(Ordering::Relaxed) {
        let runs = child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|e| e.is_none()));
        if !runs {
            child = spawn(plan, clients).ok();
        }
        thread::sleep(LOOK_EVERY);
    }
    if let Some(mut child) = child {
        child.kill().ok();
        child.wait().ok();
    }
}

fn spawn(plan: &Plan, clients: u32) -> Result<Child> {
    let mut command = command(plan)?;
    command.args(["-n", "-j", "2", "-T", "3600", "-c", &clients.to_string()]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("start pgbench")
}

/// pgbench with the way to the primary in libpq's environment; it ends with this process.
pub fn command(plan: &Plan) -> Result<Command> {
    let first = plan.hosts.first().context("a host")?;
    let of = |part: fn(&Config) -> String| plan.hosts.iter().map(part).collect::<Vec<_>>();
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig=KILL", "--"])
        .arg(program()?)
        .env("PGHOST", of(host).join(","))
        .env("PGPORT", of(port).join(","))
        .env("PGUSER", first.get_user().unwrap_or_default())
        .env("PGDATABASE", first.get_dbname().unwrap_or_default())
        .env(
            "PGPASSWORD",
            String::from_utf8_lossy(first.get_password().unwrap_or_default()).as_ref(),
        )
        .env("PGCONNECT_TIMEOUT", "2")
        .stdin(Stdio::null());
    Ok(command)
}

fn host(config: &Config) -> String {
    match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        _ => String::new(),
    }
}

fn port(config: &Config) -> String {
    config.get_ports().first().map(ToString::to_string).unwrap_or_default()
}

/// The newest of Debian's.
fn program() -> Result<PathBuf> {
    let found = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        found.map(|entry| entry.path().join("bin/pgbench")).filter(|path| path.exists()).collect();
    found.sort();
    found.pop().context("no pgbench below /usr/lib/postgresql; it comes with postgresql-contrib")
}
