//! `howdah certs`: who proves to be what, until when; renewal; certificates of operators and of proxies
//! on other hosts.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use clap::Subcommand;
use howdah_api::when::rfc3339;
use howdah_base::NodeName;
use howdah_spec::{ClusterSpec, NodeSpec};
use howdah_tls::{Authority, Certificate, Life};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::file::{ClusterFile, FileArg};
use crate::outpost::{self, Known};
use crate::prepare::certificates::{Wanted, owner_of};
use crate::prepare::{Account, Layout, account, make_dir, write_file};
use crate::renew::renew;
use crate::talk::{out, say};

/// Show the certificates of this machine; renew them; make one for an operator or a proxy
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    file: FileArg,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Renew what is in the last third of its time; running nodes notice by themselves
    Renew {
        /// Renew everything but the CA, however good
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        file: FileArg,
    },
    /// Make a client certificate that may order changes: a folder for `--client`
    Operator {
        /// Whom the audit log shall name
        name: String,
        /// The folder to write [default: ./NAME-<cluster>]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        file: FileArg,
    },
    /// Make what a proxy on a host without a node needs: a folder for `howdah proxy --dir`
    Proxy {
        /// What the proxy is called; no node's name
        name: NodeName,
        /// By which name or address its clients reach it; may be repeated [always: localhost]
        #[arg(long, value_name = "HOST")]
        host: Vec<String>,
        /// The folder to write [default: ./NAME-<cluster>]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        file: FileArg,
    },
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        None => list(&args.file.load_running()?, args.json),
        Some(What::Renew { force, file }) => renew_all(&file.load_running()?, *force),
        Some(What::Operator { name, out, file }) => {
            operator(&file.load_running()?, name, out.as_deref())
        }
        Some(What::Proxy { name, host, out, file }) => {
            proxy(&file.load_running()?, name, host, out.as_deref())
        }
    }
}

fn list(file: &ClusterFile, as_json: bool) -> anyhow::Result<()> {
    let layout = Layout::new(&file.spec.base_dir);
    let now = SystemTime::now();
    let found = found(&layout)?;
    if as_json {
        let all: Vec<Value> = found.iter().map(|(path, c)| as_value(path, c, now)).collect();
        out(serde_json::to_string(&all)?);
        return Ok(());
    }
    out(format!("{:<28}  {:<20}  {:>5}  {:<10}  names", "of", "until", "days", ""));
    for (_, certificate) in &found {
        let left = days_left(certificate, now);
        out(format!(
            "{:<28}  {:<20}  {left:>5}  {:<10}  {}",
            certificate.common_name,
            moment(certificate.not_after),
            word(certificate.life(now)),
            certificate.names.join(" ")
        ));
    }
    if !layout.tls().join("ca.key").exists() {
        say("the CA's key is not on this machine: a data node signs its renewals");
    }
    Ok(())
}

/// Every certificate of this machine, the CA's first.
fn found(layout: &Layout) -> anyhow::Result<Vec<(PathBuf, Certificate)>> {
    let folder = layout.tls();
    let entries = fs::read_dir(&folder);
    let entries = entries.with_context(|| format!("read folder: `{}`", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.push(layout.client_operator().certificate);
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "crt"));
    paths.sort_by_key(|path| (*path != layout.ca(), path.clone()));
    let mut found = Vec::new();
    for path in paths {
        // The client folder may be another user's.
        if let Ok(Some(certificate)) = Certificate::read(&path) {
            found.push((path, certificate));
        }
    }
    Ok(found)
}

fn as_value(path: &Path, certificate: &Certificate, now: SystemTime) -> Value {
    json!({
        "path": path,
        "common_name": certificate.common_name,
        "serial": certificate.serial,
        "not_before": moment(certificate.not_before),
        "not_after": moment(certificate.not_after),
        "days_left": days_left(certificate, now),
        "state": word(certificate.life(now)),
        "names": certificate.names,
    })
}

fn moment(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    rfc3339(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).replace("+00:00", "Z")
}

fn days_left(certificate: &Certificate, now: SystemTime) -> i64 {
    let days = |span: std::time::Duration| (span.as_secs() / (24 * 60 * 60)).cast_signed();
    match certificate.not_after.duration_since(now) {
        Ok(left) => days(left),
        Err(past) => -days(past.duration()),
    }
}

