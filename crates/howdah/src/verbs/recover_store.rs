//! `howdah recover-store`: what one member of a managed store holds becomes the store, because
//! the majority of the members is lost for good.

use std::io::BufRead;

use anyhow::Context;
use howdah_base::NodeName;
use howdah_spec::ClusterSpec;

use crate::ask::{block_on, known_node};
use crate::failure::Failure;
use crate::file::FileArg;
use crate::keeper;
use crate::prepare::{Layout, account};
use crate::talk::say;

/// Go on with one node's member of the store alone, when most members are lost for good
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The node whose member is to go on; on its own machine
    #[arg(long, value_name = "NODE")]
    node: NodeName,
    #[command(flatten)]
    file: FileArg,
    /// Take the order back, if it has not been carried out
    #[arg(long)]
    give_up: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let spec = args.file.load_running()?.spec;
    let (name, own) = known_node(&spec, &args.node)?;
    let layout = Layout::new(&spec.base_dir);
    let dir = layout.store_member(name);
    if keeper::managed(&spec).is_none() || !spec.store_members().contains(&name) {
        return Err(Failure::bad_input(format!("{name} has no member of a managed store")).into());
    }
    let server = account::server_account(&spec.run_as)?;
    if !server.act(|| Ok(dir.join("etcd/member").is_dir()))? {
        return Err(Failure::failed(format!("no data of the store here: `{}`", dir.display()))
            .hint(format!("run it on the machine of {name}"))
            .into());
    }
    if args.give_up {
        server.act(|| Ok(howdah_etcd::order_alone(&dir, false)?))?;
        say("the order is taken back");
        return Ok(());
    }
    if !args.yes && !confirmed(&spec, name)? {
        return Err(Failure::failed("nothing was changed").into());
    }
    server.act(|| Ok(howdah_etcd::order_alone(&dir, true)?))?;
    // Its etcd ends with it; the node starts both again, and the keeper finds the order.
    block_on(keeper::end(own, &server))?;
    say(format!(
        "ordered: the member of {name} goes on alone; `howdah status` shows it in a moment"
    ));
    say("hint: machines that come back join it anew, and what they had of the store is put aside");
    Ok(())
}

fn confirmed(spec: &ClusterSpec, name: &NodeName) -> anyhow::Result<bool> {
    let cluster = &spec.cluster;
    say(format!("this makes what {name} holds the store of cluster {cluster}."));
    say("What only the lost members had confirmed is gone: the newest lines of the record.");
    say("Do it only when most members are lost for good. Were two of them to come back together");
    say("while this one is away, they would be a store of their own, with a primary of its own.");
    say("Type the cluster's name to go on:");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("read the answer")?;
    Ok(line.trim() == cluster.as_str())
}
