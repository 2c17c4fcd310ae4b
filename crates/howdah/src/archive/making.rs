//! A standby's directory from the repository, for the agent: made by a process of its own, which ends with
//! whoever wants it.
//!
//! ```text
//! agent ── what is wanted ──► howdah make-standby ── stdout: how far, and what came of it ──► agent
//!                                               └─── stderr ──► this node's log
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use howdah_agent::{Backups, FromRepository, Made, Told};
use howdah_base::{History, Lsn, NodeName};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::{scheduler, work};
use crate::prepare::layout;

/// What that process reads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wanted {
    pub into: PathBuf,
    /// For the server that replays WAL; made where it is not there.
    pub socket_dir: PathBuf,
    pub log: PathBuf,
    pub system_identifier: u64,
    pub history: History,
    pub sizes: BTreeMap<String, u64>,
}

/// What it prints, a line each.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    Told {
        said: String,
        held: Option<Lsn>,
    },
    /// The last one.
    Made {
        said: String,
        replayed: Lsn,
    },
}

/// The name of the verb.
const VERB: &str = "make-standby";

/// Makes directories of this node.
#[derive(Debug)]
pub struct Making {
    pub node: NodeName,
}

impl Backups for Making {
    fn standby(&self, wanted: FromRepository) -> howdah_agent::Making {
        let node = self.node.clone();
        Box::pin(async move {
            if wanted.spec.backup.is_none() {
                return Err("the cluster file has no `[backup]`".to_owned());
            }
            let failed = |error| format!("its process cannot be started: {error}");
            let child = start(&node, &wanted).await.map_err(failed)?;
            ended(child, wanted.told).await
        })
    }
}

async fn start(node: &NodeName, wanted: &FromRepository) -> std::io::Result<Child> {
    let own = &wanted.spec.nodes[node];
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("howdah")
        .arg(VERB)
        .arg("--file")
        .arg(scheduler::in_force(&wanted.spec, node)?)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    work::step_back(&mut command);
    let mut child = command.spawn()?;
    let text = serde_json::to_vec(&Wanted {
        into: wanted.into.clone(),
        socket_dir: layout::making_run(own),
        log: layout::making_log(own),
        system_identifier: wanted.system_identifier,
        history: wanted.history.clone(),
        sizes: wanted.sizes.clone(),
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&text).await?;
    }
    Ok(child)
}

async fn ended(mut child: Child, told: watch::Sender<Told>) -> Result<Made, String> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let listen = async {
        match stdout {
            Some(stdout) => follow(stdout, &told).await,
            None => None,
        }
    };
    let talk = async {
        match stderr {
            Some(stderr) => work::pass_on(VERB, stderr).await,
            None => String::new(),
        }
    };
    let (made, last, status) = tokio::join!(listen, talk, child.wait());
    let status = status.map_err(|error| format!("its process cannot be waited for: {error}"))?;
    match made {
        Some(made) if status.success() => Ok(made),
        // What it said before it was killed is not why.
        _ if last.is_empty() || status.code().is_none() => {
            Err(format!("its process ended: {status}"))
        }
        _ => Err(last),
    }
}

async fn follow(stdout: impl AsyncRead + Unpin, told: &watch::Sender<Told>) -> Option<Made> {
    let mut lines = BufReader::new(stdout).lines();
    let mut made = None;
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Line::Told { said, held }) => {
                told.send_replace(Told { said, held });
            }
            Ok(Line::Made { said, replayed }) => made = Some(Made { said, replayed }),
            Err(error) => tracing::warn!("{VERB} said something unknown, {error}: `{line}`"),
        }
    }
    made
}
