//! A running node and its certificates: new files are noticed and used, PostgreSQL reads them
//! anew, and their end is foretold in the status.
//!
//! A thread of its own: it touches disks that may hang, and nothing waits for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use howdah_base::NodeName;
use howdah_spec::ClusterSpec;
use howdah_tls::Identity;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;

use crate::renew;

/// How often the files are looked at; etcd reads its own at each handshake.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What the thread watches, and whom it tells.
#[derive(Debug)]
pub struct Watch {
    pub node: NodeName,
    pub identity: Arc<Identity>,
    pub spec: Arc<ClusterSpec>,
    /// Sentences for the status.
    pub problems: watch::Sender<Vec<String>>,
}

impl Watch {
    /// Starts watching; ends with the process.
    pub fn start(self) -> std::io::Result<()> {
        thread::Builder::new().name("certificates".to_owned()).spawn(move || self.watch())?;
        Ok(())
    }

    fn watch(self) {
        let mut since_renewal = Duration::ZERO;
        loop {
            self.look();
            thread::sleep(LOOK_EVERY);
            since_renewal += LOOK_EVERY;
            if since_renewal >= renew::EVERY {
                since_renewal = Duration::ZERO;
                self.renew();
            }
        }
    }

    fn look(&self) {
        match self.identity.look() {
            Ok(false) => {}
            Ok(true) => {
                let serial = self.identity.certificate().map(|certificate| certificate.serial);
                tracing::info!(serial, "the node's certificate is a new one, in use from now on");
                self.reload_postgres();
            }
            Err(error) => tracing::warn!(%error, "the node's new certificate cannot be used"),
        }
        let what = format!("the certificate of {}", self.node);
        let certificate = self.identity.certificate();
        let problem = certificate.and_then(|c| c.problem(&what, SystemTime::now()));
        let problem: Vec<String> =
            problem.map(|problem| problem + "; hint: howdah certs renew").into_iter().collect();
        self.problems.send_if_modified(|last| {
            let changed = *last != problem;
            *last = problem;
            changed
        });
    }

    /// A node that can read the CA's key, as one that was never root's can, needs no timer.
    fn renew(&self) {
        let layout = crate::prepare::Layout::new(&self.spec.base_dir);
        let key = crate::prepare::certificates::authority_pair(&layout).key;
        if fs::File::open(key).is_err() {
            return;
        }
        match renew::renew(&self.spec, false) {
            Ok(renewed) => {
                for path in renewed.certificates {
                    tracing::info!("renewed `{}`", path.display());
                }
            }
            Err(error) => tracing::warn!("certificates could not be renewed: {error:#}"),
        }
    }

    /// PostgreSQL reads certificates when it is told to read its files.
    fn reload_postgres(&self) {
        let Some(node) = self.spec.nodes.get(&self.node) else { return };
        let Some(postmaster) = postmaster(&node.data_dir) else { return };
        match kill(postmaster, Signal::SIGHUP) {
            Ok(()) => tracing::info!("PostgreSQL reads its certificate anew"),
            Err(error) => tracing::warn!(%error, "PostgreSQL could not be told of its certificate"),
        }
    }
}

/// The process of the server, if it is one: a number from a file may have become another's.
fn postmaster(data_dir: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data_dir.join("postmaster.pid")).ok()?;
    let pid: i32 = text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1)?;
    let works_in: PathBuf = fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
    (works_in == fs::canonicalize(data_dir).ok()?).then(|| Pid::from_raw(pid))
}
