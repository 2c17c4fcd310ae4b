//! `howdah up`: a whole cluster on this machine, in one command.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Stdio;

use anyhow::Context;
use nix::unistd::setsid;
use tokio::process::{Child, Command};

use crate::ask::{Asker, block_on};
use crate::failure::{Exit, Failure};
use crate::file::FileArg;
use crate::moment::hold;
use crate::prepare::lock::Lock;
use crate::prepare::{Caller, Layout, Prepared, account, prepare};
use crate::reverts;
use crate::supervise::{self, Audience, Outcome, Relay};
use crate::talk::say;

/// Run the whole cluster on this machine, and say how to connect
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Go into the background once the cluster is ready
    #[arg(short, long)]
    detach: bool,
    /// The part of --detach that stays
    #[arg(long, hide = true)]
    in_background: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load()?;
    if args.in_background {
        setsid().context("start a session")?;
    }
    let layout = Layout::new(&file.spec.base_dir);
    hold::tell(&file.spec);
    if let Some(pid) = Lock::holder(&layout.up_pid()) {
        return show_running(args, pid);
    }
    let prepared = prepare(&file, Caller::Up)?;
    reverts::remember_first(&layout, &file.path, &prepared.text);
    // Whoever started this process has said it already, and passes on what it says.
    if !args.in_background {
        say(format!("cluster {} lies in `{}`", prepared.spec.cluster, layout.base().display()));
    }
    std::env::set_current_dir(layout.base()).context("enter base_dir")?;
    if args.detach {
        return start_in_background(&prepared);
    }
    let Some(_supervisor) = Lock::take(&layout.up_pid())? else {
        return Err(Failure::failed("another `howdah up` was faster").hint("howdah status").into());
    };
    let audience = if args.in_background { Audience::Log } else { Audience::Operator };
    supervise::run(prepared, audience)
}

/// A second `up` changes nothing: it says what the first one would.
fn show_running(args: &Args, pid: i32) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    let spec = &file.spec;
    say(format!("cluster {} is running already, under process `{pid}`", spec.cluster));
    let asker = Asker::of_file(&file);
    supervise::try_again(pid);
    let status = block_on(asker.status())?;
    let layout = Layout::new(&spec.base_dir);
    let server = account::server_account(&spec.run_as)?;
    supervise::print_running(spec, &layout, &server, &status);
    Ok(())
}

fn start_in_background(prepared: &Prepared) -> anyhow::Result<()> {
    block_on(async {
        let log = open_log(&prepared.layout)?;
        let nodes = prepared.spec.nodes.keys().cloned().collect();
        let mut relay = Relay::of(&prepared.layout.up_log(), nodes)?;
        let given_up = relay.given_up.clone();
        let mut supervisor = spawn(&prepared.layout, log)?;
        let asker = Asker::of(prepared);
        let outcome = tokio::select! {
            outcome = supervise::until_ready(&prepared.spec, &asker, &given_up) => outcome,
            ended = supervisor.wait() => {
                relay.pass_on();
                return Err(ended_early(&prepared.layout, ended.ok()).into());
            }
            held = hold::for_long(&prepared.spec) => {
                relay.pass_on();
                say("\nit runs in the background; stop it with `howdah down`");
                return Err(held.into());
            }
            never = relay.run() => never,
        };
        supervise::print_outcome(prepared, &outcome);
        match outcome {
            Outcome::Without(..) => {
                say("\nthe others run in the background; stop them with `howdah down`");
                Err(Failure::refused("the cluster is not complete")
                    .hint("mend what is said above, then howdah up: it tries again")
                    .into())
            }
            Outcome::Ready(_) => {
                say("\nit runs in the background; stop it with `howdah down`");
                Ok(())
            }
            Outcome::TimedOut(_) => {
                Err(Failure::new(Exit::TimedOut, "the cluster is not complete")
                    .hint(format!("howdah explain, and `{}`", prepared.layout.up_log().display()))
                    .into())
            }
        }
    })
}

fn open_log(layout: &Layout) -> anyhow::Result<File> {
    let path = layout.up_log();
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o644)
        .open(&path)
        .with_context(|| format!("open log: `{}`", path.display()))
}

/// The supervisor in the background: this executable once more, in a session of its own.
fn spawn(layout: &Layout, log: File) -> anyhow::Result<Child> {
    Command::new("/proc/self/exe")
        .arg0("howdah")
        .args(["up", "--in-background", "--file"])
        .arg(layout.file())
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the log")?)
        .stderr(log)
        .spawn()
        .context("start the supervisor")
}

fn ended_early(layout: &Layout, status: Option<std::process::ExitStatus>) -> Failure {
    let how = status.map_or_else(|| "ended".to_owned(), |status| status.to_string());
    let is_refused = status.and_then(|status| status.code()) == Some(Exit::Refused as i32);
    let exit = if is_refused { Exit::Refused } else { Exit::Failed };
    Failure::new(exit, format!("the supervisor did not stay in the background: {how}"))
        .hint(format!("it said why above, and in `{}`", layout.up_log().display()))
}
