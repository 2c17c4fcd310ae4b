//! Looks at a PostgreSQL that Howdah does not run yet: its directory, and the server if one runs.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use howdah_base::Redacted;
use howdah_postgres::control::{self, ControlData};
use howdah_postgres::install::Install;
use nix::unistd::{Uid, User};
use serde::Deserialize;

use crate::failure::Failure;

/// An existing PostgreSQL.
#[derive(Clone, Debug)]
pub struct Found {
    pub data_dir: PathBuf,
    pub major: String,
    /// Who owns the directory: its server's user.
    pub owner: String,
    pub control: ControlData,
    /// It was a standby when it was last started.
    pub standby: bool,
    /// A node of Howdah has it already.
    pub marked: bool,
    /// Where tablespaces lie outside of the directory.
    pub tablespaces: Vec<PathBuf>,
    pub running: Option<Running>,
}

/// What a running server says of itself.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
pub struct Running {
    #[serde(default)]
    pub pid: i32,
    #[serde(default)]
    pub socket_dir: PathBuf,
    pub port: u16,
    pub in_recovery: bool,
    pub config_file: PathBuf,
    pub hba_file: PathBuf,
    pub ident_file: PathBuf,
    pub wal_level: String,
    pub archive_mode: String,
    pub archive_command: String,
    pub preload: String,
    /// A superuser named `postgres` that may log in.
    pub has_postgres: bool,
    /// The superuser with whom this was asked.
    pub asked_as: String,
    /// Who streams from it: application names.
    #[serde(default)]
    pub standbys: Vec<String>,
    #[serde(default)]
    pub slots: Vec<String>,
    pub clients: u32,
    /// Extensions of all libraries that it has preloaded or sessions may load are not checked.
    #[serde(default)]
    pub prepared: u32,
}

const QUESTION: &str = "select json_build_object(
  'port', current_setting('port')::int,
  'in_recovery', pg_is_in_recovery(),
  'config_file', current_setting('config_file'),
  'hba_file', current_setting('hba_file'),
  'ident_file', current_setting('ident_file'),
  'wal_level', current_setting('wal_level'),
  'archive_mode', current_setting('archive_mode'),
  'archive_command', current_setting('archive_command'),
  'preload', current_setting('shared_preload_libraries'),
  'has_postgres', exists(select from pg_roles where rolname = 'postgres' and rolsuper and rolcanlogin),
  'asked_as', current_user,
  'standbys', coalesce((select json_agg(application_name) from pg_stat_replication), '[]'),
  'slots', coalesce((select json_agg(slot_name) from pg_replication_slots), '[]'),
  'clients', (select count(*) from pg_stat_activity where backend_type = 'client backend') - 1,
  'prepared', (select count(*) from pg_prepared_xacts))";

/// Looks at it. Blocking; changes nothing.
pub fn look(install: &Install, data_dir: &Path, superuser: Option<&str>) -> anyhow::Result<Found> {
    look_as(install, data_dir, superuser, None)
}

/// The same, with the superuser's password.
pub fn look_as(
    install: &Install,
    data_dir: &Path,
    superuser: Option<&str>,
    password: Option<&Redacted<String>>,
) -> anyhow::Result<Found> {
    let data_dir = data_dir
        .canonicalize()
        .with_context(|| format!("find the data directory: `{}`", data_dir.display()))?;
    let version = fs::read_to_string(data_dir.join("PG_VERSION")).map_err(|error| {
        Failure::bad_input(format!("no data directory of PostgreSQL: `{}`", data_dir.display()))
            .hint(format!("name the directory that `SHOW data_directory` gives ({error})"))
    })?;
    let owner = fs::metadata(&data_dir).context("read the directory's owner")?.uid();
    let owner = User::from_uid(Uid::from_raw(owner)).ok().flatten();
    let owner = owner.map_or_else(|| "unknown".to_owned(), |user| user.name);
    let control = control::read(install, &data_dir).map_err(anyhow::Error::from)?;
    Ok(Found {
        major: version.trim().to_owned(),
        standby: data_dir.join("standby.signal").exists()
            || data_dir.join("recovery.signal").exists(),
        marked: data_dir.join("howdah.json").exists(),
        tablespaces: tablespaces(&data_dir)?,
        running: running(install, &data_dir, &owner, (superuser.unwrap_or(&owner), password))?,
        control,
        owner,
        data_dir,
    })
}

fn tablespaces(data_dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(data_dir.join("pg_tblspc")).context("read pg_tblspc")?;
    Ok(entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()).collect())
}

/// The lines of `postmaster.pid` (storage/pid.h): pid, directory, start, port, socket directory.
fn running(
    install: &Install,
    data_dir: &Path,
    owner: &str,
    (role, password): (&str, Option<&Redacted<String>>),
) -> anyhow::Result<Option<Running>> {
    let Ok(text) = fs::read_to_string(data_dir.join("postmaster.pid")) else { return Ok(None) };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let pid = lines.first().and_then(|pid| pid.parse::<i32>().ok()).unwrap_or_default();
    if !is_postmaster(pid, data_dir) {
        return Ok(None);
    }
    let (Some(port), Some(socket_dir)) = (lines.get(3), lines.get(4)) else {
        anyhow::bail!("the server is starting: `{}`", data_dir.display());
    };
    let port = port.parse().context("read the port in postmaster.pid")?;
    let answer = ask_as(install, owner, (role, password), (Path::new(socket_dir), port), QUESTION)?;
    let said: Running = serde_json::from_str(&answer).context("read what the server says")?;
    Ok(Some(Running { pid, socket_dir: PathBuf::from(socket_dir), ..said }))
}

/// A pid of long ago may be somebody else's now.
fn is_postmaster(pid: i32, data_dir: &Path) -> bool {
    let at = fs::read_link(format!("/proc/{pid}/cwd"));
    pid > 0 && at.is_ok_and(|at| at == data_dir)
}

/// Asks by way of psql, as the system user that owns the server, over its socket.
pub(super) fn ask(
    install: &Install,
    owner: &str,
    role: &str,
    place: (&Path, u16),
    sql: &str,
) -> anyhow::Result<String> {
    ask_as(install, owner, (role, None), place, sql)
}

/// The same, with the role's password where its rules want one.
pub(super) fn ask_as(
    install: &Install,
    owner: &str,
    (role, password): (&str, Option<&Redacted<String>>),
    (socket_dir, port): (&Path, u16),
    sql: &str,
) -> anyhow::Result<String> {
    let mut command = as_owner(&install.bin_dir.join("psql"), owner)?;
    command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-w", "-d", "postgres"]);
    command.arg("-h").arg(socket_dir).args(["-p", &port.to_string(), "-U", role, "-c", sql]);
    command.env("PGCONNECT_TIMEOUT", "5");
    if let Some(password) = password {
        command.env("PGPASSWORD", password.expose());
    }
    let output = command.output().context("run psql")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Failure::failed(format!("{owner} cannot ask the server over its socket: {said}"))
        .hint(format!(
            "name its superuser with --superuser, and see that its pg_hba.conf lets {owner} in as \
             `{role}` over the socket"
        ))
        .into())
}

/// A command that runs as the server's user, and nobody's child of this terminal.
pub(super) fn as_owner(program: &Path, owner: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).current_dir("/").env("LC_ALL", "C");
    if Uid::effective().is_root() {
        let user = User::from_name(owner).ok().flatten();
        let user = user.with_context(|| format!("look up the server's user: `{owner}`"))?;
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        command.env("HOME", user.dir).env("USER", owner);
    }
    Ok(command)
}
