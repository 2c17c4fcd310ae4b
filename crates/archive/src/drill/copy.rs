//! The copy: its files, its configuration, its server.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use howdah_postgres::alone::Alone;
use howdah_postgres::control::{self, ControlData};
use howdah_postgres::install::{self, Install};
use howdah_postgres::session::Session;
use howdah_repo::Lineage;
use howdah_repo::name::Label;
use nix::unistd::{Uid, User};
use tokio::time::sleep;

use super::config::{self, PORT};
use super::place::Place;
use super::{Check, Drilled, Options, Plan, Told, room};
use crate::restore::write::{self, Action, Along, Destination, Recovery, RestoreError};

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What was restored.
#[derive(Debug)]
pub struct Copy {
    pub data_dir: PathBuf,
    pub socket_dir: PathBuf,
    pub install: Install,
    pub control: ControlData,
    config: PathBuf,
}

pub async fn restore(
    lineage: &Lineage,
    options: &Options,
    plan: &Plan,
    place: &Place,
    told: &Told,
    found: &mut Drilled,
) -> Result<Copy, Check> {
    let failed = |error: &dyn std::fmt::Display| Check::failed("restore", error.to_string());
    let label: Label = plan.backup.parse().map_err(|error| failed(&error))?;
    let about = lineage.about_backup(&label).await.map_err(|error| failed(&error))?;
    found.bytes = about.statistics.bytes;
    room::look(&place.at(""), found.bytes.saturating_add(plan.wal_bytes()))?;
    let moved = about.tablespaces.iter().map(|there| (there.oid, place.tablespace(there.oid)));
    let destination = Destination {
        data_dir: place.data_dir(),
        tablespaces: moved.collect(),
        jobs: options.jobs,
        recovery: Recovery {
            restore_command: options.restore_command.clone(),
            target: options.target.clone(),
            timeline: Along::Of(plan.timeline),
            action: Action::Promote,
        },
    };
    let restored = write::restore(lineage, &label, &destination, &told.restored).await;
    restored.map_err(|error| match error {
        RestoreError::NoRoom { .. } => {
            let hint = "hint: free space there, or name another place with --scratch";
            Check::failed("space", format!("{error}\n{hint}"))
        }
        other => failed(&other),
    })?;
    configure(options, place, found)
}

fn configure(options: &Options, place: &Place, found: &mut Drilled) -> Result<Copy, Check> {
    let failed = |error: &dyn std::fmt::Display| Check::failed("start", error.to_string());
    let (data_dir, socket_dir) = (place.data_dir(), place.socket_dir());
    let install = install::choose(&options.installs, None, &data_dir);
    let install = install.map_err(|error| failed(&error))?;
    let control = control::read(&install, &data_dir).map_err(|error| failed(&error))?;
    let auto = data_dir.join("postgresql.auto.conf");
    let texts = [&data_dir.join("postgresql.conf"), &auto].map(|path| read(path));
    let preloaded = config::preloaded(&texts);
    let left = preloaded.split(',').map(str::trim).filter(|name| !name.is_empty());
    let left = left.filter(|name| !options.preload.iter().any(|kept| kept == name));
    found.left_out.extend(left.map(|name| format!("shared_preload_libraries: {name}")));
    let sizes: Vec<(String, u64)> =
        control.sizes.iter().map(|(name, value)| (name.clone(), *value)).collect();
    let (config, hba, ident) =
        (place.at("postgresql.conf"), place.at("pg_hba.conf"), place.at("pg_ident.conf"));
    let copy = config::Copy {
        data_dir: &data_dir,
        socket_dir: &socket_dir,
        hba: &hba,
        ident: &ident,
        sizes: &sizes,
        preload: &options.preload,
    };
    for (path, text) in [
        (&config, config::text(&copy)),
        (&hba, config::HBA.to_owned()),
        (&ident, config::ident(&own_name())),
        (&auto, config::recovery_only(&texts[1])),
    ] {
        fs::write(path, text).map_err(|error| {
            Check::failed("start", format!("cannot write, {error}: `{}`", path.display()))
        })?;
    }
    Ok(Copy { data_dir, socket_dir, install, control, config })
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Of the user that this process, and so the server, runs as.
fn own_name() -> String {
    let uid = Uid::effective();
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

/// Starts the server, and waits until it has recovered and answers.
pub async fn start(options: &Options, copy: &Copy, place: &Place) -> Result<Alone, Check> {
    let started = Alone::start(&copy.install, &copy.config, &place.at("postgres.log"));
    let mut server = started.map_err(|error| Check::failed("start", error.to_string()))?;
    let begun = Instant::now();
    loop {
        if server.has_ended() {
            return Err(Check::failed("replay", ended(&server.last_words())));
        }
        if answers(copy).await {
            return Ok(server);
        }
        if begun.elapsed() > options.within {
            let said = server.last_words();
            let what = format!("it was not there within {:?}: {said}", options.within);
            return Err(Check::failed("replay", what));
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Until recovery is over it lets nobody in.
async fn answers(copy: &Copy) -> bool {
    let Ok(session) = Session::connect(&copy.socket_dir, PORT, "postgres").await else {
        return false;
    };
    session.in_recovery().await.is_ok_and(|recovers| !recovers)
}

fn ended(said: &str) -> String {
    let hint = match said {
        said if said.contains("not registered") => {
            "\nhint: name the library that wrote this WAL in `preload` of `[backup.drill]`"
        }
        _ => "",
    };
    format!("the server ended: {said}{hint}")
}
