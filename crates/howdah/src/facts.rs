//! What the cluster file does not say: this machine's memory and cores, and the PostgreSQL
//! that is installed on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use howdah_postgres::PgError;
use howdah_postgres::install::{self, Install};
use howdah_spec::parameters::ServerParameters;
use howdah_spec::{ClusterSpec, Machine, MachineTexts, NodeSpec, nodes_here};

use crate::failure::Failure;

/// The PostgreSQL that the cluster would run.
#[derive(Debug)]
pub struct Server {
    pub install: Install,
    pub parameters: ServerParameters,
}

/// This machine, shared by all nodes whose host is the first one's.
pub fn machine(spec: &ClusterSpec) -> Machine {
    let read = |path: &str| fs::read_to_string(path).ok();
    let meminfo = read("/proc/meminfo");
    let memory_max = read("/sys/fs/cgroup/memory.max");
    let cpu_max = read("/sys/fs/cgroup/cpu.max");
    let memory_limit = read("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    let quota = read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    let period = read("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    let texts = MachineTexts {
        meminfo: meminfo.as_deref(),
        memory_max: memory_max.as_deref(),
        cpu_max: cpu_max.as_deref(),
        memory_limit_in_bytes: memory_limit.as_deref(),
        cpu_cfs_quota_us: quota.as_deref(),
        cpu_cfs_period_us: period.as_deref(),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let here = spec.nodes.keys().next().map_or(1, |first| nodes_here(spec, first));
    Machine::from_texts(&texts, u32::try_from(cores).unwrap_or(1), here)
}

/// Asks the PostgreSQL that the file wants for its parameters.
pub fn server(spec: &ClusterSpec, node: &NodeSpec) -> anyhow::Result<Server> {
    let install = install(spec, &node.data_dir)?;
    let described = describe(&install)
        .with_context(|| format!("ask for its parameters: `{}`", install.bin_dir.display()))?;
    let parameters = ServerParameters::parse(install.major, &described)
        .map_err(|bad| anyhow::anyhow!("cannot read the server's parameters: `{}`", bad.line))?;
    Ok(Server { install, parameters })
}

/// The installation that runs a node with this data directory.
pub fn install(spec: &ClusterSpec, data_dir: &Path) -> anyhow::Result<Install> {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = install::find(spec.postgresql.bin_dir.as_deref(), &path);
    install::choose(&found, spec.postgresql.major, data_dir).map_err(|error| match error {
        PgError::Unusable { what, hint } => Failure::failed(what).hint(hint).into(),
        error => error.into(),
    })
}

/// Root may ask this much of the server's program.
fn describe(install: &Install) -> anyhow::Result<String> {
    let output = Command::new(install.bin_dir.join("postgres"))
        .arg("--describe-config")
        .stdin(Stdio::null())
        .output()?;
    let ended = output.status;
    anyhow::ensure!(ended.success(), "`postgres --describe-config` ended with {ended}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// This program, as others are told to start it. Linux calls one that was replaced by an upgrade
/// `... (deleted)`; the new one lies in its place.
pub fn executable() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context("find this executable")?;
    let replaced = path.to_str().and_then(|path| path.strip_suffix(" (deleted)"));
    Ok(match replaced.map(PathBuf::from) {
        Some(new) if new.exists() => new,
        _ => path,
    })
}
