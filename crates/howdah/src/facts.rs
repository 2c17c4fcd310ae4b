//! What the cluster file does not say: this machine's memory and cores, and the PostgreSQL
//! that is installed on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use howdah_spec::parameters::ServerParameters;
use howdah_spec::{ClusterSpec, Machine, MachineTexts, PostgresqlSpec, nodes_here};

use crate::failure::Failure;

/// The PostgreSQL that the cluster would run.
#[derive(Debug)]
pub struct Server {
    pub bin_dir: PathBuf,
    pub major: u32,
    /// Such as `15.18`.
    pub version: String,
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

/// Finds the PostgreSQL that the file asks for, and asks it for its parameters.
pub fn server(spec: &ClusterSpec) -> anyhow::Result<Server> {
    let wanted = &spec.postgresql;
    let dirs = wanted.bin_dir.as_ref().map_or_else(usual_bin_dirs, |dir| vec![dir.clone()]);
    let found = dirs.iter().filter_map(|dir| version(dir));
    let fits = found.filter(|(_, major, _)| wanted.major.is_none_or(|wanted| wanted == *major));
    let (bin_dir, major, version) =
        fits.max_by_key(|(_, major, _)| *major).ok_or_else(|| not_found(wanted))?;
    let described = output(&bin_dir, "--describe-config")
        .with_context(|| format!("ask for its parameters: `{}`", bin_dir.display()))?;
    let parameters = ServerParameters::parse(major, &described)
        .map_err(|bad| anyhow::anyhow!("cannot read the server's parameters: `{}`", bad.line))?;
    Ok(Server { bin_dir, major, version, parameters })
}

/// What the user's PATH says, and where distributions put each major version: of two equal
/// ones, the later is taken, because what stands in PATH may be a wrapper.
fn usual_bin_dirs() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let below = |parent: &str| fs::read_dir(parent).into_iter().flatten().flatten();
    let pgdg = below("/usr").filter(|dir| dir.file_name().to_string_lossy().starts_with("pgsql-"));
    dirs.extend(pgdg.chain(below("/usr/lib/postgresql")).map(|dir| dir.path().join("bin")));
    dirs.retain(|dir| dir.join("postgres").exists());
    dirs
}

/// The server in `dir`: its major version, and its version as it calls itself.
fn version(dir: &Path) -> Option<(PathBuf, u32, String)> {
    // `postgres (PostgreSQL) 15.18 (Debian 15.18-1)`
    let text = output(dir, "--version").ok()?;
    let version = text.split(") ").nth(1)?.split_whitespace().next()?.to_owned();
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((dir.to_path_buf(), digits.parse().ok()?, version))
}

fn output(dir: &Path, option: &str) -> anyhow::Result<String> {
    let output = Command::new(dir.join("postgres")).arg(option).stdin(Stdio::null()).output()?;
    anyhow::ensure!(output.status.success(), "`postgres {option}` ended with {}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn not_found(wanted: &PostgresqlSpec) -> Failure {
    let what = wanted.major.map_or_else(String::new, |major| format!(" {major}"));
    let place = wanted
        .bin_dir
        .as_ref()
        .map_or_else(|| "/usr/lib/postgresql and PATH".to_owned(), |dir| dir.display().to_string());
    Failure::failed(format!("no PostgreSQL{what} found in `{place}`"))
        .hint("install it (apt install postgresql), or name its folder as postgresql.bin_dir")
}
