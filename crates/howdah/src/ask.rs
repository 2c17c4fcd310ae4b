//! Asks the running cluster over HTTP: any node that answers will do for reading, and every
//! node takes an operator's request. Over TLS, but for nodes that are reached by loopback.

use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use howdah_api::client::{Answer, Ask, Client, Method, NoAnswer};
use howdah_base::ask::{Progress, Receipt};
use howdah_base::status::ClusterStatus;
use howdah_base::{NodeName, Redacted};
use howdah_spec::{ClusterSpec, NodeSpec};
use howdah_tls::{Certificate, Life, Pair, Refused};
use nix::unistd::{Uid, User};
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
    doors: Vec<Door>,
    layout: Layout,
    /// The folder of whoever asks, when it is not base_dir's own.
    client: Option<PathBuf>,
    /// Names the cluster file in hints.
    typed: String,
}

/// Where one node answers.
#[derive(Clone, Debug)]
struct Door {
    node: NodeName,
    address: String,
    /// Nothing said there leaves the machine.
    loopback: bool,
}

impl Asker {
    pub fn of(prepared: &Prepared) -> Asker {
        let typed = format!(" -f {}", prepared.layout.file().display());
        Asker::new(&prepared.spec, prepared.layout.clone(), None, typed)
    }

    pub fn of_file(file: &ClusterFile) -> Asker {
        let layout = Layout::new(&file.spec.base_dir);
        Asker::new(&file.spec, layout, file.client.clone(), file.typed.clone())
    }

    fn new(spec: &ClusterSpec, layout: Layout, client: Option<PathBuf>, typed: String) -> Asker {
        Asker { doors: spec.nodes.iter().map(Door::of).collect(), layout, client, typed }
    }

    /// The cluster as the best informed of the answering nodes sees it: the leader, if it
    /// answers.
    pub async fn status(&self) -> anyhow::Result<ClusterStatus> {
        let mut asked = JoinSet::new();
        for door in self.doors.clone() {
            let client = self.client_for(&door)?;
            asked.spawn(async move { read_status(&client, &door.address).await });
        }
        let mut best: Option<ClusterStatus> = None;
        let mut refused = None;
        let mut deadline = Instant::now() + READ_WITHIN;
        while let Ok(Some(answer)) = timeout_at(deadline, asked.join_next()).await {
            let status = match answer {
                Ok(Ok(status)) => status,
                Ok(Err(error)) => {
                    refused = refused.or(error.downcast::<NoAnswer>().ok().and_then(refusal));
                    continue;
                }
                Err(_) => continue,
            };
            if status.leader.as_ref() == Some(&status.seen_by) {
                return Ok(status);
            }
            if best.as_ref().is_none_or(|best| best.term < status.term) {
                best = Some(status);
            }
            deadline = deadline.min(Instant::now() + BETTER_WITHIN);
        }
        best.ok_or_else(|| refused.unwrap_or_else(|| self.silence()).into())
    }

    /// Asks for a change; each node in turn until one takes the request.
    pub async fn change(&self, path: &str, body: String) -> anyhow::Result<Receipt> {
        read_receipt(&self.send(Method::POST, path, body).await?)
    }

    /// Sends a request that may change something to each node in turn until one takes it.
    pub async fn send(&self, method: Method, path: &str, body: String) -> anyhow::Result<Answer> {
        let token = self.token()?;
        let (token, within) = (token.as_ref(), CHANGE_WITHIN);
        let ask = Ask { method, path, token, body, within };
        let (mut refused, mut starting) = (None, None);
        for door in &self.doors {
            match self.client_for(door)?.ask(&door.address, &ask).await {
                Ok(answer) if answer.starting => starting = Some(answer),
                Ok(answer) => return Ok(answer),
                // Nothing has been started there, so another node may be asked.
                Err(NoAnswer::Unreachable { .. }) => {}
                Err(error @ NoAnswer::Refused { .. }) => refused = refusal(error).or(refused),
                Err(error @ NoAnswer::TimedOut { .. }) => {
                    let failure = Failure::new(Exit::TimedOut, error.to_string());
                    return Err(failure.hint(format!("howdah status{}", self.typed)).into());
                }
                Err(error) => return Err(error.into()),
            }
        }
        starting.ok_or_else(|| refused.unwrap_or_else(|| self.silence()).into())
    }