fn word(life: Life) -> &'static str {
    match life {
        Life::Good => "good",
        Life::Due => "due",
        Life::Late => "late",
        Life::Expired => "EXPIRED",
        Life::NotYet => "NOT YET",
    }
}

fn renew_all(file: &ClusterFile, force: bool) -> anyhow::Result<()> {
    let renewed = renew(&file.spec, force)?;
    for path in &renewed.certificates {
        out(format!("renewed `{}`", path.display()));
    }
    for node in &renewed.waiting {
        out(format!("signed for {node}, which fetches it with its own `howdah certs renew`"));
    }
    if renewed.certificates.is_empty() && renewed.waiting.is_empty() {
        say("nothing was due; howdah certs shows until when");
    }
    Ok(())
}

/// A folder to be handed over, with the CA's certificate in it, and who signs what else it gets.
struct Parcel {
    folder: PathBuf,
    authority: Authority,
    invoker: Account,
}

impl Parcel {
    fn begin(file: &ClusterFile, name: &str, to: Option<&Path>) -> anyhow::Result<Parcel> {
        let layout = Layout::new(&file.spec.base_dir);
        let invoker = account::invoker()?;
        let (cluster, nodes) = (&file.spec.cluster, std::collections::BTreeMap::new());
        let wanted = Wanted { layout: &layout, cluster, nodes: &nodes, server: &invoker };
        let authority = if layout.ca().exists() { wanted.open()? } else { None };
        let Some(authority) = authority else {
            return Err(Failure::failed("the key of the cluster's CA is not to be had here")
                .hint("run it on a node with data, as root or as who prepared it there")
                .into());
        };
        let folder = to.map_or_else(|| format!("{name}-{cluster}").into(), Path::to_owned);
        make_dir(&folder, 0o700)?;
        invoker.own(&folder)?;
        let ca = fs::read(layout.ca()).context("read the CA's certificate")?;
        write_file(&folder.join("ca.crt"), 0o644, &ca)?;
        invoker.own(&folder.join("ca.crt"))?;
        Ok(Parcel { folder, authority, invoker })
    }
}

/// Its clients' certificate must not prove to be a node, wherever it is shown.
fn check_hosts(spec: &ClusterSpec, name: &NodeName, hosts: &[String]) -> anyhow::Result<()> {
    let is_node = |host: &str| {
        let same = |node: &NodeSpec| node.host.eq_ignore_ascii_case(host);
        spec.nodes.iter().any(|(node, own)| node.as_str() == host || same(own))
    };
    match [name.as_str()].into_iter().chain(hosts.iter().map(String::as_str)).find(|h| is_node(h)) {
        Some(host) => Err(Failure::bad_input(format!("that is a node of the cluster: `{host}`"))
            .hint("a node has its endpoints already; name the host that the proxy is to run on")
            .into()),
        None => Ok(()),
    }
}

fn proxy(
    file: &ClusterFile,
    name: &NodeName,
    hosts: &[String],
    to: Option<&Path>,
) -> anyhow::Result<()> {
    check_hosts(&file.spec, name, hosts)?;
    let Parcel { folder, authority, invoker } = Parcel::begin(file, name.as_str(), to)?;
    let known = Known::of(&file.spec, name, hosts, &folder);
    outpost::write(&folder, &authority, &known, Some(owner_of(&invoker)))?;
    invoker.own(&folder.join("cluster.json"))?;
    let shown = folder.display();
    say(format!(
        "`{shown}` holds keys: copy it to the proxy's host as you would a password. The peer ports \
         of the nodes must be open to that host ({}). There, as the folder's owner:",
        known.nodes.join(", ")
    ));
    out(format!("howdah proxy --dir {shown}"));
    Ok(())
}

fn operator(file: &ClusterFile, name: &str, to: Option<&Path>) -> anyhow::Result<()> {
    let Parcel { folder, authority, invoker } = Parcel::begin(file, name, to)?;
    authority.operator(name, &folder, Some(owner_of(&invoker)))?;
    let shown = folder.display();
    say(format!("`{shown}` holds a key: hand it over as you would a password. Then, anywhere:"));
    out(format!("howdah status --client {shown} -f howdah.toml"));
    Ok(())
}
