//! Asks the running cluster over HTTP: any node that answers will do for reading, and every
//! node takes an operator's request.

use std::future::Future;
use std::time::Duration;

use anyhow::Context;
use howdah_api::client::{self, Answer, NoAnswer};
use howdah_base::status::ClusterStatus;
use howdah_base::{NodeName, Redacted};
use howdah_spec::{ClusterSpec, NodeSpec};
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::failure::{Exit, Failure};
use crate::file::ClusterFile;
use crate::prepare::lock::Lock;
use crate::prepare::{Layout, Prepared, secret};

/// A node that does not answer a read by then counts as silent.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// After the first answer: how long a better informed node may take.
const BETTER_WITHIN: Duration = Duration::from_millis(300);
/// Longer than a node's own bound for an answer, which it explains.
const CHANGE_WITHIN: Duration = Duration::from_secs(190);

/// Asks the nodes of one cluster.
#[derive(Debug)]
pub struct Asker {
    addresses: Vec<String>,
    layout: Layout,
    /// Names the cluster file in hints.
    typed: String,
}

impl Asker {
    pub fn of(prepared: &Prepared) -> Asker {
        let typed = format!(" -f {}", prepared.layout.file().display());
        Asker::new(&prepared.spec, prepared.layout.clone(), typed)
    }

    pub fn of_file(file: &ClusterFile) -> Asker {
        Asker::new(&file.spec, Layout::new(&file.spec.base_dir), file.typed.clone())
    }

    fn new(spec: &ClusterSpec, layout: Layout, typed: String) -> Asker {
        Asker { addresses: spec.nodes.values().map(http_address).collect(), layout, typed }
    }

    /// The cluster as the best informed of the answering nodes sees it: the leader, if it
    /// answers.
    pub async fn status(&self) -> anyhow::Result<ClusterStatus> {
        let mut asked = JoinSet::new();
        for address in self.addresses.clone() {
            asked.spawn(async move { read_status(&address).await });
        }
        let mut best: Option<ClusterStatus> = None;
        let mut deadline = Instant::now() + READ_WITHIN;
        while let Ok(Some(answer)) = timeout_at(deadline, asked.join_next()).await {
            let Ok(Ok(status)) = answer else { continue };
            if status.leader.as_ref() == Some(&status.seen_by) {
                return Ok(status);
            }
            if best.as_ref().is_none_or(|best| best.term < status.term) {
                best = Some(status);
            }
            deadline = deadline.min(Instant::now() + BETTER_WITHIN);
        }
        best.ok_or_else(|| self.silence().into())
    }

    /// Asks for a change; each node in turn until one takes the request. Returns the node's
    /// sentence.
    pub async fn change(&self, path: &str, body: String) -> anyhow::Result<String> {
        let token = self.token()?;
        for address in &self.addresses {
            match client::post(address, path, &token, body.clone(), CHANGE_WITHIN).await {
                Ok(answer) => return read_answer(&answer),
                // Nothing has been started there, so another node may be asked.
                Err(NoAnswer::Unreachable { .. }) => {}
                Err(error @ NoAnswer::TimedOut { .. }) => {
                    let failure = Failure::new(Exit::TimedOut, error.to_string());
                    return Err(failure.hint(format!("howdah status{}", self.typed)).into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(self.silence().into())
    }

    /// The token, from wherever this user can read it.
    fn token(&self) -> anyhow::Result<Redacted<String>> {
        for path in [self.layout.client_token(), self.layout.token()] {
            if let Ok(Some(token)) = secret::read_file(&path) {
                return Ok(token);
            }
        }
        let path = self.layout.client_token();
        Err(Failure::failed(format!("cannot read the cluster's token: `{}`", path.display()))
            .hint("run it as the user who ran `howdah up`, or as root")
            .into())
    }

    fn silence(&self) -> Failure {
        let supervised = Lock::is_held(&self.layout.up_pid());
        let verb = if supervised { "logs" } else { "up" };
        Failure::new(
            Exit::NoNode,
            format!("no node answers, asked at: `{}`", self.addresses.join("`, `")),
        )
        .hint(format!("howdah {verb}{}", self.typed))
    }
}

/// Runs one conversation to its end.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    Builder::new_current_thread().enable_all().build().context("start a runtime")?.block_on(work)
}

/// The node named, or bad input with the names that there are.
pub fn known_node<'a>(
    spec: &'a ClusterSpec,
    node: &NodeName,
) -> anyhow::Result<(&'a NodeName, &'a NodeSpec)> {
    spec.nodes.get_key_value(node).ok_or_else(|| {
        let names: Vec<&str> = spec.nodes.keys().map(NodeName::as_str).collect();
        Failure::bad_input(format!("no such node: `{node}`"))
            .hint(format!("the nodes are {}", names.join(", ")))
            .into()
    })
}

fn http_address(node: &NodeSpec) -> String {
    if node.host.contains(':') {
        format!("[{}]:{}", node.host, node.http_port)
    } else {
        format!("{}:{}", node.host, node.http_port)
    }
}

async fn read_status(address: &str) -> anyhow::Result<ClusterStatus> {
    let answer = client::get(address, "/status", READ_WITHIN).await?;
    anyhow::ensure!(answer.code == 200, "status {}: `{address}`", answer.code);
    serde_json::from_str(&answer.body).context("read the node's status")
}

/// A node's sentence, or its refusal with its hint.
fn read_answer(answer: &Answer) -> anyhow::Result<String> {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    if answer.code == 200 {
        return Ok(text("message").unwrap_or_else(|| "done".to_owned()));
    }
    let error = text("error").unwrap_or_else(|| format!("the node answered `{}`", answer.code));
    let mut failure = Failure::new(exit_of(answer.code), error);
    failure.hint = text("hint");
    Err(failure.into())
}

fn exit_of(code: u16) -> Exit {
    match code {
        400 | 413 => Exit::BadInput,
        408 => Exit::TimedOut,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(code: u16, body: &str) -> Answer {
        Answer { code, body: body.to_owned() }
    }

    #[test]
    fn a_refusal_keeps_its_hint_and_gets_an_exit_code() {
        let refused = answer(409, r#"{"error": "n2 lags", "hint": "wait"}"#);
        let error = read_answer(&refused).expect_err("refused");
        let failure = error.downcast_ref::<Failure>().expect("a failure");
        assert_eq!((failure.exit, failure.hint.as_deref()), (Exit::Failed, Some("wait")));
        assert_eq!(failure.message, "n2 lags");
        assert_eq!(read_answer(&answer(200, r#"{"message": "moved"}"#)).expect("done"), "moved");
    }
}
