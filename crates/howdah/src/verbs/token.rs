//! `howdah token`: lets another machine in, once.

use std::time::Duration;

use anyhow::Context;
use clap::Subcommand;
use howdah_base::{NodeName, Redacted, Span};
use howdah_tls::Fingerprint;

use crate::ask::http_address;
use crate::failure::Failure;
use crate::file::{ClusterFile, FileArg};
use crate::join::kept::{self, Kept, now_unix};
use crate::join::token::Token;
use crate::prepare::{Account, Layout, account, certificates, here, make_owned_dir, secret};
use crate::talk::{out, say};

/// Let another machine in: create the token that `howdah join` redeems
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Print the command to type on the new machine; replaces an earlier token of the node
    Create {
        /// The node that the machine is to be
        node: NodeName,
        /// How long the token is good
        #[arg(long, value_name = "TIME", default_value = "1h")]
        valid: Span,
        #[command(flatten)]
        file: FileArg,
    },
    /// Show which tokens are open
    List {
        #[command(flatten)]
        file: FileArg,
    },
    /// Take back the token of a node
    Revoke {
        node: NodeName,
        #[command(flatten)]
        file: FileArg,
    },
}

/// A token lies on a clipboard or in a chat: it should not outlive the week.
const VALID_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Create { node, valid, file } => create(&file.load_running()?, node, valid.0),
        What::List { file } => list(&file.load_running()?),
        What::Revoke { node, file } => revoke(&file.load_running()?, node),
    }
}

fn create(file: &ClusterFile, node: &NodeName, valid: Duration) -> anyhow::Result<()> {
    if valid > VALID_MAX || valid.is_zero() {
        return Err(Failure::bad_input("a token is good for at most `7d`")
            .hint(format!("howdah token create {node} --valid 1d"))
            .into());
    }
    check_in_file(file, node)?;
    let layout = Layout::new(&file.spec.base_dir);
    let server = account::server_account(&file.spec.run_as)?;
    let key = authority_key(&layout)?;
    let ca = std::fs::read_to_string(layout.ca()).context("read the CA's certificate")?;
    let (id, secret) = (secret::make_up()?, secret::make_up()?);
    let token = Token {
        cluster: file.spec.cluster.clone(),
        node: node.clone(),
        base_dir: layout.base().to_owned(),
        addresses: addresses(file, &layout, node),
        ca: Fingerprint::of_pem(&ca, &layout.ca())?.to_string(),
        id: id.expose().clone(),
        secret: secret.expose().clone(),
        until_unix: now_unix() + valid.as_secs(),
    };
    let kept = Kept::new(node, &token.id, &secret, token.until_unix, &key)?;
    keep(&layout, &server, &token.id, &kept)?;
    say(format!(
        "good once, for {}; the machine of {node} must reach `{}`. There, as root, type \
         `howdah join -` and paste this line (as a command of its own it works too, and `ps` shows \
         the token to every user there):",
        Span(valid),
        token.addresses.join("` or `")
    ));
    out(format!("howdah join {}", token.word()?));
    Ok(())
}

fn check_in_file(file: &ClusterFile, node: &NodeName) -> anyhow::Result<()> {
    if file.spec.nodes.contains_key(node) {
        return Ok(());
    }
    Err(Failure::bad_input(format!("the cluster file has no such node: `{node}`"))
        .hint(format!("add [nodes.{node}] with its host to the file, then howdah apply"))
        .into())
}

fn authority_key(layout: &Layout) -> anyhow::Result<Redacted<String>> {
    let path = certificates::authority_pair(layout).key;
    let absent = |why: &str| {
        let message = format!("{why} the key of the cluster's CA: `{}`", path.display());
        let hint = "run it on a node with data, as root or as who prepared it there";
        Failure::failed(message).hint(hint)
    };
    match howdah_tls::read_key(&path) {
        Ok(Some(text)) => Ok(Redacted::new(text)),
        Ok(None) => Err(absent("this machine has not").into()),
        Err(howdah_tls::TlsError::File { source, .. })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Err(absent("this user may not read").into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Where this machine's nodes answer; of a cluster on one machine, the others.
fn addresses(file: &ClusterFile, layout: &Layout, node: &NodeName) -> Vec<String> {
    let here = here::here(&file.spec, layout);
    here.iter().filter(|(name, _)| *name != node).map(|(_, spec)| http_address(spec)).collect()
}

fn keep(layout: &Layout, server: &Account, id: &str, kept: &Kept) -> anyhow::Result<()> {
    let folder = layout.join_tokens();
    make_owned_dir(&layout.secrets(), 0o700, server)?;
    server.act(|| {
        crate::prepare::make_dir(&folder, 0o700)?;
        for (path, old) in kept::all(&folder)? {
            if old.node == kept.node && old.is_open(now_unix()) {
                std::fs::remove_file(&path).context("remove the earlier token")?;
            }
        }
        let path = kept::path(&folder, id).context("name the token's file")?;
        kept::write(&path, kept)
    })
}

fn list(file: &ClusterFile) -> anyhow::Result<()> {
    let (folder, server) = place(file)?;
    let now = now_unix();
    for (_, token) in server.act(|| kept::all(&folder))? {
        let state = match token.used_unix {
            Some(_) => "used".to_owned(),
            None if token.is_open(now) => {
                format!("open for {} min", token.until_unix.saturating_sub(now) / 60)
            }
            None => "over".to_owned(),
        };
        out(format!("{:<30}  {state}", token.node.as_str()));
    }
    Ok(())
}

fn revoke(file: &ClusterFile, node: &NodeName) -> anyhow::Result<()> {
    let (folder, server) = place(file)?;
    let removed = server.act(|| {
        let mut removed = 0;
        for (path, token) in kept::all(&folder)? {
            if token.node == *node && token.is_open(now_unix()) {
                std::fs::remove_file(&path).context("remove the token")?;
                removed += 1;
            }
        }
        Ok(removed)
    })?;
    if removed == 0 {
        return Err(Failure::failed(format!("no token of this node is open here: `{node}`"))
            .hint("tokens lie where they were created; howdah token list")
            .into());
    }
    say(format!("the token of {node} opens nothing any more"));
    Ok(())
}

fn place(file: &ClusterFile) -> anyhow::Result<(std::path::PathBuf, Account)> {
    let server = account::server_account(&file.spec.run_as)?;
    Ok((Layout::new(&file.spec.base_dir).join_tokens(), server))
}
