//! `howdah psql`: becomes psql, connected through the endpoints.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use clap::ValueEnum;
use howdah_spec::ClusterSpec;

use crate::failure::{Failure, why};
use crate::file::FileArg;
use crate::prepare::Layout;
use crate::prepare::client::{self, Endpoint};

/// Connect with psql, through the endpoints
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Log in as this role [default: the application's]
    #[arg(long)]
    role: Option<String>,
    /// Connect to this database [default: the role's own]
    #[arg(long)]
    database: Option<String>,
    /// rw: the primary, ro: a standby, any: any server
    #[arg(long, value_enum, default_value = "rw")]
    endpoint: Choice,
    #[command(flatten)]
    file: FileArg,
    /// Passed on to psql, as in: howdah psql -- -c 'SELECT 1'
    #[arg(last = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
pub enum Choice {
    Rw,
    Ro,
    Any,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    let layout = Layout::new(&file.spec.base_dir);
    let role = role(args.role.as_deref(), &file.spec)?;
    let database = args.database.as_deref();
    let database = database.unwrap_or_else(|| client::usual_database(&file.spec, &role));
    check_readable(&layout)?;
    let url = client::url(&file.spec, &layout, args.endpoint.into(), &role, database);
    let program = program(&file.spec);
    let error = Command::new(&program).arg(url).args(&args.args).exec();
    Err(Failure::failed(format!("cannot run psql, {}: `{}`", why(&error), program.display()))
        .hint("install PostgreSQL's client programs")
        .into())
}

pub fn role(wanted: Option<&str>, spec: &ClusterSpec) -> anyhow::Result<String> {
    let role = wanted.or_else(|| client::usual_role(spec));
    role.map(str::to_owned).ok_or_else(|| {
        Failure::bad_input("the cluster file has no role that can log in")
            .hint("add `[roles.app]` with `kind = \"app\"` to it, then `howdah apply`")
            .into()
    })
}

pub fn check_readable(layout: &Layout) -> anyhow::Result<()> {
    let pgpass = layout.client_pgpass();
    std::fs::File::open(&pgpass).map(drop).map_err(|error| {
        let message = format!("cannot read passwords, {}: `{}`", why(&error), pgpass.display());
        let hint = match error.kind() {
            ErrorKind::NotFound => "howdah up",
            _ => "run it as the user who ran `howdah up`, or as root",
        };
        Failure::failed(message).hint(hint).into()
    })
}

/// The server's own psql where the file names its binaries, else the usual one.
pub fn program(spec: &ClusterSpec) -> PathBuf {
    let own = spec.postgresql.bin_dir.as_ref().map(|dir| dir.join("psql"));
    own.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from("psql"))
}

impl From<Choice> for Endpoint {
    fn from(choice: Choice) -> Endpoint {
        match choice {
            Choice::Rw => Endpoint::Rw,
            Choice::Ro => Endpoint::Ro,
            Choice::Any => Endpoint::Any,
        }
    }
}
