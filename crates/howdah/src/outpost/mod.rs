//! A proxy on a host that is no node: from a folder with two certificates to endpoints like a node's.
//!
//! ```text
//! folder ──► follow ── topology, rules ──► howdah_proxy::serve ◄── clients
//!              ▲ └── addresses ──► folder
//!            nodes ◄── roles' verifiers, servers, cancel requests
//! ```

mod files;
mod http;
mod rules;
mod unit;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use howdah_base::{Bytes, Span};
use howdah_proxy::{
    Counters, Declined, Following, Metrics, ProxyConfig, ProxyError, VerifierAsk, Wish, WishKind,
};
use howdah_tls::{Identity, TlsError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::bouncer;
use crate::failure::Failure;
use crate::journal::Journal;
use crate::talk::out;
use files::Folder;
use rules::InForce;

pub use files::{Known, write};

/// How often certificates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often it is said that one of them ends soon.
const SAY_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// How it is to run.
#[derive(Clone, Debug)]
pub struct Options {
    pub dir: PathBuf,
    pub listen: Vec<IpAddr>,
    pub rw_port: u16,
    pub ro_port: u16,
    pub any_port: u16,
    pub http: Option<SocketAddr>,
    /// Nodes to ask first, before those that the folder names.
    pub nodes: Vec<String>,
}

/// Prints a unit of systemd that runs it so.
pub fn print_unit(options: &Options) -> anyhow::Result<()> {
    let folder = Folder::open(&options.dir)?;
    let program = std::env::current_exe().context("find this program")?;
    out(unit::text(&program, options, &folder)?);
    Ok(())
}

/// Serves until told to stop.
pub fn run(options: &Options) -> anyhow::Result<()> {
    howdah_tls::install_provider();
    let folder = Folder::open(&options.dir)?;
    let journal = Journal::start()?;
    bouncer::raise_open_files();
    let runtime = crate::serving::start()?;
    let ended = runtime.block_on(serve(options, folder));
    journal.flush();
    ended
}

async fn serve(options: &Options, folder: Folder) -> anyhow::Result<()> {
    let towards_nodes = Identity::open(&folder.proxy_pair()).map_err(cannot_use)?;
    let towards_clients = Identity::open(&folder.server_pair()).map_err(cannot_use)?;
    let first = options.nodes.iter().chain(&folder.known.nodes).cloned().collect();
    let following = Following {
        cluster: folder.known.cluster.clone(),
        tls: howdah_tls::to_peers(&folder.ca(), &towards_nodes).map_err(cannot_use)?,
        first,
    };
    watch_certificates(&folder, [towards_nodes, towards_clients.clone()])?;
    let (wishes_to, wishes) = mpsc::channel(howdah_proxy::WISHES_MAX);
    let (verifiers, asks) = mpsc::channel(howdah_proxy::VERIFIER_ASKS_MAX);
    let in_force = InForce::new(options, wishes_to);
    let mut config = config(options, &in_force, &following, &towards_clients, verifiers)?;
    // Whoever connects before a node has told anything waits.
    let bound = howdah_proxy::bind(&config).await.map_err(cannot_listen)?;
    let heard = howdah_proxy::follow(following.clone());
    if let Some(address) = options.http {
        http::listen(address, config.metrics.clone(), &heard).await?;
    }
    tokio::spawn(howdah_proxy::ask_nodes(following, heard.topology.clone(), asks));
    tokio::spawn(folder.clone().keep_addresses(heard.topology.clone()));
    tracing::info!(name = %folder.known.name, cluster = %config.cluster, "waiting for a node");
    let serving = async {
        let mut rules = heard.rules.clone();
        in_force.take_first(&mut rules, &mut config).await?;
        tracing::info!(rw = config.rw_port, ro = config.ro_port, any = config.any_port, "serving");
        let following = in_force.follow(rules);
        let serving = howdah_proxy::serve(config, heard.topology.clone(), bound);
        tokio::select! {
            ended = serving => ended.context("serve")?,
            () = following => {}
        }
        // Whoever keeps this process starts it again.
        anyhow::bail!("the nodes are followed no more")
    };
    tokio::select! {
        ended = serving => ended,
        stopped = stopped(wishes) => stopped,
    }
}

/// What lies in the folder will not do, and no other try mends it.
fn cannot_use(error: TlsError) -> Failure {
    let said = error.to_string();
    if said.contains("\nhint: ") {
        return Failure::bad_input(said);
    }
    Failure::bad_input(said).hint(
        "whoever runs the proxy must own the folder's keys (mode 0600); or make it anew on a node \
         (`howdah certs proxy NAME`) and copy it here",
    )
}

fn cannot_listen(error: ProxyError) -> Failure {
    match error {
        ProxyError::Bind { endpoint, address, source } => {
            let message = format!("the {endpoint} endpoint cannot listen, {source}: `{address}`");
            Failure::refused(message).hint(format!(
                "give it another by --{endpoint}-port or --listen, or stop what uses it (`ss -ltnp`)"
            ))
        }
        other => Failure::failed(other.to_string()),
    }
}

/// What counts before any node has told its rules, which fill in the rest.
fn config(
    options: &Options,
    in_force: &InForce,
    following: &Following,
    towards_clients: &Arc<Identity>,
    verifiers: mpsc::Sender<VerifierAsk>,
) -> anyhow::Result<ProxyConfig> {
    Ok(ProxyConfig {
        // No node has it, whatever nodes there will be.
        node: rules::nobody()?,
        cluster: following.cluster.clone(),
        listen: options.listen.clone(),
        virtual_ip: None,
        rw_port: options.rw_port,
        ro_port: options.ro_port,
        any_port: options.any_port,
        peers: None,
        hba: in_force.hba(),
        server_tls: howdah_tls::for_clients(towards_clients).map_err(cannot_use)?,
        peer_client_tls: following.tls.clone(),
        ro_max_lag: Bytes(0),
        ro_primary_fallback: false,
        clients_max: 0,
        policy: in_force.policy(),
        connect_wait: Span(Duration::ZERO),
        keepalive: Span(Duration::ZERO),
        user_timeout: Span(Duration::ZERO),
        counters: Arc::new(Counters::default()),
        console: in_force.console(),
        metrics: Metrics::default(),
        verifiers,
        sockets: None,
        known_as: Some(in_force.known_as()),
    })
}

/// Comes back when it is to end; meanwhile answers what operators wish at the console.
async fn stopped(mut wishes: mpsc::Receiver<Wish>) -> anyhow::Result<()> {
    let on = |kind| signal(kind).context("listen for signals");
    let (mut terminate, mut interrupt) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            Some(Wish { what, reply }) = wishes.recv() => {
                let granted = match what {
                    // Nodes tell what has changed by themselves.
                    WishKind::Reload | WishKind::MayStop | WishKind::Stop => Ok(()),
                    WishKind::Set { .. } => Err(Declined {
                        why: "SET failed".to_owned(),
                        hint: Some("change the cluster file, then `howdah apply`".to_owned()),
                    }),
                };
                // It may have gone meanwhile.
                let _ = reply.send(granted);
                if what == WishKind::Stop {
                    break;
                }
            }
        }
    }
    tracing::info!("asked to stop: all connections are closed");
    Ok(())
}

/// New files are used from the next handshake on; what ends soon is said once a day.
fn watch_certificates(folder: &Folder, identities: [Arc<Identity>; 2]) -> anyhow::Result<()> {
    let name = folder.known.name.clone();
    let watch = move || {
        let mut said: Option<std::time::Instant> = None;
        loop {
            for identity in &identities {
                match identity.look() {
                    Ok(true) => tracing::info!("a new certificate is in use"),
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "a new certificate cannot be used"),
                }
            }
            if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
                said = Some(std::time::Instant::now());
                let what = format!("the certificate of the proxy {name}");
                let problems = identities.iter().filter_map(|identity| {
                    identity.certificate()?.problem(&what, SystemTime::now())
                });
                for problem in problems {
                    tracing::error!("{problem}; hint: howdah certs proxy {name}, on a node");
                }
            }
            thread::sleep(LOOK_EVERY);
        }
    };
    let started = thread::Builder::new().name("certificates".to_owned()).spawn(watch);
    started.map(drop).context("start the certificates' thread")
}