    /// Reads `path` from every node, in the order of their names; with the token where this user
    /// has one. Who does not answer says why.
    pub async fn each(
        &self,
        path: &str,
    ) -> anyhow::Result<Vec<(NodeName, Result<Answer, String>)>> {
        let token = self.token().ok().flatten();
        let mut asked = JoinSet::new();
        for door in self.doors.clone() {
            let (client, token) = (self.client_for(&door)?, token.clone());
            let path = path.to_owned();
            asked.spawn(async move {
                let (method, body, within) = (Method::GET, String::new(), READ_WITHIN);
                let ask = Ask { method, path: &path, token: token.as_ref(), body, within };
                let answer = client.ask(&door.address, &ask).await;
                (door.node, answer.map_err(|error| error.to_string()))
            });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(answers)
    }

    /// How this node is spoken to.
    fn client_for(&self, door: &Door) -> anyhow::Result<Client> {
        if !self.by_tls(door) {
            return Ok(Client::plain().by(&operator()));
        }
        let own = self.layout.client();
        let folder = self.client.as_ref().unwrap_or(&own);
        let ca = [folder.join("ca.crt"), self.layout.ca()].into_iter().find(|path| path.exists());
        let Some(ca) = ca else {
            return Err(Failure::failed(format!(
                "no CA to know the nodes of the cluster by: `{}`",
                folder.join("ca.crt").display()
            ))
            .hint("run it on a machine of the cluster, or name a folder by --client")
            .into());
        };
        let pair = self.certificate();
        Ok(Client::by_tls(howdah_tls::to_http(&ca, pair.as_ref())?).by(&operator()))
    }

    /// Who names a folder of his own may have a certificate and no token.
    fn by_tls(&self, door: &Door) -> bool {
        !door.loopback || self.client.is_some()
    }

    /// The operator's certificate, if this user has one. One that is over would end every
    /// handshake, those that only read too.
    fn certificate(&self) -> Option<Pair> {
        let folder = self.client.clone().unwrap_or_else(|| self.layout.client());
        let pair = Pair::at(&folder, "operator");
        let there = Certificate::read(&pair.certificate).ok().flatten()?;
        let readable = std::fs::File::open(&pair.key).is_ok();
        (readable && there.life(SystemTime::now()) != Life::Expired).then_some(pair)
    }

    /// The token, from wherever this user can read it. Who has a certificate and speaks TLS needs
    /// none.
    fn token(&self) -> anyhow::Result<Option<Redacted<String>>> {
        let folder = self.client.as_ref().map(|folder| folder.join("token"));
        let own = [self.layout.client_token(), self.layout.token()];
        for path in folder.into_iter().chain(own) {
            if let Ok(Some(token)) = secret::read_file(&path) {
                return Ok(Some(token));
            }
        }
        if self.certificate().is_some() && self.doors.iter().all(|door| self.by_tls(door)) {
            return Ok(None);
        }
        if let Some(folder) = &self.client {
            let failure = Failure::failed(format!(
                "neither a token nor a certificate that is good: `{}`",
                folder.display()
            ));
            let hint = "on a node with data: howdah certs operator NAME, and bring the folder";
            return Err(failure.hint(hint).into());
        }
        let path = self.layout.client_token();
        Err(Failure::failed(format!("cannot read the cluster's token: `{}`", path.display()))
            .hint("run it as the user who ran `howdah up`, or as root")
            .into())
    }

    fn silence(&self) -> Failure {
        let supervised = Lock::is_held(&self.layout.up_pid());
        let hint = match (supervised, self.doors.iter().all(|door| door.loopback)) {
            (true, _) => format!("howdah logs{}", self.typed),
            (false, true) => format!("howdah up{}", self.typed),
            (false, false) => {
                "on their machines: systemctl status 'howdah-*'; and are those ports open?".into()
            }
        };
        let addresses: Vec<&str> = self.doors.iter().map(|door| &*door.address).collect();
        Failure::new(
            Exit::NoNode,
            format!("no node answers, asked at: `{}`", addresses.join("`, `")),
        )
        .hint(hint)
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

impl Door {
    fn of((name, node): (&NodeName, &NodeSpec)) -> Door {
        let address = node.host.parse::<IpAddr>();
        let loopback = node.host == "localhost" || address.is_ok_and(|ip| ip.is_loopback());
        Door { node: name.clone(), address: http_address(node), loopback }
    }
}

/// Who types, for the history: also behind sudo.
fn operator() -> String {
    let behind = std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty());
    let own = || User::from_uid(Uid::current()).ok().flatten().map(|user| user.name);
    behind.or_else(own).unwrap_or_else(|| Uid::current().to_string())
}

/// A certificate in the way is worth telling: it is no silence.
fn refusal(error: NoAnswer) -> Option<Failure> {
    let NoAnswer::Refused { why, .. } = &error else { return None };
    let why: Refused = *why;
    Some(Failure::new(Exit::NoNode, error.to_string()).hint(why.hint()))
}

/// `host:port` of a node's HTTP.
pub fn http_address(node: &NodeSpec) -> String {
    if node.host.contains(':') {
        format!("[{}]:{}", node.host, node.http_port)
    } else {
        format!("{}:{}", node.host, node.http_port)
    }
}

async fn read_status(client: &Client, address: &str) -> anyhow::Result<ClusterStatus> {
    let answer = client.get(address, "/status", READ_WITHIN).await?;
    anyhow::ensure!(answer.code == 200, "status {}: `{address}`", answer.code);
    serde_json::from_str(&answer.body).context("read the node's status")
}

/// A node's sentence, or its refusal with its hint.
pub fn read_answer(answer: &Answer) -> anyhow::Result<String> {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    if (200..300).contains(&answer.code) {
        return Ok(text("message").unwrap_or_else(|| "done".to_owned()));
    }
    let error = text("error").unwrap_or_else(|| format!("the node answered `{}`", answer.code));
    let mut failure = Failure::new(exit_of(answer.code), error);
    failure.hint = text("hint");
    let nodes = body.get("nodes").cloned().unwrap_or_default();
    failure.nodes = serde_json::from_value(nodes).unwrap_or_default();
    Err(failure.into())
}

/// The answer to a change. A node of another version may know only of the sentence.
pub fn read_receipt(answer: &Answer) -> anyhow::Result<Receipt> {
    let message = read_answer(answer)?;
    let (what, state, nodes) = (String::new(), Progress::Done, Vec::new());
    let sentence = Receipt { what, state, message, nodes };
    Ok(serde_json::from_str(&answer.body).unwrap_or(sentence))
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
        Answer { code, body: body.to_owned(), starting: false }
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
