//! The command line: which verbs there are. Each verb's own arguments stand in its file.

use std::ffi::OsString;
use std::path::Path;

use clap::{Parser, Subcommand};

use crate::verbs;

/// Run PostgreSQL in production: one binary, one file.
#[derive(Parser, Debug)]
#[command(name = "howdah", version, after_help = START_HERE, disable_help_subcommand = true)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub verb: Verb,
}

const START_HERE: &str = "\
Start here:
  howdah init --demo     writes howdah.toml: three nodes on this machine
  howdah up              runs them, and says how to connect
";

/// In the order in which a new user meets them.
#[derive(Subcommand, Debug)]
pub enum Verb {
    Init(verbs::init::Args),
    Import(verbs::import::Args),
    Check(verbs::check::Args),
    Tune(verbs::tune::Args),
    Up(verbs::up::Args),
    Down(verbs::down::Args),
    Status(verbs::status::Args),
    Watch(verbs::watch::Args),
    Topology(verbs::topology::Args),
    History(verbs::history::Args),
    Explain(verbs::explain::Args),
    Audit(verbs::audit::Args),
    Psql(verbs::psql::Args),
    Query(verbs::query::Args),
    Dsn(verbs::dsn::Args),
    Logs(verbs::logs::Args),
    Switchover(verbs::switchover::Args),
    Failover(verbs::failover::Args),
    Pause(verbs::pause::Args),
    Resume(verbs::resume::Args),
    Restart(verbs::restart::Args),
    Reload(verbs::reload::Args),
    #[command(visible_alias = "reinitialize")]
    Reinit(verbs::reinit::Args),
    Fence(verbs::fence::Args),
    Unfence(verbs::unfence::Args),
    Config(verbs::config::Args),
    Apply(verbs::apply::Args),
    Version(verbs::version::Args),
    List(verbs::list::Args),
    Flush(verbs::flush::Args),
    #[command(name = "show-config")]
    ShowConfig(verbs::show_config::Args),
    #[command(name = "edit-config")]
    EditConfig(verbs::edit_config::Args),
    Remove(verbs::remove::Args),
    Ctl(Box<verbs::ctl::Args>),
    Adopt(verbs::adopt::Args),
    Pgbouncer(verbs::pgbouncer::Args),
    Proxy(verbs::proxy::Args),
    Prepare(verbs::prepare::Args),
    Token(verbs::token::Args),
    Join(verbs::join::Args),
    Install(verbs::install::Args),
    Certs(verbs::certs::Args),
    RecoverStore(verbs::recover_store::Args),
    Backup(verbs::backup::Args),
    Backups(verbs::backups::Args),
    Restore(Box<verbs::restore::Args>),
    Verify(verbs::verify::Args),
    Drill(Box<verbs::drill::Args>),
    Repository(verbs::repository::Args),
    Clone(Box<verbs::clone::Args>),
    Recover(Box<verbs::recover::Args>),
    Expire(verbs::expire::Args),
    Wal(verbs::wal::Args),
    Run(verbs::run::Args),
    #[command(hide = true)]
    Guard(verbs::guard::Args),
    #[command(hide = true)]
    MakeStandby(verbs::make_standby::Args),
    #[command(hide = true)]
    UnitStop(verbs::unit_stop::Args),
    #[command(hide = true)]
    KeepStore(verbs::keep_store::Args),
    #[command(hide = true)]
    VipHelper(verbs::vip_helper::Args),
}

impl Cli {
    /// Reads this process's arguments.
    pub fn read() -> Result<Cli, clap::Error> {
        Cli::try_parse_from(arguments(std::env::args_os().collect()))
    }
}

/// Called by the name `patronictl`, it is `howdah ctl`.
fn arguments(mut words: Vec<OsString>) -> Vec<OsString> {
    let name = words.first().and_then(|name| Path::new(name).file_name());
    if name.is_some_and(|name| name == "patronictl") {
        words.insert(1, "ctl".into());
    }
    words
}

