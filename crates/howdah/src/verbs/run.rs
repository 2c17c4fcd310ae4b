//! `howdah run`: one node in the foreground, as a service manager or `up` starts it.
//!
//! Root prepares what only root can, then is root no more, before any thread starts. SIGTERM
//! and SIGINT stop the node together with its PostgreSQL; SIGHUP does nothing.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use howdah_base::NodeName;
use nix::errno::Errno;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{dup2_stderr, dup2_stdout, setsid};

use crate::ask::known_node;
use crate::failure::Failure;
use crate::file::FileArg;
use crate::moment::hold;
use crate::prepare::lock::Lock;
use crate::prepare::{Caller, layout, prepare};
use crate::talk::say;
use crate::{allocator, hooks, keeper, node, reverts};

/// Run one node in the foreground, for a service manager
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Which node of the cluster file
    #[arg(long, value_name = "NODE")]
    node: NodeName,
    #[command(flatten)]
    file: FileArg,
    /// Started by `up`: in a session of its own, talking to its log file
    #[arg(long, hide = true)]
    as_child: bool,
}

/// A log larger than this is put aside when the node starts; one old log is kept.
const LOG_BYTES_MAX: u64 = 16 << 20;

pub fn run(args: &Args) -> anyhow::Result<()> {
    allocator::give_back_large_blocks();
    if args.as_child {
        // Ctrl-C in the terminal of `up` reaches `up` alone, which stops nodes in order.
        match setsid() {
            // A node that starts itself anew leads its session already.
            Ok(_) | Err(Errno::EPERM) => {}
            Err(error) => return Err(error).context("start a session"),
        }
    }
    let file = args.file.load()?;
    known_node(&file.spec, &args.node)?;
    let prepared = prepare(&file, Caller::Run(&args.node))?;
    reverts::remember_first(&prepared.layout, &file.path, &prepared.text);
    hooks::start_helper(&prepared, &args.node);
    prepared.server.become_for_good()?;
    umask(Mode::from_bits_truncate(0o077));
    std::env::set_current_dir(prepared.layout.base()).context("enter base_dir")?;
    let spec = &prepared.spec.nodes[&args.node];
    let lock = layout::node_lock(spec);
    let _running = loop {
        if args.as_child && hold::is_held(spec) {
            talk_to(&layout::node_log(spec))?;
        }
        if hold::is_held(spec)
            && let Err(error) = keeper::while_held(&prepared, &args.node)
        {
            say(format!("howdah: its member of the store does not start: {error:#}"));
        }
        hold::wait(spec)?;
        let Some(running) = Lock::take(&lock)? else {
            return Err(already_running(&args.node, Lock::holder(&lock)).into());
        };
        // Under its lock: whoever marked it since waits for that.
        if !hold::is_held(spec) {
            break running;
        }
    };
    if args.as_child {
        talk_to(&layout::node_log(spec))?;
    }
    node::run(&prepared, &args.node, args.as_child)?;
    hold::ended(spec)
}

fn already_running(node: &NodeName, holder: Option<i32>) -> Failure {
    let pid = holder.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
    Failure::failed(format!("node {node} is running already, as process `{pid}`"))
        .hint("howdah status")
}

/// Sends everything that this process says to `log`. As the servers' user, because the folder
/// is that user's.
fn talk_to(log: &Path) -> anyhow::Result<()> {
    let file = open_rotated(log).with_context(|| format!("open log: `{}`", log.display()))?;
    dup2_stdout(&file).context("redirect standard output")?;
    dup2_stderr(&file).context("redirect standard error")?;
    Ok(())
}

fn open_rotated(log: &Path) -> std::io::Result<File> {
    if fs::metadata(log).is_ok_and(|meta| meta.len() > LOG_BYTES_MAX) {
        fs::rename(log, log.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).mode(0o600).open(log)
}
