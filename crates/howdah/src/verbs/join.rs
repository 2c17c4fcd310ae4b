//! `howdah join`: this machine becomes a node of a cluster that runs elsewhere.

use std::fs;
use std::io::{BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use howdah_api::client::{Ask, Client, Method, NoAnswer};
use howdah_api::join::{JoinRequest, Welcome};
use howdah_base::{NodeName, Redacted};
use howdah_spec::to_toml;
use howdah_tls::{Fingerprint, NewKey, Pair, Refused};
use serde_json::Value;

use crate::ask::{block_on, known_node};
use crate::failure::{Exit, Failure};
use crate::file::{self, ClusterFile};
use crate::join::token::Token;
use crate::prepare::relocate::relocate;
use crate::prepare::{
    Account, Caller, Layout, account, certificates, make_base, make_dir, passwords, prepare,
    write_file,
};
use crate::talk::{out, say};

/// Make this machine a node of a cluster, by a token that `howdah token create` printed
#[derive(clap::Args, Debug)]
pub struct Args {
    /// `-` reads the token from standard input, where no process list shows it; or the token itself
    #[arg(value_name = "-|TOKEN")]
    token: String,
    /// The node that this machine is to be; the token names it too
    #[arg(long, value_name = "NODE")]
    node: Option<NodeName>,
    /// Where the cluster is to lie on this machine [default: as on the others]
    #[arg(long, value_name = "DIR")]
    base_dir: Option<PathBuf>,
}

/// One node's answer: it reads and writes a few small files.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// More is no token.
const TOKEN_BYTES_MAX: u64 = 16 * 1024;

pub fn run(args: &Args) -> anyhow::Result<()> {
    let token = read_token(&args.token)?;
    check_node(&token, args.node.as_ref())?;
    let base = args.base_dir.clone().unwrap_or_else(|| token.base_dir.clone());
    let layout = Layout::new(&std::path::absolute(base).context("find the working directory")?);
    check_place(&layout, &token)?;
    let new = howdah_tls::request(&token.node)?;
    let welcome = block_on(ask(&token, &new))?;
    let file = read_file(&welcome, &layout)?;
    known_node(&file.spec, &token.node)?;
    keep(&layout, &file, &token.node, &welcome, &new)?;
    let prepared = prepare(&file, Caller::PrepareFor(&token.node))?;
    let (node, cluster, at) = (&token.node, &token.cluster, prepared.layout.base().display());
    say(format!("this machine is node {node} of cluster {cluster}; it lies in `{at}`"));
    let typed = format!(" -f {}", prepared.layout.file().display());
    let typed = if args.base_dir.is_some() { &typed } else { "" };
    out(format!("under systemd:   howdah install --node {node} --now{typed}"));
    out(format!("or by hand:      howdah run --node {node}{typed}"));
    Ok(())
}

fn read_token(word: &str) -> anyhow::Result<Token> {
    let mut typed = word.to_owned();
    if word == "-" {
        typed.clear();
        if std::io::stdin().is_terminal() {
            say("paste the line that howdah token create printed:");
        }
        let line = std::io::stdin().lock().take(TOKEN_BYTES_MAX).read_line(&mut typed);
        line.context("read the token")?;
        // What `howdah token create` prints may be piped in as it is.
        typed = typed.trim().trim_start_matches("howdah join ").to_owned();
    }
    typed.parse().map_err(|why: String| {
        Failure::bad_input(why).hint("on a machine of the cluster: howdah token create NODE").into()
    })
}

fn check_node(token: &Token, wanted: Option<&NodeName>) -> anyhow::Result<()> {
    match wanted {
        Some(wanted) if *wanted != token.node => {
            Err(Failure::bad_input(format!("the token is for another node: `{}`", token.node))
                .hint(format!("on a machine of the cluster: howdah token create {wanted}"))
                .into())
        }
        _ => Ok(()),
    }
}

/// Before the token is used up: a folder that cannot be used costs nothing yet.
fn check_place(layout: &Layout, token: &Token) -> anyhow::Result<()> {
    let ca = layout.ca();
    if ca.exists() {
        let text = fs::read_to_string(&ca).context("read the CA that is there")?;
        if Fingerprint::of_pem(&text, &ca)?.to_string() != token.ca {
            return Err(Failure::failed(format!(
                "another cluster lies there already, or one that this machine founded by itself: `{}`",
                layout.base().display()
            ))
            .hint("name another folder by --base-dir; or, if it holds nothing of worth, howdah down --purge")
            .into());
        }
    }
    make_base(layout, token.cluster.as_str())
}

/// Asks each address in turn; a refusal of the token is the cluster's answer.
async fn ask(token: &Token, new: &NewKey) -> anyhow::Result<Welcome> {
    howdah_tls::install_provider();
    let print: Fingerprint = token.ca.parse().map_err(Failure::bad_input)?;
    let client = Client::by_tls(howdah_tls::to_pinned(print)?);
    let request = JoinRequest {
        id: token.id.clone(),
        secret: token.secret.clone(),
        node: token.node.clone(),
        request: new.request.clone(),
    };
    let body = serde_json::to_string(&request)?;
    let ask = Ask { method: Method::POST, path: "/join", token: None, body, within: ANSWER_WITHIN };
    let mut last = None;
    for address in &token.addresses {
        match client.ask(address, &ask).await {
            Ok(answer) if answer.code == 200 => {
                return serde_json::from_str(&answer.body).context("read the cluster's answer");
            }
            Ok(answer) => return Err(refusal(answer.code, &answer.body).into()),
            Err(NoAnswer::Refused { why: Refused::TheirsForeign, address }) => {
                last = Some(
                    Failure::failed(format!(
                        "not the cluster of the token, its CA is another one: `{address}`"
                    ))
                    .hint("look who listens there; the token was sent to nobody"),
                );
            }
            Err(error) => last = Some(Failure::new(Exit::NoNode, error.to_string())),
        }
    }
    let hint = "is `howdah run` up there, and is the port open in its firewall?";
    let last = last.unwrap_or_else(|| Failure::bad_input("the token names no address"));
    Err(if last.hint.is_none() { last.hint(hint) } else { last }.into())
}

fn refusal(code: u16, body: &str) -> Failure {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let why = text("error").unwrap_or_else(|| format!("the cluster answered `{code}`"));
    let mut failure = Failure::failed(why);
    failure.hint = text("hint");
    failure
}

/// The cluster file in force, as it counts on this machine.
fn read_file(welcome: &Welcome, layout: &Layout) -> anyhow::Result<ClusterFile> {
    let path = layout.file();
    let read = |text: &str| file::parse(&path, text).map_err(|m| file::rejected(&m));
    let spec = read(&welcome.file)?;
    let text = relocate(&to_toml(&spec), &spec.base_dir, layout.base());
    let spec = read(&text)?;
    Ok(ClusterFile { path, text, spec, typed: String::new(), client: None })
}

/// Writes what the cluster gave; the certificate last, because it says that all is there.
fn keep(
    layout: &Layout,
    file: &ClusterFile,
    node: &NodeName,
    welcome: &Welcome,
    new: &NewKey,
) -> anyhow::Result<()> {
    let server: Account = account::server_account(&file.spec.run_as)?;
    let invoker = account::invoker()?;
    make_dir(&layout.tls(), 0o755)?;
    write_file(&layout.ca(), 0o644, welcome.authority.as_bytes())?;
    if let Some(key) = &welcome.authority_key {
        let path: &Path = &certificates::authority_pair(layout).key;
        write_file(path, 0o600, key.as_bytes())?;
    }
    let token = Redacted::new(welcome.token.clone());
    passwords::keep(layout, &server, &invoker, &token, &welcome.secrets)?;
    write_file(&layout.file(), 0o644, file.text.as_bytes())?;
    let owner = Some(certificates::owner_of(&server));
    let pair = Pair::at(&layout.tls(), node.as_str());
    new.keep(&pair, &welcome.certificate, owner).context("keep the node's certificate")
}
