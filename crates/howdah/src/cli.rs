//! The command line: which verbs there are. Each verb's own arguments stand in its file.

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
    Check(verbs::check::Args),
    Tune(verbs::tune::Args),
    Up(verbs::up::Args),
    Down(verbs::down::Args),
    Status(verbs::status::Args),
    History(verbs::history::Args),
    Explain(verbs::explain::Args),
    Psql(verbs::psql::Args),
    Logs(verbs::logs::Args),
    Switchover(verbs::switchover::Args),
    Failover(verbs::failover::Args),
    Apply(verbs::apply::Args),
    Adopt(verbs::adopt::Args),
    Prepare(verbs::prepare::Args),
    Token(verbs::token::Args),
    Join(verbs::join::Args),
    Certs(verbs::certs::Args),
    Run(verbs::run::Args),
    #[command(hide = true)]
    Guard(verbs::guard::Args),
    #[command(hide = true)]
    KeepStore(verbs::keep_store::Args),
}

impl Verb {
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Verb::Init(args) => verbs::init::run(&args),
            Verb::Check(args) => verbs::check::run(&args),
            Verb::Tune(args) => verbs::tune::run(&args),
            Verb::Up(args) => verbs::up::run(&args),
            Verb::Down(args) => verbs::down::run(&args),
            Verb::Status(args) => verbs::status::run(&args),
            Verb::History(args) => verbs::history::run(&args),
            Verb::Explain(args) => verbs::explain::run(&args),
            Verb::Psql(args) => verbs::psql::run(&args),
            Verb::Logs(args) => verbs::logs::run(&args),
            Verb::Switchover(args) => verbs::switchover::run(&args),
            Verb::Failover(args) => verbs::failover::run(&args),
            Verb::Apply(args) => verbs::apply::run(&args),
            Verb::Adopt(args) => verbs::adopt::run(&args),
            Verb::Prepare(args) => verbs::prepare::run(&args),
            Verb::Token(args) => verbs::token::run(&args),
            Verb::Join(args) => verbs::join::run(&args),
            Verb::Certs(args) => verbs::certs::run(&args),
            Verb::Run(args) => verbs::run::run(&args),
            Verb::Guard(args) => verbs::guard::run(&args),
            Verb::KeepStore(args) => verbs::keep_store::run(&args),
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
}
