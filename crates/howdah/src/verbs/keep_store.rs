//! `howdah keep-store`: keeps one node's member of a managed store; started by the node, or by a
//! service manager.

use anyhow::Context;
use howdah_base::NodeName;
use nix::errno::Errno;
use nix::sys::stat::{Mode, umask};
use nix::unistd::setsid;
use tokio::runtime::Builder;

use crate::ask::known_node;
use crate::failure::Failure;
use crate::file::FileArg;
use crate::journal::Journal;
use crate::keeper;
use crate::prepare::lock::Lock;
use crate::prepare::{Layout, account, layout};

/// Keep a node's member of the store running, and a member; a node starts it
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(long, value_name = "NODE")]
    node: NodeName,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match setsid() {
        // A service manager has given it a session already.
        Ok(_) | Err(Errno::EPERM) => {}
        Err(error) => return Err(error).context("start a session"),
    }
    let spec = args.file.load_running()?.spec;
    known_node(&spec, &args.node)?;
    let layout = Layout::new(&spec.base_dir);
    account::server_account(&spec.run_as)?.become_for_good()?;
    umask(Mode::from_bits_truncate(0o077));
    let own = &spec.nodes[&args.node];
    // So that it is seen to be of this node, and no folder of its starter is held.
    std::env::set_current_dir(&own.state_dir).context("enter state_dir")?;
    let lock = layout::store_lock(own);
    let Some(_alone) = Lock::take(&lock)? else {
        let pid = Lock::holder(&lock).map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
        let message = format!("the store of {} is kept already, by process `{pid}`", args.node);
        return Err(Failure::failed(message).into());
    };
    let journal = Journal::start()?;
    howdah_tls::install_provider();
    let options = keeper::options(&spec, &layout, &args.node)?;
    let runtime = Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    let kept = runtime.block_on(howdah_etcd::keep(options));
    journal.flush();
    Ok(kept?)
}
