//! The `howdah` binary: verbs in, exit code out.
//!
//! ```text
//! up --> supervise --spawns--> run --node N --> node (agent + proxy + api) --spawns--> guard
//!  \--> prepare (folders, keys, passwords) <--/
//! status, switchover, ... --> ask --HTTP--> any node
//! ```
//!
//! No thread and no runtime starts before a verb asks for one: `run` drops its user first.

mod admit;
mod adopt;
mod allocator;
mod archive;
mod ask;
mod bouncer;
mod certificates;
mod cli;
mod console;
mod diff;
mod draft;
mod facts;
mod failure;
mod file;
mod health;
mod hooks;
mod join;
mod journal;
mod keeper;
mod leave;
mod moment;
mod node;
mod order;
mod outpost;
mod output;
mod peers;
mod prepare;
mod renew;
mod restoring;
mod reverts;
mod serving;
mod start;
mod store;
mod supervise;
mod tail;
mod talk;
mod units;
mod verbs;
mod verifiers;
mod yaml;

use std::process::ExitCode;

use cli::Cli;
use failure::Exit;

fn main() -> ExitCode {
    // Started as `/proc/self/exe`, it would be `exe` for `top` and `ps -e`. A name is no more than
    // a help.
    let _ = nix::sys::prctl::set_name(c"howdah");
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::BadInput as u8 } else { 0 };
            // Nothing is left to say it to when this fails.
            let _ = error.print();
            return ExitCode::from(exit);
        }
    };
    match cli.verb.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(failure::report(&error)),
    }
}
