//! `howdah proxy`: a cluster's endpoints on a host that is no node.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use crate::outpost::{self, Options};

/// Serve a cluster's clients on a host without a node
///
/// The same endpoints, pools and console as a node has, without PostgreSQL, agent or store: all that
/// it knows, nodes tell it over their peer ports. `howdah certs proxy NAME` on a node writes the
/// folder that it needs. It runs in the foreground and logs to standard error; SIGTERM and SIGINT end
/// it and close all connections.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder that `howdah certs proxy` wrote
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Addresses to listen on, separated by commas
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', default_value = "127.0.0.1")]
    listen: Vec<IpAddr>,
    /// For clients of the primary
    #[arg(long, value_name = "PORT", default_value_t = 6432)]
    rw_port: u16,
    /// For clients of standbys
    #[arg(long, value_name = "PORT", default_value_t = 6433)]
    ro_port: u16,
    /// For clients of any server
    #[arg(long, value_name = "PORT", default_value_t = 6434)]
    any_port: u16,
    /// Answer `/metrics` and `/health` there [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    http: Option<SocketAddr>,
    /// A node's peer port, to be asked before those that the folder names; may be repeated
    #[arg(long, value_name = "HOST:PORT")]
    node: Vec<String>,
    /// Print a unit of systemd that runs it with these options, and run nothing
    #[arg(long)]
    unit: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let options = Options {
        dir: args.dir.clone(),
        listen: args.listen.clone(),
        rw_port: args.rw_port,
        ro_port: args.ro_port,
        any_port: args.any_port,
        http: args.http,
        nodes: args.node.clone(),
    };
    if args.unit { outpost::print_unit(&options) } else { outpost::run(&options) }
}