impl Verb {
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Verb::Init(args) => verbs::init::run(&args),
            Verb::Import(args) => verbs::import::run(&args),
            Verb::Check(args) => verbs::check::run(&args),
            Verb::Tune(args) => verbs::tune::run(&args),
            Verb::Up(args) => verbs::up::run(&args),
            Verb::Down(args) => verbs::down::run(&args),
            Verb::Status(args) => verbs::status::run(&args),
            Verb::Watch(args) => verbs::watch::run(&args),
            Verb::Topology(args) => verbs::topology::run(&args),
            Verb::History(args) => verbs::history::run(&args),
            Verb::Explain(args) => verbs::explain::run(&args),
            Verb::Audit(args) => verbs::audit::run(&args),
            Verb::Psql(args) => verbs::psql::run(&args),
            Verb::Query(args) => verbs::query::run(&args),
            Verb::Dsn(args) => verbs::dsn::run(&args),
            Verb::Logs(args) => verbs::logs::run(&args),
            Verb::Switchover(args) => verbs::switchover::run(&args),
            Verb::Failover(args) => verbs::failover::run(&args),
            Verb::Pause(args) => verbs::pause::run(&args),
            Verb::Resume(args) => verbs::resume::run(&args),
            Verb::Restart(args) => verbs::restart::run(&args),
            Verb::Reload(args) => verbs::reload::run(&args),
            Verb::Reinit(args) => verbs::reinit::run(&args),
            Verb::Fence(args) => verbs::fence::run(&args),
            Verb::Unfence(args) => verbs::unfence::run(&args),
            Verb::Config(args) => verbs::config::run(&args),
            Verb::Apply(args) => verbs::apply::run(&args),
            Verb::Version(args) => verbs::version::run(&args),
            Verb::List(args) => verbs::list::run(&args),
            Verb::Flush(args) => verbs::flush::run(&args),
            Verb::ShowConfig(args) => verbs::show_config::run(&args),
            Verb::EditConfig(args) => verbs::edit_config::run(&args),
            Verb::Remove(args) => verbs::remove::run(&args),
            Verb::Ctl(args) => verbs::ctl::run(&args),
            Verb::Adopt(args) => verbs::adopt::run(&args),
            Verb::Pgbouncer(args) => verbs::pgbouncer::run(&args),
            Verb::Proxy(args) => verbs::proxy::run(&args),
            Verb::Prepare(args) => verbs::prepare::run(&args),
            Verb::Token(args) => verbs::token::run(&args),
            Verb::Join(args) => verbs::join::run(&args),
            Verb::Install(args) => verbs::install::run(&args),
            Verb::Certs(args) => verbs::certs::run(&args),
            Verb::RecoverStore(args) => verbs::recover_store::run(&args),
            Verb::Backup(args) => verbs::backup::run(&args),
            Verb::Backups(args) => verbs::backups::run(&args),
            Verb::Expire(args) => verbs::expire::run(&args),
            Verb::Restore(args) => verbs::restore::run(&args),
            Verb::Verify(args) => verbs::verify::run(&args),
            Verb::Drill(args) => verbs::drill::run(&args),
            Verb::Repository(args) => verbs::repository::run(&args),
            Verb::Clone(args) => verbs::clone::run(&args),
            Verb::Recover(args) => verbs::recover::run(&args),
            Verb::Wal(args) => verbs::wal::run(&args),
            Verb::Run(args) => verbs::run::run(&args),
            Verb::Guard(args) => verbs::guard::run(&args),
            Verb::MakeStandby(args) => verbs::make_standby::run(&args),
            Verb::UnitStop(args) => verbs::unit_stop::run(&args),
            Verb::KeepStore(args) => verbs::keep_store::run(&args),
            Verb::VipHelper(args) => verbs::vip_helper::run(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn verb(line: &str) -> String {
        let words = line.split(' ').map(OsString::from).collect();
        match Cli::try_parse_from(arguments(words)) {
            Ok(cli) => format!("{:?}", cli.verb),
            Err(error) => panic!("{line}: {error}"),
        }
    }

    #[test]
    fn patronictls_lines_are_understood() {
        for line in [
            "patronictl list",
            "/usr/local/bin/patronictl -c /etc/howdah.toml list demo -e -t -f tsv -W",
            "patronictl topology demo -w 2",
            "patronictl switchover demo --master n1 --candidate n2 --scheduled now --force",
            "patronictl switchover --leader n1 --force",
            "patronictl failover demo --candidate n2 --force",
            "patronictl restart demo n1 n2 -r replica --pending --pg-version 15.9 --force",
            "patronictl restart demo --any --timeout 30 --scheduled 2030-01-31T04:00:00Z",
            "patronictl reload demo n1 --force",
            "patronictl reinit demo n2 --wait --force --from-leader",
            "patronictl flush demo n1 restart --force",
            "patronictl flush demo switchover",
            "patronictl pause demo --wait",
            "patronictl resume --wait",
            "patronictl edit-config demo -s ttl=30 -p work_mem=8MB --force -q",
            "patronictl edit-config demo --apply - --force",
            "patronictl show-config demo",
            "patronictl history demo -f json",
            "patronictl version demo n1",
            "patronictl dsn demo -r replica",
            "patronictl query demo -c SELECT -d app -U app --format json -r any",
            "patronictl remove demo",
        ] {
            assert!(verb(line).starts_with("Ctl("), "{line}");
        }
        assert!(verb("howdah switchover --to n2").contains("n2"));
        assert!(verb("howdah switchover n2 --at +10min").contains("+10min"));
    }
}
